"""The teacher of the feature extractor: the layers of a convolutional foundation, read from its ONNX graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

from diad_train.exchange.checkpoint import CheckpointError
from diad_train.model.features import IMAGE_MEAN, IMAGE_STD

# Attributes of an ONNX node by their name: numbers or lists of them.
Attributes = dict[str, Any]
REMEDY = "name a convolutional one that `make setup-foundation` or `python -m diad_foundation.make` wrote"


class Teacher(nn.Module):
    """Layers at strides 4, 8 and 16 of a foundation such as EfficientNet-Lite2; never part of a bundle.

    The convolutions of the graph run in PyTorch, so that they follow the model to a GPU and take any size of picture
    that is a multiple of 32 pixels. A layer is a tensor that the graph scales to length 1 before it joins them.

    Raises:
        CheckpointError: the folder holds no foundation, or one that is not convolutional (a transformer).
    """

    mean: Tensor
    std: Tensor
    own_mean: Tensor
    own_std: Tensor

    def __init__(self, folder: Path) -> None:
        super().__init__()
        try:
            spec: dict[str, Any] = json.loads((folder / "foundation.json").read_text(encoding="utf-8"))
            graph = onnx.load(folder / spec["file"]).graph
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(folder, f"holds no foundation: {error}; {REMEDY}") from error
        self.widths = tuple(int(width) for width in spec["groups"])
        self._layers = layers_of(graph)
        self._nodes = nodes_until(graph, self._layers)
        strange = sorted({node.op_type for node in self._nodes} - set(OPERATORS))
        if strange or len(self._layers) != 3:
            what = f"is no convolutional network of three layers ({', '.join(strange)})"
            raise CheckpointError(folder, f"{what}; {REMEDY}")
        used = {name for node in self._nodes for name in node.input}
        self._names: dict[str, str] = {}
        for number, tensor in enumerate(t for t in graph.initializer if t.name in used):
            self._names[tensor.name] = f"weight{number}"
            self.register_buffer(f"weight{number}", torch.from_numpy(numpy_helper.to_array(tensor).copy()))
        for name, values in (
            ("mean", IMAGE_MEAN),
            ("std", IMAGE_STD),
            ("own_mean", spec["input"]["mean"]),
            ("own_std", spec["input"]["std"]),
        ):
            self.register_buffer(name, torch.tensor(values)[None, :, None, None])

    @torch.no_grad()
    def forward(self, x: Tensor) -> list[Tensor]:
        """Picture in normalised colours [N, 3, H, W] -> layers [N, C_k, H / 2^(k+1), W / 2^(k+1)]."""
        values = {name: self.get_buffer(buffer) for name, buffer in self._names.items()}
        values["image"] = (x * self.std + self.mean - self.own_mean) / self.own_std
        for node in self._nodes:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = OPERATORS[node.op_type]([values[name] for name in node.input], attributes)
        return [values[name] for name in self._layers]


def layers_of(graph: onnx.GraphProto) -> list[str]:
    """Names of the tensors that the graph squares first: those it is about to scale to length 1, finest first."""
    made_by = {name: node for node in graph.node for name in node.output}
    squared = [node.input[0] for node in graph.node if node.op_type == "Mul" and node.input[0] == node.input[1]]
    return [name for name in squared if name in made_by and made_by[name].op_type not in ("AveragePool", "Resize")]


def nodes_until(graph: onnx.GraphProto, wanted: list[str]) -> list[onnx.NodeProto]:
    """The nodes that some tensors depend on, in the graph's order."""
    needed = set(wanted)
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def _conv(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    x, weight, bias = inputs
    top, left, bottom, right = attributes["pads"]
    return F.conv2d(
        F.pad(x, (left, right, top, bottom)),
        weight,
        bias,
        stride=tuple(attributes["strides"]),
        groups=attributes["group"],
    )


def _max_pool(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    return F.max_pool2d(inputs[0], attributes["kernel_shape"], attributes["strides"], attributes["pads"][0])


OPERATORS: dict[str, Callable[[list[Tensor], Attributes], Tensor]] = {
    "Conv": _conv,
    "MaxPool": _max_pool,
    "Clip": lambda inputs, _: inputs[0].clamp(inputs[1].item(), inputs[2].item()),
    "Relu": lambda inputs, _: F.relu(inputs[0]),
    "Add": lambda inputs, _: inputs[0] + inputs[1],
}
