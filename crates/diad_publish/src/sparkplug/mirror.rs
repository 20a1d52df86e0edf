//! What waits between the link and the node's connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::wire::sparkplug::Health;
use crate::wire::{Heartbeat, RejectBit, StateMessage, VerdictMessage};

/// Verdicts that may wait. A mirror need not survive an outage: the JSON verdicts do.
const MIRROR_CAPACITY: usize = 1024;

/// A verdict as the link has sent it. Without a bit it is for the record: historical.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) verdict: VerdictMessage,
    pub(crate) bit: Option<RejectBit>,
}

pub(super) struct Queue {
    waiting: VecDeque<Said>,
    pub(super) health: Health,
    pub(super) health_is_news: bool,
    /// The node shall say its death and go.
    pub(super) leaving: bool,
}

impl Queue {
    /// The node was born: what has waited until now no longer tells how things are.
    pub(super) fn grow_old(&mut self) {
        for said in &mut self.waiting {
            said.bit = None;
        }
    }

    pub(super) fn next(&mut self) -> Option<Said> {
        self.waiting.pop_front()
    }
}

/// The queue behind its lock, which is held for one operation at a time: whoever fills it never waits.
pub(crate) struct Mirror {
    queue: Mutex<Queue>,
    pub(super) bell: Notify,
}

impl Mirror {
    pub(crate) fn new(state: StateMessage) -> Self {
        let health = Health { state, beat: None, lost: 0 };
        let queue = Queue { waiting: VecDeque::new(), health, health_is_news: false, leaving: false };
        Self { queue: Mutex::new(queue), bell: Notify::new() }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a verdict that is going out. If the queue is full, the oldest leaves and is counted.
    pub(crate) fn say(&self, said: Said) {
        let mut queue = self.queue();
        if queue.waiting.len() == MIRROR_CAPACITY {
            queue.waiting.pop_front();
            queue.health.lost += 1;
        }
        queue.waiting.push_back(said);
        drop(queue);
        self.bell.notify_one();
    }

    pub(crate) fn set_state(&self, state: StateMessage) {
        let mut queue = self.queue();
        queue.health.state = state;
        queue.health_is_news = true;
        drop(queue);
        self.bell.notify_one();
    }

    pub(crate) fn beat(&self, beat: Heartbeat) {
        let mut queue = self.queue();
        queue.health.beat = Some(beat);
        queue.health_is_news = true;
        drop(queue);
        self.bell.notify_one();
    }

    /// Verdicts that left without having been said.
    pub(crate) fn lost(&self) -> u64 {
        self.queue().health.lost
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }

    pub(crate) fn leave(&self) {
        self.queue().leaving = true;
        self.bell.notify_one();
    }
}
