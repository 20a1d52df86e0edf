//! The image score, and the place of the peak.

mod peak;

use std::cmp::Ordering;
use std::fmt;

pub use peak::{Peak, PeakError, PeakFinder, ScoreRule};

/// How unlike the good ones a part is. Invariant: finite and not negative, so comparisons are total.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score(f32);

/// A number that is no score.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("score {0} is not a finite number of at least 0")]
pub struct ScoreError(pub f32);

impl Score {
    /// Nothing unlike the good ones.
    pub const ZERO: Self = Self(0.0);

    /// Takes a finite number of at least 0.
    ///
    /// # Errors
    /// [`ScoreError`] for NaN, infinities and negative numbers.
    pub fn try_new(value: f32) -> Result<Self, ScoreError> {
        // Adding 0 turns -0 into 0, so that equal scores also compare as equal.
        if value.is_finite() && value >= 0.0 { Ok(Self(value + 0.0)) } else { Err(ScoreError(value)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
