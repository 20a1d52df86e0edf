"""The whole model, and the reference path from image to anomaly map and score."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from diad_train.config import ModelConfig
from diad_train.model.autoencoder import Autoencoder, sample_posterior
from diad_train.model.denoiser import Denoiser
from diad_train.model.features import Student, anomaly_map
from diad_train.model.resnet import ResNet50
from diad_train.schedule import alpha_bar


class DiAD(nn.Module):
    """Autoencoder, denoiser with SG network, feature extractor."""

    latent_scale: Tensor
    start_noise: Tensor

    def __init__(self, config: ModelConfig, *, noise_seed: int = 0) -> None:
        super().__init__()
        self.config = config
        channels = config.autoencoder.latent_channels
        self.autoencoder = Autoencoder(config.autoencoder)
        self.denoiser = Denoiser(config.denoiser, latent_channels=channels)
        self.features: nn.Module = Student(config.features) if config.features.kind == "student" else ResNet50()
        self.posterior_noise: Tensor | None = None  # fixed noise of a sampled posterior; without it, the mean
        self.folded = False
        self.register_buffer("latent_scale", torch.tensor(config.latent_scale))
        shape = (1, channels, config.latent_size, config.latent_size)
        noise = np.random.default_rng(noise_seed).standard_normal(shape, dtype=np.float32)
        self.register_buffer("start_noise", torch.from_numpy(noise))

    def encode(self, image: Tensor) -> Tensor:
        """Image -> scaled latent: the posterior's mean, or the point at its fixed noise."""
        moments = self.autoencoder.moments(image)
        if self.posterior_noise is not None:
            return sample_posterior(moments, self.posterior_noise) * self.latent_scale
        return moments.chunk(2, dim=1)[0] * self.latent_scale

    def decode(self, latent: Tensor) -> Tensor:
        """Scaled latent -> image."""
        return self.autoencoder.decode(latent if self.folded else latent / self.latent_scale)

    @torch.no_grad()
    def denoise(self, latent: Tensor, image: Tensor) -> Tensor:
        """Noises a scaled latent once and runs DDIM down to the clean one."""
        sampler = self.config.sampler
        bar = alpha_bar()[sampler.start]
        z = math.sqrt(bar) * latent + math.sqrt(1.0 - bar) * self.start_noise
        hint = self.denoiser.control_model.hint(image)
        for step, (c0, c1) in zip(sampler.steps, sampler.coefficients(), strict=True):
            t = torch.full((latent.shape[0],), step, dtype=torch.int64, device=latent.device)
            z = float(c0) * z + float(c1) * self.denoiser(z, hint, t)
        return z

    @torch.no_grad()
    def reconstruct(self, image: Tensor) -> Tensor:
        """Image -> reconstruction without the defects."""
        return self.decode(self.denoise(self.encode(image), image))

    @torch.no_grad()
    def raw_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Anomaly map before the blur, [N, 1, S, S]."""
        config = self.config
        return anomaly_map(
            self.features(image),
            self.features(reconstruction),
            size=config.image_size,
            weights=config.layer_weights,
        )

    def blurred(self, raw: Tensor) -> Tensor:
        """Gaussian blur with a half-sample symmetric border, [N, 1, S, S]."""
        sigma, truncate = self.config.blur_sigma_px, self.config.blur_truncate
        radius = int(truncate * sigma + 0.5)
        x = torch.arange(-radius, radius + 1, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (x / sigma) ** 2)
        kernel = (kernel / kernel.sum()).to(raw)
        index = _symmetric(raw.shape[-1], radius).to(raw.device)
        padded = raw[:, :, index][:, :, :, index]
        return F.conv2d(F.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])

    def score(self, blurred: Tensor) -> Tensor:
        """Image score [N]: repeated average pooling, then the maximum."""
        for _ in range(self.config.pool_times):
            blurred = F.avg_pool2d(blurred, self.config.pool_window_px, stride=1)
        return blurred.amax(dim=(1, 2, 3))

    def inspect(self, image: Tensor) -> tuple[Tensor, Tensor, NDArray[np.float32]]:
        """Image -> (reconstruction, blurred map [N, 1, S, S], scores [N])."""
        reconstruction = self.reconstruct(image)
        blurred = self.blurred(self.raw_map(image, reconstruction))
        return reconstruction, blurred, self.score(blurred).numpy()


def _symmetric(length: int, radius: int) -> Tensor:
    """Indices that extend 0..length-1 by `radius` on both sides, mirrored with the edge repeated."""
    index = torch.arange(-radius, length + radius).remainder(2 * length)
    return torch.where(index < length, index, 2 * length - 1 - index)
