//! What can go wrong with a camera, by what has to be done about it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diad_core::event::Reason;
use nokhwa::NokhwaError;

use crate::{Frozen, PictureError, WireFormat};

/// A camera's failure. The cause is in the source.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The camera could not be opened.
    #[error("open camera {camera}")]
    Open {
        /// Device or folder, as the settings name it.
        camera: Arc<str>,
        /// The cause.
        #[source]
        source: OpenError,
    },
    /// The camera was open and is gone.
    #[error("lost camera {camera}")]
    Lost {
        /// Device, as the settings name it.
        camera: Arc<str>,
        /// The cause.
        #[source]
        source: LostError,
    },
    /// The camera repeats an old picture; it goes on, and the first other picture ends it.
    #[error("camera {camera} is frozen: {} {} in a row; check the camera and its link, or switch it off and on", frozen.pictures, frozen.by)]
    Frozen {
        /// Device, as the settings name it.
        camera: Arc<str>,
        /// What stands still.
        frozen: Frozen,
    },
    /// One picture is bad.
    #[error("unusable picture from {origin}")]
    Frame {
        /// File or device.
        origin: Arc<str>,
        /// The cause.
        #[source]
        source: PictureError,
    },
}

/// What a failure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Open again later, with a back-off; or give up, if this was the first try.
    Open,
    /// Drop the camera and open it again, with a back-off.
    Lost,
    /// The part is unjudged; the camera goes on.
    Frame,
}

impl CaptureError {
    /// What the failure asks for.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Open { .. } => ErrorKind::Open,
            Self::Lost { .. } => ErrorKind::Lost,
            Self::Frozen { .. } | Self::Frame { .. } => ErrorKind::Frame,
        }
    }

    /// True if the camera may still open by itself.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Open { source: OpenError::Pending(_), .. })
    }

    /// True if this camera gives no more pictures until it is opened again.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        !matches!(self, Self::Frozen { .. } | Self::Frame { .. })
    }

    /// Why a part that met this failure is unjudged.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Open { .. } | Self::Lost { .. } | Self::Frozen { .. } => Reason::Camera,
            Self::Frame { .. } => Reason::Frame,
        }
    }
}

/// Why a camera could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder of pictures, or one inside it, could not be listed.
    #[error("list folder {}; check that it exists and may be read", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to replay.
    #[error("no PNG or JPEG file under {} (other files: {others}); put pictures there or name another folder", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// Files that are no pictures.
        others: usize,
    },
    /// The device path leads nowhere.
    #[error("find device {}; plug the camera in, or see `diad cameras` for the devices there are", path.display())]
    Find {
        /// The path in the settings.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The path leads to something that is no video device.
    #[error("{} leads to {}, which is not a video device; name a /dev/videoN or a link to one", path.display(), target.display())]
    NotVideo {
        /// The path in the settings.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// The system does not let the device be opened.
    #[error("open device {} for reading and writing; the user must be in group `video`", path.display())]
    Access {
        /// The device.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The camera runs in none of the formats asked for.
    #[error(
        "{width}x{height} px at {fps} fps was refused as {}; see `diad cameras` for what the device offers",
        refusals(tried)
    )]
    Format {
        /// Width asked for, in pixels.
        width: u32,
        /// Height asked for, in pixels.
        height: u32,
        /// Pictures a second asked for.
        fps: u32,
        /// Every format that was tried, with the driver's answer.
        tried: Vec<(WireFormat, Refusal)>,
    },
    /// The device offers nothing that can be read here.
    #[error(
        "read the device's formats (usable: RGB3, BGR3, YUYV, UYVY, NV12, MJPG, GREY, Y10, Y12, Y16, Bayer of 8 and 10 bits); if another program left it in a format unknown \
         here, set one with v4l2-ctl or plug it in again"
    )]
    Formats(#[source] NokhwaError),
    /// The device took the format but does not start.
    #[error("start the picture stream; another program may be using the camera")]
    Stream(#[source] std::io::Error),
    /// An earlier reader of the same device still waits inside the driver.
    #[error(
        "an earlier reader still waits for a picture inside the driver; plug the camera in again, or restart the service"
    )]
    Held,
    /// The driver did not answer.
    #[error("no answer from the driver within {} s; plug the camera in again", .0.as_secs())]
    Silent(Duration),
    /// Nobody knows yet whether it opens.
    #[error("opening takes longer than {} s and goes on; parts are unjudged meanwhile: see to the device, or to the disk of the folder", .0.as_secs())]
    Pending(Duration),
    /// The thread for the device could not be started, or died.
    #[error("run the reader thread")]
    Thread(#[source] std::io::Error),
}

/// Why a camera does not run in a format.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The driver says no.
    #[error("{0}")]
    Driver(#[source] std::io::Error),
    /// The driver would take another size or format.
    #[error("the device gives {width}x{height} px {format} instead")]
    Size {
        /// Width it gives, in pixels.
        width: u32,
        /// Height it gives, in pixels.
        height: u32,
        /// Format it gives: a four-character code.
        format: String,
    },
    /// The driver would run at another rate.
    #[error("the device gives {pictures}/{seconds} fps instead")]
    Rate {
        /// Pictures it takes …
        pictures: u32,
        /// … in so many seconds.
        seconds: u32,
    },
    /// Pictures come as halves, every second line at a time.
    #[error("the device gives interlaced pictures")]
    Interlaced,
    /// Lines are longer than their pixels.
    #[error("a line takes {line} bytes and the device pads it to {given}")]
    Padded {
        /// Bytes of the pixels of one line.
        line: u64,
        /// Bytes from one line to the next.
        given: u32,
    },
}

fn refusals(tried: &[(WireFormat, Refusal)]) -> String {
    let each: Vec<String> = tried.iter().map(|(format, why)| format!("{format} ({why})")).collect();
    each.join(", ")
}

/// Why an open camera gives no more pictures.
#[derive(Debug, thiserror::Error)]
pub enum LostError {
    /// No picture for too long.
    #[error("no picture for {} ms; check cable, power and light trigger", .0.as_millis())]
    Stalled(Duration),
    /// The same picture for too long; opening the camera again may set it right.
    #[error("the same picture for {} s; it is opened again", .0.as_secs())]
    Frozen(Duration),
    /// The driver reports a failure: unplugged, or broken.
    #[error("read a picture; check that the camera is plugged in")]
    Read(#[source] std::io::Error),
    /// It sends nothing usable any more: another program may have changed its format, which opening it again sets right.
    #[error("{0} unusable pictures in a row; another program may have changed the camera's format")]
    Unusable(u32),
    /// The thread that reads the device ended without saying why.
    #[error("the reader thread ended unexpectedly")]
    Reader,
}
