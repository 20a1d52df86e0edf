//! Parts whose score stands out among those of good parts.

/// A score this many times as far above the median as the upper quartile is unlike a good part's.
pub const OUTLIER_SPREADS: f32 = 8.0;
/// A score this many times as far is no good part's: one is enough to stop.
pub const EXTREME_OUTLIER_SPREADS: f32 = 24.0;
/// The upper quartile of a few parts may lie beside the median by chance. Good parts are taken to spread upwards by at least so
/// many times their distance from the lowest to the median, divided by the root of their number.
const SMALL_SAMPLE_FACTOR: f32 = 2.0;
/// Share of parts that may be doubtful before the collection as a whole is.
pub const DOUBTFUL_AT_MOST: f64 = 0.02;

/// Parts that stand out, by their place among the scores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outliers {
    /// More than [`OUTLIER_SPREADS`] out, those below included, in descending order of their scores.
    pub doubtful: Vec<usize>,
    /// How many of them are more than [`EXTREME_OUTLIER_SPREADS`] out: the first ones.
    pub extreme: usize,
    parts: usize,
}

impl Outliers {
    /// The same among the first `parts` scores alone; the others only say what is usual.
    #[must_use]
    pub fn among_first(mut self, parts: usize) -> Self {
        let first = |places: &[usize]| places.iter().copied().filter(|part| *part < parts).collect::<Vec<_>>();
        self.extreme = first(&self.doubtful[..self.extreme]).len();
        self.doubtful = first(&self.doubtful);
        self.parts = parts;
        self
    }

    /// Whether so many stand out, or one so far, that the parts must be looked at before anything is learnt from them.
    #[must_use]
    pub fn too_many(&self) -> bool {
        self.extreme > 0 || self.doubtful.len() as f64 > DOUBTFUL_AT_MOST * self.parts as f64
    }
}

/// The parts that stand out among `scores`, which are finite.
#[must_use]
pub fn outliers(scores: &[f32]) -> Outliers {
    let mut doubtful = far_above(scores, OUTLIER_SPREADS);
    doubtful.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    Outliers { doubtful, extreme: far_above(scores, EXTREME_OUTLIER_SPREADS).len(), parts: scores.len() }
}

/// The places of scores that lie more than `times` as far above the median as the upper quartile does, or as so few good
/// parts may be expected to, in ascending order; none where half of the scores are equal.
#[must_use]
pub fn far_above(scores: &[f32], times: f32) -> Vec<usize> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    let quantile = |share: f64| sorted[(last as f64 * share) as usize];
    let (median, upper) = (quantile(0.5), quantile(0.75));
    let spread = (upper - median).max(SMALL_SAMPLE_FACTOR * (median - sorted[0]) / (scores.len() as f32).sqrt());
    let limit = median + times * spread;
    (0..scores.len()).filter(|part| upper > median && scores[*part] > limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_are_the_parts_that_are_unlike_the_others() {
        let mut scores: Vec<f32> = (0..100).map(|i| 0.01 + i as f32 * 1e-4).collect();
        let outlying = |scores: &[f32]| {
            let found = outliers(scores);
            (found.doubtful.clone(), found.extreme, found.too_many())
        };
        assert_eq!(outlying(&scores), (vec![], 0, false));
        scores.insert(3, 0.05);
        assert_eq!(outlying(&scores), (vec![3], 0, false));
        scores.insert(9, 0.5);
        assert_eq!(outlying(&scores), (vec![9, 3], 1, true));
        scores[9] = 0.05;
        assert_eq!(outlying(&scores), (vec![3, 9], 0, false));
        scores.push(0.051);
        assert_eq!(outlying(&scores), (vec![102, 3, 9], 0, true), "three of 103 are more than 2 %");
        let first = outliers(&scores).among_first(9);
        assert_eq!((first.doubtful.clone(), first.extreme, first.too_many()), (vec![3], 0, true));
        // Eight good parts whose middle ones happen to be alike, and the same with one that is none.
        let mut few = [0.050, 0.055, 0.058, 0.060, 0.060, 0.061, 0.066, 0.075];
        assert_eq!(outlying(&few), (vec![], 0, false));
        few[7] = 0.2;
        assert_eq!(outlying(&few), (vec![7], 0, true));
        assert_eq!(outlying(&[]), (vec![], 0, false));
        assert_eq!(outlying(&[0.5]), (vec![], 0, false));
        assert_eq!(outlying(&[0.5, 0.5, 0.5, 0.9]), (vec![], 0, false));
    }
}
