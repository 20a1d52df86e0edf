//! Thresholds turn a score into a verdict.

use crate::score::Score;

/// What a judged part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Like the good ones.
    Pass,
    /// A person should look.
    Review,
    /// Unlike the good ones.
    Reject,
}

impl Verdict {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Review => "REVIEW",
            Self::Reject => "REJECT",
        }
    }
}

/// Score cut-offs of one product. Invariant: `0 <= review <= reject`, both finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    review: Score,
    reject: Score,
    min_area_px: u32,
}

/// Thresholds that contradict themselves.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ThresholdError {
    /// `review` lies above `reject`.
    #[error("review {review} is above reject {reject}; review must not be larger")]
    Inverted {
        /// Lower cut-off given.
        review: Score,
        /// Upper cut-off given.
        reject: Score,
    },
}

impl Thresholds {
    /// Takes cut-offs in the order `review <= reject`. `min_area_px` (frame pixels) is the smallest area of
    /// the anomaly map at or above a cut-off that counts; 0 counts every peak.
    ///
    /// # Errors
    /// [`ThresholdError::Inverted`].
    pub fn try_new(review: Score, reject: Score, min_area_px: u32) -> Result<Self, ThresholdError> {
        if review > reject {
            return Err(ThresholdError::Inverted { review, reject });
        }
        Ok(Self { review, reject, min_area_px })
    }

    /// A score at or above this is at least `REVIEW`.
    #[must_use]
    pub const fn review(&self) -> Score {
        self.review
    }

    /// A score at or above this is `REJECT`.
    #[must_use]
    pub const fn reject(&self) -> Score {
        self.reject
    }

    /// Smallest area that counts, in frame pixels.
    #[must_use]
    pub const fn min_area_px(&self) -> u32 {
        self.min_area_px
    }
}

/// Judges a score. A score on the line belongs to the worse side. `area_px(cut)` gives the area of the
/// anomaly map at or above `cut`, in frame pixels; it is asked only when `min_area_px` is set.
pub fn judge(score: Score, thresholds: &Thresholds, area_px: impl Fn(Score) -> f64) -> Verdict {
    let reaches =
        |cut: Score| score >= cut && (thresholds.min_area_px == 0 || area_px(cut) >= f64::from(thresholds.min_area_px));
    if reaches(thresholds.reject) {
        Verdict::Reject
    } else if reaches(thresholds.review) {
        Verdict::Review
    } else {
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(value: f32) -> Score {
        Score::try_new(value).unwrap()
    }

    #[test]
    fn judge_puts_a_score_on_the_line_into_the_worse_side() {
        let thresholds = Thresholds::try_new(score(0.3), score(0.5), 0).unwrap();
        for (value, want) in [
            (0.0, Verdict::Pass),
            (0.299_999, Verdict::Pass),
            (0.3, Verdict::Review),
            (0.499_999, Verdict::Review),
            (0.5, Verdict::Reject),
            (2.0, Verdict::Reject),
        ] {
            assert_eq!(judge(score(value), &thresholds, |_| 0.0), want, "{value}");
        }
    }

    #[test]
    fn judge_with_a_least_area_lets_a_small_peak_pass() {
        let thresholds = Thresholds::try_new(score(0.3), score(0.5), 10).unwrap();
        let area = |cut: Score| if cut == score(0.5) { 4.0 } else { 12.0 };
        assert_eq!(judge(score(0.6), &thresholds, area), Verdict::Review);
        assert_eq!(judge(score(0.6), &thresholds, |_| 9.9), Verdict::Pass);
    }

    #[test]
    fn try_new_refuses_review_above_reject() {
        assert!(matches!(Thresholds::try_new(score(0.5), score(0.3), 0), Err(ThresholdError::Inverted { .. })));
    }
}
