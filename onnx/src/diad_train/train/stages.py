"""The training stages: autoencoder, denoiser with SG, SG alone, distilled features, features aligned to
reconstructions.

Only good parts are used. Defects during training are synthetic damage (`corrupt`), never pictures of real ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from diad_train.config import Config, StageConfig
from diad_train.exchange.checkpoint import CheckpointError, is_out_of_memory
from diad_train.exchange.data import HELD_OUT_EVERY, GoodParts, normalised
from diad_train.model.autoencoder import kl_divergence, sample_posterior
from diad_train.model.denoiser import Denoiser
from diad_train.model.diad import DiAD
from diad_train.model.features import anomaly_map
from diad_train.model.teacher import Teacher
from diad_train.schedule import Sampler
from diad_train.train.loop import SaveError, device, placed, rank, run_stage, save_atomically
from diad_train.train.pool import CorruptionPool
from diad_train.train.watch import Held, Watch

KL_WEIGHT = 6.4e-5
CHUNK = 256


@dataclass(frozen=True)
class Parts:
    """Training pictures: good parts, corrupted copies, and which of each may be trained on."""

    good: GoodParts
    pool: CorruptionPool

    def watch(self, model: DiAD, stage: str, folder: Path) -> Watch:
        """Somebody to look at the held-out parts during a stage."""
        return Watch(model, Held.of(self.good, self.pool), stage=stage, folder=folder)

    @property
    def good_index(self) -> NDArray[np.int64]:
        """Good parts to train on; every sixteenth is held out."""
        return np.flatnonzero(np.arange(len(self.good.pictures)) % HELD_OUT_EVERY != 0)

    @property
    def pool_index(self) -> NDArray[np.int64]:
        """Corrupted copies of the parts to train on."""
        return np.flatnonzero(self.pool.source % HELD_OUT_EVERY != 0)


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def fit_autoencoder(model: DiAD, parts: Parts, config: Config, folder: Path) -> None:
    """Stage 1: pixels and edges in L1, plus a faint KL, on random crops of good and corrupted pictures.

    The last three tenths of the steps train on whole pictures at a quarter of the batch, where borders and large shapes
    are.
    """
    stage, crop = config.train.autoencoder, config.train.crop
    autoencoder = placed(model.autoencoder)

    def loss(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        whole = step > 0.7 * stage.steps
        count = max(1, stage.batch // 4) if whole else stage.batch
        pictures = []
        for _ in range(count):
            if rng.random() < 0.75:
                picture = parts.good.pictures[rng.choice(parts.good_index)]
            else:
                picture = parts.pool.pictures[rng.choice(parts.pool_index)]
            if not whole:
                y, x = rng.integers(0, picture.shape[0] - crop + 1, 2)
                picture = picture[y : y + crop, x : x + crop]
            pictures.append(picture)
        image = normalised(np.stack(pictures)).to(device(), memory_format=torch.channels_last)
        moments = autoencoder.moments(image)
        noise = torch.from_numpy(rng.standard_normal(tuple(moments.chunk(2, 1)[0].shape), dtype=np.float32))
        out = autoencoder.decode(sample_posterior(moments, noise.to(device())))
        edges = [(a - b).abs().mean() for a, b in zip(_edges(out), _edges(image), strict=True)]
        return {
            "l1": (out - image).abs().mean(),
            "edges": edges[0] + edges[1],
            "kl": KL_WEIGHT * kl_divergence(moments),
        }

    look = parts.watch(model, "autoencoder", folder).look
    run_stage(
        name="autoencoder", module=autoencoder, loss=loss, stage=stage, seed=config.train.seed, folder=folder, look=look
    )


@torch.no_grad()
def encode_all(model: DiAD, pictures: NDArray[np.uint8], *, batch: int = 32) -> Tensor:
    """Posterior means, unscaled, float32 [N, C, h, w]."""
    encoder = model.autoencoder.eval()
    out = []
    for i in range(0, len(pictures), batch):
        image = normalised(pictures[i : i + batch]).to(device(), memory_format=torch.channels_last)
        out.append(encoder.moments(image).chunk(2, 1)[0].cpu())
    return torch.cat(out)


def _origin(parts: Parts, *networks: nn.Module, seed: int = 0) -> str:
    """What tells whether numbers kept on the disk are those that these networks would give for these parts."""
    digest = hashlib.sha256(f"{parts.pool.made_of} {seed}".encode())
    for network in networks:
        for key, value in network.state_dict().items():
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _latents(model: DiAD, parts: Parts, folder: Path) -> tuple[Tensor, Tensor]:
    """Latents of the copies before and after the damage, kept beside the checkpoints: the autoencoder is final."""
    path = folder / "latents.pt"
    origin = _origin(parts, model.autoencoder)
    if path.exists():
        try:
            kept = torch.load(path, weights_only=True, mmap=True)
            if kept.get("origin") == origin:
                return kept["clean"].clone(), kept["damaged"].clone()
        except Exception as error:  # torch raises many kinds for a file that is cut short or is something else
            if isinstance(error, OSError) or is_out_of_memory(error):  # the file may be whole
                raise
            raise CheckpointError(path, f"cannot be read; remove it and it is made again: {error}") from error
    pool = parts.pool
    clean = [
        encode_all(model, pool.undamaged(np.arange(at, min(at + CHUNK, len(pool.source))), parts.good))
        for at in range(0, len(pool.source), CHUNK)
    ]
    stored = {"clean": torch.cat(clean), "damaged": encode_all(model, pool.pictures)}
    if rank() == 0:
        save_atomically(stored | {"origin": origin}, path)
    return stored["clean"], stored["damaged"]


def _mixed() -> torch.autocast:
    """Mixed precision: what an optimiser step goes through in bfloat16, weights and losses in float32."""
    # No cache: a weight cast without a gradient would be kept without it.
    return torch.autocast(device().type, dtype=torch.bfloat16, cache_enabled=False)


@torch.no_grad()
def _walk(denoiser: Denoiser, latent: Tensor, hint: Tensor, sampler: Sampler, *, updates: int) -> Tensor:
    """The first `updates` steps of DDIM from a noised latent, without gradients."""
    for step, (c0, c1) in list(zip(sampler.steps, sampler.coefficients(), strict=True))[:updates]:
        t = torch.full((latent.shape[0],), step, dtype=torch.int64, device=latent.device)
        latent = float(c0) * latent + float(c1) * denoiser(latent, hint, t).float()
    return latent


def fit_denoiser(model: DiAD, parts: Parts, config: Config, folder: Path) -> None:
    """Stage 2: denoiser and SG network together."""
    _fit_denoising(model, parts, config, folder, name="denoiser", stage=config.train.denoiser)


def fit_guide(model: DiAD, parts: Parts, config: Config, folder: Path) -> None:
    """Stage 3: SG network, SFF and the U-Net's decoder half; its encoder half stays as it is (He et al., section 3).

    For a start from a Stable-Diffusion checkpoint, whose encoder half knows more than the good parts can teach it.
    """
    unet = model.denoiser.diffusion_model
    frozen = nn.ModuleList([unet.time_embed, unet.input_blocks, unet.middle_block])
    frozen.requires_grad_(False)
    try:
        _fit_denoising(model, parts, config, folder, name="sg", stage=config.train.sg)
    finally:
        frozen.requires_grad_(True)


def _fit_denoising(model: DiAD, parts: Parts, config: Config, folder: Path, *, name: str, stage: StageConfig) -> None:
    """SG sees a corrupted picture, the target is the clean latent.

    Half of the batches walk the sampler: the corrupted picture's latent is noised at the start, the network's own
    updates lead to one of its steps, and there it is asked for the clean latent. So it learns to mend what it left
    over itself, which teacher forcing never shows (exposure bias, Ning et al. 2023). The other half draws any step up
    to the start, with a latent between the corrupted picture's and the clean one. The loss is on the clean latent
    (weight uniform over steps), which keeps late steps from drowning early ones.
    """
    clean, damaged = _latents(model, parts, folder)
    model.latent_scale.fill_(1.0 / float(clean.std()))
    clean, damaged = clean * model.latent_scale.cpu(), damaged * model.latent_scale.cpu()
    denoiser = placed(model.denoiser)
    sampler = config.model.sampler
    autocast = _mixed()

    def loss(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        chosen = rng.choice(parts.pool_index, stage.batch)
        pictures = parts.pool.pictures[chosen]
        untouched = rng.random(stage.batch) < 0.2
        if untouched.any():
            pictures[untouched] = parts.pool.undamaged(chosen[untouched], parts.good)
        image = normalised(pictures).to(device(), memory_format=torch.channels_last)
        target = clean[chosen]
        seen = torch.where(torch.from_numpy(untouched)[:, None, None, None], target, damaged[chosen])
        noise = torch.from_numpy(rng.standard_normal(tuple(target.shape), dtype=np.float32))
        walking = rng.random() < 0.5
        if walking:
            t = torch.full((stage.batch,), sampler.start, dtype=torch.int64)
        else:
            t = torch.from_numpy(rng.integers(1, sampler.start + 1, stage.batch))
            share = np.where(rng.random(stage.batch) < 0.5, 1.0, rng.random(stage.batch)).astype(np.float32)
            seen = torch.lerp(target, seen, torch.from_numpy(share)[:, None, None, None])
        bar = denoiser.alpha_bars.cpu()[t][:, None, None, None]
        noised = bar.sqrt() * seen + (1.0 - bar).sqrt() * noise
        noised, t = noised.to(device(), memory_format=torch.channels_last), t.to(device())
        with autocast:
            hint = denoiser.control_model.hint(image)
            if walking:
                updates = int(rng.integers(0, len(sampler.steps)))
                noised = _walk(denoiser, noised, hint, sampler, updates=updates)
                t = torch.full_like(t, sampler.steps[updates])
            believed = denoiser.clean(noised, hint, t).float()
        error = (believed - target.to(device())).square()
        # Damaged places are few: they weigh as much as the rest together.
        place = F.interpolate(
            torch.from_numpy(parts.pool.masks[chosen] & ~untouched[:, None, None])[:, None].float(),
            error.shape[-2:],
            mode="area",
        ).to(device())
        place = (place > 0).float()
        return {"all": error.mean(), "damaged": (error * place).sum() / (place.sum() * error.shape[1] + 1.0)}

    look = parts.watch(model, name, folder).look
    run_stage(name=name, module=denoiser, loss=loss, stage=stage, seed=config.train.seed, folder=folder, look=look)


def fit_features(model: DiAD, parts: Parts, config: Config, folder: Path) -> None:
    """Stage 4: the student imitates the ImageNet teacher's layers, on good and corrupted pictures."""
    stage = config.train.distil
    teacher = Teacher(Path(config.train.teacher)).to(device()).eval()
    student = placed(model.features)

    def loss(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        half = stage.batch // 2
        pictures = np.concatenate(
            [
                parts.good.pictures[rng.choice(parts.good_index, half)],
                parts.pool.pictures[rng.choice(parts.pool_index, stage.batch - half)],
            ]
        )
        size = config.train.crop
        y, x = rng.integers(0, pictures.shape[1] - size + 1, 2)
        image = normalised(pictures[:, y : y + size, x : x + size]).to(device(), memory_format=torch.channels_last)
        wanted = teacher(image)
        with _mixed():
            got = [layer.float() for layer in student(image)]
        return {f"layer{k + 1}": _distance(a, b) for k, (a, b) in enumerate(zip(got, wanted, strict=True))}

    look = parts.watch(model, "distil", folder).look
    run_stage(name="distil", module=student, loss=loss, stage=stage, seed=config.train.seed, folder=folder, look=look)


def _distance(got: Tensor, wanted: Tensor) -> Tensor:
    scale = wanted.square().mean().sqrt() + 1e-6
    return (1.0 - F.cosine_similarity(got, wanted, dim=1)).mean() + 0.3 * ((got - wanted) / scale).square().mean()


@torch.no_grad()
def reconstruct_all(model: DiAD, pictures: NDArray[np.uint8], *, batch: int = 16) -> NDArray[np.float16]:
    """Reconstructions in normalised colours, float16 [N, 3, S, S]."""
    out = []
    for i in range(0, len(pictures), batch):
        image = normalised(pictures[i : i + batch]).to(device(), memory_format=torch.channels_last)
        out.append(model.reconstruct(image).half().cpu().numpy())
    return np.concatenate(out)


def _reconstructions(model: DiAD, pictures: NDArray[np.uint8], folder: Path, origin: str) -> NDArray[np.float16]:
    """Of `reconstruct_all`, kept beside the checkpoints (a quarter of an hour of two CPU cores) and read from there.

    `origin` tells networks and pictures apart: what was kept of others is made anew.
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


ALIGN_SIZE = 64
ALIGN_PAIRS = 6000
SCORE_WINDOW = 5
IMITATION = 0.4


def _turn(rng: np.random.Generator) -> Callable[[Tensor], Tensor]:
    """One of the eight ways to lay a square picture down, for [N, C, S, S]."""
    quarters, mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def turned(x: Tensor) -> Tensor:
        return torch.rot90(x.flip(3) if mirrored else x, quarters, (2, 3))

    return turned


def fit_alignment(model: DiAD, parts: Parts, config: Config, folder: Path) -> None:
    """Stage 5: the student learns what a reconstruction may get wrong on a good part and what it may not.

    Cosine distances between picture and reconstruction go to zero where nothing was damaged and well above it where
    something was, by place and by the peak of the part. The teacher stays in the loss twice: of the picture the student
    says what the teacher says of it, and of the reconstruction what the teacher would say of the part undamaged. So a
    distance is one in the teacher's eyes, for defects too that no synthetic damage resembles, and what a reconstruction
    blurs is no distance.
    """
    stage = config.train.align
    model.eval()
    rng = np.random.default_rng((config.train.seed, 77))
    damaged = rng.permutation(parts.pool_index)[:ALIGN_PAIRS]
    untouched = rng.permutation(parts.pool_index)[: ALIGN_PAIRS // 3]
    clean = np.concatenate([parts.pool.undamaged(chosen, parts.good) for chosen in (damaged, untouched)])
    pictures = np.concatenate([parts.pool.pictures[damaged], clean[len(damaged) :]])
    masks = np.concatenate([parts.pool.masks[damaged], np.zeros((len(untouched), *parts.pool.masks.shape[1:]), bool)])
    origin = _origin(parts, model.autoencoder, model.denoiser, seed=config.train.seed)
    reconstructions = _reconstructions(model, pictures, folder, origin)
    teacher = Teacher(Path(config.train.teacher)).to(device()).eval()
    student = placed(model.features)
    weights = config.model.layer_weights

    def loss(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        chosen = rng.integers(0, len(pictures), stage.batch)
        turned = _turn(rng)
        image = turned(normalised(pictures[chosen]))
        pair = torch.cat([image, turned(torch.from_numpy(reconstructions[chosen]).float())])
        pair = pair.to(device(), memory_format=torch.channels_last)
        with _mixed():
            layers = [layer.float() for layer in student(pair)]
        half = stage.batch
        distance = anomaly_map(
            [layer[:half] for layer in layers], [layer[half:] for layer in layers], size=ALIGN_SIZE, weights=weights
        )
        mask = turned(torch.from_numpy(masks[chosen])[:, None].float()).to(device())
        covered = F.interpolate(mask, (ALIGN_SIZE, ALIGN_SIZE), mode="area")
        bad, good = (covered > 0.3).float(), (covered == 0).float()
        hinge = F.relu(sum(weights) * 0.6 - distance)
        quiet = distance * good
        worst = quiet.flatten(1).topk(quiet[0].numel() // 50, dim=1).values
        # What the score looks at: the highest place of the smoothed map must be the damaged one.
        smooth = F.avg_pool2d(distance, SCORE_WINDOW, stride=1, padding=SCORE_WINDOW // 2)
        quiet_peak = (smooth * (F.max_pool2d(bad, SCORE_WINDOW, 1, SCORE_WINDOW // 2) == 0)).flatten(1).amax(1)
        bad_peak = (smooth * bad).flatten(1).amax(1)
        damaged = (bad.flatten(1).sum(1) > 0).float()
        margin = F.relu(sum(weights) * 0.3 - bad_peak + quiet_peak) * damaged
        seen = teacher(pair[:half])
        meant = teacher(turned(normalised(clean[chosen])).to(device(), memory_format=torch.channels_last))
        imitation = torch.stack([_distance(a[:half], b) for a, b in zip(layers, seen, strict=True)]).mean()
        restoration = torch.stack([_distance(a[half:], b) for a, b in zip(layers, meant, strict=True)]).mean()
        return {
            "missed": (hinge * bad).sum() / (bad.sum() + 1.0),
            "false": quiet.sum() / good.sum() + worst.mean(),
            "margin": margin.sum() / (damaged.sum() + 1e-6) + quiet_peak.mean(),
            "imitation": IMITATION * imitation,
            "restoration": IMITATION * restoration,
        }

    look = parts.watch(model, "align", folder).look
    run_stage(name="align", module=student, loss=loss, stage=stage, seed=config.train.seed, folder=folder, look=look)
