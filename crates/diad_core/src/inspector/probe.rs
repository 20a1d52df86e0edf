//! How a caller watches an inspection: the core has no clock and writes no file.

use std::fmt;

use crate::tensor::Shape;

/// A step of the method, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Pixels → tensor.
    Prepare,
    /// Tensor → latent.
    Encode,
    /// What the SG network computes once per image.
    Hint,
    /// Noising and every denoising step.
    Denoise,
    /// Latent → reconstruction.
    Decode,
    /// Feature layers and their distances.
    Features,
    /// Pixels → patches, by every foundation that a witness asks.
    Foundation,
    /// Patches → distances of DiAD in a representation latent.
    Latent,
    /// Patches → distances to the nearest good ones.
    Bank,
    /// Distances → map.
    Map,
    /// Map → score, peak and region.
    Score,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 11] = [
        Self::Prepare,
        Self::Encode,
        Self::Hint,
        Self::Denoise,
        Self::Decode,
        Self::Features,
        Self::Foundation,
        Self::Latent,
        Self::Bank,
        Self::Map,
        Self::Score,
    ];

    /// Whether only parts of a product with an overlay pass it.
    #[must_use]
    pub const fn is_joined(self) -> bool {
        matches!(self, Self::Foundation | Self::Latent | Self::Bank)
    }

    /// One lowercase word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Encode => "encode",
            Self::Hint => "hint",
            Self::Denoise => "denoise",
            Self::Decode => "decode",
            Self::Features => "features",
            Self::Foundation => "foundation",
            Self::Latent => "latent",
            Self::Bank => "bank",
            Self::Map => "map",
            Self::Score => "score",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An array on the way from pixels to score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArrayName {
    /// The prepared image, `[1, 3, H, W]`.
    Input,
    /// What the encoder gives, `[1, 2C, h, w]`.
    Moments,
    /// The clean latent, scaled, `[1, C, h, w]`.
    Latent,
    /// The latent the first step begins with, `[1, C, h, w]`.
    Noised,
    /// Noise predicted in the first step, `[1, C, h, w]`.
    NoiseFirst,
    /// Noise predicted in the last step, `[1, C, h, w]`.
    NoiseLast,
    /// The denoised latent, `[1, C, h, w]`.
    FinalLatent,
    /// The reconstruction, `[1, 3, H, W]`.
    Reconstruction,
    /// Cosine distances of one feature layer, counted from 1 (finest), `[1, 1, h, w]`.
    Distance(usize),
    /// Patches of one foundation, counted from 1, `[1, D, h, w]`.
    Patches(usize),
    /// The clean latent in the representation, `[1, D, h, w]`.
    LatentClean,
    /// The denoised latent in the representation, `[1, D, h, w]`.
    LatentFinal,
    /// The map of one witness before smoothing, in its own unit, counted from 1, `[1, 1, H, W]`.
    Witness(usize),
    /// The map before smoothing, `[1, 1, H, W]`.
    RawMap,
    /// The map that is scored, `[1, 1, H, W]`.
    Map,
}

impl fmt::Display for ArrayName {
    /// A name fit for a file: `noise_first`, `distance_1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Input => "input",
            Self::Moments => "moments",
            Self::Latent => "latent",
            Self::Noised => "noised",
            Self::NoiseFirst => "noise_first",
            Self::NoiseLast => "noise_last",
            Self::FinalLatent => "final_latent",
            Self::Reconstruction => "reconstruction",
            Self::Distance(layer) => return write!(f, "distance_{layer}"),
            Self::Patches(foundation) => return write!(f, "patches_{foundation}"),
            Self::LatentClean => "latent_clean",
            Self::LatentFinal => "latent_final",
            Self::Witness(witness) => return write!(f, "witness_{witness}"),
            Self::RawMap => "map_raw",
            Self::Map => "map",
        };
        f.write_str(name)
    }
}

/// Watches one inspection: the caller's clock and the caller's dump. Both methods do nothing unless written.
pub trait Probe {
    /// `stage` begins; the one before it, if any, has ended.
    fn entering(&mut self, stage: Stage) {
        let _ = stage;
    }

    /// One step of the denoiser has been taken: the longest stage moves.
    fn step(&mut self) {}

    /// An array is ready: values in NCHW order.
    fn array(&mut self, name: ArrayName, shape: Shape, values: &[f32]) {
        let _ = (name, shape, values);
    }
}

impl Probe for () {}
