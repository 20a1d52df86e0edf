//! What a threshold may promise: distribution-free bounds from a finite number of good parts.
//!
//! Of `n` good parts that are drawn like those to come, let at most `k` score at or above a cut-off. The share of good
//! parts that will do so is then at most `rate`, with confidence `1 - P(Bin(n, rate) <= k)`, whatever the distribution of
//! scores. Source: Wilks, *Determination of sample sizes for setting tolerance limits* (Ann. Math. Stat. 12, 1941).
//! Intervals of a share are those of Clopper and Pearson, *The use of confidence or fiducial limits* (Biometrika 26, 1934).

#[cfg(test)]
mod tests;

/// A bound on the share of good parts above a cut-off, and how sure it has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToleranceBound {
    rate: f64,
    confidence: f64,
}

/// A cut-off with its promise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Scores at or above this are beyond it.
    pub at: f32,
    /// Good parts of the sample that are.
    pub exceeding: usize,
    /// How many the bound allows in a sample of this size.
    pub allowed: usize,
}

/// A promise that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ToleranceError {
    /// A share outside of 0 to 1.
    #[error("{what} is {value}; it must be above 0 and below 1")]
    Share {
        /// Which.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// Too few good parts.
    #[error(
        "{parts} good parts support {supported:.4} at best, not {wanted}, with this confidence; that takes {needed} good parts"
    )]
    TooFew {
        /// Good parts there are.
        parts: usize,
        /// The smallest rate that they support, with none above the cut-off.
        supported: f64,
        /// The rate that was asked for.
        wanted: f64,
        /// Good parts that it takes, with none above the cut-off.
        needed: u64,
    },
    /// A score that is not finite.
    #[error("a score is not a finite number")]
    Score,
    /// Every score is the same: no camera sees such parts.
    #[error("all {parts} scores are {value}; the pictures are all the same")]
    Constant {
        /// Good parts there are.
        parts: usize,
        /// Their one score.
        value: f32,
    },
}

impl ToleranceBound {
    /// At most `rate` of the good parts, with `confidence`; both are shares between 0 and 1.
    ///
    /// # Errors
    /// [`ToleranceError::Share`].
    pub fn try_new(rate: f64, confidence: f64) -> Result<Self, ToleranceError> {
        for (what, value) in [("the rate", rate), ("the confidence", confidence)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(ToleranceError::Share { what, value });
            }
        }
        Ok(Self { rate, confidence })
    }

    /// This bound where `parts` good parts support it, else the nearest that they do: its rate is the smallest that they
    /// support with the same confidence, rounded up to three digits. None without parts.
    #[must_use]
    pub fn supported_by(self, parts: usize) -> Option<Self> {
        if self.allowed(parts).is_some() {
            return Some(self);
        }
        let exact = supported_rate(parts, self.confidence);
        let unit = 10_f64.powf(exact.log10().floor() - 2.0);
        let rate = ((exact / unit).ceil() * unit).max(self.rate);
        let bound = Self::try_new(rate, self.confidence).ok()?;
        bound.allowed(parts).is_some().then_some(bound)
    }

    /// The share of good parts.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// How sure it is.
    #[must_use]
    pub const fn confidence(&self) -> f64 {
        self.confidence
    }

    /// Good parts that the promise takes, with none of them above the cut-off.
    #[must_use]
    pub fn parts_needed(&self) -> u64 {
        ((1.0 - self.confidence).ln() / (-self.rate).ln_1p()).ceil() as u64
    }

    /// How many of `parts` good parts may lie above the cut-off; `None` if not even none would do.
    #[must_use]
    pub fn allowed(&self, parts: usize) -> Option<usize> {
        let mut sum = Cumulative::new(parts, self.rate);
        let mut allowed = None;
        for k in 0..parts {
            if sum.next() > 1.0 - self.confidence {
                break;
            }
            allowed = Some(k);
        }
        allowed
    }

    /// The lowest cut-off that keeps the promise, from the scores of good parts.
    ///
    /// # Errors
    /// [`ToleranceError`]: too few parts, or scores that cannot be those of parts.
    pub fn cut(&self, scores: &[f32]) -> Result<Cut, ToleranceError> {
        let parts = scores.len();
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(ToleranceError::Score);
        }
        let Some(allowed) = self.allowed(parts) else {
            return Err(ToleranceError::TooFew {
                parts,
                supported: supported_rate(parts, self.confidence),
                wanted: self.rate,
                needed: self.parts_needed(),
            });
        };
        let mut sorted = scores.to_vec();
        sorted.sort_by(f32::total_cmp);
        match (sorted.first(), sorted.last()) {
            (Some(least), Some(most)) if least.total_cmp(most).is_eq() && parts > 1 => {
                return Err(ToleranceError::Constant { parts, value: *least });
            }
            _ => {}
        }
        // Just above the highest score that must stay below; equal scores all do.
        let at = sorted.get(parts - 1 - allowed).map_or(f32::MAX, |score| score.next_up());
        let exceeding = sorted.iter().filter(|score| **score >= at).count();
        Ok(Cut { at, exceeding, allowed })
    }
}

/// The smallest rate that `parts` good parts support with `confidence`; 1 for none.
#[must_use]
pub fn supported_rate(parts: usize, confidence: f64) -> f64 {
    if parts == 0 { 1.0 } else { 1.0 - (1.0 - confidence).powf(1.0 / parts as f64) }
}

/// The exact interval of a share of which `hits` in `parts` were seen, two-sided, each end with half of what
/// `confidence` leaves (Clopper and Pearson).
#[must_use]
pub fn exact_interval(hits: usize, parts: usize, confidence: f64) -> (f64, f64) {
    let tail = (1.0 - confidence) / 2.0;
    let at_most = |hits: usize, rate: f64| {
        let mut sum = Cumulative::new(parts, rate);
        (0..hits).for_each(|_| {
            sum.next();
        });
        sum.next()
    };
    let low = if hits == 0 { 0.0 } else { bisect(|rate| 1.0 - at_most(hits - 1, rate) < tail) };
    let high = if hits >= parts { 1.0 } else { bisect(|rate| at_most(hits, rate) > tail) };
    (low, high)
}

/// Where `below` turns from true to false between 0 and 1.
fn bisect(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// `P(Bin(n, p) <= k)` for k = 0, 1, 2, …; terms are summed as logarithms, for the first ones are tiny.
struct Cumulative {
    n: usize,
    k: usize,
    log_odds: f64,
    log_term: f64,
    log_sum: f64,
}

impl Cumulative {
    fn new(n: usize, p: f64) -> Self {
        let log_q = (-p).ln_1p();
        Self { n, k: 0, log_odds: p.ln() - log_q, log_term: n as f64 * log_q, log_sum: f64::NEG_INFINITY }
    }

    fn next(&mut self) -> f64 {
        let (large, small) = (self.log_sum.max(self.log_term), self.log_sum.min(self.log_term));
        self.log_sum = large + (small - large).exp().ln_1p();
        let (n, k) = (self.n as f64, self.k as f64);
        self.log_term += ((n - k) / (k + 1.0)).ln() + self.log_odds;
        self.k += 1;
        self.log_sum.exp()
    }
}
