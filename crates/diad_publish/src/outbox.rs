//! Verdicts between the line and the broker's acknowledgement: a pure state machine.
//!
//! Two queues: `live` for what was offered while connected, `stored` for what had to wait over an outage. Live goes
//! first, so that an hour of backlog does not delay the part at the gate. When a connection ends, everything that
//! nobody acknowledged becomes stored, whether it was written or not: the broker may or may not have it, and a
//! repeat is harmless where a gap is not.
//!
//! Identifiers grow in the order of offering. Two facts keep each queue sorted by them without sorting: `stored`
//! grows only while not connected, and `live` only while connected.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;

#[cfg(test)]
mod tests;

/// Names one offered message within one outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(u64);

/// Whether a message goes out as it happens or after an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Offered and sent over the same connection.
    Live,
    /// Waited while there was no connection, or was not acknowledged when one ended.
    Stored,
}

/// A message to be sent now; it is in flight from here on.
#[derive(Debug, PartialEq, Eq)]
pub struct Dispatch<'a, T> {
    /// To be given back to [`Outbox::acknowledge`].
    pub id: MessageId,
    /// Live or stored.
    pub lane: Lane,
    /// The message.
    pub item: &'a T,
}

/// A bounded store of messages, each kept until it is acknowledged.
#[derive(Debug)]
pub struct Outbox<T> {
    capacity: usize,
    offered: u64,
    connected: bool,
    live: VecDeque<(MessageId, T)>,
    stored: VecDeque<(MessageId, T)>,
    in_flight: BTreeMap<MessageId, (Lane, T)>,
}

impl<T> Outbox<T> {
    /// An empty outbox without a connection. `capacity` bounds all messages together, those in flight included.
    #[must_use]
    pub const fn new(capacity: NonZeroUsize) -> Self {
        Self {
            capacity: capacity.get(),
            offered: 0,
            connected: false,
            live: VecDeque::new(),
            stored: VecDeque::new(),
            in_flight: BTreeMap::new(),
        }
    }

    /// Takes a message. When the outbox is full, the oldest that waits leaves and is returned; the caller must say
    /// so aloud. One in flight leaves only if none waits: the broker may already have it.
    pub fn offer(&mut self, item: T) -> Option<T> {
        let evicted = if self.len() < self.capacity { None } else { self.evict() };
        let id = MessageId(self.offered);
        self.offered += 1;
        let queue = if self.connected { &mut self.live } else { &mut self.stored };
        queue.push_back((id, item));
        evicted
    }

    fn evict(&mut self) -> Option<T> {
        let waiting = self.stored.pop_front().or_else(|| self.live.pop_front());
        waiting.map(|(_, item)| item).or_else(|| self.in_flight.pop_first().map(|(_, (_, item))| item))
    }

    /// A connection began: what is offered from now on is live.
    pub fn connect(&mut self) {
        self.connected = true;
    }

    /// The connection ended: everything unacknowledged is stored and will be sent again, in the order of offering.
    pub fn disconnect(&mut self) {
        self.connected = false;
        let (stored, live): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|(_, (lane, _))| *lane == Lane::Stored);
        for (id, (_, item)) in stored.into_iter().rev() {
            self.stored.push_front((id, item));
        }
        self.stored.extend(live.into_iter().map(|(id, (_, item))| (id, item)));
        self.stored.append(&mut self.live);
    }

    /// The next message to send, live ones first; `None` if none waits or there is no connection.
    pub fn dispatch(&mut self) -> Option<Dispatch<'_, T>> {
        if !self.connected {
            return None;
        }
        let (lane, (id, item)) = match self.live.pop_front() {
            Some(entry) => (Lane::Live, entry),
            None => (Lane::Stored, self.stored.pop_front()?),
        };
        let (_, item) = self.in_flight.entry(id).or_insert((lane, item));
        Some(Dispatch { id, lane, item })
    }

    /// The broker has the message: it leaves. `None` for one that is not in flight.
    pub fn acknowledge(&mut self, id: MessageId) -> Option<T> {
        self.in_flight.remove(&id).map(|(_, item)| item)
    }

    /// Messages that wait to be sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.live.len() + self.stored.len()
    }

    /// Messages sent and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// All messages, waiting and in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queued() + self.in_flight()
    }

    /// True if nothing is owed to the broker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
