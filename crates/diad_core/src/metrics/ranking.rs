//! Values sorted once, and the figures that need only their order.

use crate::metrics::{MetricError, order_key, ordered_value};

/// Values of good and bad ones, sorted. Five million take 40 MB and are sorted once for all figures.
#[derive(Debug, Clone)]
pub struct Ranking {
    /// Order key and, in the lowest bit, whether it is bad; ascending.
    entries: Vec<u64>,
    bad: u64,
}

/// What a threshold at `value` catches: everything at or above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// The threshold: one of the ranked values.
    pub value: f32,
    /// Bad ones caught.
    pub caught: u64,
    /// Good ones caught by mistake.
    pub mistaken: u64,
}

impl Ranking {
    /// Takes `(value, is bad)` pairs; a larger value means worse.
    ///
    /// # Errors
    /// [`MetricError::NonFinite`]; [`MetricError::OneClass`] if there are only good or only bad ones, since then
    /// no figure is defined.
    pub fn try_new(values: impl IntoIterator<Item = (f32, bool)>) -> Result<Self, MetricError> {
        let mut entries = values
            .into_iter()
            .enumerate()
            .map(|(index, (value, bad))| Ok(u64::from(order_key(index, value)?) << 1 | u64::from(bad)))
            .collect::<Result<Vec<_>, MetricError>>()?;
        let (bad, total) = (entries.iter().map(|entry| entry & 1).sum(), entries.len() as u64);
        if bad == 0 || bad == total {
            return Err(MetricError::OneClass { bad, total });
        }
        entries.sort_unstable();
        Ok(Self { entries, bad })
    }

    /// Number of bad ones.
    #[must_use]
    pub const fn bad(&self) -> u64 {
        self.bad
    }

    /// Number of good ones.
    #[must_use]
    pub const fn good(&self) -> u64 {
        self.entries.len() as u64 - self.bad
    }

    /// One cut per distinct value, from the largest value (few caught) down to the smallest (all caught): the
    /// points of the ROC and of the precision–recall curve.
    pub fn cuts(&self) -> impl Iterator<Item = Cut> + '_ {
        let (mut caught, mut mistaken) = (0, 0);
        self.entries.chunk_by(|a, b| a >> 1 == b >> 1).rev().map(move |ties| {
            let bad: u64 = ties.iter().map(|entry| entry & 1).sum();
            caught += bad;
            mistaken += ties.len() as u64 - bad;
            Cut { value: ordered_value((ties[0] >> 1) as u32), caught, mistaken }
        })
    }

    /// Area under the ROC curve, `0..=1`: how likely a bad one lies above a good one, ties counting half.
    ///
    /// An inverted detector gets less than 0.5. (The reference mirrors values below 0.5, which makes a detector
    /// that is wrong look right; that is not done here.)
    #[must_use]
    pub fn auroc(&self) -> f64 {
        let (mut before, mut doubled) = (Cut { value: 0.0, caught: 0, mistaken: 0 }, 0_u128);
        for cut in self.cuts() {
            doubled += u128::from(cut.mistaken - before.mistaken) * u128::from(cut.caught + before.caught);
            before = cut;
        }
        doubled as f64 / (2.0 * self.bad as f64 * self.good() as f64)
    }

    /// Average precision, `0..=1`: precision at each cut, weighed by the recall it adds (no interpolation).
    #[must_use]
    pub fn average_precision(&self) -> f64 {
        let (mut before, mut sum) = (0, 0.0);
        for cut in self.cuts() {
            let precision = cut.caught as f64 / (cut.caught + cut.mistaken) as f64;
            sum += (cut.caught - before) as f64 * precision;
            before = cut.caught;
        }
        sum / self.bad as f64
    }

    /// The largest F1 of any cut, `0..=1`: harmonic mean of precision and recall.
    #[must_use]
    pub fn f1_max(&self) -> f64 {
        let f1 = |cut: Cut| 2.0 * cut.caught as f64 / (cut.caught + cut.mistaken + self.bad) as f64;
        self.cuts().map(f1).fold(0.0, f64::max)
    }
}
