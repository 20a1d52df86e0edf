//! What the thresholds in force say of good and of defective parts.

use std::ops::AddAssign;

use diad_core::judge::Verdict;
use diad_core::metrics::Interval;
use diad_core::tolerance::exact_interval;

use super::measure::Scored;
use super::sureness::CONFIDENCE;

/// Every verdict, in the order of the tables.
pub const VERDICTS: [Verdict; 3] = [Verdict::Pass, Verdict::Review, Verdict::Reject];

/// Parts by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdicts([usize; VERDICTS.len()]);

/// Good and defective parts by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Good parts.
    pub good: Verdicts,
    /// Defective parts.
    pub defective: Verdicts,
}

/// A share that was seen among a number of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many are meant.
    pub hits: usize,
    /// Of how many; at least one.
    pub parts: usize,
}

impl Verdicts {
    /// How many parts got this verdict.
    #[must_use]
    pub const fn of(&self, verdict: Verdict) -> usize {
        self.0[verdict as usize]
    }

    /// The share of the parts that got this verdict; none without parts.
    #[must_use]
    pub fn share(&self, verdict: Verdict) -> Option<Share> {
        let parts = self.0.iter().sum();
        (parts > 0).then(|| Share { hits: self.of(verdict), parts })
    }
}

impl Confusion {
    /// Counts parts; one that was not judged is not counted.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a Scored>) -> Self {
        let mut confusion = Self::default();
        for part in parts {
            if let Some(verdict) = part.verdict {
                let row = if part.defective { &mut confusion.defective } else { &mut confusion.good };
                row.0[verdict as usize] += 1;
            }
        }
        confusion
    }

    /// Good parts that are `REJECT`; none without good parts.
    #[must_use]
    pub fn false_rejects(&self) -> Option<Share> {
        self.good.share(Verdict::Reject)
    }

    /// Defective parts that are `PASS`; none without defective parts.
    #[must_use]
    pub fn misses(&self) -> Option<Share> {
        self.defective.share(Verdict::Pass)
    }
}

impl AddAssign for Confusion {
    fn add_assign(&mut self, other: Self) {
        for (row, more) in [(&mut self.good, other.good), (&mut self.defective, other.defective)] {
            row.0.iter_mut().zip(more.0).for_each(|(count, more)| *count += more);
        }
    }
}

impl Share {
    /// The share, `0..=1`.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.hits as f64 / self.parts as f64
    }

    /// Its exact binomial interval (Clopper and Pearson), with the confidence of all intervals of the report.
    #[must_use]
    pub fn interval(&self) -> Interval {
        let (low, high) = exact_interval(self.hits, self.parts, CONFIDENCE);
        Interval { low, high }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn part(defective: bool, verdict: Option<Verdict>) -> Scored {
        Scored { path: PathBuf::new(), kind: String::new(), defective, score: 0.5, verdict, witnesses: Vec::new() }
    }

    #[test]
    fn confusion_counts_by_truth_and_verdict_and_adds_up() {
        let (good, bad) = (false, true);
        let parts = [
            part(good, Some(Verdict::Pass)),
            part(good, Some(Verdict::Pass)),
            part(good, Some(Verdict::Reject)),
            part(bad, Some(Verdict::Pass)),
            part(bad, Some(Verdict::Review)),
            part(bad, None),
        ];
        let mut confusion = Confusion::of(&parts);
        assert_eq!(VERDICTS.map(|verdict| confusion.good.of(verdict)), [2, 0, 1]);
        assert_eq!(VERDICTS.map(|verdict| confusion.defective.of(verdict)), [1, 1, 0]);
        assert_eq!(confusion.false_rejects(), Some(Share { hits: 1, parts: 3 }));
        assert_eq!(confusion.misses(), Some(Share { hits: 1, parts: 2 }));
        confusion += confusion;
        assert_eq!(confusion.false_rejects(), Some(Share { hits: 2, parts: 6 }));
    }

    #[test]
    fn shares_without_parts_are_none_and_intervals_are_exact() {
        assert_eq!((Confusion::default().false_rejects(), Confusion::default().misses()), (None, None));
        // The rule of three, exactly: 1 - 0.025^(1/59).
        let interval = Share { hits: 0, parts: 59 }.interval();
        assert!(interval.low == 0.0 && (interval.high - 0.0606).abs() < 5e-5, "{interval:?}");
    }
}
