//! The thresholds in force, shared between the line and the watcher.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::ThresholdSet;

/// The thresholds in force. Clones share them.
#[derive(Debug, Clone)]
pub struct LiveThresholds(Arc<ThresholdsShared>);

#[derive(Debug)]
struct ThresholdsShared {
    set: Mutex<Arc<ThresholdSet>>,
    taken: AtomicU64,
    refused: AtomicU64,
}

/// Saves since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saves {
    /// Those that came into force.
    pub taken: u64,
    /// Those that were not valid.
    pub refused: u64,
}

impl LiveThresholds {
    /// Puts a first set into force.
    #[must_use]
    pub fn new(set: ThresholdSet) -> Self {
        let set = Mutex::new(Arc::new(set));
        Self(Arc::new(ThresholdsShared { set, taken: AtomicU64::new(0), refused: AtomicU64::new(0) }))
    }

    /// The set in force. Take it once per part: score, cut-offs and digest of a verdict must belong together.
    #[must_use]
    pub fn current(&self) -> Arc<ThresholdSet> {
        // The lock guards one pointer, which no panic can leave half-written.
        Arc::clone(&self.0.set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another set into force, from the next [`current`](Self::current) on.
    pub fn replace(&self, set: Arc<ThresholdSet>) {
        *self.0.set.lock().unwrap_or_else(PoisonError::into_inner) = set;
        self.0.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts a set into force that is no save: the first one, with what it names.
    pub(super) fn begin_with(&self, set: ThresholdSet) {
        *self.0.set.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// A save was not valid: what is in force stays.
    pub fn refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many saves there have been.
    #[must_use]
    pub fn saves(&self) -> Saves {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Saves { taken: count(&self.0.taken), refused: count(&self.0.refused) }
    }
}
