//! How sure an AUROC is: the bootstrap over parts (Efron & Tibshirani 1993, percentile interval).
//!
//! What is drawn again is the part, never the pixel: the pixels of one part are one piece of evidence. Good and
//! defective parts are drawn apart, so that every draw has both in the numbers of the data set.

use std::collections::BTreeMap;

use crate::metrics::{MetricError, order_key};
use crate::random::SplitMix;

/// Bits of a pixel's order key that its bin leaves out: seven bits of mantissa stay, so values in one bin differ by
/// less than one part in a hundred and count as ties.
pub(super) const PIXEL_BIN: u32 = 16;

/// The bounds of a confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Interval {
    /// The middle `confidence` (in `0..1`) of these values by nearest rank; none without values.
    #[must_use]
    pub fn of(mut values: Vec<f64>, confidence: f64) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| values[((last as f64 * share).round() as usize).min(last)];
        let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
        Some(Self { low: at(tail), high: at(1.0 - tail) })
    }
}

/// Good and bad values of one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    good: u64,
    bad: u64,
}

/// The values of parts, by bin, to be drawn from.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    bins: usize,
    /// Per part its bins (ascending) and what lies in them; good parts, then defective ones.
    strata: [Vec<Vec<(u32, Tally)>>; 2],
}

impl Bootstrap {
    /// For the AUROC of scores: one `(score, is defective)` a part.
    ///
    /// # Errors
    /// As [`crate::metrics::Ranking::try_new`].
    pub fn of_scores(parts: impl IntoIterator<Item = (f32, bool)>) -> Result<Self, MetricError> {
        let parts = parts.into_iter().enumerate().map(|(index, (score, defective))| {
            let tally = Tally { good: u64::from(!defective), bad: u64::from(defective) };
            Ok((defective, BTreeMap::from([(order_key(index, score)?, tally)])))
        });
        Self::of_parts(parts)
    }

    /// For the AUROC of pixels: the map and the mask of each part; a part with a marked pixel is defective.
    ///
    /// # Errors
    /// As [`crate::metrics::Ranking::try_new`].
    pub fn of_maps<'a>(parts: impl IntoIterator<Item = (&'a [f32], &'a [bool])>) -> Result<Self, MetricError> {
        let parts = parts.into_iter().map(|(map, mask)| {
            let mut tallies: BTreeMap<u32, Tally> = BTreeMap::new();
            for (index, (&value, &bad)) in map.iter().zip(mask).enumerate() {
                let tally = tallies.entry(order_key(index, value)? >> PIXEL_BIN).or_default();
                tally.good += u64::from(!bad);
                tally.bad += u64::from(bad);
            }
            Ok((mask.contains(&true), tallies))
        });
        Self::of_parts(parts)
    }

    fn of_parts(
        parts: impl IntoIterator<Item = Result<(bool, BTreeMap<u32, Tally>), MetricError>>,
    ) -> Result<Self, MetricError> {
        let parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut places: BTreeMap<u32, u32> = BTreeMap::new();
        let mut sum = Tally::default();
        for (_, tallies) in &parts {
            for (&bin, tally) in tallies {
                places.insert(bin, 0);
                sum.good += tally.good;
                sum.bad += tally.bad;
            }
        }
        if sum.good == 0 || sum.bad == 0 {
            return Err(MetricError::OneClass { bad: sum.bad, total: sum.good + sum.bad });
        }
        for (number, place) in (0..).zip(places.values_mut()) {
            *place = number;
        }
        let mut strata = [Vec::new(), Vec::new()];
        for (defective, tallies) in parts {
            let placed = tallies.into_iter().map(|(bin, tally)| (places[&bin], tally)).collect();
            strata[usize::from(defective)].push(placed);
        }
        Ok(Self { bins: places.len(), strata })
    }

    /// The AUROCs of `draws` data sets of the same size, each part drawn with replacement; the same `seed` draws the
    /// same.
    #[must_use]
    pub fn aurocs(&self, draws: usize, seed: u64) -> Vec<f64> {
        let mut random = SplitMix::new(seed);
        let mut tallies = vec![Tally::default(); self.bins];
        (0..draws)
            .map(|_| {
                tallies.fill(Tally::default());
                for stratum in &self.strata {
                    for _ in 0..stratum.len() {
                        for &(bin, tally) in &stratum[random.below(stratum.len())] {
                            let sum = &mut tallies[bin as usize];
                            sum.good += tally.good;
                            sum.bad += tally.bad;
                        }
                    }
                }
                auroc(&tallies)
            })
            .collect()
    }
}

/// Area under the ROC curve of binned values, ties counting half.
fn auroc(tallies: &[Tally]) -> f64 {
    let (mut below, mut bad, mut doubled) = (0_u64, 0_u64, 0_u128);
    for tally in tallies {
        doubled += u128::from(tally.bad) * u128::from(2 * below + tally.good);
        below += tally.good;
        bad += tally.bad;
    }
    doubled as f64 / (2.0 * bad as f64 * below as f64)
}
