//! A camera that is opened, and opened again after it was lost, on a thread of its own: a driver takes its time, and the
//! parts that are due meanwhile have none.

use std::thread::Builder;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use diad_capture::{Backoff, Camera, CaptureError, OpenError};
use diad_core::name::CameraId;
use tracing::{info, warn};

use super::sources::Open;
use super::stages::LineError;
use super::stop::Stop;
use crate::chain::chain;
use crate::health::{Health, Source};

/// Waits between attempts to open a lost camera again.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// How long the other cameras wait for the first try: longer than a driver is given, shorter than a disk that hangs.
pub(super) const FIRST_OPEN_TIMEOUT: Duration = Duration::from_secs(15);

type Opened = Result<Box<dyn Camera>, CaptureError>;

/// The near end of the thread that opens.
pub(super) struct ReconnectingCamera {
    id: CameraId,
    /// What the health of a station calls it.
    name: Source,
    health: Health,
    stop: Stop,
    camera: Option<Box<dyn Camera>>,
    wanted: Sender<()>,
    opened: Receiver<Opened>,
    is_opening: bool,
    backoff: Backoff,
    /// What was wrong last, until there is a picture: a dead camera may well open.
    trouble: Option<String>,
}

impl ReconnectingCamera {
    /// Begins to open the camera for the first time; [`first`](Self::first) says what came of it.
    pub(super) fn start(id: &CameraId, mut open: Open, health: Health, stop: Stop) -> Result<Self, LineError> {
        let (wanted, orders) = bounded::<()>(1);
        let (opened_in, opened) = bounded(1);
        let thread = format!("open-{id}");
        let body = move || {
            for () in orders {
                if opened_in.send(open()).is_err() {
                    return;
                }
            }
        };
        // Never joined: it may be stuck in the driver. It ends when nobody wants a camera any more.
        Builder::new().name(thread.clone()).spawn(body).map_err(|source| LineError::Thread { name: thread, source })?;
        let mut reopened = Self {
            id: id.clone(),
            name: Source::Camera(id.clone()),
            health,
            stop,
            camera: None,
            wanted,
            opened,
            is_opening: false,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            trouble: None,
        };
        reopened.want();
        Ok(reopened)
    }

    /// Waits for the first try until then; a later answer is taken when it comes.
    pub(super) fn first(&mut self, until: Instant) -> Result<(), CaptureError> {
        match self.opened.recv_deadline(until) {
            Ok(opened) => return self.take(opened),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.stop.bug("capture"),
        }
        Err(CaptureError::Open { camera: self.id.as_str().into(), source: OpenError::Pending(FIRST_OPEN_TIMEOUT) })
    }

    /// The camera, while it is there.
    pub(super) fn camera(&mut self) -> Option<&mut (dyn Camera + 'static)> {
        self.camera.as_deref_mut()
    }

    /// Whether the camera is there and has nothing more to give.
    pub(super) fn is_over(&self) -> bool {
        self.camera.as_ref().is_some_and(|camera| camera.is_over())
    }

    /// Sees to it that a camera that is away is opened when its time has come; waits for it at most `patience`.
    pub(super) fn mend(&mut self, patience: Duration) {
        if self.camera.is_some() {
            return;
        }
        if !self.is_opening {
            let wait = self.backoff.remaining(Instant::now());
            if !wait.is_zero() {
                return std::thread::sleep(wait.min(patience));
            }
            self.want();
        }
        match self.opened.recv_timeout(patience) {
            Ok(opened) => match self.take(opened) {
                Ok(()) => {
                    if let Some(trouble) = &self.trouble {
                        self.health.problem(self.name.clone(), &format!("{trouble}; open again, and no picture yet"));
                    }
                }
                Err(error) => self.failed(&error),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.stop.bug("capture"),
        }
    }

    /// A good picture has come.
    pub(super) fn succeeded(&mut self) {
        self.backoff.succeeded();
        if self.trouble.take().is_some() {
            self.health.well(self.name.clone());
        }
    }

    /// Books a failure; a lost camera is closed first, so that the device is free for the next attempt.
    pub(super) fn failed(&mut self, error: &CaptureError) {
        let told = chain(error);
        if !error.is_fatal() {
            warn!(camera = %self.name, error = told, "bad picture");
            // It goes on, and may heal by itself; until then it has the effect of a camera that is away.
            if matches!(error, CaptureError::Frozen { .. }) && self.trouble.is_none() {
                let text = error.to_string();
                self.health.problem(self.name.clone(), &text);
                self.trouble = Some(text);
            }
            return;
        }
        self.camera = None;
        let wait = self.backoff.failed(Instant::now(), dice());
        info!(camera = %self.name, retry_ms = wait.as_millis() as u64, "camera will be opened again");
        self.health.problem(self.name.clone(), &told);
        self.trouble = Some(told);
    }

    fn want(&mut self) {
        self.is_opening = true;
        // A thread that is gone shows where its answer is taken.
        let _ = self.wanted.try_send(());
    }

    fn take(&mut self, opened: Opened) -> Result<(), CaptureError> {
        self.is_opening = false;
        let camera = opened?;
        info!(camera = %self.name, source = camera.describe(), "camera open");
        self.camera = Some(camera);
        Ok(())
    }
}

/// A number in 0..1 that differs between processes, so that several boxes do not knock in step.
fn dice() -> f64 {
    f64::from(Instant::now().elapsed().subsec_nanos() ^ std::process::id()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use diad_capture::{BufferPool, RenderedCamera, RenderedSettings};

    use super::*;
    use crate::testing;

    #[test]
    fn camera_whose_opening_hangs_is_away_until_it_answers_and_is_asked_once() {
        let (answer, answers) = bounded::<()>(0);
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let open: Open = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            answers.recv().unwrap();
            let settings = RenderedSettings { seed: 1, products: Vec::new(), defect_rate: 0.0, parts: None };
            Ok(Box::new(RenderedCamera::new(settings, BufferPool::new(2))))
        });
        let id = CameraId::try_new("cam0").unwrap();
        let health = testing::health();
        let mut reopened = ReconnectingCamera::start(&id, open, health.clone(), Stop::new()).unwrap();
        let error = reopened.first(Instant::now()).unwrap_err();
        assert!(error.is_pending() && error.is_fatal(), "{error}");
        reopened.failed(&error);
        assert!(health.faults().1.contains(&"camera cam0".to_owned()));
        reopened.mend(Duration::ZERO);
        assert!(reopened.camera().is_none());
        answer.send(()).unwrap();
        reopened.mend(Duration::from_secs(60));
        assert!(reopened.camera().is_some());
        assert_eq!(tries.load(Ordering::SeqCst), 1);
    }
}
