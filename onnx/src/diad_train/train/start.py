"""The start of a training: weights of an earlier model, and the context of networks with cross-attention."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from diad_train.config import Config, ConfigError
from diad_train.exchange.bundle import read_bundle, settle_norms
from diad_train.exchange.checkpoint import CheckpointError, mismatches
from diad_train.exchange.data import GoodParts, normalised
from diad_train.exchange.importer import is_of_authors, may_be_new, read_context, start_weights
from diad_train.model.diad import DiAD
from diad_train.train.loop import rank
from diad_train.train.order import NETWORKS

# Good parts that give the batch norms of a bundle's features their statistics.
SETTLING_PARTS = 64


def take_over(model: DiAD, path: Path, good: GoodParts) -> list[str]:
    """Takes over every network of an earlier model that fits, and returns their names; stderr names the others.

    The context stays the one of the settings. `path` is a `model.pt` or a bundle of this program, or a checkpoint of
    Stable Diffusion or of its autoencoder.

    Raises:
        CheckpointError: no network fits, or the file cannot be read.
    """
    given = read_bundle(path) if path.is_dir() else start_weights(path)
    own = model.state_dict()
    if model.denoiser.context is not None:
        given["denoiser.context"] = own["denoiser.context"]
    taken = []
    for name in NETWORKS:
        wanted = {key: value for key, value in own.items() if key.startswith(f"{name}.")}
        found = {key: given[key] for key in wanted if key in given}
        needed = {key: value for key, value in wanted.items() if key in found or not may_be_new(key)}
        faults = mismatches(needed, found)
        if not faults:
            own.update(found)
            taken.append(name)
        elif rank() == 0:
            why = f"{len(faults)} keys do not fit, first: {faults[0]}" if found else "it has none"
            tqdm.write(
                f"{path}: its {name} is not taken over, this one starts with random weights ({why})", file=sys.stderr
            )
    if not taken:
        raise CheckpointError(path, "has no network of the sizes in the settings")
    own.update({key: given[key] for key in ("latent_scale", "start_noise") if _same(given.get(key), own[key])})
    model.load_state_dict(own)
    prediction = model.config.denoiser.prediction
    if "denoiser" in taken and is_of_authors(path) and prediction != "epsilon" and rank() == 0:
        change = f"its denoiser predicts epsilon and has to learn to predict {prediction} (model.denoiser.prediction)"
        tqdm.write(f"{path}: {change}", file=sys.stderr)
    if path.is_dir() and "features" in taken:
        spread = np.unique(np.linspace(0, len(good.pictures) - 1, SETTLING_PARTS).astype(int))
        settle_norms(model.features, normalised(good.pictures[spread]))
    return taken


def _same(given: Tensor | None, own: Tensor) -> bool:
    return given is not None and given.shape == own.shape


def set_context(model: DiAD, config: Config) -> None:
    """Gives a denoiser with cross-attention its context; ConfigError where the settings have none that fits."""
    if model.denoiser.context is None:
        return
    if not config.train.context:
        raise ConfigError(
            "train.context is empty, and the denoiser has cross-attention: name a .npy array or a folder with a CLIP "
            "text encoder, or set model.denoiser.context_tokens to 0"
        )
    denoiser = config.model.denoiser
    context = read_context(Path(config.train.context), width=denoiser.context_width)
    if context.shape[1] != denoiser.context_tokens:
        raise ConfigError(
            f"train.context {config.train.context} has {context.shape[1]} tokens, and model.denoiser.context_tokens is "
            f"{denoiser.context_tokens}: make them equal"
        )
    model.denoiser.context = context
