"""What a training will take, estimated before it begins."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from diad_train.config import Config
from diad_train.train.loop import device
from diad_train.train.order import STAGES

# Bytes that training takes beside the pictures and their damaged copies.
BASE_BYTES = 4 << 30
# Floating-point operations a second that are assumed where the measurement fails.
ASSUMED_SPEED = 1e11


def plan(config: Config) -> str:
    """One sentence before a run: what it will take, for networks of the shipped model's size. An estimate."""
    train, size = config.train, config.model.image_size
    parts = sum(1 for _ in Path(train.data).glob("*/train/good/*"))
    work = [(stage.settings(train), stage.step_flops) for stage in STAGES]
    flops = sum(s.steps * s.batch * step_flops for s, step_flops in work) * (size / 256) ** 2
    pictures = parts * size * size * (3 + 4 * train.corruptions_per_image)
    place = "a GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return (
        f"{config.model.name}: {parts} pictures, {sum(s.steps for s, _ in work)} steps on {place}: about "
        f"{flops / speed() / 3600:.1f} hours and {(pictures + BASE_BYTES) / (1 << 30):.0f} GiB of memory"
    )


def speed() -> float:
    """Floating-point operations a second of a matrix product on this machine; half of it is what networks reach."""
    a = torch.randn(1024, 1024, device=device())
    begun = time.perf_counter()
    for _ in range(8):
        a = (a @ a) * 0.03
    total = float(a.sum())  # waits for a GPU
    return 8 * 2 * 1024**3 / (time.perf_counter() - begun) / 2 if np.isfinite(total) else ASSUMED_SPEED
