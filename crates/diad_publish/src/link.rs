//! The link's thread: one connection after another, and one loop that never stops polling.
//!
//! # Why the client library keeps nothing for us
//! rumqttc 0.25.1 keeps what is not acknowledged and sends it again, but only if the broker kept the session: a
//! broker that comes back without one makes it discard everything, accepted messages included. So the outbox is the
//! only truth. Every connection gets a client of its own; when it ends, the client goes with all that it held, and
//! the outbox hands out again whatever was not acknowledged. Nothing is lost with the library's queue, and nothing
//! is sent by it a second time.
//!
//! # Why a broker that hangs gets nothing more
//! A message that was written cannot be taken back: a broker that stands still for seconds and goes on without ending
//! the connection delivers all that lies in its socket, reject bits included, to gates where other parts are by then.
//! So nothing is handed over while the broker owes acknowledgements and has given none for [`STALL`]. What waits on
//! the desk meanwhile can still lose its bit; what was written before cannot, and is as little as that time allows.
//!
//! # Why the poll is never cancelled
//! Dropping a poll between "counted as sent" and "written" would lose a packet until the connection ends. One poll
//! is therefore pinned and driven to its end while the bell and the tick are served beside it. Messages go in by
//! `try_publish`, whose channel has room for more than the window of messages under way; waiting for room would be
//! waiting for the broker.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Sender, TrySendError};
use diad_core::frame::Stamp;
use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, Event, Packet, Publish, QoS, SubscribeFilter,
    SubscribeReasonCode,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::backoff::Backoff;
use crate::broker::{Broker, WINDOW};
use crate::desk::{Desk, DrainReport, Order, Outgoing, Shared};
use crate::handover::Handover;
use crate::outbox::MessageId;
use crate::topic::Topics;
use crate::wire::{Begins, Inbound, InboundError, ProductMessage, State, StateMessage, TriggerMessage};

#[cfg(test)]
mod tests;

/// How often the thread looks up from an idle connection: for the watchdog and for deadlines.
const TICK: Duration = Duration::from_millis(50);

/// A broker that acknowledges nothing for this long hangs. Far above the round trip of a plant's network; a slower one
/// only makes pauses, for the next acknowledgement ends them.
const STALL: Duration = Duration::from_millis(250);

/// A broker that acknowledges nothing for this long will not acknowledge what it was given: a new connection brings it
/// again. No later than a broker that answers nothing at all is given up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Time for the broker to acknowledge `offline` after the deadline of a drain.
pub(crate) const FAREWELL: Duration = Duration::from_millis(250);

/// What a packet number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Verdict(MessageId),
    Reject,
    State,
    Heartbeat,
    Goodbye,
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// By order. True if the broker acknowledged `offline` first.
    Ordered { said_goodbye: bool },
    /// By failure, in words for an operator.
    Lost(String),
}

/// How far a farewell has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    NotYet,
    Told,
    Leaving,
}

/// One connection.
struct Session {
    client: AsyncClient,
    handover: Handover<Slot>,
    accepted: Option<Instant>,
    farewell: Farewell,
}

pub(crate) struct Link {
    shared: Arc<Shared>,
    broker: Broker,
    topics: Topics,
    inbound: Sender<Inbound>,
}

impl Link {
    pub(crate) const fn new(shared: Arc<Shared>, broker: Broker, topics: Topics, inbound: Sender<Inbound>) -> Self {
        Self { shared, broker, topics, inbound }
    }

    /// Connects until ordered to stop.
    pub(crate) async fn run(self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = Backoff::new();
        let said_goodbye = loop {
            let (held, end) = self.connection(&mut tick).await;
            let reason = match end {
                End::Ordered { said_goodbye } => break said_goodbye,
                End::Lost(reason) => reason,
            };
            self.note_loss(held.is_some(), &reason);
            let wait = backoff.after(held.unwrap_or_default(), chance());
            if self.pause(wait, &mut tick).await {
                break false;
            }
        };
        let mut desk = self.shared.desk();
        desk.disconnect(SystemTime::now(), "link ended".to_owned());
        let (acknowledged, remaining) = (desk.status.acknowledged, desk.outbox.len());
        desk.ended = Some(DrainReport { acknowledged, remaining, said_goodbye });
    }

    /// One connection from attempt to end, and how long it held after the broker had accepted it.
    async fn connection(&self, tick: &mut Interval) -> (Option<Duration>, End) {
        let (client, mut events) = self.broker.link_client(&self.topics, SystemTime::now());
        let mut session =
            Session { client, handover: Handover::new(Instant::now()), accepted: None, farewell: Farewell::NotYet };
        let end = loop {
            let polled = {
                let mut poll = pin!(events.poll());
                loop {
                    tokio::select! {
                        biased;
                        polled = &mut poll => break Ok(polled),
                        () = self.shared.bell.notified() => {}
                        _ = tick.tick() => {}
                    }
                    self.shared.tick();
                    if let Some(end) = self.serve(&mut session) {
                        break Err(end);
                    }
                }
            };
            self.shared.tick();
            let taken = match polled {
                Err(end) => Some(end),
                Ok(Ok(event)) => self.take(&mut session, event),
                Ok(Err(error)) => {
                    // Acknowledgements that came in together with the failure: each saves a repeat.
                    for event in std::mem::take(&mut events.state.events) {
                        self.take(&mut session, event);
                    }
                    Some(End::Lost(describe(&error)))
                }
            };
            if let Some(end) = taken.or_else(|| self.serve(&mut session)) {
                break end;
            }
        };
        (session.accepted.map(|at| at.elapsed()), end)
    }

    /// Does what the desk asks for.
    fn serve(&self, session: &mut Session) -> Option<End> {
        let mut desk = self.shared.desk();
        if session.accepted.is_none() {
            return ordered_while_away(&desk).then_some(End::Ordered { said_goodbye: false });
        }
        if session.handover.stalled(GIVE_UP, Instant::now()) {
            let reason = format!("the broker acknowledged nothing for {} s", GIVE_UP.as_secs());
            return Some(End::Lost(reason));
        }
        let handed = match desk.order {
            Order::Abandon => return Some(End::Ordered { said_goodbye: false }),
            Order::Drain(deadline) => {
                let now = Instant::now();
                if now >= deadline + FAREWELL {
                    return Some(End::Ordered { said_goodbye: false });
                }
                let settled = desk.outbox.is_empty() && session.handover.len() == 0;
                if session.farewell == Farewell::NotYet && (settled || now >= deadline) {
                    self.say_goodbye(session)
                } else {
                    self.hand_over(&mut desk, session)
                }
            }
            Order::Run => self.hand_over(&mut desk, session),
        };
        // The library's channel is wider than the window: this cannot happen while it runs.
        handed.err().map(|_| End::Lost("the client library takes no more messages".to_owned()))
    }

    /// Hands messages to the library until the window is full or nothing waits; none to a broker that hangs.
    fn hand_over(&self, desk: &mut Desk, session: &mut Session) -> Result<(), ClientError> {
        let now = Instant::now();
        if session.handover.stalled(STALL, now) {
            return Ok(());
        }
        // Two at a time: a verdict and its bit stay together.
        while session.farewell == Farewell::NotYet && session.handover.len() + 2 <= WINDOW {
            match desk.next(now) {
                None => break,
                Some(Outgoing::State(payload)) => {
                    session.publish(&self.topics.state, QoS::AtLeastOnce, Retain::Yes, payload, Slot::State)?;
                }
                Some(Outgoing::Heartbeat(payload)) => {
                    let topic = &self.topics.heartbeat;
                    session.publish(topic, QoS::AtMostOnce, Retain::No, payload, Slot::Heartbeat)?;
                }
                Some(Outgoing::Part { id, verdict, reject }) => {
                    let topic = &self.topics.verdict;
                    session.publish(topic, QoS::AtLeastOnce, Retain::No, verdict, Slot::Verdict(id))?;
                    if let Some(reject) = reject {
                        let topic = &self.topics.reject;
                        session.publish(topic, QoS::AtLeastOnce, Retain::No, reject, Slot::Reject)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn say_goodbye(&self, session: &mut Session) -> Result<(), ClientError> {
        session.farewell = Farewell::Told;
        let state = StateMessage::new(State::Offline, "stopped", SystemTime::now()).to_json();
        session.publish(&self.topics.state, QoS::AtLeastOnce, Retain::Yes, state, Slot::Goodbye)
    }

    /// Takes in what the library reports.
    fn take(&self, session: &mut Session, event: Event) -> Option<End> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => return self.begin(session),
            Event::Incoming(Packet::PubAck(ack)) => match session.handover.acknowledged(ack.pkid, Instant::now()) {
                Some(Slot::Verdict(id)) => self.shared.desk().acknowledge(id),
                Some(Slot::Reject) => self.shared.desk().status.rejects_acknowledged += 1,
                Some(Slot::Goodbye) => {
                    session.farewell = Farewell::Leaving;
                    if session.client.try_disconnect().is_err() {
                        return Some(End::Ordered { said_goodbye: true });
                    }
                }
                Some(Slot::State | Slot::Heartbeat) | None => {}
            },
            Event::Incoming(Packet::SubAck(ack)) if ack.return_codes.contains(&SubscribeReasonCode::Failure) => {
                let reason = "the broker refused the trigger or product subscription; check its access rules";
                tracing::error!(broker = %self.broker.url(), "{reason}");
                let mut desk = self.shared.desk();
                desk.status.subscribed = false;
                desk.status.last_error = Some(reason.to_owned());
            }
            Event::Incoming(Packet::Publish(message)) => self.hear(&message),
            Event::Outgoing(rumqttc::Outgoing::Publish(packet)) => session.handover.written(packet),
            Event::Outgoing(rumqttc::Outgoing::Disconnect) => {
                return Some(End::Ordered { said_goodbye: session.farewell == Farewell::Leaving });
            }
            _ => {}
        }
        None
    }

    /// The broker accepted us. The library reports this for a positive answer only; a refusal is an error.
    fn begin(&self, session: &mut Session) -> Option<End> {
        session.accepted = Some(Instant::now());
        self.shared.desk().connect(SystemTime::now());
        tracing::info!(broker = %self.broker.url(), "broker connected");
        let filters = [&self.topics.product, &self.topics.trigger]
            .map(|topic| SubscribeFilter { path: topic.clone(), qos: QoS::AtLeastOnce });
        match session.client.try_subscribe_many(filters) {
            Ok(()) => None,
            Err(_) => Some(End::Lost("the client library refused to subscribe".to_owned())),
        }
    }

    /// A message from the plant.
    fn hear(&self, message: &Publish) {
        let at = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        let topic = message.topic.as_str();
        let payload = &message.payload;
        if payload.is_empty() && (topic == self.topics.trigger || topic == self.topics.product) {
            // How a retained message is taken back: no part, and no product.
            tracing::info!(topic, "empty message let be");
            return;
        }
        let heard = if topic == self.topics.trigger {
            match TriggerMessage::parse(topic, payload) {
                _ if message.retain => Inbound::Fault(InboundError::Retained { topic: topic.to_owned() }),
                Ok(trigger) => Inbound::Trigger { trigger, at },
                Err(unclear) => Inbound::UnclearTrigger { unclear, begins: Begins::of(payload), at },
            }
        } else if topic == self.topics.product {
            match ProductMessage::parse(topic, payload) {
                Ok(product) => Inbound::Product { product, at },
                Err(error) => Inbound::UnclearProduct { error, begins: Begins::of(payload), at },
            }
        } else {
            tracing::warn!(topic, "message on a topic that was not asked for");
            return;
        };
        // Under one lock with the count: once the desk is deaf, nothing more reaches the channel.
        let mut desk = self.shared.desk();
        desk.note_inbound(&heard);
        if desk.deaf {
            desk.status.inbound_lost += 1;
            tracing::error!(message = ?heard, "message from the plant lost: the station has stopped");
            return;
        }
        match self.inbound.try_send(heard) {
            Ok(()) => {}
            Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) => {
                desk.status.inbound_lost += 1;
                tracing::error!(message = ?lost, "message from the plant lost: nobody took the ones before it");
            }
        }
    }

    /// Returns what is unacknowledged to the outbox and says why, once per reason.
    fn note_loss(&self, was_connected: bool, reason: &str) {
        let (known, owed) = {
            let mut desk = self.shared.desk();
            let known = desk.status.last_error.as_deref() == Some(reason);
            desk.disconnect(SystemTime::now(), reason.to_owned());
            (known, desk.outbox.len())
        };
        let broker = self.broker.url();
        if was_connected {
            tracing::warn!(%broker, reason, owed, "broker connection lost");
        } else if known {
            tracing::debug!(%broker, reason, owed, "broker still not reached");
        } else {
            tracing::warn!(%broker, reason, owed, "broker not reached, trying again");
        }
    }

    /// Waits between attempts, with an eye on the desk. True if ordered to stop.
    async fn pause(&self, wait: Duration, tick: &mut Interval) -> bool {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            self.shared.tick();
            if ordered_while_away(&self.shared.desk()) {
                return true;
            }
            tokio::select! {
                () = self.shared.bell.notified() => {}
                _ = tick.tick() => {}
            }
        }
        false
    }
}

impl Session {
    fn publish(
        &mut self,
        topic: &str,
        qos: QoS,
        retain: Retain,
        payload: Vec<u8>,
        slot: Slot,
    ) -> Result<(), ClientError> {
        self.client.try_publish(topic, qos, retain == Retain::Yes, payload)?;
        self.handover.hand(slot, Instant::now());
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Retain {
    Yes,
    No,
}

/// Whether to stop without a connection: at once if nothing is owed, else at the deadline.
fn ordered_while_away(desk: &Desk) -> bool {
    match desk.order {
        Order::Run => false,
        Order::Abandon => true,
        Order::Drain(deadline) => desk.outbox.is_empty() || Instant::now() >= deadline,
    }
}

/// A number in `0.0..1.0` for the jitter. The standard library's hash keys are random enough for that.
pub(crate) fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The library's error in words for an operator.
pub(crate) fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
        ) => format!(
            "the broker refused the user name or password ({code:?}); check mqtt.username and mqtt.password_file"
        ),
        ConnectionError::ConnectionRefused(code) => format!("the broker refused the connection ({code:?})"),
        ConnectionError::NetworkTimeout => "the broker did not answer in time".to_owned(),
        ConnectionError::FlushTimeout => "the broker took no more bytes".to_owned(),
        ConnectionError::Tls(source) => format!("encryption failed: {source}; check mqtt.ca_file and the host name"),
        other => other.to_string(),
    }
}
