//! Sparkplug B payloads: the part of `org.eclipse.tahu.protobuf` that a station says, and the metrics it says it in.
//!
//! Names make a tree: the station's own (`State`, `Parts In`, …), and those of every camera below `Camera/ID/`.
//! Source: Sparkplug 3.0.0, chapter 6; field numbers of `sparkplug_b.proto`.

use std::time::SystemTime;

use super::moment::Moment;
use super::{Heartbeat, RejectBit, StateMessage, VerdictMessage};

#[cfg(test)]
mod tests;

/// Asks the station, by `NCMD`, to say everything again.
pub const REBIRTH: &str = "Node Control/Rebirth";

/// Ties a death to the birth of the same connection.
pub const BD_SEQ: &str = "bdSeq";

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    /// When it was sent, in milliseconds since 1970.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    /// What it says.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// Counts the messages after a birth, which is 0, to 255 and around. A death has none.
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
}

/// One named value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// The name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// A number for the name; a station uses none, but a command may.
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    /// When that was so, in milliseconds since 1970.
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    /// How to read the value, see [`DataType`].
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    /// For the record only: it does not say how things are now.
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    /// There is no value.
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    /// The value.
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15")]
    pub value: Option<Value>,
}

/// A value as it is written.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// 32 bits and fewer.
    #[prost(uint32, tag = "10")]
    Int(u32),
    /// 64 bits, and times.
    #[prost(uint64, tag = "11")]
    Long(u64),
    /// A number of single precision.
    #[prost(float, tag = "12")]
    Float(f32),
    /// A number of double precision.
    #[prost(double, tag = "13")]
    Double(f64),
    /// Yes or no.
    #[prost(bool, tag = "14")]
    Boolean(bool),
    /// Text.
    #[prost(string, tag = "15")]
    Text(String),
}

/// The types of values that a station uses, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// 64 bits with a sign.
    Int64 = 4,
    /// 64 bits.
    UInt64 = 8,
    /// Single precision.
    Float = 9,
    /// Double precision.
    Double = 10,
    /// Yes or no.
    Boolean = 11,
    /// Text.
    String = 12,
    /// Milliseconds since 1970.
    DateTime = 13,
}

/// What a station says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    pub(crate) state: StateMessage,
    pub(crate) beat: Option<Heartbeat>,
    /// Verdicts that this mirror has left out.
    pub(crate) lost: u64,
}

impl Metric {
    fn new(name: impl Into<String>, datatype: DataType, value: Option<Value>, at: u64) -> Self {
        Self {
            name: Some(name.into()),
            alias: None,
            timestamp: Some(at),
            datatype: Some(datatype as u32),
            is_historical: None,
            is_null: value.is_none().then_some(true),
            value,
        }
    }

    /// Whether this is the order to say everything again.
    pub(crate) fn asks_for_rebirth(&self) -> bool {
        self.name.as_deref() == Some(REBIRTH) && self.value == Some(Value::Boolean(true))
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> u64 {
    Moment::from(at).millis()
}

pub(crate) fn bd_seq(number: u8, at: SystemTime) -> Metric {
    Metric::new(BD_SEQ, DataType::Int64, Some(Value::Long(number.into())), millis(at))
}

/// What a birth offers besides values: an order that may be given.
pub(crate) fn rebirth(at: SystemTime) -> Metric {
    Metric::new(REBIRTH, DataType::Boolean, Some(Value::Boolean(false)), millis(at))
}

pub(crate) fn of_health(health: &Health, at: SystemTime) -> Vec<Metric> {
    let Health { state, beat, lost } = health;
    let now = millis(at);
    let count = |name: &str, value: Option<u64>| Metric::new(name, DataType::UInt64, value.map(Value::Long), now);
    let text = |name: &str, value: &str| {
        Metric::new(name, DataType::String, Some(Value::Text(value.to_owned())), state.at.millis())
    };
    vec![
        text("State", state.state.as_str()),
        text("Detail", &state.detail),
        count("Parts In", beat.map(|beat| beat.parts_in)),
        count("Verdicts Out", beat.map(|beat| beat.verdicts_out)),
        count("Mirror Lost", Some(*lost)),
    ]
}

/// The metrics of one camera: of its part, or without values where there is none yet. A verdict without its reject bit
/// is for the record, and historical.
pub(crate) fn of_camera(
    camera: &str,
    part: Option<(&VerdictMessage, Option<RejectBit>)>,
    at: SystemTime,
) -> Vec<Metric> {
    let said = part.map(|(verdict, _)| verdict);
    let judged = said.map_or_else(|| millis(at), |v| v.judged_at.millis());
    let historical = part.is_some_and(|(_, bit)| bit.is_none());
    let bit = part.and_then(|(_, bit)| bit).map(|bit| Value::Boolean(bit == RejectBit::Reject));
    let text = |value: Option<String>| (DataType::String, value.map(Value::Text));
    let number = |value: Option<f32>| (DataType::Float, value.map(Value::Float));
    let values = [
        ("Run", text(said.map(|v| v.run.to_string()))),
        ("Seq", (DataType::UInt64, said.map(|v| Value::Long(v.seq)))),
        ("Part", text(said.and_then(|v| v.part.as_ref()).map(ToString::to_string))),
        ("Product", text(said.and_then(|v| v.product.as_ref()).map(ToString::to_string))),
        ("Verdict", text(said.map(|v| v.verdict.to_owned()))),
        ("Reason", text(said.and_then(|v| v.reason).map(str::to_owned))),
        ("Score", number(said.and_then(|v| v.score))),
        ("Review At", number(said.and_then(|v| v.review_at))),
        ("Reject At", number(said.and_then(|v| v.reject_at))),
        ("Reject", (DataType::Boolean, bit)),
        ("Captured At", (DataType::DateTime, said.map(|v| Value::Long(v.captured_at.millis())))),
        ("Latency ms", (DataType::Double, said.map(|v| Value::Double(v.latency_ms)))),
        ("Model", text(said.map(|v| v.model.to_string()))),
        ("Thresholds", text(said.map(|v| v.thresholds.to_string()))),
        ("Settings", text(said.map(|v| v.settings.to_string()))),
    ];
    let metric = |(name, (datatype, value))| Metric {
        is_historical: historical.then_some(true),
        ..Metric::new(format!("Camera/{camera}/{name}"), datatype, value, judged)
    };
    values.map(metric).into()
}
