"""Training: tokens of good parts are damaged, and the undamaged ones asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from diad_train.config import StageConfig
from diad_train.representation.model import RepresentationDiAD
from diad_train.train.loop import device, run_stage

Features = NDArray[np.float16]

# Share of the grid that a spot of damage covers.
SPOT_SHARE = (0.01, 0.35)
# Share of the tokens whose loss counts least, and how much it counts: what is already easy teaches little.
EASY_SHARE, EASY_WEIGHT = 0.6, 0.2
DAMAGED_WEIGHT = 3.0
# Noise levels of training, as steps of the schedule.
STEPS = (20, 700)
STANDARDISE_PARTS = 256

DEFAULT = StageConfig(steps=1600, batch=8, learning_rate=1.5e-3, weight_decay=0.02, warmup=60, ema=0.995)


def standardise(model: RepresentationDiAD, features: Features, rng: np.random.Generator) -> None:
    """Sets mean and deviation of every channel from good parts."""
    chosen = rng.permutation(len(features))[:STANDARDISE_PARTS]
    sample = torch.from_numpy(features[np.sort(chosen)]).float()
    model.mean.copy_(sample.mean(dim=(0, 2, 3)))
    model.deviation.copy_(sample.std(dim=(0, 2, 3)).clamp_min(1e-4))


def spots(rng: np.random.Generator, batch: int, side: int) -> Tensor:
    """One to three smooth spots a part, [N, P]: 1 where a token is damaged."""
    masks = np.zeros((batch, side, side), dtype=bool)
    for mask in masks:
        for _ in range(int(rng.integers(1, 4))):
            coarse = rng.normal(size=(int(rng.integers(3, 8)),) * 2).astype(np.float32)
            field = functional.interpolate(torch.from_numpy(coarse)[None, None], size=(side, side), mode="bicubic")
            values = field[0, 0].numpy()
            share = np.exp(rng.uniform(*np.log(SPOT_SHARE))) / 2
            cy, cx = rng.uniform(0, side, 2)
            y, x = np.mgrid[:side, :side]
            near = values - 0.02 * side * np.hypot((y - cy) / side, (x - cx) / side) * 8
            mask |= near > np.quantile(near, 1.0 - share)
    return torch.from_numpy(masks.reshape(batch, -1).astype(np.float32))


def damaged(tokens: Tensor, mask: Tensor, rng: np.random.Generator, side: int) -> Tensor:
    """Latent tokens [N, P, D] with what lies under the mask replaced: by tokens of another part, of other places of the
    same part, or by noise of the tokens' own spread; more or less opaque.
    """
    n, p, _ = tokens.shape
    shifts = rng.integers(1, side, size=(n, 2))
    foreign = torch.empty_like(tokens)
    for i in range(n):
        kind = rng.integers(0, 4)
        if kind == 0:
            source = tokens[int(rng.integers(0, n))]
            foreign[i] = source.reshape(side, side, -1).roll(tuple(shifts[i].tolist()), (0, 1)).reshape(p, -1)
        elif kind == 1:
            foreign[i] = tokens[i].reshape(side, side, -1).roll(tuple(shifts[i].tolist()), (0, 1)).reshape(p, -1)
        elif kind == 2:
            one = tokens[int(rng.integers(0, n)), int(rng.integers(0, p))]
            foreign[i] = one + 0.3 * torch.from_numpy(rng.normal(size=(p, tokens.shape[2])).astype(np.float32))
        else:
            noise = torch.from_numpy(rng.normal(size=(1, tokens.shape[2])).astype(np.float32))
            foreign[i] = tokens[i] + noise * float(rng.uniform(0.3, 1.5))
    opacity = torch.from_numpy(rng.uniform(0.3, 1.0, size=(n, 1, 1)).astype(np.float32))
    weight = mask[..., None] * opacity
    return tokens + (foreign - tokens) * weight


def loss_of(model: RepresentationDiAD, clean: Tensor, seen: Tensor, mask: Tensor, rng: np.random.Generator) -> Tensor:
    """Cosine distance of what the networks make of a damaged part to the undamaged one, by token."""
    n = len(clean)
    t = torch.from_numpy(rng.integers(*STEPS, size=n)).to(clean.device)
    bar = model.bars[t][:, None, None]
    noise = torch.from_numpy(rng.normal(size=clean.shape).astype(np.float32)).to(clean.device)
    noised = bar.sqrt() * seen + (1.0 - bar).sqrt() * noise
    guidance = model.guide(seen) if model.guide is not None else None
    rebuilt = model.denoiser(noised, guidance, t).float()
    groups = model.config.groups
    pairs = zip(*(torch.split(x, list(groups), -1) for x in (rebuilt, clean)), strict=True)
    distance = torch.stack([1.0 - functional.cosine_similarity(a, b, dim=-1) for a, b in pairs]).mean(dim=0)
    with torch.no_grad():
        easy = distance < distance.flatten().quantile(EASY_SHARE)
        weight = torch.where(easy, EASY_WEIGHT, 1.0) * (1.0 + (DAMAGED_WEIGHT - 1.0) * mask)
    # The length of the tokens, which a cosine does not see and the sampler needs.
    length = functional.smooth_l1_loss(rebuilt, clean)
    return (weight * distance).sum() / weight.sum() + 0.1 * length


def train(model: RepresentationDiAD, features: Features, stage: StageConfig, *, seed: int, folder: Path) -> None:
    """Trains on the patches of good parts, float16 [parts, D, h, w], in place."""
    standardise(model, features, np.random.default_rng((seed, 1)))
    model.to(device())
    side = model.config.side

    def loss(rng: np.random.Generator, _step: int) -> dict[str, Tensor]:
        chosen = np.sort(rng.integers(0, len(features), stage.batch))
        clean = torch.from_numpy(features[chosen]).to(device()).float().flatten(2).transpose(1, 2)
        clean = model.standardised(clean)
        mask = spots(rng, stage.batch, side).to(clean.device)
        seen = damaged(clean, mask, rng, side)
        with torch.autocast(clean.device.type, dtype=torch.bfloat16):
            return {"cosine": loss_of(model, clean, seen, mask, rng)}

    run_stage(name="representation", module=model, loss=loss, stage=stage, seed=seed, folder=folder)
