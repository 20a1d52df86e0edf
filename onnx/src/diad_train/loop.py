"""The training loop that every stage shares: seeded batches, EMA, checkpoints, several processes."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from diad_train.config import StageConfig

M = TypeVar("M", bound=nn.Module)
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


def save_atomically(state: Any, path: Path) -> None:
    """Writes beside the target, then renames: a half-written checkpoint never carries the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


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
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Trains `module` in place and leaves its averaged weights in it.

    Step k draws from a generator seeded by (seed, stage, k, process), so a run that was killed and resumed sees the
    same batches. The checkpoint `<folder>/<name>.pt` holds weights, average, optimiser and step.
    """
    path = folder / f"{name}.pt"
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=stage.learning_rate, weight_decay=stage.weight_decay)
    ema = Ema(module, stage.ema)
    first = 0
    if path.exists():
        state = torch.load(path, map_location=device(), weights_only=True)
        module.load_state_dict(state["module"])
        ema.state = state["ema"]
        first = int(state["step"])
        if first < stage.steps:
            optimiser.load_state_dict(state["optimiser"])
    log = folder / f"{name}.jsonl"
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
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        ema.update(module, step)
        if rank() == 0 and (step % 50 == 0 or step + 1 == stage.steps):
            row = {"step": step, **{k: round(v.item(), 6) for k, v in terms.items()}}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            bar.set_postfix({k: v for k, v in row.items() if k != "step"})
        due = time.monotonic() - saved > checkpoint_seconds
        if rank() == 0 and (due or step + 1 == stage.steps):
            state = {"module": module.state_dict(), "ema": ema.state, "step": step + 1}
            if step + 1 < stage.steps:
                state["optimiser"] = optimiser.state_dict()
            save_atomically(state, path)
            saved = time.monotonic()
    module.load_state_dict(ema.state)
    module.eval()
