"""The authors' losses against their own numbers: values, gradients, one optimiser step."""

from __future__ import annotations

import golden
import numpy as np
import pytest
import torch
from diad_train.config import AutoencoderConfig, DenoiserConfig
from diad_train.exchange.data import normalised
from diad_train.model.autoencoder import Autoencoder, sample_posterior
from diad_train.model.denoiser import Denoiser
from reference.losses import (
    AutoencoderLoss,
    adaptive_weight,
    autoencoder_optimisers,
    diffusion_loss,
    diffusion_optimiser,
    freeze_encoder_half,
    kl_per_picture,
)
from torch import Tensor

# Relative tolerances, each about five times what was measured.
LOSS = 1e-6  # 2.5e-7
LOGIT = 1e-5  # 0, and 1.8e-6 from our own reconstruction: means of mixed sign
DIFFUSION_GRADIENT = 3e-5  # 6.6e-6 of the largest element
DIFFUSION_GRADIENT_NORM = 4e-5  # 7.6e-6
AUTOENCODER_GRADIENT = 2.5e-5  # 4.7e-6 of the largest element

# A bias in front of a normalisation with one channel per group moves nothing: its gradient is rounding noise, 1e-9.
NO_GRADIENT = "model.diffusion_model.output_blocks.11.0.emb_layers.1.bias"


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))


def relative(got: Tensor | float, wanted: np.ndarray) -> float:
    """Largest deviation over the largest wanted magnitude."""
    got = got.detach().numpy() if isinstance(got, Tensor) else got
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


def our_key(key: str) -> str:
    return key.replace("model.diffusion_model.", "diffusion_model.").replace("model.down", "model.fusion.down")


@pytest.fixture(scope="module")
def autoencoder():
    model = Autoencoder(AutoencoderConfig(width=32))
    golden.fill(model, "first_stage_model.")
    return model


class DiffusionStep:
    """Gradients of the stored batch, then the weights after AdamW."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        self.stored = stored = golden.load("train_tiny32_B.npz")
        self.keys = [key.removeprefix("grad/") for key in stored if key.startswith("grad/")]
        self.denoiser = denoiser = Denoiser(DenoiserConfig(width=32), latent_channels=4)
        golden.fill(denoiser.control_model, "control_model.", rename={"fusion.": ""})
        golden.fill(denoiser.diffusion_model, "model.diffusion_model.")
        assert denoiser.context is not None
        denoiser.context.copy_(tensor(golden.base_noise("context", tuple(denoiser.context.shape))))
        freeze_encoder_half(denoiser)
        optimiser = diffusion_optimiser(denoiser)
        image = normalised(tensor(stored["train_u8"]))
        with torch.no_grad():
            moments = autoencoder.moments(image)
        loss = diffusion_loss(
            denoiser,
            image,
            moments,
            t=tensor(stored["train_t"]),
            posterior_noise=tensor(stored["train_noise_posterior"]),
            noise=tensor(stored["train_noise_q"]),
        )
        loss.backward()
        self.loss = loss.item()
        self.gradients = {name: p.grad for name, p in denoiser.named_parameters()}
        optimiser.step()
        self.after = denoiser.state_dict()


@pytest.fixture(scope="module")
def diffusion(autoencoder):
    return DiffusionStep(autoencoder)


def test_diffusion_loss_and_gradients_are_the_references(diffusion):
    stored = diffusion.stored
    assert relative(diffusion.loss, stored["loss"]) < LOSS
    for key in diffusion.keys:
        gradient, wanted = diffusion.gradients[our_key(key)], stored[f"grad/{key}"]
        if key == NO_GRADIENT:
            assert max(gradient.abs().max().item(), np.abs(wanted).max()) < 1e-8
            continue
        assert relative(gradient.flatten()[:256], wanted) < DIFFUSION_GRADIENT, key
        assert relative(gradient.norm(), stored[f"grad_norm/{key}"]) < DIFFUSION_GRADIENT_NORM, key
    total = torch.stack([g.norm() for g in diffusion.gradients.values() if g is not None]).norm()
    assert relative(total, stored["total_grad_norm"]) < 2e-6  # measured 2.4e-7


def test_diffusion_step_trains_sg_and_decoder_half_only(diffusion):
    untouched = {name for name, gradient in diffusion.gradients.items() if gradient is None}
    frozen = tuple(f"diffusion_model.{part}." for part in ("time_embed", "input_blocks", "middle_block"))
    unread = tuple(f"control_model.zero_convs.{k}." for k in range(6))  # only the two deepest groups are used
    assert untouched == {name for name in diffusion.gradients if name.startswith(frozen + unread)}


def test_diffusion_optimiser_step_gives_the_references_weights(diffusion):
    for key in diffusion.keys:
        got = diffusion.after[our_key(key)].flatten()[:256].numpy()
        # Without a gradient Adam's direction is rounding noise, and a step is 1e-5. Else measured 9e-10.
        tolerance = 1e-5 if key == NO_GRADIENT else 5e-9
        wanted = diffusion.stored[f"after_adamw/{key}"]
        assert np.abs(got - wanted).max() < tolerance + 1e-7 * np.abs(wanted).max(), key
    scale = "model.diffusion_model.out.0.weight"
    mean = (diffusion.after[our_key(scale)].numpy() - diffusion.stored[f"after_adamw/{scale}"]).mean()
    assert abs(mean) < 3e-8  # weights of about 1: without the decay it is 1.2e-7


class FineTuning:
    """Loss networks and one batch; the reconstruction's values are the stored ones, its gradients ours."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        self.stored = stored = golden.load("ae_loss_tiny32_B.npz")
        self.autoencoder = autoencoder
        self.loss = AutoencoderLoss()
        with torch.no_grad():
            for key, parameter in self.loss.named_parameters():
                parameter.copy_(golden.weight(f"ae_loss.{key}", tuple(parameter.shape)))
                if ".lin" in key:
                    parameter.abs_()
        self.image = normalised(tensor(stored["u8"]))
        self.moments = autoencoder.moments(self.image)
        self.decoded = autoencoder.decode(sample_posterior(self.moments, tensor(stored["noise_posterior"])))
        # A deviation of 5e-6 lets a few ReLUs of the loss networks switch, which would cost 2e-4 of a gradient.
        self.out = self.decoded + (tensor(stored["rec"]) - self.decoded).detach()
        self.last_weight = autoencoder.decoder.conv_out.weight


@pytest.fixture(scope="module")
def tuning(autoencoder):
    return FineTuning(autoencoder)


def test_perceptual_distance_is_the_references(tuning):
    assert relative(tuning.moments, tuning.stored["moments"]) < 5e-6  # measured 9.7e-7
    assert relative(tuning.decoded, tuning.stored["rec"]) < 8e-6  # measured 1.6e-6
    distance = tuning.loss.perceptual_loss(tuning.image, tuning.out)
    assert distance.shape == tuning.stored["p_loss"].shape
    assert relative(distance, tuning.stored["p_loss"]) < LOSS


def test_perceptual_distance_of_equal_or_black_pictures_has_finite_gradients(tuning):
    black = torch.zeros(1, 3, 16, 16, requires_grad=True)
    assert tuning.loss.perceptual_loss(black, black).item() == 0.0
    tuning.loss.perceptual_loss(black, torch.rand(1, 3, 16, 16)).sum().backward()
    assert torch.isfinite(black.grad).all()


@pytest.mark.parametrize("step", [0, 50000, 50001])
def test_autoencoder_pass_has_the_references_terms(tuning, step):
    stored, loss, image, out = tuning.stored, tuning.loss, tuning.image, tuning.out
    wanted = {key.split("/")[-1]: stored[key] for key in stored if key.startswith(f"g{step}/train/")}
    reconstruction, adversarial = loss.reconstruction(image, out), loss.adversarial(out)
    weight = adaptive_weight(reconstruction, adversarial, last_weight=tuning.last_weight)
    assert wanted["logvar"] == 0.0  # fixed by the authors, and left out here
    assert relative(reconstruction, wanted["nll_loss"]) < LOSS
    assert relative(reconstruction / image[0].numel(), wanted["rec_loss"]) < LOSS
    assert relative(kl_per_picture(tuning.moments), wanted["kl_loss"]) < LOSS
    assert relative(adversarial, wanted["g_loss"]) < LOGIT
    assert weight.item() == wanted["d_weight"] and not weight.requires_grad
    terms = loss.for_autoencoder(image, out, tuning.moments, last_weight=tuning.last_weight, step=step)
    assert ("adversarial" in terms) == (wanted["disc_factor"] == 1.0)
    total = torch.stack(list(terms.values())).sum()
    assert relative(total, stored[f"g{step}/loss"]) < LOSS
    assert relative(total, wanted["total_loss"]) < LOSS


@pytest.mark.parametrize("step", [0, 50000, 50001])
def test_discriminator_pass_has_the_references_terms(tuning, step):
    stored, discriminator = tuning.stored, tuning.loss.discriminator
    got = tuning.loss.for_discriminator(tuning.image, tuning.out, step=step)
    for key in (f"d{step}/loss", f"d{step}/train/disc_loss"):
        assert abs(got.item() - stored[key]) < LOSS
    assert relative(discriminator(tuning.image).mean(), stored[f"d{step}/train/logits_real"]) < LOGIT
    assert relative(discriminator(tuning.out).mean(), stored[f"d{step}/train/logits_fake"]) < LOGIT


def test_autoencoder_gradients_are_the_references(tuning):
    stored, loss, last = tuning.stored, tuning.loss, tuning.last_weight
    for name, term in {
        "nll": loss.reconstruction(tuning.image, tuning.out),
        "g": loss.adversarial(tuning.out),
    }.items():
        norm = torch.autograd.grad(term, last, retain_graph=True)[0].norm()
        assert relative(norm, stored[f"{name}_grad_norm_last_layer"]) < 2e-6, name  # measured 3.1e-7
    tuning.autoencoder.zero_grad()
    terms = loss.for_autoencoder(tuning.image, tuning.out, tuning.moments, last_weight=last, step=50001)
    torch.stack(list(terms.values())).sum().backward(retain_graph=True)
    for key in [key for key in stored if key.startswith("grad/")]:
        gradient = tuning.autoencoder.get_parameter(key.removeprefix("grad/")).grad
        assert relative(gradient, stored[key]) < AUTOENCODER_GRADIENT, key
    assert all(p.grad is None for p in loss.perceptual_loss.parameters())


def test_autoencoder_optimisers_hold_as_many_weights_as_the_references(tuning):
    for name, optimiser in zip("gd", autoencoder_optimisers(tuning.autoencoder, tuning.loss), strict=True):
        count = sum(p.numel() for group in optimiser.param_groups for p in group["params"])
        assert count == tuning.stored[f"opt_{name}_params"]


@pytest.mark.parametrize("released", [True, False], ids=["released", "ours"])
def test_feature_fusion_trains_from_our_start_and_never_from_the_released_one(released):
    """The fusion's sources come from zero convolutions: with zero weights of its own, both gradients are zero."""
    torch.manual_seed(0)
    config = DenoiserConfig(
        width=16, multipliers=(1, 2), res_blocks=1, attention_factors=(), heads=2, norm_groups=4, context_tokens=0
    )
    denoiser = Denoiser(config, latent_channels=4)
    golden.fill(denoiser.diffusion_model, "model.diffusion_model.")  # as the authors start: a trained U-Net
    freeze_encoder_half(denoiser)
    guide = denoiser.control_model
    if released:
        torch.nn.init.zeros_(guide.input_hint_block[-1].weight)
        for weight in guide.fusion.parameters():
            torch.nn.init.zeros_(weight)
    fusion, sources = list(guide.fusion.parameters()), list(guide.zero_convs[: guide.group].parameters())
    others = [*guide.zero_convs[guide.group :].parameters(), *guide.middle_block_out.parameters()]
    optimiser = diffusion_optimiser(denoiser)
    optimiser.param_groups[0]["lr"] = 1e-3
    gradients = []
    for _ in range(3):
        optimiser.zero_grad()
        diffusion_loss(
            denoiser,
            torch.randn(2, 3, 64, 64),
            torch.randn(2, 8, 8, 8),
            t=torch.tensor([17, 640]),
            posterior_noise=torch.randn(2, 4, 8, 8),
            noise=torch.randn(2, 4, 8, 8),
        ).backward()
        gradients.append([max(p.grad.abs().max().item() for p in part) for part in (fusion, sources, others)])
        optimiser.step()
    of_fusion, of_sources, of_others = zip(*gradients, strict=True)
    assert min(of_others) > 0.0
    if released:
        assert max(of_fusion + of_sources) == 0.0
        assert not any(p.any() for p in fusion + sources)
    else:
        # The first step opens the sources, from the second on the fusion learns as well.
        assert min(of_sources) > 0.0 and of_fusion[0] == 0.0 and min(of_fusion[1:]) > 0.0
