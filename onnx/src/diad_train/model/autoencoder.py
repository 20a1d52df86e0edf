"""KL autoencoder with f = 2^(levels-1) (Rombach et al. 2022, section 3.1). Keys follow kl-f8's state dict."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diad_train.config import AutoencoderConfig
from diad_train.model.blocks import Upsample, group_norm


class ResidualBlock(nn.Module):
    """GN, SiLU, conv, twice; residual."""

    def __init__(self, *, channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(channels=channels, groups=groups, eps=1e-6)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(channels=out_channels, groups=groups, eps=1e-6)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if channels != out_channels:
            self.nin_shortcut = nn.Conv2d(channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C', h, w]."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        out: Tensor = (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h
        return out


class AttentionBlock(nn.Module):
    """One-head attention over all pixels; residual."""

    def __init__(self, *, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(channels=channels, groups=groups, eps=1e-6)
        self.q = nn.Conv2d(channels, channels, kernel_size=1)
        self.k = nn.Conv2d(channels, channels, kernel_size=1)
        self.v = nn.Conv2d(channels, channels, kernel_size=1)
        self.proj_out = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h, w]."""
        n, channels, height, width = x.shape
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(channels), dim=-1)
        out: Tensor = x + self.proj_out((weights @ v).transpose(1, 2).reshape(n, channels, height, width))
        return out


class PaddedDownsample(nn.Module):
    """Pads one zero row and column at the bottom and right, then conv 3x3 with stride 2."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h/2, w/2]."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Level(nn.Module):
    """The blocks of one resolution, and the change to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.ModuleList()
        self.attn = nn.ModuleList()


class Middle(nn.Module):
    """Residual block, attention (if asked for), residual block."""

    def __init__(self, *, channels: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels=channels, out_channels=channels, groups=groups)
        if attention:
            self.attn_1 = AttentionBlock(channels=channels, groups=groups)
        self.block_2 = ResidualBlock(channels=channels, out_channels=channels, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h, w]."""
        h = self.block_1(x)
        if hasattr(self, "attn_1"):
            h = self.attn_1(h)
        out: Tensor = self.block_2(h)
        return out


class Encoder(nn.Module):
    """Image [N, 3, H, W] -> [N, 2C, H/f, W/f]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        groups = config.norm_groups
        self.conv_in = nn.Conv2d(3, config.width, 3, padding=1)
        self.down = nn.ModuleList()
        channels = config.width
        for index, multiplier in enumerate(config.multipliers):
            level = Level()
            for _ in range(config.res_blocks):
                level.block.append(
                    ResidualBlock(channels=channels, out_channels=config.width * multiplier, groups=groups)
                )
                channels = config.width * multiplier
            if index + 1 < len(config.multipliers):
                level.downsample = PaddedDownsample(channels=channels)
            self.down.append(level)
        self.mid = Middle(channels=channels, groups=groups, attention=config.middle_attention)
        self.norm_out = group_norm(channels=channels, groups=groups, eps=1e-6)
        self.conv_out = nn.Conv2d(channels, 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Mean and log-variance before the quantisation convolution."""
        h = self.conv_in(x)
        for level in self.down:
            for block in level.block:  # type: ignore[union-attr]
                h = block(h)
            if hasattr(level, "downsample"):
                h = level.downsample(h)  # type: ignore[operator]
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(h))))
        return out


class Decoder(nn.Module):
    """Latent [N, C, h, w] -> image [N, 3, fh, fw]; levels count from the finest."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        groups = config.norm_groups
        channels = config.width * config.multipliers[-1]
        self.conv_in = nn.Conv2d(config.latent_channels, channels, 3, padding=1)
        self.mid = Middle(channels=channels, groups=groups, attention=config.middle_attention)
        levels: list[Level] = []
        for index, multiplier in reversed(list(enumerate(config.multipliers))):
            level = Level()
            for _ in range(config.res_blocks + 1):
                level.block.append(
                    ResidualBlock(channels=channels, out_channels=config.width * multiplier, groups=groups)
                )
                channels = config.width * multiplier
            if index > 0:
                level.upsample = Upsample(channels=channels)
            levels.insert(0, level)
        self.up = nn.ModuleList(levels)
        self.norm_out = group_norm(channels=channels, groups=groups, eps=1e-6)
        self.conv_out = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Image in normalised colours; not clamped."""
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            for block in level.block:  # type: ignore[union-attr]
                h = block(h)
            if hasattr(level, "upsample"):
                h = level.upsample(h)  # type: ignore[operator]
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out


class Autoencoder(nn.Module):
    """KL autoencoder. Latents outside this class are scaled by `latent_scale`."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv: nn.Module = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, kernel_size=1)
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, kernel_size=1)

    def moments(self, x: Tensor) -> Tensor:
        """Image [N, 3, H, W] -> mean and log-variance [N, 2C, h, w]."""
        out: Tensor = self.quant_conv(self.encoder(x))
        return out

    def decode(self, z: Tensor) -> Tensor:
        """Unscaled latent [N, C, h, w] -> image [N, 3, H, W]."""
        out: Tensor = self.decoder(self.post_quant_conv(z))
        return out


def sample_posterior(moments: Tensor, noise: Tensor) -> Tensor:
    """Draws from the posterior: mean + exp(clamp(logvar, -30, 20) / 2) * noise."""
    mean, logvar = moments.chunk(2, dim=1)
    return mean + torch.exp(0.5 * logvar.clamp(-30.0, 20.0)) * noise


def kl_divergence(moments: Tensor) -> Tensor:
    """KL to the unit normal, summed over channels, mean over latent pixels and batch; scalar."""
    mean, logvar = moments.chunk(2, dim=1)
    logvar = logvar.clamp(-30.0, 20.0)
    return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).sum(dim=1).mean()
