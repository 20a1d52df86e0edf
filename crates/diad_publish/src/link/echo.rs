//! What comes back of what the station publishes: a pure state machine.
//!
//! A broker may acknowledge a message and deliver it to no subscriber: MQTT 3.1.1 has no other answer for a message that its
//! access rules deny or that is too long for it. So the station subscribes to what it writes, and a message counts as
//! delivered when the broker has acknowledged it and has sent it back.
//!
//! All times are those in which this thread ran: while the process stands still, no message is overdue.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::outbox::MessageId;

#[cfg(test)]
mod tests;

/// How long after its acknowledgement a message may take to come back.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// A topic is at fault for at least this long after a message on it did not come back.
const REMEMBERED: Duration = Duration::from_secs(10);

/// A broker that ends the connection at a message does so within this time and the longest that an acknowledgement took.
const PROMPT: Duration = Duration::from_millis(250);

/// The most that one look adds to the time in which this thread ran.
const LOOK_AT_MOST: Duration = Duration::from_millis(250);

/// Heartbeats in a row that must be missing: a broker may leave out a message of QoS 0 when it is busy.
const HEARTBEATS_MISSING: u64 = 3;

/// A topic that the station writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Own {
    Verdict,
    Reject,
    State,
    Heartbeat,
}

impl Own {
    /// In the order in which they are subscribed.
    pub(crate) const ALL: [Self; 4] = [Self::Verdict, Self::Reject, Self::State, Self::Heartbeat];
}

/// Names one message of this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EchoId(u64);

/// A message that was handed over.
#[derive(Debug)]
struct Expected {
    own: Own,
    print: u64,
    bytes: usize,
    verdict: Option<MessageId>,
    /// When it was handed over.
    sent: Duration,
    /// When the broker acknowledged it.
    acknowledged: Option<Duration>,
    came_back: bool,
}

/// What is known of one topic.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Messages that did not come back, since the topic was last well.
    missing: u64,
    /// The shortest of them, in bytes.
    shortest: usize,
    /// When the last of them was given up.
    last_missing: Duration,
    /// Whether one has come back since then.
    came_back: bool,
}

/// A topic on which messages do not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent {
    pub(crate) own: Own,
    /// Messages that did not come back.
    pub(crate) missing: u64,
    /// The shortest of them, in bytes.
    pub(crate) shortest: usize,
}

/// The messages of one connection that were handed over and have not come back.
#[derive(Debug)]
pub(crate) struct Echo {
    active: Duration,
    looked: Instant,
    /// When the broker has last sent anything.
    activity: Duration,
    next: u64,
    expected: BTreeMap<EchoId, Expected>,
    by_print: HashMap<u64, EchoId>,
    known: [Known; Own::ALL.len()],
    /// Longest message that the broker has acknowledged, in bytes.
    longest_acknowledged: usize,
    /// Longest time from the handover of a message to its acknowledgement.
    slowest_acknowledgement: Duration,
}

impl Echo {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            active: Duration::ZERO,
            looked: now,
            activity: Duration::ZERO,
            next: 0,
            expected: BTreeMap::new(),
            by_print: HashMap::new(),
            known: [Known::default(); Own::ALL.len()],
            longest_acknowledged: 0,
            slowest_acknowledgement: Duration::ZERO,
        }
    }

    /// The thread runs. To be called whenever it does.
    pub(crate) fn look(&mut self, now: Instant) {
        let since = now.saturating_duration_since(std::mem::replace(&mut self.looked, now));
        self.active += since.min(LOOK_AT_MOST);
    }

    /// How long this thread has run over this connection.
    pub(crate) const fn active(&self) -> Duration {
        self.active
    }

    /// The broker sent something.
    pub(crate) const fn note_activity(&mut self) {
        self.activity = self.active;
    }

    /// When the broker has last sent anything.
    pub(crate) const fn last_activity(&self) -> Duration {
        self.activity
    }

    /// A message was handed over.
    pub(crate) fn sent(&mut self, own: Own, payload: &[u8], verdict: Option<MessageId>) -> EchoId {
        let id = EchoId(self.next);
        self.next += 1;
        let print = print(own, payload);
        // QoS 0 has no acknowledgement.
        let acknowledged = (own == Own::Heartbeat).then_some(self.active);
        let expected =
            Expected { own, print, bytes: payload.len(), verdict, sent: self.active, acknowledged, came_back: false };
        self.expected.insert(id, expected);
        self.by_print.insert(print, id);
        id
    }

    /// The broker acknowledged a message. Gives the verdict that is delivered by that.
    pub(crate) fn acknowledged(&mut self, id: EchoId) -> Option<MessageId> {
        let expected = self.expected.get_mut(&id)?;
        self.longest_acknowledged = self.longest_acknowledged.max(expected.bytes);
        self.slowest_acknowledgement = self.slowest_acknowledgement.max(self.active.saturating_sub(expected.sent));
        if expected.came_back {
            return self.take(id)?.verdict;
        }
        expected.acknowledged = Some(self.active);
        None
    }

    /// A message came back. Gives the verdict that is delivered by that.
    pub(crate) fn came(&mut self, own: Own, payload: &[u8]) -> Option<MessageId> {
        let id = *self.by_print.get(&print(own, payload))?;
        let expected = self.expected.get_mut(&id)?;
        expected.came_back = true;
        let acknowledged = expected.acknowledged.is_some();
        self.known[own as usize].came_back = true;
        if acknowledged { self.take(id)?.verdict } else { None }
    }

    fn take(&mut self, id: EchoId) -> Option<Expected> {
        let expected = self.expected.remove(&id)?;
        if self.by_print.get(&expected.print) == Some(&id) {
            self.by_print.remove(&expected.print);
        }
        Some(expected)
    }

    /// Gives up what did not come back although the broker has gone on, and gives the verdicts among them.
    pub(crate) fn overdue(&mut self) -> Vec<MessageId> {
        let (active, activity) = (self.active, self.activity);
        let is_overdue = |expected: &Expected| {
            expected.acknowledged.is_some_and(|at| active.saturating_sub(at) > PATIENCE && activity > at)
        };
        let ids: Vec<_> = self.expected.iter().filter(|(_, e)| is_overdue(e)).map(|(id, _)| *id).collect();
        let mut verdicts = Vec::new();
        for id in ids {
            let Some(expected) = self.take(id) else { continue };
            let known = &mut self.known[expected.own as usize];
            known.shortest = if known.missing == 0 { expected.bytes } else { known.shortest.min(expected.bytes) };
            known.missing += 1;
            known.last_missing = active;
            known.came_back = false;
            verdicts.extend(expected.verdict);
        }
        for known in &mut self.known {
            if known.came_back && active.saturating_sub(known.last_missing) >= REMEMBERED {
                known.missing = 0;
            }
        }
        verdicts
    }

    /// Topics on which messages do not come back.
    pub(crate) fn silent(&self) -> Vec<Silent> {
        let all = Own::ALL.map(|own| (own, self.known[own as usize]));
        let silent = all.into_iter().filter(|(own, known)| known.missing >= least_missing(*own));
        silent.map(|(own, known)| Silent { own, missing: known.missing, shortest: known.shortest }).collect()
    }

    /// Whether verdicts come back, and all of them.
    pub(crate) const fn verdicts_are_well(&self) -> bool {
        let known = self.known[Own::Verdict as usize];
        known.came_back && known.missing == 0
    }

    /// The longest message that the broker has not acknowledged, if it is longer than all that it has, and if the broker was
    /// acknowledging until then: one at which it ends the connection is not open for long.
    pub(crate) fn stopped_at(&self) -> Option<(Own, usize)> {
        let open = || self.expected.values().filter(|expected| expected.acknowledged.is_none() && !expected.came_back);
        let first = open().next()?;
        if self.active.saturating_sub(first.sent) > self.slowest_acknowledgement + PROMPT {
            return None;
        }
        let longest = open().max_by_key(|expected| expected.bytes).map(|expected| (expected.own, expected.bytes));
        longest.filter(|(_, bytes)| *bytes > self.longest_acknowledged)
    }

    /// Longest message that the broker has acknowledged over this connection, in bytes.
    pub(crate) const fn longest_acknowledged(&self) -> usize {
        self.longest_acknowledged
    }
}

const fn least_missing(own: Own) -> u64 {
    match own {
        Own::Verdict | Own::Reject | Own::State => 1,
        Own::Heartbeat => HEARTBEATS_MISSING,
    }
}

/// Of topic and payload.
fn print(own: Own, payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (own, payload).hash(&mut hasher);
    hasher.finish()
}
