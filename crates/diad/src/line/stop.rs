//! The wish to stop, and the moment by which everything must have ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Shared by all stages. Clones are the same wish.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<ShutdownShared>);

#[derive(Debug, Default)]
struct ShutdownShared {
    asked: AtomicBool,
    signal: Arc<AtomicBool>,
    deadline: Mutex<Option<Instant>>,
    bug: OnceLock<&'static str>,
    rows_of_killed_run: AtomicBool,
    unheard: AtomicBool,
}

impl Stop {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every stage to stop; parts that are still waiting after `drain` become `UNJUDGED(shutdown)`. The first
    /// call sets the deadline.
    pub fn ask(&self, drain: Duration) {
        let mut deadline = self.0.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.get_or_insert_with(|| Instant::now() + drain);
        drop(deadline);
        self.0.asked.store(true, Ordering::Release);
    }

    /// A stage has panicked: everybody stops at once, and the process says so. The first stage counts.
    pub fn bug(&self, stage: &'static str) {
        self.0.bug.get_or_init(|| stage);
        self.ask(Duration::ZERO);
    }

    /// A stage hangs and is not waited for any longer: those behind it end without it.
    pub(super) fn leave_behind(&self) {
        self.0.rows_of_killed_run.store(true, Ordering::Release);
    }

    /// Whether a stage that hangs was given up.
    pub(super) fn is_left_behind(&self) -> bool {
        self.0.rows_of_killed_run.load(Ordering::Acquire)
    }

    /// The record stage has ended, in whatever way: nobody hears what stages say.
    pub(super) fn unheard(&self) {
        self.0.unheard.store(true, Ordering::Release);
    }

    /// Whether the record stage has ended.
    pub(super) fn is_unheard(&self) -> bool {
        self.0.unheard.load(Ordering::Acquire)
    }

    /// When waiting parts must be given up; now, if nobody has asked to stop.
    pub(super) fn deadline(&self) -> Instant {
        self.0.deadline.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Instant::now)
    }

    /// The stage that panicked.
    #[must_use]
    pub fn has_bug(&self) -> Option<&'static str> {
        self.0.bug.get().copied()
    }

    /// A flag that a signal handler may raise: it counts as a wish to stop, with the time still to be set by
    /// [`ask`](Self::ask).
    #[must_use]
    pub fn signal(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.signal)
    }

    /// Whether cameras should close.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire) || self.0.signal.load(Ordering::Acquire)
    }

    /// Whether waiting parts must be given up.
    #[must_use]
    pub fn overdue(&self) -> bool {
        self.asked()
            && self.0.deadline.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| Instant::now() >= at)
    }
}
