//! A score that does not change at all: the same picture again and again, or networks that do not look at it.

use super::STANDING_PARTS;
use crate::score::Score;

/// Parts in a row with exactly the same score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConstantScore {
    /// Their score.
    pub score: Score,
    /// Number of the first of them.
    pub since: u64,
    /// How many there are.
    pub parts: u64,
}

impl ConstantScore {
    /// The row that ends with this part: its number and its score.
    #[must_use]
    pub fn with(before: Option<Self>, part: u64, score: Score) -> Self {
        match before {
            Some(before) if before.score == score => Self { parts: before.parts + 1, ..before },
            _ => Self { score, since: part, parts: 1 },
        }
    }

    /// Whether there are so many that it is no accident: [`STANDING_PARTS`].
    #[must_use]
    pub const fn is_long(&self) -> bool {
        self.parts >= STANDING_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_is_long_after_thirty_equal_scores_and_ends_with_another() {
        let score = |value| Score::try_new(value).unwrap();
        let mut standing = None;
        for part in 1..=29 {
            standing = Some(ConstantScore::with(standing, part + 6, score(0.25)));
        }
        assert!(!standing.unwrap().is_long());
        let long = ConstantScore::with(standing, 36, score(0.25));
        assert_eq!((long.is_long(), long.since, long.parts), (true, 7, 30));
        let over = ConstantScore::with(Some(long), 37, score(0.250_000_1));
        assert_eq!((over.is_long(), over.since, over.parts), (false, 37, 1));
    }
}
