"""What `diad-train fit` refuses before it trains: a folder, a teacher or a start that the wanted stages cannot use."""

from __future__ import annotations

from pathlib import Path

from diad_train.config import Config, ConfigError, StageConfig
from diad_train.exchange.checkpoint import CheckpointError
from diad_train.exchange.data import GoodParts
from diad_train.exchange.export import sha256
from diad_train.model.teacher import Teacher
from diad_train.train.loop import steps_done
from diad_train.train.order import NETWORKS, STAGES, Stage, used_by
from diad_train.train.record import Start, begin, check, started_from


def check_teacher(config: Config, wanted: tuple[str, ...]) -> None:
    """Refuses a teacher that the student cannot learn from, before the hours of the stages that need none.

    Raises:
        CheckpointError: the folder holds no convolutional foundation.
        ConfigError: the student has other widths than the teacher.
    """
    if not any(s.network == "features" and s.name in wanted and s.has_steps(config.train) for s in STAGES):
        return
    teacher = Teacher(Path(config.train.teacher))
    features = config.model.features
    if features.kind != "student" or tuple(features.widths) != teacher.widths:
        raise ConfigError(
            f"model.features: {features.kind} of widths {list(features.widths)} cannot learn from this teacher: make "
            f"it a student of widths {list(teacher.widths)}, or set the steps of train.distil and train.align to 0"
        )


def begin_folder(
    config: Config, folder: Path, good: GoodParts, wanted: tuple[str, ...], start_from: Path | None
) -> None:
    """Refuses a folder that was begun with something else, and records what this one is begun with.

    Raises:
        CheckpointError: the folder was begun with other networks, parts or another start.
    """
    check(folder, config, good)
    start: Start = {"start": None}
    if start_from is not None:
        # A bundle's manifest holds the digests of all that is in it.
        start = {"start": sha256(start_from / "manifest.json" if start_from.is_dir() else start_from)}
    if any(stage.checkpoint(folder).exists() for stage in STAGES):
        was = started_from(folder)
        trained = {stage.network for stage in STAGES if stage.has_steps(config.train)}
        # `model.pt` has of the start what no stage trains, however finished they all are.
        is_of_start = STAGES[-1].name in wanted and trained != set(NETWORKS)
        steps_left = (stage.is_open(config.train, folder) for stage in STAGES if stage.name in wanted)
        if was not in ({}, start) and (is_of_start or any(steps_left)):
            raise CheckpointError(
                folder,
                "was begun with another --start-from, or with none; give another --run, or the same start",
                [f"its sha256 was {was['start'] or 'none'}, is {start['start'] or 'none'}"],
            )
        start = was
    begin(folder, config, good, start)


def check_networks(config: Config, folder: Path, wanted: tuple[str, ...], taken: list[str]) -> None:
    """Refuses stages whose networks below are neither trained in this call or folder nor taken from the start.

    Raises:
        CheckpointError: a base network is missing.
    """
    used = used_by(tuple(s.name for s in STAGES if s.name in wanted and s.has_steps(config.train)))
    for stage in STAGES:
        if not stage.base or stage.name not in used:
            continue
        if stage.name == "distil" and not stage.has_steps(config.train):
            continue  # align alone can teach a student, if the settings ask for that
        if not _is_trained(stage, config, folder, wanted) and stage.network not in taken:
            raise CheckpointError(
                folder,
                f"has no {stage.network} for the stages on top of it, and nothing gives any: name {stage.name} in "
                "--stages with some steps, or --start-from (again, if it was given before)",
            )


def _is_trained(stage: Stage, config: Config, folder: Path, wanted: tuple[str, ...]) -> bool:
    return stage.has_steps(config.train) and (stage.name in wanted or stage.checkpoint(folder).exists())


def is_finished(path: Path, stage: StageConfig) -> bool:
    """Whether a stage was trained in this folder; CheckpointError for one that stopped before its end."""
    if not path.exists():
        return False
    done = steps_done(path)
    if done < stage.steps:
        raise CheckpointError(
            path,
            f"stopped at step {done} of {stage.steps}, and a later stage needs it: name {path.stem} in --stages too",
        )
    return True
