//! Video4Linux cameras, through nokhwa.
//!
//! What this must survive, and how:
//!
//! - *A read that never returns.* nokhwa reads without a timeout, so the device belongs to a thread of its own
//!   ([`reader`]); the camera waits for that thread, not for the driver. A thread stuck in the driver is left behind: it
//!   holds nothing but the device, and ends as soon as the driver lets go of it, by a picture or by unplugging.
//! - *A device still held by such a thread.* nokhwa shares one handle per device within a process, and opening a
//!   stream twice on it is fatal; [`hold`] lets one reader at a time touch a device.
//! - *Numbers instead of names.* nokhwa opens by number; [`path`] follows `/dev/v4l/by-id/…` to it at every opening,
//!   because the number may change when a camera is plugged in again.
//! - *Formats nearly as asked.* Only an exact match is accepted ([`device`]), uncompressed ones first.
//! - *Buffers of the wrong length.* [`wire`] turns bytes into pixels or refuses them. nokhwa hands over the whole
//!   mapped buffer and not the length the driver filled, so a torn uncompressed picture cannot be seen here, and behind
//!   a JPEG cut short lies the tail of an older one; the uvcvideo driver drops torn pictures itself unless it was loaded
//!   with `nodrop=1`, which must not be set.

mod camera;
mod device;
mod hold;
mod path;
mod reader;
#[cfg(test)]
mod tests;
mod wire;

pub use camera::{V4l2Camera, V4l2Settings};
pub use device::{DeviceFormat, DeviceInfo, list_devices};
pub use wire::{WireFormat, to_picture};
