"""Feature extractors: the small student that ships, and the reference ResNet-50. Its teacher is in `teacher.py`.

Every extractor maps a normalised image [N, 3, H, W] to layers at strides 4, 8 and 16, finest first.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

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
