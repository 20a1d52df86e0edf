"""`diad-train fit`: runs the stages in order; a finished stage is loaded, an unfinished one goes on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diad_train.config import Config, ConfigError, StageConfig
from diad_train.exchange.bundle import read_bundle, settle_norms
from diad_train.exchange.checkpoint import CheckpointError, mismatches
from diad_train.exchange.data import GoodParts, load_good, normalised
from diad_train.exchange.export import sha256
from diad_train.exchange.importer import is_of_authors, may_be_new, read_context, start_weights
from diad_train.model.diad import DiAD
from diad_train.model.teacher import Teacher
from diad_train.train import stages
from diad_train.train.loop import device, rank, save_atomically, start_processes, steps_done
from diad_train.train.pool import pool_of
from diad_train.train.record import Start, begin, check, started_from

RUNNERS = {
    "autoencoder": stages.fit_autoencoder,
    "denoiser": stages.fit_denoiser,
    "sg": stages.fit_guide,
    "distil": stages.fit_features,
    "align": stages.fit_alignment,
}
STAGES = tuple(RUNNERS)
# What a stage makes its pictures or latents with; the student's imitation needs no other stage.
STANDS_ON = {
    "autoencoder": (),
    "denoiser": ("autoencoder",),
    "sg": ("autoencoder", "denoiser"),
    "distil": (),
    "align": ("autoencoder", "denoiser", "sg", "distil"),
}
# The network that a stage trains.
TRAINS = {
    "autoencoder": "autoencoder",
    "denoiser": "denoiser",
    "sg": "denoiser",
    "distil": "features",
    "align": "features",
}
NETWORKS = tuple(dict.fromkeys(TRAINS.values()))
# Stages whose networks the ones on top cannot do without; random ones teach them nothing.
FOUNDATIONS = ("autoencoder", "denoiser", "distil")
# Good parts that give the batch norms of a bundle's features their statistics.
SETTLING_PARTS = 64


def _start(model: DiAD, path: Path, good: GoodParts) -> list[str]:
    """Takes over every network of an earlier model that fits, and names them; the others start afresh, which is said.

    The context stays the one of the settings. `path` is a `model.pt` or a bundle of this program, or a checkpoint of
    Stable Diffusion or of its autoencoder.
    """
    given = read_bundle(path) if path.is_dir() else start_weights(path)
    own = model.state_dict()
    if model.denoiser.context is not None:
        given["denoiser.context"] = own["denoiser.context"]
    taken = []
    for name in NETWORKS:
        wanted = {key: value for key, value in own.items() if key.startswith(f"{name}.")}
        found = {key: given[key] for key in wanted if key in given}
        needed = {key: value for key, value in wanted.items() if key in found or not may_be_new(key)}
        faults = mismatches(needed, found)
        if not faults:
            own.update(found)
            taken.append(name)
        elif rank() == 0:
            why = f"{len(faults)} keys do not fit, first: {faults[0]}" if found else "it has none"
            tqdm.write(f"{path}: its {name} is not taken over, this one starts afresh ({why})", file=sys.stderr)
    if not taken:
        raise CheckpointError(path, "has no network of the sizes in the settings")
    own.update({key: given[key] for key in ("latent_scale", "start_noise") if _same(given.get(key), own[key])})
    model.load_state_dict(own)
    prediction = model.config.denoiser.prediction
    if "denoiser" in taken and is_of_authors(path) and prediction != "epsilon" and rank() == 0:
        said = f"its denoiser predicts epsilon and has to learn {prediction} anew, as model.denoiser.prediction has it"
        tqdm.write(f"{path}: {said}", file=sys.stderr)
    if path.is_dir() and "features" in taken:
        spread = np.unique(np.linspace(0, len(good.pictures) - 1, SETTLING_PARTS).astype(int))
        settle_norms(model.features, normalised(good.pictures[spread]))
    return taken


def _same(given: Tensor | None, own: Tensor) -> bool:
    return given is not None and given.shape == own.shape


def _is_finished(path: Path, stage: StageConfig) -> bool:
    """Whether a stage was trained in this folder; one that stopped on the way is refused."""
    if not path.exists():
        return False
    done = steps_done(path)
    if done < stage.steps:
        raise CheckpointError(
            path,
            f"stopped at step {done} of {stage.steps}, and a later stage needs it: name {path.stem} in --stages too",
        )
    return True


def _context(model: DiAD, config: Config) -> None:
    if model.denoiser.context is None:
        return
    if not config.train.context:
        raise ConfigError(
            "train.context is empty, and the denoiser has cross-attention: name a .npy array or a folder with a CLIP "
            "text encoder, or set model.denoiser.context_tokens to 0"
        )
    denoiser = config.model.denoiser
    context = read_context(Path(config.train.context), width=denoiser.context_width)
    if context.shape[1] != denoiser.context_tokens:
        raise ConfigError(
            f"train.context {config.train.context} has {context.shape[1]} tokens, and model.denoiser.context_tokens is "
            f"{denoiser.context_tokens}: make them equal"
        )
    model.denoiser.context = context


def _check_teacher(config: Config, wanted: tuple[str, ...]) -> None:
    """Before hours of the stages that need none."""
    if not any(name in wanted and getattr(config.train, name).steps > 0 for name in ("distil", "align")):
        return
    teacher = Teacher(Path(config.train.teacher))
    features = config.model.features
    if features.kind != "student" or tuple(features.widths) != teacher.widths:
        raise ConfigError(
            f"model.features: {features.kind} of widths {list(features.widths)} cannot learn from this teacher: make "
            f"it a student of widths {list(teacher.widths)}, or set the steps of train.distil and train.align to 0"
        )


def _is_to_run(config: Config, wanted: tuple[str, ...], below: str) -> bool:
    """Whether a stage that takes steps stands on this network."""
    return any(below in STANDS_ON[name] and getattr(config.train, name).steps > 0 for name in wanted)


def _is_open(config: Config, folder: Path, name: str) -> bool:
    """Whether a stage has steps left to take in this folder."""
    stage, path = getattr(config.train, name), folder / f"{name}.pt"
    return stage.steps > 0 and not (path.exists() and steps_done(path) >= stage.steps)


def _begin(config: Config, folder: Path, good: GoodParts, wanted: tuple[str, ...], start_from: Path | None) -> None:
    """Refuses a folder that was begun with something else, and writes what this one is begun with."""
    check(folder, config, good)
    start: Start = {"start": None}
    if start_from is not None:
        # A bundle's manifest holds the digests of all that is in it.
        start = {"start": sha256(start_from / "manifest.json" if start_from.is_dir() else start_from)}
    if any((folder / f"{name}.pt").exists() for name in STAGES):
        was = started_from(folder)
        trained = {TRAINS[name] for name in STAGES if getattr(config.train, name).steps > 0}
        # `model.pt` has of the start what no stage trains, however finished they all are.
        is_of_start = STAGES[-1] in wanted and trained != set(NETWORKS)
        if was not in ({}, start) and (is_of_start or any(_is_open(config, folder, name) for name in wanted)):
            raise CheckpointError(
                folder,
                "was begun with another --start-from, or with none; give another --run, or the same start",
                [f"its sha256 was {was['start'] or 'none'}, is {start['start'] or 'none'}"],
            )
        start = was
    begin(folder, config, good, start)


# Floating-point operations of a step of each stage for one picture of 256 pixels, on the shipped model's networks.
STEP_FLOPS = {"autoencoder": 6e9, "denoiser": 9e9, "sg": 9e9, "distil": 8e9, "align": 20e9}
# Bytes that training takes beside the pictures and their damaged copies.
BASE_BYTES = 4 << 30


def plan(config: Config) -> str:
    """One sentence before a run: what it will take, for networks of the shipped model's size. An estimate."""
    train, size = config.train, config.model.image_size
    parts = sum(1 for _ in Path(train.data).glob("*/train/good/*"))
    stages_of = {name: getattr(train, name) for name in STAGES}
    flops = sum(s.steps * s.batch * STEP_FLOPS[name] for name, s in stages_of.items()) * (size / 256) ** 2
    pictures = parts * size * size * (3 + 4 * train.corruptions_per_image)
    place = "a GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return (
        f"{config.model.name}: {parts} pictures, {sum(s.steps for s in stages_of.values())} steps on {place}: about "
        f"{flops / speed() / 3600:.1f} hours and {(pictures + BASE_BYTES) / (1 << 30):.0f} GiB of memory"
    )


def speed() -> float:
    """Floating-point operations a second of a matrix product on this machine; half of it is what networks reach."""
    a = torch.randn(1024, 1024, device=device())
    begun = time.perf_counter()
    for _ in range(8):
        a = (a @ a) * 0.03
    total = float(a.sum())  # waits for a GPU
    return 8 * 2 * 1024**3 / (time.perf_counter() - begun) / 2 if np.isfinite(total) else 1e11


def fit(
    config: Config,
    folder: Path,
    *,
    wanted: tuple[str, ...] = STAGES,
    start_from: Path | None = None,
    skip_bad: bool = False,
) -> DiAD:
    """Trains the `wanted` stages in the order of `STAGES`; the weights of `start_from` are the start.

    A stage that a wanted one stands on and that was trained in this folder before is loaded from it, so that stages can
    be trained apart. CheckpointError where it was not trained to its end. Settings and seed lie beside the weights.
    """
    start_processes()
    torch.set_flush_denormal(True)
    torch.manual_seed(config.train.seed)
    model = DiAD(config.model, noise_seed=config.train.seed)
    good = load_good(Path(config.train.data), size=config.model.image_size, skip_bad=skip_bad)
    _context(model, config)
    taken = [] if start_from is None else _start(model, start_from, good)
    _check_teacher(config, wanted)
    folder.mkdir(parents=True, exist_ok=True)
    # One process alone: the others would read what it is just writing, and end with it where it refuses.
    if rank() == 0:
        _begin(config, folder, good, wanted, start_from)
    model.to(device())
    train = config.train
    pool = pool_of(good, folder, copies=train.corruptions_per_image, seed=train.seed, workers=train.workers)
    parts = stages.Parts(good, pool)
    needed = {below for name in wanted for below in STANDS_ON[name]}
    for name in FOUNDATIONS:
        stage, path = getattr(train, name), folder / f"{name}.pt"
        is_trained = stage.steps > 0 and (name in wanted or path.exists())
        if name == "distil" and stage.steps == 0:
            continue  # align alone can teach a student, if that is what the settings say
        if name in needed and _is_to_run(config, wanted, name) and not is_trained and TRAINS[name] not in taken:
            raise CheckpointError(
                folder,
                f"has no {TRAINS[name]} for the stages on top of it, and nothing gives any: name {name} in --stages "
                "with some steps, or --start-from (again, if it was given before)",
            )
    trained = set(taken)
    for name in STAGES:
        stage, path = getattr(train, name), folder / f"{name}.pt"
        # A stage that was trained to its end takes no step: to run it is to load it.
        if stage.steps > 0 and (name in wanted or (name in needed and _is_finished(path, stage))):
            RUNNERS[name](model, parts, config, folder)
            trained.add(TRAINS[name])
    if rank() == 0 and STAGES[-1] in wanted:
        # A network that nobody trained is left out, so that nobody takes its random weights for a model's.
        left_out = tuple(f"{name}." for name in NETWORKS if name not in trained)
        state = {key: value for key, value in model.state_dict().items() if not key.startswith(left_out)}
        save_atomically({"model": state, "products": list(good.products)}, folder / "model.pt")
    return model
