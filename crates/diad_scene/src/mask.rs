//! The truth: which pixels a defect changed.

use image::{GrayImage, Luma, RgbImage};

use crate::part::IMAGE_SIDE_PX;
use crate::surface::SIDE;

/// Largest channel difference, in grey levels, which still counts as unchanged.
const UNCHANGED_LEVELS: u8 = 7;
/// Specks smaller than this are dropped, in pixels.
const SPECK_PX: usize = 10;

/// The mask with what is needed to accept or refuse the defect.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    pub mask: Vec<bool>,
    pub area_px: usize,
    /// Mean absolute difference inside the mask over pixels and channels, in grey levels.
    pub mean_levels: f32,
}

/// Compares the part with and without its defect.
#[expect(clippy::cast_precision_loss, reason = "sums stay below 2^24 for any visible defect")]
pub(crate) fn difference(defective: &RgbImage, sound: &RgbImage) -> Difference {
    let pairs = || defective.as_raw().chunks_exact(3).zip(sound.as_raw().chunks_exact(3));
    let raw: Vec<bool> =
        pairs().map(|(a, b)| a.iter().zip(b).any(|(p, q)| p.abs_diff(*q) > UNCHANGED_LEVELS)).collect();
    let mut mask = shrink(&grow(&raw, 2), 2);
    drop_specks(&mut mask);
    let area_px = mask.iter().filter(|m| **m).count();
    let sum: u32 = pairs()
        .zip(&mask)
        .filter(|(_, m)| **m)
        .flat_map(|((a, b), _)| a.iter().zip(b).map(|(p, q)| u32::from(p.abs_diff(*q))))
        .sum();
    let mean_levels = if area_px == 0 { 0.0 } else { sum as f32 / (3 * area_px) as f32 };
    Difference { mask, area_px, mean_levels }
}

/// The mask as a picture of 0 and 255.
pub(crate) fn picture(mask: &[bool]) -> GrayImage {
    let mut out = GrayImage::new(IMAGE_SIDE_PX, IMAGE_SIDE_PX);
    for (to, from) in out.pixels_mut().zip(mask) {
        *to = Luma([if *from { 255 } else { 0 }]);
    }
    out
}

fn grow(mask: &[bool], radius: usize) -> Vec<bool> {
    spread(mask, radius, true)
}

/// Outside the picture counts as set, so that closing does not eat masks at the border.
fn shrink(mask: &[bool], radius: usize) -> Vec<bool> {
    spread(mask, radius, false)
}

/// Sets every pixel which has a pixel of `value` within `radius` (an octagon) to `value`.
fn spread(mask: &[bool], radius: usize, value: bool) -> Vec<bool> {
    let mut out = vec![!value; SIDE * SIDE];
    for y in 0..SIDE {
        for x in 0..SIDE {
            if mask[y * SIDE + x] != value {
                continue;
            }
            for ny in y.saturating_sub(radius)..=(y + radius).min(SIDE - 1) {
                for nx in x.saturating_sub(radius)..=(x + radius).min(SIDE - 1) {
                    if ny.abs_diff(y) + nx.abs_diff(x) <= radius + radius / 2 {
                        out[ny * SIDE + nx] = value;
                    }
                }
            }
        }
    }
    out
}

fn drop_specks(mask: &mut [bool]) {
    let mut seen = vec![false; SIDE * SIDE];
    for start in 0..SIDE * SIDE {
        if !mask[start] || seen[start] {
            continue;
        }
        let mut island = vec![start];
        let mut next = 0;
        seen[start] = true;
        while next < island.len() {
            let (x, y) = (island[next] % SIDE, island[next] / SIDE);
            next += 1;
            for ny in y.saturating_sub(1)..=(y + 1).min(SIDE - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(SIDE - 1) {
                    let i = ny * SIDE + nx;
                    if mask[i] && !seen[i] {
                        seen[i] = true;
                        island.push(i);
                    }
                }
            }
        }
        if island.len() < SPECK_PX {
            for i in island {
                mask[i] = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{difference, picture};
    use crate::part::IMAGE_SIDE_PX;
    use image::{Rgb, RgbImage};

    fn changed(points: &[(u32, u32)], by: u8) -> (RgbImage, RgbImage) {
        let sound = RgbImage::from_pixel(IMAGE_SIDE_PX, IMAGE_SIDE_PX, Rgb([100, 100, 100]));
        let mut defective = sound.clone();
        for (x, y) in points {
            defective.put_pixel(*x, *y, Rgb([100 + by, 100 + by, 100 + by]));
        }
        (defective, sound)
    }

    fn square(x: u32, y: u32, side: u32) -> Vec<(u32, u32)> {
        (x..x + side).flat_map(|x| (y..y + side).map(move |y| (x, y))).collect()
    }

    #[test]
    fn difference_of_equal_pictures_is_empty() {
        let (a, b) = changed(&[], 0);
        let seen = difference(&a, &b);
        assert_eq!((seen.area_px, seen.mean_levels.to_bits()), (0, 0));
    }

    #[test]
    fn difference_below_the_threshold_or_of_specks_is_empty() {
        let (a, b) = changed(&square(50, 50, 9), 7);
        assert_eq!(difference(&a, &b).area_px, 0);
        let (a, b) = changed(&square(50, 50, 3), 90);
        assert_eq!(difference(&a, &b).area_px, 0);
    }

    #[test]
    fn difference_of_a_square_is_that_square_also_at_the_border() {
        for at in [0, 60, 246] {
            let (a, b) = changed(&square(at, 0, 10), 30);
            let seen = difference(&a, &b);
            assert_eq!(seen.area_px, 100, "at {at}");
            assert!((seen.mean_levels - 30.0).abs() < 1e-3);
        }
    }

    #[test]
    fn difference_with_a_narrow_gap_is_closed_over_it() {
        let mut points = square(60, 60, 8);
        points.extend(square(70, 60, 8));
        let (a, b) = changed(&points, 40);
        let seen = difference(&a, &b);
        assert!(seen.mask[64 * 256 + 68] && seen.mask[64 * 256 + 69]);
    }

    #[test]
    fn picture_of_a_mask_has_only_0_and_255() {
        let mut mask = vec![false; 256 * 256];
        mask[256 + 2] = true;
        let out = picture(&mask);
        assert_eq!(out.get_pixel(2, 1)[0], 255);
        assert_eq!(out.pixels().filter(|p| p[0] == 0).count(), 256 * 256 - 1);
    }
}
