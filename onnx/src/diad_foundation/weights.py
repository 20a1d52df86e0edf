"""Weights from the files that publishers give, without the frameworks that wrote them."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from safetensors import SafetensorError
from safetensors.numpy import load_file

from diad_foundation.graph import Array
from diad_foundation.networks import Weights, WeightsError

TORCH_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
}
# What the readers raise for a file that is cut short or is something else.
DAMAGED = (pickle.UnpicklingError, zipfile.BadZipFile, SafetensorError, DecodeError)


def load(path: Path) -> Weights:
    """Reads a file of weights as float32 arrays: PyTorch (`.pth`, `.pt`, `.bin`: the format of PyTorch before and since
    1.6; code in it is not run), `.safetensors`, or `.onnx`.

    Raises:
        WeightsError: the file is none of these, is damaged, or holds something else than arrays.
    """
    try:
        if path.suffix == ".onnx":
            return of_onnx(path)
        if path.suffix == ".safetensors":
            return {key: value.astype(np.float32) for key, value in load_file(path).items()}
        return of_torch(path)
    except (OSError, ValueError, KeyError, EOFError, *DAMAGED) as error:
        raise WeightsError(f"{path}: no weights can be read from this file: {error}") from error


def of_torch(path: Path) -> Weights:
    """A state dict that `torch.save` wrote."""
    state = of_zip(path) if zipfile.is_zipfile(path) else of_legacy(path)
    while isinstance(state, dict) and isinstance(inner := state.get("state_dict", state.get("model")), dict):
        state = inner
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, a state dict is expected")
    return {key: value.astype(np.float32) for key, value in state.items() if isinstance(value, np.ndarray)}


class State(dict[str, Any]):
    """A dict that takes the attributes which PyTorch keeps on a state dict."""


class Storage:
    """The values behind tensors; known once the file has been read to its end."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.values: Array | None = None


class Tensor:
    """A view of a storage."""

    def __init__(self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> np.ndarray[Any, np.dtype[Any]]:
        """The values, copied."""
        values = self.storage.values
        if values is None:
            raise ValueError("a tensor has no values")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if 0 in self.shape:
            return np.zeros(self.shape, self.storage.dtype)
        if self.offset < 0 or min(self.strides, default=0) < 0 or last >= values.size:
            raise ValueError("a tensor lies outside of its values")
        bytes_of = tuple(stride * values.itemsize for stride in self.strides)
        view: np.ndarray[Any, np.dtype[Any]] = np.lib.stride_tricks.as_strided(
            values[self.offset :], self.shape, bytes_of
        )
        return view.copy()


class TensorUnpickler(pickle.Unpickler):
    """Reads tensors and containers and refuses every other class, so that no code of the file runs."""

    def __init__(self, stream: io.BufferedIOBase, storage: Callable[[Any], Storage]) -> None:
        super().__init__(stream, encoding="utf-8")
        self._storage = storage

    def persistent_load(self, pid: Any) -> Storage:
        """The storage that a tensor refers to."""
        return self._storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        """The few classes that a state dict needs."""
        if module == "torch" and name in TORCH_TYPES:
            return TORCH_TYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: Tensor(storage, offset, tuple(shape), tuple(strides))
        if (module, name) == ("collections", "OrderedDict"):
            return State
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no tensor")


def arrays(value: Any) -> Any:
    """Replaces tensors by arrays in nested dicts."""
    if isinstance(value, Tensor):
        return value.array()
    if isinstance(value, dict):
        return {key: arrays(inner) for key, inner in value.items()}
    return value


def of_zip(path: Path) -> Any:
    """The format since PyTorch 1.6: a zip file with one member a storage."""
    with zipfile.ZipFile(path) as archive:
        head = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        root = head.removesuffix("data.pkl")

        def storage(pid: Any) -> Storage:
            _, dtype, key, *_ = pid
            found = Storage(dtype)
            found.values = np.frombuffer(archive.read(f"{root}data/{key}"), dtype)
            return found

        return arrays(TensorUnpickler(io.BytesIO(archive.read(head)), storage).load())


def of_legacy(path: Path) -> Any:
    """The format before PyTorch 1.6: pickles one behind the other, then the storages."""
    storages: dict[str, Storage] = {}

    def storage(pid: Any) -> Storage:
        _, dtype, key, *_ = pid
        return storages.setdefault(key, Storage(dtype))

    with path.open("rb") as stream:
        magic, protocol, _system = (TensorUnpickler(stream, storage).load() for _ in range(3))
        if magic != 0x1950A86A20F9469CFC6C or protocol != 1001:
            raise ValueError("it is not a file of torch.save")
        state = TensorUnpickler(stream, storage).load()
        for key in TensorUnpickler(stream, storage).load():
            count = int.from_bytes(stream.read(8), "little")
            found = storages[key]
            found.values = np.frombuffer(stream.read(count * found.dtype.itemsize), found.dtype)
        return arrays(state)


def of_onnx(path: Path) -> Weights:
    """The constants of an ONNX graph. Weights of a `MatMul`, which exporters leave without a name, get the name of the
    bias that is added behind them, and the orientation of a linear layer (`[out, in]`).
    """
    graph = onnx.load(path).graph
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    adds = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in found and (add := adds.get(node.output[0])) is not None:
            bias = next((name for name in add.input if name.endswith(".bias")), None)
            if bias is not None:
                found[bias.removesuffix("bias") + "weight"] = found.pop(node.input[1]).T
    positions(graph, found)
    return {key: value.astype(np.float32) for key, value in found.items() if value.dtype.kind == "f"}


def positions(graph: onnx.GraphProto, found: dict[str, Any]) -> None:
    """Joins the two halves of a ViT's position embeddings, which exporters split: that of the class token (`[1, 1, C]`)
    and those of the patches (`[1, n², C]`).
    """
    token = next((value for key, value in found.items() if key.endswith("embeddings.cls_token")), None)
    if token is None:
        return
    width = token.shape[-1]
    loose = [value for key, value in found.items() if key.startswith("onnx::") and value.ndim == 3]
    first = [value for value in loose if value.shape == (1, 1, width)]
    rest = [value for value in loose if value.shape[-1] == width and value.shape[1] > 1]
    if len(first) == 1 and len(rest) == 1:
        found["embeddings.position_embeddings"] = np.concatenate([first[0], rest[0]], axis=1)
