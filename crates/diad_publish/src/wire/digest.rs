//! Which model, thresholds and settings made a verdict.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A SHA-256 digest.
///
/// On the wire it is `sha256:` and the first 32 of its 64 hexadecimal digits. Three whole digests beside the
/// longest names would not fit [`MAX_PAYLOAD_BYTES`](super::MAX_PAYLOAD_BYTES), and 128 bits tell any two apart:
/// compare by prefix. `Display` gives the same text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// A text that is no SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a SHA-256 digest of 64 hexadecimal digits")]
pub struct DigestError {
    /// The text given.
    pub text: String,
}

impl Digest {
    /// Takes the 32 bytes of a digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// All 64 hexadecimal digits, as `sha256sum` prints them.
    #[must_use]
    pub fn hex(self) -> String {
        use fmt::Write;
        let mut digits = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a `String` cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    }

    /// Reads 64 hexadecimal digits, with or without `sha256:` before them.
    ///
    /// # Errors
    /// [`DigestError`] for any other text.
    pub fn try_from_hex(text: &str) -> Result<Self, DigestError> {
        let fault = || DigestError { text: text.to_owned() };
        let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if digits.len() != 64 {
            return Err(fault());
        }
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0]).zip(value(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(fault)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0[..16].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Digest {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{32}$" })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a verdict was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// The model bundle.
    pub model: Digest,
    /// The thresholds in force when the part was judged.
    pub thresholds: Digest,
    /// The station's settings.
    pub settings: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn try_from_hex_reads_what_sha256sum_prints() {
        let hex = "0123456789abcdef0123456789ABCDEF00000000000000000000000000000000";
        let digest = Digest::try_from_hex(hex).unwrap();
        assert_eq!(digest.to_string(), "sha256:0123456789abcdef0123456789abcdef");
        assert_eq!(Digest::try_from_hex(&format!("sha256:{hex}")), Ok(digest));
        assert_eq!(digest.hex(), hex.to_lowercase());
    }

    #[test]
    fn try_from_hex_refuses_other_texts() {
        for text in ["", "sha256:", &"g".repeat(64), &"a".repeat(63), &"ä".repeat(32), "md5:00"] {
            assert_eq!(Digest::try_from_hex(text), Err(DigestError { text: text.to_owned() }));
        }
    }
}
