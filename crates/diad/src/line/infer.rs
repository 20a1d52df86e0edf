//! The infer stage: one thread owns the networks and judges one part after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use diad_capture::Capture;
use diad_core::event::{InspectionEvent, Judgement, Reason};
use diad_core::frame::{PartMeta, Roi};
use diad_core::graphs::Graphs;
use diad_core::inspector::{InspectError, Inspection, Inspector};
use diad_core::judge::judge;
use tracing::error;

use super::beat::Beat;
use super::clock::now;
use super::lane::{Exit, Take};
use super::record::Desk;
use super::stop::Stop;
use crate::chain::chain;
use crate::thresholds::{LiveThresholds, ThresholdSet};

/// Longest wait between two heartbeats.
const PATIENCE: Duration = Duration::from_millis(100);

/// A part on its way to the networks.
#[derive(Debug)]
pub struct Frame {
    /// The part.
    pub meta: PartMeta,
    /// Where to look; `None` is the whole picture.
    pub roi: Option<Roi>,
    /// Its picture.
    pub capture: Capture,
}

/// Sees every judged part with its map, before the next part overwrites the buffers.
pub trait Witness: Send {
    /// A part has been judged; `event` is what will be said of it.
    fn judged(&mut self, frame: &Frame, inspection: &Inspection<'_>, event: &InspectionEvent);
}

/// Sees nothing.
impl Witness for () {
    fn judged(&mut self, _: &Frame, _: &Inspection<'_>, _: &InspectionEvent) {}
}

/// What the infer thread works with.
pub(super) struct Inferring<G, W> {
    pub(super) frames: Exit<Frame>,
    /// None once it has panicked.
    pub(super) inspector: Option<Inspector<G>>,
    pub(super) thresholds: LiveThresholds,
    pub(super) deadline: Duration,
    pub(super) desk: Desk,
    pub(super) witness: W,
    pub(super) stop: Stop,
    pub(super) beat: Beat,
}

impl<G: Graphs, W: Witness> Inferring<G, W> {
    /// Runs until every camera has ended and the lane is empty. Gives the witness back.
    pub(super) fn run(mut self) -> W {
        loop {
            match self.frames.take(PATIENCE) {
                Take::Closed => return self.witness,
                Take::Idle => {}
                Take::Item(frame) => self.judge(&frame),
            }
            self.beat.tick();
        }
    }

    fn judge(&mut self, frame: &Frame) {
        // Taken once per part: score, cut-offs and digest of a verdict belong together.
        let thresholds = self.thresholds.current();
        let unjudged = |reason| InspectionEvent::unjudged(frame.meta.clone(), reason, now());
        let late = || frame.meta.captured.mono.elapsed() > self.deadline;
        if self.stop.overdue() {
            return self.desk.say_by(unjudged(Reason::Shutdown), thresholds);
        }
        if late() {
            error!(part = %frame.meta.key, "deadline passed while the part waited");
            return self.desk.say_by(unjudged(Reason::Deadline), thresholds);
        }
        // A panic must take neither the part in hand with it nor those that wait: the stage lives on without its
        // networks until the line has stopped, and nothing it says then is a judgement.
        let judged = catch_unwind(AssertUnwindSafe(|| self.inspect(frame, &thresholds)));
        let event = match judged {
            Ok(Ok(event)) => event,
            Ok(Err(reason)) => unjudged(reason),
            Err(_) => {
                self.inspector = None;
                self.stop.bug("infer");
                unjudged(Reason::Engine)
            }
        };
        self.desk.say_by(event, thresholds);
    }

    fn inspect(&mut self, frame: &Frame, thresholds: &Arc<ThresholdSet>) -> Result<InspectionEvent, Reason> {
        let key = &frame.meta.key;
        let pixels = frame.capture.view().map_err(|error| {
            error!(part = %key, error = %chain(&error), "torn frame");
            Reason::Frame
        })?;
        let roi = frame.roi.unwrap_or_else(|| pixels.full());
        let inspector = self.inspector.as_mut().ok_or(Reason::Engine)?;
        let inspection = inspector.inspect(pixels, roi, &mut ()).map_err(|error| {
            error!(part = %key, error = %chain(&error), "part not judged");
            match error {
                InspectError::Prepare(_) => Reason::Frame,
                _ => Reason::Engine,
            }
        })?;
        let cuts = thresholds.for_product(frame.meta.product.as_ref());
        let verdict = judge(inspection.score, &cuts, |cut| inspection.area_at_least(cut));
        let judgement = Judgement { verdict, score: inspection.score, thresholds: cuts, region: inspection.region };
        let judged = now();
        let event = if judged.mono.saturating_duration_since(frame.meta.captured.mono) > self.deadline {
            error!(part = %key, "verdict came after the deadline");
            InspectionEvent::unjudged(frame.meta.clone(), Reason::Deadline, judged)
        } else {
            InspectionEvent::judged(frame.meta.clone(), judgement, judged)
        };
        self.witness.judged(frame, &inspection, &event);
        Ok(event)
    }
}
