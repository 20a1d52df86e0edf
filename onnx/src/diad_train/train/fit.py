"""`diad-train fit`: trains the stages in their order; a finished stage is loaded, an unfinished one is resumed."""

from __future__ import annotations

from pathlib import Path

import torch

from diad_train.config import Config
from diad_train.exchange.data import GoodParts, load_good
from diad_train.model.diad import DiAD
from diad_train.train.loop import device, rank, save_atomically, start_processes
from diad_train.train.order import NETWORKS, STAGE_NAMES, STAGES, used_by
from diad_train.train.pool import pool_of
from diad_train.train.rules import begin_folder, check_networks, check_teacher, is_finished
from diad_train.train.stages import Parts
from diad_train.train.start import set_context, take_over


def fit(
    config: Config,
    folder: Path,
    *,
    wanted: tuple[str, ...] = STAGE_NAMES,
    start_from: Path | None = None,
    skip_bad: bool = False,
) -> DiAD:
    """Trains the `wanted` stages in the order of `STAGES`; the weights of `start_from` are the start.

    A stage that a wanted one uses and that was trained in this folder before is loaded from it, so that stages can be
    trained apart. Settings and seed lie beside the weights.

    Raises:
        ConfigError: context or teacher do not fit the networks of the settings.
        DataError: the folder of good parts cannot be used.
        CheckpointError: the folder was begun with something else, or a stage below was not trained to its end.
        SaveError: a file cannot be written.
    """
    start_processes()
    torch.set_flush_denormal(True)
    torch.manual_seed(config.train.seed)
    model = DiAD(config.model, noise_seed=config.train.seed)
    good = load_good(Path(config.train.data), size=config.model.image_size, skip_bad=skip_bad)
    set_context(model, config)
    taken = [] if start_from is None else take_over(model, start_from, good)
    check_teacher(config, wanted)
    folder.mkdir(parents=True, exist_ok=True)
    # One process alone: the others would read the record while it is written, and fail with it where it refuses.
    if rank() == 0:
        begin_folder(config, folder, good, wanted, start_from)
    model.to(device())
    train = config.train
    pool = pool_of(good, folder, copies=train.corruptions_per_image, seed=train.seed, workers=train.workers)
    check_networks(config, folder, wanted, taken)
    trained = _train(model, Parts(good, pool), config, folder, wanted)
    if rank() == 0 and STAGES[-1].name in wanted:
        _save(model, good, folder, networks=trained.union(taken))
    return model


def _train(model: DiAD, parts: Parts, config: Config, folder: Path, wanted: tuple[str, ...]) -> set[str]:
    """Trains or loads every stage that is wanted or used; returns the networks that were trained."""
    used = used_by(wanted)
    trained = set()
    for stage in STAGES:
        if not stage.has_steps(config.train):
            continue
        path, settings = stage.checkpoint(folder), stage.settings(config.train)
        # A stage that was trained to its end takes no step: to run it is to load it.
        if stage.name in wanted or (stage.name in used and is_finished(path, settings)):
            stage.run(model, parts, config, folder)
            trained.add(stage.network)
    return trained


def _save(model: DiAD, good: GoodParts, folder: Path, *, networks: set[str]) -> None:
    """Writes `model.pt` without the networks that no stage trained: random weights must not pass for a model's."""
    left_out = tuple(f"{name}." for name in NETWORKS if name not in networks)
    state = {key: value for key, value in model.state_dict().items() if not key.startswith(left_out)}
    save_atomically({"model": state, "products": list(good.products)}, folder / "model.pt")
