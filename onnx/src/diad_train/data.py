"""Good parts from disk, and the pool of corrupted copies made of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from diad_train.corrupt import corrupt
from diad_train.model.features import IMAGE_MEAN, IMAGE_STD

# Every sixteenth good part is trained on by no stage: it validates, and its score calibrates.
HELD_OUT_EVERY = 16
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp")

# Half of the copies are made under other light.
LIGHT_SHARE = 0.5
LIGHT_GAIN = (0.85, 1.15)
LIGHT_OFFSET = 12.0


class DataError(ValueError):
    """A data set that cannot be used; the message names the folder or file."""


@dataclass(frozen=True)
class GoodParts:
    """All good training parts of all products: pictures uint8 [N, S, S, 3], product index per part."""

    pictures: NDArray[np.uint8]
    product: NDArray[np.int64]
    products: tuple[str, ...]


def read_picture(path: Path, *, size: int) -> NDArray[np.uint8]:
    """Decodes and resizes one picture (Pillow's bilinear, aspect not kept), uint8 [size, size, 3].

    Sixteen bits per pixel are scaled to eight, transparency is dropped. Raises DataError for what is no whole picture.
    """
    try:
        with Image.open(path) as image:
            whole = _eight_bits(image) if image.mode.startswith("I;16") else image
            if whole.mode in ("I", "F"):
                raise DataError(f"{path}: pixels of mode {whole.mode}; allowed are 8 and 16 bits per channel")
            resized = whole.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
            return np.asarray(resized, dtype=np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a picture: {error}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    levels = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((levels * 255 + 32767) // 65535).astype(np.uint8))


def pictures_in(folder: Path) -> list[Path]:
    """Picture files of a folder, sorted."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS)


def load_good(root: Path, *, size: int, skip_bad: bool = False) -> GoodParts:
    """Reads `<root>/<product>/train/good/*` of every product.

    Raises DataError with every file that is no picture (with `skip_bad` they are named and left out) and every product
    with fewer than sixteen good parts.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    products = sorted(p.name for p in root.iterdir() if (p / "train" / "good").is_dir())
    if not products:
        raise DataError(f"{root}: no <product>/train/good folder")
    pictures: list[NDArray[np.uint8]] = []
    index: list[int] = []
    faults: list[str] = []
    bad: list[str] = []
    for number, product in enumerate(products):
        folder = root / product / "train" / "good"
        readable = 0
        for file in pictures_in(folder):
            try:
                pictures.append(read_picture(file, size=size))
                readable += 1
            except DataError as error:
                bad.append(str(error))
        index += [number] * readable
        if readable < HELD_OUT_EVERY:
            faults.append(
                f"{folder}: {readable} pictures; at least {HELD_OUT_EVERY} are needed, for one in {HELD_OUT_EVERY} is "
                "held out to validate and calibrate"
            )
    if bad and not skip_bad:
        faults += [*bad, f"{len(bad)} files cannot be read; mend or remove them, or leave them out with --skip-bad"]
    if faults:
        raise DataError("\n".join(faults))
    for line in bad:
        tqdm.write(f"left out: {line}", file=sys.stderr)
    if bad:
        tqdm.write(f"left out {len(bad)} files, {len(pictures)} good parts remain", file=sys.stderr)
    return GoodParts(np.stack(pictures), np.asarray(index), tuple(products))


def held_out(good: GoodParts) -> NDArray[np.int64]:
    """Good parts that no stage trains on: for validation and for the calibration of scores."""
    return np.flatnonzero(np.arange(len(good.pictures)) % HELD_OUT_EVERY == 0)


def normalised(pictures: NDArray[np.uint8] | Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], ImageNet mean and deviation."""
    tensor = torch.as_tensor(pictures).permute(0, 3, 1, 2).float() / 255.0
    mean = torch.tensor(IMAGE_MEAN)[None, :, None, None]
    std = torch.tensor(IMAGE_STD)[None, :, None, None]
    return ((tensor - mean) / std).contiguous()


@dataclass(frozen=True)
class CorruptionPool:
    """Corrupted copies: `pictures` uint8 [M, S, S, 3], `masks` bool [M, S, S], `source` index of the good part.

    `light` float32 [M, 2] is the gain and the offset (in 0..255) under which the part was taken before it was damaged:
    a lamp that ages is no defect, so the picture to rebuild has the same light.
    """

    pictures: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    source: NDArray[np.int64]
    light: NDArray[np.float32]

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


def _corrupt_some(
    job: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], Sequence[int]],
) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    pictures, others, lights, seeds = job
    return [
        corrupt(lit(picture, light), other=other, rng=np.random.default_rng(seed))
        for picture, other, light, seed in zip(pictures, others, lights, seeds, strict=True)
    ]


def build_pool(good: GoodParts, *, copies: int, seed: int, workers: int) -> CorruptionPool:
    """Makes `copies` corrupted copies of every part; the same seed gives the same pool."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(len(good.pictures)), copies)
    other = rng.integers(0, len(good.pictures), len(source))
    changed = rng.random(len(source)) < LIGHT_SHARE
    gain = np.where(changed, rng.uniform(*LIGHT_GAIN, len(source)), 1.0)
    offset = np.where(changed, rng.uniform(-LIGHT_OFFSET, LIGHT_OFFSET, len(source)), 0.0)
    light = np.stack([gain, offset], axis=1).astype(np.float32)
    chunk = 64
    jobs = [
        (
            good.pictures[source[at : at + chunk]],
            good.pictures[other[at : at + chunk]],
            light[at : at + chunk],
            [seed * 1_000_003 + i for i in range(at, min(at + chunk, len(source)))],
        )
        for at in range(0, len(source), chunk)
    ]
    if workers > 0:
        with ProcessPoolExecutor(workers) as executor:
            made = [item for part in executor.map(_corrupt_some, jobs) for item in part]
    else:
        made = [item for job in jobs for item in _corrupt_some(job)]
    return CorruptionPool(np.stack([m[0] for m in made]), np.stack([m[1] for m in made]), source, light)
