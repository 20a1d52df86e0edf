//! The walk of a latent: noised once, then denoised step by step. The same for pixels and for a representation.

use std::error::Error;

use super::{ArrayName, InspectError, Probe, Stage, bad, show};
use crate::schedule::{Ddim, Step};
use crate::tensor::{Shape, Tensor};

/// The schedule of one latent, its fixed noise and its buffers.
#[derive(Debug)]
pub(super) struct Walk {
    ddim: Ddim,
    start_noise: Tensor,
    latent: Tensor,
    noise: Tensor,
}

/// What the arrays of a walk are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) noised: Option<ArrayName>,
    pub(super) noise_first: Option<ArrayName>,
    pub(super) noise_last: Option<ArrayName>,
    pub(super) end: ArrayName,
}

impl Walk {
    /// A walk of latents of the noise's shape.
    pub(super) fn new(ddim: Ddim, start_noise: Tensor) -> Self {
        let shape: Shape = start_noise.shape();
        Self { ddim, start_noise, latent: Tensor::zeros(shape), noise: Tensor::zeros(shape) }
    }

    pub(super) const fn ddim(&self) -> &Ddim {
        &self.ddim
    }

    /// Where the last walk ended.
    pub(super) const fn latent(&self) -> &Tensor {
        &self.latent
    }

    /// Clean latent → noised → denoised. `predict` is given a latent and its step, and writes the noise in it.
    pub(super) fn run<E: Error>(
        &mut self,
        clean: &Tensor,
        (stage, names): (Stage, Names),
        probe: &mut impl Probe,
        mut predict: impl FnMut(&Tensor, Step, &mut Tensor) -> Result<(), InspectError<E>>,
    ) -> Result<(), InspectError<E>> {
        let Self { ddim, start_noise, latent, noise } = self;
        ddim.noised(clean, start_noise, latent).map_err(InspectError::Schedule)?;
        if let Some(name) = names.noised {
            show(probe, name, latent);
        }
        let last = ddim.updates().len() - 1;
        for (index, update) in ddim.updates().iter().enumerate() {
            predict(latent, update.step, noise)?;
            noise.expect_finite("predicted noise").map_err(bad(stage))?;
            if let Some(name) = names.noise_first.filter(|_| index == 0) {
                show(probe, name, noise);
            }
            if let Some(name) = names.noise_last.filter(|_| index == last) {
                show(probe, name, noise);
            }
            ddim.step_back(index, latent, noise).map_err(InspectError::Schedule)?;
            probe.step();
        }
        latent.expect_finite("final latent").map_err(bad(stage))?;
        show(probe, names.end, latent);
        Ok(())
    }
}
