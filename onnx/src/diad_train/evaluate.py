"""Reference scores of a model on an MVTec-AD folder, in PyTorch: image and pixel AUROC per product.

The product's numbers come from `diad eval`; this is what the training side looks at, and what that program is held to.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diad_train.exchange.data import DataError, normalised, pictures_in, read_picture
from diad_train.model.features import IMAGE_MEAN, IMAGE_STD

Inspect = Callable[[Tensor], tuple[Tensor, Tensor, NDArray[np.float32]]]


def auroc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks, ties halved; NaN if one class is absent."""
    order = np.argsort(scores, kind="mergesort")
    ordered = scores[order]
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])
    ranks = np.empty(len(scores))
    mean_rank = (edges[:-1] + edges[1:] + 1) / 2.0
    ranks[order] = np.repeat(mean_rank, np.diff(edges))
    positive = int(labels.sum())
    negative = len(labels) - positive
    if positive == 0 or negative == 0:
        return float("nan")
    return float((ranks[labels].sum() - positive * (positive + 1) / 2.0) / (positive * negative))


def read_mask(path: Path | None, *, size: int) -> NDArray[np.bool_]:
    """Ground truth of one picture; no file means no defect."""
    if path is None:
        return np.zeros((size, size), bool)
    if not path.is_file():
        raise DataError(f"{path}: no such mask; every defective test picture needs one")
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((size, size), Image.Resampling.NEAREST)) > 127


@torch.no_grad()
def evaluate(inspect: Inspect, root: Path, *, size: int, batch: int = 8) -> dict[str, tuple[float, float]]:
    """Per product (image AUROC, pixel AUROC), and their mean under the key "mean"."""
    folders = sorted(p for p in root.iterdir() if (p / "test").is_dir()) if root.is_dir() else []
    if not folders:
        raise DataError(f"{root}: no <product>/test folder in it")
    table: dict[str, tuple[float, float]] = {}
    for folder in folders:
        scores: list[float] = []
        labels: list[bool] = []
        maps: list[NDArray[np.float32]] = []
        masks: list[NDArray[np.bool_]] = []
        for kind in sorted(p for p in (folder / "test").iterdir() if p.is_dir()):
            files = pictures_in(kind)
            for at in range(0, len(files), batch):
                chunk = files[at : at + batch]
                image = normalised(np.stack([read_picture(file, size=size) for file in chunk]))
                _, blurred, score = inspect(image)
                scores += score.tolist()
                maps += list(blurred[:, 0].numpy())
                for file in chunk:
                    truth = (
                        None if kind.name == "good" else folder / "ground_truth" / kind.name / f"{file.stem}_mask.png"
                    )
                    labels.append(truth is not None)
                    masks.append(read_mask(truth, size=size))
        if not labels:
            raise DataError(f"{folder / 'test'}: no PNG or JPEG file below it")
        pixels = auroc(np.concatenate([m.ravel() for m in maps]), np.concatenate([m.ravel() for m in masks]))
        table[folder.name] = (auroc(np.asarray(scores), np.asarray(labels)), pixels)
    values = np.asarray(list(table.values()))
    table["mean"] = (float(values[:, 0].mean()), float(values[:, 1].mean()))
    return table


@torch.no_grad()
def sheet(inspect: Inspect, root: Path, *, size: int, rows_per_product: int = 2) -> Image.Image:
    """Input, reconstruction and anomaly map side by side: one good part and some defective ones of every product."""
    rows: list[NDArray[np.uint8]] = []
    mean, std = np.asarray(IMAGE_MEAN, np.float32), np.asarray(IMAGE_STD, np.float32)
    for folder in sorted(p for p in root.iterdir() if (p / "test").is_dir()):
        kinds = sorted((p for p in (folder / "test").iterdir() if p.name != "good"), key=lambda p: p.name)
        files = [pictures_in(folder / "test" / "good")[0], *(pictures_in(k)[0] for k in kinds[:rows_per_product])]
        cells: list[NDArray[np.uint8]] = []
        for file in files:
            picture = read_picture(file, size=size)
            out, blurred, _ = inspect(normalised(picture[None]))
            rebuilt = (out[0].permute(1, 2, 0).numpy() * std + mean).clip(0, 1) * 255
            heat = (blurred[0, 0].numpy() * 255).clip(0, 255)
            cells += [picture, rebuilt.astype(np.uint8), np.repeat(heat[..., None], 3, 2).astype(np.uint8)]
        rows.append(np.concatenate(cells, axis=1))
    return Image.fromarray(np.concatenate(rows, axis=0))
