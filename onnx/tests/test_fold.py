"""Every fold computes what the network computed before it, up to rounding."""

from __future__ import annotations

import copy

import golden
import numpy as np
import pytest
import torch
from diad_train.config import AutoencoderConfig, DenoiserConfig, FeaturesConfig, ModelConfig
from diad_train.model import fold
from diad_train.model.diad import DiAD
from diad_train.schedule import Sampler

STEPS = (901, 401, 1)
SIZE = 128


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(
        image_size=SIZE,
        autoencoder=AutoencoderConfig(width=32, multipliers=(1, 2, 2, 2), res_blocks=1),
        denoiser=DenoiserConfig(width=32, res_blocks=1, context_tokens=5, context_width=24),
        features=FeaturesConfig(kind="resnet50"),
        sampler=Sampler(start=999, steps=STEPS),
    )
    built = DiAD(config).eval().requires_grad_(False)
    state = built.state_dict()
    for key, value in state.items():
        if key not in ("latent_scale", "start_noise") and not key.endswith("num_batches_tracked"):
            noise = golden.base_noise(key, tuple(value.shape))
            running = 1 + 0.1 * np.abs(noise)
            state[key] = torch.from_numpy(running) if key.endswith("running_var") else golden.weight(key, value.shape)
    built.load_state_dict(state)
    return built


def noise(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(len(STEPS), 4, SIZE // 8, SIZE // 8, generator=generator)
    image = torch.randn(len(STEPS), 3, SIZE, SIZE, generator=generator)
    return model.denoiser(z, model.denoiser.control_model.hint(image), torch.tensor(STEPS))


def close(a, b, tolerance=2e-5):
    assert (a - b).abs().max() <= tolerance * b.abs().max()


def test_fold_steps_table_gives_the_blocks_what_the_mlp_gave(model):
    folded = copy.deepcopy(model)
    for half in (folded.denoiser.control_model, folded.denoiser.diffusion_model):
        fold.fold_steps(half, STEPS)
    close(noise(folded), noise(model))
    assert not [key for key in folded.denoiser.state_dict() if "time_embed" in key or "emb_layers" in key]


def test_fold_steps_unknown_step_is_not_a_number(model):
    folded = copy.deepcopy(model)
    fold.fold_steps(folded.denoiser.diffusion_model, STEPS)
    row = folded.denoiser.diffusion_model.embed(torch.tensor([901, 900]))
    assert row[0].isfinite().all() and row[1].isnan().all()


def test_fold_context_stored_keys_and_values_attend_as_projected_ones(model):
    folded = copy.deepcopy(model)
    fold.fold_context(folded.denoiser)
    close(noise(folded), noise(model))
    assert not [key for key in folded.denoiser.state_dict() if "attn2.to_k" in key or "attn2.to_v" in key]


def test_fold_fusion_one_convolution_a_source_is_the_same_fusion(model):
    folded = copy.deepcopy(model)
    fold.fold_fusion(folded.denoiser)
    close(noise(folded), noise(model))
    assert len(list(folded.denoiser.control_model.fusion.parameters())) == 2


def test_fold_fusion_dead_sff_is_dropped_exactly(model):
    dead = copy.deepcopy(model)
    for parameter in dead.denoiser.control_model.fusion.parameters():
        parameter.zero_()
    assert fold.dead_fusion(dead.denoiser) and not fold.dead_fusion(model.denoiser)
    folded = copy.deepcopy(dead)
    fold.fold_fusion(folded.denoiser)
    assert torch.equal(noise(folded), noise(dead))
    for sources in folded.denoiser.control_model.zero_convs[2:4].parameters():
        sources.fill_(torch.nan)  # read by the dropped SFF alone
    assert noise(folded).isfinite().all()


def test_fold_zero_convolutions_that_nothing_reads_may_hold_anything(model):
    poisoned = copy.deepcopy(model)
    guide = poisoned.denoiser.control_model
    for unused in guide.zero_convs[: len(guide.zero_convs) - 2 * guide.group].parameters():
        unused.fill_(torch.nan)
    assert torch.equal(noise(poisoned), noise(model))


def test_fold_quantisation_moves_the_1x1_and_the_latent_scale(model):
    folded = copy.deepcopy(model)
    fold.fold_quantisation(folded.autoencoder, float(folded.latent_scale))
    folded.folded = True
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    close(folded.autoencoder.moments(image), model.autoencoder.moments(image))
    latent = model.encode(image)
    close(folded.decode(latent), model.decode(latent))


def test_fold_batch_norms_leaves_none_and_the_same_features(model):
    folded = copy.deepcopy(model.features)
    fold.fold_batch_norms(folded)
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    for a, b in zip(folded(image), model.features(image), strict=True):
        close(a, b)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_fold_all_of_them_keep_map_and_score(model):
    folded = copy.deepcopy(model)
    fold.fold(folded, steps=STEPS)
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    for a, b in zip(folded.inspect(image), model.inspect(image), strict=True):
        close(torch.as_tensor(a), torch.as_tensor(b), 1e-4)
