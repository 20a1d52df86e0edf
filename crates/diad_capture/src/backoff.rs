//! When to try a lost camera again. Pure: time and chance are arguments.

use std::time::{Duration, Instant};

/// Jittered exponential back-off.
///
/// The n-th failure in a row waits between half of and all of `first · 2ⁿ⁻¹`, but never more than `longest`. Report a
/// success when a picture has come, not when the device opened: a camera that opens and dies at once would otherwise
/// be hammered.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    ready_at: Option<Instant>,
}

impl Backoff {
    /// Waits about `first` after one failure and at most `longest` after many. A `longest` below `first` counts as
    /// `first`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest: longest.max(first), failures: 0, ready_at: None }
    }

    /// Takes note of a failure at `now`, and returns how long to wait. `dice` is a random number in `0..1`; values
    /// outside count as the nearest bound, NaN as 0.
    pub fn failed(&mut self, now: Instant, dice: f64) -> Duration {
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let whole = self.first.saturating_mul(1_u32 << doublings).min(self.longest);
        let dice = if dice.is_nan() { 0.0 } else { dice.clamp(0.0, 1.0) };
        let wait = whole.mul_f64(0.5 + 0.5 * dice);
        self.ready_at = now.checked_add(wait);
        wait
    }

    /// Takes note that the camera works: the next failure waits about `first` again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.ready_at = None;
    }

    /// How much longer to wait at `now`; zero if it is time to try.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Duration {
        self.ready_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn failed_doubles_up_to_the_longest_wait() {
        let now = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let waits: Vec<u128> = (0..8).map(|_| backoff.failed(now, 1.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(backoff.failures(), 8);
    }

    #[test]
    fn failed_keeps_between_half_and_all_of_the_wait() {
        let now = Instant::now();
        for (dice, want_ms) in [(0.0, 100), (0.5, 150), (1.0, 200), (-3.0, 100), (7.0, 200), (f64::NAN, 100)] {
            assert_eq!(Backoff::new(FIRST, LONGEST).failed(now, dice).as_millis(), want_ms, "{dice}");
        }
    }

    #[test]
    fn remaining_counts_down_and_success_clears_it() {
        let now = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        assert_eq!(backoff.remaining(now), Duration::ZERO);
        backoff.failed(now, 1.0);
        assert_eq!(backoff.remaining(now + Duration::from_millis(150)), Duration::from_millis(50));
        assert_eq!(backoff.remaining(now + LONGEST), Duration::ZERO);
        backoff.succeeded();
        assert_eq!((backoff.remaining(now), backoff.failures()), (Duration::ZERO, 0));
    }

    #[test]
    fn failed_for_ever_neither_overflows_nor_waits_longer() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(1_000_000), Duration::from_secs(2_000_000));
        for _ in 0..100 {
            assert!(backoff.failed(now, 1.0) <= Duration::from_secs(2_000_000));
        }
    }
}
