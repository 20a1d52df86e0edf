"""A small writer of ONNX graphs: one method for each operator that the feature networks need."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]

OPSET = 20
IR_VERSION = 9


class GraphWriter:
    """Collects nodes and weights. Every method returns the name of its output tensor."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._count = 0

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One node with one output."""
        self._count += 1
        name = f"{kind.lower()}_{self._count}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, values: Array) -> str:
        """A float32 constant."""
        return self._constant(np.ascontiguousarray(values, dtype=np.float32))

    def integers(self, *values: int) -> str:
        """A list of int64 constants: a shape, axes or pads."""
        return self._constant(np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        """One float32 without a shape."""
        return self._constant(np.array(value, dtype=np.float32))

    def scalar(self, value: int) -> str:
        """One int64 without a shape: an index."""
        return self._constant(np.array(value, dtype=np.int64))

    def _constant(self, values: NDArray[np.generic]) -> str:
        name = f"weight_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(
        self, x: str, weight: Array, bias: Array, *, stride: int = 1, pads: tuple[int, int, int, int] | None = None
    ) -> str:
        """A convolution. `pads` is (top, left, bottom, right), by default half the kernel; groups follow from `weight`,
        which is depthwise if it takes one channel and gives several.
        """
        out, per_group, kernel, _ = weight.shape
        depthwise = per_group == 1 and out > 1
        half = kernel // 2
        return self.op(
            "Conv",
            x,
            self.weight(weight),
            self.weight(bias),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=list(pads if pads is not None else (half, half, half, half)),
            group=out if depthwise else 1,
        )

    def linear(self, x: str, weight: Array, bias: Array) -> str:
        """`x @ weight + bias` over the last axis; `weight` is `[in, out]`."""
        return self.op("Add", self.op("MatMul", x, self.weight(weight)), self.weight(bias))

    def clip(self, x: str, low: float, high: float) -> str:
        """Limits to `low..high`."""
        return self.op("Clip", x, self.number(low), self.number(high))

    def reshape(self, x: str, *shape: int) -> str:
        """Another shape; 0 keeps an extent, -1 is what remains."""
        return self.op("Reshape", x, self.integers(*shape))

    def unit_length(self, x: str) -> str:
        """Scales the channels (axis 1) of every position to length 1."""
        squares = self.op("ReduceSum", self.op("Mul", x, x), self.integers(1), keepdims=1)
        length = self.op("Sqrt", self.clip(squares, 1e-12, 3e38))
        return self.op("Div", x, length)

    def resize(self, x: str, width: int, height: int, channels: int) -> str:
        """Bilinear, pixel centres aligned."""
        sizes = self.op("Concat", self.op("Shape", x, start=0, end=1), self.integers(channels, height, width), axis=0)
        return self.op("Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")

    def rename(self, x: str, name: str) -> None:
        """Gives a tensor the name of a graph output."""
        self._nodes.append(helper.make_node("Identity", [x], [name], name=name))

    def model(self, image: tuple[int, int], output: str, shape: tuple[int, int, int]) -> onnx.ModelProto:
        """The finished graph: `image` `[N, 3, H, W]` → `output` `[N, *shape]`."""
        height, width = image
        graph = helper.make_graph(
            self._nodes,
            "foundation",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, height, width])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", *shape])],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "diad"
        onnx.checker.check_model(model, full_check=True)
        return model
