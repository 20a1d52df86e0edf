"""Samplers compared on held-out good parts and their synthetic damage: how many steps, which solver, from where.

So an operating point is chosen without a look at any test split. Sources: DDIM (Song et al. 2021, eq. 12); DPM-Solver++
2M (Lu et al. 2022, arXiv:2211.01095, algorithm 2).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diad_train.config import ModelConfig
from diad_train.evaluate import auroc
from diad_train.exchange.data import GoodParts, normalised
from diad_train.model.diad import DiAD
from diad_train.schedule import Sampler, alpha_bar
from diad_train.train.loop import device
from diad_train.train.pool import CorruptionPool, held_out_copies

SOLVERS = ("ddim", "2m")
BATCH = 8
COPIES = 192


@dataclass(frozen=True)
class Point:
    """One operating point and what was measured there; seconds are PyTorch's, per part, for all networks."""

    solver: str
    start: int
    steps: int
    image_auroc: float
    pixel_auroc: float
    seconds: float


def spread(start: int, steps: int) -> Sampler:
    """Steps spread evenly from `start` towards zero: 360 in three gives 360, 240, 120."""
    return Sampler(start=start, steps=tuple(round(start * (steps - i) / steps) for i in range(steps)))


@torch.no_grad()
def walk_2m(model: DiAD, sampler: Sampler, latent: Tensor, image: Tensor) -> Tensor:
    """`DiAD.denoise` with the second-order multistep solver in place of DDIM."""
    bars = alpha_bar()
    half_log_snr = 0.5 * np.log(bars / (1.0 - bars))
    z = math.sqrt(bars[sampler.start]) * latent + math.sqrt(1.0 - bars[sampler.start]) * model.start_noise
    hint = model.denoiser.control_model.hint(image)
    before: tuple[Tensor, float] | None = None
    for step, following in zip(sampler.steps, [*sampler.steps[1:], sampler.last_previous], strict=True):
        t = torch.full((latent.shape[0],), step, dtype=torch.int64, device=latent.device)
        clean = model.denoiser.clean(z, hint, t)
        h = float(half_log_snr[following] - half_log_snr[step])
        direction = clean
        if before is not None:
            share = 0.5 * h / before[1]
            direction = (1.0 + share) * clean - share * before[0]
        z = math.sqrt((1.0 - bars[following]) / (1.0 - bars[step])) * z
        z = z - math.sqrt(bars[following]) * math.expm1(-h) * direction
        before = (clean, h)
    return z


@torch.no_grad()
def measure(
    model: DiAD, config: ModelConfig, good: GoodParts, pool: CorruptionPool, points: Sequence[Point]
) -> list[Point]:
    """Fills in what the points leave open, each on the same parts."""
    model.to(device())
    copies = held_out_copies(pool)
    copies = copies[np.unique(np.linspace(0, len(copies) - 1, min(COPIES, len(copies))).astype(int))]
    # Under the light of the copies: light is no defect, and must not separate good parts from damaged ones.
    pictures = np.concatenate([pool.undamaged(copies, good), pool.pictures[copies]])
    masks = np.concatenate([np.zeros_like(pool.masks[copies]), pool.masks[copies]])
    labels = np.arange(len(pictures)) >= len(copies)
    for point in points[:1]:  # untimed: what is set up once is no point's time
        _measured(model, config, point, pictures[:BATCH], masks[:BATCH], labels[:BATCH])
    return [_measured(model, config, point, pictures, masks, labels) for point in points]


def _measured(
    model: DiAD,
    config: ModelConfig,
    point: Point,
    pictures: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    labels: NDArray[np.bool_],
) -> Point:
    sampler = spread(point.start, point.steps)
    model.config = dataclasses.replace(config, sampler=sampler)
    maps, scores = [], []
    began = time.perf_counter()
    for at in range(0, len(pictures), BATCH):
        image = normalised(pictures[at : at + BATCH]).to(device(), memory_format=torch.channels_last)
        latent = model.encode(image)
        rebuilt = walk_2m(model, sampler, latent, image) if point.solver == "2m" else model.denoise(latent, image)
        blurred = model.blurred(model.raw_map(image, model.decode(rebuilt)))
        maps.append(blurred[:, 0].cpu().numpy())
        scores.append(model.score(blurred).cpu().numpy())
    seconds = (time.perf_counter() - began) / len(pictures)
    return dataclasses.replace(
        point,
        image_auroc=auroc(np.concatenate(scores), labels),
        pixel_auroc=auroc(np.concatenate(maps).ravel(), masks.ravel()),
        seconds=seconds,
    )


def candidates(trained_start: int, counts: Sequence[int] = (10, 5, 4, 3, 2, 1)) -> list[Point]:
    """The step counts with either solver from the start trained for, and three steps from lower starts."""
    nan = math.nan
    points = [Point("ddim", trained_start, count, nan, nan, nan) for count in counts]
    points += [Point("2m", trained_start, count, nan, nan, nan) for count in counts if count > 1]
    points += [Point("ddim", round(trained_start * share), 3, nan, nan, nan) for share in (0.75, 0.5, 0.25)]
    return points


def table(points: Sequence[Point]) -> str:
    """A Markdown table, a row per point."""
    rows = [
        "| solver | start | steps | image AUROC | pixel AUROC | ms per part (PyTorch) |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {p.solver} | {p.start} | {p.steps} | {p.image_auroc:.3f} | {p.pixel_auroc:.3f} | {1000 * p.seconds:.0f} |"
        for p in points
    ]
    return "\n".join(rows)


def plot(points: Sequence[Point], path: Path) -> None:
    """AUROC against milliseconds per part, one line per solver; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    start = max(p.start for p in points)
    for solver, marker in zip(SOLVERS, "os", strict=True):
        line = sorted((p for p in points if p.solver == solver and p.start == start), key=lambda p: p.steps)
        for what, style in (("image_auroc", "-"), ("pixel_auroc", "--")):
            label = f"{solver}, {what.split('_')[0]}"
            axes.plot(
                [1000 * p.seconds for p in line], [getattr(p, what) for p in line], style, marker=marker, label=label
            )
        for p in line:
            axes.annotate(str(p.steps), (1000 * p.seconds, p.image_auroc), textcoords="offset points", xytext=(4, 5))
    axes.set(xlabel="ms per part (PyTorch, all networks)", ylabel="AUROC on held-out parts")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
