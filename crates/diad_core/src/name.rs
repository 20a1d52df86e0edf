//! Names of things on the line: short, printable, safe as one MQTT topic level and as one file name; and the marks that
//! the plant gives to its parts, which are neither.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Longest accepted name, in bytes. Keeps a verdict payload under 1 kB.
pub const MAX_NAME_BYTES: usize = 64;

/// Longest accepted mark of a part, in bytes of UTF-8.
pub const MAX_MARK_BYTES: usize = 128;

/// Why a text is not the mark of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// The text is empty.
    #[error("a mark must not be empty")]
    Empty,
    /// The text is longer than [`MAX_MARK_BYTES`].
    #[error("a mark has at most {MAX_MARK_BYTES} bytes, this one has {bytes}")]
    Long {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// The text goes on behind a NUL, as a text buffer does that was not emptied.
    #[error("a NUL stands in the mark; send the text before it alone")]
    Nul,
}

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
    #[error("character {} is not allowed in a name; use letters, digits, '.', '_', '-', ':' or '@'", shown(*character))]
    Character {
        /// The first character that is not allowed.
        character: char,
    },
    /// The text is `.` or `..`, which a file system reads as a folder.
    #[error("{0:?} is not a name, it is a folder")]
    Dots(String),
}

/// The same text in normal form C, as Unicode calls it: two texts that look alike because one has `ä` as a single
/// character and the other as `a` with dots are one name. Some file systems write the second form.
fn composed(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// Whether nobody can see the character, or tell it from a plain blank: no name and no setting has a use for it.
#[must_use]
pub const fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180e}'
        | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// A character for people: itself in quotes, or its code point (`U+200B`) where it cannot be seen.
#[must_use]
pub fn shown(character: char) -> String {
    if is_invisible(character) || character.is_control() {
        format!("U+{:04X}", u32::from(character))
    } else {
        format!("{character:?}")
    }
}

fn checked(text: &str) -> Result<Arc<str>, NameError> {
    let text = &*composed(text);
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

/// A text that is shown as it is, and in Debug with quotes and escapes.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
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

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        text_type!($(#[$doc])* $name);

        impl $name {
            /// Takes a text of 1 to 64 bytes out of letters, digits and `._-:@`. Letters with signs are kept in
            /// their composed form (Unicode's normal form C), whatever form they come in.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn try_new(text: &str) -> Result<Self, NameError> {
                checked(text).map(Self)
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
text_type!(
    /// The plant's own mark of one part (serial number, carrier), from a trigger message: any text of 1 to
    /// [`MAX_MARK_BYTES`] bytes without NUL, kept as it came. It is no topic level and no file name. In Debug its control
    /// characters are escaped: so it belongs into logs.
    PartId
);

impl PartId {
    /// Takes a mark as it is.
    ///
    /// # Errors
    /// [`MarkError`] says which rule the text breaks.
    pub fn try_new(text: &str) -> Result<Self, MarkError> {
        if text.is_empty() {
            return Err(MarkError::Empty);
        }
        if text.contains('\0') {
            return Err(MarkError::Nul);
        }
        if text.len() > MAX_MARK_BYTES {
            return Err(MarkError::Long { bytes: text.len() });
        }
        Ok(Self(Arc::from(text)))
    }

    /// What can be kept of a text that is no mark: what stands before its first NUL, as much of it as a mark holds. None
    /// if that is nothing.
    #[must_use]
    pub fn cleaned(text: &str) -> Option<Self> {
        let text = text.split('\0').next().unwrap_or_default();
        Self::try_new(&text[..text.floor_char_boundary(MAX_MARK_BYTES)]).ok()
    }
}
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
            assert_eq!(ProductName::try_new(text).map(|n| n.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn try_new_of_a_name_takes_both_unicode_forms_for_one() {
        let (composed, decomposed) = ("Geh\u{e4}use", "Geha\u{308}use");
        assert_eq!(ProductName::try_new(decomposed), ProductName::try_new(composed));
        assert_eq!(ProductName::try_new(decomposed).unwrap().as_str(), composed);
    }

    #[test]
    fn name_error_shows_what_cannot_be_seen_by_its_code_point() {
        for (text, want) in [
            ("was\u{200b}her", "character U+200B is"),
            ("a\u{a0}b", "character U+00A0 is"),
            ("a\u{feff}", "character U+FEFF is"),
            ("a\tb", "character U+0009 is"),
            ("a b", "character ' ' is"),
        ] {
            let told = ProductName::try_new(text).unwrap_err().to_string();
            assert!(told.starts_with(want), "{told}");
        }
    }

    #[test]
    fn try_new_of_a_mark_keeps_any_text_as_it_is() {
        for text in [
            "(01)09506000134352(21)12345",
            "010950600013435221123\u{1d}10AB",
            "[)>\u{1e}06\u{1d}1P123\u{1e}\u{4}",
            "7V0 123/456 A",
            " A+B%",
            "Geha\u{308}use",
            "..",
            &"x".repeat(128),
        ] {
            assert_eq!(PartId::try_new(text).map(|mark| mark.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(format!("{:?}", PartId::try_new("a\nb\u{1d}").unwrap()), r#""a\nb\u{1d}""#);
    }

    #[test]
    fn try_new_refuses_a_mark_that_is_none_and_cleaned_keeps_what_it_can() {
        let long = format!("{}\u{e4}", "x".repeat(127));
        for (text, want, cleaned) in [
            ("", MarkError::Empty, None),
            ("P-3\0old", MarkError::Nul, Some("P-3")),
            ("\0old", MarkError::Nul, None),
            (&*long, MarkError::Long { bytes: 129 }, Some(&long[..127])),
        ] {
            assert_eq!(PartId::try_new(text), Err(want), "{text:?}");
            assert_eq!(PartId::cleaned(text).as_ref().map(PartId::as_str), cleaned, "{text:?}");
        }
    }
}
