"""Training stage 5: the student's features are aligned to reconstructions, so that a distance means a defect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from diad_train.config import Config
from diad_train.exchange.checkpoint import CheckpointError
from diad_train.exchange.data import normalised
from diad_train.model.diad import DiAD
from diad_train.model.features import anomaly_map
from diad_train.model.teacher import Teacher
from diad_train.train.loop import SaveError, device, placed, rank, run_stage
from diad_train.train.stages import Parts, layer_distance, mixed_precision, origin_of

# Side of the distance map that the loss reads, in pixels.
MAP_SIZE_PX = 64
# Pairs of damaged copy and reconstruction, and how many of them there are for each pair of an undamaged one.
DAMAGED_PAIRS, DAMAGED_PER_UNDAMAGED = 6000, 3
# Beside the seed of the settings, that of the choice of pairs.
PAIR_SEED = 77
# Share of a place of the map that damage covers, above which the place counts as damaged.
DAMAGED_COVER = 0.3
# Least distance of a damaged place, and least lead of the damaged peak over the undamaged one. In units of the sum of
# the weights of the layers, which is the distance of perpendicular features.
LEAST_DISTANCE, LEAST_LEAD = 0.6, 0.3
# Of the undamaged places, one in so many counts once more: those with the largest distances.
WORST_ONE_IN = 50
# Side of the mean that the peak is taken of, in places of the map.
PEAK_WINDOW = 5
TEACHER_WEIGHT = 0.4


@torch.no_grad()
def reconstruct_all(model: DiAD, pictures: NDArray[np.uint8], *, batch: int = 16) -> NDArray[np.float16]:
    """Reconstructions in normalised colours, float16 [N, 3, S, S]."""
    out = []
    for i in range(0, len(pictures), batch):
        image = normalised(pictures[i : i + batch]).to(device(), memory_format=torch.channels_last)
        out.append(model.reconstruct(image).half().cpu().numpy())
    return np.concatenate(out)


def _reconstructions(model: DiAD, pictures: NDArray[np.uint8], folder: Path, origin: str) -> NDArray[np.float16]:
    """Result of `reconstruct_all`, stored beside the checkpoints (it takes a quarter of an hour of two CPU cores).

    `origin` is the digest of networks and pictures; a file of another origin is replaced.
    """
    path = folder / "reconstructions.npy"
    note = path.with_suffix(".origin")
    if not path.exists() or not note.exists() or note.read_text(encoding="utf-8") != origin:
        made = reconstruct_all(model, pictures)
        if rank() != 0:
            return made
        partial = path.with_suffix(".partial.npy")
        try:
            note.unlink(missing_ok=True)
            np.save(partial, made)
            partial.replace(path)
            note.write_text(origin, encoding="utf-8")
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise SaveError(f"{path}: cannot be written: {error}; make room, then run the same again") from error
    try:
        stored: NDArray[np.float16] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise CheckpointError(path, f"cannot be read; remove it and it is made again: {error}") from error
    if len(stored) != len(pictures):
        raise CheckpointError(path, "was made of other data; give another --run, or remove it")
    return stored


def _turn(rng: np.random.Generator) -> Callable[[Tensor], Tensor]:
    """One of the eight ways to lay a square picture down, for [N, C, S, S]."""
    quarters, mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def turned(x: Tensor) -> Tensor:
        return torch.rot90(x.flip(3) if mirrored else x, quarters, (2, 3))

    return turned


@dataclass(frozen=True)
class Pairs:
    """Pictures to align on, uint8 [N, S, S, 3]: as the network gets them and undamaged, and masks bool [N, S, S]."""

    pictures: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    masks: NDArray[np.bool_]

    @classmethod
    def of(cls, parts: Parts, *, seed: int) -> Pairs:
        """Damaged copies, then undamaged ones under the light of copies, chosen by the seed."""
        rng = np.random.default_rng((seed, PAIR_SEED))
        pool = parts.pool
        damaged = rng.permutation(parts.pool_index)[:DAMAGED_PAIRS]
        untouched = rng.permutation(parts.pool_index)[: DAMAGED_PAIRS // DAMAGED_PER_UNDAMAGED]
        clean = np.concatenate([pool.undamaged(chosen, parts.good) for chosen in (damaged, untouched)])
        return cls(
            pictures=np.concatenate([pool.pictures[damaged], clean[len(damaged) :]]),
            clean=clean,
            masks=np.concatenate([pool.masks[damaged], np.zeros((len(untouched), *pool.masks.shape[1:]), bool)]),
        )


def map_losses(distance: Tensor, mask: Tensor, *, scale: float) -> dict[str, Tensor]:
    """What a distance map gets wrong, three scalars: `missed` damage, `false` distances, and the peak's `margin`.

    `distance` [N, 1, s, s] is at least 0, `mask` [N, 1, S, S] is 1 where the part is damaged, `scale` the sum of the
    weights of the layers.
    """
    covered = F.interpolate(mask, distance.shape[-2:], mode="area")
    bad, good = (covered > DAMAGED_COVER).float(), (covered == 0).float()
    hinge = F.relu(scale * LEAST_DISTANCE - distance)
    quiet = distance * good
    worst = quiet.flatten(1).topk(quiet[0].numel() // WORST_ONE_IN, dim=1).values
    quiet_peak, bad_peak = _peaks(distance, bad)
    damaged = (bad.flatten(1).sum(1) > 0).float()
    margin = F.relu(scale * LEAST_LEAD - bad_peak + quiet_peak) * damaged
    return {
        "missed": (hinge * bad).sum() / (bad.sum() + 1.0),
        "false": quiet.sum() / good.sum() + worst.mean(),
        "margin": margin.sum() / (damaged.sum() + 1e-6) + quiet_peak.mean(),
    }


def _peaks(distance: Tensor, bad: Tensor) -> tuple[Tensor, Tensor]:
    """Highest smoothed distances [N] away from the damage and on it: the score is the highest place of all."""
    border = PEAK_WINDOW // 2
    smooth = F.avg_pool2d(distance, PEAK_WINDOW, stride=1, padding=border)
    quiet_peak = (smooth * (F.max_pool2d(bad, PEAK_WINDOW, 1, border) == 0)).flatten(1).amax(1)
    bad_peak = (smooth * bad).flatten(1).amax(1)
    return quiet_peak, bad_peak


def teacher_losses(layers: list[Tensor], of_picture: list[Tensor], of_clean: list[Tensor]) -> dict[str, Tensor]:
    """How far the student is from its teacher, two scalars.

    `layers` are the student's, [2 N, C, h, w]: pictures, then reconstructions. The teacher's [N, C, h, w] are those of
    the pictures and those of the undamaged parts, which the reconstructions are compared with.
    """
    half = len(of_picture[0])
    imitation = torch.stack([layer_distance(a[:half], b) for a, b in zip(layers, of_picture, strict=True)]).mean()
    restoration = torch.stack([layer_distance(a[half:], b) for a, b in zip(layers, of_clean, strict=True)]).mean()
    return {"imitation": TEACHER_WEIGHT * imitation, "restoration": TEACHER_WEIGHT * restoration}


def fit_alignment(model: DiAD, parts: Parts, config: Config, folder: Path) -> None:
    """Stage 5: the student learns what a reconstruction may get wrong on a good part and what it may not.

    Cosine distances between picture and reconstruction go to zero where nothing was damaged and well above it where
    something was, by place and by the peak of the part (`map_losses`). The teacher stays in the loss twice
    (`teacher_losses`): the student's layers of the picture are compared with the teacher's of the picture, and those of
    the reconstruction with the teacher's of the undamaged part. So a distance is one in the teacher's layers too, for
    defects that no synthetic damage resembles, and what a reconstruction blurs is no distance.
    """
    stage = config.train.align
    model.eval()
    pairs = Pairs.of(parts, seed=config.train.seed)
    origin = origin_of(parts, model.autoencoder, model.denoiser, seed=config.train.seed)
    reconstructions = _reconstructions(model, pairs.pictures, folder, origin)
    teacher = Teacher(Path(config.train.teacher)).to(device()).eval()
    student = placed(model.features)
    weights = config.model.layer_weights

    def loss(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        chosen = rng.integers(0, len(pairs.pictures), stage.batch)
        turned = _turn(rng)
        image = turned(normalised(pairs.pictures[chosen]))
        both = torch.cat([image, turned(torch.from_numpy(reconstructions[chosen]).float())])
        both = both.to(device(), memory_format=torch.channels_last)
        with mixed_precision():
            layers = [layer.float() for layer in student(both)]
        half = stage.batch
        first, second = [layer[:half] for layer in layers], [layer[half:] for layer in layers]
        distance = anomaly_map(first, second, size=MAP_SIZE_PX, weights=weights)
        mask = turned(torch.from_numpy(pairs.masks[chosen])[:, None].float()).to(device())
        clean = turned(normalised(pairs.clean[chosen])).to(device(), memory_format=torch.channels_last)
        of_teacher = teacher_losses(layers, teacher(both[:half]), teacher(clean))
        return map_losses(distance, mask, scale=sum(weights)) | of_teacher

    look = parts.watch(model, "align", folder).look
    run_stage(name="align", module=student, loss=loss, stage=stage, seed=config.train.seed, folder=folder, look=look)
