"""LPIPS: how different two pictures look to VGG16 (Zhang et al. 2018, arXiv:1801.03924, equation 1).

Keys follow the state dict of the authors' autoencoder loss; layers keep VGG16's own numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# One slice per tapped layer: relu1_2, relu2_2, relu3_3, relu4_3, relu5_3.
WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = (2, 2, 3, 3, 3)
INPUT_SHIFT = (-0.030, -0.088, -0.188)
INPUT_SCALE = (0.458, 0.448, 0.450)


class Vgg16(nn.Module):
    """Convolutional part of VGG16 (Simonyan & Zisserman 2015), cut after each tapped layer."""

    def __init__(self) -> None:
        super().__init__()
        number, channels = 0, 3
        for index, (width, convolutions) in enumerate(zip(WIDTHS, CONVOLUTIONS, strict=True)):
            layers = nn.Sequential()
            if index > 0:
                layers.add_module(str(number), nn.MaxPool2d(2))
                number += 1
            for _ in range(convolutions):
                layers.add_module(str(number), nn.Conv2d(channels, width, 3, padding=1))
                layers.add_module(str(number + 1), nn.ReLU())
                number, channels = number + 2, width
            self.add_module(f"slice{index + 1}", layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] -> five maps [N, WIDTHS[k], H/2^k, W/2^k], finest first."""
        maps = []
        for part in self.children():
            x = part(x)
            maps.append(x)
        return maps


class _Head(nn.Module):
    """Non-negative weight per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The authors have dropout in the first place and leave it on while they train; here the measure is fixed.
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, kernel_size=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class PerceptualDistance(nn.Module):
    """LPIPS with a frozen VGG16. Built for colours in [-1, 1]; the authors feed it ImageNet-normalised ones."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = Vgg16()
        for index, width in enumerate(WIDTHS):
            self.add_module(f"lin{index}", _Head(width))
        self.register_buffer("shift", torch.tensor(INPUT_SHIFT)[None, :, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(INPUT_SCALE)[None, :, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Two pictures [N, 3, H, W], sides at least 16 pixels -> distance [N, 1, 1, 1], without unit."""
        maps = [self.net((picture - self.shift) / self.scale) for picture in (x, y)]
        layers = []
        for index, (a, b) in enumerate(zip(*maps, strict=True)):
            head = self.get_submodule(f"lin{index}")
            layers.append(head((_unit(a) - _unit(b)).square()).mean(dim=(2, 3), keepdim=True))
        return torch.stack(layers).sum(dim=0)


def _unit(x: Tensor) -> Tensor:
    """Divides by the norm over channels; where all channels are zero, both value and gradient stay zero."""
    out: Tensor = x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10)
    return out
