"""What a run folder was begun with: networks, parts and start that another call must not mix up with its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from diad_train.config import Config
from diad_train.exchange.checkpoint import CheckpointError
from diad_train.exchange.data import GoodParts
from diad_train.train.loop import whole_file

SETTINGS, PARTS = "settings.json", "parts.json"
# What the weights are of. How they are sampled and scored, and how long they are trained, may change.
OF_THE_WEIGHTS = ("image_size", "autoencoder", "denoiser", "features")
# Under "start", the digest of what training started from, None for random weights; empty where it is unknown.
Start = dict[str, str | None]


def begin(folder: Path, config: Config, good: GoodParts, start: Start) -> None:
    """Writes settings, seed, start and the names of the parts beside the weights, where they are not there yet."""
    settings = json.dumps({**dataclasses.asdict(config), **start}, indent=1)
    for name, text in ((SETTINGS, settings), (PARTS, json.dumps(list(good.files)))):
        path, written = folder / name, f"{text}\n".encode()
        if not path.exists() or path.read_bytes() != written:
            with whole_file(path) as file:
                file.write(written)


def started_from(folder: Path) -> Start:
    """What the folder's training started from; empty where an earlier version recorded none."""
    settings = _read(folder / SETTINGS)
    return {"start": settings["start"]} if isinstance(settings, dict) and "start" in settings else {}


def check(folder: Path, config: Config, good: GoodParts | None = None) -> None:
    """Raises CheckpointError if the folder was begun with other networks or, where `good` is given, other parts.

    Heads and the kind of prediction show in no shape of a weight; which parts are held out depends on all parts.
    """
    faults: list[str] = []
    settings = _read(folder / SETTINGS)
    if isinstance(settings, dict):
        model = settings.get("model", {})
        own = json.loads(json.dumps(dataclasses.asdict(config.model)))
        for key in OF_THE_WEIGHTS:
            faults += _differences(f"model.{key}", model.get(key), own[key])
    if faults:
        raise CheckpointError(folder, "was begun with other settings; give another --run, or those", faults)
    files = _read(folder / PARTS)
    if good is not None and isinstance(files, list) and files != list(good.files):
        then, now = set(files), set(good.files)
        gone, new = sorted(then - now), sorted(now - then)
        faults = [f"gone: {name}" for name in gone] + [f"new: {name}" for name in new]
        raise CheckpointError(
            folder,
            f"was begun with {len(files)} parts, these are {len(good.files)}, and which of them were held out is no "
            "longer known; give another --run, or the parts as they were (with --skip-bad, if that was given)",
            faults,
        )


def _differences(key: str, was: object, now: object) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        # A key that an earlier version did not know has the value that it stands for.
        for name in sorted(set(was) & set(now)):
            yield from _differences(f"{key}.{name}", was[name], now[name])
    elif was is not None and was != now:
        yield f"{key} was {was}, is {now}"


def _read(path: Path) -> object:
    """What a file of the record holds; nothing where an earlier version has left none."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(path, f"cannot be read; remove it if the run is yours: {error}") from error
