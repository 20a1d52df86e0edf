//! The record stage: every event passes here once, and from here to the broker.

use std::sync::Arc;
use std::time::Duration;

use diad_core::event::InspectionEvent;
use diad_publish::Publisher;
use diad_publish::wire::{Digest, Digests};
use tracing::error;

use super::account::Account;
use super::beat::Beat;
use super::lane::{Entrance, Exit, Take};
use crate::thresholds::{LiveThresholds, ThresholdSet};

/// Longest wait between two heartbeats.
const PATIENCE: Duration = Duration::from_millis(100);

/// Hears every event after it was handed to the broker link.
pub type Listener = Box<dyn FnMut(&InspectionEvent) + Send>;

/// One event, with the thresholds that were in force for it.
pub(super) struct Said {
    pub(super) event: InspectionEvent,
    pub(super) thresholds: Arc<ThresholdSet>,
}

/// Where stages hand in events. An event is never dropped: a full lane makes the stage wait.
#[derive(Clone)]
pub(super) struct Desk {
    events: Entrance<Said>,
    thresholds: LiveThresholds,
    beat: Beat,
}

impl Desk {
    pub(super) const fn new(events: Entrance<Said>, thresholds: LiveThresholds, beat: Beat) -> Self {
        Self { events, thresholds, beat }
    }

    /// The stage that hands in lives.
    pub(super) fn tick(&self) {
        self.beat.tick();
    }

    /// Hands in an event that no threshold decided.
    pub(super) fn say(&self, event: InspectionEvent) {
        self.say_by(event, self.thresholds.current());
    }

    /// Hands in an event with the thresholds that decided it.
    pub(super) fn say_by(&self, event: InspectionEvent, thresholds: Arc<ThresholdSet>) {
        let mut said = Said { event, thresholds };
        while let Err(back) = self.events.send(said, PATIENCE) {
            error!(part = %back.event.meta.key, "events wait: the record stage is slow");
            self.beat.tick();
            said = back;
        }
    }
}

/// What the record thread works with.
pub(super) struct Recording {
    pub(super) events: Exit<Said>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) account: Account,
    pub(super) deadline: Duration,
    pub(super) model: Digest,
    pub(super) settings: Digest,
    pub(super) listener: Listener,
    pub(super) beat: Beat,
}

impl Recording {
    /// Runs until every stage before it has ended and the lane is empty.
    pub(super) fn run(mut self) {
        loop {
            match self.events.take(PATIENCE) {
                Take::Closed => return,
                Take::Idle => {}
                Take::Item(Said { event, thresholds }) => {
                    let digests =
                        Digests { model: self.model, thresholds: thresholds.digest(), settings: self.settings };
                    self.publisher.publish_verdict(&event, &digests);
                    self.account.recorded(&event, self.deadline);
                    (self.listener)(&event);
                }
            }
            self.beat.tick();
        }
    }
}
