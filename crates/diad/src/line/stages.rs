//! The one place where the order of the stages is written: capture → infer → record.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use diad_capture::CaptureError;
use diad_core::event::Reason;
use diad_core::graphs::Graphs;
use diad_core::inspector::Inspector;
use diad_publish::wire::Digest;
use diad_publish::{Arrived, Publisher, suspended};
use tracing::error;

use super::FRAME_LANE_CAPACITY;
use super::account::Account;
use super::beat::StageProgressTable;
use super::capture::{Capturing, Joins};
use super::desk::Desk;
use super::infer::{Inferring, InspectionPace, ReloadNetworks, Witness};
use super::lane::lane;
use super::reconnecting::FIRST_OPEN_TIMEOUT;
use super::record::{self, Recording, VerdictObserver};
use super::resilient::{LabelRequest, ResilientLedger};
use super::sleep::SuspensionDetector;
use super::sources::CameraSpec;
use super::stalls::StallDetector;
use super::stop::Stop;
use super::triggers::{LateTriggers, Routed, Triggers};
use crate::archive::Archive;
use crate::guard::Guards;
use crate::health::Health;
use crate::products::{InForce, Products};
use crate::thresholds::LiveThresholds;
use crate::timing::StageClock;

/// Words that may wait for the record stage, which never waits for the broker.
const RECORD_LANE_CAPACITY: usize = 1024;

/// Time beyond the end of a drain in which a stage must have ended.
const STAGE_JOIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The most that networks are given on top for the part in hand, which may take its deadline: systemd does not wait for ever.
const MAX_PART_IN_HAND: Duration = Duration::from_secs(5);
/// How often a stage that should end is looked at.
const JOIN_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// What a line is made of.
pub struct LineSpec<G, W> {
    /// Every camera, in the order of the settings.
    pub cameras: Vec<CameraSpec>,
    /// The method with its networks, warmed up.
    pub inspector: Inspector<G>,
    /// How the networks are loaded anew.
    pub rebuild: ReloadNetworks<G>,
    /// The thresholds in force.
    pub thresholds: LiveThresholds,
    /// Which products have a name, and what becomes of parts of others.
    pub products: Products,
    /// From trigger to verdict.
    pub deadline: Duration,
    /// For so long after its deadline a part may be at the gate: a mark that comes again by then is a repeat.
    pub repeat_within: Duration,
    /// The broker link.
    pub publisher: Arc<Publisher>,
    /// The record.
    pub journal: ResilientLedger,
    /// How long what is owed to the broker may take at the end.
    pub drain: Duration,
    /// Which model judges.
    pub model: Digest,
    /// Under which settings.
    pub settings: Digest,
    /// Sees every judged part.
    pub witness: W,
    /// Hears every verdict.
    pub listener: VerdictObserver,
    /// Where pictures are kept.
    pub archive: Archive,
    /// What people say of verdicts; nothing, ever, if nobody can.
    pub marks: Receiver<LabelRequest>,
    /// Who watches the station itself.
    pub guards: Guards,
    /// Where lost cameras and failing networks are reported.
    pub health: Health,
}

/// A line that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No camera opened.
    #[error("open a camera of the settings")]
    Camera(#[source] CaptureError),
    /// The system gave no thread.
    #[error("start thread {name}")]
    Thread {
        /// The thread's name.
        name: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// A running line.
pub struct Line<W> {
    captures: Vec<JoinHandle<()>>,
    infer: JoinHandle<W>,
    /// What the networks may take to finish the part in hand.
    in_hand: Duration,
    record: JoinHandle<ResilientLedger>,
    desk: Desk,
    triggers: Triggers,
    account: Account,
    stop: Stop,
    beats: StageProgressTable,
}

/// What came of a line.
pub enum Ended<W> {
    /// Every stage drained into the next and ended. The journal is given back.
    Clean(W, ResilientLedger),
    /// A stage panicked or gave up: a bug. Its name, and the journal if the record stage still had it.
    Broken(&'static str, Option<ResilientLedger>),
}

/// Starts every stage. Cameras are opened first, so that a station that sees nothing says so at once; one that sees with
/// some of its cameras begins, and opens the others when it can.
///
/// # Errors
/// [`LineError`].
pub fn start<G, W>(spec: LineSpec<G, W>, stop: Stop) -> Result<Line<W>, LineError>
where
    G: Graphs + Send + 'static,
    W: Witness + 'static,
{
    let LineSpec { cameras, inspector, rebuild, thresholds, deadline, witness, guards, health, mut journal, .. } = spec;
    let account = Account::default();
    let triggers = Triggers::new(journal.product().clone(), deadline);
    let mut beats = StageProgressTable::default();
    let (frames_in, frames_out) = lane(FRAME_LANE_CAPACITY);
    let (said_in, said_out) = lane(RECORD_LANE_CAPACITY);
    let supervisor = Desk::new(
        account.clone(),
        said_in,
        thresholds.clone(),
        spec.archive.clone(),
        stop.clone(),
        beats.add("supervisor"),
    );

    let stalls = StallDetector::start().map_err(|source| LineError::Thread { name: "stalls".to_owned(), source })?;
    let mut capturing = Vec::new();
    for camera in cameras {
        let name = format!("capture-{}", camera.id());
        let beat = beats.add(&name);
        let joins = Joins {
            frames: frames_in.clone(),
            desk: supervisor.of_stage(beat.clone()),
            stop: stop.clone(),
            beat,
            stalls: stalls.clone(),
            deadline,
            health: health.clone(),
        };
        capturing.push((name, Capturing::start(camera, &triggers, joins)?));
    }
    drop(frames_in);
    first_open(&mut capturing)?;

    let beat = beats.add("record");
    let repeats = record::recall(&mut journal, &spec.publisher, deadline + spec.repeat_within);
    let recording = Recording {
        said: said_out,
        publisher: spec.publisher,
        journal,
        repeats,
        sleep: SuspensionDetector::new(suspended()),
        account: account.clone(),
        thresholds: thresholds.clone(),
        deadline,
        model: spec.model,
        settings: spec.settings,
        listener: spec.listener,
        archive: spec.archive.clone(),
        beat,
        drain: spec.drain,
        marks: spec.marks,
        rescan: false,
        health: health.clone(),
        last_overdue: None,
    };
    let unheard = RecordStageGuard(stop.clone());
    let record = spawn("record", move || {
        let _unheard = unheard;
        recording.run()
    })?;
    let beat = beats.add("infer");
    let inferring = Inferring {
        frames: frames_out,
        inspector: Some(inspector),
        rebuild,
        failures: 0,
        failure: String::new(),
        health,
        clock: StageClock::default(),
        thresholds: thresholds.clone(),
        products: spec.products,
        deadline,
        desk: supervisor.of_stage(beat.clone()),
        witness,
        guards,
        pace: InspectionPace::new(capturing.len(), deadline),
        stop: stop.clone(),
        beat,
    };
    let infer = spawn("infer", move || inferring.run())?;
    let captures =
        capturing.into_iter().map(|(name, stage)| spawn(&name, move || stage.run())).collect::<Result<_, _>>()?;
    Ok(Line {
        captures,
        infer,
        in_hand: deadline.min(MAX_PART_IN_HAND),
        record,
        desk: supervisor,
        triggers,
        account,
        stop,
        beats,
    })
}

/// Waits until every camera has been tried, all of them at the same time. One that may still open is no reason to give up.
fn first_open(capturing: &mut [(String, Capturing)]) -> Result<(), LineError> {
    let until = Instant::now() + FIRST_OPEN_TIMEOUT;
    let opened: Vec<_> = capturing.iter_mut().map(|(_, stage)| stage.first_open(until)).collect();
    let may_see = opened.iter().any(|opened| opened.as_ref().err().is_none_or(CaptureError::is_pending));
    for ((_, stage), opened) in capturing.iter_mut().zip(opened) {
        match opened {
            Err(error) if !may_see => return Err(LineError::Camera(error)),
            Err(error) => stage.is_away(&error),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Tells the others when the record stage is gone, also by a panic: they would wait for it for ever.
struct RecordStageGuard(Stop);

impl Drop for RecordStageGuard {
    fn drop(&mut self) {
        self.0.unheard();
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, LineError> {
    Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| LineError::Thread { name: name.to_owned(), source })
}

impl<W> Line<W> {
    /// Hands a message from the plant to the cameras it is meant for. A part that no camera can take is booked.
    pub fn route(&self, message: Arrived) {
        let Routed { refused, product } =
            self.triggers.route(message, |camera, arrival| self.desk.enter(camera, arrival));
        for (meta, reason) in refused {
            let of_camera = if self.stop.asked() { Reason::Shutdown } else { Reason::Camera };
            self.desk.unjudged(meta, reason.unwrap_or(of_camera));
        }
        if let Some((product, at, receipt)) = product {
            self.desk.product(product, at, receipt);
        }
    }

    /// Triggers that came late, or not at all, since the start.
    pub fn late_triggers(&self) -> LateTriggers {
        self.triggers.late()
    }

    /// The product that the next part is of.
    pub fn product(&self) -> InForce {
        self.triggers.product()
    }

    /// Triggers that no camera was meant by, since the start: parts that get no verdict.
    pub fn unheeded_triggers(&self) -> u64 {
        self.triggers.unheeded()
    }

    /// The count of parts.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Stages that have not moved since the last look; empty while the line lives. Stages that have ended in good
    /// order are not accused.
    pub fn still(&mut self) -> Vec<&str> {
        self.reap();
        self.desk.tick();
        self.beats.still()
    }

    /// Whether nothing more will come: every camera has ended, or a stage is gone that should not be.
    pub fn is_over(&mut self) -> bool {
        self.reap();
        self.captures.is_empty() || self.infer.is_finished() || self.record.is_finished()
    }

    /// Joins cameras that have ended: in good order, or by a panic, which stops everybody.
    fn reap(&mut self) {
        for capture in self.captures.extract_if(.., |capture| capture.is_finished()) {
            self.beats.remove(capture.thread().name().unwrap_or_default());
            if capture.join().is_err() {
                self.stop.bug("capture");
            }
        }
    }

    /// Waits until every stage has drained into the next: cameras, networks, record. `last_messages` is asked once,
    /// when no camera can take a part any more: what the plant has triggered until then is booked too.
    ///
    /// A camera or a network that hangs is left behind soon after the time to stop is over, the networks once the part in
    /// hand has had its deadline; their parts have their verdict from the record stage.
    pub fn join(mut self, last_messages: impl FnOnce() -> Vec<Arrived>) -> Ended<W> {
        // A stage that is gone too early takes the others with it.
        if self.infer.is_finished() || self.record.is_finished() {
            self.stop.ask(Duration::ZERO);
        }
        let patience = self.stop.deadline() + STAGE_JOIN_TIMEOUT;
        let captures: Vec<_> =
            std::mem::take(&mut self.captures).into_iter().map(|capture| join_by(capture, patience)).collect();
        if captures.iter().any(Option::is_none) {
            self.stop.leave_behind();
        }
        // Without a record stage there is nobody to book them.
        if !self.record.is_finished() {
            last_messages().into_iter().for_each(|message| self.route(message));
        }
        let Self { infer, in_hand, record, desk, stop, .. } = self;
        let infer = join_by(infer, Instant::now().max(patience) + STAGE_JOIN_TIMEOUT + in_hand);
        if infer.is_none() {
            stop.leave_behind();
        }
        desk.end();
        drop(desk);
        let record = record.join();
        if captures.iter().flatten().any(Result::is_err) {
            stop.bug("capture");
        }
        if record.is_err() {
            stop.bug("record");
        }
        match (stop.has_bug(), infer, record) {
            (None, Some(Ok(witness)), Ok(journal)) => Ended::Clean(witness, journal),
            (bug, _, record) => Ended::Broken(bug.unwrap_or("infer"), record.ok()),
        }
    }
}

/// Joins a thread that ends by `deadline`; None for one that hangs.
fn join_by<T>(thread: JoinHandle<T>, deadline: Instant) -> Option<std::thread::Result<T>> {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            error!(thread = thread.thread().name().unwrap_or_default(), "stage hangs and is left behind");
            return None;
        }
        std::thread::sleep(JOIN_POLL_INTERVAL);
    }
    Some(thread.join())
}
