"""Networks of the representation latent: SG network with SFF, and the denoiser that it guides.

The order of steps is that of the pixel model: encode, noise, denoise under the guidance of what SG sees, compare.
Tokens are the positions of a foundation's grid. Attention is linear (Katharopoulos et al. 2020): a softmax would let a
damaged token attend to itself and pass through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from diad_train.schedule import Sampler, alpha_bar


@dataclass(frozen=True)
class RepresentationConfig:
    """Sizes: `groups` channels of the foundation, `side` x `side` tokens, `width` channels inside, `depth` blocks in
    each of SG, encoder half and decoder half, `bottleneck` channels through which SG sees the part.
    """

    groups: tuple[int, ...] = (384, 384)
    side: int = 18
    width: int = 256
    depth: int = 2
    heads: int = 4
    bottleneck: int = 128
    dropout: float = 0.2
    guided: bool = True  # False leaves the SG network out: for ablations
    fused: bool = True  # False leaves the SFF out
    sampler: Sampler = field(default_factory=lambda: Sampler(start=100, steps=(100,)))

    @property
    def channels(self) -> int:
        """Channels of a patch."""
        return sum(self.groups)


class LinearAttention(nn.Module):
    """Attention without a softmax, by elu + 1 of queries and keys: a token reads a mean of all others."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N, P, C] -> [N, P, C]."""
        n, p, c = x.shape
        q, k, v = self.qkv(x).reshape(n, p, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k = functional.elu(q) + 1.0, functional.elu(k) + 1.0
        context = k.transpose(-1, -2) @ v / p
        scale = q @ k.mean(dim=-2, keepdim=True).transpose(-1, -2)
        mixed = (q @ context) / (scale + 1e-6)
        return self.out(mixed.transpose(1, 2).reshape(n, p, c))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Linear attention and an MLP of twice the width, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = LinearAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N, P, C] -> [N, P, C]."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


def zero(layer: nn.Linear) -> nn.Linear:
    """A layer that starts as nothing, as the joins of SG and denoiser do."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class SemanticGuide(nn.Module):
    """SG network: sees the part through a bottleneck; its blocks are fused (SFF) and joined to the decoder half."""

    def __init__(self, config: RepresentationConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Sequential(
            nn.Linear(config.channels, config.bottleneck),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.bottleneck, width),
        )
        self.positions = nn.Parameter(torch.randn(1, config.side**2, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.fusion = nn.Linear(config.depth * width, width) if config.fused else None
        self.joins = nn.ModuleList(zero(nn.Linear(width, width)) for _ in range(config.depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """Standardised tokens [N, P, D] -> guidance of every decoder block, [N, P, depth * C]."""
        x = self.stem(tokens) + self.positions
        seen = []
        for block in self.blocks:
            x = block(x)
            seen.append(x)
        fused = self.fusion(torch.cat(seen, dim=-1)) if self.fusion is not None else 0.0
        return torch.cat([join(x + fused) for join, x in zip(self.joins, reversed(seen), strict=True)], dim=-1)


class Denoiser(nn.Module):
    """U-shaped transformer: noised tokens, step and guidance -> undamaged tokens, as the network sees them."""

    def __init__(self, config: RepresentationConfig) -> None:
        super().__init__()
        width = config.width
        self.width, self.depth = width, config.depth
        self.stem = nn.Linear(config.channels, width)
        self.positions = nn.Parameter(torch.randn(1, config.side**2, width) * 0.02)
        self.step = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.encoder = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.skips = nn.ModuleList(nn.Linear(width, width) for _ in range(config.depth))
        self.decoder = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.channels)
        half = width // 2
        self.register_buffer("frequencies", torch.exp(-math.log(10000.0) * torch.arange(half) / half), persistent=False)
        self.frequencies: Tensor

    def forward(self, latent: Tensor, guidance: Tensor | None, t: Tensor) -> Tensor:
        """Latent [N, P, D], guidance [N, P, depth * C], t [N] -> undamaged latent [N, P, D]."""
        phase = t[:, None].to(latent.dtype) * self.frequencies[None]
        embedded = self.step(torch.cat([phase.cos(), phase.sin()], dim=-1))
        x = self.stem(latent) + self.positions + embedded[:, None]
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        for index, block in enumerate(self.decoder):
            x = x + self.skips[index](skips[-1 - index])
            if guidance is not None:
                x = x + guidance[..., index * self.width : (index + 1) * self.width]
            x = block(x)
        return self.out(self.norm(x))  # type: ignore[no-any-return]


class RepresentationDiAD(nn.Module):
    """The whole path from patches to distances. Everything outside takes and gives grids, [N, D, h, w]."""

    def __init__(self, config: RepresentationConfig) -> None:
        super().__init__()
        self.config = config
        self.guide = SemanticGuide(config) if config.guided else None
        self.denoiser = Denoiser(config)
        d, side = config.channels, config.side
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("deviation", torch.ones(d))
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("start_noise", torch.randn(1, d, side, side, generator=generator))
        self.register_buffer("bars", torch.from_numpy(alpha_bar()).float(), persistent=False)
        self.mean: Tensor
        self.deviation: Tensor
        self.start_noise: Tensor
        self.bars: Tensor

    def standardised(self, tokens: Tensor) -> Tensor:
        """Patches as tokens [N, P, D] -> latent tokens, about unit variance."""
        return (tokens - self.mean) / self.deviation

    def encode(self, patches: Tensor) -> Tensor:
        """Patches [N, D, h, w] -> latent [N, D, h, w]."""
        return (patches - self.mean[:, None, None]) / self.deviation[:, None, None]

    def hint(self, patches: Tensor) -> Tensor:
        """What SG computes once a part: patches [N, D, h, w] -> guidance [N, depth * C, h, w]."""
        if self.guide is None:
            return patches.new_zeros(patches.shape[0], 1, *patches.shape[2:])
        return grid_of(self.guide(self.standardised(tokens_of(patches))), self.config.side)

    def predict_noise(self, latent: Tensor, hint: Tensor, t: Tensor) -> Tensor:
        """One step: noised latent, guidance, t [N] -> the noise in it, [N, D, h, w]."""
        guidance = tokens_of(hint) if self.guide is not None else None
        clean = grid_of(self.denoiser(tokens_of(latent), guidance, t), self.config.side)
        bar = self.bars[t][:, None, None, None]
        return (latent - bar.sqrt() * clean) / (1.0 - bar).sqrt()

    @torch.no_grad()
    def reconstruct(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Patches [N, D, h, w] -> (latent, rebuilt latent)."""
        sampler = self.config.sampler
        latent, hint = self.encode(patches), self.hint(patches)
        bar = float(alpha_bar()[sampler.start])
        z = bar**0.5 * latent + (1.0 - bar) ** 0.5 * self.start_noise
        for step, (c0, c1) in zip(sampler.steps, sampler.coefficients().tolist(), strict=True):
            t = torch.full((z.shape[0],), step, dtype=torch.int64, device=z.device)
            z = c0 * z + c1 * self.predict_noise(z, hint, t)
        return latent, z

    def distance(self, patches: Tensor) -> Tensor:
        """Patches [N, D, h, w] -> cosine distance of latent and rebuilt latent, mean over the groups, [N, h, w]."""
        latent, rebuilt = self.reconstruct(patches)
        groups = zip(*(torch.split(x, list(self.config.groups), 1) for x in (latent, rebuilt)), strict=True)
        distances = [1.0 - functional.cosine_similarity(a, b, dim=1) for a, b in groups]
        return torch.stack(distances).mean(dim=0)


def tokens_of(grid: Tensor) -> Tensor:
    """[N, C, h, w] -> [N, h * w, C]."""
    return grid.flatten(2).transpose(1, 2)


def grid_of(tokens: Tensor, side: int) -> Tensor:
    """[N, side², C] -> [N, C, side, side]."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], side, side)
