//! The node's connection: its death left with the broker, its birth, and data while it holds.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use prost::Message as _;
use rumqttc::{AsyncClient, Event, LastWill, Packet, Publish, QoS};

use super::mirror::Mirror;
use super::node::{Message, Node};
use crate::backoff::Backoff;
use crate::broker::{Broker, WINDOW};
use crate::link::{chance, describe};
use crate::topic::NodeTopics;
use crate::wire::sparkplug::{Metric, Payload};

/// Largest packet written: a birth says every metric of every camera.
const MAX_PACKET_OUT_BYTES: usize = 1 << 16;

/// Why a connection ended.
enum NodeConnectionEnd {
    Left,
    Lost(String),
}

/// One connection.
struct NodeConnection {
    client: AsyncClient,
    /// Handed to the library and not yet written, at most [`WINDOW`].
    unwritten: usize,
    born: Option<Instant>,
    birth_is_due: bool,
    leaving: bool,
}

pub(crate) struct EdgeNode {
    mirror: Arc<Mirror>,
    broker: Broker,
    topics: NodeTopics,
}

impl EdgeNode {
    pub(crate) const fn new(mirror: Arc<Mirror>, broker: Broker, topics: NodeTopics) -> Self {
        Self { mirror, broker, topics }
    }

    /// Connects until told to leave.
    pub(crate) async fn run(self, first: u8) {
        let (mut node, mut backoff) = (Node::new(first), Backoff::new());
        let mut known = String::new();
        loop {
            let (held, end) = self.connection(&mut node).await;
            let NodeConnectionEnd::Lost(reason) = end else { return };
            let broker = self.broker.url();
            if reason == known {
                tracing::debug!(%broker, reason, "sparkplug connection still not there");
            } else {
                tracing::warn!(%broker, reason, "sparkplug connection lost, trying again");
                known = reason;
            }
            let until = Instant::now() + backoff.after(held, chance());
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                if self.mirror.queue().leaving {
                    return;
                }
                // Whoever rings wants something said, or us to leave.
                let _ = tokio::time::timeout(left, self.mirror.bell.notified()).await;
            }
        }
    }

    async fn connection(&self, node: &mut Node) -> (Duration, NodeConnectionEnd) {
        let death = node.connect(SystemTime::now()).encode_to_vec();
        let will = LastWill::new(self.topics.death.as_str(), death, QoS::AtLeastOnce, false);
        let (client, mut events) = self.broker.client(&self.topics.client_id, will, MAX_PACKET_OUT_BYTES);
        let mut session = NodeConnection { client, unwritten: 0, born: None, birth_is_due: false, leaving: false };
        let end = loop {
            // As in the link, a poll is driven to its end.
            let polled = {
                let mut poll = pin!(events.poll());
                loop {
                    tokio::select! {
                        biased;
                        polled = &mut poll => break Ok(polled),
                        () = self.mirror.bell.notified() => {}
                    }
                    if let Some(end) = self.serve(node, &mut session) {
                        break Err(end);
                    }
                }
            };
            let taken = match polled {
                Err(end) => Some(end),
                Ok(Ok(event)) => self.take(&mut session, event),
                Ok(Err(error)) => Some(NodeConnectionEnd::Lost(describe(&error))),
            };
            if let Some(end) = taken.or_else(|| self.serve(node, &mut session)) {
                break end;
            }
        };
        (session.born.map_or(Duration::ZERO, |at| at.elapsed()), end)
    }

    /// Says what there is to say.
    fn serve(&self, node: &mut Node, session: &mut NodeConnection) -> Option<NodeConnectionEnd> {
        if session.born.is_none() {
            return self.mirror.queue().leaving.then_some(NodeConnectionEnd::Left);
        }
        if session.leaving {
            return None;
        }
        // Room for a birth and the data behind it.
        while session.unwritten + 2 <= WINDOW {
            let mut queue = self.mirror.queue();
            let now = SystemTime::now();
            let messages = if std::mem::take(&mut session.birth_is_due) {
                queue.health_is_news = false;
                vec![node.birth(&queue.health, now)]
            } else if let Some(said) = queue.next() {
                let birth = node.meets(&said).then(|| node.birth(&queue.health, now));
                birth.into_iter().chain([node.verdict(said, now)]).collect()
            } else if std::mem::take(&mut queue.health_is_news) {
                vec![node.health(&queue.health, now)]
            } else if queue.leaving {
                session.leaving = true;
                let death = node.death(now).encode_to_vec();
                let sent = session.client.try_publish(&self.topics.death, QoS::AtLeastOnce, false, death);
                return sent.err().map(|_| NodeConnectionEnd::Left);
            } else {
                return None;
            };
            drop(queue);
            for message in messages {
                let (topic, payload) = match message {
                    Message::Birth(payload) => (&self.topics.birth, payload),
                    Message::Data(payload) => (&self.topics.data, payload),
                };
                if session.client.try_publish(topic, QoS::AtMostOnce, false, payload.encode_to_vec()).is_err() {
                    return Some(NodeConnectionEnd::Lost("the client library takes no more messages".to_owned()));
                }
                session.unwritten += 1;
            }
        }
        None
    }

    fn take(&self, session: &mut NodeConnection, event: Event) -> Option<NodeConnectionEnd> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                session.born = Some(Instant::now());
                session.birth_is_due = true;
                self.mirror.queue().grow_old();
                tracing::info!(broker = %self.broker.url(), "sparkplug connected");
                // Before the birth: whoever hears that may give an order at once.
                if session.client.try_subscribe(&self.topics.command, QoS::AtLeastOnce).is_err() {
                    return Some(NodeConnectionEnd::Lost("the client library refused to subscribe".to_owned()));
                }
            }
            Event::Incoming(Packet::Publish(message)) => session.birth_is_due |= self.asks_for_rebirth(&message),
            // Nothing but a death at leaving is acknowledged.
            Event::Incoming(Packet::PubAck(_)) => {
                return session.client.try_disconnect().is_err().then_some(NodeConnectionEnd::Left);
            }
            Event::Outgoing(rumqttc::Outgoing::Publish(_)) => session.unwritten = session.unwritten.saturating_sub(1),
            Event::Outgoing(rumqttc::Outgoing::Disconnect) => return Some(NodeConnectionEnd::Left),
            _ => {}
        }
        None
    }

    fn asks_for_rebirth(&self, message: &Publish) -> bool {
        match Payload::decode(message.payload.as_ref()) {
            Ok(payload) => message.topic == self.topics.command && payload.metrics.iter().any(Metric::asks_for_rebirth),
            Err(error) => {
                tracing::warn!(topic = message.topic, %error, "command that is no Sparkplug payload");
                false
            }
        }
    }
}
