//! The camera: exposure, uneven field, vignetting, blur, sensor noise and eight bits.

use image::RgbImage;

use crate::dice::Dice;
use crate::geometry::{Rgb, V2, v2};
use crate::noise::hash;
use crate::part::IMAGE_SIDE_PX;
use crate::surface::{SIDE, pixel};

/// One exposure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Camera {
    gain: f32,
    gradient: V2,
    vignette: f32,
    blur: f32,
    noise_levels: f32,
    noise_seed: u32,
}

impl Camera {
    pub fn draw(dice: &mut Dice) -> Self {
        Self {
            gain: 1.0 + dice.range(-0.12, 0.12),
            gradient: dice.direction() * (dice.range(0.0, 0.05) / 128.0),
            vignette: dice.range(0.02, 0.10),
            blur: dice.range(0.10, 0.20),
            noise_levels: dice.range(1.0, 2.0),
            noise_seed: dice.bits(),
        }
    }

    /// Exposes the lit surface. The noise depends on the exposure alone, so two surfaces taken by one camera
    /// differ only where the surfaces differ.
    pub fn develop(&self, lit: &[Rgb]) -> RgbImage {
        let soft = self.blurred(lit);
        let mut bytes = Vec::with_capacity(SIDE * SIDE * 3);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let off = pixel(x, y) - v2(128.0, 128.0);
                let edge = off.dot(off) / (2.0 * 128.0 * 128.0);
                let exposure = self.gain * (1.0 + off.dot(self.gradient)) * (1.0 - self.vignette * edge);
                for (channel, value) in (0_u32..).zip(soft[y * SIDE + x]) {
                    bytes.push(self.quantise(value * exposure, x, y, channel));
                }
            }
        }
        RgbImage::from_raw(IMAGE_SIDE_PX, IMAGE_SIDE_PX, bytes).unwrap_or_default()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "coordinates are below 256 and the level is clamped to a byte"
    )]
    fn quantise(&self, value: f32, x: usize, y: usize, channel: u32) -> u8 {
        let bits = hash(x as i32, y as i32, self.noise_seed ^ channel.wrapping_mul(0x68E3_1DA4));
        // Four uniform bytes add up to a bell of standard deviation 147.8.
        let bell = bits.to_le_bytes().iter().map(|b| f32::from(*b)).sum::<f32>() - 510.0;
        // Half added and cut: `round` is a library call on plain x86-64.
        ((shoulder(value) * 255.0 + bell / 147.8 * self.noise_levels).clamp(0.0, 255.0) + 0.5) as u8
    }

    /// Three-tap blur in both directions: the lens.
    fn blurred(&self, lit: &[Rgb]) -> Vec<Rgb> {
        let (side, middle) = (self.blur, 1.0 - 2.0 * self.blur);
        let tap = |a: Rgb, b: Rgb, c: Rgb| [0, 1, 2].map(|k: usize| side * (a[k] + c[k]) + middle * b[k]);
        let mut across = Vec::with_capacity(lit.len());
        for row in lit.chunks_exact(SIDE) {
            for x in 0..SIDE {
                across.push(tap(row[x.saturating_sub(1)], row[x], row[(x + 1).min(SIDE - 1)]));
            }
        }
        let mut out = Vec::with_capacity(lit.len());
        for y in 0..SIDE {
            let (above, below) = (y.saturating_sub(1) * SIDE, (y + 1).min(SIDE - 1) * SIDE);
            for x in 0..SIDE {
                out.push(tap(across[above + x], across[y * SIDE + x], across[below + x]));
            }
        }
        out
    }
}

/// Rolls highlights off above 0.85 instead of clipping them.
fn shoulder(value: f32) -> f32 {
    const KNEE: f32 = 0.85;
    if value <= KNEE { value } else { 1.0 - (1.0 - KNEE) * (-(value - KNEE) / (1.0 - KNEE)).exp() }
}
