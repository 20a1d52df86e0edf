"""Bundles of format 2: a bundle of the pixel model, extended by a representation latent and by overlays of products."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn

from diad_train.exchange.data import DataError
from diad_train.exchange.export import (
    MODEL_CARD,
    OPSET,
    TOLERANCES,
    ExportError,
    agree,
    noise,
    put,
    session,
    sha256,
    store,
    strip,
    tensors,
)
from diad_train.representation.features import FoundationSpec
from diad_train.representation.model import RepresentationDiAD

FORMAT = 2
MANIFEST = "manifest.json"
# Folder in the shipped bundle with what was learnt with it.
LEARNT = "learnt"
# The key of an overlay's description among the metadata of its file.
METADATA_KEY = "diad"

# In which scale the tensors of the pixel model's graphs are.
SCALES = {
    ("encoder", "image"): "normalised colours: (rgb in 0..1 - input.mean) / input.std",
    ("encoder", "moments"): "unscaled: multiply the mean by latent.scale",
    ("hint", "image"): "normalised colours",
    ("denoiser", "latent"): "scaled by latent.scale and noised",
    ("denoiser", "noise"): "unit variance",
    ("decoder", "latent"): "scaled by latent.scale: do not divide by it",
    ("decoder", "reconstruction"): "normalised colours",
    ("features", "image"): "normalised colours",
}


@contextmanager
def rewritten(bundle: Path, out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy of a bundle to change: its folder and its manifest. What results takes the place of `out` as a whole.

    Raises:
        DataError: there is no bundle.
    """
    try:
        manifest: dict[str, Any] = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{bundle}: no model bundle: {error}") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / "bundle"
        # What was learnt beside a bundle belongs to that very bundle.
        shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns(LEARNT))
        manifest["format"] = FORMAT
        for name, graph in manifest["graphs"].items():
            for tensor in (*graph["inputs"], *graph["outputs"]):
                if (scale := SCALES.get((name, tensor["name"]))) is not None:
                    tensor["scale"] = scale
        yield folder, manifest
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if (out / MODEL_CARD).exists():
            shutil.copy2(out / MODEL_CARD, folder / MODEL_CARD)
        put(folder, out)


class _Function(nn.Module):
    def __init__(self, model: RepresentationDiAD, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(self.model, *inputs)


# Name -> inputs, output and function of each graph, in the order in which a part passes them.
GRAPHS: dict[str, tuple[tuple[str, ...], str, Callable[..., Tensor]]] = {
    "encoder": (("patches",), "latent", lambda m, p: m.encode(p)),
    "hint": (("patches",), "hint", lambda m, p: m.hint(p)),
    "denoiser": (("latent", "hint", "t"), "noise", lambda m, z, h, t: m.predict_noise(z, h, t)),
}


def _example(model: RepresentationDiAD, batch: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    side, channels = model.config.side, model.config.channels
    patches = torch.randn(batch, channels, side, side, generator=generator)
    patches = patches / patches.norm(dim=1, keepdim=True)
    with torch.no_grad():
        given = {"patches": patches, "latent": model.encode(patches), "hint": model.hint(patches)}
    given["t"] = torch.tensor((list(model.config.sampler.steps) * batch)[:batch], dtype=torch.int64)
    return given


def _export(model: RepresentationDiAD, name: str, folder: Path, precision: str) -> dict[str, Any]:
    inputs, output, function = GRAPHS[name]
    module = _Function(model, function).eval()
    path = folder / f"representation-{name}.onnx"
    batch = torch.export.Dim("N", min=1, max=64)
    given = _example(model, 2)
    made = torch.onnx.export(
        module,
        tuple(given[key] for key in inputs),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=[output],
        dynamic_shapes=(tuple({0: batch} for _ in inputs),),
        verbose=False,
    )
    if made is None:
        raise ExportError(f"representation {name}: the exporter gave no program")
    made.save(str(path), external_data=False)
    strip(path)
    store(path, precision=precision, external=False)
    onnx.checker.check_model(str(path))
    running = session(path)
    for count in (1, 3):
        given = _example(model, count)
        with torch.no_grad():
            want = module(*(given[key] for key in inputs)).numpy()
        got = running.run([output], {key: given[key].numpy() for key in inputs})[0]
        agree(f"representation {name} (batch {count})", got, want, tolerance=TOLERANCES[precision])
    stored = onnx.load(str(path))
    return {
        "file": path.name,
        "sha256": sha256(path),
        "data": [],
        "inputs": tensors(stored.graph.input),
        "outputs": tensors(stored.graph.output),
    }


def attach(
    model: RepresentationDiAD, foundation: FoundationSpec, *, bundle: Path, out: Path, precision: str = "fp16"
) -> dict[str, Any]:
    """Writes `bundle` with the representation latent into `out`; returns the manifest.

    Overlays of the bundle are left out: their scale was that of the model without this latent.

    Raises:
        ExportError: ONNX Runtime computes something else than PyTorch.
    """
    model = model.eval().cpu().requires_grad_(False)
    sampler = model.config.sampler
    with rewritten(bundle, out) as (folder, manifest):
        for overlay in manifest.pop("overlays", []):
            (folder / overlay["file"]).unlink()
        manifest["foundations"] = [{"name": foundation.name, "sha256": foundation.sha256}]
        manifest["representation"] = {
            "foundation": foundation.name,
            "groups": list(model.config.groups),
            "graphs": {name: _export(model, name, folder, precision) for name in GRAPHS},
            "sampler": {
                "kind": "ddim",
                "eta": 0.0,
                "start": sampler.start,
                "steps": list(sampler.steps),
                "last_previous": sampler.last_previous,
                "known": None,
            },
            "start_noise": noise(folder, "representation-noise", model.start_noise),
        }
    return manifest


def embed(bundle: Path, overlays: list[Path], out: Path) -> dict[str, Any]:
    """Writes `bundle` with overlays of products, as `diad learn` wrote them for it, into `out`; returns the manifest.

    Raises:
        DataError: a file is no overlay, or one learnt with another model.
    """
    digest = f"sha256:{sha256(bundle / MANIFEST)}" if (bundle / MANIFEST).exists() else ""
    with rewritten(bundle, out) as (folder, manifest):
        for entry in manifest.get("overlays", []):
            (folder / entry["file"]).unlink()
        named = {entry["name"]: entry for entry in manifest.get("foundations", [])}
        entries = []
        for path in overlays:
            header, arrays = read_overlay(path)
            if header.get("model") != digest:
                raise DataError(f"{path}: learnt with {header.get('model')}, the bundle is {digest}; learn it again")
            named |= {entry["name"]: entry for entry in header["foundations"]}
            file = folder / f"overlay-{header['product']}.safetensors"
            kept = {key: value for key, value in header.items() if key != "learn"} | {"model": None}
            save_file(arrays, file, metadata={METADATA_KEY: json.dumps(kept)})
            entries.append({"product": header["product"], "file": file.name, "sha256": sha256(file)})
        manifest["foundations"] = list(named.values())
        manifest["overlays"] = entries
    return manifest


def read_overlay(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Description and banks of an overlay.

    Raises:
        DataError: the file is no overlay.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})[METADATA_KEY])
            names: list[str] = list(file.keys())
            return header, {name: file.get_tensor(name) for name in names}
    except Exception as error:  # safetensors raises a kind of its own
        raise DataError(f"{path}: no overlay can be read from this file: {error}") from error
