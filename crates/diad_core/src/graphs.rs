//! The networks as the method sees them: five pure functions behind one trait, so that the method runs
//! in tests without a runtime.

use crate::schedule::Step;
use crate::tensor::{Shape, Tensor};

/// Shapes of one part (batch 1), fixed when a model is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphShapes {
    /// Model input, `[1, 3, H, W]`.
    pub image: Shape,
    /// Latent, `[1, C, h, w]`, with `h = H/8`, `w = W/8` for the f = 8 autoencoder.
    pub latent: Shape,
    /// What the SG network computes once per image, `[1, M, h, w]`.
    pub hint: Shape,
    /// Feature layers of a batch of two (input, reconstruction), finest first, `[2, C_k, h_k, w_k]`.
    pub features: Vec<Shape>,
}

/// Shapes of one part in a representation latent, fixed when a model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatentShapes {
    /// Patches of the foundation, and latent, `[1, D, h, w]`.
    pub latent: Shape,
    /// What the SG network computes once per image, `[1, M, h, w]`.
    pub hint: Shape,
}

/// One run of a network that works in a representation latent. `out` is overwritten whole.
#[derive(Debug)]
pub enum LatentCall<'a> {
    /// Patches of the foundation → latent, both `[1, D, h, w]`: every channel on the scale that the denoiser takes.
    Encode {
        /// Patches.
        patches: &'a Tensor,
        /// Latent.
        out: &'a mut Tensor,
    },
    /// SG hint block: patches → hint; computed once per image.
    Hint {
        /// Patches.
        patches: &'a Tensor,
        /// Hint.
        out: &'a mut Tensor,
    },
    /// SG network joined to the denoiser, one step: latent at step `t` → predicted noise ε, both `[1, D, h, w]`.
    PredictNoise {
        /// Latent.
        latent: &'a Tensor,
        /// Hint.
        hint: &'a Tensor,
        /// Step.
        t: Step,
        /// Noise.
        out: &'a mut Tensor,
    },
}

/// The exported networks.
///
/// Every `out` tensor comes sized by [`GraphShapes`] and is overwritten whole. An implementation checks
/// that its outputs are finite and says which graph failed.
pub trait Graphs {
    /// What can go wrong inside the runtime.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Shapes of every tensor below.
    fn shapes(&self) -> &GraphShapes;

    /// KL encoder: image `[1, 3, H, W]` (normalised) → moments `[1, 2C, h, w]`, the mean in the first `C`
    /// channels and the log-variance in the others, unscaled.
    ///
    /// # Errors
    /// The runtime's.
    fn encode(&mut self, image: &Tensor, moments: &mut Tensor) -> Result<(), Self::Error>;

    /// SG hint block: image → hint; independent of the step, so computed once per image.
    ///
    /// # Errors
    /// The runtime's.
    fn hint(&mut self, image: &Tensor, hint: &mut Tensor) -> Result<(), Self::Error>;

    /// SG network joined to the denoiser, one step: latent (scaled) at step `t` → predicted noise ε,
    /// both `[1, C, h, w]`.
    ///
    /// # Errors
    /// The runtime's.
    fn predict_noise(&mut self, latent: &Tensor, hint: &Tensor, t: Step, noise: &mut Tensor)
    -> Result<(), Self::Error>;

    /// KL decoder: latent (scaled) → reconstruction `[1, 3, H, W]` in the input's normalised colours.
    ///
    /// # Errors
    /// The runtime's.
    fn decode(&mut self, latent: &Tensor, reconstruction: &mut Tensor) -> Result<(), Self::Error>;

    /// ImageNet feature extractor: `[2, 3, H, W]` (input first, reconstruction second) → layers, finest first.
    ///
    /// # Errors
    /// The runtime's.
    fn features(&mut self, pair: &Tensor, layers: &mut [Tensor]) -> Result<(), Self::Error>;

    /// Shapes in the representation latent; none if the model has none.
    fn latent_shapes(&self) -> Option<LatentShapes> {
        None
    }

    /// Runs one network of the representation latent; none if the model has none.
    ///
    /// # Errors
    /// The runtime's.
    fn run_latent(&mut self, call: LatentCall<'_>) -> Option<Result<(), Self::Error>> {
        let _ = call;
        None
    }
}
