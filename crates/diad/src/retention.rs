//! How far back retention may reach: what it deletes is gone, and a wall clock may be wrong.

use std::time::{Duration, Instant, SystemTime};

use diad_ledger::{Moment, Reader};

#[cfg(test)]
mod tests;

/// What is known of time at the start.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    wall: SystemTime,
    mono: Instant,
    /// When the newest part on record was seen.
    newest: Option<SystemTime>,
}

/// The clock was set forward by more than anything is kept for, before the start; or the station stood still for as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing old is deleted until the next start: the clock is {} days ahead of the newest part on record, longer than \
     anything is kept; check the clock, and start again if it is right",
    ahead.as_secs() / 86_400
)]
pub struct Implausible {
    ahead: Duration,
}

impl Retention {
    /// Takes the time now for the start; `record` knows what came before.
    #[must_use]
    pub fn starting(record: &Reader) -> Self {
        let newest = record.newest(None, 1).unwrap_or_default().into_iter().flatten().next();
        let newest = newest.map(|stored| stored.row.captured.wall());
        Self { wall: SystemTime::now(), mono: Instant::now(), newest }
    }

    /// What was seen before this time is old, where things are kept for `keep`. A clock that is set forward later makes
    /// nothing old before its time, one that is set back makes less old.
    ///
    /// # Errors
    /// [`Implausible`]: nothing may be taken for old.
    pub fn before(&self, keep: Duration) -> Result<Moment, Implausible> {
        self.before_at(keep, SystemTime::now(), Instant::now())
    }

    fn before_at(&self, keep: Duration, wall: SystemTime, mono: Instant) -> Result<Moment, Implausible> {
        let ahead = self.newest.and_then(|newest| self.wall.duration_since(newest).ok());
        if let Some(ahead) = ahead.filter(|ahead| *ahead > keep) {
            return Err(Implausible { ahead });
        }
        let lived = self.wall.checked_add(mono.saturating_duration_since(self.mono));
        let now = lived.map_or(wall, |lived| lived.min(wall));
        Ok(now.checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH).into())
    }
}
