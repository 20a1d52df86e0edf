//! How bright and how sharp a part looks to the networks.

use crate::prepare::InputSpec;
use crate::tensor::Tensor;

/// Shares of red, green and blue in luminance (ITU-R BT.601).
const LUMINANCE: [f32; 3] = [0.299, 0.587, 0.114];

/// What the picture says of lamp and lens. Taken from the model's input, so that only the region of interest counts and
/// the cost does not depend on the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Mean luminance, 0 (black) to 1 (white).
    pub brightness: f64,
    /// Mean of the modified Laplacian `|2·I - I_left - I_right| + |2·I - I_above - I_below|` over all pixels that are not
    /// at the edge, divided by the brightness so that a weaker lamp does not look like a lens out of focus. 0 for an
    /// even picture, and for one of fewer than three rows or columns; at most 8. Source of the measure: Nayar and Nakagawa,
    /// *Shape from focus*, IEEE PAMI 16, 1994.
    pub sharpness: f64,
}

impl Look {
    /// Looks at an input of the networks, `[1, 3, H, W]`, normalised colours as [`InputSpec`] says. Other shapes are
    /// black.
    #[must_use]
    pub fn of(input: &Tensor, spec: &InputSpec) -> Self {
        let [_, _, height, width] = input.shape();
        if input.shape() != spec.shape() {
            return Self { brightness: 0.0, sharpness: 0.0 };
        }
        let (red, rest) = input.data().split_at(height * width);
        let (green, blue) = rest.split_at(height * width);
        let [r, g, b] = [0, 1, 2].map(|channel| LUMINANCE[channel] * spec.std()[channel]);
        let black: f32 = spec.mean().iter().zip(LUMINANCE).map(|(mean, share)| mean * share).sum();
        let luminance: Vec<f32> =
            red.iter().zip(green).zip(blue).map(|((x, y), z)| r * x + g * y + b * z + black).collect();

        let mut detail = 0.0;
        for y in 1..height.saturating_sub(1) {
            let row = |y: usize| &luminance[y * width..(y + 1) * width];
            let across = row(y).windows(3).map(|w| (2.0 * w[1] - w[0] - w[2]).abs());
            let inner = row(y - 1).iter().zip(row(y)).zip(row(y + 1)).skip(1);
            let down = inner.map(|((above, here), below)| (2.0 * here - above - below).abs());
            // Sums of a row in f32 keep their digits; of a whole picture they would not.
            detail += f64::from(across.zip(down).map(|(across, down)| across + down).sum::<f32>());
        }
        let inner = (height.saturating_sub(2) * width.saturating_sub(2)).max(1);
        let brightness = luminance.chunks(width).map(|row| f64::from(row.iter().sum::<f32>())).sum::<f64>()
            / (height * width) as f64;
        // What rounding leaves of black is black.
        let brightness = if brightness < 1e-6 { 0.0 } else { brightness };
        let sharpness = if brightness > 0.0 { detail / inner as f64 / brightness } else { 0.0 };
        Self { brightness, sharpness }
    }
}
