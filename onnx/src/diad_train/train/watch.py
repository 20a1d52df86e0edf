"""Progress of a run: numbers on held-out good parts and on their damaged copies, and picture sheets.

The test split of a data set is never read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diad_train.evaluate import auroc
from diad_train.exchange.data import GoodParts, normalised
from diad_train.model.diad import DiAD
from diad_train.model.features import IMAGE_MEAN, IMAGE_STD
from diad_train.train.loop import device
from diad_train.train.pool import CorruptionPool, held_out_copies

PARTS = 48
SHEET_ROWS = 8
BATCH = 16


def coloured(image: Tensor) -> NDArray[np.uint8]:
    """Normalised [N, 3, H, W] -> uint8 [N, H, W, 3]."""
    mean, std = np.asarray(IMAGE_MEAN, np.float32), np.asarray(IMAGE_STD, np.float32)
    levels = (image.float().cpu().permute(0, 2, 3, 1).numpy() * std + mean) * 255.0
    return np.asarray(np.clip(np.rint(levels), 0, 255), dtype=np.uint8)


def grey(values: NDArray[np.floating] | NDArray[np.bool_]) -> NDArray[np.uint8]:
    """[N, H, W] in 0..1 -> uint8 [N, H, W, 3]."""
    levels = np.asarray(np.clip(values.astype(np.float32), 0, 1) * 255, dtype=np.uint8)
    return np.repeat(levels[..., None], 3, axis=-1)


@dataclass(frozen=True)
class Held:
    """Held-out parts before and after synthetic damage, uint8 [N, S, S, 3], and the masks of the damage."""

    clean: NDArray[np.uint8]
    damaged: NDArray[np.uint8]
    masks: NDArray[np.bool_]

    @classmethod
    def of(cls, good: GoodParts, pool: CorruptionPool) -> Held:
        """At most `PARTS` copies, spread evenly over the products."""
        copies = held_out_copies(pool)
        chosen = copies[np.unique(np.linspace(0, len(copies) - 1, min(PARTS, len(copies))).astype(int))]
        return cls(pool.undamaged(chosen, good), pool.pictures[chosen], pool.masks[chosen])


class Watch:
    """Measures a model in training. `stage` decides which of its networks are measured."""

    def __init__(self, model: DiAD, held: Held, *, stage: str, folder: Path) -> None:
        self.model = model
        self.held = held
        self.stage = stage
        self.folder = folder

    @torch.no_grad()
    def look(self, step: int) -> tuple[dict[str, float], NDArray[np.uint8]]:
        """Numbers and the sheet [H, W, 3], which is written to `<folder>/sheets/<stage>-<step>.png` too.

        `kept` is the share of the damage that the reconstruction still shows (1: it copies, 0: it mends); `good` the
        mean error where nothing was damaged, both in 0..255. With features come the AUROCs of damaged against good.
        """
        self.model.eval()
        held = self.held
        if self.stage == "autoencoder":
            rebuilt = self._passed(held.clean)
            numbers = {"psnr_db": _psnr(rebuilt, held.clean)}
            cells = [held.clean, rebuilt]
        else:
            rebuilt = self._passed(held.damaged)
            after = np.abs(rebuilt.astype(np.float32) - held.clean).mean(axis=3)
            before = np.abs(held.damaged.astype(np.float32) - held.clean).mean(axis=3)
            numbers = {
                "kept": float(after[held.masks].mean() / before[held.masks].mean()),
                "good": float(after[~held.masks].mean()),
            }
            cells = [held.damaged, rebuilt, grey(held.masks)]
            if self.stage in ("distil", "align"):
                maps, scores = self._maps(held.damaged, rebuilt)
                quiet = self._maps(held.clean, self._passed(held.clean))[1]
                labels = np.repeat([True, False], [len(scores), len(quiet)])
                numbers["image_auroc"] = auroc(np.concatenate([scores, quiet]), labels)
                numbers["pixel_auroc"] = auroc(maps.ravel(), held.masks.ravel())
                cells.append(grey(maps / max(float(maps.max()), 1e-6)))
        rows = np.unique(np.linspace(0, len(held.clean) - 1, SHEET_ROWS).astype(int))
        sheet = np.concatenate([np.concatenate([cell[i] for cell in cells], axis=1) for i in rows], axis=0)
        path = self.folder / "sheets" / f"{self.stage}-{step:06}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(sheet).save(path)
        return numbers, sheet

    def _passed(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Reconstructions; of the autoencoder alone in its own stage."""
        out = []
        for at in range(0, len(pictures), BATCH):
            image = normalised(pictures[at : at + BATCH]).to(device(), memory_format=torch.channels_last)
            if self.stage == "autoencoder":
                moments = self.model.autoencoder.moments(image)
                out.append(coloured(self.model.autoencoder.decode(moments.chunk(2, dim=1)[0])))
            else:
                out.append(coloured(self.model.reconstruct(image)))
        return np.concatenate(out)

    def _maps(
        self, pictures: NDArray[np.uint8], rebuilt: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        maps, scores = [], []
        for at in range(0, len(pictures), BATCH):
            pair = [normalised(group[at : at + BATCH]).to(device()) for group in (pictures, rebuilt)]
            blurred = self.model.blurred(self.model.raw_map(*pair))
            maps.append(blurred[:, 0].cpu().numpy())
            scores.append(self.model.score(blurred).cpu().numpy())
        return np.concatenate(maps), np.concatenate(scores)


def _psnr(rebuilt: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = float(np.square(rebuilt.astype(np.float32) - wanted).mean())
    return float(10.0 * np.log10(255.0**2 / max(error, 1e-6)))
