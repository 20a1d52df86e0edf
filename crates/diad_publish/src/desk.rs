//! What the stages and the link's thread share: the outbox, the state to announce, and the counts.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;

use crate::outbox::{Flow, Lane, MessageId, Outbox, Ticket};
use crate::sparkplug::{Mirror, Said};
use crate::wire::{Heartbeat, HeartbeatMessage, Inbound, RejectBit, RejectMessage, StateMessage, VerdictMessage};

#[cfg(test)]
mod tests;

/// The state where the broker cuts at a size: what lies with it as the last will is hardly shorter, so this is not cut.
const SHORT_STATE_BYTES: usize = 160;

/// How the link is, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// True between the broker's acceptance and the end of that connection.
    pub connected: bool,
    /// When `connected` last changed, wall clock.
    pub since: SystemTime,
    /// Connections that a broker accepted since the start.
    pub connections: u64,
    /// False after a broker refused the trigger or product subscription of this connection.
    pub subscribed: bool,
    /// Whether a trigger that comes in now proves that it has not waited on its way from the broker.
    pub prompt: bool,
    /// Verdicts in memory that wait to be sent.
    pub queued: usize,
    /// Verdicts sent and not acknowledged.
    pub in_flight: usize,
    /// Verdicts acknowledged since the start.
    pub acknowledged: u64,
    /// Verdicts in no record that left unacknowledged because the outbox was full or the link had ended.
    pub dropped: u64,
    /// Reject bits acknowledged since the start; behind `acknowledged` by those that came too late for
    /// the gate.
    pub rejects_acknowledged: u64,
    /// Inbound messages refused since the start.
    pub inbound_refused: u64,
    /// Those of them whose meaning is not certain: a trigger is a part that cannot be judged, and after a product it is not
    /// known what the parts are.
    pub inbound_unread: u64,
    /// What was wrong with the last of these, and how it begins.
    pub last_unread: Option<String>,
    /// Inbound messages lost since the start because nobody took them from the channel in time.
    pub inbound_lost: u64,
    /// Verdicts left out of the Sparkplug mirror since the start; their JSON is not touched by that.
    pub mirror_lost: u64,
    /// Why the last connection or attempt ended.
    pub last_error: Option<String>,
    /// What the link has found out to be wrong between station and plant.
    pub faults: LinkFaults,
}

/// What is wrong between station and plant although a broker accepts connections; each in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkFaults {
    /// Connections end again and again.
    pub flapping: Option<String>,
    /// What the station publishes does not come back to it: nobody may get it.
    pub undelivered: Option<String>,
    /// Messages of the plant do not reach the station.
    pub withheld: Option<String>,
    /// A message far too long lies on a topic that the station reads.
    pub oversized: Option<String>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Verdicts acknowledged since the start.
    pub acknowledged: u64,
    /// Verdicts in memory that nobody acknowledged.
    pub remaining: usize,
    /// True if the broker acknowledged the state `offline`. If not, its last will says so in our place.
    pub offline_acknowledged: bool,
}

/// One part's messages. The bit is sent right after the verdict, and only while live.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingVerdict {
    pub(crate) verdict: VerdictMessage,
    /// None for a part whose moment at the gate has passed.
    pub(crate) bit: Option<GateBit>,
}

/// A bit, and how long its part can be at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GateBit {
    pub(crate) bit: RejectBit,
    pub(crate) until: Instant,
}

impl OutgoingVerdict {
    /// The bit, if the parcel goes out by `lane` at `now` in time for the gate. Without one the verdict is for the record.
    fn live_bit(&self, lane: Lane, now: Instant) -> Option<RejectBit> {
        match (lane, self.bit) {
            (Lane::Live, Some(GateBit { bit, until })) if now <= until => Some(bit),
            _ => None,
        }
    }
}

/// What the link's thread shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Run,
    /// Stop when nothing is owed, at the latest at this time.
    Drain(Instant),
    /// Stop now, without a word.
    Abandon,
}

/// A message ready to be handed to the client library.
pub(crate) enum LinkMessage {
    State(Vec<u8>),
    Heartbeat(Vec<u8>),
    /// Without a verdict where that is held back: it stays owed.
    Part {
        id: MessageId,
        verdict: Option<Vec<u8>>,
        reject: Option<Vec<u8>>,
    },
}

pub(crate) struct Desk {
    pub(crate) outbox: Outbox<OutgoingVerdict>,
    pub(crate) order: Order,
    pub(crate) status: LinkStatus,
    /// Payloads of this many bytes, or more, would end the connection.
    pub(crate) limit: Option<usize>,
    /// The topic on which a message came that is too long, whether it is retained, and when it came.
    pub(crate) oversized: Option<(String, bool, Instant)>,
    /// Nobody takes messages from the plant any more.
    pub(crate) deaf: bool,
    /// Hears what goes out, where the station is a Sparkplug node too.
    pub(crate) mirror: Option<Arc<Mirror>>,
    state: StateMessage,
    state_is_news: bool,
    heartbeat: Option<Heartbeat>,
    beats: u64,
    /// Set by the link's thread when it ends.
    pub(crate) ended: Option<DrainReport>,
}

impl Desk {
    pub(crate) fn new(outbox: Outbox<OutgoingVerdict>, state: StateMessage, now: SystemTime) -> Self {
        let status = LinkStatus {
            connected: false,
            since: now,
            connections: 0,
            subscribed: false,
            prompt: false,
            queued: 0,
            in_flight: 0,
            acknowledged: 0,
            dropped: 0,
            rejects_acknowledged: 0,
            inbound_refused: 0,
            inbound_unread: 0,
            last_unread: None,
            inbound_lost: 0,
            mirror_lost: 0,
            last_error: None,
            faults: LinkFaults::default(),
        };
        let (order, ended) = (Order::Run, None);
        Self {
            outbox,
            order,
            status,
            limit: None,
            oversized: None,
            deaf: false,
            mirror: None,
            state,
            state_is_news: false,
            heartbeat: None,
            beats: 0,
            ended,
        }
    }

    /// Takes a part's messages; returns one that had to leave without acknowledgement and is in no record.
    pub(crate) fn offer(&mut self, ticket: Option<Ticket>, parcel: OutgoingVerdict) -> Option<OutgoingVerdict> {
        let left = match (self.ended, ticket) {
            (None, ticket) => self.outbox.offer(ticket, parcel),
            (Some(_), Some(_)) => None,
            (Some(_), None) => Some(parcel),
        };
        self.status.dropped += u64::from(left.is_some());
        left
    }

    pub(crate) fn set_state(&mut self, state: StateMessage) {
        if let Some(mirror) = &self.mirror {
            mirror.set_state(state.clone());
        }
        self.state = state;
        self.state_is_news = true;
    }

    /// Counts a heartbeat; it is sent only if there is a connection, for an old one says nothing.
    pub(crate) fn beat(&mut self, heartbeat: Heartbeat) {
        self.beats += 1;
        if let Some(mirror) = &self.mirror {
            mirror.beat(heartbeat);
        }
        self.heartbeat = self.status.connected.then_some(heartbeat);
    }

    /// Counts a message from the plant that is not as it should be.
    pub(crate) fn note_inbound(&mut self, received: &Inbound) {
        let (error, begins): (&(dyn Error + 'static), _) = match received {
            Inbound::Trigger { .. } | Inbound::Product { .. } => return,
            Inbound::Fault(_) => {
                self.status.inbound_refused += 1;
                return;
            }
            Inbound::UnclearTrigger { unclear, begins, .. } => (unclear, begins),
            Inbound::UnclearProduct { error, begins, .. } => (error, begins),
        };
        self.status.inbound_refused += 1;
        self.status.inbound_unread += 1;
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain = format!("{chain}: {cause}");
            source = cause.source();
        }
        self.status.last_unread = Some(format!("{chain}; it begins with {begins}"));
    }

    pub(crate) fn connect(&mut self, now: SystemTime) {
        self.outbox.connect();
        self.outbox.set_flow(if self.limit.is_some() { Flow::Shut } else { Flow::Narrow });
        // A broker may have forgotten it, or hold our own last will.
        self.state_is_news = true;
        self.heartbeat = None;
        self.status.connected = true;
        self.status.subscribed = true;
        self.status.connections += 1;
        self.status.since = now;
    }

    pub(crate) fn disconnect(&mut self, now: SystemTime, reason: String) {
        self.outbox.disconnect();
        if self.status.connected {
            self.status.since = now;
        }
        self.status.connected = false;
        self.status.subscribed = false;
        self.status.prompt = false;
        self.status.last_error = Some(reason);
    }

    /// What to send next: news of the state, then a heartbeat, then parts. A verdict that comes too late for the gate,
    /// because a connection ended or somebody on the way took too long, goes out as stored and without a bit.
    pub(crate) fn next(&mut self, now: Instant) -> Option<LinkMessage> {
        if self.state_is_news {
            self.state_is_news = false;
            return Some(LinkMessage::State(match self.limit {
                None => self.state.to_json(),
                Some(limit) => self.state.to_json_below(limit.min(SHORT_STATE_BYTES)),
            }));
        }
        if let Some(beat) = self.heartbeat.take() {
            let unrecorded = self.outbox.unrecorded() as u64;
            return Some(LinkMessage::Heartbeat(
                HeartbeatMessage::new(self.beats, self.state.state, &beat, unrecorded).to_json(),
            ));
        }
        let dispatch = self.outbox.dispatch()?;
        let OutgoingVerdict { verdict, .. } = dispatch.item;
        let bit = dispatch.item.live_bit(dispatch.lane, now);
        let lane = if bit.is_some() { Lane::Live } else { Lane::Stored };
        let reject = bit.map(|bit| RejectMessage::new(verdict, bit).to_json());
        if let Some(mirror) = &self.mirror {
            mirror.say(Said { verdict: verdict.clone(), bit });
        }
        let (id, verdict) = (dispatch.id, Some(verdict.to_json(lane)));
        let verdict = verdict.filter(|verdict| self.limit.is_none_or(|limit| verdict.len() < limit));
        if verdict.is_none() {
            self.outbox.lose(id);
        }
        Some(LinkMessage::Part { id, verdict, reject })
    }

    pub(crate) fn acknowledge(&mut self, id: MessageId) {
        self.status.acknowledged += u64::from(self.outbox.acknowledge(id, SystemTime::now()).is_some());
    }

    pub(crate) fn snapshot(&self) -> LinkStatus {
        LinkStatus {
            queued: self.outbox.queued(),
            in_flight: self.outbox.in_flight(),
            mirror_lost: self.mirror.as_ref().map_or(0, |mirror| mirror.lost()),
            ..self.status.clone()
        }
    }
}

/// The desk behind its lock. The lock is held for one queue operation at a time, never over an await, so that
/// nobody who takes it waits for the broker.
pub(crate) struct SharedLink {
    desk: Mutex<Desk>,
    /// Rings when there is something new on the desk.
    pub(crate) bell: Notify,
    progress: AtomicU64,
}

impl SharedLink {
    pub(crate) fn new(desk: Desk) -> Self {
        Self { desk: Mutex::new(desk), bell: Notify::new(), progress: AtomicU64::new(0) }
    }

    /// A panic elsewhere leaves counts and queues that are whole: every change to them is one step.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tick(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }
}
