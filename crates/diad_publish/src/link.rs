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
//! So nothing is handed over while the broker owes acknowledgements and has given none for [`BROKER_STALL_TIMEOUT`]. What waits on
//! the desk meanwhile can still lose its bit; what was written before cannot, and is as little as that time allows.
//!
//! # Why the poll is never cancelled
//! Dropping a poll between "counted as sent" and "written" would lose a packet until the connection ends. One poll
//! is therefore pinned and driven to its end while the bell and the tick are served beside it. Messages go in by
//! `try_publish`, whose channel has room for more than the window of messages under way; waiting for room would be
//! waiting for the broker.
//!
//! # Why the station subscribes to what it writes
//! A broker may acknowledge a message and drop it. So a verdict is acknowledged to the outbox when the broker has acknowledged
//! it and has delivered it to the station as well ([`echo`]).
//!
//! # Why a suspended machine connects anew
//! The monotonic clock does not count a suspension: what waited to go out would still seem to be in time for the gate.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Sender;
use rumqttc::{AsyncClient, ClientError, ConnAck, ConnectReturnCode, ConnectionError, Event, Packet, QoS};
use tokio::time::{Interval, MissedTickBehavior, interval};

use self::echo::{Echo, EchoId, Own};
use self::inputs::Inputs;
use self::memory::Memory;
use self::subscriptions::{Kind, Subscriptions};
use self::transit::{LinkDelay, Question};
use crate::arrived::{Arrived, Promptness};
use crate::backoff::Backoff;
use crate::broker::{Broker, WINDOW, last_will};
use crate::clock::{since_boot, suspended};
use crate::desk::{Desk, DrainReport, LinkMessage, Order, SharedLink};
use crate::handover::Handover;
use crate::outbox::MessageId;
use crate::receipt::Receipts;
use crate::topic::Topics;
use crate::wire::{State, StateMessage};

mod delivery;
mod echo;
mod endings;
mod inputs;
mod memory;
mod receive;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tls_fault;
pub(crate) mod transit;

/// How often the thread looks up from an idle connection: for the watchdog and for deadlines.
const LINK_TICK: Duration = Duration::from_millis(50);

/// A broker that acknowledges nothing for this long hangs. Far above the round trip of a plant's network; a slower one
/// only makes pauses, for the next acknowledgement ends them.
const BROKER_STALL_TIMEOUT: Duration = Duration::from_millis(250);

/// A broker that acknowledges nothing for this long will not acknowledge what it was given: a new connection brings it
/// again. No later than a broker that answers nothing at all is given up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// A machine that was suspended for longer connects anew: far more than two readings of its clocks are apart.
const MIN_SUSPENSION: Duration = Duration::from_millis(50);

/// Time for the broker to acknowledge `offline` after the deadline of a drain.
pub(crate) const OFFLINE_ACK_TIMEOUT: Duration = Duration::from_millis(250);

/// What a packet number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Verdict(MessageId),
    Reject,
    State,
    Heartbeat,
    Goodbye,
    /// An empty message on a topic that the station reads.
    Trial,
}

/// What was handed over, and what is expected to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    slot: Slot,
    echo: Option<EchoId>,
}

/// Why a connection ended.
#[derive(Debug)]
enum ConnectionEnd {
    /// By order. True if the broker acknowledged `offline` first.
    Ordered { offline_acknowledged: bool },
    /// By failure, in words for an operator.
    Lost(String),
    /// Closed by the broker without a word.
    Closed(String),
}

/// How far a farewell has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShutdownPhase {
    NotYet,
    Told,
    Leaving,
}

/// One connection.
struct Session {
    client: AsyncClient,
    handover: Handover<Sent>,
    echo: Echo,
    inputs: Inputs,
    subscriptions: Subscriptions,
    accepted: Option<Instant>,
    farewell: ShutdownPhase,
    transit: LinkDelay,
    receipts: Receipts,
    /// Acknowledgements handed to the library and not written.
    unwritten_acks: usize,
    /// How long the machine had been suspended when the connection began.
    suspended: Duration,
}

/// How the age of triggers is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    /// What may have been on its way for longer is suspect.
    pub(crate) limit: Duration,
    /// Whether the broker is asked for signs of life.
    pub(crate) asks: bool,
}

pub(crate) struct Link {
    shared: Arc<SharedLink>,
    broker: Broker,
    topics: Topics,
    inbound: Sender<Arrived>,
    watch: Watch,
}

impl Link {
    pub(crate) const fn new(
        shared: Arc<SharedLink>,
        broker: Broker,
        topics: Topics,
        inbound: Sender<Arrived>,
        watch: Watch,
    ) -> Self {
        Self { shared, broker, topics, inbound, watch }
    }

    /// Connects until ordered to stop.
    pub(crate) async fn run(self) {
        let mut tick = interval(LINK_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = Backoff::new();
        let mut memory = Memory::default();
        let offline_acknowledged = loop {
            let (held, end) = self.connection(&mut memory, &mut tick).await;
            let reason = match end {
                ConnectionEnd::Ordered { offline_acknowledged } => break offline_acknowledged,
                ConnectionEnd::Lost(reason) | ConnectionEnd::Closed(reason) => reason,
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
        desk.ended = Some(DrainReport { acknowledged, remaining, offline_acknowledged });
    }

    /// One connection from attempt to end, and how long it held after the broker had accepted it.
    async fn connection(&self, memory: &mut Memory, tick: &mut Interval) -> (Option<Duration>, ConnectionEnd) {
        let last_will = last_will(SystemTime::now());
        memory.states.know(&last_will);
        let (client, mut events) = self.broker.link_client(&self.topics, last_will);
        let mut session = self.session(client, memory);
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
                    if let Some(end) = self.serve(&mut session, memory) {
                        break Err(end);
                    }
                }
            };
            self.shared.tick();
            let taken = match polled {
                Err(end) => Some(end),
                Ok(Ok(event)) => self.take(&mut session, memory, event),
                Ok(Err(error)) => {
                    // Acknowledgements that came in together with the failure: each saves a repeat.
                    for event in std::mem::take(&mut events.state.events) {
                        self.take(&mut session, memory, event);
                    }
                    Some(lost(&error, session.accepted.is_some()))
                }
            };
            if let Some(end) = taken.or_else(|| self.serve(&mut session, memory)) {
                break end;
            }
        };
        let held = session.accepted.map(|at| at.elapsed());
        self.remember(session, memory, &end);
        (held, end)
    }

    /// A connection that is not there yet.
    fn session(&self, client: AsyncClient, memory: &mut Memory) -> Session {
        let again = self.shared.desk().status.connections > 0;
        let receipts = std::mem::take(&mut memory.receipts);
        let tries = !memory.trials_end_connections;
        Session {
            client,
            handover: Handover::new(Instant::now()),
            echo: Echo::new(Instant::now()),
            inputs: Inputs::new(tries && self.watch.asks, tries),
            subscriptions: Subscriptions::default(),
            accepted: None,
            farewell: ShutdownPhase::NotYet,
            transit: LinkDelay::new(self.watch.limit, again, since_boot()),
            receipts,
            unwritten_acks: 0,
            suspended: suspended(),
        }
    }

    /// Does what the desk asks for.
    fn serve(&self, session: &mut Session, memory: &mut Memory) -> Option<ConnectionEnd> {
        session.transit.look(since_boot());
        session.echo.look(Instant::now());
        let slept = suspended().saturating_sub(session.suspended);
        let mut desk = self.shared.desk();
        if session.accepted.is_none() {
            self.look_at_endings(&mut desk, memory);
            return ordered_while_away(&desk).then_some(ConnectionEnd::Ordered { offline_acknowledged: false });
        }
        if slept > MIN_SUSPENSION {
            return Some(ConnectionEnd::Lost(format!("the machine was suspended for {} ms", slept.as_millis())));
        }
        desk.status.prompt = session.transit.promptness(false, since_boot()) == Promptness::Prompt;
        if session.handover.stalled(GIVE_UP, Instant::now()) {
            let reason = format!("the broker acknowledged nothing for {} s", GIVE_UP.as_secs());
            return Some(ConnectionEnd::Lost(reason));
        }
        self.look_at_delivery(&mut desk, session, memory);
        let asked = Self::acknowledge(session).and_then(|()| self.ask(session)).and_then(|()| self.try_inputs(session));
        let handed = match desk.order {
            Order::Abandon => return Some(ConnectionEnd::Ordered { offline_acknowledged: false }),
            Order::Drain(deadline) => {
                let now = Instant::now();
                if now >= deadline + OFFLINE_ACK_TIMEOUT {
                    return Some(ConnectionEnd::Ordered { offline_acknowledged: false });
                }
                let settled = desk.outbox.is_empty() && session.handover.len() == 0 && session.receipts.due().is_none();
                if session.farewell == ShutdownPhase::NotYet && (settled || now >= deadline) {
                    self.send_offline(session, memory)
                } else {
                    self.hand_over(&mut desk, session, memory)
                }
            }
            Order::Run => self.hand_over(&mut desk, session, memory),
        };
        // The library's channel is wider than the window: this cannot happen while it runs.
        asked.and(handed).err().map(|_| ConnectionEnd::Lost("the client library takes no more messages".to_owned()))
    }

    /// Hands messages to the library until the window is full or nothing waits; none to a broker that hangs.
    fn hand_over(&self, desk: &mut Desk, session: &mut Session, memory: &mut Memory) -> Result<(), ClientError> {
        let now = Instant::now();
        if session.handover.stalled(BROKER_STALL_TIMEOUT, now) {
            return Ok(());
        }
        // Two at a time: a verdict and its bit stay together.
        while session.farewell == ShutdownPhase::NotYet && session.handover.len() + 2 <= WINDOW {
            match desk.next(now) {
                None => break,
                Some(LinkMessage::State(payload)) => {
                    memory.states.know(&payload);
                    session.publish(&self.topics, Own::State, payload, Slot::State)?;
                }
                Some(LinkMessage::Heartbeat(payload)) => {
                    session.publish(&self.topics, Own::Heartbeat, payload, Slot::Heartbeat)?;
                }
                Some(LinkMessage::Part { id, verdict, reject }) => {
                    if let Some(verdict) = verdict {
                        session.publish(&self.topics, Own::Verdict, verdict, Slot::Verdict(id))?;
                    }
                    if let Some(reject) = reject {
                        session.publish(&self.topics, Own::Reject, reject, Slot::Reject)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn send_offline(&self, session: &mut Session, memory: &mut Memory) -> Result<(), ClientError> {
        session.farewell = ShutdownPhase::Told;
        let state = StateMessage::new(State::Offline, "stopped", SystemTime::now()).to_json();
        memory.states.know(&state);
        session.publish(&self.topics, Own::State, state, Slot::Goodbye)
    }

    /// Takes in what the library reports.
    fn take(&self, session: &mut Session, memory: &mut Memory, event: Event) -> Option<ConnectionEnd> {
        session.transit.look(since_boot());
        session.echo.look(Instant::now());
        if matches!(event, Event::Incoming(_)) {
            session.echo.note_activity();
        }
        match event {
            Event::Incoming(Packet::ConnAck(accepted)) => return self.begin(session, &accepted),
            Event::Incoming(Packet::PubAck(ack)) => {
                let sent = session.handover.acknowledged(ack.pkid, Instant::now());
                return sent.and_then(|sent| self.acknowledged(session, sent));
            }
            Event::Incoming(Packet::PubRec(_)) => {
                let reason =
                    "the broker answers messages of QoS 1 as if they had QoS 2 (PUBREC): it does not keep to MQTT";
                return Some(ConnectionEnd::Lost(reason.to_owned()));
            }
            Event::Incoming(Packet::SubAck(ack)) => self.subscribed(session, &ack),
            Event::Incoming(Packet::UnsubAck(_)) => {
                session.transit.answered(Question::Unsubscribe, since_boot());
                session.receipts.answered(Question::Unsubscribe);
            }
            Event::Incoming(Packet::Publish(message)) => match self.own(&message.topic) {
                Some(own) => self.came_back(session, memory, own, &message),
                None => self.receive(session, &message),
            },
            Event::Outgoing(rumqttc::Outgoing::PubAck(_)) => {
                session.unwritten_acks = session.unwritten_acks.saturating_sub(1);
            }
            Event::Outgoing(rumqttc::Outgoing::Subscribe(packet)) => session.subscriptions.written(packet),
            Event::Outgoing(rumqttc::Outgoing::Publish(packet)) => session.handover.written(packet),
            Event::Outgoing(rumqttc::Outgoing::Disconnect) => {
                return Some(ConnectionEnd::Ordered {
                    offline_acknowledged: session.farewell == ShutdownPhase::Leaving,
                });
            }
            _ => {}
        }
        None
    }

    /// The broker acknowledged a message.
    fn acknowledged(&self, session: &mut Session, sent: Sent) -> Option<ConnectionEnd> {
        let delivered = sent.echo.and_then(|echo| session.echo.acknowledged(echo));
        let mut desk = self.shared.desk();
        if let Some(verdict) = delivered {
            desk.acknowledge(verdict);
        }
        match sent.slot {
            Slot::Reject => desk.status.rejects_acknowledged += 1,
            Slot::Goodbye => {
                session.farewell = ShutdownPhase::Leaving;
                if session.client.try_disconnect().is_err() {
                    return Some(ConnectionEnd::Ordered { offline_acknowledged: true });
                }
            }
            Slot::Verdict(_) | Slot::State | Slot::Heartbeat | Slot::Trial => {}
        }
        None
    }

    /// The broker accepted us. The library reports this for a positive answer only; a refusal is an error.
    fn begin(&self, session: &mut Session, accepted: &ConnAck) -> Option<ConnectionEnd> {
        session.accepted = Some(Instant::now());
        session.suspended = suspended();
        session.receipts.begin(accepted.session_present);
        self.shared.desk().connect(SystemTime::now());
        tracing::info!(broker = %self.broker.url(), "broker connected");
        session.transit.asked(Question::Subscribe, session.receipts.len(), since_boot());
        match session.client.try_subscribe_many(self.subscriptions()) {
            Ok(()) => {
                session.subscriptions.asked(Kind::All);
                None
            }
            Err(_) => Some(ConnectionEnd::Lost("the client library refused to subscribe".to_owned())),
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
    fn publish(&mut self, topics: &Topics, own: Own, payload: Vec<u8>, slot: Slot) -> Result<(), ClientError> {
        let verdict = if let Slot::Verdict(id) = slot { Some(id) } else { None };
        let (qos, retained) = match own {
            Own::Verdict | Own::Reject => (QoS::AtLeastOnce, false),
            Own::State => (QoS::AtLeastOnce, true),
            Own::Heartbeat => (QoS::AtMostOnce, false),
        };
        let echo = self.echo.sent(own, &payload, verdict);
        self.client.try_publish(topics.own(own), qos, retained, payload)?;
        self.handover.hand(Sent { slot, echo: Some(echo) }, Instant::now());
        Ok(())
    }
}

/// Why a connection, or an attempt at one, ended.
fn lost(error: &ConnectionError, accepted: bool) -> ConnectionEnd {
    if !memory::is_closed_by_peer(error) {
        return ConnectionEnd::Lost(describe(error));
    }
    ConnectionEnd::Closed(match accepted {
        true => "the broker closed the connection".to_owned(),
        false => {
            "the broker closed the connection before it accepted it; see its log. It must allow retained messages and \
                  QoS 1 (mosquitto: retain_available, max_qos), and the port may be one for TLS (mqtts)"
                .to_owned()
        }
    })
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
    if let Some(fault) = tls_fault::TlsFault::of(error) {
        return fault.to_string();
    }
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
