"""The feature networks: graphs against PyTorch, and the files that weights come in."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from diad_foundation import make, networks, weights
from diad_foundation.graph import GraphWriter
from diad_train.exchange.checkpoint import CheckpointError
from diad_train.model.resnet import ResNet50
from diad_train.model.teacher import Teacher
from torch import Tensor, nn
from torch.nn import functional


def run(network: networks.Network, image: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def joined(layers: list[Tensor], side: int) -> Tensor:
    parts = []
    for layer in layers:
        x = functional.normalize(layer, dim=1)
        if x.shape[-1] > side:
            x = functional.normalize(functional.avg_pool2d(x, x.shape[-1] // side), dim=1)
        elif x.shape[-1] < side:
            x = functional.normalize(functional.interpolate(x, (side, side), mode="bilinear"), dim=1)
        parts.append(x / len(layers) ** 0.5)
    return torch.cat(parts, dim=1)


def picture(size: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, 3, size, size)).astype(np.float32)


def numbers(module: nn.Module) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in module.state_dict().items() if value.is_floating_point()}


class LiteBlock(nn.Module):
    """A block of EfficientNet-Lite with the publisher's key names."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = channels * expand
        if expand > 1:
            self._expand_conv, self._bn0 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner, 1e-3)
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, 1e-3)
        self._project_conv, self._bn2 = nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out, 1e-3)
        self.skip = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        kernel, stride, size = self._depthwise_conv.kernel_size[0], self._depthwise_conv.stride[0], y.shape[-1]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        y = functional.pad(y, (total // 2, total - total // 2) * 2)
        y = self._bn2(self._project_conv(functional.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.skip else y


class Lite(nn.Module):
    """A narrow EfficientNet-Lite."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8, 1e-3)
        self._blocks = nn.ModuleList()
        channels = 8
        stages = (
            (4, 3, 1, 1, 1),
            (6, 3, 2, 6, 2),
            (10, 5, 2, 6, 1),
            (12, 3, 2, 6, 1),
            (14, 5, 1, 6, 2),
            (16, 5, 2, 6, 1),
            (18, 3, 1, 6, 1),
        )
        for out, kernel, stride, expand, count in stages:
            for number in range(count):
                self._blocks.append(LiteBlock(channels, out, kernel, stride if number == 0 else 1, expand))
                channels = out

    def forward(self, x: Tensor) -> list[Tensor]:
        x = functional.relu6(self._bn0(self._conv_stem(functional.pad(x, (0, 1, 0, 1)))))
        seen = []
        for block in self._blocks[:7]:
            x = block(x)
            seen.append(x)
        return [seen[2], seen[3], seen[6]]


def random_norms(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
            nn.init.normal_(part.running_mean, std=0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    module.eval()


def test_efficientnet_lite_is_what_pytorch_computes() -> None:
    torch.manual_seed(0)
    lite = Lite()
    random_norms(lite)
    network = networks.efficientnet_lite(numbers(lite), size=64)
    image = picture(64, 2)
    with torch.no_grad():
        want = joined(lite(torch.from_numpy(image).float()), 8)
    np.testing.assert_allclose(run(network, image), want.numpy(), atol=1e-5)
    assert (network.groups, network.grid) == ((6, 10, 14), (8, 8))


def test_resnet50_is_what_pytorch_computes() -> None:
    torch.manual_seed(1)
    resnet = ResNet50()
    random_norms(resnet)
    network = networks.resnet50(numbers(resnet), size=64)
    image = picture(64)
    with torch.no_grad():
        want = joined(list(resnet(torch.from_numpy(image))), 8)
    np.testing.assert_allclose(run(network, image), want.numpy(), atol=2e-5)


class Vit(nn.Module):
    """A DINOv2 ViT with the official key names."""

    def __init__(self, width: int, old: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + old * old, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, 14, 14)})
        self.blocks = nn.ModuleList()
        for _ in range(10):
            block = nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(width, 1e-6),
                    "norm2": nn.LayerNorm(width, 1e-6),
                    "attn": nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}),
                    "mlp": nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}),
                    "ls1": nn.ParameterDict({"gamma": torch.rand(width)}),
                    "ls2": nn.ParameterDict({"gamma": torch.rand(width)}),
                }
            )
            self.blocks.append(block)

    def forward(self, image: Tensor, positions: Tensor) -> list[Tensor]:
        x = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = x + torch.cat([self.pos_embed[:, :1], positions[None]], dim=1)
        n, p, c = x.shape
        seen = []
        for b in self.blocks:
            q, k, v = b["attn"]["qkv"](b["norm1"](x)).reshape(n, p, 3, c // 64, 64).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, p, c)
            x = x + b["ls1"]["gamma"] * b["attn"]["proj"](mixed)
            x = x + b["ls2"]["gamma"] * b["mlp"]["fc2"](functional.gelu(b["mlp"]["fc1"](b["norm2"](x))))
            seen.append(x[:, 1:].transpose(1, 2))
        side = int(seen[0].shape[-1] ** 0.5)
        return [torch.stack(seen[i : i + 4]).mean(0).reshape(n, c, side, side) for i in (2, 6)]


def test_dinov2_is_what_pytorch_computes_under_either_naming() -> None:
    torch.manual_seed(2)
    vit = Vit(64, 5).eval()
    image = picture(42, 2)
    positions = torch.from_numpy(networks.resampled_positions(vit.pos_embed[0, 1:].detach().numpy(), 3))
    resized = functional.interpolate(vit.pos_embed[0, 1:].T.reshape(1, 64, 5, 5).double(), (3, 3), mode="bicubic")
    np.testing.assert_allclose(positions.numpy(), resized[0].flatten(1).T.detach().numpy(), atol=1e-5)
    with torch.no_grad():
        want = joined(vit(torch.from_numpy(image), positions), 3)
    official = numbers(vit)
    np.testing.assert_allclose(run(networks.dinov2(official, 42), image), want.numpy(), atol=1e-5)
    np.testing.assert_allclose(run(networks.dinov2(hugging_face(official), 42), image), want.numpy(), atol=1e-5)


def hugging_face(official: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {
        "embeddings.cls_token": official["cls_token"],
        "embeddings.position_embeddings": official["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": official["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": official["patch_embed.proj.bias"],
    }
    for i in range(10):
        old, new = f"blocks.{i}", f"encoder.layer.{i}"
        for part in ("weight", "bias"):
            for name, value in zip(
                ("query", "key", "value"), np.split(official[f"{old}.attn.qkv.{part}"], 3), strict=True
            ):
                found[f"{new}.attention.attention.{name}.{part}"] = value
            for theirs, name in networks.HF_BLOCK.items():
                found[f"{new}.{theirs}.{part}"] = official[f"{old}.{name}.{part}"]
        for k in (1, 2):
            found[f"{new}.layer_scale{k}.lambda1"] = official[f"{old}.ls{k}.gamma"]
    return found


@pytest.mark.parametrize("zipped", [True, False])
def test_load_reads_what_torch_saves_in_either_format(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {"a": base, "b": base.T[1:], "half": base.half(), "count": torch.tensor(3)}
    torch.save({"state_dict": state}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    got = weights.load(tmp_path / "w.pth")
    for key, value in state.items():
        np.testing.assert_array_equal(got[key], value.float().numpy())


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("harmed"),))


def test_load_runs_no_code_and_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(3)}, "good.pth")
    Path("cut.pth").write_bytes(Path("good.pth").read_bytes()[:200])
    Path("harm.pth").write_bytes(pickle.dumps(Harm()))
    torch.save({"a": Harm()}, "harm_zip.pth")
    Path("text.safetensors").write_text("no tensors")
    Path("text.onnx").write_text("no graph")
    for name in ("text.onnx", "cut.pth", "harm.pth", "harm_zip.pth", "text.safetensors", "missing.pth", "missing.onnx"):
        with pytest.raises(weights.WeightsError, match=name):
            weights.load(Path(name))
    assert not Path("harmed").exists()


def test_network_of_names_the_keys_it_does_not_know() -> None:
    with pytest.raises(networks.WeightsError, match=r"keys stem\.weight, .*known: EfficientNet-Lite"):
        networks.network_of({"stem.weight": np.zeros(1, np.float32)})
    with pytest.raises(networks.WeightsError, match=r"no weights under 'bn1\.weight'"):
        networks.network_of(
            {"layer3.5.conv3.weight": np.zeros(1, np.float32), "conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}
        )


def test_make_writes_a_description_and_refuses_another_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(3)
    lite = Lite()
    random_norms(lite)
    torch.save(lite.state_dict(), tmp_path / "lite.pth")
    arguments = [str(tmp_path / "lite.pth"), "--name", "lite", "--out", str(tmp_path / "out")]
    assert make.main(arguments) == 0
    spec = json.loads((tmp_path / "out/foundation.json").read_text())
    assert (spec["name"], spec["output"]["shape"], spec["groups"]) == ("lite", [30, 32, 32], [6, 10, 14])
    assert make.main([*arguments, "--expect", spec["sha256"]]) == 0
    assert make.main([*arguments, "--expect", "0" * 64]) == 65
    assert "should have sha256 0000" in capsys.readouterr().err


def test_int8_is_refused_where_it_is_too_far_from_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    network = networks.dinov2(numbers(Vit(64, 5)), 42)
    make.write(network, "vit", {}, tmp_path / "vit", precision="int8")
    monkeypatch.setattr(make, "LEAST_COSINE", 1.1)
    with pytest.raises(networks.WeightsError, match=r"mean cosine of"):
        make.write(network, "vit", {}, tmp_path / "vit", precision="int8")


def test_unit_length_of_nothing_is_finite() -> None:
    graph = GraphWriter()
    graph.rename(graph.unit_length("image"), "patches")
    model = graph.model((2, 2), "patches", (3, 2, 2))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert not session.run(None, {"image": np.zeros((1, 3, 2, 2), np.float32)})[0].any()


def test_teacher_computes_the_layers_that_the_graph_joins(tmp_path: Path) -> None:
    torch.manual_seed(5)
    lite = Lite()
    random_norms(lite)
    network = networks.efficientnet_lite(numbers(lite), size=64)
    make.write(network, "lite", {}, tmp_path)
    teacher = Teacher(tmp_path)
    assert teacher.widths == (6, 10, 14)
    image = torch.from_numpy(picture(64, 2))
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (networks.IMAGENET_MEAN, networks.IMAGENET_STD))
    with torch.no_grad():
        want = lite((image * std + mean - networks.TF_MEAN[0]) / networks.TF_STD[0])
        larger = teacher(torch.cat([torch.cat([image, image], 2)] * 2, 3))
    for got, layer, big in zip(teacher(image), want, larger, strict=True):
        torch.testing.assert_close(got, layer, atol=1e-4, rtol=1e-4)
        assert big.shape[2] == 2 * layer.shape[2]


def test_a_transformer_is_no_teacher(tmp_path: Path) -> None:
    make.write(networks.dinov2(numbers(Vit(64, 5)), 42), "vit", {}, tmp_path)
    with pytest.raises(CheckpointError, match="no convolutional network"):
        Teacher(tmp_path)
