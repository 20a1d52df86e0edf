//! What the plant says to the station.
//!
//! Wrong types, missing fields and names that break the rules are refused. Unknown fields are let be: controllers
//! often add counters of their own, and a trigger refused for one would be a part without a verdict.

use diad_core::frame::Stamp;
use diad_core::name::{CameraId, NameError, PartId, ProductName};
use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;

/// Largest accepted inbound payload, in bytes.
pub const MAX_INBOUND_BYTES: usize = 4096;

/// One message from the plant, or why it could not be used.
#[derive(Debug)]
pub enum Inbound {
    /// Take and judge one part.
    Trigger {
        /// The part.
        trigger: TriggerMessage,
        /// When the message came in.
        at: Stamp,
    },
    /// Change-over: the next trigger uses this product.
    Product {
        /// The product.
        product: ProductMessage,
        /// When the message came in.
        at: Stamp,
    },
    /// A message that was refused. It is for the log and the counters; nothing was triggered or changed.
    Fault(InboundError),
}

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// The payload is too long.
    #[error("payload of {bytes} bytes on {topic}; at most {MAX_INBOUND_BYTES} are read")]
    Size {
        /// Where it came in.
        topic: String,
        /// Length found, in bytes.
        bytes: usize,
    },
    /// The payload is not a JSON object.
    #[error("payload on {topic} is not a JSON object; send for example {example}")]
    Object {
        /// Where it came in.
        topic: String,
        /// What would be right.
        example: &'static str,
    },
    /// The object lacks a field or has one of the wrong type.
    #[error("read payload on {topic}; send for example {example}")]
    Json {
        /// Where it came in.
        topic: String,
        /// What would be right.
        example: &'static str,
        /// Field, line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A field is not a name.
    #[error("field {field:?} on {topic}")]
    Name {
        /// Where it came in.
        topic: String,
        /// The field.
        field: &'static str,
        /// The rule it breaks.
        #[source]
        source: NameError,
    },
    /// A trigger came from the broker's memory. It would ask for the same part again on every reconnect.
    #[error("trigger on {topic} is retained and was not used; publish triggers without the retain flag")]
    Retained {
        /// Where it came in.
        topic: String,
    },
}

const TRIGGER_EXAMPLE: &str = r#"{"part":"P-77"}"#;
const PRODUCT_EXAMPLE: &str = r#"{"product":"washer"}"#;

/// Take and judge one part, now. Further fields are let be.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "trigger")]
pub(super) struct RawTrigger {
    /// The plant's own mark of the part; comes back in its verdict.
    #[schemars(schema_with = "schema::name")]
    part: String,
    /// The camera that is meant; left out or null, every camera that takes parts on messages.
    #[serde(default)]
    #[schemars(schema_with = "schema::name_or_null")]
    camera: Option<String>,
}

/// Change-over: the next trigger uses this product. Further fields are let be.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "product")]
pub(super) struct RawProduct {
    /// The product class, as thresholds and model name it.
    #[schemars(schema_with = "schema::name")]
    product: String,
}

/// Payload of `…/trigger`: `{"part":"P-77"}`, with `"camera"` where the station has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerMessage {
    /// The plant's mark of the part.
    pub part: PartId,
    /// The camera asked for; `None` means the station's choice.
    pub camera: Option<CameraId>,
}

impl TriggerMessage {
    /// Reads a payload that came in on `topic`.
    ///
    /// # Errors
    /// [`InboundError`], without [`InboundError::Retained`].
    pub fn parse(topic: &str, payload: &[u8]) -> Result<Self, InboundError> {
        let raw: RawTrigger = read(topic, payload, TRIGGER_EXAMPLE)?;
        let camera = raw.camera.as_deref().map(CameraId::try_new).transpose();
        Ok(Self {
            part: PartId::try_new(&raw.part).map_err(name(topic, "part"))?,
            camera: camera.map_err(name(topic, "camera"))?,
        })
    }
}

/// Payload of `…/product`: `{"product":"washer"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductMessage {
    /// The product class.
    pub product: ProductName,
}

impl ProductMessage {
    /// Reads a payload that came in on `topic`.
    ///
    /// # Errors
    /// [`InboundError`], without [`InboundError::Retained`].
    pub fn parse(topic: &str, payload: &[u8]) -> Result<Self, InboundError> {
        let raw: RawProduct = read(topic, payload, PRODUCT_EXAMPLE)?;
        Ok(Self { product: ProductName::try_new(&raw.product).map_err(name(topic, "product"))? })
    }
}

fn read<'de, T: Deserialize<'de>>(topic: &str, payload: &'de [u8], example: &'static str) -> Result<T, InboundError> {
    let topic = || topic.to_owned();
    if payload.len() > MAX_INBOUND_BYTES {
        return Err(InboundError::Size { topic: topic(), bytes: payload.len() });
    }
    // The reader would take an array as the fields in order; the contract says object.
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Err(InboundError::Object { topic: topic(), example });
    }
    serde_json::from_slice(payload).map_err(|source| InboundError::Json { topic: topic(), example, source })
}

fn name(topic: &str, field: &'static str) -> impl FnOnce(NameError) -> InboundError {
    move |source| InboundError::Name { topic: topic.to_owned(), field, source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parse_takes_a_trigger_with_and_without_a_camera() {
        for (payload, camera) in [
            (r#"{"part":"P-77"}"#, None),
            (r#" {"part":"P-77","camera":null}"#, None),
            (r#"{"camera":"cam1","part":"P-77","counter":{"of":["the","plc"]}}"#, CameraId::try_new("cam1").ok()),
        ] {
            let want = TriggerMessage { part: PartId::try_new("P-77").unwrap(), camera };
            assert_eq!(TriggerMessage::parse("t", payload.as_bytes()).unwrap(), want);
        }
    }

    #[test]
    fn parse_takes_a_product() {
        let message = ProductMessage::parse("t", br#"{"product":"washer"}"#).unwrap();
        assert_eq!(message.product.as_str(), "washer");
    }

    #[test]
    fn parse_refuses_wrong_types_and_shapes() {
        for payload in [
            r#"{"part":77}"#,
            r#"{"part":null}"#,
            "{}",
            r#"{"part":"a","part":"b"}"#,
            r#"{"part":"a","camera":1}"#,
            r#"{"part":"a"} x"#,
            r#"{"part":"a""#,
        ] {
            let error = TriggerMessage::parse("t", payload.as_bytes()).unwrap_err();
            assert!(matches!(error, InboundError::Json { .. }), "{payload}: {error:?}");
        }
        for payload in ["", "  ", r#"["P-77"]"#, "P-77", "null"] {
            let error = TriggerMessage::parse("t", payload.as_bytes()).unwrap_err();
            assert!(matches!(error, InboundError::Object { .. }), "{payload}: {error:?}");
        }
    }

    #[test]
    fn parse_refuses_names_that_break_the_rules_and_says_which_field() {
        for (payload, want) in [(r#"{"part":"a/b"}"#, "part"), (r#"{"part":"a","camera":""}"#, "camera")] {
            match TriggerMessage::parse("t", payload.as_bytes()) {
                Err(InboundError::Name { field, .. }) => assert_eq!(field, want),
                other => panic!("{payload}: {other:?}"),
            }
        }
    }

    #[test]
    fn parse_refuses_more_than_the_limit() {
        let payload = format!(r#"{{"part":"a","x":"{}"}}"#, "y".repeat(MAX_INBOUND_BYTES));
        let error = TriggerMessage::parse("t", payload.as_bytes()).unwrap_err();
        assert!(matches!(error, InboundError::Size { .. }), "{error:?}");
    }

    proptest! {
        #[test]
        fn parse_of_any_bytes_ends_in_a_result(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = TriggerMessage::parse("t", &payload);
            let _ = ProductMessage::parse("t", &payload);
        }
    }
}
