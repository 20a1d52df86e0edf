//! Which answer of the broker belongs to which subscription.

use std::collections::{HashMap, VecDeque};

/// What was subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All topics, at the begin of a connection.
    All,
    /// The triggers once more, as a question.
    Question,
}

/// The subscriptions of one connection that are not answered.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    unwritten: VecDeque<Kind>,
    written: HashMap<u16, Kind>,
}

impl Subscriptions {
    /// One was handed to the library.
    pub(crate) fn asked(&mut self, kind: Kind) {
        self.unwritten.push_back(kind);
    }

    /// The library wrote the next one under this number.
    pub(crate) fn written(&mut self, packet: u16) {
        if let Some(kind) = self.unwritten.pop_front() {
            self.written.insert(packet, kind);
        }
    }

    /// The broker answered this number. None for one that was not asked.
    pub(crate) fn answered(&mut self, packet: u16) -> Option<Kind> {
        self.written.remove(&packet)
    }
}
