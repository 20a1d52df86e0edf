//! Cameras: where pixels come from, and nothing else.
//!
//! A [`Camera`] hands over one [`Capture`] at a time: pixels in a pooled buffer, stamped once, at capture.
//! There are three: [`V4l2Camera`] (a real one), [`ReplayCamera`] (a folder of pictures) and [`RenderedCamera`]
//! (the rendered line, which knows the truth about its parts). What none of them does: judge, decide when a part is
//! due, or know what a lane is.
//!
//! # What is promised
//!
//! - A picture is whole or it is an error. A JPEG that stops early is never filled up with grey, a short buffer
//!   never with old bytes, and a picture too large to be a part is refused by its header before it is decoded.
//! - Pixels do not depend on who reads them: [`read_image`] is the one way from a file to pixels, for replay and for
//!   single pictures alike. Pictures come as they are stored: EXIF orientation, gamma and colour profiles are not
//!   applied, because cameras on a line write none; a picture that says it lies turned is told in the log.
//! - A live camera that repeats a picture is not taken for one that works: [`FrozenWatch`] sees it.
//! - No call blocks longer than it was told to, whatever the device does.
//! - [`CaptureError::kind`] says what to do next: go on, or open the camera again after [`Backoff`] has passed.

mod backoff;
mod camera;
mod error;
mod frozen;
mod litter;
mod picture;
mod pool;
mod quality;
mod rendered;
mod replay;
mod v4l2;

pub use backoff::Backoff;
pub use camera::{Camera, Capture, Take, Truth};
pub use error::{CaptureError, ErrorKind, LostError, OpenError, Refusal};
pub use frozen::{Frozen, FrozenBy, FrozenWatch};
pub use litter::is_litter;
pub use picture::{JpegFault, MAX_FILE_BYTES, MAX_PIXELS, Picture, PictureError, PngFault, Remarks, read_image};
pub use pool::{BufferPool, PooledPixels};
pub use quality::Quality;
pub use rendered::{RenderedCamera, RenderedSettings};
pub use replay::{Replay, ReplayCamera};
pub use v4l2::{DeviceFormat, DeviceInfo, Levels, V4l2Camera, V4l2Settings, WireFormat, list_devices, to_picture};
