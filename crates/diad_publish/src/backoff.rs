//! How long to wait before the next attempt to reach the broker. Pure: randomness comes in as an argument.

use std::time::Duration;

/// First wait.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// Longest wait.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A connection that held this long proves the broker well: the next wait starts small again. A shorter one does
/// not, else two daemons with one name, each throwing the other out, would do so ten times a second.
const STEADY_CONNECTION: Duration = Duration::from_secs(5);

/// Doubling waits with jitter, so that the stations of a plant do not all come back in the same instant.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: MIN_BACKOFF }
    }

    /// The wait after an attempt that failed at once or a connection that held for `held`. `chance` in `0.0..=1.0`
    /// places the wait between half and whole.
    pub(crate) fn after(&mut self, held: Duration, chance: f64) -> Duration {
        if held >= STEADY_CONNECTION {
            self.next = MIN_BACKOFF;
        }
        let wait = self.next.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
        self.next = (self.next * 2).min(MAX_BACKOFF);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_doubles_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..8).map(|_| backoff.after(Duration::ZERO, 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn after_keeps_between_half_and_whole() {
        assert_eq!(Backoff::new().after(Duration::ZERO, 0.0), Duration::from_millis(50));
        assert_eq!(Backoff::new().after(Duration::ZERO, 0.5), Duration::from_millis(75));
        assert_eq!(Backoff::new().after(Duration::ZERO, 7.0), Duration::from_millis(100));
    }

    #[test]
    fn after_starts_small_only_when_the_connection_was_steady() {
        let mut backoff = Backoff::new();
        for _ in 0..5 {
            backoff.after(Duration::ZERO, 1.0);
        }
        assert_eq!(backoff.after(Duration::from_secs(4), 1.0), Duration::from_millis(3200));
        assert_eq!(backoff.after(STEADY_CONNECTION, 1.0), MIN_BACKOFF);
    }
}
