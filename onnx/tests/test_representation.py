"""DiAD in a foundation's latent: parity of the exported graphs, damage, and bundles of format 2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from diad_train.config import StageConfig
from diad_train.exchange.data import DataError
from diad_train.exchange.export import sha256
from diad_train.representation import bundle
from diad_train.representation.features import FoundationSpec
from diad_train.representation.model import RepresentationConfig, RepresentationDiAD
from diad_train.representation.stage import damaged, spots, standardise, train
from diad_train.schedule import Sampler, alpha_bar
from safetensors.numpy import save_file

SMALL = RepresentationConfig(
    groups=(8, 8), side=6, width=16, depth=2, heads=2, bottleneck=8, sampler=Sampler(start=200, steps=(200, 100))
)
SHIPPED = Path(__file__).parents[1] / "models" / "diad-tiny"
SPEC = FoundationSpec("small", Path("none"), "0" * 64, 28, (0.0,) * 3, (1.0,) * 3, (16, 6, 6), (8, 8))


def patches(count: int, seed: int = 0) -> np.ndarray:
    """Smooth patches of length 1 that a small network can learn."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:6, :6] / 6.0
    waves = np.stack([np.sin(k * x + (k % 3) * y) for k in range(16)])
    values = waves[None] + 0.05 * rng.normal(size=(count, 16, 6, 6))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RepresentationDiAD:
    torch.manual_seed(0)
    model = RepresentationDiAD(SMALL)
    stage = StageConfig(300, 8, 3e-3, warmup=10, ema=0.9)
    train(model, patches(64), stage, seed=1, folder=tmp_path_factory.mktemp("run"))
    return model


def test_a_damaged_token_is_further_than_every_other_and_than_before(trained: RepresentationDiAD) -> None:
    part = torch.from_numpy(patches(1, seed=9)).float()
    hurt = part.clone()
    hurt[0, :, 2, 3] = -part[0, :, 4, 1]
    good, bad = trained.distance(part)[0], trained.distance(hurt)[0]
    assert bad.argmax() == 2 * 6 + 3
    assert bad[2, 3] > 5 * good[2, 3]


def test_standardise_gives_unit_variance(trained: RepresentationDiAD) -> None:
    model = RepresentationDiAD(SMALL)
    features = patches(64)
    standardise(model, features, np.random.default_rng(0))
    latent = model.encode(torch.from_numpy(features).float())
    torch.testing.assert_close(latent.mean(dim=(0, 2, 3)), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(latent.std(dim=(0, 2, 3)), torch.ones(16), atol=1e-3, rtol=0)


def test_damage_is_where_the_mask_is_and_nowhere_else() -> None:
    rng = np.random.default_rng(0)
    tokens = torch.from_numpy(rng.normal(size=(8, 324, 4)).astype(np.float32))
    mask = spots(rng, 8, 18)
    assert ((mask.mean(dim=1) > 0) & (mask.mean(dim=1) < 0.7)).all()
    changed = (damaged(tokens, mask, rng, 18) - tokens).abs().amax(dim=-1) > 1e-6
    assert not (changed & (mask == 0)).any()
    assert changed[mask > 0].float().mean() > 0.95


def test_attach_writes_graphs_that_the_order_of_steps_gives_the_same_map(
    trained: RepresentationDiAD, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    manifest = bundle.attach(trained, SPEC, bundle=SHIPPED, out=out, precision="fp32")
    assert manifest["format"] == 2
    assert json.loads((out / "manifest.json").read_text()) == manifest
    part = manifest["representation"]
    run = {name: ort.InferenceSession(str(out / graph["file"])) for name, graph in part["graphs"].items()}
    noise = np.fromfile(out / part["start_noise"]["file"], "<f4").reshape(1, 16, 6, 6)
    image = patches(1, seed=5).astype(np.float32)
    latent = run["encoder"].run(None, {"patches": image})[0]
    hint = run["hint"].run(None, {"patches": image})[0]
    bars = alpha_bar()
    z = (np.sqrt(bars[200]) * latent + np.sqrt(1 - bars[200]) * noise).astype(np.float32)
    for step, before in ((200, 100), (100, 0)):
        e = run["denoiser"].run(None, {"latent": z, "hint": hint, "t": np.array([step])})[0]
        clean = (z - np.sqrt(1 - bars[step]) * e) / np.sqrt(bars[step])
        z = (np.sqrt(bars[before]) * clean + np.sqrt(1 - bars[before]) * e).astype(np.float32)
    cosines = [
        (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        for a, b in zip(np.split(latent, 2, 1), np.split(z, 2, 1), strict=True)
    ]
    want = trained.distance(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(1.0 - np.mean(cosines, axis=0), want, atol=1e-4)


def test_without_sg_the_hint_is_nothing() -> None:
    model = RepresentationDiAD(RepresentationConfig(groups=(8, 8), side=6, width=16, heads=2, guided=False))
    assert model.hint(torch.zeros(2, 16, 6, 6)).shape == (2, 1, 6, 6)
    assert torch.isfinite(model.distance(torch.from_numpy(patches(2)).float())).all()


def overlay(path: Path, product: str, model: str) -> Path:
    header = {
        "format": 1,
        "product": product,
        "model": model,
        "foundations": [{"name": "small", "sha256": "0" * 64}],
        "join": [],
        "parts": 3,
        "learn": {"private": True},
    }
    rows = np.zeros((2, 16), np.float16)
    save_file({"bank:small": rows}, path, metadata={bundle.METADATA_KEY: json.dumps(header)})
    return path


def test_embed_takes_overlays_of_this_bundle_and_no_other(tmp_path: Path) -> None:
    digest = f"sha256:{sha256(SHIPPED / 'manifest.json')}"
    files = [overlay(tmp_path / f"{name}.safetensors", name, digest) for name in ("cap", "gear")]
    manifest = bundle.embed(SHIPPED, files, tmp_path / "out")
    assert [entry["product"] for entry in manifest["overlays"]] == ["cap", "gear"]
    assert manifest["foundations"] == [{"name": "small", "sha256": "0" * 64}]
    header, arrays = bundle.read_overlay(tmp_path / "out" / manifest["overlays"][0]["file"])
    assert header["model"] is None
    assert "learn" not in header
    assert arrays["bank:small"].shape == (2, 16)
    with pytest.raises(DataError, match="learn it again"):
        bundle.embed(SHIPPED, [overlay(tmp_path / "x.safetensors", "x", "sha256:1")], tmp_path / "out2")
    (tmp_path / "cut.safetensors").write_bytes(files[0].read_bytes()[:40])
    with pytest.raises(DataError, match=r"cut\.safetensors"):
        bundle.embed(SHIPPED, [tmp_path / "cut.safetensors"], tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_embed_leaves_out_what_was_learnt_beside_the_bundle(tmp_path: Path) -> None:
    bundled = tmp_path / "bundled"
    (bundled / "learnt" / "products").mkdir(parents=True)
    (bundled / "manifest.json").write_bytes((SHIPPED / "manifest.json").read_bytes())
    digest = f"sha256:{sha256(bundled / 'manifest.json')}"
    bundle.embed(bundled, [overlay(tmp_path / "cap.safetensors", "cap", digest)], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "overlay-cap.safetensors"]
