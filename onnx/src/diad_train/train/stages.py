"""The training stages 1 to 4: autoencoder, denoiser with SG, SG alone, distilled features. Stage 5 is in `align`.

Only good parts are used. Defects during training are synthetic damage (`corrupt`), never pictures of real ones.
"""

from __future__ import annotations

import hashlib
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
from diad_train.model.teacher import Teacher
from diad_train.schedule import Sampler
from diad_train.train.loop import device, placed, rank, run_stage, save_atomically
from diad_train.train.pool import CorruptionPool
from diad_train.train.watch import Held, Watch

KL_WEIGHT = 6.4e-5
# Share of the steps after which the autoencoder trains on whole pictures.
CROPS_UNTIL = 0.7
# Share of the good parts among the autoencoder's pictures; the rest are corrupted copies.
GOOD_SHARE = 0.75
# Shares of the denoiser's pictures that are not damaged, and of its batches that walk the sampler.
UNDAMAGED_SHARE, WALKING_SHARE = 0.2, 0.5
# Weight of a layer's size beside its direction, in the student's distance from its teacher.
SIZE_WEIGHT = 0.3
# Copies whose undamaged pictures are in memory at a time.
CHUNK_COPIES = 256


@dataclass(frozen=True)
class Parts:
    """Training pictures: good parts, corrupted copies, and which of each may be trained on."""

    good: GoodParts
    pool: CorruptionPool

    def watch(self, model: DiAD, stage: str, folder: Path) -> Watch:
        """What measures the held-out parts during a stage."""
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
        whole = step > CROPS_UNTIL * stage.steps
        count = max(1, stage.batch // 4) if whole else stage.batch
        pictures = []
        for _ in range(count):
            if rng.random() < GOOD_SHARE:
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


def origin_of(parts: Parts, *networks: nn.Module, seed: int = 0) -> str:
    """Digest of networks, parts and seed: arrays on the disk that carry another one were made of something else."""
    digest = hashlib.sha256(f"{parts.pool.made_of} {seed}".encode())
    for network in networks:
        for key, value in network.state_dict().items():
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _latents(model: DiAD, parts: Parts, folder: Path) -> tuple[Tensor, Tensor]:
    """Latents of the copies before and after the damage, kept beside the checkpoints: the autoencoder is final."""
    path = folder / "latents.pt"
    origin = origin_of(parts, model.autoencoder)
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
        encode_all(model, pool.undamaged(np.arange(at, min(at + CHUNK_COPIES, len(pool.source))), parts.good))
        for at in range(0, len(pool.source), CHUNK_COPIES)
    ]
    stored = {"clean": torch.cat(clean), "damaged": encode_all(model, pool.pictures)}
    if rank() == 0:
        save_atomically(stored | {"origin": origin}, path)
    return stored["clean"], stored["damaged"]


def mixed_precision() -> torch.autocast:
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

    For a start from a Stable-Diffusion checkpoint, whose encoder half was trained on far more pictures than these.
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
    updates lead to one of its steps, and the target there is the clean latent. So it learns to repair its own errors,
    which teacher forcing never contains (exposure bias, Ning et al. 2023). The other half draws any step up
    to the start, with a latent between the corrupted picture's and the clean one. The loss is on the clean latent
    (weight uniform over steps), which keeps late steps from drowning early ones.
    """
    clean, damaged = _latents(model, parts, folder)
    model.latent_scale.fill_(1.0 / float(clean.std()))
    clean, damaged = clean * model.latent_scale.cpu(), damaged * model.latent_scale.cpu()
    denoiser = placed(model.denoiser)
    sampler = config.model.sampler
    autocast = mixed_precision()

    def loss(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        chosen = rng.choice(parts.pool_index, stage.batch)
        pictures = parts.pool.pictures[chosen]
        untouched = rng.random(stage.batch) < UNDAMAGED_SHARE
        if untouched.any():
            pictures[untouched] = parts.pool.undamaged(chosen[untouched], parts.good)
        image = normalised(pictures).to(device(), memory_format=torch.channels_last)
        target = clean[chosen]
        seen = torch.where(torch.from_numpy(untouched)[:, None, None, None], target, damaged[chosen])
        noise = torch.from_numpy(rng.standard_normal(tuple(target.shape), dtype=np.float32))
        walking = rng.random() < WALKING_SHARE
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
        with mixed_precision():
            got = [layer.float() for layer in student(image)]
        return {f"layer{k + 1}": layer_distance(a, b) for k, (a, b) in enumerate(zip(got, wanted, strict=True))}

    look = parts.watch(model, "distil", folder).look
    run_stage(name="distil", module=student, loss=loss, stage=stage, seed=config.train.seed, folder=folder, look=look)


def layer_distance(got: Tensor, wanted: Tensor) -> Tensor:
    """How far a layer of the student is from the teacher's, both [N, C, h, w]: direction and, weaker, size; scalar."""
    scale = wanted.square().mean().sqrt() + 1e-6
    return (1.0 - F.cosine_similarity(got, wanted, dim=1)).mean() + SIZE_WEIGHT * (
        (got - wanted) / scale
    ).square().mean()
