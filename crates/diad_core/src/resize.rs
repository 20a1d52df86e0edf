//! Shrinks and grows 8-bit pictures the way the reference's data loader does: the Pillow library's bilinear
//! filter, whose triangle widens with the shrink factor so that every source pixel counts (no aliasing).
//!
//! Bit-exact with Pillow: rows first, columns second, rounded to 8 bits after each, with weights in fixed
//! point of 22 bits. Golden `preprocess.npz` (`src*` → `u8_*`).

use crate::frame::{FrameError, PixelFormat, PixelsView, Roi};

/// Fraction bits of a weight: 32 less the 8 of a sample and 2 of headroom.
const WEIGHT_BITS: u32 = 22;

/// Weights of one axis: which source samples make each output sample.
#[derive(Debug, Default)]
struct Axis {
    source: usize,
    spans: Vec<Span>,
    weights: Vec<i32>,
    exact: Vec<f64>,
}

/// One output sample: its first source sample and its weights `from..to`.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: usize,
    from: usize,
    to: usize,
}

impl Axis {
    /// Computes the weights for `source` samples → `target` samples, unless they are the ones at hand.
    fn set(&mut self, source: usize, target: usize) {
        if self.source == source && self.spans.len() == target {
            return;
        }
        self.source = source;
        self.spans.clear();
        self.weights.clear();
        let scale = source as f64 / target as f64;
        let reach = scale.max(1.0);
        for out in 0..target {
            let center = (out as f64 + 0.5) * scale;
            // Truncation is the rule here, and a negative start counts as 0.
            let first = (center - reach + 0.5).max(0.0) as usize;
            let end = ((center + reach + 0.5) as usize).min(source);
            self.exact.clear();
            self.exact.extend((first..end).map(|i| {
                let offset = (i as f64 - center + 0.5) / reach;
                (1.0 - offset.abs()).max(0.0)
            }));
            let sum: f64 = self.exact.iter().sum();
            let from = self.weights.len();
            let one = f64::from(1_u32 << WEIGHT_BITS);
            self.weights.extend(self.exact.iter().map(|w| (w / sum * one + 0.5) as i32));
            self.spans.push(Span { first, from, to: self.weights.len() });
        }
    }
}

/// Resizes pictures to one size. Keeps its tables and buffers, so pictures of one source size cost no allocation
/// after the first.
#[derive(Debug)]
pub struct Resizer {
    width: usize,
    height: usize,
    columns: Axis,
    rows: Axis,
    narrowed: Vec<u8>,
    sums: Vec<i32>,
    out: Vec<u8>,
}

impl Resizer {
    /// Resizes to `width` x `height` px.
    ///
    /// # Errors
    /// [`FrameError::Size`] for an empty or a huge target.
    pub fn try_new(width: u32, height: u32) -> Result<Self, FrameError> {
        let side = 1..=crate::frame::MAX_SIDE_PX;
        if !side.contains(&width) || !side.contains(&height) {
            return Err(FrameError::Size { width, height });
        }
        Ok(Self {
            width: width as usize,
            height: height as usize,
            columns: Axis::default(),
            rows: Axis::default(),
            narrowed: Vec::new(),
            sums: Vec::new(),
            out: Vec::new(),
        })
    }

    /// Resizes the part `roi` of a picture; aspect ratio is not kept. Gives the bytes, in the picture's layout.
    ///
    /// # Errors
    /// [`FrameError::Roi`] if `roi` leaves the picture.
    pub fn resize(&mut self, pixels: PixelsView<'_>, roi: Roi) -> Result<&[u8], FrameError> {
        pixels.expect_inside(roi)?;
        self.columns.set(roi.width as usize, self.width);
        self.rows.set(roi.height as usize, self.height);
        match pixels.format() {
            PixelFormat::Rgb8 => self.narrow::<3>(pixels, roi),
            PixelFormat::Mono8 => self.narrow::<1>(pixels, roi),
        }
        self.shorten(self.width * pixels.format().bytes_per_pixel());
        Ok(&self.out)
    }

    /// First pass: every row of the region to the target width, `N` bytes a pixel.
    fn narrow<const N: usize>(&mut self, pixels: PixelsView<'_>, roi: Roi) {
        let stride = pixels.width() as usize * N;
        self.narrowed.clear();
        for y in roi.y as usize..(roi.y + roi.height) as usize {
            let begin = y * stride + roi.x as usize * N;
            let row = &pixels.data()[begin..begin + roi.width as usize * N];
            for span in &self.columns.spans {
                let weights = &self.columns.weights[span.from..span.to];
                let mut sums = [1_i32 << (WEIGHT_BITS - 1); N];
                for (pixel, &weight) in row[span.first * N..].chunks_exact(N).zip(weights) {
                    for (sum, &sample) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(sample) * weight;
                    }
                }
                self.narrowed.extend(sums.map(to_byte));
            }
        }
    }

    /// Second pass: every column to the target height, `stride` bytes a row.
    fn shorten(&mut self, stride: usize) {
        self.out.clear();
        for span in &self.rows.spans {
            self.sums.clear();
            self.sums.resize(stride, 1_i32 << (WEIGHT_BITS - 1));
            let weights = &self.rows.weights[span.from..span.to];
            for (row, &weight) in self.narrowed.chunks_exact(stride).skip(span.first).zip(weights) {
                for (sum, &sample) in self.sums.iter_mut().zip(row) {
                    *sum += i32::from(sample) * weight;
                }
            }
            self.out.extend(self.sums.iter().copied().map(to_byte));
        }
    }
}

/// Fixed point → byte. Weights of one sample add up to one within rounding, so a sum may pass 255 by a hair.
fn to_byte(sum: i32) -> u8 {
    (sum >> WEIGHT_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests;
