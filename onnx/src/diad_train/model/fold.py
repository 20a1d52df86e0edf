"""Exact folds: what is constant at inference is computed once, before export.

Each fold changes a module in place and leaves its function as it was, up to rounding: the tests hold every one of them
to the unfolded network. What needs no fold is not built at all: one guidance pass (identical contexts make the
second a copy), one decode, no zero convolution that nothing reads, no ResNet stage behind the last layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from diad_train.model.autoencoder import Autoencoder
from diad_train.model.blocks import Attention, ResBlock, TransformerBlock, time_embedding
from diad_train.model.denoiser import Denoiser, EncoderHalf, SpatialFeatureFusion
from diad_train.model.diad import DiAD


class StepTable(nn.Module):
    """Everything the residual blocks add for a step, one row per known step; any other step reads a row of NaN.

    NaN, because the engine rejects a number that is not finite, and would not notice a wrong row.
    """

    steps: Tensor
    rows: Tensor

    def __init__(self, steps: Tensor, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("steps", steps)
        self.register_buffer("rows", torch.cat([rows, torch.full_like(rows[:1], math.nan)]))

    def forward(self, t: Tensor) -> Tensor:
        """Steps [N] -> rows [N, sum of block widths]."""
        matches = t[:, None] == self.steps[None]
        found = matches.to(torch.int64).argmax(dim=1)
        unknown = torch.full_like(found, len(self.steps))
        return self.rows[torch.where(matches.any(dim=1), found, unknown)]


class Columns(nn.Module):
    """The columns of a table row that belong to one block."""

    def __init__(self, first: int, end: int) -> None:
        super().__init__()
        self.first, self.end = first, end

    def forward(self, row: Tensor) -> Tensor:
        """[N, all] -> [N, end - first]."""
        return row[:, self.first : self.end]


@torch.no_grad()
def fold_steps(half: EncoderHalf, steps: Sequence[int]) -> None:
    """Replaces the step MLP and every block's projection of it by a table over `steps`."""
    t = torch.tensor(steps, dtype=torch.int64)
    embedded = half.time_embed(time_embedding(t, half.config.width))
    rows: list[Tensor] = []
    width = 0
    for block in half.modules():
        if isinstance(block, ResBlock):
            row = block.emb_layers(embedded)
            block.emb_layers = Columns(width, width + row.shape[1])
            rows.append(row)
            width += row.shape[1]
    half.step_table = StepTable(t, torch.cat(rows, dim=1))
    half.time_embed = nn.Identity()


class ConstantContextAttention(nn.Module):
    """Cross-attention whose keys and values are constants; the keys carry 1/sqrt(d)."""

    keys: Tensor
    values: Tensor

    def __init__(self, attention: Attention, context: Tensor) -> None:
        super().__init__()
        self.heads = attention.heads
        tokens, channels = context.shape[1], attention.to_k.out_features
        shape = (1, tokens, self.heads, channels // self.heads)
        keys = attention.to_k(context).view(shape).transpose(1, 2) / math.sqrt(shape[-1])
        self.register_buffer("keys", keys.transpose(2, 3).contiguous())
        self.register_buffer("values", attention.to_v(context).view(shape).transpose(1, 2).contiguous())
        self.to_q, self.to_out = attention.to_q, attention.to_out

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x [N, L, C] -> [N, L, C]; `context` is not used."""
        n, length, channels = x.shape
        q = self.to_q(x).view(n, length, self.heads, channels // self.heads).transpose(1, 2)
        out: Tensor = self.to_out(
            (torch.softmax(q @ self.keys, dim=-1) @ self.values).transpose(1, 2).reshape(n, length, channels)
        )
        return out


@torch.no_grad()
def fold_context(denoiser: Denoiser) -> None:
    """Stores keys and values of every cross-attention on the denoiser's one context."""
    if denoiser.context is None:
        return
    for block in denoiser.modules():
        if isinstance(block, TransformerBlock) and isinstance(block.attn2, Attention):
            block.attn2 = ConstantContextAttention(block.attn2, denoiser.context)
    denoiser.context = None


class StackedFeatureFusion(nn.Module):
    """SFF with one convolution per source: its outputs for all targets lie behind one another."""

    def __init__(self, fusion: SpatialFeatureFusion) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        self.widths: list[int] = []
        for names in zip(*fusion.names, strict=True):
            parts = [fusion.convolution(name) for name in names]
            self.widths = [part.out_channels for part in parts]
            stacked = nn.Conv2d(parts[0].in_channels, sum(self.widths), 3, stride=2, padding=1, bias=False)
            stacked.weight.copy_(torch.cat([part.weight for part in parts]))
            self.convolutions.append(stacked)

    def forward(self, sources: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
        """As `SpatialFeatureFusion.forward`."""
        totals = list(targets)
        for convolution, source in zip(self.convolutions, sources, strict=True):
            added = F.silu(F.instance_norm(convolution(source)))
            totals = [total + part for total, part in zip(totals, torch.split(added, self.widths, dim=1), strict=True)]
        return [F.silu(total) for total in totals]


def dead_fusion(denoiser: Denoiser) -> bool:
    """True if all SFF weights are zero: InstanceNorm(0) = 0 and SiLU(0) = 0, so it adds nothing."""
    return not any(bool(parameter.any()) for parameter in denoiser.control_model.fusion.parameters())


@torch.no_grad()
def fold_fusion(denoiser: Denoiser) -> None:
    """Joins SFF's convolutions by source, or drops them if they are dead; the outer SiLU of each target remains."""
    guide = denoiser.control_model
    if dead_fusion(denoiser):
        guide.drop_fusion()
    elif isinstance(guide.fusion, SpatialFeatureFusion):
        guide.fusion = StackedFeatureFusion(guide.fusion)


@torch.no_grad()
def fold_quantisation(autoencoder: Autoencoder, latent_scale: float) -> None:
    """Puts the 1x1 after the encoder's last 3x3 into it, and 1/`latent_scale` into the 1x1 before the decoder.

    That 1x1 itself stays: its bias and the next convolution's zero border do not commute.
    """
    conv, quant = autoencoder.encoder.conv_out, autoencoder.quant_conv
    if isinstance(quant, nn.Conv2d):
        mix = quant.weight[:, :, 0, 0].double()
        weight = torch.einsum("ab,bcij->acij", mix, conv.weight.double())
        assert conv.bias is not None and quant.bias is not None  # both are built with one
        conv.bias.copy_(mix @ conv.bias.double() + quant.bias.double())
        conv.weight.copy_(weight)
        autoencoder.quant_conv = nn.Identity()
    autoencoder.post_quant_conv.weight.div_(latent_scale)


def norms_behind_convolutions(module: nn.Module) -> list[tuple[str, str]]:
    """Names of every convolution and of the batch norm that follows it, by place or by name (conv1/bn1)."""
    pairs = []
    for path, parent in module.named_modules():
        for name, follower in pairwise(parent._modules):
            conv, norm = parent._modules[name], parent._modules[follower]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                prefix = f"{path}." if path else ""
                pairs.append((prefix + name, prefix + follower))
    return pairs


@torch.no_grad()
def fold_batch_norms(module: nn.Module) -> None:
    """Puts every batch norm that follows a convolution into it."""
    for name, follower in norms_behind_convolutions(module):
        conv, norm = module.get_submodule(name), module.get_submodule(follower)
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)  # chosen so above
        module.set_submodule(name, fuse_conv_bn_eval(conv, norm.eval()))
        module.set_submodule(follower, nn.Identity())


def fold(model: DiAD, *, steps: Sequence[int] | None) -> None:
    """Applies every fold, in place; the model is fit for inference only afterwards.

    `steps` are all that the denoiser will be asked for; None keeps its step MLP, and every step with it.
    """
    fold_fusion(model.denoiser)
    fold_context(model.denoiser)
    if steps is not None:
        for half in (model.denoiser.control_model, model.denoiser.diffusion_model):
            fold_steps(half, steps)
    fold_quantisation(model.autoencoder, float(model.latent_scale))
    fold_batch_norms(model.features.eval())
    model.folded = True
