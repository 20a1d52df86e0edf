//! Several witnesses judge one part: their maps are joined on a scale that good parts define.
//!
//! A witness makes a map of its own: DiAD in pixels, DiAD in a representation latent, a bank of good patches. On good parts
//! that the witness was not made from, the values of all pixels have a mean and a standard deviation. The joined map is
//! `JOINED_MAP_UNIT_SD` · Σ weight / standard deviation · map. It ranks the pixels of a product as the weighted sum of z values does,
//! is never negative and is 0 where every map is; the mean, which would only shift it, stays with the record.

use std::sync::Arc;

use crate::bank::Bank;
use crate::foundation::Foundation;

/// The unit of joined maps: 1.0 is 100 standard deviations of a good pixel.
pub const JOINED_MAP_UNIT_SD: f64 = 0.01;
/// Least standard deviation: a witness that sees no difference between good pixels must not rule alone.
pub const LEAST_SD: f64 = 1e-6;
/// Most witnesses of a product: bounds the time of a part.
pub const MAX_WITNESSES: usize = 8;
/// How far from 1 the sum of all weights may be: weights are written in decimals.
const WEIGHT_SLACK: f64 = 1e-3;

/// How much a witness counts, and its scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    weight: f64,
    mean: f64,
    sd: f64,
}

impl Share {
    /// Takes the weight (0 to 1; the weights of all witnesses add up to 1), and mean and standard deviation of all pixels
    /// of the witness's map, before smoothing, on good parts that it was not made from.
    ///
    /// # Errors
    /// [`JoinError::Share`] if a number is negative or not finite, or the weight is above 1.
    pub fn try_new(weight: f64, mean: f64, sd: f64) -> Result<Self, JoinError> {
        let fine = |value: f64| value.is_finite() && value >= 0.0;
        if fine(weight) && weight <= 1.0 && fine(mean) && fine(sd) {
            Ok(Self { weight, mean, sd })
        } else {
            Err(JoinError::Share { weight, mean, sd })
        }
    }

    /// Weight, 0 to 1.
    #[must_use]
    pub const fn weight(self) -> f64 {
        self.weight
    }

    /// Mean of a good pixel, in the witness's unit.
    #[must_use]
    pub const fn mean(self) -> f64 {
        self.mean
    }

    /// Standard deviation of a good pixel, in the witness's unit.
    #[must_use]
    pub const fn sd(self) -> f64 {
        self.sd
    }

    /// What a value of the witness's map is multiplied with to be on the common scale.
    #[must_use]
    pub fn factor(self) -> f64 {
        JOINED_MAP_UNIT_SD / self.sd.max(LEAST_SD)
    }
}

/// What makes a witness's map.
#[derive(Debug, Clone)]
pub enum WitnessKind {
    /// The diffusion model in pixels.
    Diad,
    /// The diffusion model in a representation latent, whose patches this foundation gives.
    Latent {
        /// The foundation.
        foundation: Arc<dyn Foundation>,
    },
    /// Distances to the nearest good patch.
    Bank {
        /// Describes the part.
        foundation: Arc<dyn Foundation>,
        /// Patches of good parts.
        bank: Arc<Bank>,
    },
}

/// One who judges: what it looks at, and how much it counts.
#[derive(Debug, Clone)]
pub struct Witness {
    kind: WitnessKind,
    name: Arc<str>,
    share: Share,
}

impl Witness {
    /// Makes a witness.
    #[must_use]
    pub fn new(kind: WitnessKind, share: Share) -> Self {
        let name = match &kind {
            WitnessKind::Diad => "diad".into(),
            WitnessKind::Latent { .. } => "latent".into(),
            WitnessKind::Bank { foundation, .. } => bank_name(foundation.name()).into(),
        };
        Self { kind, name, share }
    }

    /// What makes its map.
    #[must_use]
    pub const fn kind(&self) -> &WitnessKind {
        &self.kind
    }

    /// Its name in overlays and records: `diad`, `latent`, `bank:<foundation>`.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How much it counts, and its scale.
    #[must_use]
    pub const fn share(&self) -> Share {
        self.share
    }
}

/// Name of the witness with a bank of this foundation's patches.
#[must_use]
pub fn bank_name(foundation: &str) -> String {
    format!("bank:{foundation}")
}

/// The witnesses of one product.
#[derive(Debug, Clone)]
pub struct Joined {
    witnesses: Vec<Witness>,
}

/// Witnesses that cannot be joined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// A weight, mean or standard deviation is out of range.
    #[error(
        "weight {weight}, mean {mean}, standard deviation {sd}; each must be finite and at least 0, the weight at most 1"
    )]
    Share {
        /// Weight given.
        weight: f64,
        /// Mean given.
        mean: f64,
        /// Standard deviation given.
        sd: f64,
    },
    /// There is no witness, or there are too many.
    #[error("{0} witnesses; a product has 1 to {MAX_WITNESSES}")]
    Count(usize),
    /// A witness is named twice.
    #[error("witness {0} comes twice")]
    Twice(Arc<str>),
    /// The weights do not add up to 1.
    #[error("the weights of all witnesses add up to {0}, must be 1")]
    Weights(f64),
    /// A bank has rows of another width than its foundation's patches.
    #[error("witness {name}: rows of {bank} channels, the foundation gives {foundation}; learn the product again")]
    Channels {
        /// The witness.
        name: Arc<str>,
        /// Channels of the bank's rows.
        bank: usize,
        /// Channels of the foundation's patches.
        foundation: usize,
    },
}

impl Joined {
    /// Joins witnesses, in the order in which they are recorded.
    ///
    /// # Errors
    /// [`JoinError`]: no witness or too many, one that comes twice, weights that do not add up to 1, a bank that does not
    /// fit its foundation.
    pub fn try_new(witnesses: Vec<Witness>) -> Result<Self, JoinError> {
        if !(1..=MAX_WITNESSES).contains(&witnesses.len()) {
            return Err(JoinError::Count(witnesses.len()));
        }
        for (index, witness) in witnesses.iter().enumerate() {
            if witnesses[..index].iter().any(|other| other.name == witness.name) {
                return Err(JoinError::Twice(Arc::clone(&witness.name)));
            }
            if let WitnessKind::Bank { foundation, bank } = &witness.kind {
                let (bank, foundation) = (bank.channels(), foundation.shape()[1]);
                if bank != foundation {
                    return Err(JoinError::Channels { name: Arc::clone(&witness.name), bank, foundation });
                }
            }
        }
        let sum: f64 = witnesses.iter().map(|witness| witness.share.weight).sum();
        if (sum - 1.0).abs() > WEIGHT_SLACK {
            return Err(JoinError::Weights(sum));
        }
        Ok(Self { witnesses })
    }

    /// The witnesses, 1 to [`MAX_WITNESSES`].
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }
}

#[cfg(test)]
mod tests;
