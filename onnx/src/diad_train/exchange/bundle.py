"""Weights out of an exported bundle, so that training can go on from a model that came without its checkpoints.

An exporter that is given the same network writes the same graph. So a network of the bundle's sizes is exported, no two
of its weights alike: a weight's place in that graph is the place of the bundle's weight in the bundle's graph.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diad_train.config import ConfigError, ModelConfig, build
from diad_train.exchange.checkpoint import CheckpointError, State
from diad_train.exchange.export import GraphSpec, examples, graph_specs, program
from diad_train.model.denoiser import SpatialFeatureFusion
from diad_train.model.diad import DiAD
from diad_train.model.fold import StackedFeatureFusion, fold, norms_behind_convolutions

Weights = dict[str, NDArray[np.float32]]


def read_bundle(folder: Path) -> State:
    """The state dict of the model that `folder` was exported from, up to the precision it is stored in.

    What export folded is unfolded into layers that compute the same: a quantisation convolution of ones, batch norms
    without statistics (`settle_norms` gives them some). Raises CheckpointError for a folder that is no bundle, was not
    trained by this program, or holds a table in place of its step MLP.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        config: ModelConfig = build(ModelConfig, manifest["provenance"]["settings"]["model"], "settings.model")
        known, scale, noise = manifest["sampler"]["known"], manifest["latent"]["scale"], manifest["start_noise"]["file"]
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(folder, f"is no bundle of this program: {type(error).__name__}: {error}") from error
    if known is not None:
        raise CheckpointError(folder, "holds a table of its steps, not the network that made it: no start for training")
    if config.denoiser.context_tokens > 0:
        kept = "holds what its context became in cross-attention, not the networks that made it"
        raise CheckpointError(folder, f"{kept}: no start for training; give the run's model.pt")
    model = _scattered(config)
    fold(model, steps=None)
    model.requires_grad_(False)
    read: dict[int, Tensor] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for spec in graph_specs(len(config.layer_weights)):
            _read_graph(model, spec, folder, Path(scratch), read)
    state = _unfolded(model, config, read, scale=float(scale))
    state["latent_scale"] = torch.tensor(float(scale))
    state["start_noise"] = torch.from_numpy(np.fromfile(folder / noise, "<f4").reshape(state["start_noise"].shape))
    return state


def _scattered(config: ModelConfig) -> DiAD:
    """A model of which no two weights are alike, so that each is known again wherever it lies."""
    model = DiAD(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def _weights(path: Path) -> Weights:
    graph = onnx.load(str(path)).graph
    stored = {weight.name: onnx.numpy_helper.to_array(weight) for weight in graph.initializer}
    # Weights stored in half precision have the precision behind their name.
    return {name.removesuffix(".fp16").removesuffix(".bf16"): np.asarray(v, np.float32) for name, v in stored.items()}


def _read_graph(model: DiAD, spec: GraphSpec, folder: Path, scratch: Path, read: dict[int, Tensor]) -> None:
    """Adds to `read`, by the identity of `model`'s weights, what the bundle has in their places in one graph."""
    own = scratch / f"{spec.key}.onnx"
    program(model, spec, examples(model, 2, torch.Generator().manual_seed(0))).save(str(own), external_data=False)
    try:
        theirs = _weights(folder / f"{spec.key}.onnx")
    except Exception as error:  # the readers raise their own kinds for a file that is cut short or is something else
        raise CheckpointError(folder, f"{spec.key}.onnx cannot be read: {type(error).__name__}: {error}") from error
    places = {values.tobytes(): name for name, values in _weights(own).items()}
    faults = []
    for part in spec.weights(model):
        for key, weight in part.named_parameters():
            name, turned = places.get(weight.numpy().tobytes()), False
            if name is None and weight.dim() == 2:
                name, turned = places.get(weight.numpy().T.tobytes()), True
            if name is None:
                continue  # nothing reads it, so export left it out
            found = theirs.get(name)
            if found is None or found.size != weight.numel():
                faults.append(f"{spec.key}: {key} {list(weight.shape)} is not where it should be ({name})")
                continue
            shaped = found.reshape(tuple(reversed(weight.shape))).T if turned else found.reshape(tuple(weight.shape))
            read[id(weight)] = torch.from_numpy(np.array(shaped))
    if faults:
        raise CheckpointError(folder, "was written by another exporter than this one", faults)


def _unfolded(model: DiAD, config: ModelConfig, read: dict[int, Tensor], *, scale: float) -> State:
    """The state dict before the folds of `export`, from the weights of the folded `model`."""
    fresh = DiAD(config)
    state = dict(fresh.state_dict())
    for key, weight in model.named_parameters():
        if id(weight) in read and key in state and state[key].shape == weight.shape:
            state[key] = read[id(weight)]
    quant = "autoencoder.quant_conv"
    channels = state[f"{quant}.weight"].shape[0]
    state[f"{quant}.weight"] = torch.eye(channels)[:, :, None, None]
    state[f"{quant}.bias"] = torch.zeros(channels)
    state["autoencoder.post_quant_conv.weight"] = state["autoencoder.post_quant_conv.weight"] * scale
    fusion, stacked = fresh.denoiser.control_model.fusion, model.denoiser.control_model.fusion
    if isinstance(fusion, SpatialFeatureFusion) and isinstance(stacked, StackedFeatureFusion):
        for names, convolution in zip(zip(*fusion.names, strict=True), stacked.convolutions, strict=True):
            for name, part in zip(names, torch.split(read[id(convolution.weight)], stacked.widths), strict=True):
                state[f"denoiser.control_model.fusion.{name}.0.weight"] = part
    folded = dict(model.features.named_parameters())
    for conv, norm in norms_behind_convolutions(fresh.features):
        state[f"features.{norm}.weight"] = torch.full_like(state[f"features.{norm}.weight"], math.sqrt(1.0 + 1e-5))
        state[f"features.{norm}.bias"] = read[id(folded[f"{conv}.bias"])]
    return state


@torch.no_grad()
def settle_norms(features: nn.Module, images: Tensor) -> None:
    """Gives every batch norm the statistics of `images` [N, 3, H, W] and a scale with which it computes the same.

    A norm in training uses its batch's statistics: only if those are what it expects does it go on where it was.
    """
    norms = [module for module in features.modules() if isinstance(module, nn.BatchNorm2d)]
    seen: dict[nn.Module, Tensor] = {}
    hooks = [norm.register_forward_pre_hook(lambda module, given: seen.update({module: given[0]})) for norm in norms]
    features.eval()(images)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        assert norm.running_mean is not None and norm.running_var is not None  # all are built with statistics
        var, mean = torch.var_mean(seen[norm], dim=(0, 2, 3), correction=0)
        slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias.add_(slope * (mean - norm.running_mean))
        norm.weight.copy_(slope * torch.sqrt(var + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
