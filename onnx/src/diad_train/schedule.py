"""Noise schedule and DDIM coefficients, in float64 (Ho et al. 2020; Song et al. 2021, arXiv:2010.02502)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TRAIN_STEPS = 1000


def alpha_bar(*, beta_start: float = 0.00085, beta_end: float = 0.012) -> NDArray[np.float64]:
    """Cumulative products of 1 - beta, shape [1000]; betas are linear in their square roots."""
    betas = np.linspace(beta_start**0.5, beta_end**0.5, TRAIN_STEPS, dtype=np.float64) ** 2
    return np.cumprod(1.0 - betas, dtype=np.float64)


@dataclass(frozen=True)
class Sampler:
    """A DDIM run with eta 0: noised once at `start`, then one update per entry of `steps` (descending)."""

    start: int
    steps: tuple[int, ...]
    last_previous: int = 0

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("sampler.steps must not be empty")
        if any(a <= b for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"sampler.steps must descend, got {self.steps}")
        if not 0 <= self.last_previous <= self.steps[-1]:
            raise ValueError(f"sampler.last_previous {self.last_previous} must not exceed the last step")
        if not self.steps[0] <= self.start < TRAIN_STEPS:
            raise ValueError(f"sampler.start {self.start} must lie in {self.steps[0]}..{TRAIN_STEPS - 1}")

    @classmethod
    def spaced(cls, count: int) -> Sampler:
        """The reference's list of `count` steps: 1, 1 + c, 1 + 2c, ... with c = 1000 // count; noised at 999."""
        if not 1 <= count <= TRAIN_STEPS // 2:
            raise ValueError(f"{count} steps; allowed: 1 to {TRAIN_STEPS // 2}")
        stride = TRAIN_STEPS // count
        return cls(start=TRAIN_STEPS - 1, steps=tuple(1 + stride * i for i in reversed(range(count))))

    def coefficients(self) -> NDArray[np.float64]:
        """Rows (c0, c1) of the update `z <- c0 z + c1 eps`, shape [len(steps), 2]."""
        bars = alpha_bar()
        a = bars[list(self.steps)]
        previous = bars[[*self.steps[1:], self.last_previous]]
        c0 = np.sqrt(previous / a)
        c1 = np.sqrt(1.0 - previous) - np.sqrt(previous * (1.0 - a) / a)
        return np.stack([c0, c1], axis=1)
