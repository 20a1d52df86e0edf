//! The line: capture → infer → record, one named thread each, bounded lanes between them.
//!
//! [`stages::start`] is the only place where the order of the stages is written. A part is counted when it is
//! triggered ([`Account::triggered`]) and again when its one event is recorded; what happens to it in between
//! (a frame, an error, an eviction, the end of the process) always ends in one event on the events lane.

mod account;
mod beat;
mod capture;
mod clock;
mod infer;
mod lane;
mod record;
mod register;
mod sources;
mod stages;
mod stop;
mod triggers;

pub use account::{Account, Totals};
pub use beat::{Beat, Beats};
pub use infer::{Frame, Witness};
pub use record::Listener;
pub use sources::{CameraSpec, Overload};
pub use stages::{Ended, Line, LineError, LineSpec, start};
pub use stop::Stop;
pub use triggers::Triggers;

/// Parts that may wait for the networks; beyond that the oldest leaves as `UNJUDGED(overrun)`.
const WAITING_FRAMES: usize = 4;
