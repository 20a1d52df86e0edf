"""The stages of `diad-train fit` in their order: what each trains, and what it is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diad_train.config import Config, StageConfig, TrainConfig
from diad_train.model.diad import DiAD
from diad_train.train import align, stages
from diad_train.train.loop import steps_done
from diad_train.train.stages import Parts

Runner = Callable[[DiAD, Parts, Config, Path], None]


@dataclass(frozen=True)
class Stage:
    """One training stage.

    `run` trains it, or loads it where its checkpoint is finished. `network` is the part of the model that it trains,
    `uses` names the stages that make its pictures or latents. A `base` stage trains a network that those on top of it
    cannot do without: random weights teach them nothing. `step_flops` are floating-point operations of a step for one
    picture of 256 pixels, on the shipped model's networks.
    """

    name: str
    run: Runner
    network: str
    uses: tuple[str, ...]
    base: bool
    step_flops: float

    def settings(self, train: TrainConfig) -> StageConfig:
        """Its section of the settings."""
        return train.stages[self.name]

    def has_steps(self, train: TrainConfig) -> bool:
        """Whether the settings give it steps; a stage of no steps is left out."""
        return self.settings(train).steps > 0

    def checkpoint(self, folder: Path) -> Path:
        """Its checkpoint in a run folder."""
        return folder / f"{self.name}.pt"

    def is_open(self, train: TrainConfig, folder: Path) -> bool:
        """Whether it has steps left to take in a run folder."""
        path = self.checkpoint(folder)
        return self.has_steps(train) and not (path.exists() and steps_done(path) >= self.settings(train).steps)


# The student's imitation (distil) needs no other stage.
STAGES = (
    Stage("autoencoder", stages.fit_autoencoder, "autoencoder", uses=(), base=True, step_flops=6e9),
    Stage("denoiser", stages.fit_denoiser, "denoiser", uses=("autoencoder",), base=True, step_flops=9e9),
    Stage("sg", stages.fit_guide, "denoiser", uses=("autoencoder", "denoiser"), base=False, step_flops=9e9),
    Stage("distil", stages.fit_features, "features", uses=(), base=True, step_flops=8e9),
    Stage(
        "align",
        align.fit_alignment,
        "features",
        uses=("autoencoder", "denoiser", "sg", "distil"),
        base=False,
        step_flops=20e9,
    ),
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)
NETWORKS = tuple(dict.fromkeys(stage.network for stage in STAGES))


def used_by(wanted: tuple[str, ...]) -> set[str]:
    """Names of the stages that the wanted ones use."""
    return {name for stage in STAGES if stage.name in wanted for name in stage.uses}
