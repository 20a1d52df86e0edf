"""Imports a checkpoint with the authors' key layout: sizes are read off its shapes, then every key must fit.

Keys, stock sizes and what may be left out: He et al., AAAI 2024, and the state dict that their code writes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diad_train.config import HINT_FACTOR, AutoencoderConfig, ConfigError, DenoiserConfig, FeaturesConfig, ModelConfig
from diad_train.exchange.checkpoint import CheckpointError, State, mismatches, not_finite, read_state
from diad_train.exchange.data import DataError
from diad_train.model.diad import DiAD
from diad_train.model.resnet import load_resnet50
from diad_train.schedule import Sampler, alpha_bar

UNET, GUIDE, AUTOENCODER = "model.diffusion_model.", "control_model.", "first_stage_model."
# The text encoder: its output for the empty text is the constant context, which is given apart.
TEXT_ENCODER = "cond_stage_model."
# Tables of the training program. They hold nothing that the schedule does not define.
TABLES = {
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "logvar",
}
LATENT_SCALE = 0.18215


@dataclass(frozen=True)
class Extras:
    """What a checkpoint does not hold."""

    context: Path
    features: Path
    posterior_noise: Path | None = None
    start_noise: Path | None = None


def _dims(state: Mapping[str, Tensor], keys: Iterable[tuple[str, int]]) -> int | None:
    """The extent that most of these (key, axis) agree on: one misshapen key must not hide behind its own error.

    So name three that do not depend on each other.
    """
    found = Counter(state[key].shape[axis] for key, axis in keys if key in state and state[key].dim() > axis)
    return found.most_common(1)[0][0] if found else None


def _need(path: Path, value: int | None, what: str) -> int:
    if value is None or value < 1:
        raise CheckpointError(path, f"is not a DiAD checkpoint: no key states {what}")
    return value


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the highest number that `pattern` finds in a key: what is beyond it is surplus."""
    found = [re.match(pattern, key) for key in state]
    return max((int(match.group(1)) + 1 for match in found if match), default=0)


def denoiser_config(state: Mapping[str, Tensor], path: Path, *, heads: int, tokens: int) -> DenoiserConfig:
    """Sizes of U-Net and SG network, read off the shapes of a state dict."""
    halves = (UNET, GUIDE)
    embed = [(f"{half}time_embed.{name}", axis) for half in halves for name, axis in (("0.weight", 1),)]
    embed += [(f"{UNET}out.0.weight", 0), (f"{UNET}out.2.weight", 1), (f"{UNET}input_blocks.0.0.weight", 0)]
    width = _need(path, _dims(state, embed), "the width")
    levels: list[list[int]] = [[]]
    attention: list[list[bool]] = [[]]
    count = _count(state, rf"(?:{UNET}|{GUIDE})input_blocks\.(\d+)\.0\.(?:op|in_layers|out_layers)\.")
    for index in range(1, count):
        names = [f"{half}input_blocks.{index}." for half in halves]
        if any(name + "0.op.weight" in state or name + "0.op.bias" in state for name in names):
            levels.append([])
            attention.append([])
        else:
            parts = ("0.out_layers.3.weight", "0.out_layers.3.bias", "0.out_layers.0.weight", "0.in_layers.2.weight")
            channels = _dims(state, [(name + part, 0) for name in names for part in parts])
            levels[-1].append(_need(path, channels, f"the width of input block {index}"))
            attention[-1].append(any(key.startswith(name + "1.") for name in names for key in state))
    if any(len(level) != len(levels[0]) or len(set(level)) > 1 for level in levels) or not levels[0]:
        raise CheckpointError(path, f"is not a DiAD checkpoint: its levels are {levels}; all must be of one length")
    multipliers = [level[0] // width for level in levels]
    if any(level[0] % width for level in levels):
        raise CheckpointError(path, f"is not a DiAD checkpoint: level widths {levels} are no multiples of {width}")
    context_keys = [(key, 1) for key in state if key.endswith((".attn2.to_k.weight", ".attn2.to_v.weight"))]
    hint = f"{GUIDE}input_hint_block."
    hints = [
        [(f"{hint}{at}.weight", 0), (f"{hint}{at}.bias", 0), (f"{hint}{at + 2}.weight", 1)] for at in range(0, 14, 2)
    ]
    return DenoiserConfig(
        width=width,
        multipliers=tuple(multipliers),
        res_blocks=len(levels[0]),
        attention_factors=tuple(2**i for i, level in enumerate(attention) if any(level)),
        heads=heads,
        context_tokens=tokens,
        context_width=_need(path, _dims(state, context_keys), "the width of the context"),
        hint_widths=tuple(_need(path, _dims(state, keys), "the hint block's widths") for keys in hints),
    )


def autoencoder_config(state: Mapping[str, Tensor], path: Path) -> AutoencoderConfig:
    """Sizes of the autoencoder, read off the shapes of a state dict."""
    encoder = f"{AUTOENCODER}encoder."
    first = [
        ("conv_in.weight", 0),
        ("conv_in.bias", 0),
        ("down.0.block.0.norm1.weight", 0),
        ("down.0.block.0.conv1.weight", 1),
    ]
    width = _need(path, _dims(state, [(encoder + name, axis) for name, axis in first]), "the autoencoder's width")
    widths: list[int] = []
    blocks: Counter[int] = Counter()
    for _ in range(_count(state, rf"{encoder}down\.(\d+)\.block\.")):
        level = f"{encoder}down.{len(widths)}.block."
        parts = ("conv1.weight", "conv1.bias", "norm2.weight", "conv2.weight")
        channels = _dims(state, [(f"{level}0.{part}", 0) for part in parts])
        widths.append(_need(path, channels, f"the width of the autoencoder's level {len(widths)}"))
        blocks[len({key.removeprefix(level).split(".")[0] for key in state if key.startswith(level)})] += 1
    latent = [(f"{AUTOENCODER}post_quant_conv.weight", 0), (f"{AUTOENCODER}post_quant_conv.bias", 0)]
    latent += [(f"{AUTOENCODER}decoder.conv_in.weight", 1)]
    return AutoencoderConfig(
        width=width,
        multipliers=tuple(max(1, channels // width) for channels in widths),
        res_blocks=_need(path, max(blocks, key=lambda count: blocks[count], default=None), "the autoencoder's levels"),
        latent_channels=_need(path, _dims(state, latent), "the latent's channels"),
        middle_attention=any(
            key.startswith((f"{encoder}mid.attn_1.", f"{AUTOENCODER}decoder.mid.attn_1.")) for key in state
        ),
    )


def _ours(state: State) -> State:
    """The authors' keys as this model's: only prefixes differ, and the SFF is a module of its own."""
    renamed = {}
    for key, value in state.items():
        ours = key
        if key.startswith(UNET):
            ours = "denoiser.diffusion_model." + key.removeprefix(UNET)
        elif key.startswith(GUIDE):
            rest = key.removeprefix(GUIDE)
            ours = "denoiser.control_model." + ("fusion." if rest.startswith("down") else "") + rest
        elif key.startswith(AUTOENCODER):
            ours = "autoencoder." + key.removeprefix(AUTOENCODER)
        renamed[ours] = value
    return renamed


# Parts of a model that its checkpoint does not hold.
FROM_ELSEWHERE = ("features.", "latent_scale", "start_noise", "denoiser.context")
# Parts that Stable Diffusion does not have: after a start from it they have random weights.
NEW_PARTS = ("input_hint_block.", "zero_convs.", "middle_block_out.", "fusion.")
SHARED_PARTS = ("time_embed.", "input_blocks.", "middle_block.")
BARE_AUTOENCODER = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")


def start_weights(path: Path) -> State:
    """Weights to start training from, in this model's keys.

    From a `model.pt` of this program, a checkpoint of the authors, one of Stable Diffusion (its U-Net's encoder half
    becomes the SG network's too: Zhang et al. 2023) or one of a KL autoencoder alone.
    """
    state = read_state(path, inside=("state_dict", "model"))
    if any(key.startswith(("autoencoder.", "denoiser.", "features.")) for key in state):
        return state
    if not any(key.startswith((UNET, AUTOENCODER)) for key in state):
        return {f"autoencoder.{key}": value for key, value in state.items() if key.startswith(BARE_AUTOENCODER)}
    state = {key: value.float() for key, value in _ours(state).items()}
    unet, guide = "denoiser.diffusion_model.", "denoiser.control_model."
    shared = tuple(unet + part for part in SHARED_PARTS)
    copied = {guide + key.removeprefix(unet): value for key, value in state.items() if key.startswith(shared)}
    return copied | state


def is_of_authors(path: Path) -> bool:
    """Whether a file of weights has a U-Net in the authors' keys or Stable Diffusion's, which predicts noise."""
    return path.is_file() and any(key.startswith(UNET) for key in read_state(path, inside=("state_dict", "model")))


def may_be_new(key: str) -> bool:
    """Whether a start from weights without this key is still one: the SG network's own parts, and the context."""
    own = tuple("denoiser.control_model." + part for part in NEW_PARTS)
    return key.startswith(own) or key == "denoiser.context"


def theirs(key: str) -> str:
    """This model's key as the authors write it."""
    for ours, other in (
        ("denoiser.diffusion_model.", UNET),
        ("denoiser.control_model.fusion.", GUIDE),
        ("denoiser.control_model.", GUIDE),
        ("autoencoder.", AUTOENCODER),
    ):
        if key.startswith(ours):
            return other + key.removeprefix(ours)
    return key


def _numbers(path: Path, what: str) -> NDArray[np.float32]:
    """The numbers of a `.npy` file, all finite."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a .npy file with {what}: {error}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        kind = values.dtype if isinstance(values, np.ndarray) else "several arrays"
        raise DataError(f"{path}: {what} is {kind}; must be one array of real numbers, as np.save writes it")
    with np.errstate(over="ignore"):  # a number that does not fit becomes infinite and is rejected below
        single = values.astype(np.float32)
    if not np.isfinite(single).all():
        raise DataError(f"{path}: {what} holds a number that is not finite")
    return single


def _array(path: Path, shape: tuple[int, ...], what: str) -> Tensor:
    """An array of float numbers from a `.npy` file, with or without its leading 1."""
    values = _numbers(path, what)
    if values.shape not in (shape, shape[1:]):
        raise DataError(f"{path}: {what} is {list(values.shape)}; must be {list(shape)}")
    return torch.from_numpy(values.reshape(shape))


def read_context(path: Path, *, width: int) -> Tensor:
    """The context [1, tokens, width]: an array, or the output of a folder's CLIP text encoder for the empty text."""
    if path.is_dir():
        context = _clip_context(path)
        if context.shape[-1] != width:
            raise DataError(f"{path}: its context is {list(context.shape[1:])}; the network takes {width} wide ones")
        return context
    shape = _numbers(path, "the context (a folder would be one with a CLIP text encoder)").shape
    tokens = shape[-2] if len(shape) in (2, 3) else 0
    return _array(path, (1, max(1, tokens), width), "the context")


def _clip_context(folder: Path) -> Tensor:
    try:
        from transformers import CLIPTextModel, CLIPTokenizer  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise DataError(f"{folder}: reading a text encoder needs `pip install transformers`; or give a .npy") from error
    try:
        tokens = CLIPTokenizer.from_pretrained(folder)("", padding="max_length", max_length=77, return_tensors="pt")
        encoder = CLIPTextModel.from_pretrained(folder).eval()
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: no CLIP text encoder and tokenizer in it: {error}") from error
    with torch.no_grad():
        out: Tensor = encoder(tokens["input_ids"]).last_hidden_state
    return out


def import_checkpoint(path: Path, extras: Extras, *, size: int, steps: int, heads: int, name: str) -> DiAD:
    """Builds the model that a checkpoint was trained as, and fills it; the features are a ResNet-50.

    `size` is the side of the image in pixels, `steps` the DDIM steps (evenly spaced as the authors space them).
    Raises CheckpointError with every key that is missing, surplus, misshapen or not finite, DataError for the extra
    files, and ConfigError for numbers of steps or heads that cannot be.
    """
    try:
        sampler = Sampler.spaced(steps)
    except ValueError as error:
        raise ConfigError(f"--steps: {error}") from error
    whole = read_state(path)
    known = {key: value for key, value in whole.items() if key not in TABLES and not key.startswith(TEXT_ENCODER)}
    if "alphas_cumprod" in whole:
        _check_schedule(path, whole["alphas_cumprod"])
    width = _need(
        path, _dims(known, [(k, 1) for k in known if k.endswith("attn2.to_k.weight")]), "the width of the context"
    )
    context = read_context(extras.context, width=width)
    try:
        autoencoder = autoencoder_config(known, path)
        denoiser = denoiser_config(known, path, heads=heads, tokens=context.shape[1])
    except CheckpointError as error:
        # What its sizes should be read off is gone. It may be anything; the paper's network is what most are.
        with torch.device("meta"):
            stock = DiAD(ModelConfig(features=FeaturesConfig(kind="resnet50"))).state_dict()
        faults = mismatches({theirs(k): v for k, v in stock.items() if not k.startswith(FROM_ELSEWHERE)}, known)
        raise CheckpointError(
            path, f"{error.what}; beside the paper's network, {len(faults)} keys do not fit", faults
        ) from error
    config = ModelConfig(
        name=name,
        image_size=size,
        latent_scale=LATENT_SCALE,
        autoencoder=autoencoder,
        denoiser=denoiser,
        features=FeaturesConfig(kind="resnet50"),
        sampler=sampler,
    )
    _check_heads(config.denoiser)
    if config.autoencoder.factor != HINT_FACTOR:
        raise CheckpointError(
            path, f"has an autoencoder of factor {config.autoencoder.factor}; the hint block makes {HINT_FACTOR}"
        )
    least = config.pool_times * (config.pool_window_px - 1) + 1
    if size < least:
        raise DataError(f"--size {size}: the pooling of the score takes at least {least}")
    coarsest = config.autoencoder.factor * 2 ** (len(config.denoiser.multipliers) - 1)
    if size % coarsest or size < 2 * coarsest:
        raise DataError(f"--size {size}: must be a multiple of {coarsest} and at least {2 * coarsest} for this network")
    with torch.device("meta"):
        model = DiAD(config)
    state = _ours(known)
    wanted = {k: v for k, v in model.state_dict().items() if not k.startswith(FROM_ELSEWHERE)}
    faults = mismatches({theirs(k): v for k, v in wanted.items()}, known)
    faults += [f"not real: {key} is {v.dtype}" for key, v in known.items() if not v.dtype.is_floating_point]
    guide = model.denoiser.control_model
    unread = tuple(f"{GUIDE}zero_convs.{i}." for i in range(len(guide.zero_convs) - 2 * guide.group))
    faults += not_finite({key: value for key, value in known.items() if not key.startswith(unread)})
    if faults:
        raise CheckpointError(path, f"does not fit: {len(faults)} keys", faults)
    shape = (1, config.autoencoder.latent_channels, config.latent_size, config.latent_size)
    state = {key: value.float() for key, value in state.items()}
    state |= {"latent_scale": torch.tensor(LATENT_SCALE), "denoiser.context": context}
    state["start_noise"] = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    if extras.start_noise is not None:
        state["start_noise"] = _array(extras.start_noise, shape, "the start noise")
    model.features = load_resnet50(extras.features)
    model.load_state_dict(state | {f"features.{k}": v for k, v in model.features.state_dict().items()}, assign=True)
    if extras.posterior_noise is not None:
        model.posterior_noise = _array(extras.posterior_noise, shape, "the posterior noise")
    return model.eval().requires_grad_(False)


def _check_heads(config: DenoiserConfig) -> None:
    widths = [config.width * multiplier for multiplier in config.multipliers]
    if config.heads < 1 or any(width % config.heads for width in widths):
        raise ConfigError(f"--heads {config.heads}: must divide the widths of the levels, {widths}")


def _check_schedule(path: Path, bars: Tensor) -> None:
    ours = torch.from_numpy(alpha_bar())
    # Halved with the weights, the table is as coarse as its numbers.
    allowed = max(1e-6, torch.finfo(bars.dtype).eps) if bars.dtype.is_floating_point else 0.0
    if bars.shape != ours.shape or not float((bars.double() - ours).abs().max()) <= allowed:
        raise CheckpointError(path, "was trained with another noise schedule than sqrt-linear 0.00085 to 0.012")
