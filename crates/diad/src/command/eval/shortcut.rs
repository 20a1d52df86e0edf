//! The shortcut audit: what a detector could score without a look at any defect.
//!
//! Where good and defective parts were photographed on different days, plain statistics of the picture outside the
//! marked defects tell them apart, and a model's image AUROC may rest on that. So it is printed beside the model's.

use diad_core::frame::{PixelFormat, PixelsView, Roi};
use diad_core::metrics::Ranking;

/// What is computed of a picture outside its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Mean of all channels.
    Brightness,
    /// Standard deviation of the brightness.
    Contrast,
    /// Mean of red less blue.
    Colour,
    /// Mean absolute difference of neighbours along a row.
    Sharpness,
}

impl Statistic {
    /// Every statistic, in the order of [`Statistics`].
    pub const ALL: [Self; 4] = [Self::Brightness, Self::Contrast, Self::Colour, Self::Sharpness];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brightness => "brightness",
            Self::Contrast => "contrast",
            Self::Colour => "colour",
            Self::Sharpness => "sharpness",
        }
    }
}

/// One picture's statistics, in levels of 0..=255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics([f32; Statistic::ALL.len()]);

impl Statistics {
    /// Of the pixels of `roi` that `mask` (of `width` x `height`, stretched over it) leaves free; all zero if it leaves
    /// none.
    #[must_use]
    pub fn outside(pixels: &PixelsView<'_>, roi: Roi, mask: &[bool], (width, height): (u32, u32)) -> Self {
        let channels = match pixels.format() {
            PixelFormat::Rgb8 => 3,
            PixelFormat::Mono8 => 1,
        };
        let [mut sum, mut squares, mut colour, mut steps] = [0.0_f64; 4];
        let (mut count, mut pairs) = (0_u64, 0_u64);
        let rows = pixels.data().chunks_exact(pixels.width() as usize * channels);
        for (y, row) in (0_u64..).zip(rows.skip(roi.y as usize).take(roi.height as usize)) {
            let masked_row = (y * u64::from(height) / u64::from(roi.height)) * u64::from(width);
            let mut left = None;
            let row = row.chunks_exact(channels).skip(roi.x as usize).take(roi.width as usize);
            for (x, pixel) in (0_u64..).zip(row) {
                let at = masked_row + x * u64::from(width) / u64::from(roi.width);
                if mask[at as usize] {
                    left = None;
                    continue;
                }
                let level = pixel.iter().copied().map(f64::from).sum::<f64>() / channels as f64;
                sum += level;
                squares += level * level;
                colour += f64::from(pixel[0]) - f64::from(pixel[channels - 1]);
                count += 1;
                if let Some(left) = left.replace(level) {
                    steps += f64::abs(level - left);
                    pairs += 1;
                }
            }
        }
        let share = |total: f64, of: u64| if of == 0 { 0.0 } else { total / of as f64 };
        let mean = share(sum, count);
        let contrast = (share(squares, count) - mean * mean).max(0.0).sqrt();
        Self([mean, contrast, share(colour, count), share(steps, pairs)].map(|value| value as f32))
    }
}

/// The statistic that tells defective parts from good ones best, and its AUROC, in either direction: `0.5..=1`.
#[must_use]
pub fn strongest(parts: &[(Statistics, bool)]) -> Option<(Statistic, f64)> {
    let aurocs = Statistic::ALL.into_iter().zip(0..).filter_map(|(statistic, index)| {
        let ranking = Ranking::try_new(parts.iter().map(|(values, defective)| (values.0[index], *defective))).ok()?;
        Some((statistic, ranking.auroc().max(1.0 - ranking.auroc())))
    });
    aurocs.max_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4x2 px: left half 10, right half `right`.
    fn halves(right: u8) -> Vec<u8> {
        [10, 10, right, right].repeat(2)
    }

    fn of(bytes: &[u8], mask: &[bool], size: (u32, u32)) -> Statistics {
        let view = PixelsView::try_new(4, 2, PixelFormat::Mono8, bytes).unwrap();
        Statistics::outside(&view, view.full(), mask, size)
    }

    #[test]
    fn statistics_are_of_the_pixels_outside_the_mask() {
        assert_eq!(of(&halves(30), &[false; 8], (4, 2)), Statistics([20.0, 10.0, 0.0, 20.0 / 3.0]));
        // A coarser mask is stretched; no pair reaches over a masked pixel.
        assert_eq!(of(&halves(30), &[true, false], (2, 1)), Statistics([30.0, 0.0, 0.0, 0.0]));
        assert_eq!(of(&halves(30), &[true], (1, 1)), Statistics([0.0; 4]));
    }

    #[test]
    fn statistics_are_of_the_region_alone() {
        let bytes = halves(30);
        let view = PixelsView::try_new(4, 2, PixelFormat::Mono8, &bytes).unwrap();
        let right = Roi { x: 2, y: 1, width: 2, height: 1 };
        assert_eq!(Statistics::outside(&view, right, &[false], (1, 1)), Statistics([30.0, 0.0, 0.0, 0.0]));
        let across = Roi { x: 1, y: 0, width: 2, height: 2 };
        assert_eq!(Statistics::outside(&view, across, &[true, false], (2, 1)), Statistics([30.0, 0.0, 0.0, 0.0]));
    }

    #[test]
    fn statistics_colour_is_red_less_blue() {
        let bytes = [200, 50, 50].repeat(8);
        let view = PixelsView::try_new(4, 2, PixelFormat::Rgb8, &bytes).unwrap();
        let values = Statistics::outside(&view, view.full(), &[false], (1, 1));
        assert_eq!(values, Statistics([100.0, 0.0, 150.0, 0.0]));
    }

    #[test]
    fn strongest_finds_what_gives_the_defects_away_in_either_direction() {
        let part = |values, defective| (Statistics(values), defective);
        let parts = [
            part([5.0, 1.0, 0.0, 1.0], false),
            part([6.0, 2.0, 0.0, 2.0], false),
            part([4.0, 1.5, 0.0, 3.0], true),
            part([3.0, 0.5, 0.0, 1.5], true),
        ];
        assert_eq!(strongest(&parts), Some((Statistic::Brightness, 1.0)));
        assert_eq!(strongest(&parts[..2]), None);
    }
}
