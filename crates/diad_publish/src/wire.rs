//! Payloads, schema version 1: flat UTF-8 JSON with units in the names, at most [`MAX_PAYLOAD_BYTES`] each; only the verdict's
//! `witnesses` is an object.
//!
//! Field names and their order are fixed; a change of meaning raises [`SCHEMA`].

mod digest;
mod inbound;
mod moment;
mod reject;
pub mod schema;
pub mod sparkplug;
mod state;
mod verdict;

pub use digest::{Digest, DigestError, Digests};
pub use inbound::{Begins, Inbound, InboundError, MAX_INBOUND_BYTES, ProductMessage, Shape, TriggerMessage, Unclear};
pub use moment::Moment;
pub use reject::{OnUnjudged, RejectBit, RejectMessage};
pub use state::{Heartbeat, HeartbeatMessage, MAX_DETAIL_BYTES, State, StateMessage};
pub use verdict::{Station, VerdictMessage};

use serde::{Serialize, Serializer};

/// Version of every payload, field `v`.
pub const SCHEMA: u8 = 1;

/// Largest outgoing payload, in bytes: small controllers drop longer messages whole.
pub const MAX_PAYLOAD_BYTES: usize = 1000;

/// Writes a payload.
#[expect(clippy::expect_used, reason = "string keys, and no Serialize of this module fails: there is no error to meet")]
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("a wire message always serialises")
}

/// Names as strings; the core's types carry no serde.
fn text<S: Serializer>(name: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

/// A missing name as `null`.
fn text_or_null<S: Serializer>(name: &Option<impl std::fmt::Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match name {
        Some(name) => serializer.collect_str(name),
        None => serializer.serialize_none(),
    }
}
