"""Patches of pictures, computed by a foundation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tqdm import tqdm

from diad_train.exchange.data import DataError, GoodParts
from diad_train.exchange.export import sha256

SPEC_FILE = "foundation.json"


@dataclass(frozen=True)
class FoundationSpec:
    """What `foundation.json` states, and where the graph is."""

    name: str
    graph: Path
    sha256: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, int, int]
    groups: tuple[int, ...]

    @classmethod
    def read(cls, folder: Path) -> FoundationSpec:
        """Reads a folder that `make setup-foundation` wrote.

        Raises:
            DataError: the folder has no description, or its graph is another one.
        """
        try:
            raw: dict[str, Any] = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
            graph = folder / raw["file"]
            given = raw["input"]
            spec = cls(
                name=raw["name"],
                graph=graph,
                sha256=raw["sha256"],
                size=given["width"],
                mean=tuple(given["mean"]),
                std=tuple(given["std"]),
                shape=tuple(raw["output"]["shape"]),
                groups=tuple(raw["groups"]),
            )
            if sha256(graph) != spec.sha256:
                raise DataError(f"{graph}: is not the graph that {SPEC_FILE} names; run `make setup-foundation`")
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            reason = f"no foundation can be read here: {error}; run `make setup-foundation`"
            raise DataError(f"{folder}: {reason}") from error
        return spec


class Foundation:
    """A foundation under ONNX Runtime, one picture at a time: the scale of int8 activations is that of the picture."""

    def __init__(self, spec: FoundationSpec, threads: int = 0) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.spec = spec
        self._session = ort.InferenceSession(str(spec.graph), options, providers=["CPUExecutionProvider"])
        self._mean = np.array(spec.mean, np.float32)
        self._std = np.array(spec.std, np.float32)

    def patches(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Picture uint8 [S, S, 3] -> patches [D, h, w]."""
        image = ((picture.astype(np.float32) / 255.0 - self._mean) / self._std).transpose(2, 0, 1)[None]
        found: NDArray[np.float32] = self._session.run(None, {"image": np.ascontiguousarray(image)})[0][0]
        return found


def features_of(foundation: Foundation, good: GoodParts, cache: Path) -> NDArray[np.float16]:
    """Patches of good parts, float16 [parts, D, h, w]; kept in `cache` with the digest of what they were made of."""
    stamp = cache.with_suffix(".txt")
    source = f"{foundation.spec.sha256} {good.digest}"
    if cache.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == source:
        found: NDArray[np.float16] = np.load(cache, mmap_mode="r")
        return found
    patches = np.empty((len(good.pictures), *foundation.spec.shape), np.float16)
    for index, picture in enumerate(tqdm(good.pictures, desc=foundation.spec.name, disable=None)):
        patches[index] = foundation.patches(picture)
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache, patches)
    stamp.write_text(source, encoding="utf-8")
    return patches
