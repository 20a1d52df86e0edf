//! What is asked of the renderer and what it gives back.

use image::{GrayImage, RgbImage};

use crate::{Defect, Product};

/// Side of every rendered picture, in pixels.
pub const IMAGE_SIDE_PX: u32 = 256;

/// One part, fully determined: equal specifications render to equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartSpec {
    /// Which product.
    pub product: Product,
    /// Seed of everything that varies from part to part (pose, light, texture, noise, the defect's place).
    pub seed: u64,
    /// What is wrong with it; `None` for a good part.
    pub defect: Option<Defect>,
}

/// A picture with its truth.
#[derive(Debug, Clone)]
pub struct RenderedPart {
    /// The camera picture, [`IMAGE_SIDE_PX`] square, 8 bits per channel.
    pub image: RgbImage,
    /// Same size: 255 where the defect changed the picture, else 0. All 0 if and only if the part is good.
    pub mask: GrayImage,
}
