"""Settings of a model and of its training, read from one YAML file."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from diad_train.schedule import Sampler

# Image pixels per side of a pixel that the hint block makes.
HINT_FACTOR = 8


class ConfigError(ValueError):
    """A settings file that cannot be used; the message names the key, the value and what is allowed."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """KL autoencoder with one halving per multiplier but the last. Stock: 128, (1, 2, 4, 4), 2, attention."""

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    res_blocks: int = 2
    latent_channels: int = 4
    norm_groups: int = 32
    middle_attention: bool = True

    @property
    def factor(self) -> int:
        """Image pixels per latent pixel, along one side."""
        return int(2 ** (len(self.multipliers) - 1))


@dataclass(frozen=True)
class DenoiserConfig:
    """U-Net and SG network. Stock: 320, (1, 2, 4, 4), 2, transformers at factors 1, 2, 4, 8 heads, 77x768 context."""

    width: int = 320
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    res_blocks: int = 2
    attention_factors: tuple[int, ...] = (1, 2, 4)
    heads: int = 8
    norm_groups: int = 32
    context_tokens: int = 77
    context_width: int = 768
    hint_widths: tuple[int, ...] = (16, 16, 32, 32, 96, 96, 256)
    prediction: str = "epsilon"
    guided: bool = True  # False leaves the SG network out: for ablations
    fused: bool = True  # False leaves the SFF out

    def __post_init__(self) -> None:
        if self.prediction not in ("epsilon", "v"):
            raise ValueError(f"denoiser.prediction is {self.prediction!r}; allowed: epsilon, v")
        if len(self.hint_widths) != 7:
            raise ValueError(f"denoiser.hint_widths has {len(self.hint_widths)} entries; the hint block has 7")


@dataclass(frozen=True)
class FeaturesConfig:
    """Feature extractor: `student`, distilled from an ImageNet teacher, with one width per layer; or `resnet50`."""

    kind: str = "student"
    widths: tuple[int, ...] = (24, 48, 120)
    stem: int = 16
    depth: int = 2

    def __post_init__(self) -> None:
        if self.kind not in ("student", "resnet50"):
            raise ValueError(f"features.kind is {self.kind!r}; allowed: student, resnet50")


@dataclass(frozen=True)
class ModelConfig:
    """One model: image side in pixels, networks, sampler, anomaly map."""

    name: str = "diad"
    image_size: int = 256
    latent_scale: float = 0.18215
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    sampler: Sampler = field(default_factory=lambda: Sampler(start=999, steps=tuple(range(901, 0, -100))))
    layer_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    blur_sigma_px: float = 5.0
    blur_truncate: float = 4.0
    pool_window_px: int = 8
    pool_times: int = 8

    @property
    def latent_size(self) -> int:
        """Side of the latent, in latent pixels."""
        return self.image_size // self.autoencoder.factor


@dataclass(frozen=True)
class StageConfig:
    """One training stage."""

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: int = 100
    ema: float = 0.999
    look_every: int = 500  # steps between two looks at the held-out parts


@dataclass(frozen=True)
class TrainConfig:
    """Data and the stages, in their order; a stage of no steps is left out.

    `teacher` is the folder of a convolutional foundation; distil and align learn from it.
    `context` is for networks with cross-attention: a `.npy` array or a folder with a CLIP text encoder.
    """

    data: str = "data"
    seed: int = 1
    crop: int = 128
    corruptions_per_image: int = 3
    autoencoder: StageConfig = field(default_factory=lambda: StageConfig(4000, 16, 1e-3))
    denoiser: StageConfig = field(default_factory=lambda: StageConfig(6000, 16, 1e-3))
    sg: StageConfig = field(default_factory=lambda: StageConfig(0, 16, 5e-4))
    distil: StageConfig = field(default_factory=lambda: StageConfig(3000, 16, 2e-3))
    align: StageConfig = field(default_factory=lambda: StageConfig(1500, 8, 5e-4))
    teacher: str = "target/foundation/efficientnet-lite2"
    context: str = ""
    licence: str = "MIT OR Apache-2.0"
    workers: int = 0

    @property
    def stages(self) -> dict[str, StageConfig]:
        """Settings of every stage by its name, in the order of training."""
        return {
            "autoencoder": self.autoencoder,
            "denoiser": self.denoiser,
            "sg": self.sg,
            "distil": self.distil,
            "align": self.align,
        }


@dataclass(frozen=True)
class Config:
    """The whole file."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def build(cls: Any, raw: Any, path: str) -> Any:
    """`raw` as the dataclass `cls`; unknown keys and wrong types raise ConfigError with their place."""
    origin = typing.get_origin(cls)
    if dataclasses.is_dataclass(cls):
        if not isinstance(raw, dict):
            raise ConfigError(f"{path}: expected a section, got {raw!r}")
        hints = typing.get_type_hints(cls)
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(raw) - known)
        if unknown:
            raise ConfigError(f"{path}: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(known))}")
        try:
            return cls(**{key: build(hints[key], value, f"{path}.{key}") for key, value in raw.items()})  # type: ignore[operator]
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path}: {error}") from error
    if origin is tuple:
        if not isinstance(raw, list):
            raise ConfigError(f"{path}: expected a list, got {raw!r}")
        return tuple(build(typing.get_args(cls)[0], item, f"{path}[{i}]") for i, item in enumerate(raw))
    if isinstance(cls, types.UnionType):
        return raw
    if cls is float and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, cls) or (cls is int and isinstance(raw, bool)):
        raise ConfigError(f"{path}: expected {cls.__name__}, got {raw!r}")
    return raw


def load(path: Path) -> Config:
    """Reads a settings file; unknown keys and wrong types raise ConfigError with the file and the key."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    built: Config = build(Config, raw or {}, str(path))
    faults = list(_misfits(built))
    if faults:
        raise ConfigError("\n".join(f"{path}: {fault}" for fault in faults))
    return built


# The settings of the shipped model, in a checkout.
SHIPPED = Path(__file__).parents[2] / "configs" / "diad-tiny.yaml"


def recommended(data: Path) -> Config:
    """The networks and stages of the shipped model for other parts; the model has the name of the folder."""
    config = load(SHIPPED)
    model = dataclasses.replace(config.model, name=data.resolve().name)
    train = dataclasses.replace(config.train, data=str(data), licence="that of the pictures it was trained on")
    return dataclasses.replace(config, model=model, train=train)


def _misfits(config: Config) -> Iterator[str]:
    """Values that are allowed alone and do not fit together: named before hours of training."""
    model, train = config.model, config.train
    widths = {"autoencoder": model.autoencoder.width, "denoiser": model.denoiser.width}
    groups = {"autoencoder": model.autoencoder.norm_groups, "denoiser": model.denoiser.norm_groups}
    for name, multipliers in (("autoencoder", model.autoencoder.multipliers), ("denoiser", model.denoiser.multipliers)):
        if not multipliers or min(multipliers) < 1:
            yield f"model.{name}.multipliers {list(multipliers)}: must be one whole number above 0 for each level"
            return
        if groups[name] < 1 or widths[name] < 1 or widths[name] % groups[name]:
            yield f"model.{name}.norm_groups {groups[name]}: must divide the width {widths[name]}"
    for place, value in (
        ("autoencoder.res_blocks", model.autoencoder.res_blocks),
        ("autoencoder.latent_channels", model.autoencoder.latent_channels),
        ("denoiser.res_blocks", model.denoiser.res_blocks),
        ("pool_window_px", model.pool_window_px),
    ):
        if value < 1:
            yield f"model.{place} {value}: must be at least 1"
    if model.denoiser.fused and len(model.denoiser.multipliers) == 1:
        yield "model.denoiser.multipliers has 1 level; the SFF reads the one above the last: give 2, or fused: false"
    if model.latent_scale <= 0:
        yield f"model.latent_scale {model.latent_scale}: must be above 0"
    if train.seed < 0:
        yield f"train.seed {train.seed}: must be at least 0"
    denoiser, size, factor = model.denoiser, model.image_size, model.autoencoder.factor
    if factor != HINT_FACTOR:
        yield f"model.autoencoder.multipliers: their factor is {factor}; the hint block makes {HINT_FACTOR}: give four"
    coarsest = factor * 2 ** (len(denoiser.multipliers) - 1)
    least = max(2 * coarsest, model.pool_times * (model.pool_window_px - 1) + 1)
    if size % coarsest or size < least:
        yield f"model.image_size {size}: must be a multiple of {coarsest} and at least {least} for these networks"
    for level, multiplier in enumerate(denoiser.multipliers):
        attends = 2**level in denoiser.attention_factors or level + 1 == len(denoiser.multipliers)
        width = denoiser.width * multiplier
        if attends and (denoiser.heads < 1 or width % denoiser.heads):
            yield f"model.denoiser.heads {denoiser.heads}: must divide the width {width} of level {level}"
    if len(model.layer_weights) != 3:
        yield f"model.layer_weights has {len(model.layer_weights)} entries; the features have 3 layers"
    if model.features.kind == "student" and len(model.features.widths) != 3:
        yield f"model.features.widths has {len(model.features.widths)} entries; the student's teacher has 3 layers"
    if model.sampler.last_previous >= model.sampler.steps[-1]:
        yield f"model.sampler.last_previous {model.sampler.last_previous}: must be below the last step"
    if train.crop % factor or not factor <= train.crop <= size:
        yield f"train.crop {train.crop}: must be a multiple of {factor}, at most model.image_size"
    if train.corruptions_per_image < 1:
        yield f"train.corruptions_per_image {train.corruptions_per_image}: must be at least 1"
    for name, stage in train.stages.items():
        bounds = {"steps": 0, "batch": 1, "warmup": 0, "look_every": 1, "learning_rate": 0, "weight_decay": 0}
        for key, bound in bounds.items():
            if not getattr(stage, key) >= bound:
                yield f"train.{name}.{key} {getattr(stage, key)}: must be at least {bound}"
        if not 0.0 <= stage.ema < 1.0:
            yield f"train.{name}.ema {stage.ema}: must be at least 0 and below 1"
