"""Layers shared by the networks. Names of submodules follow the authors' state dict (see the DiAD specification).

All tensors are NCHW, float32.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def group_norm(*, channels: int, groups: int, eps: float) -> nn.GroupNorm:
    """GroupNorm with at most `groups` groups; fewer where the channels do not divide."""
    return nn.GroupNorm(math.gcd(groups, channels), channels, eps=eps)


def zeroed(module: nn.Conv2d) -> nn.Conv2d:
    """Sets weights and bias to zero, so that the branch starts silent (Zhang et al. 2023, ControlNet)."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


def time_embedding(t: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of steps `t` [N] -> [N, width]; cosines first, divisor width/2."""
    half = width // 2
    frequency = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angle = t.float()[:, None] * frequency[None]
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class ResBlock(nn.Module):
    """Residual block with a step embedding: GN, SiLU, conv; + embedding; GN, SiLU, conv; + skip."""

    def __init__(self, *, channels: int, out_channels: int, time_width: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            group_norm(channels=channels, groups=groups, eps=1e-5),
            nn.SiLU(),
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.emb_layers: nn.Module = nn.Sequential(nn.SiLU(), nn.Linear(time_width, out_channels))
        self.out_layers = nn.Sequential(
            group_norm(channels=out_channels, groups=groups, eps=1e-5),
            nn.SiLU(),
            nn.Identity(),  # stands where the reference has its dropout, so that keys agree
            zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, kernel_size=1)
        )

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """x [N, C, h, w], emb [N, time_width] -> [N, C', h, w]."""
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        out: Tensor = self.skip_connection(x) + self.out_layers(h)
        return out


class Attention(nn.Module):
    """Multi-head attention over tokens [N, L, C]; keys and values come from `context` if given."""

    def __init__(self, *, channels: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_width, channels, bias=False)
        self.to_v = nn.Linear(context_width, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x [N, L, C], context [N, K, D] or None (self-attention) -> [N, L, C]."""
        source = x if context is None else context
        n, length, channels = x.shape
        heads, width = self.heads, channels // self.heads
        q = self.to_q(x).view(n, length, heads, width).transpose(1, 2)
        k = self.to_k(source).view(n, source.shape[1], heads, width).transpose(1, 2)
        v = self.to_v(source).view(n, source.shape[1], heads, width).transpose(1, 2)
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(width), dim=-1)
        out: Tensor = self.to_out((weights @ v).transpose(1, 2).reshape(n, length, channels))
        return out


class GatedGelu(nn.Module):
    """Linear to twice the width; the first half is the value, the second (exact GELU) the gate."""

    def __init__(self, *, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, C] -> [N, L, inner]."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        out: Tensor = value * F.gelu(gate)
        return out


class FeedForward(nn.Module):
    """Gated feed-forward, width times four."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GatedGelu(channels=channels, inner=4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, C] -> [N, L, C]."""
        out: Tensor = self.net(x)
        return out


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention on the constant context, feed-forward; each behind a LayerNorm.

    Without context tokens the cross-attention is left out: on one constant token it only adds a constant,
    which the bias of the self-attention's output carries as well.
    """

    def __init__(self, *, channels: int, context_width: int, context_tokens: int, heads: int) -> None:
        super().__init__()
        self.attn1 = Attention(channels=channels, context_width=channels, heads=heads)
        self.norm1 = nn.LayerNorm(channels)
        self.attn2: nn.Module | None = None
        if context_tokens:
            self.attn2 = Attention(channels=channels, context_width=context_width, heads=heads)
            self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels=channels)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """x [N, L, C], context [N, K, D] or None -> [N, L, C]."""
        x = x + self.attn1(self.norm1(x))
        if self.attn2 is not None:
            x = x + self.attn2(self.norm2(x), context)
        out: Tensor = x + self.ff(self.norm3(x))
        return out


class SpatialTransformer(nn.Module):
    """Transformer over the pixels of a map, row by row, with a residual around all of it."""

    def __init__(self, *, channels: int, context_width: int, context_tokens: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(channels=channels, groups=groups, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, kernel_size=1)
        self.transformer_blocks = nn.ModuleList(
            [
                TransformerBlock(
                    channels=channels, context_width=context_width, context_tokens=context_tokens, heads=heads
                )
            ]
        )
        self.proj_out = zeroed(nn.Conv2d(channels, channels, kernel_size=1))

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """x [N, C, h, w] -> [N, C, h, w]."""
        n, channels, height, width = x.shape
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        out: Tensor = self.proj_out(tokens.transpose(1, 2).reshape(n, channels, height, width)) + x
        return out


class Downsample(nn.Module):
    """Conv 3x3, stride 2, padding 1 on all sides."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h/2, w/2]."""
        out: Tensor = self.op(x)
        return out


class Upsample(nn.Module):
    """Nearest neighbour times two, then conv 3x3."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, 2h, 2w]."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Stack(nn.Sequential):
    """A sequence whose members take what they need of (x, step embedding, context)."""

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:  # type: ignore[override]
        """Applies every member in order."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x)
        return x
