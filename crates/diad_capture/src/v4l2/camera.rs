//! A V4L2 device behind the trait.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::reader::{Filled, Reader};
use super::stream::{Agreed, Rate};
use super::wire::convert;
use super::{Levels, WireFormat, device};
use crate::{BufferPool, Camera, Capture, CaptureError, FrozenWatch, LostError, Picture, PictureError, Take};

/// Unusable pictures in a row after which the device is lost. One or two are a glitch on the cable.
const MAX_UNUSABLE_FRAMES: u32 = 3;

/// A camera that has been frozen for this long is opened again, which may set it right.
pub(super) const REOPEN_FROZEN_AFTER: Duration = Duration::from_secs(5);

/// How long a look takes at least before a camera without pictures is taken for stalled.
const MIN_READ_TIMEOUT: Duration = Duration::from_millis(20);

/// Which device, and exactly how it has to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V4l2Settings {
    /// `/dev/videoN`, or a link to one; `/dev/v4l/by-id/…` stays the same when cables are swapped.
    pub device: PathBuf,
    /// Width, in pixels.
    pub width: u32,
    /// Height, in pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// Format on the wire; `None` takes the first of [`WireFormat::ALL`] that the device offers at this size and rate.
    pub format: Option<WireFormat>,
    /// A device without a picture for this long is lost; `None` where the camera is triggered by parts, and a still line
    /// gives no pictures.
    pub stalled_after: Option<Duration>,
}

/// A V4L2 device that is running.
#[derive(Debug)]
pub struct V4l2Camera {
    name: Arc<str>,
    width: u32,
    height: u32,
    fps: u32,
    format: WireFormat,
    levels: Levels,
    stalled_after: Option<Duration>,
    reader: Reader,
    /// When the last picture came; when the device was opened, if none has.
    alive: Instant,
    /// Pictures nobody asked for in time, not yet told.
    superseded: u64,
    /// Unusable pictures since the last good one.
    unusable: u32,
    /// When the first picture in a row came that showed the camera frozen.
    pub(super) frozen_since: Option<Instant>,
    pool: BufferPool,
}

impl V4l2Camera {
    /// Opens the device. Takes some seconds at most, whatever the driver does. `watch` is the same one at every opening;
    /// without it a picture may repeat.
    ///
    /// # Errors
    /// [`CaptureError::Open`]: the device is missing, not accessible, busy, silent, or does not run exactly as asked.
    pub fn open(settings: &V4l2Settings, watch: Option<FrozenWatch>, pool: BufferPool) -> Result<Self, CaptureError> {
        let name: Arc<str> = Arc::from(settings.device.to_string_lossy());
        let (reader, agreed) =
            device::open(settings, watch).map_err(|source| CaptureError::Open { camera: Arc::clone(&name), source })?;
        let camera = Self::over(reader, &agreed, settings, pool);
        match agreed.rate {
            Rate::Exact => {}
            Rate::Nearly(pictures, seconds) => {
                warn!(camera = %name, asked = settings.fps, pictures, seconds, "the camera's rate is not whole; the nearest is taken");
            }
            Rate::Unknown => {
                warn!(camera = %name, asked = settings.fps, "the driver has no rate to set: fps must be the one that the camera has");
            }
        }
        info!(camera = %name, format = %agreed.format, "camera opened");
        Ok(camera)
    }

    /// A camera over a reader that is running.
    pub(super) fn over(reader: Reader, agreed: &Agreed, settings: &V4l2Settings, pool: BufferPool) -> Self {
        let &V4l2Settings { width, height, fps, stalled_after, .. } = settings;
        let name = Arc::from(settings.device.to_string_lossy());
        let alive = Instant::now();
        Self {
            name,
            width,
            height,
            fps,
            format: agreed.format,
            levels: agreed.levels,
            stalled_after,
            reader,
            alive,
            superseded: 0,
            unusable: 0,
            frozen_since: None,
            pool,
        }
    }

    fn picture(&self, filled: &Filled) -> Result<Picture, PictureError> {
        if filled.is_damaged {
            return Err(PictureError::Damaged);
        }
        convert(self.format, self.levels, (self.width, self.height), &filled.bytes, &self.pool)
    }

    fn lost(&self, source: LostError) -> CaptureError {
        self.reader.abandon();
        CaptureError::Lost { camera: Arc::clone(&self.name), source }
    }
}

impl Camera for V4l2Camera {
    fn describe(&self) -> String {
        let Self { name, width, height, fps, format, .. } = self;
        format!("{name}: {width}x{height} px {format} at {fps} fps")
    }

    fn next_frame(&mut self, not_before: Instant, timeout: Duration) -> Result<Take, CaptureError> {
        // Only now: each of them was a picture of its own, and told so.
        if self.unusable >= MAX_UNUSABLE_FRAMES {
            return Err(self.lost(LostError::Unusable(self.unusable)));
        }
        if self.frozen_since.is_some_and(|since| since.elapsed() >= REOPEN_FROZEN_AFTER) {
            return Err(self.lost(LostError::Frozen(REOPEN_FROZEN_AFTER)));
        }
        let now = Instant::now();
        let give_up = now.checked_add(timeout).unwrap_or(now);
        loop {
            // Whoever has not asked for long looks for a moment all the same: the reader may just be handing one over.
            let stalled_at = self
                .stalled_after
                .and_then(|after| self.alive.checked_add(after))
                .map(|at| at.max(now + MIN_READ_TIMEOUT));
            let deadline = stalled_at.map_or(give_up, |at| at.min(give_up));
            let newest = self.reader.newest(deadline);
            let Some(filled) = newest.map_err(|source| self.lost(source))? else {
                return match self.stalled_after {
                    Some(after) if self.alive.elapsed() >= after => Err(self.lost(LostError::Stalled(after))),
                    _ => Ok(Take::Idle),
                };
            };
            self.alive = filled.received;
            if filled.stamp.mono < not_before {
                self.superseded += 1;
                continue;
            }
            if let Some(frozen) = filled.frozen {
                self.frozen_since.get_or_insert(now);
                return Err(CaptureError::Frozen { camera: Arc::clone(&self.name), frozen });
            }
            self.frozen_since = None;
            let picture = self.picture(&filled).map_err(|source| {
                self.unusable += 1;
                CaptureError::Frame { origin: Arc::clone(&self.name), source }
            })?;
            self.unusable = 0;
            return Ok(Take::Frame(Capture { picture, stamp: filled.stamp, source: None, truth: None }));
        }
    }

    fn superseded(&mut self) -> u64 {
        std::mem::take(&mut self.superseded) + self.reader.superseded()
    }

    fn is_live(&self) -> bool {
        true
    }
}
