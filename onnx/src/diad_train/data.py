"""Good parts from disk, and the pool of corrupted copies made of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from diad_train.corrupt import corrupt
from diad_train.model.features import IMAGE_MEAN, IMAGE_STD

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp")


class DataError(ValueError):
    """A data set that cannot be used; the message names the folder or file."""


@dataclass(frozen=True)
class GoodParts:
    """All good training parts of all products: pictures uint8 [N, S, S, 3], product index per part."""

    pictures: NDArray[np.uint8]
    product: NDArray[np.int64]
    products: tuple[str, ...]


def read_picture(path: Path, *, size: int) -> NDArray[np.uint8]:
    """Decodes and resizes one picture (Pillow's bilinear, aspect not kept), uint8 [size, size, 3]."""
    try:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
            return np.asarray(resized, dtype=np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DataError(f"{path}: cannot be read as a picture: {error}") from error


def pictures_in(folder: Path) -> list[Path]:
    """Picture files of a folder, sorted."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS)


def load_good(root: Path, *, size: int) -> GoodParts:
    """Reads `<root>/<product>/train/good/*` of every product; a product without parts is an error."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    products = sorted(p.name for p in root.iterdir() if (p / "train" / "good").is_dir())
    if not products:
        raise DataError(f"{root}: no <product>/train/good folder")
    pictures: list[NDArray[np.uint8]] = []
    index: list[int] = []
    for number, product in enumerate(products):
        files = pictures_in(root / product / "train" / "good")
        if len(files) < 2:
            raise DataError(f"{root / product / 'train' / 'good'}: {len(files)} pictures; at least 2 are needed")
        pictures += [read_picture(file, size=size) for file in files]
        index += [number] * len(files)
    return GoodParts(np.stack(pictures), np.asarray(index), tuple(products))


def normalised(pictures: NDArray[np.uint8] | Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], ImageNet mean and deviation."""
    tensor = torch.as_tensor(pictures).permute(0, 3, 1, 2).float() / 255.0
    mean = torch.tensor(IMAGE_MEAN)[None, :, None, None]
    std = torch.tensor(IMAGE_STD)[None, :, None, None]
    return ((tensor - mean) / std).contiguous()


@dataclass(frozen=True)
class CorruptionPool:
    """Corrupted copies: `pictures` uint8 [M, S, S, 3], `masks` bool [M, S, S], `source` index of the good part."""

    pictures: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    source: NDArray[np.int64]


def _corrupt_some(
    job: tuple[NDArray[np.uint8], NDArray[np.uint8], Sequence[int]],
) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    pictures, others, seeds = job
    return [
        corrupt(picture, other=other, rng=np.random.default_rng(seed))
        for picture, other, seed in zip(pictures, others, seeds, strict=True)
    ]


def build_pool(good: GoodParts, *, copies: int, seed: int, workers: int) -> CorruptionPool:
    """Makes `copies` corrupted copies of every part; the same seed gives the same pool."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(len(good.pictures)), copies)
    other = rng.integers(0, len(good.pictures), len(source))
    chunk = 64
    jobs = [
        (
            good.pictures[source[at : at + chunk]],
            good.pictures[other[at : at + chunk]],
            [seed * 1_000_003 + i for i in range(at, min(at + chunk, len(source)))],
        )
        for at in range(0, len(source), chunk)
    ]
    if workers > 0:
        with ProcessPoolExecutor(workers) as executor:
            made = [item for part in executor.map(_corrupt_some, jobs) for item in part]
    else:
        made = [item for job in jobs for item in _corrupt_some(job)]
    return CorruptionPool(np.stack([m[0] for m in made]), np.stack([m[1] for m in made]), source)
