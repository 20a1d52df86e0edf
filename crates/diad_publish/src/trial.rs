//! Tries a broker as the station would use it, for a person, while the station itself may be running.
//!
//! # What it never does
//! It takes another client id than the station's, announces no last will, and leaves no session. Nothing that it sends
//! reaches a topic of the plant: what is delivered at all goes to its own topic below the station's `probe`.
//!
//! # What each step proves
//! - *Reading.* The broker's answer to a subscription. Some brokers grant every subscription and then withhold the messages
//!   (mosquitto with an `acl_file`): a granted subscription proves nothing there, and a refused one is certain.
//! - *The whole way.* A message to its own topic that comes back.
//! - *Writing.* MQTT 3.1.1 has no answer that says "denied". MQTT 5 has one, and [`held`] asks for it without a message that
//!   anyone receives.

mod held;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS, SubscribeFilter, SubscribeReasonCode};
use serde::Deserialize;

use crate::broker::{Broker, PublishError};
use crate::link::describe;
use crate::settings::{LinkSettings, PayloadKind};
use crate::topic::{NodeTopics, Topics};

/// Longest wait for one answer of the broker.
const TRIAL_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a retained message may take after its subscription was granted.
const RETAINED_WAIT: Duration = Duration::from_millis(300);

/// What is known of reading a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The subscription was granted, and a message came.
    Proven,
    /// The subscription was granted. Whether messages are passed on shows with the first one.
    Granted,
    /// The subscription was refused.
    Refused,
    /// There was no answer in time.
    Unanswered,
}

/// What is known of writing to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The broker takes messages on it.
    Allowed,
    /// The broker denies it, with this code of MQTT 5.
    Denied(u8),
    /// It could not be found out without a message that somebody would receive; the text is the reason.
    Unknown(String),
}

/// The retained state of the station, as the broker has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StateSeen {
    /// The word: `starting`, `ready`, `degraded` or `offline`.
    pub state: String,
    /// What the station said beside it.
    #[serde(default)]
    pub detail: String,
}

/// What came of trying a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Time from the first byte to the accepted login, or why there is none.
    pub connected: Result<Duration, String>,
    /// The topics that the station reads: `trigger`, `product`, then those that it writes itself. Empty without a connection.
    pub reads: Vec<(String, Read)>,
    /// The topic of the trial's own messages.
    pub own_topic: String,
    /// Time that a message of its own took to the broker and back, or why it did not come back. None without a connection.
    pub round_trip: Option<Result<Duration, String>>,
    /// Whether the broker's access rules deny the trial's own topic, by a code of MQTT 5.
    pub own_topic_denied: bool,
    /// The topics that the station writes. Empty without a connection.
    pub writes: Vec<(String, Write)>,
    /// The state that the broker has of the station; none where there is none, or the station may not read it.
    pub state: Option<StateSeen>,
}

impl Trial {
    /// Tries the broker. Waits at most about half a minute: 5 s for each answer.
    ///
    /// # Errors
    /// [`PublishError`] for files that cannot be used; what the broker does wrong is in the trial.
    pub fn run(settings: &LinkSettings, topics: &Topics, node: &NodeTopics) -> Result<Self, PublishError> {
        let broker = Broker::open(settings)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PublishError::Runtime)?;
        let id = format!("{}:doctor:{}", topics.client_id, std::process::id());
        let mut trial = runtime.block_on(Visit::start(&broker, topics, &id).run());
        // An address look-up may hang for long; nobody needs its answer any more.
        runtime.shutdown_background();
        if trial.connected.is_ok() {
            let mut written = vec![&topics.verdict, &topics.reject, &topics.state, &topics.heartbeat];
            if settings.payload() == PayloadKind::SparkplugB {
                written.extend([&node.birth, &node.data, &node.death]);
            }
            let written: Vec<String> = written.into_iter().cloned().collect();
            let asked = held::ask(&broker, &id, &trial.own_topic, written, TRIAL_ANSWER_TIMEOUT);
            (trial.writes, trial.own_topic_denied) = (asked.writes, asked.own_topic_denied);
        }
        Ok(trial)
    }
}

/// The topic of a trial's own messages.
fn own_topic(topics: &Topics) -> String {
    format!("{}/doctor", topics.probe)
}

/// One connection of a trial.
struct Visit {
    client: AsyncClient,
    events: EventLoop,
    own_topic: String,
    /// What the station reads and writes, in the order in which it is subscribed to; the trial's own topic follows.
    topics: [String; 6],
    state_topic: String,
    state: Option<StateSeen>,
    heard: Vec<String>,
    /// What this trial sends to itself; another one at the same time sends something else.
    nonce: String,
}

/// What was waited for.
enum Answer {
    Accepted,
    Subscribed(Vec<SubscribeReasonCode>),
    Returned,
}

impl Visit {
    fn start(broker: &Broker, topics: &Topics, id: &str) -> Self {
        let (client, events) = broker.visitor(id);
        Self {
            client,
            events,
            own_topic: own_topic(topics),
            topics: [
                &topics.trigger,
                &topics.product,
                &topics.verdict,
                &topics.reject,
                &topics.state,
                &topics.heartbeat,
            ]
            .map(String::clone),
            state_topic: topics.state.clone(),
            state: None,
            heard: Vec::new(),
            nonce: nonce(),
        }
    }

    async fn run(mut self) -> Trial {
        let began = Instant::now();
        let connected =
            match self.wait(TRIAL_ANSWER_TIMEOUT, |answer| matches!(answer, Answer::Accepted).then_some(())).await {
                Ok(()) => Ok(began.elapsed()),
                Err(reason) => Err(reason),
            };
        let mut trial = Trial {
            connected,
            reads: Vec::new(),
            own_topic: self.own_topic.clone(),
            round_trip: None,
            own_topic_denied: false,
            writes: Vec::new(),
            state: None,
        };
        if trial.connected.is_ok() {
            let codes = self.subscribe().await;
            trial.round_trip = Some(self.round_trip(codes.get(self.topics.len())).await);
            // Retained messages come soon after the subscription, if there are any.
            let _ = self.wait(RETAINED_WAIT, |_| None::<()>).await;
            trial.reads = self.reads(&codes);
            trial.state = self.state.take();
            let _ = self.client.try_disconnect();
            let _ = self.wait(RETAINED_WAIT, |_| None::<()>).await;
        }
        trial
    }

    /// Subscribes to everything at once: the codes in this order, that of its own topic last. Empty without an answer.
    async fn subscribe(&mut self) -> Vec<SubscribeReasonCode> {
        let all = self.topics.iter().chain([&self.own_topic]);
        let filters: Vec<_> = all.map(|topic| SubscribeFilter { path: topic.clone(), qos: QoS::AtLeastOnce }).collect();
        if self.client.try_subscribe_many(filters).is_err() {
            return Vec::new();
        }
        let codes = |answer| if let Answer::Subscribed(codes) = answer { Some(codes) } else { None };
        self.wait(TRIAL_ANSWER_TIMEOUT, codes).await.unwrap_or_default()
    }

    async fn round_trip(&mut self, own: Option<&SubscribeReasonCode>) -> Result<Duration, String> {
        match own {
            None => return Err("the broker did not answer the subscription".to_owned()),
            Some(SubscribeReasonCode::Failure) => return Err("the broker refused the subscription".to_owned()),
            Some(SubscribeReasonCode::Success(_)) => {}
        }
        let began = Instant::now();
        let payload = self.nonce.clone().into_bytes();
        if self.client.try_publish(self.own_topic.as_str(), QoS::AtLeastOnce, false, payload).is_err() {
            return Err("the client library takes no message".to_owned());
        }
        let returned = self.wait(TRIAL_ANSWER_TIMEOUT, |answer| matches!(answer, Answer::Returned).then_some(())).await;
        match returned {
            Ok(()) => Ok(began.elapsed()),
            Err(reason) => Err(format!("the message did not come back: {reason}")),
        }
    }

    fn reads(&self, codes: &[SubscribeReasonCode]) -> Vec<(String, Read)> {
        let read = |(index, topic): (usize, &String)| {
            let read = match codes.get(index) {
                None => Read::Unanswered,
                Some(SubscribeReasonCode::Failure) => Read::Refused,
                Some(SubscribeReasonCode::Success(_)) if self.heard.contains(topic) => Read::Proven,
                Some(SubscribeReasonCode::Success(_)) => Read::Granted,
            };
            (topic.clone(), read)
        };
        self.topics.iter().enumerate().map(read).collect()
    }

    /// Polls until `wanted` takes an answer, at most for `limit`. The reason if it did not.
    async fn wait<T>(&mut self, limit: Duration, wanted: impl Fn(Answer) -> Option<T>) -> Result<T, String> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let event = match tokio::time::timeout_at(deadline, self.events.poll()).await {
                Err(_) => return Err(format!("no answer within {} s", limit.as_secs())),
                Ok(Err(error)) => return Err(describe(&error)),
                Ok(Ok(event)) => event,
            };
            if let Some(taken) = self.answer(event).and_then(&wanted) {
                return Ok(taken);
            }
        }
    }

    fn answer(&mut self, event: Event) -> Option<Answer> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => Some(Answer::Accepted),
            Event::Incoming(Packet::SubAck(ack)) => Some(Answer::Subscribed(ack.return_codes)),
            Event::Incoming(Packet::Publish(message)) if message.topic == self.own_topic => {
                (message.payload == self.nonce.as_bytes()).then_some(Answer::Returned)
            }
            Event::Incoming(Packet::Publish(message)) => {
                if message.topic == self.state_topic && message.retain {
                    self.state = serde_json::from_slice(&message.payload).ok();
                }
                if !self.heard.contains(&message.topic) {
                    self.heard.push(message.topic);
                }
                None
            }
            _ => None,
        }
    }
}

/// A text that no other trial sends.
fn nonce() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{{\"doctor\":\"{}-{}\"}}", std::process::id(), now.as_nanos())
}
