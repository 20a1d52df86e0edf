"""Good parts from disk."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from diad_train.model.features import IMAGE_MEAN, IMAGE_STD

# Every sixteenth good part is trained on by no stage: it validates, and its score calibrates.
HELD_OUT_EVERY = 16
# As the station has it.
MAX_NAME_BYTES = 64
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


def name_fault(name: str) -> str | None:
    """Why the station does not take this for a product's name; the names on its wire are also topics and file names."""
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"a product's name has at most {MAX_NAME_BYTES} bytes, this one has {len(name.encode())}"
    other = next((c for c in name if not (c.isalnum() or c in "._-:@")), None)
    return other and f"{other!r} is not allowed in a product's name; use letters, digits and . _ - : @"


def load_good(root: Path, *, size: int, skip_bad: bool = False) -> GoodParts:
    """Reads `<root>/<product>/train/good/*` of every product.

    Raises DataError with every folder whose name the station does not take for a product's, every file that is no
    picture (with `skip_bad` they are named and left out) and every product with fewer than sixteen good parts.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    products = sorted(p.name for p in root.iterdir() if (p / "train" / "good").is_dir())
    if not products:
        raise DataError(f"{root}: no <product>/train/good folder")
    pictures: list[NDArray[np.uint8]] = []
    index: list[int] = []
    faults = [f"{root / product}: {fault}; rename the folder" for product in products if (fault := name_fault(product))]
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
