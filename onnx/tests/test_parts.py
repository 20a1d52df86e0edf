"""Settings, data, synthetic defects, metrics: the parts that need no training."""

from __future__ import annotations

import dataclasses
import errno
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from diad_train.config import ConfigError, load
from diad_train.evaluate import auroc
from diad_train.exchange.checkpoint import CheckpointError
from diad_train.exchange.data import PNG_START, DataError, load_good, read_picture
from diad_train.model.diad import DiAD
from diad_train.model.features import anomaly_map, cosine_distance
from diad_train.schedule import Sampler
from diad_train.train import pool
from diad_train.train.corrupt import CORRUPTIONS, corrupt
from diad_train.train.loop import SaveError
from diad_train.train.pool import held_out_copies, pool_of
from PIL import Image

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
TEACHER_WIDTHS = (24, 48, 120)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("model: { imagesize: 1 }", "model: unknown key 'imagesize'"),
        ("model: { image_size: big }", "model.image_size: expected int"),
        ("model: { sampler: { start: 9, steps: [8, 8] } }", "model.sampler: sampler.steps must descend"),
        ("model: { denoiser: { prediction: x } }", "denoiser.prediction is 'x'"),
        ("train: 3", "train: expected a section"),
        ("model: { image_size: 200 }", "model.image_size 200: must be a multiple of 64 and at least 128"),
        ("model: { autoencoder: { multipliers: [1, 2, 4] } }", "their factor is 4; the hint block makes 8"),
        ("model: { denoiser: { heads: 7 } }", "model.denoiser.heads 7: must divide the width 320 of level 0"),
        ("model: { layer_weights: [1.0, 1.0] }", "model.layer_weights has 2 entries"),
        ("model: { sampler: { start: 9, steps: [8, 0] } }", "last_previous 0: must be below the last step"),
        ("train: { crop: 100 }", "train.crop 100: must be a multiple of 8"),
        ("train: { sg: { steps: 1, batch: 0, learning_rate: 0.1 } }", "train.sg.batch 0: must be at least 1"),
        (
            "train: { sg: { steps: 1, batch: 1, learning_rate: -0.1 } }",
            "train.sg.learning_rate -0.1: must be at least 0",
        ),
        ("model: { denoiser: { multipliers: [1] } }", "model.denoiser.multipliers has 1 level; the SFF reads"),
        ("model: { denoiser: { res_blocks: 0 } }", "model.denoiser.res_blocks 0: must be at least 1"),
        ("model: { autoencoder: { latent_channels: 0 } }", "model.autoencoder.latent_channels 0: must be at least 1"),
        ("model: { pool_window_px: 0 }", "model.pool_window_px 0: must be at least 1"),
        ("model: { features: { widths: [24, 32] } }", "model.features.widths has 2 entries"),
        ("a: [", "expected"),
    ],
)
def test_load_names_what_is_wrong(tmp_path, text, named):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml") as caught:
        load(path)
    assert named in str(caught.value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_settings_file_describes_networks_that_fit_together(path):
    settings = load(path).model
    side, channels = settings.latent_size, settings.autoencoder.latent_channels
    with torch.device("meta"):  # shapes alone: the largest would take minutes
        model = DiAD(settings).to("meta")
        image, t = torch.empty(1, 3, settings.image_size, settings.image_size), torch.zeros(1, dtype=torch.int64)
        latent = model.encode(image)
        assert latent.shape == (1, channels, side, side)
        assert model.denoiser(latent, model.denoiser.control_model.hint(image), t).shape == latent.shape
        assert model.decode(latent).shape == image.shape
        assert tuple(layer.shape[1] for layer in model.features(image)) == TEACHER_WIDTHS


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 64)))


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.__name__)
def test_corruption_changes_a_picture_and_keeps_its_shape(corruption):
    good = picture(1).astype(np.float32)
    outs = [corruption(good, np.random.default_rng(seed), picture(2).astype(np.float32)) for seed in range(8)]
    assert all(out.shape == good.shape and np.isfinite(out).all() for out in outs)
    assert any(np.abs(out - good).max() > 5 for out in outs)


def test_corrupt_marks_what_it_changed_and_repeats_by_seed():
    good = picture(3)
    first, mask = corrupt(good, other=picture(4), rng=np.random.default_rng(5))
    again, _ = corrupt(good, other=picture(4), rng=np.random.default_rng(5))
    assert mask.any() and (first == again).all()
    assert np.abs(first.astype(int) - good)[~mask].mean() < 6


def write_good(root, products=("a", "b"), count=3):
    for product in products:
        folder = root / product / "train" / "good"
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture(number)).save(folder / f"{number:03}.png")


def test_load_good_names_every_broken_file_and_every_small_product(tmp_path):
    write_good(tmp_path, count=17)
    assert load_good(tmp_path, size=32).pictures.shape == (34, 32, 32, 3)
    for name in ("a/train/good/001.png", "b/train/good/002.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"(?s)001\.png.*002\.png.*--skip-bad"):
        load_good(tmp_path, size=32)
    write_good(tmp_path, products=("c",), count=3)
    with pytest.raises(DataError, match="3 pictures; at least 16"):
        load_good(tmp_path, size=32, skip_bad=True)
    with pytest.raises(DataError, match="no such folder"):
        load_good(tmp_path / "nowhere", size=32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no <product>/train/good"):
        load_good(tmp_path / "empty", size=32)


@pytest.mark.parametrize("name", ["bad name", "a+b", "x" * 65, "é" * 33])
def test_load_good_refuses_a_folder_that_names_no_product_before_hours_are_spent_on_it(tmp_path, name):
    write_good(tmp_path, products=("Zähler-2.b_@:", name), count=17)
    with pytest.raises(DataError) as caught:
        load_good(tmp_path, size=32)
    assert len(str(caught.value).splitlines()) == 1
    assert f"{name}: " in str(caught.value) and "rename the folder" in str(caught.value)


def test_load_good_skip_bad_names_and_counts_what_it_leaves_out(tmp_path, capsys):
    write_good(tmp_path, count=17)
    (tmp_path / "a" / "train" / "good" / "001.png").write_bytes(b"no picture")
    assert len(load_good(tmp_path, size=32, skip_bad=True).pictures) == 33
    message = capsys.readouterr().err
    assert "001.png" in message and "left out 1 files, 33 good parts remain" in message


def test_read_picture_brings_sizes_and_depths_to_one(tmp_path):
    levels = np.linspace(0, 65535, 64 * 48).reshape(48, 64)
    Image.fromarray(levels.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.rint(levels / 257).astype(np.uint8)).save(tmp_path / "grey.png")
    deep, grey = (read_picture(tmp_path / name, size=32) for name in ("deep.png", "grey.png"))
    assert deep.shape == (32, 32, 3) and np.abs(deep.astype(int) - grey).max() <= 1
    Image.new("RGBA", (10, 20), (255, 0, 0, 255)).save(tmp_path / "opaque.png")
    assert read_picture(tmp_path / "opaque.png", size=32)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_read_picture_refuses_what_the_station_refuses(tmp_path, mode):
    clear = Image.new("RGBA", (10, 20), (255, 0, 0, 0)).convert(mode)
    clear.save(tmp_path / "clear.png", transparency=0 if mode == "P" else None)
    with pytest.raises(DataError, match=r"clear\.png: see-through"):
        read_picture(tmp_path / "clear.png", size=32)
    Image.new("CMYK", (10, 20)).save(tmp_path / "print.jpg")
    with pytest.raises(DataError, match=r"print\.jpg: a CMYK picture"):
        read_picture(tmp_path / "print.jpg", size=32)
    Image.new("RGB", (10, 20)).save(tmp_path / "other.png", "BMP")
    with pytest.raises(DataError, match=r"other\.png: .*neither a whole PNG nor a JPEG"):
        read_picture(tmp_path / "other.png", size=32)


@pytest.mark.parametrize("damage", ["cut", "closed", "zeros", "page", "middle"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_read_picture_that_lost_data_is_an_error(tmp_path, damage, mode):
    path = tmp_path / "x.jpg"
    noise = np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, quality=90)
    assert read_picture(path, size=32).shape == (32, 32, 3)
    whole = path.read_bytes()
    half = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:half],
            "closed": whole[:half] + b"\xff\xd9",
            "zeros": whole[:half] + bytes(len(whole) - half),
            "page": whole[:half] + bytes(4096) + whole[half + 4096 :],
            "middle": whole[: half // 2] + whole[half:],
        }[damage]
    )
    with pytest.raises(DataError, match=r"x\.jpg"):
        read_picture(path, size=32)


def test_read_picture_without_its_end_is_an_error(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(picture(1)).save(path)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"x\.png: .*neither a whole PNG"):
        read_picture(path, size=32)


CONTRADICTIONS = Path(__file__).parents[2] / "crates/diad_capture/src/picture/fixtures/contradictions"


@pytest.mark.parametrize(
    ("name", "why"), sorted(json.loads((CONTRADICTIONS / "table.json").read_text(encoding="utf-8")).items())
)
def test_read_picture_refuses_contradictions_as_the_station_does(name, why):
    """The tests of the station read the same files."""
    if why == "":
        assert read_picture(CONTRADICTIONS / name, size=16).shape == (16, 16, 3)
        return
    with pytest.raises(DataError) as refused:
        read_picture(CONTRADICTIONS / name, size=16)
    # What is wrong with a JPEG is said by the decoder, in words of its own.
    assert name.endswith(".jpg") or why in str(refused.value)


def test_read_picture_of_too_large_a_picture_is_refused_by_its_header(tmp_path):
    path = tmp_path / "x.png"
    for width, height in ((16385, 1), (16000, 16000), (0, 4)):
        head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        end = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
        path.write_bytes(PNG_START + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + end)
        with pytest.raises(DataError, match=rf"x\.png: .*picture of {width}x{height} px; each side must be 1 to"):
            read_picture(path, size=16)


def test_pool_is_a_function_of_data_and_seed(tmp_path):
    write_good(tmp_path / "data", products=("a",), count=16)
    good = load_good(tmp_path / "data", size=64)
    for name, workers in (("first", 0), ("again", 2)):
        (tmp_path / name).mkdir()
        pool_of(good, tmp_path / name, copies=5, seed=1, workers=workers)
    first, again = (pool_of(good, tmp_path / name, copies=5, seed=1) for name in ("first", "again"))
    assert (first.pictures == again.pictures).all() and first.source.tolist() == np.repeat(range(16), 5).tolist()
    assert (first.masks == again.masks).all() and first.masks.any(axis=(1, 2)).all()
    assert held_out_copies(first).tolist() == [0, 1, 2, 3, 4]


def test_pool_of_other_pictures_or_another_seed_is_refused(tmp_path):
    write_good(tmp_path / "data", products=("a",), count=16)
    good = load_good(tmp_path / "data", size=64)
    pool_of(good, tmp_path, copies=1, seed=1)
    others = dataclasses.replace(good, pictures=good.pictures[::-1].copy())
    for parts, seed in ((others, 1), (good, 2)):
        with pytest.raises(CheckpointError, match="was made of other data or with another seed"):
            pool_of(parts, tmp_path, copies=1, seed=seed)


def test_pool_on_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    write_good(tmp_path / "data", products=("a",), count=16)
    good = load_good(tmp_path / "data", size=64)

    def full(*job):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pool, "_begin", full)
        with pytest.raises(SaveError, match=r"pool: cannot be written: .*No space left.*make room"):
            pool_of(good, tmp_path, copies=1, seed=1)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert len(pool_of(good, tmp_path, copies=1, seed=1).source) == 16


def test_pool_undamaged_is_the_part_under_the_copys_light(tmp_path):
    write_good(tmp_path / "data", products=("a",), count=16)
    good = load_good(tmp_path / "data", size=64)
    copies = pool_of(good, tmp_path, copies=2, seed=1)
    every = np.arange(len(copies.source))
    clean = copies.undamaged(every, good).astype(int)
    apart = np.abs(copies.pictures.astype(int) - clean).mean(axis=3)
    assert apart[~copies.masks].max() <= 6 and apart[copies.masks].min() > 6
    same_light = (copies.light == [1.0, 0.0]).all(axis=1)
    assert 0 < same_light.sum() < len(every)
    assert (clean[same_light] == good.pictures[copies.source[same_light]]).all()


@pytest.mark.parametrize("count", [1, 3, 6, 7, 10, 500])
def test_spaced_sampler_has_as_many_steps_as_asked_for(count):
    steps = Sampler.spaced(count).steps
    assert len(set(steps)) == count and list(steps) == sorted(steps, reverse=True) and steps[-1] == 1


def test_auroc_counts_pairs_and_halves_ties():
    assert auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])) == 0.75
    assert auroc(np.array([1.0, 1.0]), np.array([False, True])) == 0.5
    assert np.isnan(auroc(np.array([1.0, 2.0]), np.array([True, True])))


def test_cosine_distance_does_not_see_scale_and_map_sums_layers():
    a = torch.randn(2, 5, 4, 4)
    assert cosine_distance(a, 3.0 * a).abs().max() < 1e-5
    b = torch.randn(2, 5, 4, 4)
    whole = anomaly_map([a, a], [b, b], size=8, weights=(0.5, 0.5))
    half = anomaly_map([a], [b], size=8, weights=(1.0,))
    assert torch.allclose(whole, half, atol=1e-6)


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """The same PNG with another chunk behind its header."""
    head = 8 + 25
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return png[:head] + chunk + png[head:]


def png_of_16_bits(values: np.ndarray, *, row_filter: int = 0) -> bytes:
    """A PNG of 16 bits, grey [H, W] or colour [H, W, 3], each row with this filter of the standard."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else 3
    rows = values.astype(">u2").view(np.uint8).reshape(height, -1).astype(int)
    left = np.pad(rows, ((0, 0), (2 * channels, 0)))[:, : -2 * channels]
    up, corner = np.pad(rows, ((1, 0), (0, 0)))[:-1], np.pad(left, ((1, 0), (0, 0)))[:-1]
    near = np.abs([up - corner, left - corner, left + up - 2 * corner]).argmin(0)
    paeth = np.choose(near, [left, up, corner])
    predicted = (0 * rows, left, up, (left + up) // 2, paeth)[row_filter]
    raw = b"".join(bytes([row_filter]) + row.tobytes() for row in ((rows - predicted) & 0xFF).astype(np.uint8))
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))  # noqa: E731
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if channels == 1 else 2, 0, 0, 0)
    return PNG_START + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("row_filter", range(5))
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_read_picture_uses_the_significant_bits_that_a_png_of_16_states(tmp_path, capsys, bits, row_filter):
    eight = np.random.default_rng(bits).integers(0, 256, (12, 12), dtype=np.uint16)
    eight[0, 0] = 255
    picture = tmp_path / "stated.png"
    for values in (eight, np.stack([eight, eight.T, eight[::-1]], axis=-1)):
        sbit = bytes([bits]) * (1 if values.ndim == 2 else 3)
        picture.write_bytes(with_chunk(png_of_16_bits(values << (bits - 8), row_filter=row_filter), b"sBIT", sbit))
        want = values if values.ndim == 3 else np.stack([values] * 3, axis=-1)
        assert (read_picture(picture, size=12) == want).all()
        # Scaled to 16 bits, as the standard asks for: they stay what they are.
        picture.write_bytes(with_chunk(png_of_16_bits(values * 257, row_filter=row_filter), b"sBIT", sbit))
        assert (read_picture(picture, size=12) == want).all()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("colour", [False, True])
def test_read_picture_warns_once_of_a_folder_of_fewer_bits_without_their_number(tmp_path, capsys, colour):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) << 4
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(png_of_16_bits(np.stack([values] * 3, axis=-1) if colour else values))
        read_picture(tmp_path / name, size=16)
    message = capsys.readouterr().err
    assert message.count("no value of 16 bits is above 4095: 12 bits in 16?") == 1 and "1.png" in message


def test_read_picture_names_a_folder_of_turned_pictures_and_leaves_them_as_they_are(tmp_path, capsys):
    turned = Image.fromarray(picture(1))
    exif = turned.getexif()
    exif[0x0112] = 3
    turned.save(tmp_path / "a.png", exif=exif)
    Image.fromarray(picture(1)).save(tmp_path / "b.png")
    assert (read_picture(tmp_path / "a.png", size=64) == read_picture(tmp_path / "b.png", size=64)).all()
    message = capsys.readouterr().err
    assert "a.png: stored turned (EXIF orientation 3)" in message and "b.png" not in message


def test_load_good_leaves_litter_alone_and_takes_both_unicode_forms_of_a_name(tmp_path):
    write_good(tmp_path, products=("Geha\u0308use",), count=17)
    folder = tmp_path / "Geha\u0308use" / "train" / "good"
    (tmp_path / "__MACOSX" / "train" / "good").mkdir(parents=True)
    for name in ("._000.png", "~$000.png"):
        (folder / name).write_bytes(b"litter")
    good = load_good(tmp_path, size=32)
    assert (good.products, len(good.pictures)) == (("Geh\u00e4use",), 17)
    write_good(tmp_path, products=("Geh\u00e4use",), count=17)
    with pytest.raises(DataError, match="another Unicode form"):
        load_good(tmp_path, size=32)
