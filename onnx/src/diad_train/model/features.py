"""Feature extractors: the small student that ships, the ImageNet teacher it learns from, and the reference ResNet-50.

Every extractor maps a normalised image [N, 3, H, W] to layers at strides 4, 8 and 16, finest first.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diad_train.checkpoint import CheckpointError, read_state
from diad_train.config import FeaturesConfig

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class _Unit(nn.Module):
    """Residual pair of 3x3 convolutions with batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def _down(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class Student(nn.Module):
    """Small residual network; its three layers imitate the teacher's, width for width."""

    def __init__(self, config: FeaturesConfig) -> None:
        super().__init__()
        self.stem = _down(3, config.stem)
        self.levels = nn.ModuleList()
        self.heads = nn.ModuleList()
        channels = config.stem
        for width in config.widths:
            inner = max(width, 2 * config.stem)
            self.levels.append(nn.Sequential(_down(channels, inner), *(_Unit(inner) for _ in range(config.depth))))
            self.heads.append(nn.Conv2d(inner, width, kernel_size=1))
            channels = inner

    def forward(self, x: Tensor) -> list[Tensor]:
        """Layers [N, width_k, H/2^(k+1), W/2^(k+1)] for k = 1, 2, 3."""
        h = self.stem(x)
        layers = []
        for level, head in zip(self.levels, self.heads, strict=True):
            h = level(h)
            layers.append(head(h))
        return layers


class MobileNetTeacher(nn.Module):
    """MobileNetV2 1.0 with folded batch norms (Sandler et al. 2018), read from a file; never part of a bundle.

    Keys: `stem`, then `blocks.N.{expand,depthwise,project}`, each with weight and bias. The file's upstream pads
    stride-2 convolutions at the bottom and right only and scales RGB to [-1, 1]. Layers: the last block's output at
    strides 4, 8 and 16 (24, 32 and 96 channels).
    """

    STRIDED_BLOCKS = (1, 3, 6)
    TAPPED_BLOCKS = (2, 5, 12)

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        state = read_state(path)
        names = ["stem", *(f"blocks.{block}.project" for block in range(self.TAPPED_BLOCKS[-1] + 1))]
        missing = [f"missing: {name}.weight" for name in names if f"{name}.weight" not in state]
        if missing:
            raise CheckpointError(path, "is not the MobileNetV2 that distil and align learn from", missing)
        self.widths = tuple(state[f"blocks.{block}.project.weight"].shape[0] for block in self.TAPPED_BLOCKS)
        for key, value in state.items():
            self.register_buffer(key.replace(".", "__"), value)
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN)[None, :, None, None])
        self.register_buffer("std", torch.tensor(IMAGE_STD)[None, :, None, None])

    def _conv(self, x: Tensor, name: str, *, stride: int = 1, depthwise: bool = False, relu: bool = True) -> Tensor:
        weight, bias = (getattr(self, f"{name}.{part}".replace(".", "__")) for part in ("weight", "bias"))
        if weight.shape[-1] == 3:
            x = F.pad(x, (0, 1, 0, 1)) if stride == 2 else F.pad(x, (1, 1, 1, 1))
        out = F.conv2d(x, weight, bias, stride=stride, groups=x.shape[1] if depthwise else 1)
        return out.clamp(0.0, 6.0) if relu else out

    @torch.no_grad()
    def forward(self, x: Tensor) -> list[Tensor]:
        """Layers [N, 24, H/4, W/4], [N, 32, H/8, W/8], [N, 96, H/16, W/16]."""
        h = self._conv((x * self.std + self.mean) * 2.0 - 1.0, "stem", stride=2)
        layers = []
        for index in range(self.TAPPED_BLOCKS[-1] + 1):
            name, stride = f"blocks.{index}", 2 if index in self.STRIDED_BLOCKS else 1
            inner = h if index == 0 else self._conv(h, f"{name}.expand")
            inner = self._conv(inner, f"{name}.depthwise", stride=stride, depthwise=True)
            inner = self._conv(inner, f"{name}.project", relu=False)
            h = h + inner if inner.shape == h.shape else inner
            if index in self.TAPPED_BLOCKS:
                layers.append(h)
        return layers


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cos over channels, [N, C, h, w] twice -> [N, 1, h, w]; norms are at least 1e-8."""
    return 1.0 - F.cosine_similarity(a, b, dim=1, eps=1e-8)[:, None]


def anomaly_map(first: list[Tensor], second: list[Tensor], *, size: int, weights: tuple[float, ...]) -> Tensor:
    """Weighted sum of upsampled cosine distances, [N, 1, size, size]; bilinear with aligned corners, not blurred."""
    total = None
    for weight, a, b in zip(weights, first, second, strict=True):
        layer = weight * F.interpolate(cosine_distance(a, b), (size, size), mode="bilinear", align_corners=True)
        total = layer if total is None else total + layer
    if total is None:
        raise ValueError("no feature layers")
    return total
