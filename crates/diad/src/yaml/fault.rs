//! What is wrong in a settings file, and where.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use diad_core::name::{is_invisible, shown};

/// A position in a text: line and column, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file; without a mark the fault is the file's as a whole (it cannot be read).
    File {
        /// The file, as the caller named it.
        file: Arc<str>,
        /// Position in the file.
        mark: Option<Mark>,
    },
    /// In an environment variable.
    Environment {
        /// Name of the variable.
        variable: Arc<str>,
    },
}

impl Place {
    /// The place of a position in the same file; a variable has no finer places.
    #[must_use]
    pub fn at(&self, mark: Mark) -> Self {
        match self {
            Self::File { file, .. } => Self::File { file: Arc::clone(file), mark: Some(mark) },
            Self::Environment { .. } => self.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, mark: None } => f.write_str(file),
            Self::File { file, mark: Some(Mark { line, column }) } => write!(f, "{file}:{line}:{column}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
        }
    }
}

/// One thing that is wrong. Prints as `file:line:column: path: what is wrong, allowed: what is allowed`; a character that
/// cannot be seen prints as its code point, such as `<U+200B>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where the value was set.
    pub place: Place,
    /// YAML path of the value, such as `cameras[0].roi.width`; empty for the document as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed there, if that can be said in short.
    pub allowed: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", visible(&self.path))?;
        }
        f.write_str(&visible(&self.message))?;
        match &self.allowed {
            Some(allowed) => write!(f, ", allowed: {allowed}"),
            None => Ok(()),
        }
    }
}

/// The text with every invisible character as its code point.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let show = |character| {
        if is_invisible(character) { format!("<{}>", shown(character)) } else { String::from(character) }
    };
    Cow::Owned(text.chars().map(show).collect())
}

/// Faults one below the other.
#[must_use]
pub fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

/// Where one value stands: its key, and the value itself.
#[derive(Debug, Clone)]
pub(crate) struct ValuePlaces {
    pub key: Place,
    pub value: Place,
}

/// Remembers where each value of a document was set, by YAML path. Layers merge: the later one wins.
#[derive(Debug, Clone)]
pub struct Places {
    root: Place,
    spots: HashMap<String, ValuePlaces>,
}

impl Places {
    /// Knows nothing but the document's own place, which a value of unknown origin gets.
    #[must_use]
    pub fn new(root: Place) -> Self {
        Self { root, spots: HashMap::new() }
    }

    /// Remembers a value unless its path is known already: of a duplicate key the first counts.
    pub(super) fn note(&mut self, path: &str, key: Place, value: Place) {
        if !self.spots.contains_key(path) {
            self.spots.insert(path.to_owned(), ValuePlaces { key, value });
        }
    }

    /// Remembers that everything at `path` came from `place`, unless something is known of it.
    pub fn note_whole(&mut self, path: &str, place: &Place) {
        self.note(path, place.clone(), place.clone());
    }

    /// Lays another layer's places over these.
    pub fn overlay(&mut self, upper: Self) {
        self.spots.extend(upper.spots);
    }

    /// Forgets what stands inside `path`: another layer replaces a list as a whole.
    pub fn forget_inside(&mut self, path: &str) {
        self.spots.retain(|known, _| !known.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])));
    }

    /// Where exactly the value at `path` stands, if it was written.
    pub(crate) fn exact(&self, path: &str) -> Option<&ValuePlaces> {
        self.spots.get(path)
    }

    /// Where the value at `path` stands, or the nearest thing around it.
    #[must_use]
    pub fn of_value(&self, path: &str) -> Place {
        self.nearest(path).map_or(&self.root, |spot| &spot.value).clone()
    }

    /// Where the key at `path` stands, or the nearest thing around it.
    #[must_use]
    pub fn of_key(&self, path: &str) -> Place {
        self.nearest(path).map_or(&self.root, |spot| &spot.key).clone()
    }

    fn nearest(&self, path: &str) -> Option<&ValuePlaces> {
        let mut path = path;
        loop {
            if let Some(spot) = self.spots.get(path) {
                return Some(spot);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

/// Path of `key` inside the mapping at `parent`.
#[must_use]
pub fn child(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// Path of the item `index` (from 0) of the list at `parent`.
#[must_use]
pub fn nth(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}
