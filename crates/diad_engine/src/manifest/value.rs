//! Small values of the manifest that carry a rule of their own.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A plain file name: it cannot lead out of the bundle's folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct FileName(String);

/// A text that is not a plain file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a plain file name: letters, digits, '.', '_' and '-', not starting with '.'")]
pub struct FileNameError(String);

impl FileName {
    /// The name as a relative path of one part.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl TryFrom<String> for FileName {
    type Error = FileNameError;

    fn try_from(text: String) -> Result<Self, FileNameError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let safe = (1..=128).contains(&text.len()) && !text.starts_with('.') && text.chars().all(plain);
        if safe { Ok(Self(text)) } else { Err(FileNameError(text)) }
    }
}

/// One extent of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// `"N"`: any number of parts at once.
    Batch,
    /// A fixed extent.
    Fixed(usize),
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DimVisitor;

        impl Visitor<'_> for DimVisitor {
            type Value = Dim;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"N\" or a whole number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Dim, E> {
                if text == "N" { Ok(Dim::Batch) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
            }

            fn visit_u64<E: Error>(self, extent: u64) -> Result<Dim, E> {
                let fixed = usize::try_from(extent).map(Dim::Fixed);
                fixed.map_err(|_| E::invalid_value(Unexpected::Unsigned(extent), &self))
            }
        }

        deserializer.deserialize_any(DimVisitor)
    }
}

/// A shape. Prints as `[N, 3, 256, 256]`.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Dims(pub Vec<Dim>);

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, dim) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match dim {
                Dim::Batch => write!(f, "{comma}N")?,
                Dim::Fixed(extent) => write!(f, "{comma}{extent}")?,
            }
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
