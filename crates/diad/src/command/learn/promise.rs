//! Cut-offs from the scores of parts that were held out, with the promise that they keep.

use diad_core::score::Score;
use diad_core::tolerance::{Cut, ToleranceBound, ToleranceError};

use super::error::LearnError;
use crate::cli::LearnArgs;
use crate::thresholds::edit::written;

/// How many times as many good parts may be looked at as may be thrown out, unless told otherwise.
const REVIEW_FACTOR: f64 = 10.0;
/// Most good parts that may be looked at, whatever the factor says.
const REVIEW_MOST: f64 = 0.5;

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) reject: ToleranceBound,
    pub(super) review: ToleranceBound,
}

/// One cut-off.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Promised {
    /// As the thresholds file holds it.
    pub(super) score: Score,
    pub(super) cut: Cut,
    /// The promise that it keeps: the one asked for, or the nearest that the parts support.
    pub(super) bound: ToleranceBound,
}

/// Both.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Promise {
    pub(super) review: Promised,
    pub(super) reject: Promised,
}

impl Asked {
    /// What the command line asks for.
    pub(super) fn of(args: &LearnArgs) -> Result<Self, LearnError> {
        let reject = ToleranceBound::try_new(args.max_false_reject, args.confidence)?;
        let most = args.max_review.unwrap_or((args.max_false_reject * REVIEW_FACTOR).min(REVIEW_MOST));
        Ok(Self { reject, review: ToleranceBound::try_new(most.max(args.max_false_reject), args.confidence)? })
    }

    /// The cut-offs for scores of held-out parts.
    pub(super) fn promise(&self, scores: &[f32]) -> Result<Promise, LearnError> {
        let of = |asked: ToleranceBound| -> Result<Promised, LearnError> {
            let too_few = ToleranceError::TooFew {
                parts: scores.len(),
                supported: 1.0,
                wanted: asked.rate(),
                needed: asked.parts_needed(),
            };
            let bound = asked.supported_by(scores.len()).ok_or(too_few)?;
            let cut = bound.cut(scores)?;
            let score = written(cut.at).ok_or(LearnError::OutOfRange { score: cut.at })?;
            Ok(Promised { score, cut, bound })
        };
        Ok(Promise { review: of(self.review)?, reject: of(self.reject)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_is_the_one_asked_for_or_the_nearest_that_is_supported() {
        let bound = |rate| ToleranceBound::try_new(rate, 0.95).unwrap();
        let asked = Asked { reject: bound(0.005), review: bound(0.05) };
        let scores = |count: usize| (0..count).map(|i| 0.01 + i as f32 * 1e-5).collect::<Vec<_>>();
        let few = asked.promise(&scores(20)).unwrap();
        assert!((few.reject.bound.rate() - 0.14).abs() < 1e-9 && few.reject.score == few.review.score);
        let many = asked.promise(&scores(200)).unwrap();
        assert!((many.reject.bound.rate() - 0.0149).abs() < 1e-9 && many.review.bound == bound(0.05));
        assert!(many.review.score < many.reject.score && many.review.cut.allowed == 4);
        let enough = asked.promise(&scores(598)).unwrap();
        assert_eq!(enough.reject.bound, bound(0.005));
        assert!(matches!(asked.promise(&[]), Err(LearnError::Tolerance(ToleranceError::TooFew { .. }))));
        assert!(matches!(asked.promise(&[0.5; 9]), Err(LearnError::Tolerance(ToleranceError::Constant { .. }))));
        assert!(matches!(asked.promise(&[0.5, 3.0]), Err(LearnError::OutOfRange { .. })));
    }
}
