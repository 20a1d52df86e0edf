//! Verdicts between the line and the broker's acknowledgement: a pure state machine.
//!
//! Three queues. `live` is what was offered while connected; it goes first, so that an hour of backlog does not delay
//! the part at the gate. `stored` is what the caller brings again out of its own record. `kept` is what no record
//! holds and no broker has acknowledged; it waits behind `stored` while the caller says that older messages are still
//! to come.
//!
//! A message with a [`Ticket`] is in the caller's record. It costs memory only while there is a connection: when one
//! ends, every such message is forgotten here, whether it was written or not, and the caller brings it again over the
//! next. The broker may or may not have it; a repeat is harmless where a gap is not. A message without a ticket stays
//! until it is acknowledged or the bound pushes it out.
//!
//! What was sent may turn out not to be delivered: it is owed again. While that can happen, older messages go out one at a
//! time, and the next one when the one before was delivered or given up ([`Flow`]).
//!
//! Identifiers grow in the order of offering, and each queue is sorted by them without sorting.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::SystemTime;

#[cfg(test)]
mod tests;

/// Messages that the caller may have brought and that still wait: enough to keep a connection busy between two looks.
pub const ROOM: usize = 256;

/// Names one offered message within one outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(u64);

/// The caller's own number for a message that it can bring again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub i64);

/// Whether a message goes out as it happens or after an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Offered and sent over the same connection.
    Live,
    /// Waited while there was no connection, or was not acknowledged when one ended.
    Stored,
}

/// How freely messages that waited go out. Live ones always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// As fast as they are taken.
    #[default]
    Wide,
    /// One at a time: it is not known whether messages are delivered.
    Narrow,
    /// None: they are known not to be.
    Shut,
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

#[derive(Debug)]
struct Entry<T> {
    id: MessageId,
    ticket: Option<Ticket>,
    item: T,
}

/// A bounded store of messages, each kept until it is acknowledged or the caller's record takes it back.
#[derive(Debug)]
pub struct Outbox<T> {
    capacity: usize,
    offered: u64,
    connected: bool,
    /// Older messages are still to be brought.
    backlog: bool,
    /// A message with a ticket was forgotten while connected.
    spilled: bool,
    /// A message with a ticket was sent and not delivered.
    lost: bool,
    flow: Flow,
    live: VecDeque<Entry<T>>,
    stored: VecDeque<Entry<T>>,
    kept: VecDeque<Entry<T>>,
    in_flight: BTreeMap<MessageId, (Lane, Entry<T>)>,
    acknowledged: Vec<(Ticket, SystemTime)>,
    /// Tickets of everything above: what is here already need not be brought.
    held: HashSet<Ticket>,
}

impl<T> Outbox<T> {
    /// An empty outbox without a connection. `capacity` bounds all messages that wait; how many are in flight is up to
    /// whoever takes them.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self {
            capacity: capacity.get(),
            offered: 0,
            connected: false,
            backlog: false,
            spilled: false,
            lost: false,
            flow: Flow::Wide,
            live: VecDeque::new(),
            stored: VecDeque::new(),
            kept: VecDeque::new(),
            in_flight: BTreeMap::new(),
            acknowledged: Vec::new(),
            held: HashSet::new(),
        }
    }

    /// Takes a new message. One with a ticket is left to the caller's record if there is no connection. When the
    /// outbox is full, a message that waits makes room: rather one with a ticket, which the caller brings again, else the
    /// oldest, which is returned; the caller must report it. One in flight never does: the broker may already have it.
    pub fn offer(&mut self, ticket: Option<Ticket>, item: T) -> Option<T> {
        if ticket.is_some() && !self.connected {
            return None;
        }
        let evicted = if self.queued() < self.capacity { None } else { self.evict() };
        let entry = self.entry(ticket, item);
        let queue = if self.connected { &mut self.live } else { &mut self.kept };
        queue.push_back(entry);
        evicted
    }

    /// Takes an old message out of the caller's record. False, and nothing happens, if there is no connection or no
    /// [`room`](Self::room), or if the message is still here.
    pub fn bring(&mut self, ticket: Ticket, item: T) -> bool {
        if self.room() == 0 || self.held.contains(&ticket) {
            return false;
        }
        let entry = self.entry(Some(ticket), item);
        self.stored.push_back(entry);
        true
    }

    /// How many messages may be brought now.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.connected && self.flow == Flow::Wide {
            ROOM.saturating_sub(self.stored.len()).min(self.capacity.saturating_sub(self.queued()))
        } else {
            usize::from(
                self.connected && self.stored.is_empty() && self.may_send_stored() && self.queued() < self.capacity,
            )
        }
    }

    /// Sets how freely messages that waited go out. Once all may, what was not delivered is to be brought again.
    pub const fn set_flow(&mut self, flow: Flow) {
        self.flow = flow;
        if matches!(flow, Flow::Wide) && self.lost {
            self.lost = false;
            self.spilled = true;
        }
    }

    fn may_send_stored(&self) -> bool {
        match self.flow {
            Flow::Wide => true,
            Flow::Narrow => self.in_flight.values().all(|(lane, _)| *lane == Lane::Live),
            Flow::Shut => false,
        }
    }

    /// Whether the caller's record holds older messages that are still to be brought.
    pub const fn set_backlog(&mut self, backlog: bool) {
        self.backlog = backlog;
    }

    /// Whether messages with a ticket were forgotten, although connected, since the last call. Those that were not delivered
    /// count when the caller has brought all others.
    pub const fn take_spilled(&mut self) -> bool {
        let lost = self.lost && !self.backlog && !matches!(self.flow, Flow::Shut);
        if lost {
            self.lost = false;
        }
        std::mem::replace(&mut self.spilled, false) || lost
    }

    /// Tickets of messages that were acknowledged since the last call, in that order, and when.
    #[must_use]
    pub fn take_acknowledged(&mut self) -> Vec<(Ticket, SystemTime)> {
        for (ticket, _) in &self.acknowledged {
            self.held.remove(ticket);
        }
        std::mem::take(&mut self.acknowledged)
    }

    /// The caller's record is gone, and its tickets name other messages from now on, or none: what is here stays until it
    /// is acknowledged, and what was acknowledged is done.
    pub fn void_tickets(&mut self) {
        let waiting = self.live.iter_mut().chain(&mut self.stored).chain(&mut self.kept);
        for entry in waiting.chain(self.in_flight.values_mut().map(|(_, entry)| entry)) {
            entry.ticket = None;
        }
        // These are not resent.
        self.kept.extend(self.stored.drain(..));
        self.kept.make_contiguous().sort_unstable_by_key(|entry| entry.id);
        self.held.clear();
        self.acknowledged.clear();
        (self.spilled, self.lost) = (false, false);
    }

    fn entry(&mut self, ticket: Option<Ticket>, item: T) -> Entry<T> {
        let id = MessageId(self.offered);
        self.offered += 1;
        self.held.extend(ticket);
        Entry { id, ticket, item }
    }

    fn evict(&mut self) -> Option<T> {
        let forgettable = self.live.front().is_some_and(|entry| entry.ticket.is_some());
        // The newest of the stored: it comes again behind those that stay.
        let first = match self.stored.pop_back() {
            Some(entry) => Some(entry),
            None if forgettable => self.live.pop_front(),
            None => self.kept.pop_front().or_else(|| self.live.pop_front()),
        };
        let entry = first?;
        match entry.ticket {
            Some(ticket) => {
                self.held.remove(&ticket);
                self.spilled = true;
                None
            }
            None => Some(entry.item),
        }
    }

    /// A connection began: what is offered from now on is live.
    pub const fn connect(&mut self) {
        self.connected = true;
    }

    /// The connection ended: what has a ticket is forgotten, and the rest is kept in the order of offering.
    pub fn disconnect(&mut self) {
        self.connected = false;
        (self.spilled, self.lost) = (false, false);
        // What is in flight was dispatched from the front of its queue: it is older than all that waits there.
        let (older, newer): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.in_flight).into_values().partition(|(lane, _)| *lane == Lane::Stored);
        let waited = std::mem::take(&mut self.kept);
        let in_order = older.into_iter().map(|(_, entry)| entry).chain(waited);
        let in_order = in_order.chain(newer.into_iter().map(|(_, entry)| entry)).chain(self.live.drain(..));
        self.kept = in_order.filter(|entry| entry.ticket.is_none()).collect();
        self.stored.clear();
        self.held = self.acknowledged.iter().map(|(ticket, _)| *ticket).collect();
    }

    /// The next message to send, live ones first; `None` if none may go now or there is no connection.
    pub fn dispatch(&mut self) -> Option<Dispatch<'_, T>> {
        if !self.connected {
            return None;
        }
        let (lane, entry) = if let Some(entry) = self.live.pop_front() {
            (Lane::Live, entry)
        } else if !self.may_send_stored() {
            return None;
        } else if let Some(entry) = self.stored.pop_front() {
            (Lane::Stored, entry)
        } else if self.backlog {
            return None;
        } else {
            (Lane::Stored, self.kept.pop_front()?)
        };
        let id = entry.id;
        let (_, entry) = self.in_flight.entry(id).or_insert((lane, entry));
        Some(Dispatch { id, lane, item: &entry.item })
    }

    /// The broker has the message, as was learnt at `at`: it leaves. `None` for one that is not in flight.
    pub fn acknowledge(&mut self, id: MessageId, at: SystemTime) -> Option<T> {
        let (_, entry) = self.in_flight.remove(&id)?;
        self.acknowledged.extend(entry.ticket.map(|ticket| (ticket, at)));
        Some(entry.item)
    }

    /// A message that was sent was not delivered: it is owed again. What the caller's record holds is forgotten here and
    /// brought again; anything else waits for its turn.
    pub fn lose(&mut self, id: MessageId) {
        let Some((_, entry)) = self.in_flight.remove(&id) else { return };
        if let Some(ticket) = entry.ticket {
            self.held.remove(&ticket);
            self.lost = true;
        } else {
            let at = self.kept.partition_point(|kept| kept.id < entry.id);
            self.kept.insert(at, entry);
        }
    }

    /// Messages that wait to be sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.live.len() + self.stored.len() + self.kept.len()
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

    /// Messages that no record of the caller holds.
    #[must_use]
    pub fn unrecorded(&self) -> usize {
        self.len() - (self.held.len() - self.acknowledged.len())
    }

    /// True if nothing is owed to the broker, as far as this outbox knows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
