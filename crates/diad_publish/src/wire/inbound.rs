//! What the plant says to the station.
//!
//! Controllers write JSON by hand, out of text buffers, and readers of codes put any character into a mark. So whatever
//! has one meaning is taken: a byte order mark before the object, NULs and what an old buffer holds behind it, control
//! characters in a text, a whole number for a mark or a name, fields that nobody asked about. What has none is not
//! guessed: it is [`Unclear`], with what is certain of it, and the station accounts for it as a part that cannot be
//! judged.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use std::time::SystemTime;

use diad_core::frame::Stamp;
use diad_core::name::{CameraId, MarkError, NameError, PartId, ProductName};
use schemars::JsonSchema;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::schema;

mod error;

pub use error::{Begins, InboundError, Shape};

/// Largest accepted inbound payload, in bytes.
pub const MAX_INBOUND_BYTES: usize = 4096;

/// One message from the plant.
#[derive(Debug)]
pub enum Inbound {
    /// Take and judge one part.
    Trigger {
        /// The part.
        trigger: TriggerMessage,
        /// When the message came in.
        at: Stamp,
    },
    /// A trigger whose meaning is not certain: a part that cannot be judged.
    UnclearTrigger {
        /// What is certain of it, and what is not.
        unclear: Unclear,
        /// The first bytes of its payload.
        begins: Begins,
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
    /// A change-over to a product that cannot be read: it is not known what the parts are from now on.
    UnclearProduct {
        /// What is wrong with it.
        error: InboundError,
        /// The first bytes of its payload.
        begins: Begins,
        /// When the message came in.
        at: Stamp,
    },
    /// A message that was refused. It is for the log and the counters; nothing was triggered or changed.
    Fault(InboundError),
}

const TRIGGER_EXAMPLE: &str = r#"{"part":"P-77"}"#;
const PRODUCT_EXAMPLE: &str = r#"{"product":"washer"}"#;

/// Take and judge one part, now. Further fields are let be.
#[derive(JsonSchema)]
#[schemars(title = "trigger")]
#[expect(dead_code, reason = "it stands for its schema; the reader takes more than that, see the module")]
pub(super) struct RawTrigger {
    /// The plant's own mark of the part; comes back in its verdict. Left out, null or empty: a part without one.
    #[schemars(default, schema_with = "schema::mark_given")]
    part: Option<String>,
    /// The camera that is meant; left out or null, every camera that takes parts on messages.
    #[schemars(default, schema_with = "schema::name_given_or_null")]
    camera: Option<String>,
    /// When the plant gave the trigger, RFC 3339, with its offset from UTC. What is no such time is let be.
    #[schemars(default, schema_with = "schema::time")]
    at: Option<Value>,
    /// Counts the triggers of this sender without a gap. What is no whole number is let be.
    #[schemars(default, schema_with = "schema::count")]
    count: Option<Value>,
}

/// Change-over: the next trigger uses this product. Further fields are let be.
#[derive(JsonSchema)]
#[schemars(title = "product")]
#[expect(dead_code, reason = "it stands for its schema; the reader takes more than that, see the module")]
pub(super) struct RawProduct {
    /// The product class, as thresholds and model name it.
    #[schemars(schema_with = "schema::name_given")]
    product: String,
}

/// Payload of `…/trigger`: `{"part":"P-77"}`, with `"camera"` where the station has several, and `"at"` and `"count"` where
/// the plant says when it sent it and which one it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TriggerMessage {
    /// The plant's mark of the part; `None` for a part without one.
    pub part: Option<PartId>,
    /// The camera asked for; `None` means the station's choice.
    pub camera: Option<CameraId>,
    /// When the plant gave it, by the plant's clock.
    pub at: Option<SystemTime>,
    /// Its number among those of its sender.
    pub count: Option<u64>,
}

/// A trigger whose meaning is not certain. As an error it reads like the one that it holds.
#[derive(Debug)]
pub struct Unclear {
    /// What is certain of it: the camera, and as much of the mark as can be kept.
    pub trigger: TriggerMessage,
    /// What is not.
    pub error: Box<InboundError>,
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Unclear {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl TriggerMessage {
    /// Reads a payload that came in on `topic`. Blanks and NULs at the end of the mark are left out.
    ///
    /// # Errors
    /// [`Unclear`]; its error is none of [`InboundError::Retained`].
    pub fn parse(topic: &str, payload: &[u8]) -> Result<Self, Unclear> {
        let source = Source { topic, example: TRIGGER_EXAMPLE };
        let mut trigger = Self::default();
        match trigger.fill(&source, payload) {
            Ok(()) => Ok(trigger),
            Err(error) => Err(Unclear { trigger, error: Box::new(error) }),
        }
    }

    /// Takes one field after the other, so that what was certain before an error stays.
    fn fill(&mut self, source: &Source<'_>, payload: &[u8]) -> Result<(), InboundError> {
        let text = source.text(payload)?;
        let fields = source.fields(&text)?;
        self.at = fields.only("at").as_ref().and_then(moment);
        self.count = fields.only("count").as_ref().and_then(Value::as_u64);
        let camera = fields.text(source, "camera")?;
        self.camera = camera.map(|name| CameraId::try_new(&name)).transpose().map_err(source.name("camera"))?;
        let Some(part) = fields.raw_text(source, "part")? else { return Ok(()) };
        let part = part.trim_end_matches([' ', '\0']);
        let mark = match PartId::try_new(part) {
            _ if part.contains(char::REPLACEMENT_CHARACTER) && text.is_lossy => Err(source.encoding("part")),
            Ok(mark) => Ok(Some(mark)),
            Err(MarkError::Empty) => Ok(None),
            Err(error) => Err(InboundError::Mark { topic: source.topic.to_owned(), source: error }),
        };
        self.part = mark.inspect_err(|_| self.part = PartId::cleaned(part))?;
        Ok(())
    }
}

/// Payload of `…/product`: `{"product":"washer"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductMessage {
    /// The product class.
    pub product: ProductName,
}

impl ProductMessage {
    /// Reads a payload that came in on `topic`. Blanks and NULs around the name are left out.
    ///
    /// # Errors
    /// [`InboundError`], without [`InboundError::Retained`].
    pub fn parse(topic: &str, payload: &[u8]) -> Result<Self, InboundError> {
        let source = Source { topic, example: PRODUCT_EXAMPLE };
        let text = source.text(payload)?;
        let Some(product) = source.fields(&text)?.text(&source, "product")? else {
            return Err(InboundError::Missing { topic: topic.to_owned(), field: "product", example: source.example });
        };
        Ok(Self { product: ProductName::try_new(&product).map_err(source.name("product"))? })
    }
}

/// A time after 1970, if that is one. A part is not lost for a time that cannot be read: it proves nothing.
fn moment(value: &Value) -> Option<SystemTime> {
    let at = OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()?;
    (at >= OffsetDateTime::UNIX_EPOCH).then(|| at.into())
}

/// Where a payload came in, and what would be right there.
struct Source<'a> {
    topic: &'a str,
    example: &'static str,
}

/// The object of a payload, in a form that a JSON reader takes.
struct Text {
    object: String,
    /// Whether the payload held bytes that are no UTF-8. They are replaced.
    is_lossy: bool,
}

impl Source<'_> {
    fn text(&self, payload: &[u8]) -> Result<Text, InboundError> {
        if payload.len() > MAX_INBOUND_BYTES {
            return Err(InboundError::Size { topic: self.topic.to_owned(), bytes: payload.len() });
        }
        let decoded = String::from_utf8_lossy(payload);
        let is_lossy = matches!(decoded, Cow::Owned(_));
        let text = decoded.trim_start_matches('\u{feff}').trim_start();
        // The reader would take an array as the fields in order; docs/reference/mqtt.md asks for an object.
        if !text.starts_with('{') || Shape::of(payload) == Shape::Utf16 {
            return Err(self.shape(Shape::of(payload)));
        }
        let (object, behind) = object(text);
        let behind = behind.trim_start();
        if !(behind.is_empty() || behind.starts_with('\0')) {
            return Err(self.shape(Shape::Followed));
        }
        Ok(Text { object, is_lossy })
    }

    fn fields<'t>(&self, text: &'t Text) -> Result<Fields<'t>, InboundError> {
        let mut reader = serde_json::Deserializer::from_str(&text.object);
        let fields = reader.deserialize_map(Listing).and_then(|fields| reader.end().map(|()| fields));
        let fields = fields.map_err(|source| InboundError::Json {
            topic: self.topic.to_owned(),
            example: self.example,
            source,
        })?;
        Ok(Fields { fields, is_lossy: text.is_lossy })
    }

    fn shape(&self, shape: Shape) -> InboundError {
        InboundError::Object { topic: self.topic.to_owned(), shape, example: self.example }
    }

    fn encoding(&self, field: &'static str) -> InboundError {
        InboundError::Encoding { topic: self.topic.to_owned(), field }
    }

    fn name(&self, field: &'static str) -> impl FnOnce(NameError) -> InboundError {
        let topic = self.topic.to_owned();
        move |source| InboundError::Name { topic, field, source }
    }
}

/// The object that a text begins with, its control characters escaped where they stand in a text, and what is behind it.
fn object(text: &str) -> (String, &str) {
    let mut object = String::with_capacity(text.len());
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, character) in text.char_indices() {
        match character {
            control if in_text && control < ' ' => {
                object.push_str(&format!("\\u{:04x}", u32::from(control)));
                escaped = false;
                continue;
            }
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '{' if !in_text => depth += 1,
            '}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        object.push(character);
        if depth == 0 {
            return (object, &text[at + character.len_utf8()..]);
        }
    }
    (object, "")
}

/// The fields of an object, as they came: a key may stand twice.
struct Fields<'t> {
    fields: Vec<(String, &'t RawValue)>,
    is_lossy: bool,
}

impl Fields<'_> {
    /// The value of a field that stands there once; one that is wrong costs no part.
    fn only(&self, key: &str) -> Option<Value> {
        let mut found = self.fields.iter().filter(|(name, _)| name == key);
        let value = found.next().filter(|_| found.next().is_none())?.1;
        serde_json::from_str(value.get()).ok()
    }

    /// A field that is text or a whole number, without blanks and NULs around it; `None` where it is missing or null.
    fn text(&self, source: &Source<'_>, key: &'static str) -> Result<Option<String>, InboundError> {
        let text = self.raw_text(source, key)?;
        if self.is_lossy && text.as_ref().is_some_and(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
            return Err(source.encoding(key));
        }
        Ok(text.map(|text| text.trim_matches([' ', '\0']).to_owned()))
    }

    /// The same with whatever stands around it, and in whatever encoding it came.
    fn raw_text(&self, source: &Source<'_>, key: &'static str) -> Result<Option<String>, InboundError> {
        let topic = || source.topic.to_owned();
        let mut found = self.fields.iter().filter(|(name, _)| name == key).map(|(_, value)| value.get());
        let Some(value) = found.next() else {
            return match self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
                Some((found, _)) => Err(InboundError::Key { topic: topic(), found: found.clone(), key }),
                None => Ok(None),
            };
        };
        if found.any(|other| other != value) {
            return Err(InboundError::Twice { topic: topic(), key });
        }
        let digits = value.strip_prefix('-').unwrap_or(value);
        if value == "null" {
            Ok(None)
        } else if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Some(value.to_owned()))
        } else {
            let text = serde_json::from_str(value);
            text.map(Some).map_err(|_| InboundError::Kind { topic: topic(), field: key, example: source.example })
        }
    }
}

/// Lists the fields of an object.
struct Listing;

impl<'de> Visitor<'de> for Listing {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests;
