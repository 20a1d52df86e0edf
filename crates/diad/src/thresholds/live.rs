//! The thresholds in force, shared between the line and the watcher.

use std::sync::{Arc, Mutex, PoisonError};

use super::ThresholdSet;

/// The thresholds in force. Clones share them.
#[derive(Debug, Clone)]
pub struct LiveThresholds(Arc<Mutex<Arc<ThresholdSet>>>);

impl LiveThresholds {
    /// Puts a first set into force.
    #[must_use]
    pub fn new(set: ThresholdSet) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(set))))
    }

    /// The set in force. Take it once per part: score, cut-offs and digest of a verdict must belong together.
    #[must_use]
    pub fn current(&self) -> Arc<ThresholdSet> {
        // The lock guards one pointer, which no panic can leave half-written.
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another set into force, from the next [`current`](Self::current) on.
    pub fn replace(&self, set: Arc<ThresholdSet>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = set;
    }
}
