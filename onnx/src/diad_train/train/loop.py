"""The training loop that every stage shares: seeded batches, EMA, checkpoints, several processes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NotRequired, TypedDict, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from diad_train.config import StageConfig
from diad_train.exchange.checkpoint import CheckpointError, is_out_of_memory, mismatches

M = TypeVar("M", bound=nn.Module)
# Measures held-out parts after a number of steps: numbers by name, and a picture sheet uint8 [H, W, 3].
Look = Callable[[int], tuple[dict[str, float], NDArray[np.uint8]]]
Loss = Callable[[np.random.Generator, int], dict[str, Tensor]]

CHECKPOINT_SECONDS = 120.0
LOG_EVERY_STEPS = 50
LARGEST_GRADIENT_NORM = 1.0
# Where the cosine of the learning rate ends, as a share of its peak.
LAST_RATE_SHARE = 0.02


def device() -> torch.device:
    """The GPU of this process if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def placed(module: M) -> M:
    """Moves a module to this process's device, in the memory layout that is fastest for convolutions; in place."""
    module.to(device())
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return module


def start_processes() -> None:
    """Joins the group that `torchrun` made; does nothing without it."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def rank() -> int:
    """Number of this process; 0 without `torchrun`."""
    return dist.get_rank() if dist.is_initialized() else 0


class Checkpoint(TypedDict):
    """A stage's checkpoint: weights, their average, steps; the optimiser's state unless the stage is finished."""

    module: dict[str, Tensor]
    ema: dict[str, Tensor]
    step: int
    optimiser: NotRequired[dict[str, Any]]


class SaveError(OSError):
    """A file of a run could not be written; the one before it is untouched."""


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Writes beside the target, syncs, then renames: a half-written file never carries the name."""
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError for a full disk
        partial.unlink(missing_ok=True)
        raise SaveError(
            f"{path}: cannot be written: {error}; what it held before is whole: make room, then run the same again"
        ) from error


def save_atomically(state: object, path: Path) -> None:
    """Saves what torch.load reads as a `whole_file`."""
    with whole_file(path) as file:
        torch.save(state, file)


def _stored(path: Path) -> Checkpoint:
    try:
        # On the CPU: what is read is copied to where it belongs, and need not lie there twice.
        state: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        state["module"], state["ema"], state["step"]
    except Exception as error:  # the readers raise their own kinds for a file that is cut short or is something else
        if isinstance(error, OSError) or is_out_of_memory(error):  # the checkpoint may be whole
            raise
        what = "cannot be read; remove it and the stage starts from its first step"
        raise CheckpointError(path, f"{what}: {type(error).__name__}: {error}") from error
    return state


def steps_done(path: Path) -> int:
    """Steps that a stage's checkpoint has behind it; CheckpointError where it is cut short."""
    return int(_stored(path)["step"])


def read_checkpoint(path: Path, module: nn.Module) -> Checkpoint:
    """A stage's checkpoint for this module; CheckpointError where it is cut short or of another network."""
    state = _stored(path)
    faults = mismatches(module.state_dict(), state["module"])
    if faults:
        raise CheckpointError(
            path, "is of another network; give another --run, or the settings it was made with", faults
        )
    return state


def _average_gradients(parameters: list[nn.Parameter]) -> None:
    if not dist.is_initialized():
        return
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def _learning_rate(stage: StageConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to `LAST_RATE_SHARE` of the peak."""
    if step < stage.warmup:
        return stage.learning_rate * (step + 1) / stage.warmup
    progress = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.learning_rate * (
        LAST_RATE_SHARE + (1.0 - LAST_RATE_SHARE) * 0.5 * (1.0 + math.cos(math.pi * progress))
    )


@contextlib.contextmanager
def _averaged(averaged: dict[str, Tensor], module: nn.Module) -> Iterator[None]:
    """Gives the module its averaged weights until the context ends."""
    own = {key: value.detach().clone() for key, value in module.state_dict().items()}
    module.load_state_dict(averaged)
    module.eval()
    try:
        yield
    finally:
        module.load_state_dict(own)
        module.train()


class Ema:
    """Exponential moving average of a module's floating-point state."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Moves towards the module; the first steps move faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value, 1.0 - decay)
            else:
                self.state[key].copy_(value)


class _StageRun:
    """One stage in training: module, optimiser and average of weights, and the files that it keeps in a run folder."""

    def __init__(self, *, name: str, module: nn.Module, stage: StageConfig, folder: Path) -> None:
        self.name = name
        self.module = module
        self.stage = stage
        self.checkpoint = folder / f"{name}.pt"
        self.log = folder / f"{name}.jsonl"
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=stage.learning_rate,
            weight_decay=stage.weight_decay,
            # One pass over all weights, where the default takes a dozen small ones for each of hundreds of tensors.
            fused=True,
        )
        self.ema = Ema(module, stage.ema)
        self.first_step = self._resume() if self.checkpoint.exists() else 0
        self.board: SummaryWriter | None = None
        if rank() == 0 and self.first_step < stage.steps:
            _forget(self.log, self.first_step)
            self.board = SummaryWriter(str(folder / "tensorboard" / name), purge_step=self.first_step)
        self.saved_at = time.monotonic()

    def _resume(self) -> int:
        """Loads weights, average and optimiser from the checkpoint; returns the steps that it has behind it."""
        state = read_checkpoint(self.checkpoint, self.module)
        self.module.load_state_dict(state["module"])
        for key, value in state["ema"].items():
            self.ema.state[key].copy_(value)
        done = int(state["step"])
        if done < self.stage.steps:
            if "optimiser" not in state:
                raise CheckpointError(
                    self.checkpoint,
                    f"ended at its {done} steps and cannot go on to {self.stage.steps}: remove it, and the stage "
                    f"starts from its first step; or set train.{self.name}.steps to {done}",
                )
            self.optimiser.load_state_dict(state["optimiser"])
        return done

    def is_last(self, step: int) -> bool:
        """Whether the stage ends with this step."""
        return step + 1 == self.stage.steps

    def update(self, terms: dict[str, Tensor], step: int) -> None:
        """One step of the optimiser on the sum of `terms`; FloatingPointError before a weight could become NaN."""
        for group in self.optimiser.param_groups:
            group["lr"] = _learning_rate(self.stage, step)
        total = torch.stack(list(terms.values())).sum()
        self._check_finite("loss", total, step)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]  # untyped in torch's stubs
        _average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, LARGEST_GRADIENT_NORM)
        self._check_finite("gradient", norm, step)
        self.optimiser.step()
        self.ema.update(self.module, step)

    def _check_finite(self, what: str, value: Tensor, step: int) -> None:
        if not torch.isfinite(value):
            place = f"stage {self.name}, step {step}"
            raise FloatingPointError(f"{place}: {what} is {value.item()}; lower the learning rate")

    def note_losses(self, terms: dict[str, Tensor], step: int) -> dict[str, float]:
        """Writes the losses of a step to the log and to TensorBoard; returns them as rounded numbers."""
        losses = {key: round(value.item(), 6) for key, value in terms.items()}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **losses}) + "\n")
        self._note(losses, step)
        return losses

    def show_held_out(self, look: Look, steps: int) -> None:
        """Looks at the held-out parts with the averaged weights; the result goes to stderr and to TensorBoard."""
        if self.board is None:
            return
        with _averaged(self.ema.state, self.module):
            numbers, sheet = look(steps)
        self._note({f"held_out/{key}": value for key, value in numbers.items()}, steps)
        self.board.add_image("sheet", sheet, steps, dataformats="HWC")
        listed = ", ".join(f"{key} {value:.4f}" for key, value in numbers.items())
        tqdm.write(f"{self.name} {steps}: {listed}", file=sys.stderr)

    def _note(self, numbers: dict[str, float], step: int) -> None:
        if self.board is not None:
            for key, value in numbers.items():
                self.board.add_scalar(key, value, step)

    def save_if_due(self, step: int) -> None:
        """Saves a checkpoint after the last step, and every `CHECKPOINT_SECONDS` before it, then with the optimiser."""
        last = self.is_last(step)
        if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS or last:
            state: Checkpoint = {"module": self.module.state_dict(), "ema": self.ema.state, "step": step + 1}
            if not last:
                state["optimiser"] = self.optimiser.state_dict()
            save_atomically(state, self.checkpoint)
            self.saved_at = time.monotonic()

    def end(self) -> None:
        """Leaves the averaged weights in the module."""
        if self.board is not None:
            self.board.close()
        self.module.load_state_dict(self.ema.state)
        self.module.eval()


def run_stage(
    *,
    name: str,
    module: nn.Module,
    loss: Loss,
    stage: StageConfig,
    seed: int,
    folder: Path,
    look: Look | None = None,
) -> None:
    """Trains `module` in place and leaves its averaged weights in it.

    Step k draws from a generator seeded by (seed, stage, k, process), so a run that was killed and resumed trains on
    the same batches. The checkpoint `<folder>/<name>.pt` holds weights, average, optimiser and step. Losses go to
    `<folder>/<name>.jsonl` and, with what `look` returns, to TensorBoard under `<folder>/tensorboard`.

    Raises:
        CheckpointError: the folder's checkpoint is cut short, of another network, or cannot be trained further.
        FloatingPointError: a loss or a gradient is not finite; no weight was changed by it.
        SaveError: a checkpoint cannot be written.
    """
    run = _StageRun(name=name, module=module, stage=stage, folder=folder)
    stage_number = sum(name.encode())
    steps = range(run.first_step, stage.steps)
    bar = tqdm(steps, initial=run.first_step, total=stage.steps, desc=name, disable=None, mininterval=5.0)
    module.train()
    for step in bar:
        terms = loss(np.random.default_rng((seed, stage_number, step, rank())), step)
        run.update(terms, step)
        if rank() != 0:
            continue
        if step % LOG_EVERY_STEPS == 0 or run.is_last(step):
            bar.set_postfix(run.note_losses(terms, step))
        if look is not None and (run.is_last(step) or (step + 1) % stage.look_every == 0):
            run.show_held_out(look, step + 1)
        run.save_if_due(step)
    run.end()


def _forget(log: Path, first: int) -> None:
    """Drops the rows from step `first` on, which a killed run wrote after its last checkpoint, and half a row."""
    rows = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
    kept = [row for row in rows if (found := re.match(r'{"step": (\d+),', row)) and int(found[1]) < first]
    if kept != rows:
        with whole_file(log) as file:
            file.write("".join(kept).encode())
