"""The feature networks, written from their published weights.

Each function takes weights by the key names of their publisher and returns a [`Network`]: a graph from a normalised
picture to patch features. A patch has one group of channels a layer; every group is scaled to length 1 and the whole
patch too, so that the dot product of two patches is the mean cosine of their groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from diad_foundation.graph import Array, GraphWriter

Weights = Mapping[str, Array]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TF_MEAN = (127.0 / 255.0,) * 3
TF_STD = (128.0 / 255.0,) * 3

OUTPUT = "patches"


class WeightsError(Exception):
    """Weights that are not those of the network."""


@dataclass(frozen=True)
class Network:
    """A graph and how it is fed: RGB in 0..1, minus `mean`, divided by `std`, at `width` x `height` pixels."""

    model: onnx.ModelProto
    width: int
    height: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    groups: tuple[int, ...]
    grid: tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """A feature layer inside a graph: tensor, channels, side of its square grid."""

    name: str
    channels: int
    side: int


def take(weights: Weights, key: str) -> Array:
    """One array by its key.

    Raises:
        WeightsError: the key is missing.
    """
    try:
        return weights[key]
    except KeyError:
        near = ", ".join(sorted(weights)[:3])
        raise WeightsError(f"no weights under {key!r}; the file has {len(weights)} keys: {near}, ...") from None


def folded(weights: Weights, conv: str, norm: str, eps: float) -> tuple[Array, Array]:
    """Weight and bias of a convolution with its batch norm multiplied in, computed in float64."""
    kernel = take(weights, f"{conv}.weight").astype(np.float64)
    gain, shift, mean, variance = (
        take(weights, f"{norm}.{key}").astype(np.float64) for key in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + eps)
    return (kernel * scale[:, None, None, None]).astype(np.float32), (shift - mean * scale).astype(np.float32)


def joined(graph: GraphWriter, layers: list[Layer], side: int) -> tuple[str, tuple[int, ...]]:
    """Brings layers to one grid and puts them side by side: patches of length 1, `[N, sum of channels, side, side]`."""
    parts = []
    for layer in layers:
        x = graph.unit_length(layer.name)
        if layer.side > side:
            factor = layer.side // side
            x = graph.op("AveragePool", x, kernel_shape=[factor, factor], strides=[factor, factor])
        elif layer.side < side:
            x = graph.resize(x, side, side, layer.channels)
        parts.append(graph.unit_length(x) if layer.side != side else x)
    whole = graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    share = graph.number(1.0 / len(parts) ** 0.5)
    return graph.op("Mul", whole, share), tuple(layer.channels for layer in layers)


def finished(
    graph: GraphWriter, layers: list[Layer], side: int, size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Network:
    """Joins the layers and closes the graph."""
    patches, groups = joined(graph, layers, side)
    graph.rename(patches, OUTPUT)
    model = graph.model((size, size), OUTPUT, (sum(groups), side, side))
    m, s = (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
    return Network(model, size, size, m, s, groups, (side, side))


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int, int, int]:
    """TensorFlow's SAME padding: the odd pixel at the bottom and the right."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    return before, before, after, after


def efficientnet_lite(weights: Weights, size: int = 256) -> Network:
    """EfficientNet-Lite (Tan and Le 2019; lite variant) up to stride 16, under the keys of `efficientnet-lite-pytorch`.

    Layers: the last block at strides 4, 8 and 16 (24, 48 and 120 channels for Lite2), brought to the grid of stride 8.
    """
    eps = 1e-3
    graph = GraphWriter()
    repeats = lite_repeats(weights)
    strides = (1, 2, 2, 2, 1, 2, 1)
    kernel, bias = folded(weights, "_conv_stem", "_bn0", eps)
    x, side = graph.clip(graph.conv("image", kernel, bias, stride=2, pads=same_pads(size, 3, 2)), 0, 6), size // 2
    layers: list[Layer] = []
    index, channels = 0, kernel.shape[0]
    for stage, (count, stage_stride) in enumerate(zip(repeats, strides, strict=True)):
        if side // stage_stride < size // 16:
            break
        for number in range(count):
            stride = stage_stride if number == 0 else 1
            x, channels = lite_block(graph, weights, f"_blocks.{index}", x, channels, side, stride, eps)
            side //= stride
            index += 1
        last = stage + 1 == len(strides) or strides[stage + 1] == 2
        if last and side <= size // 4:
            layers.append(Layer(x, channels, side))
    return finished(graph, layers, size // 8, size, TF_MEAN, TF_STD)


def lite_repeats(weights: Weights) -> list[int]:
    """Blocks of each of the seven stages, read off the shapes: a stage begins where its channels out change."""
    outs: list[int] = []
    while f"_blocks.{len(outs)}._project_conv.weight" in weights:
        outs.append(weights[f"_blocks.{len(outs)}._project_conv.weight"].shape[0])
    repeats = [outs.count(out) for out in dict.fromkeys(outs)]
    if len(repeats) != 7:
        raise WeightsError(f"not an EfficientNet-Lite: {len(repeats)} stages of blocks, 7 are expected")
    return repeats


def lite_block(
    graph: GraphWriter, weights: Weights, key: str, x: str, channels: int, side: int, stride: int, eps: float
) -> tuple[str, int]:
    """Inverted bottleneck without squeeze and excitation; ReLU6."""
    y = x
    if f"{key}._expand_conv.weight" in weights:
        kernel, bias = folded(weights, f"{key}._expand_conv", f"{key}._bn0", eps)
        y = graph.clip(graph.conv(y, kernel, bias), 0, 6)
    kernel, bias = folded(weights, f"{key}._depthwise_conv", f"{key}._bn1", eps)
    y = graph.clip(graph.conv(y, kernel, bias, stride=stride, pads=same_pads(side, kernel.shape[2], stride)), 0, 6)
    kernel, bias = folded(weights, f"{key}._project_conv", f"{key}._bn2", eps)
    y = graph.conv(y, kernel, bias)
    out = kernel.shape[0]
    return (graph.op("Add", y, x) if stride == 1 and out == channels else y), out


def dinov2(weights: Weights, size: int = 252) -> Network:
    """DINOv2 ViT with patches of 14 pixels (Oquab et al. 2023), under the official or Hugging Face's key names.

    Layers: the means of blocks 2 to 5 and of blocks 6 to 9 (counted from 0), without the final norm.
    """
    w = official_vit_keys(weights)
    width = take(w, "cls_token").shape[-1]
    side, rest = divmod(size, 14)
    if rest:
        raise WeightsError(f"the side of the picture is {size} pixels; it must be a multiple of 14")
    tokens = side * side
    graph = GraphWriter()
    kernel, bias = graph.weight(take(w, "patch_embed.proj.weight")), graph.weight(take(w, "patch_embed.proj.bias"))
    x = graph.op("Conv", "image", kernel, bias, kernel_shape=[14, 14], strides=[14, 14])
    x = graph.op("Transpose", graph.reshape(x, 0, width, tokens), perm=[0, 2, 1])
    positions = take(w, "pos_embed").reshape(-1, width)
    x = graph.op("Add", x, graph.weight(resampled_positions(positions[1:], side)[None]))
    first = graph.weight((take(w, "cls_token").reshape(1, width) + positions[:1])[None])
    batch = graph.op("Concat", graph.op("Shape", x, start=0, end=1), graph.integers(1, width), axis=0)
    x = graph.op("Concat", graph.op("Expand", first, batch), x, axis=1)
    blocks: list[str] = []
    for index in range(10):
        x = vit_block(graph, w, f"blocks.{index}", x, width)
        blocks.append(x)
    layers = []
    for chosen in (blocks[2:6], blocks[6:10]):
        mean = graph.op("Mul", graph.op("Sum", *chosen), graph.number(1 / len(chosen)))
        mean = graph.op("Slice", mean, graph.integers(1), graph.integers(tokens + 1), graph.integers(1))
        mean = graph.reshape(graph.op("Transpose", mean, perm=[0, 2, 1]), 0, width, side, side)
        layers.append(Layer(mean, width, side))
    return finished(graph, layers, side, size, IMAGENET_MEAN, IMAGENET_STD)


def vit_block(graph: GraphWriter, weights: Weights, key: str, x: str, width: int) -> str:
    """Attention and MLP, each behind a norm and scaled by layer scale; heads of 64 channels."""
    heads = width // 64

    def norm(x: str, name: str) -> str:
        gain, shift = (graph.weight(take(weights, f"{key}.{name}.{part}")) for part in ("weight", "bias"))
        return graph.op("LayerNormalization", x, gain, shift, axis=-1, epsilon=1e-6)

    def scaled(name: str, scale: str) -> tuple[Array, Array]:
        gamma = take(weights, f"{key}.{scale}.gamma")
        weight, bias = take(weights, f"{key}.{name}.weight"), take(weights, f"{key}.{name}.bias")
        return weight.T * gamma, bias * gamma

    # The factor of the attention is multiplied into the queries.
    weight, bias = take(weights, f"{key}.attn.qkv.weight").T.copy(), take(weights, f"{key}.attn.qkv.bias").copy()
    weight[:, :width] *= 0.125
    bias[:width] *= 0.125
    qkv = graph.reshape(graph.linear(norm(x, "norm1"), weight, bias), 0, -1, 3, heads, 64)
    qkv = graph.op("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (graph.op("Gather", qkv, graph.scalar(part), axis=0) for part in range(3))
    shares = graph.op("Softmax", graph.op("MatMul", q, graph.op("Transpose", k, perm=[0, 1, 3, 2])), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", shares, v), perm=[0, 2, 1, 3])
    x = graph.op("Add", x, graph.linear(graph.reshape(mixed, 0, -1, width), *scaled("attn.proj", "ls1")))
    y = norm(x, "norm2")
    y = graph.linear(y, take(weights, f"{key}.mlp.fc1.weight").T, take(weights, f"{key}.mlp.fc1.bias"))
    y = graph.op("Gelu", y)
    return graph.op("Add", x, graph.linear(y, *scaled("mlp.fc2", "ls2")))


HF_BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.output.dense": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


def official_vit_keys(weights: Weights) -> Weights:
    """The keys of the official checkpoint, from those or from Hugging Face's (`embeddings.`, `encoder.layer.`)."""
    plain = {key.removeprefix("backbone.").removeprefix("dinov2."): value for key, value in weights.items()}
    if "pos_embed" in plain:
        return plain
    found: dict[str, Array] = {
        "cls_token": take(plain, "embeddings.cls_token"),
        "pos_embed": take(plain, "embeddings.position_embeddings"),
        "patch_embed.proj.weight": take(plain, "embeddings.patch_embeddings.projection.weight"),
        "patch_embed.proj.bias": take(plain, "embeddings.patch_embeddings.projection.bias"),
    }
    for index in range(10):
        old, new = f"encoder.layer.{index}", f"blocks.{index}"
        for part in ("weight", "bias"):
            qkv = [take(plain, f"{old}.attention.attention.{name}.{part}") for name in ("query", "key", "value")]
            found[f"{new}.attn.qkv.{part}"] = np.concatenate(qkv)
            for theirs, official in HF_BLOCK.items():
                found[f"{new}.{official}.{part}"] = take(plain, f"{old}.{theirs}.{part}")
        for number in (1, 2):
            found[f"{new}.ls{number}.gamma"] = take(plain, f"{old}.layer_scale{number}.lambda1")
    return found


def resampled_positions(positions: Array, side: int) -> Array:
    """Position embeddings of a square grid, bicubic (a = -0.75, pixel centres aligned), `[n, C]` → `[side², C]`."""
    old = round(positions.shape[0] ** 0.5)
    if old * old != positions.shape[0]:
        raise WeightsError(f"{positions.shape[0]} position embeddings are no square grid")
    matrix = cubic(old, side)
    grid = positions.astype(np.float64).reshape(old, old, -1)
    placed: NDArray[np.float64] = np.einsum("yh,xw,hwc->yxc", matrix, matrix, grid)
    return placed.reshape(side * side, -1).astype(np.float32)


def cubic(source: int, target: int) -> NDArray[np.float64]:
    """Weights of a bicubic resampling of one axis, `[target, source]`; the edge sample is repeated."""

    def near(d: NDArray[np.float64]) -> NDArray[np.float64]:
        a = -0.75
        inner = ((a + 2) * d - (a + 3)) * d * d + 1
        outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, inner, np.where(d < 2, outer, 0.0))

    places = (np.arange(target) + 0.5) * source / target - 0.5
    matrix = np.zeros((target, source))
    for offset in range(-1, 3):
        taps = np.floor(places).astype(int) + offset
        np.add.at(matrix, (np.arange(target), taps.clip(0, source - 1)), near(np.abs(places - taps)))
    return matrix


def mobilenet_v2(weights: Weights, size: int = 256) -> Network:
    """MobileNetV2 (Sandler et al. 2018) up to stride 16, under torchvision's keys (`features.N`).

    Layers: the last block at strides 4, 8 and 16 (24, 32 and 96 channels), brought to the grid of stride 8.
    """
    graph = GraphWriter()
    kernel, bias = folded(weights, "features.0.0", "features.0.1", 1e-5)
    x, side, channels = graph.clip(graph.conv("image", kernel, bias, stride=2), 0, 6), size // 2, kernel.shape[0]
    layers: list[Layer] = []
    strides = {2: 2, 4: 2, 7: 2}
    for index in range(1, 14):
        convs = [key for key in (f"features.{index}.conv.{n}" for n in range(4)) if f"{key}.0.weight" in weights]
        last, norm = (f"features.{index}.conv.{len(convs) + n}" for n in range(2))
        stride = strides.get(index, 1)
        y = x
        for key in convs:
            kernel, bias = folded(weights, f"{key}.0", f"{key}.1", 1e-5)
            y = graph.clip(graph.conv(y, kernel, bias, stride=stride if kernel.shape[1] == 1 else 1), 0, 6)
        kernel, bias = folded(weights, last, norm, 1e-5)
        y = graph.conv(y, kernel, bias)
        x = graph.op("Add", y, x) if stride == 1 and kernel.shape[0] == channels else y
        channels, side = kernel.shape[0], side // stride
        if index in (3, 6, 13):
            layers.append(Layer(x, channels, side))
    return finished(graph, layers, size // 8, size, IMAGENET_MEAN, IMAGENET_STD)


def resnet50(weights: Weights, size: int = 256) -> Network:
    """ResNet-50 (He et al. 2016, stride in the 3x3 convolution) up to stage 3, under the keys that torchvision and timm
    share. Layers: the ends of stages 1 to 3 (256, 512 and 1,024 channels), brought to the grid of stage 2.
    """
    graph = GraphWriter()
    kernel, bias = folded(weights, "conv1", "bn1", 1e-5)
    x = graph.op("Relu", graph.conv("image", kernel, bias, stride=2))
    x = graph.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    side = size // 4
    layers: list[Layer] = []
    for stage, count in ((1, 3), (2, 4), (3, 6)):
        for number in range(count):
            key, stride = f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1
            y = x
            for conv in (1, 2, 3):
                kernel, bias = folded(weights, f"{key}.conv{conv}", f"{key}.bn{conv}", 1e-5)
                y = graph.conv(y, kernel, bias, stride=stride if conv == 2 else 1)
                y = graph.op("Relu", y) if conv < 3 else y
            if number == 0:
                short = folded(weights, f"{key}.downsample.0", f"{key}.downsample.1", 1e-5)
                x = graph.conv(x, *short, stride=stride)
            x = graph.op("Relu", graph.op("Add", y, x))
            side //= stride
        layers.append(Layer(x, 128 << stage, side))
    return finished(graph, layers, size // 8, size, IMAGENET_MEAN, IMAGENET_STD)


def network_of(weights: Weights) -> Network:
    """The network that weights belong to, recognised by their keys.

    Raises:
        WeightsError: the keys are those of no network known here, or one is missing.
    """
    keys = {key.removeprefix("backbone.").removeprefix("dinov2.") for key in weights}
    if "_conv_stem.weight" in keys:
        return efficientnet_lite(weights)
    if "pos_embed" in keys or "embeddings.cls_token" in keys:
        return dinov2(weights)
    if "features.1.conv.0.0.weight" in keys:
        return mobilenet_v2(weights)
    if "layer3.5.conv3.weight" in keys:
        return resnet50(weights)
    names = ", ".join(sorted(keys)[:4])
    raise WeightsError(
        f"no network known here has the keys {names}, ...; known: EfficientNet-Lite, DINOv2 ViT-S/14 and ViT-B/14, "
        "MobileNetV2 (torchvision), ResNet-50 (torchvision, timm)"
    )
