//! Acknowledgements that the broker may not have read: a pure state machine.
//!
//! What is acknowledged here may be lost on its way, and then the broker delivers the message again (DUP) over the next
//! connection. A broker reads in order: once it answers a question that was put after an acknowledgement, it has that too, and
//! may give the packet number to another message.

use std::collections::{HashMap, VecDeque};

use crate::link::transit::Question;

/// Most acknowledgements that are remembered. The link asks ten times a second; an older one is taken as read.
const MOST: usize = 4096;

/// Packet numbers and contents of messages whose acknowledgement the broker may not have read.
#[derive(Debug, Default)]
pub(crate) struct Unproven {
    /// Acknowledgements so far over this connection.
    given: u64,
    /// Of this connection, in order: which acknowledgement it is, its packet number, and the message's print.
    waiting: VecDeque<(u64, u16, u64)>,
    /// How many had been given when a question was last put, by question.
    asked: [u64; 2],
    /// Of the connections before it.
    carried: HashMap<u16, u64>,
}

impl Unproven {
    /// A connection begins. Where the broker has kept the session it delivers again what it has no acknowledgement of.
    pub(crate) fn begin(&mut self, session_kept: bool) {
        self.carried.extend(self.waiting.drain(..).map(|(_, packet, print)| (packet, print)));
        (self.given, self.asked) = (0, [0; 2]);
        if !session_kept {
            self.carried.clear();
        }
    }

    /// A message was acknowledged. `print`: of a message that no other one is like; none for others.
    pub(crate) fn acknowledged(&mut self, packet: u16, print: Option<u64>) {
        self.given += 1;
        if let Some(print) = print {
            if self.waiting.len() == MOST {
                self.waiting.pop_front();
            }
            self.waiting.push_back((self.given, packet, print));
        }
    }

    /// A question was put.
    pub(crate) const fn asked(&mut self, question: Question) {
        self.asked[question as usize] = self.given;
    }

    /// It was answered.
    pub(crate) fn answered(&mut self, question: Question) {
        let read = self.asked[question as usize];
        self.waiting.drain(..self.waiting.partition_point(|(given, ..)| *given <= read));
    }

    /// A message came in. True if it is one that was acknowledged before, over an earlier connection.
    pub(crate) fn is_redelivery(&mut self, packet: u16, again: bool, print: u64) -> bool {
        // Under a number that is in use again, whatever had it is done with.
        self.waiting.retain(|(_, waiting, _)| *waiting != packet);
        self.carried.remove(&packet) == Some(print) && again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgement_that_may_be_lost_makes_the_message_known_over_the_next_connection() {
        let mut unproven = Unproven::default();
        for packet in 1..=3 {
            unproven.acknowledged(packet, Some(u64::from(packet) * 10));
        }
        unproven.begin(true);
        assert!(unproven.is_redelivery(1, true, 10));
        assert!(!unproven.is_redelivery(1, true, 10), "once");
        assert!(!unproven.is_redelivery(2, false, 20), "delivered for the first time: the number is in use again");
        assert!(!unproven.is_redelivery(3, true, 31), "another message");
        unproven.acknowledged(4, Some(40));
        unproven.begin(true);
        unproven.begin(true);
        assert!(unproven.is_redelivery(4, true, 40), "two connections later");
        unproven.acknowledged(5, Some(50));
        unproven.begin(false);
        assert!(!unproven.is_redelivery(5, true, 50), "another session");
        unproven.acknowledged(6, None);
        unproven.begin(true);
        assert!(!unproven.is_redelivery(6, true, 60), "a message that others are like");
    }

    #[test]
    fn answer_to_a_question_proves_the_acknowledgements_before_it() {
        let mut unproven = Unproven::default();
        unproven.acknowledged(1, Some(10));
        unproven.asked(Question::Unsubscribe);
        unproven.acknowledged(2, Some(20));
        unproven.answered(Question::Subscribe);
        unproven.answered(Question::Unsubscribe);
        unproven.begin(true);
        assert!(!unproven.is_redelivery(1, true, 10), "the broker has read it");
        assert!(unproven.is_redelivery(2, true, 20));
    }

    #[test]
    fn number_that_is_in_use_again_over_the_same_connection_is_done_with() {
        let mut unproven = Unproven::default();
        unproven.acknowledged(1, Some(10));
        assert!(!unproven.is_redelivery(1, false, 10), "a new message");
        unproven.begin(true);
        assert!(!unproven.is_redelivery(1, true, 10), "it was not acknowledged here");
    }

    #[test]
    fn acknowledgements_without_any_answer_stay_bounded() {
        let mut unproven = Unproven::default();
        for packet in 0..=u16::MAX {
            unproven.acknowledged(packet, Some(1));
        }
        assert_eq!(unproven.waiting.len(), MOST);
    }
}
