//! The capture stage: one thread a camera. Waits for a trigger, takes a picture, sends the part on its way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use diad_capture::{Capture, CaptureError, Take};
use diad_core::event::Reason;
use diad_core::frame::{PartMeta, Roi, Stamp};
use diad_core::name::{CameraId, ProductName};
use tracing::{error, info, warn};

use super::beat::StageProgress;
use super::clock::now;
use super::desk::{Desk, PartRegistration};
use super::infer::Frame;
use super::lane::LaneSender;
use super::reconnecting::ReconnectingCamera;
use super::sources::{CameraSpec, Overload};
use super::stages::LineError;
use super::stalls::StallDetector;
use super::stop::Stop;
use super::triggers::{Triggered, Triggers};
use crate::health::Health;
use crate::products::InForce;
use crate::settings;

/// Longest wait between two heartbeats.
const CAPTURE_BEAT_INTERVAL: Duration = Duration::from_millis(100);
/// How often a stored picture asks for room on the line.
const LANE_RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// Share of the deadline after which a camera that gave no picture is the reason for it, before the deadline is.
const GIVE_UP: f64 = 0.9;
/// A part of the clock that comes up later than this is not worth a picture: it would show another part.
const MAX_CLOCK_DELAY: Duration = Duration::from_secs(1);
/// Before every picture. A driver may date one wrongly by some seconds, where the clock of the machine was set.
const LONG_PAST: Duration = Duration::from_secs(3600);

/// Everything a capture thread works with.
pub(super) struct Capturing {
    id: CameraId,
    roi: Option<Roi>,
    overload: Overload,
    deadline: Duration,
    source: ReconnectingCamera,
    clock: Clock,
    long_past: Instant,
    frames: LaneSender<Frame>,
    desk: Desk,
    stop: Stop,
    beat: StageProgress,
    stalls: StallDetector,
    product: Box<dyn Fn() -> InForce + Send>,
}

/// What fires.
enum Clock {
    FreeRun {
        every: Duration,
        next: Instant,
    },
    /// `next` has been looked at and waits before all others.
    Messages {
        triggers: Triggers,
        waiting: Receiver<Triggered>,
        next: Option<Triggered>,
    },
    Camera,
}

/// How the line's ends meet in a capture thread.
pub(super) struct Joins {
    pub(super) frames: LaneSender<Frame>,
    pub(super) desk: Desk,
    pub(super) stop: Stop,
    pub(super) beat: StageProgress,
    pub(super) stalls: StallDetector,
    pub(super) deadline: Duration,
    pub(super) health: Health,
}

impl Capturing {
    /// Begins to open the camera; [`first_open`](Self::first_open) waits for it.
    pub(super) fn start(spec: CameraSpec, triggers: &Triggers, joins: Joins) -> Result<Self, LineError> {
        let CameraSpec { id, trigger, roi, overload, open, .. } = spec;
        let Joins { frames, desk, stop, beat, stalls, deadline, health } = joins;
        let clock = match trigger {
            settings::Trigger::FreeRun { every } => Clock::FreeRun { every, next: Instant::now() + every },
            settings::Trigger::Mqtt => {
                Clock::Messages { triggers: triggers.clone(), waiting: triggers.subscribe(id.clone()), next: None }
            }
            settings::Trigger::Camera => Clock::Camera,
        };
        let source = ReconnectingCamera::start(&id, open, health, stop.clone())?;
        let now = Instant::now();
        let long_past = now.checked_sub(LONG_PAST).unwrap_or(now);
        let product = {
            let triggers = triggers.clone();
            Box::new(move || triggers.product())
        };
        Ok(Self { id, roi, overload, deadline, source, clock, long_past, frames, desk, stop, beat, stalls, product })
    }

    /// Waits for the camera until then, before the line says it is ready.
    pub(super) fn first_open(&mut self, until: Instant) -> Result<(), CaptureError> {
        self.source.first(until)
    }

    /// The camera did not open, and others did: it is tried again while they work.
    pub(super) fn is_away(&mut self, error: &CaptureError) {
        self.source.failed(error);
    }

    /// Runs until the camera has ended or everybody should stop.
    pub(super) fn run(mut self) {
        if let Clock::FreeRun { every, next } = &mut self.clock {
            *next = Instant::now() + *every;
        }
        while !self.stop.asked() {
            self.beat.tick();
            let fired = self.fire();
            // Where the camera fires, there is nothing to do without it.
            self.source.mend(if matches!(fired, Fired::AnyPicture) { CAPTURE_BEAT_INTERVAL } else { Duration::ZERO });
            let goes_on = match fired {
                Fired::Nothing => true,
                // A tick of the clock without a picture is no part.
                Fired::Tick(_) | Fired::LateTick(_) | Fired::StalledTick(_) if self.source.is_over() => false,
                Fired::Tick(at) => {
                    let in_force = (self.product)();
                    let meta = self.desk.enter(&self.id, arrival(&in_force, at));
                    self.take_triggered(Triggered { meta, heard: at.mono }, in_force.refusal())
                }
                Fired::StalledTick(at) => {
                    let arrival = PartRegistration { late: true, ..arrival(&(self.product)(), at) };
                    let meta = self.desk.enter(&self.id, arrival);
                    warn!(part = %meta.key, "part of the clock without a picture: the process stood still");
                    self.desk.unjudged(meta, Reason::LateTrigger);
                    true
                }
                Fired::LateTick(at) => {
                    let meta = self.desk.enter(&self.id, arrival(&(self.product)(), at));
                    warn!(part = %meta.key, "part of the clock without a picture: the clock is faster than camera and line");
                    let reason = if self.source.camera().is_some() { Reason::Overrun } else { Reason::Camera };
                    self.desk.unjudged(meta, reason);
                    true
                }
                Fired::Part(part) => self.take_triggered(part, None),
                Fired::AnyPicture => self.take_next(),
            };
            if !goes_on {
                info!(camera = %self.id, "camera has no more pictures");
                break;
            }
        }
        self.book_waiting_triggers();
        self.book_waiting_pictures();
    }

    /// A part that was triggered is a part, also when its camera ends before it gets to it.
    fn book_waiting_triggers(&mut self) {
        let Clock::Messages { triggers, waiting, next } = &mut self.clock else { return };
        // From here on the line books what comes: nothing can slip in behind the last look.
        triggers.leave(&self.id);
        let reason = if self.stop.asked() { Reason::Shutdown } else { Reason::Camera };
        for Triggered { meta, .. } in next.take().into_iter().chain(waiting.try_iter()) {
            self.desk.unjudged(meta, reason);
        }
    }

    /// What a camera that fires by itself has seen before the stop are parts, too.
    fn book_waiting_pictures(&mut self) {
        let long_past = self.long_past;
        if !matches!(self.clock, Clock::Camera) || !self.stop.asked() {
            return;
        }
        let Some(camera) = self.source.camera().filter(|camera| camera.is_live()) else { return };
        // One look: a camera keeps the newest, and what comes after that comes after the stop.
        let seen = matches!(
            camera.next_frame(long_past, Duration::ZERO),
            Ok(Take::Frame(_)) | Err(CaptureError::Frame { .. })
        );
        let parts = u64::from(seen) + camera.superseded();
        self.book_unseen(parts, now(), Reason::Shutdown);
    }

    /// Waits a little for the trigger.
    fn fire(&mut self) -> Fired {
        match &mut self.clock {
            Clock::Camera => Fired::AnyPicture,
            Clock::Messages { waiting, next, .. } => {
                match next.take().map_or_else(|| waiting.recv_timeout(CAPTURE_BEAT_INTERVAL), Ok) {
                    Ok(part) => Fired::Part(part),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Fired::Nothing,
                }
            }
            Clock::FreeRun { every, next } => {
                let wait = next.saturating_duration_since(Instant::now());
                std::thread::sleep(wait.min(CAPTURE_BEAT_INTERVAL));
                let at = now();
                if at.mono < *next {
                    return Fired::Nothing;
                }
                let tick = *next;
                *next += *every;
                // It came up while nobody could take its picture, longer ago than a picture may be late.
                if self.stalls.stood_still_beyond(tick, self.deadline, at.mono) {
                    return Fired::StalledTick(at);
                }
                if at.mono > tick + MAX_CLOCK_DELAY { Fired::LateTick(at) } else { Fired::Tick(at) }
            }
        }
    }

    /// The picture of a part that has entered; it is a part whatever the camera does. With a `refusal` it is not judged.
    /// False: the end.
    fn take_triggered(&mut self, Triggered { meta, heard }: Triggered, refusal: Option<Reason>) -> bool {
        let give_up = meta.captured.mono + self.deadline.mul_f64(GIVE_UP);
        loop {
            let Some(camera) = self.source.camera() else {
                self.desk.unjudged(meta, Reason::Camera);
                return true;
            };
            let patience = give_up.saturating_duration_since(Instant::now()).min(CAPTURE_BEAT_INTERVAL);
            match camera.next_frame(heard, patience) {
                Ok(Take::Frame(capture)) => {
                    let meta = if camera.is_live() { self.part_in_front(meta, capture.stamp) } else { meta };
                    self.send(PartMeta { source: capture.source.clone(), ..meta }, capture, refusal);
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

    /// The part that a picture shows: the last one that had arrived when it was taken. The camera was too slow for those
    /// before it, and a part must not pass for the good looks of the next.
    fn part_in_front(&mut self, mut meta: PartMeta, taken: Stamp) -> PartMeta {
        let Clock::Messages { waiting, next, .. } = &mut self.clock else { return meta };
        while let Some(later) = next.take().or_else(|| waiting.try_recv().ok()) {
            if later.heard > taken.mono {
                *next = Some(later);
                break;
            }
            warn!(part = %meta.key, "the next part was in front of the camera before this one had a picture");
            self.desk.unjudged(std::mem::replace(&mut meta, later.meta), Reason::Overrun);
        }
        meta
    }

    /// The next picture, whenever it comes; each is a part. False: the end.
    fn take_next(&mut self) -> bool {
        let long_past = self.long_past;
        // A stored picture is taken when the line is ready for it, so that its latency is the line's and not the queue's.
        if self.overload == Overload::Wait && self.frames.len() > 0 {
            std::thread::sleep(LANE_RETRY_INTERVAL);
            return true;
        }
        let Some(camera) = self.source.camera() else { return true };
        let asked = Instant::now();
        let taken = camera.next_frame(long_past, CAPTURE_BEAT_INTERVAL);
        let superseded = camera.superseded();
        let at = if let Ok(Take::Frame(capture)) = &taken { capture.stamp } else { now() };
        self.book_unseen(superseded, at, Reason::Overrun);
        match taken {
            Ok(Take::Frame(capture)) => {
                let truth = capture.truth.as_ref().and_then(|t| ProductName::try_new(t.part.product.name()).ok());
                let in_force = truth.map_or_else(|| (self.product)(), InForce::Named);
                // By the driver's time, before anybody here could take it: the part has left the camera, and soon the gate.
                let late = asked > capture.stamp.mono + self.deadline;
                let arrival =
                    PartRegistration { source: capture.source.clone(), late, ..arrival(&in_force, capture.stamp) };
                let meta = self.desk.enter(&self.id, arrival);
                if late {
                    warn!(part = %meta.key, "picture older than the deadline: its part is not judged");
                    self.desk.unjudged_with(meta, Reason::LateTrigger, capture.picture);
                } else {
                    self.send(meta, capture, in_force.refusal());
                }
                true
            }
            Ok(Take::Idle) => true,
            Ok(Take::Ended) => false,
            Err(error) => {
                self.source.failed(&error);
                if !error.is_fatal() {
                    let arrival = PartRegistration { source: origin(&error), ..arrival(&(self.product)(), at) };
                    self.desk.unjudged(self.desk.enter(&self.id, arrival), error.reason());
                }
                true
            }
        }
    }

    /// Parts that the camera saw and whose pictures nobody did.
    fn book_unseen(&self, parts: u64, captured: Stamp, reason: Reason) {
        for _ in 0..parts {
            self.desk.unjudged(self.desk.enter(&self.id, arrival(&(self.product)(), captured)), reason);
        }
    }

    /// Puts a part on the line, the way that its camera's [`Overload`] says; or books it at once, with its picture, where
    /// there is a `refusal`.
    fn send(&mut self, meta: PartMeta, capture: Capture, refusal: Option<Reason>) {
        self.source.succeeded();
        if let Some(reason) = refusal {
            return self.desk.unjudged_with(meta, reason, capture.picture);
        }
        let mut frame = Frame { meta, roi: self.roi, capture };
        match self.overload {
            Overload::EvictOldest => self.frames.offer(frame, |old: Frame| {
                warn!(part = %old.meta.key, "oldest waiting part evicted: the line is slower than the camera");
                self.desk.unjudged_with(old.meta, Reason::Overrun, old.capture.picture);
            }),
            Overload::Wait => loop {
                self.beat.tick();
                match self.frames.send(frame, CAPTURE_BEAT_INTERVAL) {
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
    /// The clock, so long ago that the part has left the camera.
    LateTick(Stamp),
    /// The clock, while the process stood still: the part has left the camera.
    StalledTick(Stamp),
    /// A part that has entered with its trigger.
    Part(Triggered),
    AnyPicture,
}

/// A part without a mark, of the product in force.
fn arrival(in_force: &InForce, captured: Stamp) -> PartRegistration {
    let product = in_force.product().cloned();
    PartRegistration { part: None, product, source: None, captured, late: false, receipt: None }
}

/// A bad picture of a replay still has a name.
fn origin(error: &CaptureError) -> Option<Arc<str>> {
    match error {
        CaptureError::Frame { origin, .. } => Some(Arc::from(&**origin)),
        _ => None,
    }
}
