//! Takes a saved thresholds file over while the line runs.
//!
//! The file is read four times a second and compared by content: that needs no support of the file system
//! and misses no way of saving (in place, or by renaming another file over it), whatever the time stamps
//! say. A text counts only once two readings in a row gave it, so that half a save is never taken, not
//! even where the half happens to be valid. A save is thus in force half a second later.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::{LiveThresholds, ThresholdSet};
use crate::yaml::{Fault, text};

/// Time between two readings of the file.
pub const POLL_EVERY: Duration = Duration::from_millis(250);

/// What a save did.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It was valid and is in force.
    Taken(Arc<ThresholdSet>),
    /// It was not valid, or the file is gone: what was in force stays.
    Refused(Vec<Fault>),
}

type Reading = Result<String, Fault>;

/// Watches one thresholds file.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    live: LiveThresholds,
    last: Reading,
    decided: Reading,
}

impl Watcher {
    /// Reads the file and puts its thresholds into force.
    ///
    /// # Errors
    /// Every [`Fault`] of the file.
    pub fn open(path: &Path) -> Result<Self, Vec<Fault>> {
        let text = text::load(path).map_err(|fault| vec![fault])?;
        let set = ThresholdSet::read(&text, &path.to_string_lossy())?;
        Ok(Self { path: path.to_owned(), live: LiveThresholds::new(set), last: Ok(text.clone()), decided: Ok(text) })
    }

    /// The thresholds in force.
    #[must_use]
    pub fn live(&self) -> LiveThresholds {
        self.live.clone()
    }

    /// Reads the file once. Gives what a save did, once for each save that was read twice.
    pub fn poll(&mut self) -> Option<Change> {
        let reading = text::load(&self.path);
        let settled = reading == self.last;
        self.last = reading;
        if !settled || self.last == self.decided {
            return None;
        }
        self.decided.clone_from(&self.last);
        let set = match &self.last {
            Ok(text) => ThresholdSet::read(text, &self.path.to_string_lossy()),
            Err(fault) => Err(vec![fault.clone()]),
        };
        Some(match set {
            Ok(set) => {
                let set = Arc::new(set);
                self.live.replace(Arc::clone(&set));
                Change::Taken(set)
            }
            Err(faults) => Change::Refused(faults),
        })
    }

    /// Polls on a thread of its own, named `thresholds`, until the [`Watch`] is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(self, on_change: impl FnMut(Change) + Send + 'static) -> io::Result<Watch> {
        let (stop, stopped) = sync_channel(0);
        let thread = Builder::new().name("thresholds".to_owned()).spawn(move || self.run(&stopped, on_change))?;
        Ok(Watch { stop: Some(stop), thread: Some(thread) })
    }

    fn run(mut self, stopped: &Receiver<()>, mut on_change: impl FnMut(Change)) {
        while stopped.recv_timeout(POLL_EVERY) == Err(RecvTimeoutError::Timeout) {
            if let Some(change) = self.poll() {
                on_change(change);
            }
        }
    }
}

/// A running watcher. Dropping it stops its thread and waits for it.
#[derive(Debug)]
pub struct Watch {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Whether the thread still runs; it ends early only by a panic, which is a bug.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Hanging up the channel is the sign to stop.
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thresholds watcher panicked");
        }
    }
}
