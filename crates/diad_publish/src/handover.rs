//! Which message a packet identifier stands for.
//!
//! The client library numbers packets itself and tells us the number only when it writes one. It writes in the
//! order in which it was handed messages, so a queue is enough to match the two.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Messages handed to the library over one connection and not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Handover<S> {
    unwritten: VecDeque<S>,
    written: HashMap<u16, S>,
    /// When something was last handed over to a broker that owed nothing, or acknowledged.
    moved: Instant,
}

impl<S> Handover<S> {
    pub(crate) fn new(now: Instant) -> Self {
        Self { unwritten: VecDeque::new(), written: HashMap::new(), moved: now }
    }

    /// Messages that the library still holds or the broker still owes an acknowledgement for.
    pub(crate) fn len(&self) -> usize {
        self.unwritten.len() + self.written.len()
    }

    /// Whether the broker owes acknowledgements and has given none for `limit`.
    pub(crate) fn stalled(&self, limit: Duration, now: Instant) -> bool {
        self.len() > 0 && now.saturating_duration_since(self.moved) > limit
    }

    /// A message went to the library.
    pub(crate) fn hand(&mut self, slot: S, now: Instant) {
        if self.len() == 0 {
            self.moved = now;
        }
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
    pub(crate) fn acknowledged(&mut self, packet: u16, now: Instant) -> Option<S> {
        self.moved = now;
        self.written.remove(&packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_gives_the_message_that_was_written_under_the_number() {
        let now = Instant::now();
        let mut handover = Handover::new(now);
        for slot in ["verdict", "heartbeat", "reject"] {
            handover.hand(slot, now);
        }
        handover.written(7);
        handover.written(0);
        handover.written(8);
        assert_eq!(handover.len(), 2);
        assert_eq!(handover.acknowledged(8, now), Some("reject"));
        assert_eq!(handover.acknowledged(7, now), Some("verdict"));
        assert_eq!(handover.acknowledged(7, now), None);
        assert_eq!(handover.len(), 0);
    }

    #[test]
    fn written_beyond_what_was_handed_is_ignored() {
        let now = Instant::now();
        let mut handover = Handover::<u8>::new(now);
        handover.written(1);
        assert_eq!(handover.acknowledged(1, now), None);
    }

    #[test]
    fn stalled_is_a_broker_that_owes_and_gives_nothing() {
        let (begin, limit) = (Instant::now(), Duration::from_millis(250));
        let at = |millis| begin + Duration::from_millis(millis);
        let mut handover = Handover::new(begin);
        assert!(!handover.stalled(limit, at(9000)), "nothing is owed");
        handover.hand("first", at(9000));
        handover.hand("second", at(9200));
        assert!(!handover.stalled(limit, at(9250)));
        assert!(handover.stalled(limit, at(9251)), "the newer message buys no time");
        handover.written(1);
        handover.written(2);
        handover.acknowledged(1, at(9300));
        assert!(!handover.stalled(limit, at(9550)) && handover.stalled(limit, at(9551)));
        handover.acknowledged(2, at(9600));
        assert!(!handover.stalled(limit, at(99_000)));
    }
}
