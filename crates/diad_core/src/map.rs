//! The anomaly map: distances of all feature layers, enlarged to the model's size, summed and smoothed.

mod blur;
mod enlarge;
mod fuse;
mod joiner;
mod mask;

use crate::tensor::TensorError;

pub use enlarge::{Alignment, Enlarger};
pub use fuse::Fuser;
pub use joiner::Joiner;
pub use mask::{Counted, Mask, NothingCounts};

/// One value per model pixel: how unlike the good ones the part is there. Invariant: every value finite and not
/// negative, at least one pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyMap {
    width: u32,
    height: u32,
    values: Vec<f32>,
}

/// A map that cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MapError {
    /// A layer weight is negative or not finite, or there is no layer.
    #[error("layer weights {0:?}; it takes at least one, each a finite number of at least 0, and one above 0")]
    Weights(Vec<f32>),
    /// The blur's width is out of range.
    #[error(
        "blur of sigma {sigma_px} px cut off at {truncate} sigma; both must be at least 0, the radius at most {MAX_RADIUS_PX} px"
    )]
    Blur {
        /// Standard deviation given, in model pixels.
        sigma_px: f32,
        /// Cut-off given, in standard deviations.
        truncate: f32,
    },
    /// There are more or fewer layers than weights.
    #[error("{layers} feature layers, but {weights} weights")]
    Layers {
        /// Layers given.
        layers: usize,
        /// Weights in the settings.
        weights: usize,
    },
    /// The map would be empty, or does not hold the pixels it promises.
    #[error("map of {width}x{height} px with {got} values")]
    Size {
        /// Width, in model pixels.
        width: u32,
        /// Height, in model pixels.
        height: u32,
        /// Values given.
        got: usize,
    },
    /// A layer's distances are empty or not `[1, 1, h, w]` as agreed.
    #[error("distances of one layer")]
    Layer(#[source] TensorError),
    /// A value is negative or not finite.
    #[error("map value {index} is {value}; it must be finite and at least 0")]
    Value {
        /// Flat index of the first bad value.
        index: usize,
        /// The bad value.
        value: f32,
    },
}

/// Widest accepted blur: bounds the cost of one map.
pub const MAX_RADIUS_PX: u32 = 1024;

/// How the layers become one map.
#[derive(Debug, Clone, PartialEq)]
pub struct MapSettings {
    layer_weights: Vec<f32>,
    blur_sigma_px: f32,
    blur_truncate: f32,
}

impl MapSettings {
    /// Takes a weight per layer (the reference: all 1), the blur's standard deviation in model pixels (the
    /// reference: 5; 0 switches it off) and where it is cut off, in standard deviations (the reference: 4).
    ///
    /// # Errors
    /// [`MapError::Weights`] and [`MapError::Blur`].
    pub fn try_new(layer_weights: Vec<f32>, blur_sigma_px: f32, blur_truncate: f32) -> Result<Self, MapError> {
        let fine = layer_weights.iter().all(|w| w.is_finite() && *w >= 0.0) && layer_weights.iter().any(|w| *w > 0.0);
        if !fine {
            return Err(MapError::Weights(layer_weights));
        }
        let radius = blur_sigma_px * blur_truncate;
        if !(blur_sigma_px >= 0.0 && blur_truncate >= 0.0 && radius <= MAX_RADIUS_PX as f32) {
            return Err(MapError::Blur { sigma_px: blur_sigma_px, truncate: blur_truncate });
        }
        Ok(Self { layer_weights, blur_sigma_px, blur_truncate })
    }

    /// Weight of each layer, finest first.
    #[must_use]
    pub fn layer_weights(&self) -> &[f32] {
        &self.layer_weights
    }

    /// Standard deviation of the blur, in model pixels.
    #[must_use]
    pub const fn blur_sigma_px(&self) -> f32 {
        self.blur_sigma_px
    }

    /// Cut-off of the blur, in standard deviations.
    #[must_use]
    pub const fn blur_truncate(&self) -> f32 {
        self.blur_truncate
    }
}

impl AnomalyMap {
    /// Takes values row by row.
    ///
    /// # Errors
    /// [`MapError::Size`] and [`MapError::Value`].
    pub fn try_new(width: u32, height: u32, values: Vec<f32>) -> Result<Self, MapError> {
        if values.is_empty() || values.len() != width as usize * height as usize {
            return Err(MapError::Size { width, height, got: values.len() });
        }
        let map = Self { width, height, values };
        map.expect_valid()?;
        Ok(map)
    }

    pub(crate) fn zeros(width: u32, height: u32) -> Self {
        Self { width, height, values: vec![0.0; width as usize * height as usize] }
    }

    /// Takes over the values of a map of the same size.
    pub(crate) fn copy_from(&mut self, other: &Self) -> Result<(), MapError> {
        if (self.width, self.height) != (other.width, other.height) {
            return Err(MapError::Size { width: other.width, height: other.height, got: other.values.len() });
        }
        self.values.copy_from_slice(&other.values);
        Ok(())
    }

    fn expect_valid(&self) -> Result<(), MapError> {
        match self.values.iter().position(|v| !(v.is_finite() && *v >= 0.0)) {
            None => Ok(()),
            Some(index) => Err(MapError::Value { index, value: self.values[index] }),
        }
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

    /// The values, row by row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// How many model pixels are at or above `cut`.
    #[must_use]
    pub fn area_at_least(&self, cut: f32) -> usize {
        self.values.iter().filter(|v| **v >= cut).count()
    }
}

fn round(from: &[f64], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from as f32;
    }
}

#[cfg(test)]
mod tests;
