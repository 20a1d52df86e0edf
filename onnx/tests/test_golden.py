"""The networks against the reference implementation: same keys, same weights, same numbers."""

from __future__ import annotations

import json

import golden
import numpy as np
import pytest
import torch
from diad_train.config import AutoencoderConfig, DenoiserConfig, FeaturesConfig, ModelConfig
from diad_train.exchange.importer import theirs
from diad_train.model.autoencoder import Autoencoder, sample_posterior
from diad_train.model.denoiser import Denoiser
from diad_train.model.diad import DiAD
from diad_train.model.resnet import UNUSED
from diad_train.schedule import Sampler, alpha_bar

EPS = 1e-5  # gate of the golden arrays for predicted noise; a second implementation reached 3e-6
IMAGE = 3e-5


@pytest.fixture(scope="module")
def arrays():
    return golden.load("tiny32_128_B.npz")


@pytest.fixture(scope="module")
def denoiser():
    model = Denoiser(DenoiserConfig(width=32), latent_channels=4).eval()
    context = model.context
    golden.fill(model.control_model, "control_model.", rename={"fusion.": ""})
    golden.fill(model.diffusion_model, "model.diffusion_model.")
    assert context is not None
    context.copy_(torch.from_numpy(golden.base_noise("context", tuple(context.shape))))
    return model


@pytest.fixture(scope="module")
def autoencoder():
    model = Autoencoder(AutoencoderConfig(width=32)).eval()
    golden.fill(model, "first_stage_model.")
    return model


def image(arrays):
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    pixels = (arrays["image_u8"].astype(np.float32) / 255.0 - mean) / std
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())


def test_stock_model_has_the_references_keys_and_shapes():
    source = golden.SHARED / "golden" / "full_keys.json"
    if not source.exists():
        pytest.skip(f"{source} is missing")
    unread = tuple(f"resnet50.{part}" for part in UNUSED)
    wanted = {key: shape for key, shape in json.loads(source.read_text()).items() if not key.startswith(unread)}
    with torch.device("meta"):
        stock = DiAD(ModelConfig(features=FeaturesConfig(kind="resnet50"))).state_dict()
    for key in ("latent_scale", "start_noise", "denoiser.context"):
        del stock[key]
    assert {theirs(key).replace("features.", "resnet50."): list(v.shape) for key, v in stock.items()} == wanted


@torch.no_grad()
def test_denoiser_every_step_predicts_the_reference_noise(arrays, denoiser):
    hint = denoiser.control_model.hint(image(arrays))
    steps = torch.from_numpy(arrays["step_x"].reshape(-1, 1, *arrays["step_x"].shape[-3:]))
    wanted = arrays["step_eps"].reshape(-1, *arrays["step_x"].shape[-3:])
    for t, z, eps in zip(arrays["t_seq"].tolist(), steps, wanted, strict=True):
        got = denoiser(z, hint, torch.tensor([t]))
        assert np.abs(got[0].numpy() - eps).max() < EPS, t


@torch.no_grad()
def test_autoencoder_moments_and_samples_are_the_references(arrays, autoencoder):
    moments = autoencoder.moments(image(arrays))
    assert np.abs(moments.numpy() - arrays["moments"]).max() < IMAGE
    noise = torch.from_numpy(golden.base_noise("noise.posterior", (1, 4, 16, 16)))
    scaled = 0.18215 * sample_posterior(moments, noise)
    assert np.abs(scaled.numpy() - arrays["z_scaled"]).max() < EPS
    final = torch.from_numpy(arrays["step_x_prev"].reshape(-1, 1, *arrays["step_x"].shape[-3:])[-1])
    decoded = autoencoder.decode(final / 0.18215)
    assert np.abs(decoded.numpy() - arrays["samples"]).max() < IMAGE


def test_sampler_coefficients_walk_the_reference_latents(arrays):
    sampler = Sampler(start=999, steps=tuple(arrays["t_seq"].tolist()))
    shape = arrays["step_x"].shape[-3:]
    before, eps, after = (arrays[k].reshape(-1, *shape) for k in ("step_x", "step_eps", "step_x_prev"))
    for z, e, wanted, (c0, c1) in zip(before, eps, after, sampler.coefficients(), strict=True):
        assert np.abs(c0 * z + c1 * e - wanted).max() < 2e-5
    assert abs(alpha_bar()[999] - 0.0046601) < 1e-7
