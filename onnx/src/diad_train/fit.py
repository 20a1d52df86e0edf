"""`diad-train fit`: runs the stages in order; a finished stage is loaded, an unfinished one goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch

from diad_train import stages
from diad_train.config import Config
from diad_train.data import CorruptionPool, GoodParts, build_pool, load_good
from diad_train.loop import rank, save_atomically, start_processes
from diad_train.model.diad import DiAD

RUNNERS = {
    "autoencoder": stages.fit_autoencoder,
    "denoiser": stages.fit_denoiser,
    "distil": stages.fit_features,
    "align": stages.fit_alignment,
}
STAGES = tuple(RUNNERS)


def _pool(good: GoodParts, config: Config, folder: Path) -> CorruptionPool:
    """Builds the pool once and keeps it beside the checkpoints: it is a function of data and seed alone."""
    path = folder / "pool.npz"
    if path.exists():
        stored = np.load(path)
        return CorruptionPool(stored["pictures"], stored["masks"], stored["source"])
    train = config.train
    pool = build_pool(good, copies=train.corruptions_per_image, seed=train.seed, workers=train.workers)
    if rank() == 0:
        partial = folder / "pool.partial.npz"
        np.savez(partial, pictures=pool.pictures, masks=pool.masks, source=pool.source)
        partial.replace(path)
    return pool


def fit(config: Config, folder: Path, *, wanted: tuple[str, ...] = STAGES, start_from: Path | None = None) -> DiAD:
    """Trains the `wanted` stages in their order; `start_from` is a `model.pt` whose weights are the start.

    Stages not wanted are loaded where their checkpoint exists, so that they can be trained apart: the student's
    imitation needs no other stage.
    """
    start_processes()
    torch.set_flush_denormal(True)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.train.seed)
    settings = json.dumps(dataclasses.asdict(config), indent=1)
    written = folder / "settings.json"
    if rank() == 0:
        written.write_text(settings + "\n", encoding="utf-8")
    model = DiAD(config.model, noise_seed=config.train.seed)
    if start_from is not None:
        model.load_state_dict(torch.load(start_from, map_location="cpu", weights_only=True)["model"])
    good = load_good(Path(config.train.data), size=config.model.image_size)
    parts = stages.Parts(good, _pool(good, config, folder))
    for name in wanted:
        RUNNERS[name](model, parts, config, folder)
    if rank() == 0 and wanted[-1] == STAGES[-1]:
        save_atomically({"model": model.state_dict(), "products": list(good.products)}, folder / "model.pt")
    return model
