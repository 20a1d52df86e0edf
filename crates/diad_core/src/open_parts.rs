//! The book of open parts: every part that has entered leaves it with exactly one verdict, by its deadline.
//!
//! Pure: it has no clock and no thread. The caller brings the time, hands in what the stages say, and asks for what
//! has run out. Whoever holds the one book decides; everything else on a line only proposes.
//!
//! A result counts if its part is open and not overdue when the result is handed in, not when it was made: a verdict
//! that lay in a queue past the deadline did not reach anybody by the deadline.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::event::{InspectionEvent, Reason};
use crate::frame::{PartKey, PartMeta, Stamp};
use crate::name::CameraId;

#[cfg(test)]
mod tests;

/// What a result is worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    /// It is the verdict of its part.
    Verdict(InspectionEvent),
    /// Its part has a verdict, or its deadline has passed: evidence, never a verdict.
    Late(InspectionEvent),
}

/// Parts that have entered and are owed a verdict.
#[derive(Debug, Default)]
pub struct OpenParts {
    open: HashMap<PartKey, Open>,
    /// The same parts by deadline.
    due: BTreeSet<(Instant, PartKey)>,
    cameras: HashMap<CameraId, Numbers>,
}

#[derive(Debug)]
struct Open {
    meta: PartMeta,
    due: Instant,
}

/// How many parts of a camera entered, and the highest number among them.
#[derive(Debug, Default)]
struct Numbers {
    entered: u64,
    highest: u64,
}

impl OpenParts {
    /// No part has entered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A part enters and is owed a verdict by `due`. A part that is open already stays as it is.
    pub fn enter(&mut self, meta: PartMeta, due: Instant) {
        let key = meta.key.clone();
        if self.open.contains_key(&key) {
            return;
        }
        let numbers = self.cameras.entry(key.camera.clone()).or_default();
        numbers.entered += 1;
        numbers.highest = numbers.highest.max(key.seq);
        self.due.insert((due, key.clone()));
        self.open.insert(key, Open { meta, due });
    }

    /// Somebody says what came of a part. The first one in time decides.
    pub fn close(&mut self, event: InspectionEvent, now: Instant) -> Ruling {
        match self.open.get(&event.meta.key) {
            // An overdue part stays open for `expire`.
            Some(open) if now <= open.due => {
                self.due.remove(&(open.due, event.meta.key.clone()));
                self.open.remove(&event.meta.key);
                Ruling::Verdict(event)
            }
            _ => Ruling::Late(event),
        }
    }

    /// Decides every part whose deadline has passed: `UNJUDGED(deadline)`, in the order of their deadlines.
    pub fn expire(&mut self, now: Stamp) -> Vec<InspectionEvent> {
        let mut expired = Vec::new();
        while let Some((due, _)) = self.due.first()
            && *due < now.mono
            && let Some((_, key)) = self.due.pop_first()
        {
            let open = self.open.remove(&key);
            expired.extend(open.map(|open| InspectionEvent::unjudged(open.meta, Reason::Deadline, now)));
        }
        expired
    }

    /// Brings every deadline nearer by a time in which the monotonic clock stood still: a suspended machine counts none.
    pub fn advance(&mut self, by: Duration) {
        for open in self.open.values_mut() {
            open.due = open.due.checked_sub(by).unwrap_or(open.due);
        }
        self.due = self.open.iter().map(|(key, open)| (open.due, key.clone())).collect();
    }

    /// Decides every part that is left, because nothing more will come: `UNJUDGED(shutdown)`.
    pub fn finish(&mut self, now: Stamp) -> Vec<InspectionEvent> {
        let due = std::mem::take(&mut self.due);
        due.into_iter()
            .filter_map(|(_, key)| self.open.remove(&key))
            .map(|open| InspectionEvent::unjudged(open.meta, Reason::Shutdown, now))
            .collect()
    }

    /// Whether a part is owed a verdict.
    #[must_use]
    pub fn is_open(&self, key: &PartKey) -> bool {
        self.open.contains_key(key)
    }

    /// The parts that are owed a verdict, in no order.
    pub fn parts(&self) -> impl Iterator<Item = &PartMeta> {
        self.open.values().map(|open| &open.meta)
    }

    /// The next deadline.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Parts that are owed a verdict.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Parts that entered.
    #[must_use]
    pub fn entered(&self) -> u64 {
        self.cameras.values().map(|numbers| numbers.entered).sum()
    }

    /// Parts that must have been given a number and never entered: cameras count without a gap. Above zero only for
    /// as long as two threads hand in parts of one camera at the same moment; longer than that is an alarm.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.cameras.values().map(|numbers| numbers.highest.saturating_sub(numbers.entered)).sum()
    }
}
