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
from typing import Any, BinaryIO, TypeVar

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
# A look at held-out parts: step -> numbers, and a picture sheet uint8 [H, W, 3].
Look = Callable[[int], tuple[dict[str, float], NDArray[np.uint8]]]
Loss = Callable[[np.random.Generator, int], dict[str, Tensor]]

CHECKPOINT_SECONDS = 120.0


def device() -> torch.device:
    """The GPU of this process if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def placed(module: M) -> M:
    """Moves a module to this process's device, in the memory layout that convolutions like; in place."""
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
    except (OSError, RuntimeError) as error:  # torch's writer says RuntimeError when the disk is full
        partial.unlink(missing_ok=True)
        raise SaveError(
            f"{path}: cannot be written: {error}; what it held before is whole: make room, then run the same again"
        ) from error


def save_atomically(state: Any, path: Path) -> None:
    """Saves what torch.load reads as a `whole_file`."""
    with whole_file(path) as file:
        torch.save(state, file)


def _stored(path: Path) -> dict[str, Any]:
    try:
        # On the CPU: what is read is copied to where it belongs, and need not lie there twice.
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["module"], state["ema"], state["step"]
    except Exception as error:  # the readers raise their own kinds for a file that is cut short or is something else
        if isinstance(error, OSError) or is_out_of_memory(error):  # the checkpoint may be whole
            raise
        what = "cannot be read; remove it and the stage starts afresh"
        raise CheckpointError(path, f"{what}: {type(error).__name__}: {error}") from error
    return state


def steps_done(path: Path) -> int:
    """Steps that a stage's checkpoint has behind it; CheckpointError where it is cut short."""
    return int(_stored(path)["step"])


def read_checkpoint(path: Path, module: nn.Module) -> dict[str, Any]:
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
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    if step < stage.warmup:
        return stage.learning_rate * (step + 1) / stage.warmup
    progress = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.learning_rate * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * progress)))


@contextlib.contextmanager
def _worn(averaged: dict[str, Tensor], module: nn.Module) -> Iterator[None]:
    """The module with its averaged weights, for the length of a look."""
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

    Step k draws from a generator seeded by (seed, stage, k, process), so a run that was killed and resumed sees the
    same batches. The checkpoint `<folder>/<name>.pt` holds weights, average, optimiser and step. Losses go to
    `<folder>/<name>.jsonl` and, with what `look` sees, to TensorBoard under `<folder>/tensorboard`.
    """
    path = folder / f"{name}.pt"
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        # Fused: one pass over all weights, where the default takes a dozen small ones for each of hundreds of tensors.
        parameters,
        lr=stage.learning_rate,
        weight_decay=stage.weight_decay,
        fused=True,
    )
    ema = Ema(module, stage.ema)
    first = 0
    if path.exists():
        state = read_checkpoint(path, module)
        module.load_state_dict(state["module"])
        for key, value in state["ema"].items():
            ema.state[key].copy_(value)
        first = int(state["step"])
        if first < stage.steps:
            if "optimiser" not in state:
                raise CheckpointError(
                    path,
                    f"ended at its {first} steps and cannot go on to {stage.steps}: remove it, and the stage starts "
                    f"afresh; or set train.{name}.steps to {first}",
                )
            optimiser.load_state_dict(state["optimiser"])
        del state
    log = folder / f"{name}.jsonl"
    board = None
    if rank() == 0 and first < stage.steps:
        _forget(log, first)
        board = SummaryWriter(str(folder / "tensorboard" / name), purge_step=first)
    stage_number = sum(name.encode())
    saved = time.monotonic()
    bar = tqdm(range(first, stage.steps), initial=first, total=stage.steps, desc=name, disable=None, mininterval=5.0)
    module.train()
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(stage, step)
        rng = np.random.default_rng((seed, stage_number, step, rank()))
        terms = loss(rng, step)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"stage {name}, step {step}: loss is {total.item()}; lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]  # untyped in torch's stubs
        _average_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"stage {name}, step {step}: gradient is {norm.item()}; lower the learning rate")
        optimiser.step()
        ema.update(module, step)
        if rank() == 0 and (step % 50 == 0 or step + 1 == stage.steps):
            row = {"step": step, **{k: round(v.item(), 6) for k, v in terms.items()}}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            bar.set_postfix({k: v for k, v in row.items() if k != "step"})
            _note(board, {k: v for k, v in row.items() if k != "step"}, step)
        last = step + 1 == stage.steps
        if look is not None and board is not None and (last or (step + 1) % stage.look_every == 0):
            with _worn(ema.state, module):
                seen, sheet = look(step + 1)
            _note(board, {f"held_out/{key}": value for key, value in seen.items()}, step + 1)
            board.add_image("sheet", sheet, step + 1, dataformats="HWC")
            tqdm.write(
                f"{name} {step + 1}: " + ", ".join(f"{key} {value:.4f}" for key, value in seen.items()), file=sys.stderr
            )
        due = time.monotonic() - saved > CHECKPOINT_SECONDS
        if rank() == 0 and (due or last):
            state = {"module": module.state_dict(), "ema": ema.state, "step": step + 1}
            if not last:
                state["optimiser"] = optimiser.state_dict()
            save_atomically(state, path)
            saved = time.monotonic()
    if board is not None:
        board.close()
    module.load_state_dict(ema.state)
    module.eval()


def _forget(log: Path, first: int) -> None:
    """Drops the rows from step `first` on, which a killed run wrote after its last checkpoint, and half a row."""
    rows = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
    kept = [row for row in rows if (found := re.match(r'{"step": (\d+),', row)) and int(found[1]) < first]
    if kept != rows:
        with whole_file(log) as file:
            file.write("".join(kept).encode())


def _note(board: SummaryWriter | None, numbers: dict[str, float], step: int) -> None:
    if board is not None:
        for key, value in numbers.items():
            board.add_scalar(key, value, step)
