//! Acknowledgements of what the plant sends: given when the message is on record, and in the order of arrival.
//!
//! A message with QoS 1 is the broker's until it is acknowledged. So a process that is killed leaves it there, and the
//! broker delivers it again. What is acknowledged is nobody's but ours.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rumqttc::Publish;

use crate::desk::SharedLink;
use crate::link::transit::Question;

mod unproven;

use unproven::Unproven;

/// The right to acknowledge one message. It is acknowledged when every clone was [settled](Self::settle); one that is dropped
/// unsettled keeps the message with the broker for good, which delivers it again over the next connection.
#[must_use = "a message whose receipt is not settled is never acknowledged"]
pub struct Receipt {
    state: Option<Arc<ReceiptState>>,
    /// To be woken for the acknowledgement.
    link: Option<Arc<SharedLink>>,
}

#[derive(Debug)]
struct ReceiptState {
    open: AtomicUsize,
    dropped: AtomicBool,
}

impl ReceiptState {
    fn is_settled(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0 && !self.dropped.load(Ordering::Acquire)
    }
}

impl Receipt {
    /// Of a message that nobody waits to hear of: one of QoS 0, or of a test.
    pub const fn none() -> Self {
        Self { state: None, link: None }
    }

    /// What this clone was kept for is on record.
    pub fn settle(mut self) {
        if let Some(state) = self.state.take() {
            state.open.fetch_sub(1, Ordering::AcqRel);
            if let Some(link) = self.link.take().filter(|_| state.is_settled()) {
                link.bell.notify_one();
            }
        }
    }
}

impl Clone for Receipt {
    fn clone(&self) -> Self {
        if let Some(state) = &self.state {
            state.open.fetch_add(1, Ordering::AcqRel);
        }
        Self { state: self.state.clone(), link: self.link.clone() }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.dropped.store(true, Ordering::Release);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.state).finish()
    }
}

/// A message that waits for its acknowledgement.
#[derive(Debug)]
struct PendingReceipt {
    packet: u16,
    /// Of topic and payload.
    print: u64,
    /// No other message is like it.
    is_named: bool,
    state: Arc<ReceiptState>,
}

/// The messages of one connection that are not acknowledged, and those of the connections before it that the broker has not
/// delivered again. Bounded by the packet numbers, of which there are 65,535.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    waiting: VecDeque<PendingReceipt>,
    carried: HashMap<u16, PendingReceipt>,
    unproven: Unproven,
}

impl Receipts {
    /// A connection begins. Where the broker has kept the session it delivers again what was not acknowledged, under the same
    /// packet numbers; elsewhere the numbers begin anew.
    pub(crate) fn begin(&mut self, session_kept: bool) {
        self.carried.extend(self.waiting.drain(..).map(|waiting| (waiting.packet, waiting)));
        if !session_kept {
            self.carried.clear();
        }
        self.unproven.begin(session_kept);
    }

    /// A message came in. None for one that is here already, from the connection before: it makes no second part, and is
    /// acknowledged when the first is on record. Where that one was acknowledged, and the broker may not have read it, only a
    /// message that no other one is like (`is_named`) is known again.
    pub(crate) fn take(&mut self, message: &Publish, is_named: bool, link: &Arc<SharedLink>) -> Option<Receipt> {
        let (packet, print) = (message.pkid, print(message));
        if self.unproven.is_redelivery(packet, message.dup, print) {
            let state = Arc::new(ReceiptState { open: AtomicUsize::new(0), dropped: AtomicBool::new(false) });
            self.waiting.push_back(PendingReceipt { packet, print, is_named, state });
            return None;
        }
        let known = self.carried.remove(&packet).filter(|known| message.dup && known.print == print);
        if let Some(known) = known {
            self.waiting.push_back(known);
            return None;
        }
        let state = Arc::new(ReceiptState { open: AtomicUsize::new(1), dropped: AtomicBool::new(false) });
        self.waiting.push_back(PendingReceipt { packet, print, is_named, state: Arc::clone(&state) });
        Some(Receipt { state: Some(state), link: Some(Arc::clone(link)) })
    }

    /// The packet that is to be acknowledged next. A later one that is settled waits for those before it: MQTT asks for the
    /// order of arrival.
    pub(crate) fn due(&self) -> Option<u16> {
        self.waiting.front().filter(|first| first.state.is_settled()).map(|first| first.packet)
    }

    /// That packet is acknowledged.
    pub(crate) fn acknowledged(&mut self) {
        if let Some(PendingReceipt { packet, print, is_named, .. }) = self.waiting.pop_front() {
            self.unproven.acknowledged(packet, is_named.then_some(print));
        }
    }

    /// A question was put to the broker, behind all acknowledgements so far.
    pub(crate) const fn asked(&mut self, question: Question) {
        self.unproven.asked(question);
    }

    /// The broker answered it.
    pub(crate) fn answered(&mut self, question: Question) {
        self.unproven.answered(question);
    }

    /// Messages of this connection that are not acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

fn print(message: &Publish) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&message.topic, &message.payload[..]).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::SystemTime;

    use rumqttc::QoS;

    use super::*;
    use crate::desk::Desk;
    use crate::outbox::Outbox;
    use crate::wire::{State as Word, StateMessage};

    fn link() -> Arc<SharedLink> {
        let now = SystemTime::now();
        let outbox = Outbox::new(NonZeroUsize::MIN);
        Arc::new(SharedLink::new(Desk::new(outbox, StateMessage::new(Word::Starting, "", now), now)))
    }

    fn message(packet: u16, part: &str, again: bool) -> Publish {
        let mut message = Publish::new("t", QoS::AtLeastOnce, part);
        (message.pkid, message.dup) = (packet, again);
        message
    }

    #[test]
    fn due_keeps_the_order_of_arrival_and_waits_for_every_clone() {
        let (link, mut receipts) = (link(), Receipts::default());
        let first = receipts.take(&message(7, "a", false), false, &link).unwrap();
        let second = receipts.take(&message(8, "b", false), false, &link).unwrap();
        second.settle();
        assert_eq!(receipts.due(), None, "the first is not on record");
        let other_camera = first.clone();
        first.settle();
        assert_eq!(receipts.due(), None, "the second camera's part is not");
        other_camera.settle();
        assert_eq!(receipts.due(), Some(7));
        receipts.acknowledged();
        assert_eq!((receipts.due(), receipts.len()), (Some(8), 1));
    }

    #[test]
    fn due_never_names_a_message_whose_receipt_was_dropped() {
        let (link, mut receipts) = (link(), Receipts::default());
        let receipt = receipts.take(&message(7, "a", false), false, &link).unwrap();
        let clone = receipt.clone();
        drop(receipt);
        clone.settle();
        assert_eq!(receipts.due(), None);
    }

    #[test]
    fn take_knows_what_the_broker_delivers_again_within_a_session() {
        let (link, mut receipts) = (link(), Receipts::default());
        let receipt = receipts.take(&message(7, "a", false), false, &link).unwrap();
        receipts.begin(true);
        assert_eq!(receipts.len(), 0);
        assert!(receipts.take(&message(7, "a", true), false, &link).is_none(), "the same message");
        assert_eq!(receipts.due(), None);
        receipt.settle();
        assert_eq!(receipts.due(), Some(7));

        receipts.begin(true);
        for (packet, part, again) in [(7, "b", true), (8, "a", true), (7, "a", false)] {
            assert!(receipts.take(&message(packet, part, again), false, &link).is_some(), "{packet} {part} {again}");
        }
        receipts.begin(false);
        assert!(receipts.take(&message(7, "a", true), false, &link).is_some(), "another session");
    }

    #[test]
    fn take_knows_a_named_message_whose_acknowledgement_the_broker_may_not_have_read() {
        let (link, mut receipts) = (link(), Receipts::default());
        for (packet, part, is_named) in [(7, "a", true), (8, "{}", false), (9, "c", true)] {
            receipts.take(&message(packet, part, false), is_named, &link).unwrap().settle();
            receipts.acknowledged();
        }
        receipts.begin(true);
        assert!(receipts.take(&message(7, "a", true), true, &link).is_none(), "the same part");
        assert_eq!(receipts.due(), Some(7), "it is acknowledged again");
        receipts.acknowledged();
        assert!(receipts.take(&message(8, "{}", true), false, &link).is_some(), "it may be another part");
        receipts.asked(Question::Unsubscribe);
        receipts.answered(Question::Unsubscribe);
        receipts.begin(true);
        assert!(receipts.take(&message(7, "a", true), true, &link).is_some(), "the broker had read it");
        assert!(receipts.take(&message(9, "c", true), true, &link).is_none(), "not delivered again until now");
    }
}
