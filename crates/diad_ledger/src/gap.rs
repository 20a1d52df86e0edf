//! Parts that could not be recorded.

use std::collections::BTreeMap;

use crate::moment::Moment;
use crate::row::{Key, Series};

/// Parts of one series that got a verdict while the ledger could not be written. Their verdicts went to the broker;
/// that they are not in the ledger is on record with this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The series.
    pub series: Series,
    /// Number of the first part missed.
    pub from: u64,
    /// Number of the last part missed.
    pub to: u64,
    /// Parts missed; fewer than `to - from + 1` where some in between were recorded.
    pub parts: u64,
    /// When the first one was missed.
    pub since: Moment,
    /// When the last one was missed.
    pub until: Moment,
    /// Why, in words: the chain of the first error.
    pub cause: String,
}

/// What a writer has to report when the ledger can be written again: one [`Gap`] per series, whatever the time.
///
/// Pure and small: an outage of hours costs no more memory than one of a second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissedParts(BTreeMap<Series, Gap>);

impl MissedParts {
    /// Nothing is missed.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Notes a part that is given up: its row will not be handed in again. `cause` counts for the first of a series.
    pub fn note(&mut self, key: &Key, at: Moment, cause: &str) {
        let Key { series, seq } = key;
        match self.0.get_mut(series) {
            Some(gap) => {
                gap.from = gap.from.min(*seq);
                gap.to = gap.to.max(*seq);
                gap.parts += 1;
                gap.until = at;
            }
            None => {
                let (series, cause) = (series.clone(), cause.to_owned());
                let gap = Gap { series: series.clone(), from: *seq, to: *seq, parts: 1, since: at, until: at, cause };
                self.0.insert(series, gap);
            }
        }
    }

    /// True if there is nothing to report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parts given up, all series together.
    #[must_use]
    pub fn parts(&self) -> u64 {
        self.0.values().map(|gap| gap.parts).sum()
    }

    /// What to hand to [`Ledger::record_gaps`](crate::Ledger::record_gaps). Forget it with [`MissedParts::clear`] only
    /// once that has worked.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        self.0.values().cloned().collect()
    }

    /// Forgets what has been reported.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn missed_keeps_one_gap_per_series() {
        let mut missed = MissedParts::new();
        assert!(missed.is_empty());
        let at = Moment::from_micros;
        for (camera, seq, micros, cause) in
            [("cam0", 7, 10, "disk full"), ("cam1", 3, 11, "disk full"), ("cam0", 6, 12, "other"), ("cam0", 9, 13, "")]
        {
            missed.note(&testing::key(camera, seq), at(micros), cause);
        }
        assert_eq!(missed.parts(), 4);
        let gap = |camera, from, to, parts, since, until| Gap {
            series: testing::key(camera, 1).series,
            from,
            to,
            parts,
            since: at(since),
            until: at(until),
            cause: "disk full".to_owned(),
        };
        assert_eq!(missed.gaps(), [gap("cam0", 6, 9, 3, 10, 13), gap("cam1", 3, 3, 1, 11, 11)]);
        missed.clear();
        assert!(missed.is_empty());
    }
}
