//! The one place that reads both clocks.

use std::time::{Instant, SystemTime};

use diad_core::frame::Stamp;

/// This moment.
pub(super) fn now() -> Stamp {
    Stamp { wall: SystemTime::now(), mono: Instant::now() }
}
