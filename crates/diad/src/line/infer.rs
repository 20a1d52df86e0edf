//! The infer stage: one thread owns the networks and judges one part after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diad_capture::Capture;
use diad_core::event::{InspectionEvent, Judgement, Outcome, Reason};
use diad_core::frame::{PartMeta, Roi};
use diad_core::graphs::Graphs;
use diad_core::inspector::{InspectError, Inspection, Inspector};
use diad_core::judge::judge;
use diad_core::map::AnomalyMap;
use diad_ledger::Timings;
use tracing::{debug, error, info};

use super::beat::Beat;
use super::clock::now;
use super::desk::Desk;
use super::lane::{Exit, Take};
use super::stop::Stop;
use crate::chain::chain;
use crate::picture::HeatScale;
use crate::thresholds::{LiveThresholds, ThresholdSet};
use crate::timing::StageClock;

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

/// Loads the networks anew, after they have failed too often; the words of an error if that fails too.
pub type Rebuild<G> = Box<dyn FnMut() -> Result<Inspector<G>, String> + Send>;

/// Failures in a row after which the networks are loaded anew, and after which, then, the process gives up.
const FAILURES: u32 = 3;

/// What is said of a part, and the map that shows why.
type Judged = (InspectionEvent, (AnomalyMap, HeatScale));

/// What the infer thread works with.
pub(super) struct Inferring<G, W> {
    pub(super) frames: Exit<Frame>,
    /// None once it has panicked or could not be loaded anew.
    pub(super) inspector: Option<Inspector<G>>,
    pub(super) rebuild: Rebuild<G>,
    /// Engine failures since the last part that was judged.
    pub(super) failures: u32,
    pub(super) clock: StageClock,
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
                // A camera hangs and holds its end of the lane.
                Take::Idle if self.stop.is_left_behind() => return self.witness,
                Take::Idle => {}
                Take::Item(frame) => self.judge(frame),
            }
            self.beat.tick();
        }
    }

    fn judge(&mut self, frame: Frame) {
        // Taken once per part: score, cut-offs and digest of a verdict belong together.
        let thresholds = self.thresholds.current();
        if self.stop.overdue() {
            return self.desk.unjudged_with(frame.meta, Reason::Shutdown, frame.capture.picture);
        }
        if frame.meta.captured.mono.elapsed() > self.deadline {
            // The record stage has decided it.
            return debug!(part = %frame.meta.key, "deadline passed while the part waited");
        }
        // A panic must take neither the part in hand with it nor those that wait: the stage lives on without its
        // networks until the line has stopped, and nothing it says then is a judgement.
        self.clock.reset();
        let begun = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| self.inspect(&frame, &thresholds)));
        let (event, map) = match judged {
            Ok(Ok((event, map))) => (event, Some(map)),
            Ok(Err(reason)) => (InspectionEvent::unjudged(frame.meta.clone(), reason, now()), None),
            Err(_) => {
                self.inspector = None;
                self.stop.bug("infer");
                (InspectionEvent::unjudged(frame.meta.clone(), Reason::Engine, now()), None)
            }
        };
        let mut timings = Timings::NONE;
        timings.waited = Some(begun.saturating_duration_since(frame.meta.captured.mono));
        for (stage, took) in self.clock.take(event.judged.mono) {
            timings.set(stage, took);
        }
        let outcome = event.outcome.clone();
        let evidence = self.desk.evidence(frame.capture.picture, map);
        self.desk.decided(event, thresholds, timings, evidence);
        self.watch(&outcome);
    }

    /// Networks that fail again and again are loaded anew, once; if that does not help, systemd starts us anew.
    fn watch(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Judged(_) => self.failures = 0,
            Outcome::Unjudged(Reason::Engine) => self.failures += 1,
            Outcome::Unjudged(_) => {}
        }
        if self.failures == FAILURES && matches!(outcome, Outcome::Unjudged(Reason::Engine)) {
            error!(failures = FAILURES, "the networks fail again and again: loading them anew");
            // The old ones go first: two may not fit.
            self.inspector = None;
            match (self.rebuild)() {
                Ok(inspector) => {
                    info!("networks loaded anew");
                    self.inspector = Some(inspector);
                }
                Err(error) => {
                    error!(error, "the networks cannot be loaded anew");
                    self.stop.bug("infer");
                }
            }
        } else if self.failures >= 2 * FAILURES {
            error!("the networks still fail after they were loaded anew: giving up");
            self.stop.bug("infer");
        }
    }

    fn inspect(&mut self, frame: &Frame, thresholds: &Arc<ThresholdSet>) -> Result<Judged, Reason> {
        let key = &frame.meta.key;
        let pixels = frame.capture.view().map_err(|error| {
            error!(part = %key, error = %chain(&error), "torn frame");
            Reason::Frame
        })?;
        let roi = frame.roi.unwrap_or_else(|| pixels.full());
        let inspector = self.inspector.as_mut().ok_or(Reason::Engine)?;
        let inspection = inspector.inspect(pixels, roi, &mut self.clock).map_err(|error| {
            error!(part = %key, error = %chain(&error), "part not judged");
            match error {
                InspectError::Prepare(_) => Reason::Frame,
                _ => Reason::Engine,
            }
        })?;
        let cuts = thresholds.for_product(frame.meta.product.as_ref());
        let verdict = judge(inspection.score, &cuts, |cut| inspection.area_at_least(cut));
        let judgement = Judgement { verdict, score: inspection.score, thresholds: cuts, region: inspection.region };
        let event = InspectionEvent::judged(frame.meta.clone(), judgement, now());
        self.witness.judged(frame, &inspection, &event);
        Ok((event, (inspection.map.clone(), HeatScale::of_thresholds(&cuts))))
    }
}
