//! A foundation: a frozen network that describes every place of a picture by a vector of length 1.
//!
//! Banks of good patches ([`crate::bank`]) and DiAD in a representation latent compare such vectors. The network itself is
//! the engine's; the method sees it through one trait, so that it runs in tests without a runtime.

use std::error::Error;
use std::fmt;

use crate::prepare::InputSpec;
use crate::tensor::{Shape, Tensor, TensorError};

/// A frozen feature network. Shared by all that ask for its patches; one part is described at a time.
pub trait Foundation: fmt::Debug + Send + Sync {
    /// Its name, such as `efficientnet-lite2`: what overlays and manifests call it.
    fn name(&self) -> &str;

    /// The input that it takes.
    fn input(&self) -> &InputSpec;

    /// Shape of its patches, `[1, D, h, w]`.
    fn shape(&self) -> Shape;

    /// Describes one picture: image `[1, 3, H, W]` (normalised as [`input`](Self::input) asks) → patches, `out`, of
    /// [`shape`](Self::shape), overwritten whole. Every value is finite, and the vector of each place has length 1.
    ///
    /// # Errors
    /// [`FoundationError`]: the network failed, or gave a number that is not finite.
    fn patches(&self, image: &Tensor, out: &mut Tensor) -> Result<(), FoundationError>;
}

/// A foundation did not describe a picture.
#[derive(Debug, thiserror::Error)]
#[error("describe the picture with foundation {name}")]
pub struct FoundationError {
    /// The foundation.
    pub name: String,
    /// The runtime's reason.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Brings the vector of each place to length 1, group by group of channels. Keeps its buffer: a part costs no allocation.
#[derive(Debug, Clone)]
pub struct Normaliser {
    groups: Vec<usize>,
    factors: Vec<f64>,
}

impl Normaliser {
    /// Takes the number of channels of each group.
    #[must_use]
    pub const fn new(groups: Vec<usize>) -> Self {
        Self { groups, factors: Vec::new() }
    }

    /// Divides each group by its length, and the whole by the root of the number of groups: every group then counts the
    /// same and the whole vector has length 1. A group that is 0 in all its channels has no direction; all its channels
    /// become equal.
    ///
    /// Shape: `patches` `[1, D, h, w]`, finite.
    ///
    /// # Errors
    /// [`TensorError::Shape`] if the groups do not add up to `D`.
    pub fn normalise(&mut self, patches: &mut Tensor) -> Result<(), TensorError> {
        let [_, _, height, width] = patches.shape();
        patches.expect_shape("patches", [1, self.groups.iter().sum(), height, width])?;
        let plane = height * width;
        let share = (self.groups.len() as f64).sqrt().recip();
        let mut rest = patches.data_mut();
        for &channels in &self.groups {
            let (group, behind) = std::mem::take(&mut rest).split_at_mut(channels * plane);
            rest = behind;
            self.factors.clear();
            self.factors.resize(plane, 0.0);
            for channel in group.chunks_exact(plane) {
                for (sum, &value) in self.factors.iter_mut().zip(channel) {
                    *sum += f64::from(value) * f64::from(value);
                }
            }
            let flat = (share / (channels as f64).sqrt()) as f32;
            self.factors.iter_mut().for_each(|sum| *sum = if *sum > 0.0 { share / sum.sqrt() } else { 0.0 });
            for channel in group.chunks_exact_mut(plane) {
                for (value, &factor) in channel.iter_mut().zip(&self.factors) {
                    *value = if factor > 0.0 { (f64::from(*value) * factor) as f32 } else { flat };
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Near;

    #[test]
    fn normalise_gives_each_group_the_same_share_of_a_length_of_one() {
        // Two places; groups of two and one channels.
        let values = vec![3.0, 0.0, 4.0, 0.0, -7.0, 2.0];
        let mut patches = Tensor::from_vec([1, 3, 1, 2], values).unwrap();
        Normaliser::new(vec![2, 1]).normalise(&mut patches).unwrap();
        assert!(Normaliser::new(vec![2, 2]).normalise(&mut patches).is_err());
        let half = 0.5_f64.sqrt();
        let want = [0.6 * half, 0.5, 0.8 * half, 0.5, -half, half];
        // One rounding to f32.
        Near::abs(1e-7).check("patches", patches.data(), &want);
    }

    proptest! {
        #[test]
        fn normalise_makes_every_vector_one_long(values in prop::collection::vec(-1e3_f32..1e3, 5 * 6)) {
            let mut patches = Tensor::from_vec([1, 5, 2, 3], values).unwrap();
            Normaliser::new(vec![2, 3]).normalise(&mut patches).unwrap();
            for place in 0..6 {
                let length: f64 = (0..5).map(|channel| f64::from(patches.data()[channel * 6 + place]).powi(2)).sum();
                // Five roundings to f32.
                prop_assert!(Near::abs(1e-6).equal(length, 1.0), "{length}");
            }
        }
    }
}
