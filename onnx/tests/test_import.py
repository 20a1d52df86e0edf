"""Checkpoints that others trained: every key fits or is named, and the bundle computes the reference's numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import golden
import numpy as np
import onnx
import pytest
import torch
from diad_train import cli
from diad_train.config import AutoencoderConfig, ConfigError, DenoiserConfig, ModelConfig
from diad_train.exchange.checkpoint import CheckpointError, read_state
from diad_train.exchange.data import DataError
from diad_train.exchange.importer import FROM_ELSEWHERE, Extras, import_checkpoint, theirs
from diad_train.model.diad import DiAD
from diad_train.model.fold import dead_fusion
from diad_train.model.resnet import ResNet50
from diad_train.schedule import alpha_bar
from PIL import Image
from safetensors.torch import save_file

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
    ("key", "shape", "wanted"),
    [
        ("control_model.input_hint_block.4.weight", (33, 16, 3, 3), [32, 16, 3, 3]),
        ("control_model.input_hint_block.4.bias", (33,), [32]),
        ("first_stage_model.encoder.conv_in.weight", (7, 3, 3, 3), [32, 3, 3, 3]),
        ("first_stage_model.encoder.conv_in.bias", (7,), [32]),
        ("model.diffusion_model.time_embed.0.weight", (128, 31), [128, 32]),
    ],
)
def test_import_names_a_misshapen_key_that_a_size_is_read_off(files, tmp_path, key, shape, wanted):
    state = read_state(files.checkpoint)
    state[key] = torch.zeros(shape)
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError) as caught:
        imported(tmp_path / "bad.pt", files.extras)
    assert caught.value.faults == (f"shape: {key} is {list(shape)}, must be {wanted}",)


def test_import_lists_surplus_blocks_half_an_attention_and_numbers_that_are_none(files, tmp_path):
    state = read_state(files.checkpoint)
    del state["first_stage_model.encoder.mid.attn_1.q.weight"]
    state["control_model.input_blocks.12.0.weight"] = torch.zeros(2)
    state["first_stage_model.encoder.down.4.x"] = torch.zeros(3)
    state["control_model.time_embed.0.bias"] = torch.full((128,), torch.nan)
    state["control_model.zero_convs.0.0.bias"] = torch.full((32,), torch.inf)  # read by nothing
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError) as caught:
        imported(tmp_path / "bad.pt", files.extras)
    assert sorted(caught.value.faults) == [
        "missing: first_stage_model.encoder.mid.attn_1.q.weight [128, 128, 1, 1]",
        "not finite: control_model.time_embed.0.bias",
        "surplus: control_model.input_blocks.12.0.weight [2]",
        "surplus: first_stage_model.encoder.down.4.x [3]",
    ]
    diffusers = {key.replace(".down.", ".down_blocks."): value for key, value in state.items()}
    torch.save(diffusers, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="is not a DiAD checkpoint: no key states the autoencoder's"):
        imported(tmp_path / "other.pt", files.extras)


def test_import_lists_every_key_also_where_a_whole_network_is_gone_and_what_is_no_real_number(files, tmp_path):
    state = read_state(files.checkpoint)
    rest = {key: value for key, value in state.items() if not key.startswith("first_stage_model.")}
    torch.save(rest | {"stray.weight": torch.ones(3)}, tmp_path / "rest.pt")
    with pytest.raises(CheckpointError, match="no key states the autoencoder's width; beside the paper's") as caught:
        imported(tmp_path / "rest.pt", files.extras)
    faults = caught.value.faults
    assert "surplus: stray.weight [3]" in faults
    assert len([fault for fault in faults if fault.startswith("missing: first_stage_model.")]) > 200
    key = "model.diffusion_model.out.0.bias"
    torch.save(state | {key: state[key].to(torch.int32)}, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=f"not real: {key} is torch.int32"):
        imported(tmp_path / "whole.pt", files.extras)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_import_takes_a_checkpoint_that_was_halved_as_a_whole(files, tmp_path, kind):
    bars = torch.from_numpy(alpha_bar())
    state = {key: value.to(kind) for key, value in (read_state(files.checkpoint) | {"alphas_cumprod": bars}).items()}
    torch.save(state, tmp_path / "half.pt")
    model = imported(tmp_path / "half.pt", files.extras)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    for bad in (bars * 0.99, torch.full_like(bars, torch.nan), torch.zeros(1000, dtype=torch.int64)):
        torch.save(state | {"alphas_cumprod": bad.to(kind) if bad.is_floating_point() else bad}, tmp_path / "bad.pt")
        with pytest.raises(CheckpointError, match="another noise schedule"):
            imported(tmp_path / "bad.pt", files.extras)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"heads": 6}, r"--heads 6: must divide the widths of the levels, \[32, 64, 128, 128\]"),
        ({"heads": 0}, "--heads 0: must divide"),
        ({"steps": 0}, "--steps: 0 steps; allowed: 1 to 500"),
        ({"steps": 501}, "--steps: 501 steps"),
    ],
)
def test_import_refuses_heads_and_steps_that_cannot_be(files, given, named):
    with pytest.raises(ConfigError, match=named):
        imported(files.checkpoint, files.extras, **given)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (None, "not a .npy file with the posterior noise"),
        ({"a": np.zeros(3)}, "is several arrays; must be one array of real numbers"),
        (np.full((1, 4, 16, 16), "x"), "must be one array of real numbers"),
        (np.zeros((1, 4, 16, 16), complex), "is complex128; must be"),
        (np.full((1, 4, 16, 16), 1e300), "a number that is not finite"),
    ],
)
def test_import_refuses_noise_that_is_no_array_of_numbers(files, tmp_path, values, named):
    path = tmp_path / "noise.npy"
    with path.open("wb") as file:
        if isinstance(values, dict):
            np.savez(file, **values)
        elif values is not None:
            np.save(file, values)
    with pytest.raises(DataError, match=named):
        imported(files.checkpoint, Extras(files.extras.context, files.extras.features, path))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--precision", "fp16"], "--faithful --precision fp16: rounded weights"),
        (["--heads", "4"], "--faithful --heads 4: the authors' networks have 8"),
        (["--steps", "5"], "--faithful --steps 5"),
        (["--context", "short.npy"], "--faithful: --context has 7 tokens"),
    ],
)
def test_import_faithful_refuses_what_gives_other_scores(files, tmp_path, monkeypatch, capsys, given, named):
    monkeypatch.chdir(tmp_path)
    np.save("short.npy", np.zeros((7, 768), np.float32))
    extras = files.extras
    arguments = ["--checkpoint", files.checkpoint, "--context", extras.context, "--features", extras.features]
    arguments += ["--posterior-noise", extras.posterior_noise, "--size", SIZE, "--out", "bundle", *given]
    monkeypatch.setattr(sys, "argv", ["diad-train", "import", "--faithful", *map(str, arguments)])
    assert cli.main() == 78
    assert named in capsys.readouterr().err


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


@pytest.fixture
def lightning_callback(monkeypatch):
    """A class by the name of Lightning's, there only while a checkpoint that names it is written."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    yield module.ModelCheckpoint
    assert "ModelCheckpoint" not in [cls.__name__ for cls in torch.serialization.get_safe_globals()]


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_of_an_old_lightning_is_read_and_its_callbacks_stay_names(tmp_path, lightning_callback, zipped):
    path = tmp_path / "sd.ckpt"
    saved = {
        "state_dict": {"w": torch.ones(2)},
        "callbacks": {lightning_callback: {"best_model_score": torch.ones(())}},
    }
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_state(path)["w"], torch.ones(2))
    torch.save(saved | {"hook": lightning_callback()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"sd\.ckpt holds more than weights.*ModelCheckpoint"):
        read_state(path)


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


def test_import_from_safetensors_is_import_from_pt_and_a_dead_sff_is_pruned(tmp_path, monkeypatch, capsys):
    autoencoder = AutoencoderConfig(width=32, multipliers=(1, 1, 1, 1), res_blocks=1)
    denoiser = DenoiserConfig(width=32, multipliers=(1, 2), res_blocks=1, context_tokens=2, context_width=8)
    with torch.device("meta"):
        model = DiAD(ModelConfig(image_size=64, autoencoder=autoencoder, denoiser=denoiser))
        resnet50 = ResNet50()
    keys = {theirs(k): list(v.shape) for k, v in model.state_dict().items() if not k.startswith(FROM_ELSEWHERE)}
    state = synthetic(keys)
    state |= {k: torch.zeros_like(v) for k, v in state.items() if k.startswith("control_model.down")}
    torch.save(state, tmp_path / "model.pt")
    save_file(state, tmp_path / "model.safetensors")
    torch.save(synthetic({k: list(v.shape) for k, v in resnet50.state_dict().items()}), tmp_path / "resnet50.pth")
    np.save(tmp_path / "context.npy", golden.base_noise("context", (2, 8)))
    monkeypatch.chdir(tmp_path)
    extras = Extras(Path("context.npy"), Path("resnet50.pth"))
    one, other = (
        imported(Path(f"model.{kind}"), extras, size=64, steps=2).state_dict() for kind in ("pt", "safetensors")
    )
    assert one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())
    given = "--checkpoint model.safetensors --context context.npy --features resnet50.pth --size 64 --steps 2"
    monkeypatch.setattr(sys, "argv", ["diad-train", "import", *given.split(), "--out", "bundle"])
    assert cli.main() == 0
    assert "all SFF weights are zero" in capsys.readouterr().out
    names = [weight.name for weight in onnx.load("bundle/denoiser.onnx").graph.initializer]
    # With it go the joins that it alone reads.
    assert any(".zero_convs.2." in name for name in names)
    assert not any(part in name for name in names for part in (".fusion.", ".zero_convs.0.", ".zero_convs.1."))


def program() -> Path:
    paths = (ROOT / "target" / profile / "diad" for profile in ("debug", "release"))
    built = [path for path in paths if path.exists()]
    if not built:
        pytest.skip(f"{ROOT / 'target'}: no diad program is built; `cargo build -p diad` makes it")
    return max(built, key=lambda path: path.stat().st_mtime)


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
