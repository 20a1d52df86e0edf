"""The pool of corrupted copies of the good parts: made once for a run, and read from the disk as it is needed."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from diad_train.exchange.checkpoint import CheckpointError
from diad_train.exchange.data import HELD_OUT_EVERY, GoodParts
from diad_train.train.corrupt import corrupt
from diad_train.train.loop import SaveError, rank

# Half of the copies are made under other light.
LIGHT_SHARE = 0.5
LIGHT_GAIN = (0.85, 1.15)
LIGHT_OFFSET = 12.0
CHUNK = 64
MADE_OF = "made_of.json"


@dataclass(frozen=True)
class CorruptionPool:
    """Corrupted copies: `pictures` uint8 [M, S, S, 3], `masks` bool [M, S, S], `source` index of the good part.

    `light` float32 [M, 2] is the gain and the offset (in 0..255) under which the part was taken before it was damaged:
    a lamp that ages is no defect, so the picture to rebuild has the same light. `made_of` identifies the pool.
    """

    pictures: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    source: NDArray[np.int64]
    light: NDArray[np.float32]
    made_of: str = ""

    def undamaged(self, chosen: NDArray[np.int64], good: GoodParts) -> NDArray[np.uint8]:
        """The pictures that the chosen copies were before the damage, uint8 [N, S, S, 3]."""
        return np.stack([lit(good.pictures[self.source[i]], self.light[i]) for i in chosen])


def held_out_copies(pool: CorruptionPool) -> NDArray[np.int64]:
    """Corrupted copies of the good parts that no stage trains on."""
    return np.flatnonzero(pool.source % HELD_OUT_EVERY == 0)


def lit(picture: NDArray[np.uint8], light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture under other light: gain, then offset, clipped; light (1, 0) changes nothing."""
    gain, offset = (float(v) for v in light)
    out = np.rint(picture.astype(np.float32) * gain + offset)
    return np.asarray(np.clip(out, 0, 255), dtype=np.uint8)


def pool_of(good: GoodParts, folder: Path, *, copies: int, seed: int, workers: int = 0) -> CorruptionPool:
    """The pool in `<folder>/pool`, made there first if need be: `copies` of every part, the same for the same seed.

    It stays on the disk (256 KiB a copy of 256 x 256 px) and takes memory only as the system has it to spare, so that
    the number of copies is not bound by it. Raises SaveError for a full disk, CheckpointError for a pool of other data.
    """
    path = folder / "pool"
    made_of = json.dumps({"pictures": good.digest, "copies": copies, "seed": seed})
    if not path.exists():
        if rank() == 0:
            _make(good, path, made_of, copies=copies, seed=seed, workers=workers)
        while not path.exists():  # another process makes it
            time.sleep(1.0)
    try:
        is_of_these = (path / MADE_OF).read_text(encoding="utf-8") == made_of
        # Copy on write: torch warns of read-only arrays.
        arrays = (np.load(path / f"{name}.npy", mmap_mode="c") for name in ("pictures", "masks", "source", "light"))
        pictures, masks, source, light = (array.view(np.ndarray) for array in arrays)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(path, f"cannot be read; remove it and it is made again: {error}") from error
    if not is_of_these or len(source) != copies * len(good.pictures):
        raise CheckpointError(path, "was made of other data or with another seed; give another --run, or remove it")
    return CorruptionPool(pictures, masks, source, light, made_of)


def _make(good: GoodParts, path: Path, made_of: str, *, copies: int, seed: int, workers: int) -> None:
    """Writes the pool beside its place, then renames it: a half-made one never carries the name."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(len(good.pictures)), copies)
    other = rng.integers(0, len(good.pictures), len(source))
    changed = rng.random(len(source)) < LIGHT_SHARE
    gain = np.where(changed, rng.uniform(*LIGHT_GAIN, len(source)), 1.0)
    offset = np.where(changed, rng.uniform(-LIGHT_OFFSET, LIGHT_OFFSET, len(source)), 0.0)
    light = np.stack([gain, offset], axis=1).astype(np.float32)
    seeds = seed * 1_000_003 + np.arange(len(source))
    jobs = (
        (good.pictures[source[part]], good.pictures[other[part]], light[part], seeds[part].tolist())
        for part in (slice(at, at + CHUNK) for at in range(0, len(source), CHUNK))
    )
    partial = path.with_suffix(".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        (partial / MADE_OF).write_text(made_of, encoding="utf-8")
        np.save(partial / "source.npy", source)
        np.save(partial / "light.npy", light)
        shape = (len(source), *good.pictures.shape[1:])
        with (partial / "pictures.npy").open("wb") as pictures, (partial / "masks.npy").open("wb") as masks:
            _begin(pictures, shape, np.uint8)
            _begin(masks, shape[:3], np.bool_)
            for picture, mask in _made(jobs, workers):
                pictures.write(picture.tobytes())
                masks.write(mask.tobytes())
        partial.replace(path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise SaveError(f"{path}: cannot be written: {error}; make room, then run the same again") from error


def _begin(file: BinaryIO, shape: tuple[int, ...], kind: DTypeLike) -> None:
    """The head of a `.npy` file whose numbers follow as they are made."""
    head = {"descr": npy.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, head)


Job = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], Sequence[int]]
Copy = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def _made(jobs: Iterator[Job], workers: int) -> Iterator[Copy]:
    """The copies in order, a few jobs for each worker at a time: all at once would be a second pool in memory."""
    if workers == 0:
        for job in jobs:
            yield from _corrupt_some(job)
        return
    with ProcessPoolExecutor(workers) as executor:
        while wave := list(itertools.islice(jobs, 4 * workers)):
            for part in executor.map(_corrupt_some, wave):
                yield from part


def _corrupt_some(job: Job) -> list[Copy]:
    pictures, others, lights, seeds = job
    return [
        corrupt(lit(picture, light), other=other, rng=np.random.default_rng(seed))
        for picture, other, light, seed in zip(pictures, others, lights, seeds, strict=True)
    ]
