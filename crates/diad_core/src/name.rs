//! Names of things on the line: short, printable, safe as one MQTT topic level and as one file name.

use std::fmt;
use std::sync::Arc;

/// Longest accepted name, in bytes. Keeps a verdict payload under 1 kB.
pub const MAX_NAME_BYTES: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text is longer than [`MAX_NAME_BYTES`].
    #[error("a name has at most {MAX_NAME_BYTES} bytes, this one has {bytes}")]
    Long {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// The text holds a character that a topic or a file name cannot carry.
    #[error("character {character:?} is not allowed in a name; use letters, digits, '.', '_', '-', ':' or '@'")]
    Character {
        /// The first character that is not allowed.
        character: char,
    },
    /// The text is `.` or `..`, which a file system reads as a folder.
    #[error("{0:?} is not a name, it is a folder")]
    Dots(String),
}

fn checked(text: &str) -> Result<Arc<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::Long { bytes: text.len() });
    }
    if let Some(character) = text.chars().find(|c| !(c.is_alphanumeric() || "._-:@".contains(*c))) {
        return Err(NameError::Character { character });
    }
    if text == "." || text == ".." {
        return Err(NameError::Dots(text.to_owned()));
    }
    Ok(Arc::from(text))
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text of 1 to 64 bytes out of letters, digits and `._-:@`.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn try_new(text: &str) -> Result<Self, NameError> {
                checked(text).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name_type!(
    /// A production line, `line:` in the settings.
    LineName
);
name_type!(
    /// A station on the line, `station:` in the settings.
    StationName
);
name_type!(
    /// A camera of the station, `cameras[].id` in the settings.
    CameraId
);
name_type!(
    /// A product class, as thresholds and change-over messages name it.
    ProductName
);
name_type!(
    /// The plant's own mark of one part (serial number, carrier), from a trigger message.
    PartId
);
name_type!(
    /// One run of the daemon; never used twice.
    RunId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn try_new_refuses_what_a_topic_or_a_file_cannot_carry() {
        for (text, want) in [
            ("", NameError::Empty),
            ("a/b", NameError::Character { character: '/' }),
            ("a+b", NameError::Character { character: '+' }),
            ("#", NameError::Character { character: '#' }),
            ("a b", NameError::Character { character: ' ' }),
            ("a\u{0}", NameError::Character { character: '\u{0}' }),
            ("..", NameError::Dots("..".to_owned())),
        ] {
            assert_eq!(CameraId::try_new(text), Err(want), "{text:?}");
        }
        assert_eq!(CameraId::try_new(&"x".repeat(65)), Err(NameError::Long { bytes: 65 }));
    }

    #[test]
    fn try_new_takes_plant_names() {
        for text in ["cam0", "P-77", "L1", "Prägung_3", "a:b@c.d"] {
            assert_eq!(PartId::try_new(text).map(|n| n.to_string()), Ok(text.to_owned()));
        }
    }
}
