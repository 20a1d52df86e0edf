//! The line: capture → infer → record, one named thread each, bounded lanes between them.
//!
//! [`stages::start`] is the only place where the order of the stages is written. A part is counted when it is
//! triggered and noted by the record stage, which gives it exactly one verdict by its deadline, whatever happens to it in
//! between: a result in time, an error, an eviction, or nothing at all. The verdict is on the disk before it is on the
//! wire.

mod account;
mod beat;
mod capture;
mod clock;
mod desk;
mod infer;
mod lane;
mod lateness;
mod ledger_thread;
mod reconnecting;
mod record;
mod resilient;
mod sleep;
mod sources;
mod stages;
mod stalls;
mod stop;
mod triggers;

pub use account::{Account, CounterCheck, Totals};
pub use beat::{StageProgress, StageProgressTable};
pub use infer::{Frame, ReloadNetworks, Witness};
pub use record::VerdictObserver;
pub(crate) use record::message;
pub use resilient::{LabelRequest, MarkError, ResilientLedger, open as open_journal};
pub use sources::{CameraSpec, Overload};
pub use stages::{Ended, Line, LineError, LineSpec, start};
pub use stop::Stop;
pub use triggers::{LateTriggers, Triggers};

/// Parts that may wait for the networks; beyond that the oldest leaves as `UNJUDGED(overrun)`.
const FRAME_LANE_CAPACITY: usize = 4;
