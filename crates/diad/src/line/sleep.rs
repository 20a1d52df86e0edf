//! Time that the monotonic clock does not count: a suspended machine takes no pictures, and its parts move on.

use std::time::{Duration, Instant};

/// Two readings of the clocks differ by far less where the machine was not suspended.
const MIN_SUSPENSION: Duration = Duration::from_millis(20);

/// How much nearer deadlines are than the monotonic clock says. Pure: the caller reads the clocks.
#[derive(Debug)]
pub(super) struct SuspensionDetector {
    /// How long the machine has been suspended since its start, at the last look.
    suspended: Duration,
    /// When the last suspension was noticed, and how long it was.
    last: Option<(Instant, Duration)>,
}

impl SuspensionDetector {
    /// Nothing was missed until now.
    pub(super) const fn new(suspended: Duration) -> Self {
        Self { suspended, last: None }
    }

    /// How long the machine was suspended since the last look, if it was.
    pub(super) fn look(&mut self, suspended: Duration, now: Instant) -> Option<Duration> {
        let slept = suspended.saturating_sub(self.suspended);
        if slept < MIN_SUSPENSION {
            return None;
        }
        self.suspended = suspended;
        self.last = Some((now, slept));
        Some(slept)
    }

    /// The deadline of a part whose time runs from `from`, by the monotonic clock.
    pub(super) fn due(&self, from: Instant, deadline: Duration) -> Instant {
        let due = from + deadline;
        match self.last {
            // Whether it began before the suspension or just after cannot be told: it is due the sooner.
            Some((noticed, slept)) if from < noticed => due.checked_sub(slept).unwrap_or(due),
            _ => due,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_of_a_part_from_before_a_suspension_is_nearer_by_it() {
        let (begin, ms) = (Instant::now(), Duration::from_millis);
        let mut sleep = SuspensionDetector::new(ms(500));
        assert_eq!(sleep.look(ms(501), begin), None, "two readings are never the same");
        assert_eq!(sleep.due(begin, ms(200)), begin + ms(200));
        assert_eq!(sleep.look(ms(600), begin + ms(50)), Some(ms(100)));
        assert_eq!(sleep.due(begin + ms(10), ms(200)), begin + ms(110));
        assert_eq!(sleep.due(begin + ms(50), ms(200)), begin + ms(250), "it began after that");
        assert_eq!(sleep.look(ms(600), begin + ms(60)), None);
    }
}
