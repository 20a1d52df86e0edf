"""Good parts from disk."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import sys
import unicodedata
import zlib
from collections.abc import Iterator
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
JPEG_START, PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
# As the station has it: the largest picture, and the bytes that a camera may leave before the end of a JPEG.
MAX_SIDE_PX, MAX_PIXELS = 16384, 64 << 20
STRAY_BYTES = 16
# Bytes of a PNG that are inflated at a time while it is checked.
WINDOW_BYTES = 64 << 10
# What other systems leave beside pictures, as the station has it.
LITTER = ("__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "system volume information", "lost+found")
# Bits that cameras have, for values of 16 that need no more.
CAMERA_BITS = (8, 10, 12, 14)
ORIENTATION = 0x0112
# Channels of a PNG's colour types, and how many of them are no alpha.
PNG_CHANNELS = {0: (1, 1), 2: (3, 3), 4: (2, 1), 6: (4, 3)}
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# First column, step, first row and step of the passes of an interlaced PNG (third edition, 8.1).
PNG_PASSES = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
# The chunks that Pillow gets to see: a profile or a text may be inflated to any size.
PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND")


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
        """SHA-256 of the pictures; files made of them carry it, so that other pictures are noticed."""
        return hashlib.sha256(np.ascontiguousarray(self.pictures).data).hexdigest()


def read_picture(path: Path, *, size: int) -> NDArray[np.uint8]:
    """Decodes and resizes one picture (Pillow's bilinear, aspect not kept), uint8 [size, size, 3].

    Sixteen bits per channel are scaled to eight; fewer in sixteen are cut to their upper eight where the PNG's
    chunk sBIT states that there are fewer. Pictures that seem to have fewer without that chunk, and those that EXIF
    turns, are learnt as the station judges them, with one warning a folder. Raises DataError for a file that is no
    whole picture, and for what the station refuses: what it never judges is not learnt.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(_checked(data)), formats=("PNG", "JPEG")) as image:
            if (turned := image.getexif().get(ORIENTATION, 1)) != 1:
                _warn_once(path, f"stored turned (EXIF orientation {turned}); learnt as stored, not as viewers show it")
            whole = _eight_bits(path, image, data) if _depth(data) == 16 else image
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


def _checked(data: bytes) -> bytes:
    """What Pillow may decode. Raises ValueError for a picture that is not whole or contradicts itself, as the station
    does: Pillow fills up what a JPEG lacks, and ignores what a PNG has too much of, without a word.
    """
    if data.startswith(PNG_START):
        return _checked_png(data)
    if not data.startswith(JPEG_START):
        raise ValueError("it is neither a whole PNG nor a JPEG")
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        _check_size(*image.size)
    try:
        # Any colour space will do; grey is the least to decode, and the only one that all of them have.
        simplejpeg.decode_jpeg(data, colorspace="GRAY", strict=True)
    except ValueError as error:
        stray = re.search(r"(\d+) extraneous bytes before marker 0xd9", str(error))
        if stray is None or int(stray[1]) > STRAY_BYTES:
            raise
    return data


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX and width * height <= MAX_PIXELS):
        raise ValueError(
            f"picture of {width}x{height} px; each side must be 1 to {MAX_SIDE_PX} px, and {MAX_PIXELS} px are the most"
        )


def _checked_png(data: bytes) -> bytes:
    """The chunks of a PNG that make its pixels, once its data are known to be exactly those of its header."""
    if data[8:16] != b"\0\0\0\rIHDR":
        raise ValueError("it is neither a whole PNG nor a JPEG")
    kept, coded, coded_end, at, name = [PNG_START], [], None, len(PNG_START), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at) if at + 8 <= len(data) else (len(data), b"")
        end = at + 12 + length
        if end > len(data):
            raise ValueError("truncated: it is neither a whole PNG nor a JPEG")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise ValueError(f"broken: wrong checksum of the chunk at byte {at}")
        if name == b"IDAT":
            if coded_end not in (None, at):
                raise ValueError(f"broken: more pixels in the chunk at byte {at}, behind a chunk of another kind")
            coded.append(data[at + 8 : end - 4])
            coded_end = end
        if name in PNG_KEPT:
            kept.append(data[at:end])
        at = end
    _check_pixels(coded, _png_bytes(data))
    return b"".join(kept)


def _png_bytes(data: bytes) -> int:
    """Bytes of all rows of a PNG by its header, each with the byte of its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    _check_size(width, height)
    if depth not in PNG_DEPTHS.get(colour, ()) or interlaced > 1:
        raise ValueError("broken header: a PNG has no such colour type, depth or interlacing")
    bits = depth * PNG_CHANNELS.get(colour, (1, 1))[0]
    passes = PNG_PASSES if interlaced else ((0, 1, 0, 1),)
    # Columns and rows of each pass, rounded up.
    sides = [(-((x - width) // dx), -((y - height) // dy)) for x, dx, y, dy in passes]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sides if columns > 0 and rows > 0)


def _check_pixels(coded: list[bytes], size: int) -> None:
    """Raises ValueError unless the coded bytes are `size` bytes with the right checksum, and nothing else."""
    inflater = zlib.decompressobj()
    found = 0
    try:
        for part in coded:
            while part:
                found += len(inflater.decompress(part, WINDOW_BYTES))
                if found > size or inflater.unused_data or (inflater.eof and inflater.unconsumed_tail):
                    raise ValueError(f"more data than pixels: the size in the header takes {size} bytes")
                part = inflater.unconsumed_tail
                if inflater.eof:
                    break
        while not inflater.eof and found <= size and (more := len(inflater.decompress(b"", WINDOW_BYTES))):
            found += more
    except zlib.error as error:
        raise ValueError(f"broken: the coded pixels are damaged, or their checksum is wrong: {error}") from error
    if found > size:
        raise ValueError(f"more data than pixels: the size in the header takes {size} bytes")
    if found < size:
        raise ValueError(f"incomplete: {found} bytes of pixels, and the size in the header takes {size}")
    if not inflater.eof:
        raise ValueError("broken: the checksum of the coded pixels is not there")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of every chunk of a PNG."""
    at = len(PNG_START)
    while data.startswith(PNG_START) and at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def _depth(data: bytes) -> int:
    """Bits of a channel of a PNG; 0 for what is none."""
    return next((body[8] for name, body in _chunks(data) if name == b"IHDR"), 0)


def _significant_bits(data: bytes) -> int | None:
    """Most significant bits of a PNG's channels but alpha, from its chunk sBIT; None without one."""
    kept = next(PNG_CHANNELS.get(body[9], (0, 0))[1] for name, body in _chunks(data) if name == b"IHDR")
    bits = next((max(body[:kept], default=0) for name, body in _chunks(data) if name == b"sBIT"), 0)
    return bits if 1 <= bits <= 16 else None


def _eight_bits(path: Path, image: Image.Image, data: bytes) -> Image.Image:
    """The picture in eight bits per channel, as the station has it."""
    bits = _significant_bits(data)
    if not image.mode.startswith("I;16"):
        # Pillow keeps the upper byte of colours alone: of fewer bits in sixteen that is next to nothing.
        largest = int(np.asarray(image.convert("RGB")).max())
        if bits is None:
            _warn_narrow(path, largest << 8 | 0xFF)
        if bits in (None, 16):
            return image
        if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            return image  # the caller refuses it
    levels = np.asarray(image).astype(np.uint32) if image.mode.startswith("I;16") else _colours_of_16_bits(data)
    largest = int(levels.max())
    if bits is not None and bits < 16 and largest < 1 << bits:
        narrow = levels >> (bits - 8) if bits >= 8 else levels * 255 // ((1 << bits) - 1)
        return Image.fromarray(narrow.astype(np.uint8))
    if bits is None:
        _warn_narrow(path, largest)
    return Image.fromarray(((levels * 255 + 32767) // 65535).astype(np.uint8))


def _warn_narrow(path: Path, largest: int) -> None:
    bits = next((bits for bits in CAMERA_BITS if largest < 1 << bits), None)
    if bits is not None:
        _warn_once(
            path,
            f"no value of 16 bits is above {(1 << bits) - 1}: {bits} bits in 16? Then it is learnt far too dark; "
            "have them scaled, or stored with the PNG chunk sBIT",
        )


_warned: set[tuple[Path, str]] = set()


def _warn_once(path: Path, words: str) -> None:
    """Warns of the first picture of a folder that a text applies to."""
    if (path.parent, words) not in _warned:
        _warned.add((path.parent, words))
        tqdm.write(f"{path}: {words}", file=sys.stderr)


def _colours_of_16_bits(data: bytes) -> NDArray[np.uint32]:
    """Every channel but alpha of a PNG of 16 bits, [H, W, C] or [H, W], which Pillow has no mode for."""
    width, height, _, colour, *_, interlaced = struct.unpack(">IIBBBBB", next(_chunks(data))[1])
    if interlaced:
        raise ValueError("an interlaced PNG of fewer bits in 16; save it without interlacing")
    channels, kept = PNG_CHANNELS[colour]
    step, row_bytes = 2 * channels, 2 * channels * width
    raw = zlib.decompress(b"".join(body for name, body in _chunks(data) if name == b"IDAT"))
    rows = np.zeros((height, row_bytes), np.uint8)
    above = bytearray(row_bytes)
    for y in range(height):
        kind, *line = raw[y * (row_bytes + 1) : (y + 1) * (row_bytes + 1)]
        above = _unfiltered(kind, bytearray(line), above, step)
        rows[y] = np.frombuffer(above, np.uint8)
    values = rows.view(">u2").reshape(height, width, channels)[:, :, :kept]
    return (values if kept > 1 else values[:, :, 0]).astype(np.uint32)


def _unfiltered(kind: int, line: bytearray, above: bytearray, step: int) -> bytearray:
    """A row of a PNG without its filter (PNG, third edition, 9.2)."""
    for i in range(len(line)):
        left, corner = (line[i - step], above[i - step]) if i >= step else (0, 0)
        up = above[i]
        if kind == 4:
            distances = [abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)]
            predicted = (left, up, corner)[distances.index(min(distances))]
        else:
            predicted = (0, left, up, (left + up) // 2)[kind]
        line[i] = (line[i] + predicted) & 0xFF
    return line


def is_litter(path: Path) -> bool:
    """What file managers, archives and network drives leave beside pictures: no camera took it."""
    return path.name.startswith((".", "~$")) or path.name.lower() in LITTER


def pictures_in(folder: Path) -> list[Path]:
    """PNG and JPEG files of a folder, sorted, without litter."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and not is_litter(p))


def product_name(folder: Path) -> str:
    """The product of a folder; letters with signs are one character each (Unicode's form C), as at the station."""
    return unicodedata.normalize("NFC", folder.name)


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
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not is_litter(p))
    of_product = {product_name(p): p for p in folders if (p / "train" / "good").is_dir()}
    products = list(of_product)
    if not products:
        raise DataError(f"{root}: no <product>/train/good folder")
    for folder in folders:
        name = product_name(folder)
        if name in of_product and of_product[name] != folder:
            raise DataError(
                f"{folder}: the same name as {of_product[name]}, in another Unicode form; rename one of them"
            )
        if name not in of_product:
            tqdm.write(f"left alone: {folder} has no train/good", file=sys.stderr)
    pictures: list[NDArray[np.uint8]] = []
    files: list[str] = []
    index: list[int] = []
    faults = [
        f"{of_product[product]}: {fault}; rename the folder" for product in products if (fault := name_fault(product))
    ]
    bad: list[str] = []
    for number, product in enumerate(products):
        folder = of_product[product] / "train" / "good"
        readable = 0
        found = pictures_in(folder)
        if others := sum(1 for path in folder.iterdir() if not is_litter(path)) - len(found):
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
