"""Checkpoints that others trained: every key fits or is named, and the bundle computes the reference's numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from diad_train.checkpoint import CheckpointError, read_state
from diad_train.data import DataError
from diad_train.importer import Extras, import_checkpoint
from diad_train.model.fold import dead_fusion
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SIZE = 128
# Absolute; the folder of golden arrays suggests them.
GATES = {
    "noise_first": 1e-5,
    "noise_last": 1e-5,
    "final_latent": 1e-4,
    "reconstruction": 3e-5,
    "map": 1e-5,
    "score": 2e-6,
}


@dataclass(frozen=True)
class Files:
    """A synthetic checkpoint and what belongs to it, as files."""

    checkpoint: Path
    extras: Extras


def synthetic(keys: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    state = {}
    for key, shape in keys.items():
        if "." not in key or key.endswith("num_batches_tracked"):
            continue
        noise = golden.base_noise(key, tuple(shape))
        if key.endswith("running_mean"):
            state[key] = torch.from_numpy(np.float32(0.1) * noise)
        elif key.endswith("running_var"):
            state[key] = torch.from_numpy(np.float32(1.0) + np.float32(0.1) * np.abs(noise))
        else:
            state[key] = golden.weight(key, tuple(shape))
    return state


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    source = golden.SHARED / "golden" / "tiny32_128_B_keys.json"
    if not source.exists():
        pytest.skip(f"{source} is missing")
    state = synthetic(json.loads(source.read_text()))
    model = {k: v for k, v in state.items() if not k.startswith("resnet50.")}
    torch.save({"state_dict": model, "epoch": 3}, folder / "model.ckpt")
    torch.save({k.removeprefix("resnet50."): v for k, v in state.items() if k not in model}, folder / "resnet50.pth")
    for name, key, shape in (
        ("context", "context", (1, 77, 768)),
        ("posterior", "noise.posterior", (1, 4, SIZE // 8, SIZE // 8)),
        ("start", "noise.q", (1, 4, SIZE // 8, SIZE // 8)),
    ):
        np.save(folder / f"{name}.npy", golden.base_noise(key, shape))
    extras = Extras(*(folder / name for name in ("context.npy", "resnet50.pth", "posterior.npy", "start.npy")))
    return Files(folder / "model.ckpt", extras)


def imported(checkpoint, extras, **changes):
    return import_checkpoint(checkpoint, extras, **({"size": SIZE, "steps": 10, "heads": 8, "name": "x"} | changes))


def test_import_reads_the_sizes_off_the_shapes(files):
    model = imported(files.checkpoint, files.extras)
    denoiser, autoencoder = model.config.denoiser, model.config.autoencoder
    assert (denoiser.width, denoiser.multipliers, denoiser.res_blocks) == (32, (1, 2, 4, 4), 2)
    assert denoiser.attention_factors == (1, 2, 4) and denoiser.hint_widths == (16, 16, 32, 32, 96, 96, 256)
    assert (autoencoder.width, autoencoder.multipliers, autoencoder.res_blocks) == (32, (1, 2, 4, 4), 2)
    assert model.config.sampler.steps == (901, 801, 701, 601, 501, 401, 301, 201, 101, 1)


def test_import_names_every_key_that_does_not_fit(files, tmp_path):
    state = read_state(files.checkpoint)
    del state["control_model.zero_convs.3.0.bias"], state["first_stage_model.encoder.conv_in.weight"]
    state["control_model.extra.weight"] = torch.zeros(2)
    state["model.diffusion_model.out.0.weight"] = torch.zeros(31)
    state["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(7, 4, 3, 3)
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError) as caught:
        imported(tmp_path / "bad.pt", files.extras)
    assert sorted(caught.value.faults) == [
        "missing: control_model.zero_convs.3.0.bias [32]",
        "missing: first_stage_model.encoder.conv_in.weight [32, 3, 3, 3]",
        "shape: model.diffusion_model.input_blocks.0.0.weight is [7, 4, 3, 3], must be [32, 4, 3, 3]",
        "shape: model.diffusion_model.out.0.weight is [31], must be [32]",
        "surplus: control_model.extra.weight [2]",
    ]
    assert all(fault in str(caught.value) for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "cannot be read"),
        (b"not a checkpoint at all", "is no checkpoint"),
        (None, "does not exist"),
    ],
)
def test_import_refuses_a_file_that_is_no_checkpoint(files, tmp_path, content, named):
    path = tmp_path / "model.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=named):
        imported(path, files.extras)


def test_import_refuses_a_checkpoint_cut_short_and_one_of_another_network(files, tmp_path):
    whole = files.checkpoint.read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"half\.ckpt cannot be read"):
        imported(tmp_path / "half.ckpt", files.extras)
    with pytest.raises(CheckpointError, match="is not a DiAD checkpoint"):
        imported(files.extras.features, files.extras)
    with pytest.raises(CheckpointError, match="is not a ResNet-50"):
        imported(files.checkpoint, Extras(files.extras.context, files.checkpoint))


def test_import_refuses_code_in_a_checkpoint(files, tmp_path):
    torch.save({"state_dict": {}, "hook": os.system}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="holds more than weights"):
        imported(tmp_path / "evil.ckpt", files.extras)


def test_import_refuses_noise_of_another_size_and_a_size_that_cannot_be(files):
    extras = Extras(files.extras.context, files.extras.features, files.extras.context)
    with pytest.raises(DataError, match=r"the posterior noise is \[1, 77, 768\]; must be \[1, 4, 16, 16\]"):
        imported(files.checkpoint, extras)
    with pytest.raises(DataError, match="--size 96: must be a multiple of 64"):
        imported(files.checkpoint, files.extras, size=96)


def test_import_knows_a_dead_sff(files, tmp_path):
    state = read_state(files.checkpoint)
    for key in state:
        if key.startswith("control_model.down"):
            state[key] = torch.zeros_like(state[key])
    torch.save(state, tmp_path / "dead.pt")
    assert dead_fusion(imported(tmp_path / "dead.pt", files.extras).denoiser)
    assert not dead_fusion(imported(files.checkpoint, files.extras).denoiser)


def program() -> Path:
    for profile in ("debug", "release"):
        path = ROOT / "target" / profile / "diad"
        if path.exists():
            return path
    pytest.skip(f"{ROOT / 'target'}: no diad program is built; `cargo build -p diad` makes it")


def test_imported_bundle_under_the_engine_computes_the_reference_numbers(files, tmp_path):
    arrays = golden.load("tiny32_128_B.npz")
    engine = program()
    extras = files.extras
    given = {
        "checkpoint": files.checkpoint,
        "context": extras.context,
        "features": extras.features,
        "posterior-noise": extras.posterior_noise,
        "start-noise": extras.start_noise,
        "size": SIZE,
        "out": tmp_path / "bundle",
    }
    arguments = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "diad_train.cli", "import", "--faithful", *arguments]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "onnx" / "src")})
    Image.fromarray(arrays["image_u8"]).save(tmp_path / "image.png")
    inspect = [engine, "inspect", tmp_path / "image.png", "--model", tmp_path / "bundle", "--dump", tmp_path / "dump"]
    subprocess.run([str(part) for part in inspect], check=True, cwd=ROOT)
    shape = arrays["step_x"].shape[-3:]
    wanted = {
        "noise_first": arrays["step_eps"].reshape(-1, *shape)[0],
        "noise_last": arrays["step_eps"].reshape(-1, *shape)[-1],
        "final_latent": arrays["step_x_prev"].reshape(-1, *shape)[-1],
        "reconstruction": arrays["samples"],
        "map": arrays["amap_gauss"],
        "score": arrays["score"],
    }
    for name, gate in GATES.items():
        got = np.load(tmp_path / "dump" / f"{name}.npy")
        difference = np.abs(got.reshape(-1) - np.asarray(wanted[name]).reshape(-1)).max()
        print(f"{name}: {difference:.1e}, allowed {gate:.0e}")
        assert difference < gate, name
