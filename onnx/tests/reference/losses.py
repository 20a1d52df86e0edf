"""The authors' two trainings as losses: the diffusion step with SG network, and the autoencoder's fine-tuning.

The stages of `diad_train.train` differ on purpose: they see damage, walk the sampler and need no VGG16. This module
repeats the published recipe (He et al., AAAI 2024, on top of Rombach et al. 2022), to compare the networks with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diad_train.model.autoencoder import Autoencoder, kl_divergence, sample_posterior
from diad_train.model.denoiser import Denoiser
from torch import Tensor, nn

from reference.discriminator import PatchDiscriminator
from reference.perceptual import PerceptualDistance

LATENT_SCALE = 0.18215

KL_WEIGHT = 1e-6
DISCRIMINATOR_WEIGHT = 0.5
LARGEST_RATIO = 1e4
DISCRIMINATOR_START = 50_001


def freeze_encoder_half(denoiser: Denoiser) -> None:
    """Leaves only the SG network and the U-Net's decoder half trainable, in place (He et al. 2024, SG network)."""
    unet = denoiser.diffusion_model
    denoiser.requires_grad_(False)
    for trained in (denoiser.control_model, unet.output_blocks, unet.out):
        trained.requires_grad_(True)


def diffusion_optimiser(denoiser: Denoiser) -> torch.optim.AdamW:
    """The authors' AdamW over what is trainable: constant rate 1e-5, decay 0.01, for batches of 48."""
    return torch.optim.AdamW(
        [p for p in denoiser.parameters() if p.requires_grad], lr=1e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    )


def diffusion_loss(
    denoiser: Denoiser, image: Tensor, moments: Tensor, *, t: Tensor, posterior_noise: Tensor, noise: Tensor
) -> Tensor:
    """Mean squared error of the predicted noise, scalar (Ho et al. 2020, equation 14; Rombach et al. 2022, equation 2).

    `image` [N, 3, H, W] is the hint, `moments` [N, 2C, h, w] its posterior from the frozen autoencoder; `t` [N] int64,
    uniform over 0..999; both noises [N, C, h, w], unit normal.
    """
    latent = LATENT_SCALE * sample_posterior(moments, posterior_noise)
    bar = denoiser.alpha_bars[t][:, None, None, None]
    noised = bar.sqrt() * latent + (1.0 - bar).sqrt() * noise
    return F.mse_loss(denoiser(noised, denoiser.control_model.hint(image), t), noise)


class AutoencoderLoss(nn.Module):
    """Loss of the autoencoder's fine-tuning: the networks that judge a reconstruction, and their weights.

    Source: Rombach et al. 2022, appendix G, equation 25, with a hinge loss; Esser et al. 2021, section 3.2. The
    discriminator runs on batch statistics (train mode). VGG16 and the heads of LPIPS come from their own checkpoints.
    """

    def __init__(self) -> None:
        super().__init__()
        self.perceptual_loss = PerceptualDistance()
        self.discriminator = PatchDiscriminator()

    def reconstruction(self, image: Tensor, out: Tensor) -> Tensor:
        """|x - y| + LPIPS(x, y), [N, 3, H, W] twice -> scalar: summed over channels and pixels, mean over the batch."""
        error = (image - out).abs() + self.perceptual_loss(image, out)
        loss: Tensor = error.sum() / len(image)
        return loss

    def adversarial(self, out: Tensor) -> Tensor:
        """-mean D(y), scalar: low where the discriminator takes reconstructions [N, 3, H, W] for real."""
        loss: Tensor = -self.discriminator(out).mean()
        return loss

    def for_autoencoder(
        self, image: Tensor, out: Tensor, moments: Tensor, *, last_weight: Tensor, step: int
    ) -> dict[str, Tensor]:
        """Scalars whose sum trains the autoencoder at optimiser step `step`.

        Picture and reconstruction [N, 3, H, W], `moments` [N, 2C, h, w]; `last_weight` is the decoder's `conv_out`.
        The gradients reach the discriminator as well: clear them before its own pass.
        """
        reconstruction = self.reconstruction(image, out)
        terms = {"reconstruction": reconstruction, "kl": KL_WEIGHT * kl_per_picture(moments)}
        if step >= DISCRIMINATOR_START:
            adversarial = self.adversarial(out)
            terms["adversarial"] = adaptive_weight(reconstruction, adversarial, last_weight=last_weight) * adversarial
        return terms

    def for_discriminator(self, image: Tensor, out: Tensor, *, step: int) -> Tensor:
        """Hinge loss, picture against reconstruction, [N, 3, H, W] twice -> scalar; the constant 0 before its start."""
        if step < DISCRIMINATOR_START:
            return image.new_zeros(())
        return hinge(self.discriminator(image), self.discriminator(out.detach()))


def kl_per_picture(moments: Tensor) -> Tensor:
    """KL to the unit normal, summed over the latent [N, 2C, h, w], mean over the batch; scalar.

    Source: Kingma & Welling 2014, appendix B.
    """
    return kl_divergence(moments) * moments[0, 0].numel()


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, *, last_weight: Tensor) -> Tensor:
    """Weight that makes both losses pull on the last layer alike, scalar without gradient; halved, at most 5000.

    Source: Esser et al. 2021, equation 7; both losses are scalars that depend on `last_weight`, of any shape.
    """
    norms: list[Tensor] = [
        torch.autograd.grad(loss, last_weight, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)
    ]
    weight: Tensor = DISCRIMINATOR_WEIGHT * (norms[0] / (norms[1] + 1e-4)).clamp(0.0, LARGEST_RATIO)
    return weight


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """(mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2 over logits of any shape, scalar (Lim & Ye 2017)."""
    return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean())


def autoencoder_optimisers(
    autoencoder: Autoencoder, loss: AutoencoderLoss
) -> tuple[torch.optim.Adam, torch.optim.Adam]:
    """The authors' Adam for autoencoder and discriminator: rate 1.8e-4, betas 0.5 and 0.9, batches of 32."""
    first, second = (
        torch.optim.Adam(module.parameters(), lr=1.8e-4, betas=(0.5, 0.9))
        for module in (autoencoder, loss.discriminator)
    )
    return first, second
