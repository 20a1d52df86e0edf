//! What the link does for the messages of the plant: takes them in with what is known of their age, asks the broker for
//! signs of life, and acknowledges what is on record.

use std::time::{Instant, SystemTime};

use crossbeam_channel::TrySendError;
use diad_core::frame::Stamp;
use rumqttc::{ClientError, Publish, QoS};

use super::subscriptions::Kind;
use super::transit::Question;
use super::{Link, Session, ShutdownPhase};
use crate::arrived::{Arrived, Promptness};
use crate::broker::MAX_PENDING_ACKS;
use crate::clock::since_boot;
use crate::receipt::Receipt;
use crate::wire::{Begins, Inbound, InboundError, ProductMessage, TriggerMessage, Unclear};

impl Link {
    /// A message from the plant.
    pub(super) fn receive(&self, session: &mut Session, message: &Publish) {
        let input = self.input(&message.topic);
        let ours = input.is_some_and(|input| session.inputs.received(input, session.echo.active()));
        let at = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        let promptness = session.transit.promptness(message.dup, since_boot());
        let trigger = (message.topic == self.topics.trigger && !message.payload.is_empty())
            .then(|| TriggerMessage::parse(&message.topic, &message.payload));
        let receipt = if message.qos == QoS::AtMostOnce {
            Receipt::none()
        } else {
            let receipt = session.receipts.take(message, trigger.as_ref().is_some_and(is_named), &self.shared);
            session.transit.received(session.receipts.len());
            match receipt {
                Some(receipt) => receipt,
                None => return,
            }
        };
        let topic = message.topic.as_str();
        let payload = &message.payload;
        if payload.is_empty() && (topic == self.topics.trigger || topic == self.topics.product) {
            // How a retained message is taken back, or one of our own: no part, and no product.
            if !ours || message.qos != QoS::AtMostOnce {
                tracing::info!(topic, "empty message let be");
            }
            self.note_size(topic, 0, message.retain);
            return receipt.settle();
        }
        self.note_size(topic, payload.len(), message.retain);
        let received = if let Some(trigger) = trigger {
            match trigger {
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
            return receipt.settle();
        };
        self.hand_on(received, promptness, receipt, message.qos);
    }

    fn hand_on(&self, received: Inbound, promptness: Promptness, receipt: Receipt, qos: QoS) {
        // Under one lock with the count: once the desk is deaf, nothing more reaches the channel.
        let mut desk = self.shared.desk();
        if desk.deaf && qos != QoS::AtMostOnce {
            // Its receipt goes unsettled: the broker keeps it for the next connection.
            tracing::warn!(message = ?received, "message from the plant stays with the broker: the station has stopped");
            return;
        }
        desk.note_inbound(&received);
        if desk.deaf {
            desk.status.inbound_lost += 1;
            tracing::error!(message = ?received, "message from the plant lost: the station has stopped");
            return;
        }
        match self.inbound.try_send(Arrived { message: received, promptness, receipt }) {
            Ok(()) => {}
            Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) => {
                desk.status.inbound_lost += 1;
                drop(desk);
                tracing::error!(message = ?lost.message, "message from the plant lost: the earlier ones were not taken in time");
                // It is accounted for as lost; unacknowledged it would hold up the acknowledgement of all that follow.
                lost.receipt.settle();
            }
        }
    }

    /// Acknowledges what is on record, in the order of arrival.
    pub(super) fn acknowledge(session: &mut Session) -> Result<(), ClientError> {
        while session.farewell != ShutdownPhase::Leaving
            && session.unwritten_acks < MAX_PENDING_ACKS
            && let Some(packet) = session.receipts.due()
        {
            let mut message = Publish::new("", QoS::AtLeastOnce, "");
            message.pkid = packet;
            session.client.try_ack(&message)?;
            session.unwritten_acks += 1;
            session.receipts.acknowledged();
        }
        Ok(())
    }

    /// Asks the broker for a sign of life, where triggers are messages.
    pub(super) fn ask(&self, session: &mut Session) -> Result<(), ClientError> {
        let now = since_boot();
        if !self.watch.asks || session.farewell != ShutdownPhase::NotYet {
            return Ok(());
        }
        let Some(question) = session.transit.question(session.receipts.len(), now) else { return Ok(()) };
        match question {
            Question::Unsubscribe => session.client.try_unsubscribe(&self.topics.probe)?,
            Question::Subscribe => {
                session.client.try_subscribe(&self.topics.trigger, QoS::AtLeastOnce)?;
                session.subscriptions.asked(Kind::Question);
            }
        }
        session.receipts.asked(question);
        session.transit.asked(question, session.receipts.len(), now);
        Ok(())
    }
}

/// Whether no other trigger is like this one: it has a mark, a number or a time of its own.
fn is_named(trigger: &Result<TriggerMessage, Unclear>) -> bool {
    let trigger = match trigger {
        Ok(trigger) => trigger,
        Err(unclear) => &unclear.trigger,
    };
    trigger.part.is_some() || trigger.count.is_some() || trigger.at.is_some()
}
