"""Training and export on a model of a few thousand weights."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from diad_train.config import (
    AutoencoderConfig,
    Config,
    DenoiserConfig,
    FeaturesConfig,
    ModelConfig,
    StageConfig,
    TrainConfig,
)
from diad_train.exchange import export as export_module
from diad_train.exchange.data import held_out, load_good
from diad_train.exchange.export import ExportError, Options, OrtModel, agree, export, provenance, revision, sha256
from diad_train.model.denoiser import Denoiser
from diad_train.model.diad import DiAD
from diad_train.schedule import Sampler
from diad_train.train import loop
from diad_train.train.fit import fit
from diad_train.train.loop import run_stage
from PIL import Image
from torch import nn

STAGE = StageConfig(steps=2, batch=4, learning_rate=1e-3, warmup=1)
CONFIG = Config(
    model=ModelConfig(
        name="micro",
        image_size=64,
        autoencoder=AutoencoderConfig(
            width=4, multipliers=(1, 2, 2, 2), res_blocks=1, norm_groups=2, middle_attention=False
        ),
        denoiser=DenoiserConfig(
            width=16,
            multipliers=(1, 2),
            res_blocks=1,
            attention_factors=(2,),
            heads=2,
            norm_groups=4,
            context_tokens=0,
            hint_widths=(4, 4, 4, 4, 4, 4, 8),
            prediction="v",
        ),
        features=FeaturesConfig(widths=(8, 8, 8), stem=4, depth=1),
        sampler=Sampler(start=999, steps=(999, 499)),
        pool_window_px=3,
        pool_times=2,
    ),
    train=TrainConfig(
        crop=64, corruptions_per_image=1, autoencoder=STAGE, denoiser=STAGE, distil=STAGE, align=STAGE, seed=3
    ),
)


def data(root: Path) -> Path:
    for product in ("a", "b"):
        folder = root / product / "train" / "good"
        folder.mkdir(parents=True)
        for number in range(17):
            rng = np.random.default_rng(number)
            small = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
            small.resize((64, 64)).save(folder / f"{number:03}.png")
    return root


def test_run_stage_killed_and_resumed_gives_the_same_losses(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    stage = StageConfig(steps=6, batch=1, learning_rate=1e-2, warmup=1)

    def train(folder: Path, *, die_at: int | None) -> list[float]:
        torch.manual_seed(0)
        module, losses = nn.Linear(4, 4), []

        def loss(rng, step):
            if step == die_at:
                raise KeyboardInterrupt
            x = torch.from_numpy(rng.standard_normal((8, 4), dtype=np.float32))
            losses.append((module(x) - x).square().mean())
            return {"all": losses[-1]}

        run_stage(name="x", module=module, loss=loss, stage=stage, seed=1, folder=folder)
        return [v.item() for v in losses]

    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = train(tmp_path / "whole", die_at=None)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", die_at=4)
    assert train(tmp_path / "cut", die_at=None) == whole[4:]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda weight: weight * float("nan"), "step 0: loss is nan"),
        (lambda weight: (0.0 * weight).sqrt(), "step 0: gradient is nan"),  # 0, and steep without end
    ],
)
def test_run_stage_refuses_what_is_not_finite_before_it_reaches_a_weight(tmp_path, loss, message):
    module = nn.Linear(1, 1)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(FloatingPointError, match=message):
        run_stage(
            name="x",
            module=module,
            stage=STAGE,
            seed=1,
            folder=tmp_path,
            loss=lambda rng, step: {"all": loss(module.weight.sum())},
        )
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert not (tmp_path / "x.pt").exists()


def test_log_forgets_the_steps_after_the_last_checkpoint_and_half_a_row(tmp_path):
    log = tmp_path / "x.jsonl"
    loop._forget(log, 0)
    assert not log.exists()
    kept = '{"step": 0, "all": 1.0}\n{"step": 50, "all": 1.0}\n'
    for lost in ("", '{"step": 100, "all": 1.0}\n', '{"step": 1', '{"step": 100, "al'):
        log.write_text(kept + lost)
        loop._forget(log, 100)
        assert log.read_text() == kept


def test_sff_gets_gradients_from_its_start():
    """In the released recipe two zero factors keep SFF at zero for ever; ours must learn once the joins open."""
    model = Denoiser(CONFIG.model.denoiser, latent_channels=4)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    sff = model.control_model.fusion.get_submodule("down11.0").weight
    before = sff.detach().clone()
    for step in range(4):
        torch.manual_seed(step)
        z = torch.randn(2, 4, 8, 8)
        hint = model.control_model.hint(torch.randn(2, 3, 64, 64))
        optimiser.zero_grad()
        (model(z, hint, torch.tensor([500, 100])) - torch.randn(2, 4, 8, 8)).square().mean().backward()
        optimiser.step()
    assert (sff - before).abs().max() > 1e-4


def test_fit_and_export_make_a_bundle_whose_hashes_hold(tmp_path):
    root = data(tmp_path / "data")
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, data=str(root)))
    model = fit(config, tmp_path / "run", wanted=("autoencoder", "denoiser"))
    good = load_good(root, size=64)
    origin = provenance(config, data="twelve parts")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "README.md").write_text("model card")
    (tmp_path / "bundle" / "old.onnx").write_text("gone")
    manifest = export(model, out=tmp_path / "bundle", origin=origin, good=good, held_out=held_out(good))
    stored = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert stored == json.loads(json.dumps(manifest))
    assert (tmp_path / "bundle" / "README.md").read_text() == "model card"
    assert not (tmp_path / "bundle" / "old.onnx").exists()
    for graph in manifest["graphs"].values():
        path = tmp_path / "bundle" / graph["file"]
        assert sha256(path) == graph["sha256"]
        assert b".py" not in path.read_bytes()  # no stack traces, no paths of this machine
    assert manifest["graphs"]["denoiser"]["inputs"][2] == {"name": "t", "dtype": "int64", "shape": ["N"]}
    assert manifest["products"] == ["a", "b"] and manifest["calibration"]["a"]["parts"] == 2


@pytest.mark.parametrize(("precision", "share"), [("fp16", 1e-2), ("bf16", 5e-2)])
def test_export_in_half_precision_halves_the_weights_and_keeps_the_map(tmp_path, precision, share):
    def exported(name, **options):
        torch.manual_seed(3)
        model = DiAD(CONFIG.model, noise_seed=1).eval()
        for parameter in model.denoiser.diffusion_model.out.parameters():
            nn.init.normal_(parameter, std=0.05)
        origin = provenance(CONFIG, data="none")
        manifest = export(model, out=tmp_path / name, origin=origin, options=Options(**options))
        return manifest, OrtModel(tmp_path / name, model)

    manifest, whole = exported("whole")
    half_manifest, half = exported("half", precision=precision, external_bytes=0)
    size = {}
    for name, listed in (("whole", manifest), ("half", half_manifest)):
        entry = listed["graphs"]["denoiser"]
        files = [entry["file"], *(data["file"] for data in entry["data"])]
        size[name] = sum((tmp_path / name / file).stat().st_size for file in files)
        for data in entry["data"]:
            assert sha256(tmp_path / name / data["file"]) == data["sha256"]
    assert half_manifest["graphs"]["denoiser"]["data"] and size["half"] < 0.65 * size["whole"]
    image = torch.randn(2, 3, 64, 64)
    wanted, got = whole.inspect(image)[1], half.inspect(image)[1]
    assert 0 < (got - wanted).abs().max() < share * wanted.abs().max()


def test_revision_is_the_codes_and_marks_a_change(tmp_path, monkeypatch):
    def git(*command):
        own = ["git", "-c", "user.name=x", "-c", "user.email=x@y", *command]
        return subprocess.run(own, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    code, other = tmp_path / "exchange" / "export.py", tmp_path / "model.py"
    code.parent.mkdir()
    code.write_text("1")
    other.write_text("1")
    monkeypatch.setattr(export_module, "__file__", str(code))
    git("init")
    assert revision() == "unknown"  # the file is not part of the repository that it lies in
    git("add", ".")
    git("commit", "-m", "x")
    assert revision() == git("rev-parse", "HEAD")
    other.write_text("2")
    assert revision() == git("rev-parse", "HEAD") + "-dirty"


def test_export_refuses_graphs_that_differ():
    with pytest.raises(ExportError, match="differs from PyTorch"):
        agree("x", np.zeros(3), np.ones(3), tolerance=0.5)
    with pytest.raises(ExportError, match="differs from PyTorch"):
        agree("x", np.full(3, np.nan), np.ones(3), tolerance=0.5)


@torch.no_grad()
def test_inspect_same_picture_twice_gives_the_same_score():
    torch.manual_seed(1)
    model = DiAD(CONFIG.model, noise_seed=1).eval()
    image = torch.randn(2, 3, 64, 64)
    first, again = model.inspect(image)[2], model.inspect(image)[2]
    assert (first == again).all() and np.isfinite(first).all()
