"""The Stable-Diffusion denoiser and the semantic-guided (SG) network with its spatial-aware feature fusion (SFF).

Sources: Rombach et al. 2022 (U-Net); He et al., AAAI 2024 (SG, SFF). Keys follow the authors' state dict. Indices
that the authors wrote for the stock size are derived here: one *group* is the last halving and the blocks after it, so
with R residual blocks a level a group has R + 1 members; the deepest group is joined, the one above it feeds the SFF.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diad_train.config import DenoiserConfig
from diad_train.model.blocks import (
    Downsample,
    ResBlock,
    SpatialTransformer,
    Stack,
    Upsample,
    group_norm,
    time_embedding,
    zeroed,
)
from diad_train.schedule import alpha_bar


class EncoderHalf(nn.Module):
    """Step embedding, input blocks and middle block: the half that U-Net and SG network share in shape."""

    def __init__(self, config: DenoiserConfig, *, latent_channels: int) -> None:
        super().__init__()
        self.config = config
        width, time_width = config.width, 4 * config.width
        self.time_embed: nn.Module = nn.Sequential(
            nn.Linear(width, time_width), nn.SiLU(), nn.Linear(time_width, time_width)
        )
        self.step_table: nn.Module | None = None  # stands for `time_embed` once it is folded
        self.input_blocks = nn.ModuleList([Stack(nn.Conv2d(latent_channels, width, 3, padding=1))])
        self.output_channels = [width]
        channels, factor = width, 1
        for index, multiplier in enumerate(config.multipliers):
            for _ in range(config.res_blocks):
                layers: list[nn.Module] = [self.res_block(channels, width * multiplier)]
                channels = width * multiplier
                if factor in config.attention_factors:
                    layers.append(self.transformer(channels))
                self.input_blocks.append(Stack(*layers))
                self.output_channels.append(channels)
            if index + 1 < len(config.multipliers):
                self.input_blocks.append(Stack(Downsample(channels=channels)))
                self.output_channels.append(channels)
                factor *= 2
        self.middle_block = Stack(
            self.res_block(channels, channels), self.transformer(channels), self.res_block(channels, channels)
        )

    def res_block(self, channels: int, out_channels: int) -> ResBlock:
        """A residual block of this network."""
        config = self.config
        return ResBlock(
            channels=channels, out_channels=out_channels, time_width=4 * config.width, groups=config.norm_groups
        )

    def transformer(self, channels: int) -> SpatialTransformer:
        """A spatial transformer of this network."""
        config = self.config
        return SpatialTransformer(
            channels=channels,
            context_width=config.context_width,
            context_tokens=config.context_tokens,
            heads=config.heads,
            groups=config.norm_groups,
        )

    def embed(self, t: Tensor) -> Tensor:
        """Steps [N] -> embedding [N, 4 * width], or the folded table's rows."""
        out: Tensor
        if self.step_table is not None:
            out = self.step_table(t)
        else:
            out = self.time_embed(time_embedding(t, self.config.width))
        return out


class SpatialFeatureFusion(nn.Module):
    """SFF: adds to each output of the deepest group a strided view of every output of the group above it.

    D_ij = SiLU(InstanceNorm(Conv 3x3, stride 2, no bias)); target_j <- SiLU(target_j + sum_i D_ij).
    """

    def __init__(self, *, source_channels: Sequence[int], target_channels: Sequence[int]) -> None:
        super().__init__()
        self.names = [
            [f"down{i}{j}" for i in range(1, len(source_channels) + 1)] for j in range(1, len(target_channels) + 1)
        ]
        for j, target in enumerate(target_channels):
            for i, source in enumerate(source_channels):
                layer = nn.Sequential(
                    nn.Conv2d(source, target, 3, stride=2, padding=1, bias=False), nn.InstanceNorm2d(target), nn.SiLU()
                )
                self.add_module(self.names[j][i], layer)

    def convolution(self, name: str) -> nn.Conv2d:
        """The convolution of the branch `down{source}{target}`."""
        layer = self.get_submodule(f"{name}.0")
        assert isinstance(layer, nn.Conv2d)  # built so above
        return layer

    def forward(self, sources: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
        """Sources [N, C_i, 2h, 2w], targets [N, C_j, h, w] -> fused targets."""
        fused = []
        for names, target in zip(self.names, targets, strict=True):
            total = target
            for name, source in zip(names, sources, strict=True):
                total = total + self.get_submodule(name)(source)
            fused.append(nn.functional.silu(total))
        return fused


class _Silence(nn.Module):
    """SFF without sources: the outer SiLU is all that remains."""

    def forward(self, sources: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
        return [nn.functional.silu(target) for target in targets]


class SemanticGuide(EncoderHalf):
    """SG network: reads the image through the hint block and steers the denoiser's deepest joins."""

    def __init__(self, config: DenoiserConfig, *, latent_channels: int) -> None:
        super().__init__(config, latent_channels=latent_channels)
        self.group = config.res_blocks + 1
        self.sources = self.group
        widths = [3, *config.hint_widths, config.width]
        strides = [1, 1, 2, 1, 2, 1, 2, 1]
        hint: list[nn.Module] = []
        for index, stride in enumerate(strides):
            hint += [nn.Conv2d(widths[index], widths[index + 1], 3, stride=stride, padding=1), nn.SiLU()]
        self.input_hint_block = nn.Sequential(*hint[:-1])
        self.zero_convs = nn.ModuleList(
            nn.Sequential(zeroed(nn.Conv2d(channels, channels, kernel_size=1))) for channels in self.output_channels
        )
        channels = self.output_channels[-1]
        self.middle_block_out = nn.Sequential(zeroed(nn.Conv2d(channels, channels, kernel_size=1)))
        self.fusion: nn.Module = SpatialFeatureFusion(
            source_channels=self.output_channels[-2 * self.group : -self.group],
            target_channels=self.output_channels[-self.group :],
        )
        if not config.fused:
            self.drop_fusion()

    def hint(self, image: Tensor) -> Tensor:
        """Image [N, 3, H, W] -> hint [N, width, h, w]; independent of the step."""
        out: Tensor = self.input_hint_block(image)
        return out

    def drop_fusion(self) -> None:
        """Leaves the SFF out, and with it the outputs that only it reads: exact where all its weights are zero."""
        self.fusion = _Silence()
        self.sources = 0

    def forward(self, latent: Tensor, hint: Tensor, t: Tensor, context: Tensor | None) -> list[Tensor]:
        """Joins for the denoiser: the deepest group's, then the middle block's."""
        emb = self.embed(t)
        outputs: list[Tensor] = []
        h = latent
        first_used = len(self.input_blocks) - self.group - self.sources
        for index, block in enumerate(self.input_blocks):
            h = block(h, emb, context)
            if index == 0:
                h = h + hint
            if index >= first_used:
                outputs.append(self.zero_convs[index](h))
        middle: Tensor = self.middle_block_out(self.middle_block(h, emb, context))
        return [*self.fusion(outputs[: self.sources], outputs[self.sources :]), middle]


class UNet(EncoderHalf):
    """The denoiser. The SG network joins after the middle block and at the skips of the lowest resolution."""

    def __init__(self, config: DenoiserConfig, *, latent_channels: int) -> None:
        super().__init__(config, latent_channels=latent_channels)
        skips = list(self.output_channels)
        channels = skips[-1]
        factor = 2 ** (len(config.multipliers) - 1)
        self.output_blocks = nn.ModuleList()
        for index, multiplier in reversed(list(enumerate(config.multipliers))):
            for block in range(config.res_blocks + 1):
                layers: list[nn.Module] = [self.res_block(channels + skips.pop(), config.width * multiplier)]
                channels = config.width * multiplier
                if factor in config.attention_factors:
                    layers.append(self.transformer(channels))
                if index > 0 and block == config.res_blocks:
                    layers.append(Upsample(channels=channels))
                    factor //= 2
                self.output_blocks.append(Stack(*layers))
        self.out = nn.Sequential(
            group_norm(channels=channels, groups=config.norm_groups, eps=1e-5),
            nn.SiLU(),
            zeroed(nn.Conv2d(channels, latent_channels, 3, padding=1)),
        )

    def forward(self, latent: Tensor, t: Tensor, context: Tensor | None, joins: Sequence[Tensor]) -> Tensor:
        """Latent [N, C, h, w] -> network output of the same shape. `joins` as the SG network gives them, or empty."""
        emb = self.embed(t)
        skips: list[Tensor] = []
        h = latent
        for block in self.input_blocks:
            h = block(h, emb, context)
            skips.append(h)
        h = self.middle_block(h, emb, context)
        if joins:
            h = h + joins[-1]
            for offset, join in enumerate(reversed(joins[:-1])):
                skips[-1 - offset] = skips[-1 - offset] + join
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), emb, context)
        out: Tensor = self.out(h)
        return out


class Denoiser(nn.Module):
    """SG network joined to the U-Net: predicts the noise in a latent.

    With prediction "v" the U-Net predicts v (Salimans & Ho 2022) and this class converts it to noise, so that DDIM
    always gets epsilon.
    """

    alpha_bars: Tensor
    context: Tensor | None

    def __init__(self, config: DenoiserConfig, *, latent_channels: int) -> None:
        super().__init__()
        self.config = config
        self.control_model = SemanticGuide(config, latent_channels=latent_channels)
        self.diffusion_model = UNet(config, latent_channels=latent_channels)
        self.register_buffer("alpha_bars", torch.from_numpy(alpha_bar()).float(), persistent=False)
        tokens = config.context_tokens
        context = torch.zeros(1, tokens, config.context_width) if tokens else None
        self.register_buffer("context", context)

    def predict(self, latent: Tensor, hint: Tensor, t: Tensor, *, guided: bool = True) -> Tensor:
        """Network output in the parametrisation of the settings, [N, C, h, w]."""
        context = None if self.context is None else self.context.expand(latent.shape[0], -1, -1)
        joins = self.control_model(latent, hint, t, context) if guided and self.config.guided else []
        out: Tensor = self.diffusion_model(latent, t, context, joins)
        return out

    def forward(self, latent: Tensor, hint: Tensor, t: Tensor) -> Tensor:
        """Predicted noise, [N, C, h, w]; latent scaled, steps t [N] (int64)."""
        out = self.predict(latent, hint, t)
        if self.config.prediction == "epsilon":
            return out
        bar = self.alpha_bars[t][:, None, None, None]
        return (1.0 - bar).sqrt() * latent + bar.sqrt() * out

    def clean(self, latent: Tensor, hint: Tensor, t: Tensor, *, guided: bool = True) -> Tensor:
        """The clean latent that the network believes in, [N, C, h, w]."""
        out = self.predict(latent, hint, t, guided=guided)
        bar = self.alpha_bars[t][:, None, None, None]
        if self.config.prediction == "epsilon":
            return (latent - (1.0 - bar).sqrt() * out) / bar.sqrt()
        return bar.sqrt() * latent - (1.0 - bar).sqrt() * out
