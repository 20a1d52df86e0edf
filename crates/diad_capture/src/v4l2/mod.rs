//! Video4Linux cameras: nokhwa tells which there are and what they offer; pictures are read through `v4l`, which nokhwa
//! stands on itself and whose buffers say how much of them the driver filled, whether it is damaged, and when it came.
//!
//! What this must survive, and how:
//!
//! - *A read that never returns.* A driver may hang in any call, so the device belongs to a thread of its own
//!   ([`reader`]); the camera waits for that thread, not for the driver. A thread stuck in the driver is left behind: it
//!   holds nothing but the device, and ends as soon as the driver lets go of it.
//! - *A device still held by such a thread.* [`hold`] lets one reader at a time touch a device.
//! - *Numbers that move.* [`path`] follows `/dev/v4l/by-id/…` to the number at every opening, because it may change when a
//!   camera is plugged in again.
//! - *Formats nearly as asked.* A driver takes what is nearest and says so; only an exact match is accepted ([`stream`]),
//!   uncompressed ones first.
//! - *Damaged pictures.* What the driver marks, or leaves shorter than the picture, is refused and never completed with
//!   what an older picture left in the buffer ([`stream`], [`wire`]). uvcvideo hands such pictures over since Linux 6.14;
//!   before that it dropped them.

mod bayer;
mod camera;
mod device;
mod hold;
mod path;
mod reader;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

pub use camera::{V4l2Camera, V4l2Settings};
pub use device::{DeviceFormat, DeviceInfo, list_devices};
pub use wire::{Levels, WireFormat, to_picture};
