//! The infer stage: one thread owns the networks and judges one part after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, scope};
use std::time::{Duration, Instant};

use diad_capture::Capture;
use diad_core::drift::Look;
use diad_core::event::{InspectionEvent, Judgement, Outcome, Reason, WitnessScore};
use diad_core::frame::{PartMeta, Roi};
use diad_core::graphs::Graphs;
use diad_core::inspector::{InspectError, Inspection, Inspector, Probe, Stage, Subject, WitnessMap};
use diad_core::judge::{Thresholds, Verdict, judge};
use diad_core::name::ProductName;
use diad_ledger::Timings;
use tracing::{error, warn};

use super::beat::StageProgress;
use super::clock::now;
use super::desk::Desk;
use super::lane::{Either, Exit, Take};
use super::stop::Stop;
use crate::archive::Seen;
use crate::chain::chain;
use crate::guard::Guards;
use crate::guard::golden::{Answer, GoldenJob};
use crate::health::{Health, Source};
use crate::picture::HeatScale;
use crate::products::Products;
use crate::thresholds::{LiveThresholds, ThresholdSet};
use crate::timing::StageClock;

/// Longest wait between two heartbeats.
const INFER_BEAT_INTERVAL: Duration = Duration::from_millis(100);
/// How often networks that are being loaded are looked at.
const LOAD_POLL_INTERVAL: Duration = Duration::from_millis(10);

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
pub type ReloadNetworks<G> = Box<dyn FnMut() -> Result<Inspector<G>, String> + Send>;

/// Failures in a row after which the networks are loaded anew, and after which, then, the process gives up.
const MAX_FAILURES_IN_A_ROW: u32 = 3;

/// What the health of a station calls the networks.
const ENGINE_HEALTH: Source = Source::Engine;
/// How long the networks may take to be loaded: TensorRT builds its engines, which takes minutes. After that the watchdog
/// is fed no more.
const NETWORK_LOAD_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Share of the slowest inspection that is forgotten with every part: a hiccup does not count for ever.
const SLOWEST_DECAY_PER_PART: f64 = 0.01;

/// What is said of a part, what there is to see of it, and how it looks.
type InspectedPart = (InspectionEvent, Seen, Look);

/// What the infer thread works with.
pub(super) struct Inferring<G, W> {
    pub(super) frames: Exit<Frame>,
    /// None once it has panicked or could not be loaded anew.
    pub(super) inspector: Option<Inspector<G>>,
    pub(super) rebuild: ReloadNetworks<G>,
    /// Engine failures since the last part that was judged.
    pub(super) failures: u32,
    /// The last of them.
    pub(super) failure: String,
    pub(super) health: Health,
    pub(super) clock: StageClock,
    pub(super) thresholds: LiveThresholds,
    pub(super) products: Products,
    pub(super) deadline: Duration,
    pub(super) desk: Desk,
    pub(super) witness: W,
    pub(super) guards: Guards,
    pub(super) pace: InspectionPace,
    pub(super) stop: Stop,
    pub(super) beat: StageProgress,
}

/// Whether the deadline leaves room for a golden part, while a part of every camera may come.
pub(super) struct InspectionPace {
    cameras: u32,
    deadline: Duration,
    /// How long an inspection may take, by the slowest of late; none before the first part.
    slowest: Option<Duration>,
}

impl InspectionPace {
    pub(super) fn new(cameras: usize, deadline: Duration) -> Self {
        Self { cameras: u32::try_from(cameras).unwrap_or(u32::MAX), deadline, slowest: None }
    }

    fn took(&mut self, time: Duration) {
        self.slowest =
            Some(self.slowest.map_or(time, |slowest| time.max(slowest.mul_f64(1.0 - SLOWEST_DECAY_PER_PART))));
    }

    /// Before the first part there is nothing to be late for.
    fn has_room(&self) -> bool {
        self.slowest.is_none_or(|slowest| slowest.saturating_mul(self.cameras.saturating_add(1)) <= self.deadline)
    }
}

impl<G: Graphs + Send, W: Witness> Inferring<G, W> {
    /// Runs until every camera has ended and the lane is empty. Gives the witness back.
    pub(super) fn run(mut self) -> W {
        loop {
            match self.next() {
                Take::Closed => return self.witness,
                // A camera hangs and holds its end of the lane.
                Take::Idle if self.stop.is_left_behind() => return self.witness,
                Take::Idle => {}
                Take::Item(Either::Lane(frame)) => self.judge(frame),
                Take::Item(Either::Beside(exam)) => self.examine(exam),
            }
            self.beat.tick();
        }
    }

    /// The next part or, if none waits and none will be late for it, a golden one.
    fn next(&self) -> Take<Either<Frame, GoldenJob>> {
        if self.pace.has_room() && !self.stop.asked() {
            return self.frames.take_or(&self.guards.exams.waiting, INFER_BEAT_INTERVAL);
        }
        match self.frames.take(INFER_BEAT_INTERVAL) {
            Take::Item(frame) => Take::Item(Either::Lane(frame)),
            Take::Idle => Take::Idle,
            Take::Closed => Take::Closed,
        }
    }

    /// Judges a golden part, by the networks and thresholds in force.
    fn examine(&mut self, exam: GoldenJob) {
        let thresholds = self.thresholds.current();
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge_golden(&exam, &thresholds)));
        exam.answer(judged.unwrap_or_else(|_| {
            self.inspector = None;
            self.stop.bug("infer");
            Err("a bug in the networks".to_owned())
        }));
    }

    /// As a part of its product is judged: the same region of the picture, under the same mask, by the same witnesses.
    fn judge_golden(&mut self, exam: &GoldenJob, thresholds: &ThresholdSet) -> Answer {
        if let Some(stranger) = self.products.stranger(Some(thresholds), &exam.product) {
            if !self.products.judges(thresholds, Some(&exam.product)) {
                return Err(stranger);
            }
            warn!("golden part judged by the default: {stranger}");
        }
        let inspector = self.inspector.as_mut().ok_or("the networks are not loaded")?;
        let pixels = exam.picture.view().map_err(|error| chain(&error))?;
        let roi = exam.roi.unwrap_or_else(|| pixels.full());
        let product = Some(&exam.product);
        let cuts = thresholds.for_product(product);
        let mut alive = Alive { clock: &mut StageClock::default(), beat: &self.beat };
        let inspection = inspector
            .inspect_as(&subject(thresholds, product), pixels, roi, &mut alive)
            .map_err(|error| chain(&error))?;
        let Judgement { verdict, score, .. } = judgement(&inspection, cuts);
        Ok((verdict, score))
    }

    fn judge(&mut self, frame: Frame) {
        // Taken once per part: score, cut-offs and digest of a verdict belong together.
        let thresholds = self.thresholds.current();
        if self.stop.overdue() {
            return self.desk.unjudged_with(frame.meta, Reason::Shutdown, frame.capture.picture);
        }
        if frame.meta.captured.mono.elapsed() > self.deadline {
            // The record stage decides it, or has; the picture shows what was missed.
            return self.desk.unjudged_with(frame.meta, Reason::Deadline, frame.capture.picture);
        }
        if !self.products.judges(&thresholds, frame.meta.product.as_ref()) {
            return self.desk.unjudged_with(frame.meta, Reason::Product, frame.capture.picture);
        }
        // A panic must take neither the part in hand with it nor those that wait: the stage lives on without its
        // networks until the line has stopped, and nothing it says then is a judgement.
        self.clock.reset();
        let begun = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| self.inspect(&frame, &thresholds)));
        let (event, seen, look) = match judged {
            Ok(Ok((event, seen, look))) => (event, Some(seen), Some(look)),
            Ok(Err(reason)) => (InspectionEvent::unjudged(frame.meta.clone(), reason, now()), None, None),
            Err(_) => {
                self.inspector = None;
                self.stop.bug("infer");
                (InspectionEvent::unjudged(frame.meta.clone(), Reason::Engine, now()), None, None)
            }
        };
        self.pace.took(begun.elapsed());
        let mut timings = Timings::NONE;
        timings.waited = Some(begun.saturating_duration_since(frame.meta.captured.mono));
        for (stage, took) in self.clock.take(event.judged.mono) {
            timings.set(stage, took);
        }
        let outcome = event.outcome.clone();
        let reference = thresholds.reference(frame.meta.product.as_ref());
        let evidence = self.desk.evidence(frame.capture.picture, seen);
        self.desk.decided(event, thresholds, timings, evidence);
        if let (Outcome::Judged(judgement), Some(look)) = (&outcome, look) {
            self.guards.drift.judged(&frame.meta, judgement, look, reference);
        }
        self.watch(&outcome);
    }

    /// Networks that fail again and again are loaded anew, once; if that does not help, systemd starts us anew.
    fn watch(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Judged(_) => {
                if self.failures >= MAX_FAILURES_IN_A_ROW {
                    self.health.well(ENGINE_HEALTH);
                }
                self.failures = 0;
            }
            Outcome::Unjudged(Reason::Engine) => {
                self.failures += 1;
                if self.failures == MAX_FAILURES_IN_A_ROW {
                    self.load_anew();
                } else if self.failures >= 2 * MAX_FAILURES_IN_A_ROW {
                    self.give_up(&format!("the networks still fail after they were loaded anew: {}", self.failure));
                }
            }
            Outcome::Unjudged(_) => {}
        }
    }

    fn load_anew(&mut self) {
        let trouble = format!("{MAX_FAILURES_IN_A_ROW} parts in a row were not judged: {}", self.failure);
        self.health.problem(ENGINE_HEALTH, &format!("{trouble}; the networks are being loaded anew"));
        // The old ones go first: two may not fit.
        self.inspector = None;
        match self.rebuild_with_beats() {
            Ok(inspector) => {
                self.inspector = Some(inspector);
                self.health.problem(
                    ENGINE_HEALTH,
                    &format!("{trouble}; the networks are loaded anew, and no part judged yet"),
                );
            }
            Err(error) => self.give_up(&format!("the networks cannot be loaded anew: {error}")),
        }
    }

    fn give_up(&self, why: &str) {
        self.health.problem(ENGINE_HEALTH, why);
        self.stop.bug("infer");
    }

    /// Loads the networks on a thread of their own: that takes longer than a stage may be still.
    fn rebuild_with_beats(&mut self) -> Result<Inspector<G>, String> {
        let Self { rebuild, beat, .. } = self;
        scope(|scope| {
            let loading = Builder::new().name("load".to_owned()).spawn_scoped(scope, rebuild);
            let loading = loading.map_err(|error| format!("start thread load: {error}"))?;
            let begun = Instant::now();
            while !loading.is_finished() {
                if begun.elapsed() < NETWORK_LOAD_TIMEOUT {
                    beat.tick();
                }
                std::thread::sleep(LOAD_POLL_INTERVAL);
            }
            loading.join().unwrap_or_else(|_| Err("a bug".to_owned()))
        })
    }

    fn inspect(&mut self, frame: &Frame, thresholds: &Arc<ThresholdSet>) -> Result<InspectedPart, Reason> {
        let key = &frame.meta.key;
        let pixels = frame.capture.view().map_err(|error| {
            error!(part = %key, error = %chain(&error), "torn frame");
            Reason::Frame
        })?;
        let roi = frame.roi.unwrap_or_else(|| pixels.full());
        let inspector = self.inspector.as_mut().ok_or(Reason::Engine)?;
        let product = frame.meta.product.as_ref();
        let input = *inspector.input();
        let mut alive = Alive { clock: &mut self.clock, beat: &self.beat };
        let inspection =
            inspector.inspect_as(&subject(thresholds, product), pixels, roi, &mut alive).map_err(|error| {
                let (product, picture) = (product.map(ProductName::as_str), pixels.full());
                error!(part = %key, product, %picture, error = %chain(&error), "part not judged");
                match error {
                    InspectError::Prepare(_) | InspectError::Mask(_) => Reason::Frame,
                    _ => {
                        self.failure = chain(&error);
                        Reason::Engine
                    }
                }
            })?;
        let cuts = thresholds.for_product(product);
        let judgement = judgement(&inspection, cuts);
        let seen = Seen {
            map: inspection.map.clone(),
            scale: HeatScale::of_thresholds(&cuts),
            roi,
            region: (judgement.verdict != Verdict::Pass).then_some(inspection.region),
        };
        let said = |map: &WitnessMap| WitnessScore { name: Arc::clone(map.name()), score: map.score() };
        let witnesses = inspection.witnesses.iter().map(said).collect();
        let event = InspectionEvent::judged(frame.meta.clone(), judgement, now()).with_witnesses(witnesses);
        self.witness.judged(frame, &inspection, &event);
        Ok((event, seen, Look::of(inspection.input, &input)))
    }
}

/// How a product is judged: which pixels count, and by whom. One reading of the thresholds gives both and the cut-offs.
fn subject<'a>(thresholds: &'a ThresholdSet, product: Option<&ProductName>) -> Subject<'a> {
    Subject { mask: thresholds.mask(product), joined: thresholds.joined(product) }
}

/// Takes the times of a part, and says that the stage lives: large networks may take longer for one than a watchdog waits.
struct Alive<'a> {
    clock: &'a mut StageClock,
    beat: &'a StageProgress,
}

impl Probe for Alive<'_> {
    fn entering(&mut self, stage: Stage) {
        self.clock.entering(stage);
        self.beat.tick();
    }

    fn step(&mut self) {
        self.beat.tick();
    }
}

fn judgement(inspection: &Inspection<'_>, thresholds: Thresholds) -> Judgement {
    let verdict = judge(inspection.score, &thresholds, |cut| inspection.area_at_least(cut));
    Judgement { verdict, score: inspection.score, thresholds, region: inspection.region }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_has_room_for_a_golden_part_only_if_a_part_of_every_camera_would_be_in_time_behind_it() {
        for (cameras, took_ms, room) in [
            (1, &[][..], true),
            (1, &[90], true),
            (1, &[110], false),
            (2, &[60], true),
            (2, &[70], false),
            (3, &[60], false),
        ] {
            let mut pace = InspectionPace::new(cameras, Duration::from_millis(200));
            took_ms.iter().for_each(|ms| pace.took(Duration::from_millis(*ms)));
            assert_eq!(pace.has_room(), room, "{cameras} cameras, {took_ms:?} ms");
        }
    }

    #[test]
    fn pace_forgets_a_hiccup_and_not_at_once() {
        let mut pace = InspectionPace::new(1, Duration::from_millis(200));
        pace.took(Duration::from_millis(1000));
        let parts = (1..).find(|_| {
            pace.took(Duration::from_millis(20));
            pace.has_room()
        });
        // A hundredth each: 0.99^n is a tenth.
        assert_eq!(parts, Some(230));
    }
}
