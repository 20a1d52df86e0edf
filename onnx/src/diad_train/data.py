"""Good parts from disk."""

from __future__ import annotations

import hashlib
import io
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from diad_train.model.features import IMAGE_MEAN, IMAGE_STD

# Every sixteenth good part is trained on by no stage: it validates, and its score calibrates.
HELD_OUT_EVERY = 16
# As the station has it.
MAX_NAME_BYTES = 64
EXTENSIONS = (".png", ".jpg", ".jpeg")
JPEG_START, PNG_END = b"\xff\xd8", b"IEND\xaeB`\x82"


class DataError(ValueError):
    """A data set that cannot be used; the message names the folder or file."""


@dataclass(frozen=True)
class GoodParts:
    """All good training parts of all products: pictures uint8 [N, S, S, 3], product index and file per part."""

    pictures: NDArray[np.uint8]
    product: NDArray[np.int64]
    products: tuple[str, ...]
    files: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pictures: what was made of them tells by it whether they are still the same."""
        return hashlib.sha256(np.ascontiguousarray(self.pictures).data).hexdigest()


def read_picture(path: Path, *, size: int) -> NDArray[np.uint8]:
    """Decodes and resizes one picture (Pillow's bilinear, aspect not kept), uint8 [size, size, 3].

    Sixteen bits per pixel are scaled to eight. Raises DataError for what is no whole picture, and for what the station
    refuses: what it will never judge is nothing to learn from.
    """
    try:
        data = path.read_bytes()
        _check_whole(data)
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            whole = _eight_bits(image) if image.mode.startswith("I;16") else image
            if whole.mode in ("I", "F"):
                raise DataError(f"{path}: pixels of mode {whole.mode}; allowed are 8 and 16 bits per channel")
            if whole.mode == "CMYK":
                raise DataError(f"{path}: a CMYK picture, which the station refuses; save it as RGB")
            if whole.has_transparency_data and whole.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise DataError(f"{path}: see-through in places, which the station refuses; save it opaque")
            resized = whole.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
            return np.asarray(resized, dtype=np.uint8)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # the decoders raise their own kinds for a file that is damaged or is something else
        raise DataError(f"{path}: cannot be read as a picture: {error}") from error


def _check_whole(data: bytes) -> None:
    """Raises ValueError for a picture that lost some of its data: Pillow fills up what a JPEG lacks without a word."""
    if data.startswith(JPEG_START):
        # Any colour space will do; grey is the least to decode, and the only one that all of them have.
        simplejpeg.decode_jpeg(data, colorspace="GRAY", strict=True)
    elif PNG_END not in data:
        raise ValueError("it is neither a whole PNG nor a JPEG")


def _eight_bits(image: Image.Image) -> Image.Image:
    levels = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((levels * 255 + 32767) // 65535).astype(np.uint8))


def pictures_in(folder: Path) -> list[Path]:
    """PNG and JPEG files of a folder, sorted."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS)


def name_fault(name: str) -> str | None:
    """Why the station does not take this for a product's name; the names on its wire are also topics and file names."""
    bytes_of = len(name.encode(errors="replace"))
    if bytes_of > MAX_NAME_BYTES:
        return f"a product's name has at most {MAX_NAME_BYTES} bytes, this one has {bytes_of}"
    other = next((c for c in name if not (c.isalnum() or c in "._-:@")), None)
    return other and f"{other!r} is not allowed in a product's name; use letters, digits and . _ - : @"


def load_good(root: Path, *, size: int, skip_bad: bool = False) -> GoodParts:
    """Reads `<root>/<product>/train/good/*` of every product.

    Raises DataError with every folder whose name the station does not take for a product's, every file that is no
    picture (with `skip_bad` they are named and left out) and every product with fewer than sixteen good parts.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    folders = sorted(p for p in root.iterdir() if p.is_dir())
    products = [p.name for p in folders if (p / "train" / "good").is_dir()]
    if not products:
        raise DataError(f"{root}: no <product>/train/good folder")
    for folder in folders:
        if folder.name not in products:
            tqdm.write(f"left alone: {folder} has no train/good", file=sys.stderr)
    pictures: list[NDArray[np.uint8]] = []
    files: list[str] = []
    index: list[int] = []
    faults = [f"{root / product}: {fault}; rename the folder" for product in products if (fault := name_fault(product))]
    bad: list[str] = []
    for number, product in enumerate(products):
        folder = root / product / "train" / "good"
        readable = 0
        found = pictures_in(folder)
        if others := sum(1 for _ in folder.iterdir()) - len(found):
            tqdm.write(f"left alone: {others} of {folder} are neither PNG nor JPEG by their names", file=sys.stderr)
        for file in found:
            try:
                pictures.append(read_picture(file, size=size))
                files.append(f"{product}/{file.name}")
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
    return GoodParts(np.stack(pictures), np.asarray(index), tuple(products), tuple(files))


def held_out(good: GoodParts) -> NDArray[np.int64]:
    """Good parts that no stage trains on: for validation and for the calibration of scores."""
    return np.flatnonzero(np.arange(len(good.pictures)) % HELD_OUT_EVERY == 0)


def normalised(pictures: NDArray[np.uint8] | Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], ImageNet mean and deviation."""
    tensor = torch.as_tensor(pictures).permute(0, 3, 1, 2).float() / 255.0
    mean = torch.tensor(IMAGE_MEAN)[None, :, None, None]
    std = torch.tensor(IMAGE_STD)[None, :, None, None]
    return ((tensor - mean) / std).contiguous()
