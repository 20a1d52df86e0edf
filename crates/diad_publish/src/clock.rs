//! The clocks of the machine beside the two of a stamp.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine was started, suspended or not. It never steps.
pub(crate) fn since_boot() -> Duration {
    read(ClockId::Boottime)
}

/// How long the machine has been suspended since its start: what the monotonic clock does not count. Two readings differ
/// by some microseconds where nothing happened.
#[must_use]
pub fn suspended() -> Duration {
    // In this order, so that the time between the two readings is not taken for a suspension.
    let boot = read(ClockId::Boottime);
    boot.saturating_sub(read(ClockId::Monotonic))
}

/// A clock of the system that does not exist reads 0, and nothing is ever late by it.
fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}
