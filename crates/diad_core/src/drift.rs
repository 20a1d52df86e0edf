//! Have the parts moved away from what they were? Charts of score, brightness and sharpness that see a small lasting shift
//! long before it makes rejects.
//!
//! Each signal has a two-sided tabular CUSUM (Page, *Continuous inspection schemes*, Biometrika 41, 1954; Montgomery,
//! *Introduction to Statistical Quality Control*, ch. 9): with `z = (value - mean) / sd` against a reference,
//! `S⁺ ← max(0, S⁺ + z - k)`, `S⁻ ← max(0, S⁻ - z - k)`, and a sum above `h` is an alarm. `k` = [`SLACK_SD`] suits a
//! shift of one standard deviation. `z` ends at ± [`CLAMP_SD`]: one part that is far off, a reject above all, says no more
//! than one that is a little off, so a steady share of rejects is no drift. `h` = [`ALARM_SD`] follows from that; with it,
//! in simulations (100 runs of at most a million parts; `drift/tests.rs` holds a part of them):
//!
//! | parts | parts to an alarm, mean |
//! |---|---|
//! | in control, normal | above 850,000 |
//! | in control, normal, reference learned from 200 parts | above 580,000 |
//! | in control, exponential (skewed, as scores may be) | above 970,000 |
//! | in control, 5 % of parts far above | 79,000 |
//! | shifted by 1 sd, 2 sd, 3 sd | 30, 12, 9 |
//!
//! A signal without a reference learns it from the first [`LEARNED_PARTS`] parts. The sample then stays: a chart that goes
//! on learning, as the self-starting CUSUM does (Hawkins, *Self-starting CUSUM charts for location and scale*, The
//! Statistician 36, 1987), takes a slow drift for its reference.

mod chart;
mod look;
mod standing;
#[cfg(test)]
mod tests;

pub use chart::{Charts, Drift, Side};
pub use look::Look;
pub use standing::ConstantScore;

/// Shift that a sum forgives with every part, in standard deviations.
pub const SLACK_SD: f64 = 0.5;
/// A sum above this is an alarm, in standard deviations. The alarm is over once both sums are below half of it.
pub const ALARM_SD: f64 = 12.0;
/// The most that one part counts, in standard deviations.
pub const CLAMP_SD: f64 = 2.0;
/// Parts that a signal without a reference learns it from.
pub const LEARNED_PARTS: u64 = 200;
/// Parts in a row with exactly the same score after which the score stands still: the noise of a camera alone
/// makes two pictures of one part differ.
pub const STANDING_PARTS: u64 = 30;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// How unlike the good ones a part is.
    Score,
    /// Mean luminance of what the networks see: see [`Look`].
    Brightness,
    /// Fine detail in what the networks see: see [`Look`].
    Sharpness,
}

impl Signal {
    /// Every signal, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Score, Self::Brightness, Self::Sharpness];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Brightness => "brightness",
            Self::Sharpness => "sharpness",
        }
    }

    /// The least standard deviation that is believed: parts that are all alike must not make a change alarming that
    /// nobody could see. One grey level of 255 for brightness, a fiftieth of the mean for the others.
    fn least_sd(self, mean: f64) -> f64 {
        match self {
            Self::Brightness => 1.0 / 255.0,
            Self::Score | Self::Sharpness => (mean / 50.0).max(1e-4),
        }
    }
}

/// Mean and standard deviation of a signal. Invariant: both finite, neither negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    mean: f64,
    sd: f64,
}

/// Numbers that are no mean or no standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("mean {mean} and standard deviation {sd} must be finite and not negative")]
pub struct SpreadError {
    /// Mean given.
    pub mean: f64,
    /// Standard deviation given.
    pub sd: f64,
}

impl Spread {
    /// Takes a mean and a standard deviation, finite and not negative.
    ///
    /// # Errors
    /// [`SpreadError`].
    pub fn try_new(mean: f64, sd: f64) -> Result<Self, SpreadError> {
        let sound = |value: f64| value.is_finite() && value >= 0.0;
        if sound(mean) && sound(sd) { Ok(Self { mean, sd }) } else { Err(SpreadError { mean, sd }) }
    }

    /// Mean and standard deviation of a sample (divided by `n - 1`); none for fewer than two values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut moments = RunningMoments::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments.spread()
    }

    /// The mean.
    #[must_use]
    pub const fn mean(self) -> f64 {
        self.mean
    }

    /// The standard deviation.
    #[must_use]
    pub const fn sd(self) -> f64 {
        self.sd
    }
}

/// What a product is compared with; a signal without a spread is learned.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reference {
    /// Of the scores.
    pub score: Option<Spread>,
    /// Of the brightness.
    pub brightness: Option<Spread>,
    /// Of the sharpness.
    pub sharpness: Option<Spread>,
}

impl Reference {
    /// The spread of a signal.
    #[must_use]
    pub const fn get(&self, signal: Signal) -> Option<Spread> {
        match signal {
            Signal::Score => self.score,
            Signal::Brightness => self.brightness,
            Signal::Sharpness => self.sharpness,
        }
    }

    /// The spread of a signal, to be set.
    pub const fn get_mut(&mut self, signal: Signal) -> &mut Option<Spread> {
        match signal {
            Signal::Score => &mut self.score,
            Signal::Brightness => &mut self.brightness,
            Signal::Sharpness => &mut self.sharpness,
        }
    }
}

/// Count, mean and squared deviations so far. Source: Welford, *Note on a method for calculating corrected sums of squares
/// and products*, Technometrics 4, 1962.
#[derive(Debug, Clone, Copy, Default)]
struct RunningMoments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl RunningMoments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    fn spread(&self) -> Option<Spread> {
        let others = self.count.checked_sub(1).filter(|others| *others > 0)?;
        Spread::try_new(self.mean, (self.squares / others as f64).sqrt()).ok()
    }
}
