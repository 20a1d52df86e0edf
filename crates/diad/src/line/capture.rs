//! The capture stage: one thread a camera. Waits for a trigger, takes a picture, sends the part on its way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use diad_capture::{Backoff, Camera, Capture, CaptureError, Take};
use diad_core::event::Reason;
use diad_core::frame::{PartMeta, Roi, Stamp};
use diad_core::name::{CameraId, ProductName};
use tracing::{error, info, warn};

use super::beat::Beat;
use super::clock::now;
use super::desk::{Arrival, Desk};
use super::infer::Frame;
use super::lane::Entrance;
use super::sources::{CameraSpec, Open, Overload};
use super::stop::Stop;
use super::triggers::Triggers;
use crate::chain::chain;
use crate::health::Health;
use crate::settings;

/// Longest wait between two heartbeats.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often a stored picture asks for room on the line.
const ROOM: Duration = Duration::from_millis(1);
/// Waits between attempts to open a lost camera again.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// Share of the deadline after which a camera that gave no picture is the reason for it, before the deadline is.
const GIVE_UP: f64 = 0.9;
/// A free-running clock that is later than this goes on from now, instead of firing a burst of parts that were never there.
const LATE: Duration = Duration::from_secs(1);

/// Everything a capture thread works with.
pub(super) struct Capturing {
    id: CameraId,
    roi: Option<Roi>,
    overload: Overload,
    deadline: Duration,
    source: Reopened,
    clock: Clock,
    frames: Entrance<Frame>,
    desk: Desk,
    stop: Stop,
    beat: Beat,
    product: Box<dyn Fn() -> Option<ProductName> + Send>,
}

/// What fires.
enum Clock {
    FreeRun { every: Duration, next: Instant },
    Messages { triggers: Triggers, waiting: Receiver<PartMeta> },
    Camera,
}

/// How the line's ends meet in a capture thread.
pub(super) struct Joins {
    pub(super) frames: Entrance<Frame>,
    pub(super) desk: Desk,
    pub(super) stop: Stop,
    pub(super) beat: Beat,
    pub(super) deadline: Duration,
    pub(super) health: Health,
}

impl Capturing {
    pub(super) fn new(spec: CameraSpec, triggers: &Triggers, joins: Joins) -> Self {
        let CameraSpec { id, trigger, roi, overload, open } = spec;
        let Joins { frames, desk, stop, beat, deadline, health } = joins;
        let clock = match trigger {
            settings::Trigger::FreeRun { every } => Clock::FreeRun { every, next: Instant::now() + every },
            settings::Trigger::Mqtt => {
                Clock::Messages { triggers: triggers.clone(), waiting: triggers.subscribe(id.clone()) }
            }
            settings::Trigger::Camera => Clock::Camera,
        };
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let source = Reopened { name: format!("camera {id}"), open, camera: None, backoff, health };
        let product = {
            let triggers = triggers.clone();
            Box::new(move || triggers.product())
        };
        Self { id, roi, overload, deadline, source, clock, frames, desk, stop, beat, product }
    }

    /// Opens the camera before the line says it is ready.
    pub(super) fn open(&mut self) -> Result<(), CaptureError> {
        let camera = (self.source.open)()?;
        info!(camera = %self.id, source = camera.describe(), "camera open");
        self.source.camera = Some(camera);
        Ok(())
    }

    /// Runs until the camera has ended or everybody should stop.
    pub(super) fn run(mut self) {
        while !self.stop.asked() {
            self.beat.tick();
            self.source.mend();
            let goes_on = match self.fire() {
                Fired::Nothing => true,
                // A tick of the clock without a picture is no part.
                Fired::Tick(_) if self.source.is_over() => false,
                Fired::Tick(at) => {
                    let meta = self.desk.enter(&self.id, self.arrival(at));
                    self.take_triggered(meta)
                }
                Fired::Part(meta) => self.take_triggered(meta),
                Fired::AnyPicture => self.take_next(),
            };
            if !goes_on {
                info!(camera = %self.id, "camera has no more pictures");
                break;
            }
        }
        self.book_waiting_triggers();
    }

    /// A part that was triggered is a part, also when its camera ends before it gets to it.
    fn book_waiting_triggers(&self) {
        let Clock::Messages { triggers, waiting } = &self.clock else { return };
        // From here on the line books what comes: nothing can slip in behind the last look.
        triggers.leave(&self.id);
        let reason = if self.stop.asked() { Reason::Shutdown } else { Reason::Camera };
        for meta in waiting.try_iter() {
            self.desk.unjudged(meta, reason);
        }
    }

    /// Waits a little for the trigger.
    fn fire(&mut self) -> Fired {
        match &mut self.clock {
            Clock::Camera => Fired::AnyPicture,
            Clock::Messages { waiting, .. } => match waiting.recv_timeout(PATIENCE) {
                Ok(meta) => Fired::Part(meta),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Fired::Nothing,
            },
            Clock::FreeRun { every, next } => {
                let wait = next.saturating_duration_since(Instant::now());
                std::thread::sleep(wait.min(PATIENCE));
                let at = now();
                if at.mono < *next {
                    return Fired::Nothing;
                }
                *next = if at.mono > *next + LATE { at.mono + *every } else { *next + *every };
                Fired::Tick(at)
            }
        }
    }

    /// The picture of a part that has entered; it is a part whatever the camera does. False: the end.
    fn take_triggered(&mut self, meta: PartMeta) -> bool {
        let triggered = meta.captured.mono;
        let give_up = triggered + self.deadline.mul_f64(GIVE_UP);
        loop {
            let Some(camera) = &mut self.source.camera else {
                self.desk.unjudged(meta, Reason::Camera);
                return true;
            };
            let patience = give_up.saturating_duration_since(Instant::now()).min(PATIENCE);
            match camera.next_frame(triggered, patience) {
                Ok(Take::Frame(capture)) => {
                    self.send(PartMeta { source: capture.source.clone(), ..meta }, capture);
                    return true;
                }
                Ok(Take::Ended) => {
                    self.desk.unjudged(meta, Reason::Camera);
                    return false;
                }
                Ok(Take::Idle) if Instant::now() < give_up && !self.stop.asked() => self.beat.tick(),
                Ok(Take::Idle) => {
                    let reason = if self.stop.asked() { Reason::Shutdown } else { Reason::Camera };
                    error!(camera = %self.id, part = %meta.key, "no picture for a triggered part");
                    self.desk.unjudged(meta, reason);
                    return true;
                }
                Err(error) => {
                    self.source.failed(&error);
                    self.desk.unjudged(PartMeta { source: origin(&error), ..meta }, error.reason());
                    return true;
                }
            }
        }
    }

    /// The next picture, whenever it comes; each is a part. False: the end.
    fn take_next(&mut self) -> bool {
        let Some(camera) = &mut self.source.camera else {
            std::thread::sleep(self.source.backoff.remaining(Instant::now()).min(PATIENCE));
            return true;
        };
        // A stored picture is taken when the line is ready for it, so that its latency is the line's and not the queue's.
        if self.overload == Overload::Wait && self.frames.len() > 0 {
            std::thread::sleep(ROOM);
            return true;
        }
        match camera.next_frame(Instant::now(), PATIENCE) {
            Ok(Take::Frame(capture)) => {
                for _ in 0..capture.superseded {
                    let missed = self.desk.enter(&self.id, self.arrival(capture.stamp));
                    self.desk.unjudged(missed, Reason::Overrun);
                }
                let truth = capture.truth.as_ref().and_then(|t| ProductName::try_new(t.part.product.name()).ok());
                let arrival = self.arrival(capture.stamp);
                let product = truth.or(arrival.product);
                let arrival = Arrival { source: capture.source.clone(), product, ..arrival };
                self.send(self.desk.enter(&self.id, arrival), capture);
                true
            }
            Ok(Take::Idle) => true,
            Ok(Take::Ended) => false,
            Err(error) => {
                let fatal = error.is_fatal();
                self.source.failed(&error);
                if !fatal {
                    let arrival = Arrival { source: origin(&error), ..self.arrival(now()) };
                    self.desk.unjudged(self.desk.enter(&self.id, arrival), error.reason());
                }
                true
            }
        }
    }

    fn arrival(&self, captured: Stamp) -> Arrival {
        Arrival { part: None, product: (self.product)(), source: None, captured }
    }

    /// Puts a part on the line, the way that its camera's [`Overload`] says.
    fn send(&mut self, meta: PartMeta, capture: Capture) {
        self.source.backoff.succeeded();
        let mut frame = Frame { meta, roi: self.roi, capture };
        match self.overload {
            Overload::EvictOldest => self.frames.offer(frame, |old: Frame| {
                warn!(part = %old.meta.key, "oldest waiting part evicted: the line is slower than the camera");
                self.desk.unjudged_with(old.meta, Reason::Overrun, old.capture.picture);
            }),
            Overload::Wait => loop {
                self.beat.tick();
                match self.frames.send(frame, PATIENCE) {
                    Ok(()) => return,
                    Err(back) if self.stop.overdue() => {
                        self.desk.unjudged_with(back.meta, Reason::Shutdown, back.capture.picture);
                        return;
                    }
                    Err(back) => frame = back,
                }
            },
        }
    }
}

enum Fired {
    Nothing,
    /// The clock: a part, if there is a picture to come.
    Tick(Stamp),
    /// A part that has entered with its trigger.
    Part(PartMeta),
    AnyPicture,
}

/// A bad picture of a replay still has a name.
fn origin(error: &CaptureError) -> Option<Arc<str>> {
    match error {
        CaptureError::Frame { origin, .. } => Some(Arc::from(&**origin)),
        _ => None,
    }
}

/// A camera that is opened again after it was lost.
struct Reopened {
    name: String,
    health: Health,
    open: Open,
    camera: Option<Box<dyn Camera>>,
    backoff: Backoff,
}

impl Reopened {
    /// Books a failure; a lost camera is closed first, so that the device is free for the next attempt.
    fn failed(&mut self, error: &CaptureError) {
        if error.is_fatal() {
            self.camera = None;
            let wait = self.backoff.failed(Instant::now(), dice());
            info!(camera = self.name, retry_ms = wait.as_millis() as u64, "camera will be opened again");
            self.health.problem(&self.name, &chain(error));
        } else {
            warn!(camera = self.name, error = %chain(error), "bad picture");
        }
    }

    /// Whether the camera is there and has nothing more to give.
    fn is_over(&self) -> bool {
        self.camera.as_ref().is_some_and(|camera| camera.is_over())
    }

    /// Opens the camera again when its time has come.
    fn mend(&mut self) {
        if self.camera.is_some() || !self.backoff.remaining(Instant::now()).is_zero() {
            return;
        }
        match (self.open)() {
            Ok(camera) => {
                info!(camera = self.name, source = camera.describe(), "camera open again");
                self.camera = Some(camera);
                self.health.well(&self.name);
            }
            Err(error) => self.failed(&error),
        }
    }
}

/// A number in 0..1 that differs between processes, so that several boxes do not knock in step.
fn dice() -> f64 {
    f64::from(Instant::now().elapsed().subsec_nanos() ^ std::process::id()) / f64::from(u32::MAX)
}
