//! What can be wrong with a message from the plant, in words for whoever wrote the controller's program.

use std::fmt;

use diad_core::name::{MarkError, NameError};

use super::MAX_INBOUND_BYTES;

/// Bytes of a payload that a log shows, in hexadecimal digits.
const SHOWN_BYTES: usize = 24;

/// The first bytes of a payload, for people: 24 at most, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begins {
    bytes: Vec<u8>,
    more: bool,
}

impl Begins {
    /// Takes the first bytes.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        let shown = payload.len().min(SHOWN_BYTES);
        Self { bytes: payload[..shown].to_vec(), more: shown < payload.len() }
    }
}

impl fmt::Display for Begins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.bytes.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{byte:02x}")?;
        }
        if self.more { f.write_str(" …") } else { Ok(()) }
    }
}

/// What a payload is that is no JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// UTF-16, as a WSTRING has it.
    Utf16,
    /// Text behind the two length bytes of an S7 STRING.
    StringHead,
    /// An object within a JSON text.
    Quoted,
    /// An object with something behind it that is no NUL.
    Followed,
    /// Anything else.
    Other,
}

impl Shape {
    pub(super) fn of(payload: &[u8]) -> Self {
        let utf_16 = |pair: &[u8]| matches!(pair, [b'{', 0] | [0, b'{'] | [0xFF, 0xFE] | [0xFE, 0xFF]);
        match payload {
            [first, second, ..] if utf_16(&[*first, *second]) => Self::Utf16,
            // A WSTRING has its two lengths before the text.
            [_, _, _, _, first, second, ..] if utf_16(&[*first, *second]) => Self::Utf16,
            [most, length, b'{', ..] if length <= most && usize::from(*length) <= payload.len() => Self::StringHead,
            [b'"', ..] if payload.contains(&b'{') => Self::Quoted,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf16 => "is UTF-16, not UTF-8",
            Self::StringHead => "begins with the two length bytes of a STRING; send its characters alone",
            Self::Quoted => "is an object within a text; send the object itself",
            Self::Followed => "goes on behind the object, and not with a NUL",
            Self::Other => "is not a JSON object",
        })
    }
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
    /// The payload is not a JSON object and nothing else.
    #[error("payload on {topic} {shape}; send for example {example}")]
    Object {
        /// Where it came in.
        topic: String,
        /// What it is instead.
        shape: Shape,
        /// What would be right.
        example: &'static str,
    },
    /// The object cannot be read to its end.
    #[error("read payload on {topic}; send for example {example}")]
    Json {
        /// Where it came in.
        topic: String,
        /// What would be right.
        example: &'static str,
        /// What is wrong, line and column.
        #[source]
        source: serde_json::Error,
    },
    /// The object has a key of another spelling.
    #[error("found key {found:?} on {topic}; the key is {key:?}")]
    Key {
        /// Where it came in.
        topic: String,
        /// The key that was found.
        found: String,
        /// The key that was looked for.
        key: &'static str,
    },
    /// The object has a key twice, with different values.
    #[error("key {key:?} stands twice in the payload on {topic}, with different values")]
    Twice {
        /// Where it came in.
        topic: String,
        /// The key.
        key: &'static str,
    },
    /// The object lacks a field.
    #[error("field {field:?} is missing on {topic}; send for example {example}")]
    Missing {
        /// Where it came in.
        topic: String,
        /// The field.
        field: &'static str,
        /// What would be right.
        example: &'static str,
    },
    /// A field is neither text nor a whole number.
    #[error("field {field:?} on {topic} is neither text nor a whole number; send for example {example}")]
    Kind {
        /// Where it came in.
        topic: String,
        /// The field.
        field: &'static str,
        /// What would be right.
        example: &'static str,
    },
    /// A field holds bytes that are no UTF-8.
    #[error("field {field:?} on {topic} is not UTF-8")]
    Encoding {
        /// Where it came in.
        topic: String,
        /// The field.
        field: &'static str,
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
    /// The mark is none.
    #[error("field \"part\" on {topic}")]
    Mark {
        /// Where it came in.
        topic: String,
        /// The rule it breaks.
        #[source]
        source: MarkError,
    },
    /// A trigger came from the broker's memory. It would ask for the same part again on every reconnect.
    #[error("trigger on {topic} is retained and was not used; publish triggers without the retain flag")]
    Retained {
        /// Where it came in.
        topic: String,
    },
}
