"""`fit` as its user meets it: stages, looks at held-out parts, other starts, and what goes wrong on the way."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diad_foundation import make
from diad_foundation.graph import GraphWriter
from diad_foundation.networks import IMAGENET_MEAN, IMAGENET_STD, Layer, finished
from diad_train import cli
from diad_train.config import SHIPPED, ConfigError, load
from diad_train.exchange.checkpoint import CheckpointError, read_state
from diad_train.exchange.data import load_good
from diad_train.exchange.export import sha256
from diad_train.exchange.importer import theirs
from diad_train.model.diad import DiAD
from diad_train.model.resnet import ResNet50
from diad_train.train import align, loop, stages
from diad_train.train.fit import fit
from diad_train.train.order import STAGE_NAMES
from diad_train.train.pool import pool_of
from diad_train.train.record import begin
from diad_train.train.rules import begin_folder
from PIL import Image
from test_train import CONFIG, data

STAGES = ("autoencoder", "denoiser", "sg")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return data(tmp_path_factory.mktemp("parts"))


def config(parts: Path, **train):
    stage = dataclasses.replace(CONFIG.train.denoiser, look_every=2)
    stages = dict.fromkeys(STAGES, stage)
    return dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, data=str(parts), **(stages | train)))


def losses(folder: Path, name: str) -> dict[int, dict[str, float]]:
    rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    steps = {row["step"]: row for row in rows}
    assert len(steps) == len(rows), "a step is in the log twice"
    return steps


def test_fit_looks_at_held_out_parts_and_leaves_a_sheet_and_a_log(parts, tmp_path):
    fit(config(parts), tmp_path, wanted=STAGES)
    for stage, columns in (("autoencoder", 2), ("denoiser", 3), ("sg", 3)):
        with Image.open(tmp_path / "sheets" / f"{stage}-000002.png") as sheet:
            assert sheet.size[0] == columns * CONFIG.model.image_size
        assert list((tmp_path / "tensorboard" / stage).iterdir())
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["train"]["seed"] == CONFIG.train.seed


def test_fit_killed_within_a_stage_ends_with_the_same_weights(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    four = config(parts, denoiser=dataclasses.replace(CONFIG.train.denoiser, steps=4))
    whole = fit(four, tmp_path / "whole", wanted=STAGES[:2])
    calls = 0
    real = loop.save_atomically

    def dies(state, path):
        nonlocal calls
        real(state, path)
        calls += path.name == "denoiser.pt"
        if path.name == "denoiser.pt" and calls == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_atomically", dies)
    with pytest.raises(KeyboardInterrupt):
        fit(four, tmp_path / "cut", wanted=STAGES[:2])
    again = fit(four, tmp_path / "cut", wanted=STAGES[:2])
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert losses(tmp_path / "whole", "denoiser") == losses(tmp_path / "cut", "denoiser")


def test_fit_sg_leaves_the_encoder_half_as_it_is(parts, tmp_path):
    before = fit(config(parts), tmp_path, wanted=STAGES[:2]).denoiser.state_dict()
    after = fit(config(parts), tmp_path, wanted=STAGES[2:]).denoiser.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    frozen = tuple(f"diffusion_model.{part}." for part in ("time_embed", "input_blocks", "middle_block"))
    assert not any(key.startswith(frozen) for key in moved)
    assert any(key.startswith("control_model.fusion.") for key in moved)
    assert any(key.startswith("diffusion_model.output_blocks.") for key in moved)


def test_fit_of_a_later_stage_alone_stands_on_what_the_folder_holds(parts, tmp_path):
    before = fit(config(parts), tmp_path, wanted=STAGES[:2]).state_dict()
    after = fit(config(parts), tmp_path, wanted=("sg",)).state_dict()
    encoder_half = "denoiser.diffusion_model.input_blocks."
    for key, value in before.items():
        if key.startswith(("autoencoder.", encoder_half)) or key == "latent_scale":
            assert torch.equal(after[key], value), key
    assert not torch.equal(before["latent_scale"], DiAD(CONFIG.model).latent_scale)

    longer = config(parts, denoiser=dataclasses.replace(CONFIG.train.denoiser, steps=99))
    with pytest.raises(CheckpointError, match=r"denoiser\.pt stopped at step 2 of 99.*name denoiser in --stages"):
        fit(longer, tmp_path, wanted=("sg",))


def saved(parts: Path, folder: Path) -> Path:
    """The run's networks as the `model.pt` that its last stage would leave."""
    model = DiAD(CONFIG.model)
    for name in ("autoencoder", "denoiser"):
        state = torch.load(folder / f"{name}.pt", weights_only=True)["ema"]
        getattr(model, name).load_state_dict(state)
    torch.save({"model": model.state_dict(), "products": ["a", "b"]}, folder / "start.pt")
    return folder / "start.pt"


def test_fit_starts_from_a_stable_diffusion_checkpoint(parts, tmp_path):
    torch.manual_seed(5)
    donor = DiAD(CONFIG.model).state_dict()
    donor = {key: torch.randn_like(value) for key, value in donor.items() if value.is_floating_point()}
    given = {theirs(key): value for key, value in donor.items() if key.startswith(("autoencoder.", "denoiser.diff"))}
    given = {key: value for key, value in given.items() if not key.startswith("denoiser.")}
    torch.save({"state_dict": given | {"betas": torch.zeros(1000)}}, tmp_path / "sd.ckpt")
    none = dataclasses.replace(CONFIG.train.denoiser, steps=0)
    stages = dict.fromkeys((*STAGES, "distil", "align"), none)
    model = fit(config(parts, **stages), tmp_path / "run", start_from=tmp_path / "sd.ckpt").state_dict()
    unet, guide = "denoiser.diffusion_model.", "denoiser.control_model."
    for key, value in donor.items():
        if key.startswith(("autoencoder.", unet)):
            assert torch.equal(model[key], value), key
        if key.startswith(tuple(unet + part for part in ("input_blocks.", "middle_block.", "time_embed."))):
            assert torch.equal(model[key.replace(unet, guide)], value), key
    with pytest.raises(CheckpointError, match=r"model\.pt has no features: no stage of the run trained any"):
        cli._trained(config(parts, **stages), tmp_path / "run")
    torch.save(ResNet50().state_dict(), tmp_path / "resnet50.pth")
    whole = cli._trained(config(parts, **stages), tmp_path / "run", features=tmp_path / "resnet50.pth")
    assert whole.config.features.kind == "resnet50"


def test_fit_starts_from_an_autoencoder_alone_and_names_what_is_random(parts, tmp_path, capsys):
    donor = {key: torch.ones_like(value) for key, value in DiAD(CONFIG.model).autoencoder.state_dict().items()}
    torch.save({"state_dict": donor}, tmp_path / "kl.ckpt")
    none = dict.fromkeys(STAGES, dataclasses.replace(CONFIG.train.denoiser, steps=0))
    model = fit(config(parts, **none), tmp_path / "run", wanted=STAGES, start_from=tmp_path / "kl.ckpt")
    assert all((value == 1).all() for value in model.autoencoder.state_dict().values())
    assert "its denoiser is not taken over" in capsys.readouterr().err
    torch.save({"state_dict": {"encoder.x": torch.ones(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="no network of the sizes"):
        fit(config(parts), tmp_path / "run2", start_from=tmp_path / "other.ckpt")


def test_fit_checkpoint_cut_short_or_of_another_network_is_named(parts, tmp_path):
    fit(config(parts), tmp_path, wanted=STAGES[:1])
    path = tmp_path / "autoencoder.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"autoencoder\.pt cannot be read; remove it"):
        fit(config(parts), tmp_path, wanted=STAGES[:1])
    torch.save({"module": {"x": torch.ones(1)}, "ema": {}, "step": 1}, path)
    with pytest.raises(CheckpointError, match=r"(?s)of another network.*missing:.*surplus: x"):
        fit(config(parts), tmp_path, wanted=STAGES[:1])


def test_fit_pool_cut_short_or_of_other_data_is_named(parts, tmp_path):
    fit(config(parts), tmp_path, wanted=STAGES[:1])
    with pytest.raises(CheckpointError, match="pool was made of other data"):
        fit(config(parts, corruptions_per_image=2), tmp_path, wanted=STAGES[:1])
    masks = tmp_path / "pool" / "masks.npy"
    masks.write_bytes(masks.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="pool cannot be read; remove it"):
        fit(config(parts), tmp_path, wanted=STAGES[:1])


def test_fit_without_a_teacher_is_refused_before_the_stages_that_need_none(parts, tmp_path):
    with pytest.raises(CheckpointError, match=r"none holds no foundation.*setup-foundation"):
        fit(config(parts, teacher=str(tmp_path / "none")), tmp_path)
    with pytest.raises(ConfigError, match=r"widths \[8, 8, 8\] cannot learn from this teacher: .* widths \[6, 6, 6\]"):
        fit(config(parts, teacher=str(teacher(tmp_path / "narrow", width=6))), tmp_path)
    assert not (tmp_path / "autoencoder.pt").exists()


@pytest.mark.parametrize("place", ["run", "file", "link", "."])
def test_export_into_a_place_that_is_no_bundle_touches_nothing(tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").write_text("weights")
    (tmp_path / "file").write_text("words")
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "c.yaml").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["diad-train", "export", "c.yaml", "--run", "run", "--out", place])
    assert cli.main() == 78
    assert f"--out {place}: " in capsys.readouterr().err
    assert (tmp_path / "run" / "model.pt").read_text() == "weights"


def test_evaluate_of_a_run_of_other_settings_or_one_cut_short_is_one_line(parts, tmp_path, monkeypatch, capsys):
    (tmp_path / "c.yaml").write_text(f"train: {{ data: '{parts}' }}")
    for content, text in (({"x": torch.ones(1)}, "model.pt is of other settings"), (None, "model.pt cannot be read")):
        if content is None:
            (tmp_path / "model.pt").write_bytes(b"half")
        else:
            torch.save({"model": content, "products": []}, tmp_path / "model.pt")
        command = ["diad-train", "evaluate", str(tmp_path / "c.yaml"), "--run", str(tmp_path), "--data", str(parts)]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.setattr(cli, "DiAD", lambda config, noise_seed: DiAD(CONFIG.model))
        assert cli.main() == 65
        assert text in capsys.readouterr().err


def test_reconstructions_are_kept_as_long_as_they_are_those_of_these_networks(parts, tmp_path, monkeypatch):
    model = fit(config(parts), tmp_path, wanted=STAGES[:2])
    size = CONFIG.model.image_size
    pictures = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    made = []
    real = align.reconstruct_all
    monkeypatch.setattr(align, "reconstruct_all", lambda *given: made.append(1) or real(*given))
    first = np.array(align._reconstructions(model, pictures, tmp_path, "one"))
    assert np.array_equal(align._reconstructions(model, pictures, tmp_path, "one"), first) and len(made) == 1
    with pytest.raises(CheckpointError, match=r"reconstructions\.npy was made of other data"):
        align._reconstructions(model, pictures[:2], tmp_path, "one")
    align._reconstructions(model, pictures, tmp_path, "another")
    assert len(made) == 2
    (tmp_path / "reconstructions.npy").write_bytes(b"\x93NUMPY half")
    with pytest.raises(CheckpointError, match=r"reconstructions\.npy cannot be read; remove it"):
        align._reconstructions(model, pictures, tmp_path, "another")


def test_latents_are_kept_as_long_as_they_are_those_of_this_autoencoder(parts, tmp_path, monkeypatch):
    fit(config(parts), tmp_path, wanted=STAGES[:2])
    encoded = []
    real = stages.encode_all
    monkeypatch.setattr(stages, "encode_all", lambda *given, **more: encoded.append(1) or real(*given, **more))
    again = fit(config(parts), tmp_path, wanted=STAGES[:2])
    assert not encoded
    with torch.no_grad():
        next(again.autoencoder.parameters()).add_(0.1)
    torch.save({"model": again.state_dict()}, tmp_path / "start.pt")
    none = dataclasses.replace(CONFIG.train.autoencoder, steps=0)
    fit(config(parts, autoencoder=none), tmp_path, wanted=STAGES[:2], start_from=tmp_path / "start.pt")
    assert encoded
    (tmp_path / "latents.pt").write_bytes(b"PK half")
    with pytest.raises(CheckpointError, match=r"latents\.pt cannot be read; remove it"):
        fit(config(parts), tmp_path, wanted=STAGES[:2])


def test_fit_does_not_mix_a_folder_with_other_parts_networks_or_steps(parts, tmp_path):
    run = tmp_path / "run"
    fit(config(parts), run, wanted=STAGES[:1])
    other = data(tmp_path / "other")
    extra = other / "a" / "train" / "good" / "new.png"
    extra.write_bytes(next(extra.parent.glob("*.png")).read_bytes())
    with pytest.raises(CheckpointError, match=r"(?s)was begun with \d+ parts.*new: a/new\.png"):
        fit(config(other), run, wanted=STAGES[:1])
    other_kind = {"v": "epsilon", "epsilon": "v"}[CONFIG.model.denoiser.prediction]
    denoiser = dataclasses.replace(CONFIG.model.denoiser, prediction=other_kind)
    model = dataclasses.replace(CONFIG.model, denoiser=denoiser)
    with pytest.raises(CheckpointError, match=r"(?s)begun with other settings.*model\.denoiser\.prediction was"):
        fit(dataclasses.replace(config(parts), model=model), run, wanted=STAGES[:1])
    more = dataclasses.replace(CONFIG.train.autoencoder, steps=CONFIG.train.autoencoder.steps + 1)
    with pytest.raises(CheckpointError, match=r"autoencoder\.pt ended at its \d+ steps and cannot go on"):
        fit(config(parts, autoencoder=more), run, wanted=STAGES[:1])


def test_fit_of_a_stage_without_the_networks_below_it_is_refused(parts, tmp_path):
    with pytest.raises(CheckpointError, match="has no autoencoder for the stages on top of it"):
        fit(config(parts), tmp_path / "empty", wanted=("denoiser",))
    fit(config(parts), tmp_path, wanted=STAGES[:2])
    none = dataclasses.replace(CONFIG.train.autoencoder, steps=0)
    start = saved(parts, tmp_path)
    fit(config(parts, autoencoder=none), tmp_path / "run", wanted=STAGES[:2], start_from=start)
    with pytest.raises(CheckpointError, match=r"has no autoencoder .*--start-from \(again"):
        fit(config(parts, autoencoder=none), tmp_path / "run", wanted=STAGES[:2])


ALLOCATOR = RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried")


@pytest.mark.parametrize(
    "error", [MemoryError(), PermissionError(13, "not yours"), torch.OutOfMemoryError("full"), ALLOCATOR]
)
def test_checkpoint_that_the_machine_cannot_read_now_is_not_called_broken(parts, tmp_path, monkeypatch, error):
    path = tmp_path / "a.pt"
    loop.save_atomically({"module": {}, "ema": {}, "step": 1}, path)

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(type(error)):
        loop.steps_done(path)
    (tmp_path / "latents.pt").touch()
    good = load_good(parts, size=CONFIG.model.image_size)
    with pytest.raises(type(error)):
        stages._latents(DiAD(CONFIG.model), stages.Parts(good, pool_of(good, tmp_path, copies=1, seed=1)), tmp_path)
    if not isinstance(error, OSError):
        with pytest.raises(type(error)):
            read_state(path)


def test_save_atomically_on_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    loop.save_atomically({"step": 1}, path)

    def full(state, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loop.torch, "save", full)
    with pytest.raises(loop.SaveError, match=r"a\.pt: cannot be written: .*No space left"):
        loop.save_atomically({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_record_is_written_where_it_differs_and_a_full_disk_keeps_the_one_before(parts, tmp_path, monkeypatch):
    good = load_good(parts, size=CONFIG.model.image_size)
    begin(tmp_path, config(parts), good, {"start": None})
    before = (tmp_path / "settings.json").read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loop.os, "fsync", full)
    begin(tmp_path, config(parts), good, {"start": None})
    with pytest.raises(loop.SaveError, match=r"settings\.json: cannot be written: .*No space left"):
        begin(tmp_path, config(parts, seed=4), good, {"start": None})
    assert (tmp_path / "settings.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.json", "settings.json"]


def test_folder_goes_on_from_the_start_it_was_begun_with_and_no_other(parts, tmp_path):
    good = load_good(parts, size=CONFIG.model.image_size)
    one, bundle, run = tmp_path / "one.pt", tmp_path / "bundle", tmp_path / "run"
    one.write_bytes(b"1")
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    run.mkdir()

    def starts(start: Path | None, *wanted: str, **train):
        begin_folder(config(parts, **train), run, good, wanted, start)
        return json.loads((run / "settings.json").read_text()).get("start", "not known")

    assert starts(None, "autoencoder") is None
    assert starts(one, "autoencoder") == sha256(one)  # nothing was trained yet
    loop.save_atomically({"module": {}, "ema": {}, "step": 2}, run / "autoencoder.pt")
    for other in (None, bundle):
        with pytest.raises(CheckpointError, match=r"(?s)begun with another --start-from.*sha256 was .*, is "):
            starts(other, "autoencoder", "denoiser")
        assert starts(other, "autoencoder") == sha256(one)  # finished
        none = dict.fromkeys(("denoiser", "sg", "distil", "align"), dataclasses.replace(CONFIG.train.align, steps=0))
        with pytest.raises(CheckpointError, match="begun with another --start-from"):
            starts(other, *STAGE_NAMES, **none)  # the denoiser is the start's
    assert starts(one, "denoiser") == sha256(one)
    settings = json.loads((run / "settings.json").read_text())
    del settings["start"]
    (run / "settings.json").write_text(json.dumps(settings))
    assert starts(bundle, "denoiser") == "not known"


def teacher(folder: Path, *, width: int = 8) -> Path:
    """A foundation of three convolutions with random weights, each `width` wide."""
    rng = np.random.default_rng(7)
    graph, x, channels, layers = GraphWriter(), "image", 3, []
    for stride, side in ((4, 16), (2, 8), (2, 4)):
        kernel = rng.normal(size=(width, channels, 3, 3)).astype(np.float32)
        layer = graph.conv(x, kernel, rng.normal(size=width).astype(np.float32), stride=stride)
        layers.append(Layer(layer, width, side))
        x, channels = graph.op("Relu", layer), width
    make.write(finished(graph, layers, 8, 64, IMAGENET_MEAN, IMAGENET_STD), "teacher", {}, folder)
    return folder


def test_fit_of_all_stages_killed_in_the_last_ends_with_the_same_weights(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    five = config(parts, teacher=str(teacher(tmp_path / "teacher")))
    run, cut = tmp_path / "whole", tmp_path / "cut"
    whole = fit(five, run)
    shutil.copytree(run, cut, ignore=shutil.ignore_patterns("align*", "model.pt", "reconstructions*"))
    real = loop.save_atomically

    def dies(state, path):
        if path.name == "align.pt" and path.exists():
            raise KeyboardInterrupt
        real(state, path)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_atomically", dies)
        with pytest.raises(KeyboardInterrupt):
            fit(five, cut)
    again = fit(five, cut)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    for stage in STAGE_NAMES:
        assert list(losses(run, stage)) == [0, 1] and losses(run, stage) == losses(cut, stage)
    assert set(torch.load(cut / "model.pt", weights_only=True)["model"]) == set(whole.state_dict())

    for name in ("distil.pt", "align.pt"):
        (cut / name).unlink()
    with pytest.raises(CheckpointError, match=r"has no features for the stages on top of it.*name distil in"):
        fit(five, cut, wanted=("align",))


def test_fit_of_two_processes_leaves_one_record_and_whole_checkpoints(parts, tmp_path):
    (tmp_path / "c.yaml").write_text(json.dumps(dataclasses.asdict(config(parts))))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "--", "diad_train.cli", "fit", "c.yaml", "--run", "run", "--stages", "autoencoder", "denoiser"]
    source = str(Path(cli.__file__).parents[1])
    subprocess.run(command, check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"})
    run = tmp_path / "run"
    for stage in STAGES[:2]:
        assert loop.steps_done(run / f"{stage}.pt") == 2 and list(losses(run, stage)) == [0, 1]
    assert json.loads((run / "settings.json").read_text())["train"]["seed"] == CONFIG.train.seed
    assert not list(run.rglob("*.partial"))


def test_fit_of_epsilon_prediction_with_cross_attention_trains_both(parts, tmp_path):
    denoiser = dataclasses.replace(CONFIG.model.denoiser, context_tokens=3, context_width=5, prediction="epsilon")
    np.save(tmp_path / "context.npy", np.eye(3, 5, dtype=np.float32))
    wide = config(parts, context=str(tmp_path / "context.npy"))
    wide = dataclasses.replace(wide, model=dataclasses.replace(CONFIG.model, denoiser=denoiser))
    state = fit(wide, tmp_path, wanted=STAGES).denoiser.state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    before, after = (torch.load(tmp_path / f"{name}.pt", weights_only=True)["ema"] for name in ("denoiser", "sg"))
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert any(key.startswith("control_model.") and key.endswith("attn2.to_v.weight") for key in moved)


@pytest.mark.parametrize("left_out", ["guided", "fused"])
def test_fit_without_sg_or_sff_trains_the_rest(parts, tmp_path, left_out):
    denoiser = dataclasses.replace(CONFIG.model.denoiser, **{left_out: False})
    one = dataclasses.replace(CONFIG.train.denoiser, steps=1)
    bare = config(parts, autoencoder=one, denoiser=one)
    bare = dataclasses.replace(bare, model=dataclasses.replace(CONFIG.model, denoiser=denoiser))
    torch.manual_seed(bare.train.seed)
    before = DiAD(bare.model).denoiser.state_dict()
    after = fit(bare, tmp_path, wanted=STAGES[:2]).denoiser.state_dict()
    moved = {key.partition(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert "diffusion_model" in moved and ("control_model" in moved) == (left_out == "fused")
    assert any(".fusion." in key for key in after) == (left_out == "guided")


def test_fit_cross_attention_without_a_context_is_refused(parts, tmp_path):
    denoiser = dataclasses.replace(CONFIG.model.denoiser, context_tokens=3, context_width=5)
    wide = dataclasses.replace(config(parts), model=dataclasses.replace(CONFIG.model, denoiser=denoiser))
    with pytest.raises(ConfigError, match=r"train\.context is empty"):
        fit(wide, tmp_path)
    train = dataclasses.replace(wide.train, context=str(tmp_path / "context.npy"))
    np.save(tmp_path / "context.npy", np.ones((2, 5), np.float32))
    with pytest.raises(ConfigError, match=r"has 2 tokens, and model\.denoiser\.context_tokens is 3"):
        fit(dataclasses.replace(wide, train=train), tmp_path / "run", wanted=STAGES[:1])
    np.save(tmp_path / "context.npy", np.ones((3, 5), np.float32))
    model = fit(dataclasses.replace(wide, train=train), tmp_path / "run", wanted=STAGES[:1])
    assert model.denoiser.context.shape == (1, 3, 5)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"),
            69,
            "lower the stage's",
        ),
        (loop.SaveError("x.pt: cannot be written"), 74, "x.pt"),
        (OSError(errno.ENOSPC, "No space left on device"), 74, "run: [Errno"),  # a write names no file
        (CheckpointError(Path("x.pt"), "is of another network"), 65, "another network"),
        (ConfigError("train.context is empty"), 78, "train.context"),
    ],
)
def test_fit_errors_end_with_their_code(error, code, message, tmp_path, monkeypatch, capsys):
    def fails(*args, **kwargs):
        raise error

    (tmp_path / "c.yaml").write_text("{}")
    monkeypatch.setattr(cli, "fit", fails)
    monkeypatch.setattr(sys, "argv", ["diad-train", "fit", str(tmp_path / "c.yaml"), "--run", str(tmp_path / "run")])
    assert cli.main() == code
    assert message in capsys.readouterr().err


def test_fit_needs_no_settings_and_states_first_what_it_takes(parts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = {}
    monkeypatch.setattr(cli, "fit", lambda config, run, **_: given.update(config=config, run=run))
    monkeypatch.setattr(sys, "argv", ["diad-train", "fit", "--data", str(parts)])
    assert cli.main() == 0
    assert given["run"] == Path("runs") / parts.name and given["config"].model.name == parts.name
    assert given["config"].model.denoiser == load(SHIPPED).model.denoiser
    assert re.search(
        r": \d+ pictures, \d+ steps on .*: about [\d.]+ hours and \d+ GiB of memory", capsys.readouterr().err
    )
    monkeypatch.setattr(sys, "argv", ["diad-train", "fit"])
    assert cli.main() == 78
    assert "by --data" in capsys.readouterr().err
