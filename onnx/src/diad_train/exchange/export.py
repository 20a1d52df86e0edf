"""Exports a trained model as a bundle: five ONNX graphs, the start noise and `manifest.json`.

The model is folded first (`model.fold`). Export refuses to finish unless ONNX Runtime agrees with PyTorch, graph by
graph, and over the whole path with the model as it was before it was folded.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor, nn

from diad_train.config import Config
from diad_train.exchange.data import GoodParts, normalised
from diad_train.model.diad import DiAD
from diad_train.model.features import IMAGE_MEAN, IMAGE_STD, anomaly_map
from diad_train.model.fold import fold
from diad_train.schedule import alpha_bar

FORMAT = 1
# Written by people; stays when a bundle is replaced.
MODEL_CARD = "README.md"
OPSET = 18
# Weights of a graph above this many bytes lie in a file of their own: ONNX files end at 2 GiB.
EXTERNAL_BYTES = 1 << 30

PRECISIONS: dict[str, DTypeLike] = {"fp32": np.float32, "fp16": np.float16, "bf16": ml_dtypes.bfloat16}
# Arrays below this many numbers (biases, norms) stay float32: they weigh nothing.
HALF_FROM = 1024
# How far ONNX Runtime may be from PyTorch in float32, as a share of the output's range.
TOLERANCES = {"fp32": 2e-4, "fp16": 1e-2, "bf16": 5e-2}

Array = NDArray[Any]
# What one graph computes: a tensor, or the layers of the features.
Function = Callable[..., Tensor | list[Tensor]]
# A part of `manifest.json`.
Json = dict[str, Any]


class ExportError(RuntimeError):
    """The exported graphs do not compute what the model computes."""


@dataclass(frozen=True)
class Options:
    """What a bundle is made as.

    `precision` is that of the stored weights: half the file, while every provider computes in float32 as before (ONNX
    Runtime's CPU has no convolution in half precision; TensorRT and CUDA choose their own). `any_step` keeps the
    denoiser's step MLP, so that a step list can be tried that the bundle does not name.
    """

    precision: str = "fp32"
    any_step: bool = True
    external_bytes: int = EXTERNAL_BYTES


class _Graph(nn.Module):
    """One function of the model as a module, so that it can be exported."""

    def __init__(self, model: DiAD, function: Function) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        out = self.function(self.model, *inputs)
        return tuple(out) if isinstance(out, list) else out


@dataclass(frozen=True)
class GraphSpec:
    """Names and function of one graph, and the modules whose weights it holds."""

    key: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Function
    weights: Callable[[DiAD], list[nn.Module]]


def graph_specs(layers: int) -> tuple[GraphSpec, ...]:
    """The five graphs of a bundle, in the order in which a part passes them."""
    layer_names = tuple(f"layer{k + 1}" for k in range(layers))
    return (
        GraphSpec(
            "encoder",
            ("image",),
            ("moments",),
            lambda m, x: m.autoencoder.moments(x),
            lambda m: [m.autoencoder.encoder, m.autoencoder.quant_conv],
        ),
        GraphSpec(
            "hint",
            ("image",),
            ("hint",),
            lambda m, x: m.denoiser.control_model.hint(x),
            lambda m: [m.denoiser.control_model.input_hint_block],
        ),
        GraphSpec(
            "denoiser",
            ("latent", "hint", "t"),
            ("noise",),
            lambda m, z, h, t: m.denoiser(z, h, t),
            lambda m: [m.denoiser],
        ),
        GraphSpec(
            "decoder",
            ("latent",),
            ("reconstruction",),
            lambda m, z: m.decode(z),
            lambda m: [m.autoencoder.decoder, m.autoencoder.post_quant_conv],
        ),
        GraphSpec("features", ("image",), layer_names, lambda m, x: m.features(x), lambda m: [m.features]),
    )


def examples(model: DiAD, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Inputs of every graph, by name."""
    size, latent = model.config.image_size, model.config.latent_size
    channels = model.config.autoencoder.latent_channels
    width = model.config.denoiser.width
    return {
        "image": torch.randn(batch, 3, size, size, generator=generator),
        "latent": torch.randn(batch, channels, latent, latent, generator=generator),
        "hint": torch.randn(batch, width, latent, latent, generator=generator),
        "t": torch.tensor(([*model.config.sampler.steps] * batch)[:batch], dtype=torch.int64),
    }


def session(path: Path) -> ort.InferenceSession:
    """A session on the CPU; ExportError where the graph cannot be run."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own that it does not export
        raise ExportError(f"{path.name}: ONNX Runtime on this machine's CPU cannot run it: {error}") from error


def agree(name: str, got: Array, want: Array, *, tolerance: float) -> float:
    """Largest difference as a share of the range of `want`; ExportError above `tolerance`."""
    if got.shape != want.shape:
        raise ExportError(f"{name}: ONNX Runtime gives shape {got.shape}, PyTorch {want.shape}")
    scale = float(np.abs(want).max()) + 1e-6
    difference = float(np.abs(got - want).max()) / scale
    if not difference <= tolerance:
        raise ExportError(f"{name}: differs from PyTorch by {difference:.2e} of its range; {tolerance} is allowed")
    return difference


def _results(module: nn.Module, spec: GraphSpec, given: dict[str, Tensor]) -> list[Array]:
    with torch.no_grad():
        out = module(*(given[name] for name in spec.inputs))
    wanted: Sequence[Tensor] = out if isinstance(out, tuple) else (out,)
    return [value.numpy() for value in wanted]


def program(model: DiAD, spec: GraphSpec, given: dict[str, Tensor]) -> torch.onnx.ONNXProgram:
    """One graph of a model as ONNX, for any batch."""
    inputs = tuple(given[name] for name in spec.inputs)
    batch = torch.export.Dim("N", min=1, max=64)
    made = torch.onnx.export(
        _Graph(model, spec.function).eval(),
        inputs,
        dynamo=True,
        opset_version=OPSET,
        input_names=list(spec.inputs),
        output_names=list(spec.outputs),
        dynamic_shapes=(tuple({0: batch} for _ in inputs),),
        verbose=False,
    )
    if made is None:
        raise ExportError(f"{spec.key}: the exporter gave no program")
    return made


def _export_graph(model: DiAD, spec: GraphSpec, folder: Path, options: Options) -> Json:
    generator = torch.Generator().manual_seed(0)
    module = _Graph(model, spec.function).eval()
    checks = [(given, _results(module, spec, given)) for given in (examples(model, n, generator) for n in (1, 3))]
    path = folder / f"{spec.key}.onnx"
    made = program(model, spec, examples(model, 2, generator))
    parts = (p for part in spec.weights(model) for p in (*part.parameters(), *part.buffers()))
    external = sum(p.numel() * p.element_size() for p in parts) > options.external_bytes
    made.save(str(path), external_data=external)
    del made
    strip(path)
    store(path, precision=options.precision, external=external)
    onnx.checker.check_model(str(path))
    running = session(path)
    for given, wanted in checks:
        got = running.run(list(spec.outputs), {name: given[name].numpy() for name in spec.inputs})
        for name, a, b in zip(spec.outputs, got, wanted, strict=True):
            agree(f"{spec.key}.{name} (batch {len(b)})", a, b, tolerance=TOLERANCES[options.precision])
    stored = onnx.load(str(path), load_external_data=False)
    data = sorted(folder.glob(f"{path.name}.data*"))
    return {
        "file": path.name,
        "sha256": sha256(path),
        "data": [{"file": file.name, "sha256": sha256(file)} for file in data],
        "inputs": tensors(stored.graph.input),
        "outputs": tensors(stored.graph.output),
    }


def strip(path: Path) -> None:
    """Takes out what the exporter notes on every node: stack traces, with the paths of this machine."""
    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")
    onnx.save(model, str(path))


def store(path: Path, *, precision: str, external: bool) -> None:
    """Rounds the weights to `precision`; each is cast back to float32 in front of its use, once, when it is loaded."""
    if precision == "fp32":
        return
    model = onnx.load(str(path))
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or math.prod(weight.dims) < HALF_FROM:
            continue
        name = weight.name
        with np.errstate(over="ignore"):
            rounded = onnx.numpy_helper.to_array(weight).astype(PRECISIONS[precision])
        weight.CopyFrom(onnx.numpy_helper.from_array(rounded, f"{name}.{precision}"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    data = f"{path.name}.data"
    (path.parent / data).unlink(missing_ok=True)
    onnx.save(model, str(path), save_as_external_data=external, location=data)


def tensors(values: Iterable[onnx.ValueInfoProto]) -> list[Json]:
    """Inputs or outputs of a graph as the manifest lists them."""
    listed = []
    dtypes: dict[int, str] = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT64: "int64"}
    for value in values:
        kind = value.type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") else "N" for d in kind.shape.dim]
        listed.append({"name": value.name, "dtype": dtypes[kind.elem_type], "shape": ["N", *dims[1:]]})
    return listed


def sha256(path: Path) -> str:
    """Hash of a file's bytes, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class OrtModel:
    """The exported graphs under ONNX Runtime, driven as the engine drives them."""

    def __init__(self, folder: Path, model: DiAD) -> None:
        self.sessions = {spec.key: session(folder / f"{spec.key}.onnx") for spec in graph_specs(3)}
        self.model = model

    def _run(self, key: str, **inputs: Array) -> list[Array]:
        out: list[Array] = self.sessions[key].run(None, inputs)
        return out

    def _encode(self, pixels: Array) -> Array:
        mean, logvar = np.split(self._run("encoder", image=pixels)[0], 2, axis=1)
        noise = self.model.posterior_noise
        if noise is not None:
            mean = mean + np.exp(0.5 * logvar.clip(-30.0, 20.0)) * noise.numpy()
        out: Array = mean * self.model.latent_scale.item()
        return out

    def inspect(self, image: Tensor) -> tuple[Tensor, Tensor, NDArray[np.float32]]:
        """Image [N, 3, S, S] -> (reconstruction, blurred map, scores), as DiAD.inspect."""
        config = self.model.config
        pixels = image.numpy()
        bar = alpha_bar()[config.sampler.start]
        noise = self.model.start_noise.numpy()
        z = (np.sqrt(bar) * self._encode(pixels) + np.sqrt(1.0 - bar) * noise).astype(np.float32)
        hint = self._run("hint", image=pixels)[0]
        for step, (c0, c1) in zip(config.sampler.steps, config.sampler.coefficients(), strict=True):
            t = np.full(len(z), step, dtype=np.int64)
            z = (c0 * z + c1 * self._run("denoiser", latent=z, hint=hint, t=t)[0]).astype(np.float32)
        reconstruction = self._run("decoder", latent=z)[0]
        layers = self._run("features", image=np.concatenate([pixels, reconstruction]))
        n = len(pixels)
        raw = anomaly_map(
            [torch.from_numpy(layer[:n]) for layer in layers],
            [torch.from_numpy(layer[n:]) for layer in layers],
            size=config.image_size,
            weights=config.layer_weights,
        )
        blurred = self.model.blurred(raw)
        return torch.from_numpy(reconstruction), blurred, self.model.score(blurred).numpy()


def _calibration(exported: OrtModel, good: GoodParts, held_out: NDArray[np.int64]) -> dict[str, dict[str, float]]:
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


def noise(folder: Path, name: str, values: Tensor) -> dict[str, str]:
    """Writes fixed noise as raw little-endian float32; returns its entry in the manifest."""
    path = folder / f"{name}.f32"
    path.write_bytes(values.numpy().astype("<f4").tobytes())
    return {"file": path.name, "sha256": sha256(path)}


def revision() -> str:
    """The commit of this package, `-dirty` where a file of it was changed since; in any working folder."""
    package = Path(__file__).parents[1]

    def git(*command: str) -> str:
        done = subprocess.run(["git", *command], cwd=package, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # An installed copy may lie in another project's repository.
        git("ls-files", "--error-unmatch", str(Path(__file__).relative_to(package)))
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def provenance(config: Config, *, data: str) -> Json:
    """Where a trained model comes from, without the paths of the machine that trained it."""
    train = dataclasses.asdict(config.train)
    for place in ("data", "teacher", "context", "workers"):
        del train[place]
    settings = {"model": dataclasses.asdict(config.model), "train": train}
    return {"data": data, "licence": config.train.licence, "settings": settings}


def _manifest(
    model: DiAD, graphs: dict[str, Json], *, start: Json, posterior: Json | None, known: list[int] | None
) -> Json:
    """What the manifest states of the model itself: graphs, scales, schedule, sampler, map and score."""
    m = model.config
    return {
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
        "latent": {
            "scale": float(model.latent_scale),
            "posterior": "mean" if posterior is None else "sample",
            "posterior_noise": posterior,
        },
        "schedule": {"kind": "scaled_linear", "train_steps": 1000, "beta_start": 0.00085, "beta_end": 0.012},
        "sampler": {
            "kind": "ddim",
            "eta": 0.0,
            "start": m.sampler.start,
            "steps": list(m.sampler.steps),
            "last_previous": m.sampler.last_previous,
            "known": known,
        },
        "start_noise": start,
        "map": {
            "fusion": "sum",
            "layer_weights": list(m.layer_weights),
            "upsample": "bilinear_align_corners",
            "blur_sigma_px": m.blur_sigma_px,
            "blur_truncate": m.blur_truncate,
        },
        "score": {"rule": "pooled_max", "window_px": m.pool_window_px, "times": m.pool_times},
    }


def export(
    model: DiAD,
    *,
    out: Path,
    origin: Json,
    good: GoodParts | None = None,
    held_out: NDArray[np.int64] | None = None,
    options: Options | None = None,
) -> Json:
    """Writes the bundle into `out` (replaced as a whole but for its model card) and returns the manifest.

    Folds `model` in place. `origin` holds data, licence and settings; scores of `good[held_out]` become the manifest's
    calibration. Raises ExportError if ONNX Runtime computes something else than PyTorch.
    """
    options = options or Options()
    model = model.eval().cpu().requires_grad_(False)
    m = model.config
    if good is not None and held_out is not None:
        image = normalised(good.pictures[held_out[:2]])
    else:
        image = torch.randn(1, 3, m.image_size, m.image_size, generator=torch.Generator().manual_seed(1))
    wanted = model.inspect(image)
    known = None if options.any_step else list(m.sampler.steps)
    fold(model, steps=known)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        specs = graph_specs(len(m.layer_weights))
        graphs = {spec.key: _export_graph(model, spec, folder, options) for spec in specs}
        start = noise(folder, "start_noise", model.start_noise)
        posterior = None if model.posterior_noise is None else noise(folder, "posterior_noise", model.posterior_noise)
        exported = OrtModel(folder, model)
        got = exported.inspect(image)
        for what, a, b in zip(("reconstruction", "anomaly map"), got[:2], wanted[:2], strict=True):
            name = f"{what} of the whole path"
            agree(name, a.numpy(), b.numpy(), tolerance=TOLERANCES[options.precision])
        calibration = {} if good is None or held_out is None else _calibration(exported, good, held_out)
        manifest = _manifest(model, graphs, start=start, posterior=posterior, known=known) | {
            "products": [] if good is None else list(good.products),
            "calibration": calibration,
            "provenance": {
                "created_at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "code": revision(),
                **origin,
            },
        }
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if (out / MODEL_CARD).exists():
            shutil.copy2(out / MODEL_CARD, folder / MODEL_CARD)
        put(folder, out)
    return manifest


def put(folder: Path, out: Path) -> None:
    """Moves the bundle to its place; at any instant the old one or the new one is there as a whole, or beside it."""
    new, old = (out.with_name(f".{out.name}.{which}") for which in ("new", "old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    shutil.move(str(folder), new)
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)
