//! What every camera does, and what it hands over.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use diad_core::frame::{FrameError, PixelsView, Stamp};
use diad_scene::PartSpec;
use image::GrayImage;

use crate::{CaptureError, Picture};

/// A source of pictures. One thread owns one camera.
pub trait Camera: Send {
    /// One line for people: what it is, and the format it runs in.
    fn describe(&self) -> String;

    /// Waits for the next picture, at most `timeout`.
    ///
    /// A live camera leaves out pictures taken before `not_before`, so that a part that has just arrived is never
    /// judged by the picture of the part before it; pass the moment of the trigger, or a moment long past to take
    /// whatever is newest. The present is no such moment: a picture is older than its receipt. Cameras that make pictures
    /// on demand ignore it.
    ///
    /// # Errors
    /// [`CaptureError::Frame`]: this picture is bad, the camera goes on. [`CaptureError::Frozen`]: it repeats an old one,
    /// until a picture differs. [`CaptureError::Lost`]: the camera is gone; ask for what was
    /// [`superseded`](Self::superseded), drop it, then open another.
    fn next_frame(&mut self, not_before: Instant, timeout: Duration) -> Result<Take, CaptureError>;

    /// Pictures that a live camera took before the last one told of, or before it was lost, and that nobody got; each is
    /// told once. Without meaning for a free-running camera; each one is a part lost where the camera itself is triggered
    /// by parts. What a driver drops before the first picture after an opening, or after the last before a standstill, it
    /// tells with the next picture or never.
    fn superseded(&mut self) -> u64 {
        0
    }

    /// Whether it shows what is in front of it, in its own time: what it gives after the next part has arrived shows that
    /// part. A folder and a drawn line give every part its own picture whenever they are asked.
    fn is_live(&self) -> bool {
        false
    }

    /// Whether [`next_frame`](Self::next_frame) has nothing more to give, ever: a folder has an end, a live camera has
    /// none.
    fn is_over(&self) -> bool {
        false
    }
}

/// What came of waiting for a picture.
#[derive(Debug)]
pub enum Take {
    /// A picture.
    Frame(Capture),
    /// None within the timeout; the camera is well as far as anybody can tell.
    Idle,
    /// There will never be another: the replay is over. Not an error.
    Ended,
}

/// One picture with what is known of it.
#[derive(Debug)]
pub struct Capture {
    /// The pixels. The buffer goes back to its pool when the capture is dropped.
    pub picture: Picture,
    /// When it was taken, at the earliest: by the driver's clock where that makes sense.
    pub stamp: Stamp,
    /// Where it came from, if that has a name: the replayed file.
    pub source: Option<Arc<str>>,
    /// What is really wrong with the part, if the camera knows: the rendered line.
    pub truth: Option<Truth>,
}

impl Capture {
    /// The pixels, checked.
    ///
    /// # Errors
    /// [`FrameError`] if the buffer is not what the picture says it is.
    pub fn view(&self) -> Result<PixelsView<'_>, FrameError> {
        self.picture.view()
    }
}

/// The truth about a rendered part.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Product, seed and defect.
    pub part: PartSpec,
    /// 255 where the defect changed the picture, else 0; the picture's size.
    pub mask: GrayImage,
}

/// This moment on both clocks.
pub(crate) fn stamp_now() -> Stamp {
    Stamp { wall: SystemTime::now(), mono: Instant::now() }
}
