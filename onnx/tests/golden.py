"""Golden arrays of the reference implementation, and the rule that fills its weights. See the folder's own README."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

SHARED = Path(os.environ.get("DIAD_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def load(name: str) -> Any:
    """Arrays of one file; skips the test where the folder is missing."""
    path = SHARED / "golden" / name
    if not path.exists():
        pytest.skip(f"{path} is missing")
    return np.load(path)


def base_noise(key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Rule B: uniform noise of unit variance, a function of the key's name and the element's number."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        s = (np.uint64(zlib.crc32(key.encode())) << np.uint64(32)) + np.arange(1, count + 1, dtype=np.uint64)
        s *= np.uint64(0x9E3779B97F4A7C15)
        s ^= s >> np.uint64(30)
        s *= np.uint64(0xBF58476D1CE4E5B9)
        s ^= s >> np.uint64(27)
        s *= np.uint64(0x94D049BB133111EB)
        s ^= s >> np.uint64(31)
    unit = (s >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)
    return (unit * np.float32(1.7320508)).reshape(shape)


def weight(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A synthetic weight of the reference's state dict."""
    noise = base_noise(key, shape)
    if len(shape) >= 2:
        value = noise * np.float32(1.0 / np.sqrt(np.prod(shape[1:])))
    elif key.endswith(".bias"):
        value = np.float32(0.02) * noise
    else:
        value = np.float32(1.0) + np.float32(0.1) * noise
    return torch.from_numpy(value)


def fill(module: nn.Module, prefix: str, *, rename: dict[str, str] | None = None) -> None:
    """Fills a module as the reference's submodule `prefix`; `rename` maps our key parts to theirs."""
    state = {}
    for key, value in module.state_dict().items():
        theirs = prefix + key
        for ours, other in (rename or {}).items():
            theirs = theirs.replace(ours, other)
        state[key] = weight(theirs, tuple(value.shape))
    module.load_state_dict(state)
