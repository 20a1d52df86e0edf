//! Camera pixels → the model's input tensor, and the way back from model pixels to frame pixels.

use std::ops::Range;

use crate::frame::{FrameError, PixelFormat, PixelsView, Roi};
use crate::resize::Resizer;
use crate::tensor::{Tensor, TensorError};

/// What the model takes: size, and the colour normalisation it was trained with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputSpec {
    width: u32,
    height: u32,
    mean: [f32; 3],
    std: [f32; 3],
}

/// An input that cannot be prepared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PrepareError {
    /// The model's input size is out of range.
    #[error("model input size")]
    Size(#[source] FrameError),
    /// A mean is not finite, or a standard deviation is not a finite number above 0.
    #[error("channel {channel}: mean {mean}, standard deviation {std}; both must be finite, the second above 0")]
    Normalise {
        /// Channel, 0 = red.
        channel: usize,
        /// Mean given.
        mean: f32,
        /// Standard deviation given.
        std: f32,
    },
    /// The region of interest leaves the frame.
    #[error("region of interest")]
    Roi(#[source] FrameError),
    /// The tensor to be written is not the model's input.
    #[error("input tensor")]
    Output(#[source] TensorError),
}

impl InputSpec {
    /// Takes the input size in pixels and, per channel (red, green, blue), mean and standard deviation of
    /// samples scaled to `0..=1`.
    ///
    /// # Errors
    /// [`PrepareError::Size`] and [`PrepareError::Normalise`].
    pub fn try_new(width: u32, height: u32, mean: [f32; 3], std: [f32; 3]) -> Result<Self, PrepareError> {
        Resizer::try_new(width, height).map_err(PrepareError::Size)?;
        for (channel, (&mean, &std)) in mean.iter().zip(&std).enumerate() {
            if !(mean.is_finite() && std.is_finite() && std > 0.0) {
                return Err(PrepareError::Normalise { channel, mean, std });
            }
        }
        Ok(Self { width, height, mean, std })
    }

    /// Width, in model pixels.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height, in model pixels.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Mean of each channel.
    #[must_use]
    pub const fn mean(&self) -> [f32; 3] {
        self.mean
    }

    /// Standard deviation of each channel.
    #[must_use]
    pub const fn std(&self) -> [f32; 3] {
        self.std
    }

    /// Shape of the input tensor, `[1, 3, height, width]`.
    #[must_use]
    pub const fn shape(&self) -> [usize; 4] {
        [1, 3, self.height as usize, self.width as usize]
    }

    /// The 8-bit sample that a normalised value stands for; values outside the range end at black or full.
    /// For pictures of reconstructions.
    #[must_use]
    pub fn to_byte(&self, channel: usize, value: f32) -> u8 {
        ((value * self.std[channel] + self.mean[channel]) * 255.0).round().clamp(0.0, 255.0) as u8
    }
}

/// A rectangle in model pixels (pixels of the input tensor and of the anomaly map).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelRect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

/// Where the model's pixels lie in the frame: the region of interest, stretched over the model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    roi: Roi,
    width: u32,
    height: u32,
}

impl Geometry {
    /// A region of the frame laid over `width` x `height` model pixels, each at least 1.
    #[must_use]
    pub const fn new(roi: Roi, width: u32, height: u32) -> Self {
        Self { roi, width, height }
    }

    /// The part of the frame that the model sees.
    #[must_use]
    pub const fn roi(&self) -> Roi {
        self.roi
    }

    /// Area of one model pixel, in frame pixels.
    #[must_use]
    pub fn pixel_area(&self) -> f64 {
        f64::from(self.roi.width) / f64::from(self.width) * f64::from(self.roi.height) / f64::from(self.height)
    }

    /// The smallest rectangle of whole frame pixels that covers `rect`; never leaves the region of interest.
    #[must_use]
    pub fn rect_to_frame(&self, rect: ModelRect) -> Roi {
        let (x, width) = cover(rect.x, rect.width, self.width, self.roi.width);
        let (y, height) = cover(rect.y, rect.height, self.height, self.roi.height);
        Roi { x: self.roi.x + x, y: self.roi.y + y, width, height }
    }

    /// The model pixels (columns, rows) whose centre lies inside a rectangle of the frame, which may reach out of it.
    pub(crate) fn centres_inside(&self, rect: Roi) -> (Range<usize>, Range<usize>) {
        let columns = centres(rect.x, rect.width, self.roi.x, self.roi.width, self.width);
        (columns, centres(rect.y, rect.height, self.roi.y, self.roi.height, self.height))
    }
}

/// The samples of `model`, laid over `frame` pixels that begin at `origin`, whose centres lie in
/// `start..start + length`.
fn centres(start: u32, length: u32, origin: u32, frame: u32, model: u32) -> Range<usize> {
    // Sample i has its centre at (2 i + 1) · frame / (2 model): the first at or behind a position, without rounding.
    let first = |position: u64| {
        let behind = position.saturating_sub(u64::from(origin));
        ((2 * u64::from(model) * behind).div_ceil(u64::from(frame)) / 2).min(u64::from(model)) as usize
    };
    first(u64::from(start))..first(u64::from(start) + u64::from(length))
}

/// Whole frame pixels (start, length) that cover `start..start + length` of `model` pixels laid over `frame`.
fn cover(start: u32, length: u32, model: u32, frame: u32) -> (u32, u32) {
    let to_frame = |position: u64| position * u64::from(frame);
    let model = u64::from(model);
    let begin = u64::from(start).min(model - 1);
    let end = (u64::from(start) + u64::from(length)).clamp(begin + 1, model);
    let (low, high) = (to_frame(begin) / model, to_frame(end).div_ceil(model));
    (low as u32, (high - low) as u32)
}

/// Prepares frames for one model. Keeps its tables and buffers: frames of one size cost no allocation after the
/// first.
#[derive(Debug)]
pub struct Preparer {
    spec: InputSpec,
    resizer: Resizer,
    /// The normalised value of every byte, per channel.
    levels: [[f32; 256]; 3],
}

impl Preparer {
    /// Prepares frames for a model that takes `spec`.
    ///
    /// # Errors
    /// [`PrepareError::Size`].
    pub fn try_new(spec: InputSpec) -> Result<Self, PrepareError> {
        let resizer = Resizer::try_new(spec.width, spec.height).map_err(PrepareError::Size)?;
        let levels = [0, 1, 2].map(|channel: usize| {
            let mut level = [0.0_f32; 256];
            for (byte, value) in level.iter_mut().enumerate() {
                // The reference's order of operations, in f32: the golden arrays agree bit for bit.
                *value = (byte as f32 / 255.0 - spec.mean[channel]) / spec.std[channel];
            }
            level
        });
        Ok(Self { spec, resizer, levels })
    }

    /// What the model takes.
    #[must_use]
    pub const fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// Cuts `roi` out of a frame, resizes it (see [`crate::resize`]), spreads one channel over three where
    /// there is one, and normalises. `out` is `[1, 3, height, width]` and overwritten whole. Golden `jpg*`.
    ///
    /// # Errors
    /// [`PrepareError::Roi`] and [`PrepareError::Output`].
    pub fn prepare(&mut self, pixels: PixelsView<'_>, roi: Roi, out: &mut Tensor) -> Result<Geometry, PrepareError> {
        out.expect_shape("input", self.spec.shape()).map_err(PrepareError::Output)?;
        let bytes = self.resizer.resize(pixels, roi).map_err(PrepareError::Roi)?;
        let plane = self.spec.width as usize * self.spec.height as usize;
        let (step, offset) = match pixels.format() {
            PixelFormat::Rgb8 => (3, 1),
            PixelFormat::Mono8 => (1, 0),
        };
        for (channel, (values, level)) in out.data_mut().chunks_exact_mut(plane).zip(&self.levels).enumerate() {
            let samples = bytes.iter().skip(channel * offset).step_by(step);
            for (value, &sample) in values.iter_mut().zip(samples) {
                *value = level[usize::from(sample)];
            }
        }
        Ok(Geometry { roi, width: self.spec.width, height: self.spec.height })
    }
}

/// Prepares one frame; see [`Preparer::prepare`]. For many frames keep a [`Preparer`].
///
/// # Errors
/// [`PrepareError`].
pub fn prepare(pixels: PixelsView<'_>, roi: Roi, spec: &InputSpec, out: &mut Tensor) -> Result<Geometry, PrepareError> {
    Preparer::try_new(*spec)?.prepare(pixels, roi, out)
}

#[cfg(test)]
mod tests;
