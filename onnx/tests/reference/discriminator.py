"""PatchGAN discriminator (Isola et al. 2017, arXiv:1611.07004, section 3.2.2). Keys follow the authors' state dict."""

from __future__ import annotations

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """Four 4x4 convolutions and a head: one logit per overlapping patch of 70x70 pixels, high for real pictures."""

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = width
        for stride in (2, 2, 1):
            layers += [
                nn.Conv2d(channels, 2 * channels, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(2 * channels),
                nn.LeakyReLU(0.2),
            ]
            channels *= 2
        layers.append(nn.Conv2d(channels, 1, 4, padding=1))
        self.main = nn.Sequential(*layers)
        for module in self.main:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W], sides at least 24 pixels -> logits [N, 1, H/8 - 2, W/8 - 2]."""
        out: Tensor = self.main(x)
        return out
