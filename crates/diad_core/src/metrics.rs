//! How well scores and maps tell bad from good: AUROC, average precision, best F1, AUPRO; and how sure a figure is.
//!
//! The same code serves images (one score a picture) and pixels (one value a pixel, all pictures of a class
//! pooled). Nothing is guessed: where a figure is undefined (only good parts, only bad ones, no defect region)
//! the answer is a named error, and values that are not finite are refused. Golden `metrics.npz`.

mod aupro;
mod curve;
mod interval;
mod ranking;

pub use aupro::{AuproRule, MaskedMap, OverlapBootstrap, RegionOverlap};
pub use curve::{Curve, Point};
pub use interval::{Bootstrap, Interval};
pub use ranking::{Cut, Ranking};

/// A figure that cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// A value is NaN or infinite.
    #[error("value {index} is {value}; only finite values can be ranked")]
    NonFinite {
        /// Index of the first bad value.
        index: usize,
        /// The bad value.
        value: f32,
    },
    /// Good ones or bad ones are missing.
    #[error("{bad} bad among {total}; the figure takes both good and bad ones")]
    OneClass {
        /// How many are bad.
        bad: u64,
        /// How many there are.
        total: u64,
    },
    /// Map and mask do not hold the pixels they promise.
    #[error("map of {width}x{height} px with {values} values and a mask of {mask}")]
    Size {
        /// Width, in pixels.
        width: u32,
        /// Height, in pixels.
        height: u32,
        /// Values given.
        values: usize,
        /// Mask pixels given.
        mask: usize,
    },
    /// No threshold of the reference's rule has a false positive rate between 0 and the limit.
    #[error("no threshold with a false positive rate between 0 and {limit}")]
    Coarse {
        /// The limit.
        limit: f64,
    },
}

/// A total order on finite floats as unsigned integers; both zeros are one value.
fn order_key(index: usize, value: f32) -> Result<u32, MetricError> {
    if !value.is_finite() {
        return Err(MetricError::NonFinite { index, value });
    }
    let bits = (value + 0.0).to_bits();
    Ok(if bits >> 31 == 0 { bits | 1 << 31 } else { !bits })
}

/// The value that [`order_key`] stands for.
fn ordered_value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

#[cfg(test)]
mod tests;
