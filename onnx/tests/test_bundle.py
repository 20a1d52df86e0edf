"""Weights read back out of an exported bundle."""

from __future__ import annotations

import json

import pytest
import torch
from diad_train.exchange.bundle import read_bundle, settle_norms
from diad_train.exchange.checkpoint import CheckpointError
from diad_train.exchange.export import Options, export, provenance
from diad_train.model.diad import DiAD
from diad_train.train.fit import fit
from test_fit import config
from test_train import CONFIG, data


def lively() -> DiAD:
    """A model whose every weight matters: no branch silent, no norm at rest."""
    torch.manual_seed(4)
    model = DiAD(CONFIG.model).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        for key, buffer in model.features.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer += torch.rand(buffer.shape, generator=generator)
    model.latent_scale.fill_(0.7)
    return model


def pictures(count: int) -> torch.Tensor:
    size = CONFIG.model.image_size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(6))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "micro"
    export(lively(), out=folder, origin=provenance(CONFIG, data="none"))
    return folder


def test_bundle_read_back_is_the_model_it_was_exported_from(bundle):
    want, got = lively(), DiAD(CONFIG.model).eval()
    got.load_state_dict(read_bundle(bundle))
    image = pictures(2)
    torch.testing.assert_close(got.reconstruct(image), want.reconstruct(image), rtol=1e-4, atol=1e-4)
    for a, b in zip(got.features(image), want.features(image), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    latent = torch.randn(1, CONFIG.model.autoencoder.latent_channels, 8, 8)
    hint, t = want.denoiser.control_model.hint(image[:1]), torch.tensor([123])
    torch.testing.assert_close(got.denoiser(latent, hint, t), want.denoiser(latent, hint, t), rtol=1e-4, atol=1e-4)


def test_bundle_in_half_precision_read_back_is_the_model_but_for_rounding(tmp_path):
    export(lively(), out=tmp_path / "half", origin=provenance(CONFIG, data="none"), options=Options(precision="fp16"))
    want, got = lively().state_dict(), read_bundle(tmp_path / "half")
    key = "denoiser.diffusion_model.input_blocks.1.0.in_layers.2.weight"
    torch.testing.assert_close(got[key], want[key], rtol=1e-3, atol=1e-4)
    assert got.keys() == want.keys()


def test_settled_norms_compute_the_same_and_expect_what_they_get(bundle):
    model = DiAD(CONFIG.model).eval()
    model.load_state_dict(read_bundle(bundle))
    image = pictures(8)
    with torch.no_grad():
        before = model.features(image)
        settle_norms(model.features, image)
        after, in_training = model.features(image), model.features.train()(image)
    for a, b, c in zip(before, after, in_training, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(c, a, rtol=1e-3, atol=1e-3)


def test_fit_goes_on_from_a_bundle(bundle, tmp_path):
    started = read_bundle(bundle)
    model = fit(config(data(tmp_path / "parts")), tmp_path / "run", wanted=("autoencoder",), start_from=bundle)
    state = model.state_dict()
    for key in ("denoiser.diffusion_model.out.2.weight", "start_noise", "latent_scale"):
        assert torch.equal(state[key], started[key]), key


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("provenance"), "is no bundle of this program"),
        (lambda m: m["sampler"].update(known=[999, 499]), "holds a table of its steps"),
        (lambda m: m["provenance"]["settings"]["model"]["denoiser"].update(width=32), "written by another exporter"),
    ],
)
def test_bundle_that_is_no_start_is_refused_by_name(bundle, tmp_path, change, words):
    for file in bundle.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=words):
        read_bundle(tmp_path)


def test_folder_without_a_manifest_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match="is no bundle of this program"):
        read_bundle(tmp_path)
