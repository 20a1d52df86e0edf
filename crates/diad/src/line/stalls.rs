//! Whether the process stood still: stopped, or starved of its processors.
//!
//! A thread of its own sleeps for a moment, over and over, and looks how long it slept.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How long the thread sleeps.
const STALL_CHECK_INTERVAL: Duration = Duration::from_millis(25);

/// A process that goes on so much later than it asked for stood still. No deadline is held on a machine where that is usual.
const MIN_STALL: Duration = Duration::from_millis(200);

/// When the process last stood still. Clones share it; the thread ends with the last of them.
#[derive(Debug, Clone)]
pub(super) struct StallDetector(Arc<Mutex<Looks>>);

#[derive(Debug, Clone, Copy)]
struct Looks {
    /// When the thread last ran.
    last: Instant,
    /// When the process went on after it had stood still.
    went_on: Option<Instant>,
}

impl Looks {
    /// As it is known at `now`, by whichever thread runs first after the process has gone on.
    fn at(self, now: Instant) -> Self {
        let went_on = if now > self.last + STALL_CHECK_INTERVAL + MIN_STALL { Some(now) } else { self.went_on };
        Self { went_on, ..self }
    }
}

impl StallDetector {
    /// Begins to look.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let looks = Arc::new(Mutex::new(Looks { last: Instant::now(), went_on: None }));
        let shared = Arc::downgrade(&looks);
        let watch = move || {
            while let Some(shared) = shared.upgrade() {
                let now = Instant::now();
                let mut looks = shared.lock().unwrap_or_else(PoisonError::into_inner);
                *looks = Looks { last: now, ..looks.at(now) };
                drop(looks);
                std::thread::sleep(STALL_CHECK_INTERVAL);
            }
        };
        Builder::new().name("stalls".to_owned()).spawn(watch)?;
        Ok(Self(looks))
    }

    /// Whether the process stood still until longer than `limit` after `at`, as known at `now`.
    pub(super) fn stood_still_beyond(&self, at: Instant, limit: Duration, now: Instant) -> bool {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner).at(now);
        looks.went_on.is_some_and(|went_on| at + limit < went_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stood_still_beyond_is_about_what_came_up_meanwhile() {
        let (begin, ms) = (Instant::now(), Duration::from_millis);
        let stalls = |went_on| StallDetector(Arc::new(Mutex::new(Looks { last: begin + ms(4000), went_on })));
        let seen = stalls(Some(begin + ms(4000)));
        let at = |from| seen.stood_still_beyond(begin + ms(from), ms(300), begin + ms(4010));
        assert!(at(0) && at(3600));
        assert!(!at(3800), "young enough when the process went on");
        // Nobody has looked since: this thread is the first to run again.
        let unseen = stalls(None);
        assert!(unseen.stood_still_beyond(begin + ms(4000), ms(300), begin + ms(7000)));
        assert!(
            !unseen.stood_still_beyond(begin + ms(4000), ms(100), begin + ms(4200)),
            "a thread that waited a little"
        );
    }

    #[test]
    fn start_sees_no_stall_where_there_is_none_to_speak_of() {
        let stalls = StallDetector::start().unwrap();
        let begin = Instant::now();
        std::thread::sleep(Duration::from_millis(100));
        // A machine that is busy otherwise may be slow, but not by this.
        assert!(!stalls.stood_still_beyond(begin, Duration::from_secs(5), Instant::now()));
    }
}
