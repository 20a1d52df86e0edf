"""Reads checkpoints that others trained: no code in them is run, and every key that does not fit is named."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

State = dict[str, Tensor]
OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "ALLOC_FAILED",
)


class _NamedOnly:
    """Stands for a class that a checkpoint names beside its weights: it is a key there, and nothing is made of it."""

    def __new__(cls) -> NoReturn:
        raise pickle.UnpicklingError(f"GLOBAL {cls.__name__} is made an object of")


# Lightning before 1.5, which saved Stable Diffusion 1.x and the autoencoder kl-f8, keeps what its callbacks remember
# under their classes.
_CALLBACKS = ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping")
_NAMED: list[Any] = [
    (type(name.rpartition(".")[2], (_NamedOnly,), {}), f"pytorch_lightning.callbacks.{name}") for name in _CALLBACKS
]


class CheckpointError(ValueError):
    """A file that is not the checkpoint it should be; the message names the file and every fault."""

    def __init__(self, path: Path, what: str, faults: Sequence[str] = ()) -> None:
        lines = [f"{path} {what}", *(f"  {fault}" for fault in faults)]
        super().__init__("\n".join(lines))
        self.what = what
        self.faults = tuple(faults)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the machine lacks memory just now: torch's allocator for the CPU raises a plain RuntimeError."""
    is_of_cpu = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    return is_of_cpu or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def read_state(path: Path, *, inside: tuple[str, ...] = ("state_dict",)) -> State:
    """The tensors of a `.safetensors` file, or of a `.ckpt`, `.pt` or `.pth`, there under one of `inside`, if any.

    Raises CheckpointError for a file that is missing, cut short, no checkpoint, or that would run code.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        mapped = zipfile.is_zipfile(path)  # the older format cannot be mapped
        with torch.serialization.safe_globals(_NAMED):
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise CheckpointError(path, "does not exist") from None
    except pickle.UnpicklingError as error:
        lines = str(error).splitlines()
        # torch begins with advice to run the code all the same; what it stumbled over comes later.
        why = next((line.strip() for line in lines if "GLOBAL" in line), lines[0])
        raise CheckpointError(path, f"holds more than weights, or is no checkpoint: {why}") from error
    except Exception as error:  # the readers raise their own kinds for a file that is cut short or is something else
        if is_out_of_memory(error):
            raise
        raise CheckpointError(path, f"cannot be read; is it whole? {type(error).__name__}: {error}") from error
    for key in inside:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise CheckpointError(path, f"holds a {type(loaded).__name__}, not a state dict")
    other = [str(key) for key, value in loaded.items() if not isinstance(value, Tensor)]
    if other:
        raise CheckpointError(path, "is not a state dict", [f"not a tensor: {key}" for key in other])
    return dict(loaded)


def mismatches(wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> list[str]:
    """Every difference between two state dicts, a line each: missing, surplus, other shape."""
    faults = [f"missing: {key} {list(value.shape)}" for key, value in wanted.items() if key not in got]
    faults += [f"surplus: {key} {list(value.shape)}" for key, value in got.items() if key not in wanted]
    for key, value in wanted.items():
        if key in got and got[key].shape != value.shape:
            faults.append(f"shape: {key} is {list(got[key].shape)}, must be {list(value.shape)}")
    return faults


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Every key that holds a number that is none, a line each: what a save in half precision can make of a weight."""
    return [f"not finite: {key}" for key, value in state.items() if not bool(torch.isfinite(value).all())]
