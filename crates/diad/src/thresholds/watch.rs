//! Takes a saved thresholds file over while the line runs.
//!
//! The file is read five times a second and compared by content: that needs no support of the file system
//! and misses no way of saving (in place, or by renaming another file over it), whatever the time stamps
//! say. A text counts only once two readings in a row gave it, and one that may be the first half of another (it ends
//! within a line, is the beginning of what was there, or names fewer products) only once four did: a valid half that is
//! finished within 0.6 s is never taken, one that lies longer cannot be told from a save. A save is thus in force 0.4 s
//! later at most, and one that looks cut off 0.8 s. Whoever asks for a reading ([`Watch::reread`]) says by it that the
//! save is whole: that reading counts at once.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::bank::refuse_all;
use super::{LiveThresholds, LoadWitnesses, ThresholdSet};
use crate::yaml::{Fault, text};

/// Time between two readings of the file.
pub const POLL_EVERY: Duration = Duration::from_millis(200);
/// Equal readings in a row after which a text counts.
const EQUAL_READINGS: u32 = 2;
/// The same for a text that may be cut off.
pub(super) const EQUAL_READINGS_IF_CUT: u32 = 4;

/// What a save did.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It was valid and is in force; where a reading was asked for, it may be what was in force before.
    Taken(Arc<ThresholdSet>),
    /// It was not valid, or the file is gone: what was in force stays.
    Refused(Vec<Fault>),
    /// Nobody reads the file any more, by a bug: what was in force stays, whatever is saved.
    Unwatched,
}

type FileReading = Result<String, Fault>;

/// Watches one thresholds file.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    live: LiveThresholds,
    /// Makes the banks ready that a save names; none: there must be none.
    equip: Option<Arc<dyn LoadWitnesses>>,
    last: FileReading,
    /// How many readings in a row gave `last`.
    equal: u32,
    decided: FileReading,
}

impl Watcher {
    /// Reads the file and puts its thresholds into force.
    ///
    /// # Errors
    /// Every [`Fault`] of the file.
    pub fn open(path: &Path) -> Result<Self, Vec<Fault>> {
        let text = text::load(path).map_err(|fault| vec![fault])?;
        let set = ThresholdSet::read(&text, &path.to_string_lossy())?;
        let live = LiveThresholds::new(set);
        Ok(Self { path: path.to_owned(), live, equip: None, last: Ok(text.clone()), equal: 1, decided: Ok(text) })
    }

    /// Makes the banks ready that the thresholds in force name, and from now on those of every save before it counts: no part
    /// is judged by cut-offs without the bank that they belong to. Call it before the line starts.
    ///
    /// # Errors
    /// A [`Fault`] for every bank that cannot be used.
    pub fn equip(&mut self, equip: Arc<dyn LoadWitnesses>) -> Result<(), Vec<Fault>> {
        let set = self.live.current();
        let judges = equip.judges(&set)?;
        self.live.begin_with(ThresholdSet::clone(&set).with(judges));
        self.equip = Some(equip);
        Ok(())
    }

    /// The thresholds in force.
    #[must_use]
    pub fn live(&self) -> LiveThresholds {
        self.live.clone()
    }

    /// Reads the file once. Gives what a save did, once for each save that was read often enough to count.
    pub fn poll(&mut self) -> Option<Change> {
        let reading = text::load(&self.path);
        self.equal = if reading == self.last { self.equal.saturating_add(1) } else { 1 };
        self.last = reading;
        let settled = |wanted| self.equal >= wanted;
        if self.last == self.decided
            || !settled(EQUAL_READINGS)
            || (!settled(EQUAL_READINGS_IF_CUT) && self.may_be_cut())
        {
            return None;
        }
        Some(self.decide())
    }

    /// Whether the last reading is valid and may still be the first half of a save.
    fn may_be_cut(&self) -> bool {
        let Ok(text) = &self.last else { return false };
        let Ok(set) = ThresholdSet::read(text, &self.path.to_string_lossy()) else { return false };
        let begins_what_was = self.decided.as_ref().is_ok_and(|before| before.starts_with(text));
        let in_force = self.live.current();
        let fewer = in_force.products().any(|product| !set.products().any(|kept| kept == product));
        !text.ends_with('\n') || begins_what_was || fewer
    }

    /// Reads the file once and takes it at its word, whether or not it has changed.
    pub fn reread(&mut self) -> Change {
        (self.last, self.equal) = (text::load(&self.path), 1);
        self.decide()
    }

    fn decide(&mut self) -> Change {
        self.decided.clone_from(&self.last);
        let set = match &self.last {
            Ok(text) => ThresholdSet::read(text, &self.path.to_string_lossy()),
            Err(fault) => Err(vec![fault.clone()]),
        };
        let equipped = set.and_then(|set| {
            let judges = self.equip.as_ref().map_or_else(|| refuse_all(&set), |equip| equip.judges(&set))?;
            Ok(set.with(judges))
        });
        match equipped {
            Ok(set) => {
                let set = Arc::new(set);
                self.live.replace(Arc::clone(&set));
                Change::Taken(set)
            }
            Err(faults) => {
                self.live.refused();
                Change::Refused(faults)
            }
        }
    }

    /// Polls on a thread of its own, named `thresholds`, until the [`Watch`] is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(self, mut on_change: impl FnMut(Change) + Send + 'static) -> io::Result<Watch> {
        // One wish that waits stands for all that come until it is heard.
        let (wishes, heard) = sync_channel(1);
        let body = move || {
            // Whoever tightens a cut-off must hear that it does nothing.
            if catch_unwind(AssertUnwindSafe(|| self.run(&heard, &mut on_change))).is_err() {
                on_change(Change::Unwatched);
            }
        };
        let thread = Builder::new().name("thresholds".to_owned()).spawn(body)?;
        Ok(Watch { wishes: Some(wishes), thread: Some(thread) })
    }

    fn run(mut self, wishes: &Receiver<()>, on_change: &mut impl FnMut(Change)) {
        loop {
            let change = match wishes.recv_timeout(POLL_EVERY) {
                Ok(()) => Some(self.reread()),
                Err(RecvTimeoutError::Timeout) => self.poll(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Some(change) = change {
                on_change(change);
            }
        }
    }
}

/// A running watcher. Dropping it stops its thread and waits for it.
#[derive(Debug)]
pub struct Watch {
    wishes: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Asks for a [reading](Watcher::reread) at once; `on_change` hears of it. Does not wait.
    pub fn reread(&self) {
        if let Some(wishes) = &self.wishes {
            // Full: the same was asked and not heard yet. Hung up: the thread is gone, which its end has told.
            let _ = wishes.try_send(());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Hanging up the channel is the sign to stop.
        self.wishes = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thresholds watcher panicked while it told so");
        }
    }
}
