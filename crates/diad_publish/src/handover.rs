//! Which message a packet identifier stands for.
//!
//! The client library numbers packets itself and tells us the number only when it writes one. It writes in the
//! order in which it was handed messages, so a queue is enough to match the two.

use std::collections::{HashMap, VecDeque};

/// Messages handed to the library over one connection and not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Handover<S> {
    unwritten: VecDeque<S>,
    written: HashMap<u16, S>,
}

impl<S> Handover<S> {
    pub(crate) fn new() -> Self {
        Self { unwritten: VecDeque::new(), written: HashMap::new() }
    }

    /// Messages that the library still holds or the broker still owes an acknowledgement for.
    pub(crate) fn len(&self) -> usize {
        self.unwritten.len() + self.written.len()
    }

    /// A message went to the library.
    pub(crate) fn hand(&mut self, slot: S) {
        self.unwritten.push_back(slot);
    }

    /// The library wrote its next message under this number; 0 means QoS 0, which nobody acknowledges.
    pub(crate) fn written(&mut self, packet: u16) {
        if let Some(slot) = self.unwritten.pop_front()
            && packet != 0
        {
            self.written.insert(packet, slot);
        }
    }

    /// The broker acknowledged this number.
    pub(crate) fn acknowledged(&mut self, packet: u16) -> Option<S> {
        self.written.remove(&packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_gives_the_message_that_was_written_under_the_number() {
        let mut handover = Handover::new();
        for slot in ["verdict", "heartbeat", "reject"] {
            handover.hand(slot);
        }
        handover.written(7);
        handover.written(0);
        handover.written(8);
        assert_eq!(handover.len(), 2);
        assert_eq!(handover.acknowledged(8), Some("reject"));
        assert_eq!(handover.acknowledged(7), Some("verdict"));
        assert_eq!(handover.acknowledged(7), None);
        assert_eq!(handover.len(), 0);
    }

    #[test]
    fn written_beyond_what_was_handed_is_ignored() {
        let mut handover = Handover::<u8>::new();
        handover.written(1);
        assert_eq!(handover.acknowledged(1), None);
    }
}
