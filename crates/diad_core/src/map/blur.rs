//! Gaussian smoothing of a plane, one axis after the other.

use crate::map::MapSettings;

/// A Gaussian for planes of one size, with the buffers it needs.
#[derive(Debug)]
pub(super) struct Blur {
    width: usize,
    /// Weights from the centre outwards; both sides together add up to 1.
    kernel: Vec<f64>,
    pass: Vec<f64>,
    /// One row with its mirrored ends.
    padded: Vec<f64>,
}

impl Blur {
    /// Blurs planes of `width` x `height`, as the settings say.
    pub(super) fn new(settings: &MapSettings, width: usize, height: usize) -> Self {
        let kernel = gaussian(f64::from(settings.blur_sigma_px()), f64::from(settings.blur_truncate()));
        let padded = vec![0.0; width + 2 * (kernel.len() - 1)];
        Self { width, kernel, pass: vec![0.0; width * height], padded }
    }

    /// Blurs a plane in place. Beyond the border the plane is mirrored, the edge sample repeated.
    pub(super) fn apply(&mut self, plane: &mut [f64]) {
        self.columns(plane);
        self.rows(plane);
    }

    /// Mixes rows of `plane` into `pass`.
    fn columns(&mut self, plane: &[f64]) {
        let height = plane.len() / self.width;
        for (y, line) in self.pass.chunks_exact_mut(self.width).enumerate() {
            let row = |place: isize| plane[mirrored(place, height) * self.width..][..self.width].iter();
            for (value, centre) in line.iter_mut().zip(row(y as isize)) {
                *value = self.kernel[0] * centre;
            }
            for (distance, weight) in self.kernel.iter().enumerate().skip(1) {
                let (above, below) = (row(y as isize - distance as isize), row((y + distance) as isize));
                for ((value, a), b) in line.iter_mut().zip(above).zip(below) {
                    *value += weight * (a + b);
                }
            }
        }
    }

    /// Mixes samples of each row of `pass` into `plane`.
    fn rows(&mut self, plane: &mut [f64]) {
        let radius = self.kernel.len() - 1;
        for (line, source) in plane.chunks_exact_mut(self.width).zip(self.pass.chunks_exact(self.width)) {
            let (before, rest) = self.padded.split_at_mut(radius);
            let (centre, after) = rest.split_at_mut(self.width);
            centre.copy_from_slice(source);
            for (i, value) in before.iter_mut().rev().enumerate() {
                *value = source[mirrored(-1 - i as isize, self.width)];
            }
            for (i, value) in after.iter_mut().enumerate() {
                *value = source[mirrored((self.width + i) as isize, self.width)];
            }
            for (value, centre) in line.iter_mut().zip(source) {
                *value = self.kernel[0] * centre;
            }
            for (distance, weight) in self.kernel.iter().enumerate().skip(1) {
                let (left, right) = (&self.padded[radius - distance..], &self.padded[radius + distance..]);
                for ((value, a), b) in line.iter_mut().zip(left).zip(right) {
                    *value += weight * (a + b);
                }
            }
        }
    }
}

/// Weights of a Gaussian from the centre outwards, cut off at `truncate` standard deviations.
fn gaussian(sigma: f64, truncate: f64) -> Vec<f64> {
    let radius = (truncate * sigma + 0.5) as usize;
    if radius == 0 {
        return vec![1.0];
    }
    let half: Vec<f64> = (0..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let total = 2.0 * half.iter().sum::<f64>() - half[0];
    half.iter().map(|w| w / total).collect()
}

/// Index of a sample beyond the border: … 1 0 | 0 1 … n-1 | n-1 n-2 …
fn mirrored(place: isize, length: usize) -> usize {
    let folded = place.rem_euclid(2 * length as isize) as usize;
    if folded < length { folded } else { 2 * length - 1 - folded }
}
