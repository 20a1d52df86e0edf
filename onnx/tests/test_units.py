"""Every layer against the reference's own, alone: same keys, same weights, same input, same output.

A norm's epsilon vanishes behind a normal input; the `*_small` arrays are the same norms at an amplitude of 1e-3.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import golden
import numpy as np
import pytest
import torch
from diad_train.config import AutoencoderConfig, DenoiserConfig
from diad_train.exchange.data import normalised, read_picture
from diad_train.model import autoencoder as ae
from diad_train.model import blocks
from diad_train.model.denoiser import SpatialFeatureFusion, UNet
from diad_train.schedule import Sampler, alpha_bar
from PIL import Image
from torch import Tensor, nn

LAYER = 5e-6  # values up to 9.4; measured 1.4e-6
NORM = 2e-6  # values up to 2.5; measured 0
WRONG_EPSILON = 0.5  # what another epsilon costs on a small input; measured 0.86 (instance) to 1.2 (layer)

WIDTH, HEADS, GROUPS, TIME_WIDTH = 64, 8, 32, 128


@pytest.fixture(scope="module")
def arrays():
    return golden.load("units_B.npz")


def res_block(out_channels: int) -> blocks.ResBlock:
    return blocks.ResBlock(channels=WIDTH, out_channels=out_channels, time_width=TIME_WIDTH, groups=GROUPS)


def attention(context_width: int) -> blocks.Attention:
    return blocks.Attention(channels=WIDTH, context_width=context_width, heads=HEADS)


def transformer_block() -> blocks.TransformerBlock:
    return blocks.TransformerBlock(channels=WIDTH, context_width=768, context_tokens=77, heads=HEADS)


def spatial_transformer() -> blocks.SpatialTransformer:
    return blocks.SpatialTransformer(channels=WIDTH, context_width=768, context_tokens=77, heads=HEADS, groups=GROUPS)


def ae_res_block(out_channels: int) -> ae.ResidualBlock:
    return ae.ResidualBlock(channels=WIDTH, out_channels=out_channels, groups=GROUPS)


def ae_attention() -> ae.AttentionBlock:
    return ae.AttentionBlock(channels=WIDTH, groups=GROUPS)


def unet() -> UNet:
    return UNet(DenoiserConfig(width=WIDTH, multipliers=(1, 1), res_blocks=1), latent_channels=4)


def autoencoder() -> ae.Autoencoder:
    return ae.Autoencoder(AutoencoderConfig(width=WIDTH, multipliers=(1,), res_blocks=1))


def sff() -> SpatialFeatureFusion:
    return SpatialFeatureFusion(source_channels=[WIDTH], target_channels=[WIDTH])


def as_tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


class Inputs(NamedTuple):
    """What a layer may ask for."""

    x: Tensor
    emb: Tensor
    context: Tensor

    @property
    def tokens(self) -> Tensor:
        return as_tokens(self.x)


class Layer(NamedTuple):
    """One stored output, and how to get it from our layer."""

    output: str
    prefix: str
    build: Callable[[], nn.Module]
    call: Callable[[nn.Module, Inputs], Tensor]


def on_x(layer: nn.Module, at: Inputs) -> Tensor:
    return layer(at.x)


def on_tokens(layer: nn.Module, at: Inputs) -> Tensor:
    return layer(at.tokens)


def on_tokens_and_context(layer: nn.Module, at: Inputs) -> Tensor:
    return layer(at.tokens, at.context)


def on_x_and_context(layer: nn.Module, at: Inputs) -> Tensor:
    return layer(at.x, at.context)


def on_x_and_emb(layer: nn.Module, at: Inputs) -> Tensor:
    return layer(at.x, at.emb)


LAYERS = [
    Layer("geglu", "geglu", lambda: blocks.GatedGelu(channels=WIDTH, inner=4 * WIDTH), on_tokens),
    Layer("ff", "ff", lambda: blocks.FeedForward(channels=WIDTH), on_tokens),
    Layer("attn1", "attn1", lambda: attention(WIDTH), on_tokens),
    Layer("attn2", "attn2", lambda: attention(768), on_tokens_and_context),
    Layer("transformer_block", "block", transformer_block, on_tokens_and_context),
    Layer("spatial_transformer", "st", spatial_transformer, on_x_and_context),
    Layer("resblock_64_96", "res", lambda: res_block(96), on_x_and_emb),
    Layer("resblock_64_64", "res2", lambda: res_block(64), on_x_and_emb),
    Layer("unet_down", "down", lambda: blocks.Downsample(channels=WIDTH), on_x),
    Layer("unet_up", "up", lambda: blocks.Upsample(channels=WIDTH), on_x),
    Layer("ae_res_64_96", "aeres", lambda: ae_res_block(96), on_x),
    Layer("ae_attn", "aeattn", ae_attention, on_x),
    Layer("ae_down", "aedown", lambda: ae.PaddedDownsample(channels=WIDTH), on_x),
    Layer("ae_up", "aeup", lambda: blocks.Upsample(channels=WIDTH), on_x),
]

# Every place of a norm in the networks, by the stored array that it must equal.
NORMS = [
    ("unet_groupnorm", "ResBlock in", lambda: res_block(64).in_layers[0]),
    ("unet_groupnorm", "ResBlock out", lambda: res_block(64).out_layers[0]),
    ("unet_groupnorm", "UNet out", lambda: unet().out[0]),
    ("transformer_groupnorm", "SpatialTransformer", lambda: spatial_transformer().norm),
    ("layernorm", "TransformerBlock 1", lambda: transformer_block().norm1),
    ("layernorm", "TransformerBlock 2", lambda: transformer_block().norm2),
    ("layernorm", "TransformerBlock 3", lambda: transformer_block().norm3),
    ("ae_groupnorm", "ResidualBlock 1", lambda: ae_res_block(64).norm1),
    ("ae_groupnorm", "ResidualBlock 2", lambda: ae_res_block(64).norm2),
    ("ae_groupnorm", "AttentionBlock", lambda: ae_attention().norm),
    ("ae_groupnorm", "Encoder out", lambda: autoencoder().encoder.norm_out),
    ("ae_groupnorm", "Decoder out", lambda: autoencoder().decoder.norm_out),
    ("instancenorm", "SpatialFeatureFusion", lambda: sff().get_submodule("down11.1")),
]


def inputs(arrays) -> Inputs:
    context = golden.base_noise("context", (1, 77, 768))
    return Inputs(*(torch.from_numpy(a) for a in (arrays["x"], arrays["emb"], context)))


def deviation(got: Tensor, wanted: np.ndarray) -> float:
    assert got.shape == wanted.shape
    return float(np.abs(got.numpy() - wanted).max())


@torch.no_grad()
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.output)
def test_layer_output_is_the_references(arrays, layer):
    module = layer.build().eval()
    golden.fill(module, f"unit.{layer.prefix}.")
    assert deviation(layer.call(module, inputs(arrays)), arrays[layer.output]) < LAYER


@torch.no_grad()
@pytest.mark.parametrize(("output", "place", "build"), NORMS, ids=[place for _, place, _ in NORMS])
def test_norm_epsilon_is_the_references(arrays, output, place, build):
    norm = build()
    golden.fill(norm, "unit.norm.")
    other = copy.deepcopy(norm)
    other.eps = 1e-6 if norm.eps == 1e-5 else 1e-5
    shaped = as_tokens if isinstance(norm, nn.LayerNorm) else lambda x: x
    x, small = (shaped(torch.from_numpy(arrays[k])) for k in ("x", "x_small"))
    assert deviation(norm(x), arrays[output]) < NORM
    assert deviation(norm(small), arrays[f"{output}_small"]) < NORM
    assert deviation(other(small), arrays[f"{output}_small"]) > WRONG_EPSILON


EMBED = """
import sys, numpy as np, torch
from diad_train.model.blocks import time_embedding
np.save(sys.argv[2], time_embedding(torch.from_numpy(np.load(sys.argv[1])), int(sys.argv[3])).numpy())
"""


@pytest.mark.parametrize("width", [32, 64, 320])
def test_time_embedding_is_the_references(arrays, width, tmp_path):
    # From one kind of CPU to another MKL's exponential differs in its last bit, which t = 999 makes 6e-5. In its
    # compatible mode, which is read once in a process, it is the same everywhere, and on the CPU of the arrays.
    np.save(tmp_path / "t.npy", arrays["temb_t"])
    files = [str(tmp_path / "t.npy"), str(tmp_path / "got.npy")]
    env = {**os.environ, "MKL_CBWR": "COMPATIBLE"}
    subprocess.run([sys.executable, "-c", EMBED, *files, str(width)], env=env, check=True)
    assert deviation(torch.from_numpy(np.load(files[1])), arrays[f"temb_{width}"]) < 1e-6


def test_alpha_bar_is_the_references(arrays):
    bars = alpha_bar()
    assert np.abs(bars - arrays["alphas_cumprod_f64"]).max() < 1e-15  # measured 9e-19
    betas = 1.0 - bars / np.concatenate([[1.0], bars[:-1]])
    assert np.abs(betas - arrays["betas_f64"]).max() < 1e-14  # measured 2e-16


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 10, 20, 50])
def test_sampler_coefficients_are_the_references(arrays, count):
    steps, a, previous = (arrays[f"ddim_{k}_{count}"][::-1].astype(np.float64) for k in ("t", "a", "ap"))
    got = Sampler(start=999, steps=tuple(steps.astype(int).tolist())).coefficients()
    from_noise = np.sqrt(1.0 - previous) - np.sqrt(previous * (1.0 - a) / a)
    wanted = np.stack([np.sqrt(previous / a), from_noise], axis=1)
    assert np.abs(got - wanted).max() < 1e-6  # the tables are float32; measured 3.1e-7


@pytest.mark.parametrize("index", range(4))
def test_picture_is_read_as_the_reference_reads_it(tmp_path, index):
    stored = golden.load("preprocess.npz")
    path = tmp_path / "part.png"
    Image.fromarray(stored[f"src{index}"]).save(path)
    picture = read_picture(path, size=256).copy()
    assert (picture.transpose(2, 0, 1) == stored[f"u8_{index}"]).all()
    if f"jpg{index}" in stored:
        assert deviation(normalised(picture[None])[0], stored[f"jpg{index}"]) < 1e-6
