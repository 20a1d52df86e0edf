//! A bank of good patches, and how far from the nearest of them a patch is (Roth et al. 2022, PatchCore).

mod coreset;

use std::ops::RangeInclusive;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeError};

use crate::tensor::{Tensor, TensorError};

pub use coreset::{coreset, coreset_beside};

/// Most rows that a bank may have: bounds its memory and the time of a search.
pub const MAX_ROWS: usize = 10_000;
/// Most channels that a row may have.
pub const MAX_CHANNELS: usize = 4096;

/// Lengths that a row may have: rows are kept with half precision.
const LENGTHS: RangeInclusive<f64> = 0.99..=1.01;
/// Values that a patch may have: those of a vector of length 1, and rounding.
const VALUES: RangeInclusive<f32> = -1.01..=1.01;
/// Rows that are compared at a time: bounds the memory of a search, and what it holds stays in the cache.
const SEARCH_BLOCK_ROWS: usize = 128;

/// Patches of good parts, each a vector of length 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Bank {
    rows: Vec<f32>,
    channels: usize,
}

/// Rows that make no bank, or patches that cannot be looked up in one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BankError {
    /// The rows are too few, too many, or do not hold the values that they promise.
    #[error(
        "{values} values for rows of {channels} channels; a bank has 1 to {MAX_ROWS} whole rows of 1 to {MAX_CHANNELS}"
    )]
    Size {
        /// Values given.
        values: usize,
        /// Channels of one row.
        channels: usize,
    },
    /// A row holds a number that is not finite, or is not a vector of length 1.
    #[error("row {row} has length {length}; it must be 1, at most 0.01 off")]
    Length {
        /// Number of the row, from 0.
        row: usize,
        /// Its length; NaN or infinite if a value is.
        length: f64,
    },
    /// Patches or distances have another shape than the bank's.
    #[error("patches of a part")]
    Patches(#[source] TensorError),
    /// A patch holds a number that no vector of length 1 has.
    #[error("patches of a part: value {index} is {value}; in a vector of length 1 it is -1 to 1")]
    Value {
        /// Flat index of the first such value.
        index: usize,
        /// The value; NaN or infinite too.
        value: f32,
    },
    /// A product of matrices was refused.
    #[error("compare patches with the bank")]
    Product(#[source] ShapeError),
}

/// The memory of a search, kept from one part to the next.
#[derive(Debug, Clone, Default)]
pub struct Search {
    products: Vec<f32>,
}

impl Bank {
    /// Takes rows of `channels` values each, one behind the other.
    ///
    /// # Errors
    /// [`BankError::Size`] and [`BankError::Length`].
    pub fn try_new(rows: Vec<f32>, channels: usize) -> Result<Self, BankError> {
        let values = rows.len();
        let fits = (1..=MAX_CHANNELS).contains(&channels)
            && values.is_multiple_of(channels)
            && (1..=MAX_ROWS).contains(&(values / channels));
        if !fits {
            return Err(BankError::Size { values, channels });
        }
        for (row, values) in rows.chunks_exact(channels).enumerate() {
            let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            if !LENGTHS.contains(&length) {
                return Err(BankError::Length { row, length });
            }
        }
        Ok(Self { rows, channels })
    }

    /// Number of rows, 1 to [`MAX_ROWS`].
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len() / self.channels
    }

    /// Always false: a bank has at least one row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Channels of a row.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.channels
    }

    /// The rows, one behind the other.
    #[must_use]
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Euclidean distance of every patch to the nearest row.
    ///
    /// Shapes: `patches` `[1, D, h, w]` with vectors of length 1, `out` `[1, 1, h, w]`, overwritten whole. Range `0..=2`
    /// (unitless): √(2 - 2 · the largest product). Memory: `search` grows to 128 values per place once. The same numbers
    /// give the same distances on the same processor.
    ///
    /// # Errors
    /// [`BankError::Patches`] if a shape is another, [`BankError::Value`] if a patch is no vector of length 1.
    pub fn nearest(&self, patches: &Tensor, search: &mut Search, out: &mut Tensor) -> Result<(), BankError> {
        let [_, _, height, width] = patches.shape();
        patches.expect_shape("patches", [1, self.channels, height, width]).map_err(BankError::Patches)?;
        out.expect_shape("distance", [1, 1, height, width]).map_err(BankError::Patches)?;
        // With every value in this range no product overflows, and no NaN is passed over below.
        if let Some(index) = patches.data().iter().position(|value| !VALUES.contains(value)) {
            return Err(BankError::Value { index, value: patches.data()[index] });
        }
        let plane = height * width;
        let places = ArrayView2::from_shape((self.channels, plane), patches.data()).map_err(BankError::Product)?;
        search.products.resize(SEARCH_BLOCK_ROWS * plane, 0.0);
        let largest = out.data_mut();
        largest.fill(f32::NEG_INFINITY);
        for block in self.rows.chunks(SEARCH_BLOCK_ROWS * self.channels) {
            let count = block.len() / self.channels;
            let rows = ArrayView2::from_shape((count, self.channels), block).map_err(BankError::Product)?;
            let products = &mut search.products[..count * plane];
            let mut matrix = ArrayViewMut2::from_shape((count, plane), &mut *products).map_err(BankError::Product)?;
            general_mat_mul(1.0, &rows, &places, 0.0, &mut matrix);
            for row in products.chunks_exact(plane) {
                for (largest, &product) in largest.iter_mut().zip(row) {
                    *largest = if product > *largest { product } else { *largest };
                }
            }
        }
        for value in largest {
            *value = (2.0 - 2.0 * *value).max(0.0).sqrt();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
