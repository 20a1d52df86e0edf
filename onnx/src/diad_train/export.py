"""Exports a trained model as a bundle: five ONNX graphs, the start noise and `manifest.json`.

Export refuses to finish unless ONNX Runtime agrees with PyTorch, graph by graph and over the whole path.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import onnx
from diad_train.config import Config
from diad_train.data import GoodParts, normalised
from diad_train.model.diad import DiAD
from diad_train.model.features import IMAGE_MEAN, IMAGE_STD

FORMAT = 1
OPSET = 18
RELATIVE_TOLERANCE = 2e-4

Array = NDArray[Any]


class ExportError(RuntimeError):
    """The exported graphs do not compute what the model computes."""


class _Graph(nn.Module):
    """One function of the model as a module, so that it can be exported."""

    def __init__(self, model: DiAD, function: Any) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        out = self.function(self.model, *inputs)
        return tuple(out) if isinstance(out, list) else out


@dataclass(frozen=True)
class GraphSpec:
    """Names and function of one graph."""

    key: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Any


def graph_specs(layers: int) -> tuple[GraphSpec, ...]:
    """The five graphs of a bundle, in the order in which a part passes them."""
    return (
        GraphSpec("encoder", ("image",), ("moments",), lambda m, x: m.autoencoder.moments(x)),
        GraphSpec("hint", ("image",), ("hint",), lambda m, x: m.denoiser.control_model.hint(x)),
        GraphSpec("denoiser", ("latent", "hint", "t"), ("noise",), lambda m, z, h, t: m.denoiser(z, h, t)),
        GraphSpec("decoder", ("latent",), ("reconstruction",), lambda m, z: m.decode(z)),
        GraphSpec("features", ("image",), tuple(f"layer{k + 1}" for k in range(layers)), lambda m, x: m.features(x)),
    )


def _examples(model: DiAD, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
    size, latent = model.config.image_size, model.config.latent_size
    channels = model.config.autoencoder.latent_channels
    width = model.config.denoiser.width
    return {
        "image": torch.randn(batch, 3, size, size, generator=generator),
        "latent": torch.randn(batch, channels, latent, latent, generator=generator),
        "hint": torch.randn(batch, width, latent, latent, generator=generator),
        "t": torch.tensor(([*model.config.sampler.steps] * batch)[:batch], dtype=torch.int64),
    }


def _session(path: Path) -> Any:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _agree(name: str, got: Array, want: Array) -> float:
    if got.shape != want.shape:
        raise ExportError(f"{name}: ONNX Runtime gives shape {got.shape}, PyTorch {want.shape}")
    scale = float(np.abs(want).max()) + 1e-6
    difference = float(np.abs(got - want).max()) / scale
    if not difference <= RELATIVE_TOLERANCE:
        raise ExportError(
            f"{name}: differs from PyTorch by {difference:.2e} of its range; {RELATIVE_TOLERANCE} is allowed"
        )
    return difference


def _export_graph(model: DiAD, spec: GraphSpec, folder: Path) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    module = _Graph(model, spec.function).eval()
    examples = _examples(model, 2, generator)
    inputs = tuple(examples[name] for name in spec.inputs)
    batch = torch.export.Dim("N", min=1, max=64)
    path = folder / f"{spec.key}.onnx"
    program = torch.onnx.export(
        module,
        inputs,
        dynamo=True,
        opset_version=OPSET,
        input_names=list(spec.inputs),
        output_names=list(spec.outputs),
        dynamic_shapes=(tuple({0: batch} for _ in inputs),),
        verbose=False,
    )
    if program is None:
        raise ExportError(f"{spec.key}: the exporter gave no program")
    program.save(str(path), external_data=False)
    stored = onnx.load(str(path))
    onnx.checker.check_model(stored)
    session = _session(path)
    for count in (1, 3):
        examples = _examples(model, count, generator)
        with torch.no_grad():
            out = module(*(examples[name] for name in spec.inputs))
        wanted: Sequence[Tensor] = out if isinstance(out, tuple) else (out,)
        got = session.run(list(spec.outputs), {name: examples[name].numpy() for name in spec.inputs})
        for name, a, b in zip(spec.outputs, got, wanted, strict=True):
            _agree(f"{spec.key}.{name} (batch {count})", a, b.numpy())

    def tensors(values: Any) -> list[dict[str, Any]]:
        listed = []
        for value in values:
            kind = value.type.tensor_type
            dims = [d.dim_value if d.HasField("dim_value") else "N" for d in kind.shape.dim]
            dtype = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT64: "int64"}[kind.elem_type]
            listed.append({"name": value.name, "dtype": dtype, "shape": ["N", *dims[1:]]})
        return listed

    return {
        "file": path.name,
        "sha256": sha256(path),
        "data": [],
        "inputs": tensors(stored.graph.input),
        "outputs": tensors(stored.graph.output),
    }


def sha256(path: Path) -> str:
    """Hash of a file's bytes, lower-case hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class OrtModel:
    """The exported graphs under ONNX Runtime, driven as the engine drives them."""

    def __init__(self, folder: Path, model: DiAD) -> None:
        self.sessions = {spec.key: _session(folder / f"{spec.key}.onnx") for spec in graph_specs(3)}
        self.model = model

    def _run(self, key: str, **inputs: Array) -> list[Array]:
        out: list[Array] = self.sessions[key].run(None, inputs)
        return out

    def inspect(self, image: Tensor) -> tuple[Tensor, Tensor, NDArray[np.float32]]:
        """Image [N, 3, S, S] -> (reconstruction, blurred map, scores), as DiAD.inspect."""
        config = self.model.config
        pixels = image.numpy()
        latent = self._run("encoder", image=pixels)[0]
        latent = latent[:, : latent.shape[1] // 2] * self.model.latent_scale.item()
        from diad_train.schedule import alpha_bar

        bar = alpha_bar()[config.sampler.start]
        z = (np.sqrt(bar) * latent + np.sqrt(1.0 - bar) * self.model.start_noise.numpy()).astype(np.float32)
        hint = self._run("hint", image=pixels)[0]
        for step, (c0, c1) in zip(config.sampler.steps, config.sampler.coefficients(), strict=True):
            t = np.full(len(z), step, dtype=np.int64)
            z = (c0 * z + c1 * self._run("denoiser", latent=z, hint=hint, t=t)[0]).astype(np.float32)
        reconstruction = self._run("decoder", latent=z)[0]
        layers = self._run("features", image=np.concatenate([pixels, reconstruction]))
        from diad_train.model.features import anomaly_map

        n = len(pixels)
        raw = anomaly_map(
            [torch.from_numpy(layer[:n]) for layer in layers],
            [torch.from_numpy(layer[n:]) for layer in layers],
            size=config.image_size,
            weights=config.layer_weights,
        )
        blurred = self.model.blurred(raw)
        return torch.from_numpy(reconstruction), blurred, self.model.score(blurred).numpy()


def _calibration(exported: OrtModel, good: GoodParts, held_out: NDArray[np.int64]) -> dict[str, Any]:
    statistics = {}
    for number, product in enumerate(good.products):
        index = [i for i in held_out if good.product[i] == number]
        scores = np.concatenate(
            [exported.inspect(normalised(good.pictures[index[i : i + 8]]))[2] for i in range(0, len(index), 8)]
        ).astype(np.float64)
        statistics[product] = {
            "parts": len(scores),
            "mean": round(float(scores.mean()), 6),
            "std": round(float(scores.std()), 6),
            **{f"p{q}": round(float(np.percentile(scores, q)), 6) for q in (50, 95, 99)},
            "max": round(float(scores.max()), 6),
        }
    return statistics


def _training(config: Config) -> dict[str, Any]:
    """How it was trained, without the paths of the machine that trained it."""
    settings = dataclasses.asdict(config.train)
    return {name: value for name, value in settings.items() if name not in ("data", "teacher", "workers")}


def _revision() -> str:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def export(model: DiAD, config: Config, *, good: GoodParts, held_out: NDArray[np.int64], out: Path) -> dict[str, Any]:
    """Writes the bundle into `out` (replaced as a whole once everything agrees) and returns the manifest."""
    model = model.eval().cpu()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        graphs = {spec.key: _export_graph(model, spec, folder) for spec in graph_specs(len(config.model.layer_weights))}
        noise = folder / "start_noise.f32"
        noise.write_bytes(model.start_noise.numpy().astype("<f4").tobytes())
        exported = OrtModel(folder, model)
        image = normalised(good.pictures[held_out[:2]])
        wanted, got = model.inspect(image), exported.inspect(image)
        _agree("reconstruction of the whole path", got[0].numpy(), wanted[0].numpy())
        _agree("anomaly map of the whole path", got[1].numpy(), wanted[1].detach().numpy())
        m = config.model
        manifest = {
            "format": FORMAT,
            "name": m.name,
            "graphs": graphs,
            "input": {
                "width": m.image_size,
                "height": m.image_size,
                "channels": "rgb",
                "resize": "bilinear_antialiased",
                "mean": list(IMAGE_MEAN),
                "std": list(IMAGE_STD),
            },
            "latent": {"scale": float(model.latent_scale), "posterior": "mean", "posterior_noise": None},
            "schedule": {"kind": "scaled_linear", "train_steps": 1000, "beta_start": 0.00085, "beta_end": 0.012},
            "sampler": {
                "kind": "ddim",
                "eta": 0.0,
                "start": m.sampler.start,
                "steps": list(m.sampler.steps),
                "last_previous": m.sampler.last_previous,
            },
            "start_noise": {"file": noise.name, "sha256": sha256(noise)},
            "map": {
                "fusion": "sum",
                "layer_weights": list(m.layer_weights),
                "upsample": "bilinear_align_corners",
                "blur_sigma_px": m.blur_sigma_px,
                "blur_truncate": m.blur_truncate,
            },
            "score": {"rule": "pooled_max", "window_px": m.pool_window_px, "times": m.pool_times},
            "products": list(good.products),
            "calibration": _calibration(exported, good, held_out),
            "provenance": {
                "created_at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "code": _revision(),
                "data": f"{len(good.pictures)} good parts of {len(good.products)} products",
                "licence": config.train.licence,
                "settings": {"model": dataclasses.asdict(m), "train": _training(config)},
            },
        }
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        shutil.move(str(folder), out)
    return manifest
