//! Takes typed values out of a document and collects what is wrong with them.
//!
//! Every method that reads gives `None` after it has reported a fault, so a caller reads all keys of a
//! section first and only then unwraps them with `?`: that is how all faults come out at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use config::{Map, Value, ValueKind};
use diad_publish::wire::Digest;
use sha2::{Digest as _, Sha256};

use super::fault::{Fault, Place, Places, child, nth};

/// How alike an unknown and a known key must be for a hint (Jaro-Winkler, 0 to 1).
const KEY_HINT_SIMILARITY: f64 = 0.8;

/// Collects faults, and the effective value of every setting that was read.
#[derive(Debug)]
pub struct Report<'p> {
    places: &'p Places,
    faults: RefCell<Vec<Fault>>,
    effective: RefCell<BTreeMap<String, String>>,
}

impl<'p> Report<'p> {
    /// Starts with faults found before, for values that stand at `places`.
    #[must_use]
    pub fn new(places: &'p Places, faults: Vec<Fault>) -> Self {
        Self { places, faults: RefCell::new(faults), effective: RefCell::default() }
    }

    /// The root of the document.
    #[must_use]
    pub fn root<'r>(&'r self, value: &'r Value) -> Item<'r> {
        Item { report: self, value: Some(value), path: String::new() }
    }

    /// Over the effective values, defaults included, as sorted `path=value` lines: the same for two files
    /// that mean the same.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let effective = self.effective.borrow();
        digest(effective.iter().map(|(path, value)| format!("{path}={value}\n")))
    }

    /// The effective values, by path.
    #[must_use]
    pub fn effective(&self) -> BTreeMap<String, String> {
        self.effective.borrow().clone()
    }

    /// What was wrong, in the order of the file.
    #[must_use]
    pub fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort();
        faults
    }

    fn add(&self, place: Place, path: &str, message: String, allowed: Option<String>) {
        self.faults.borrow_mut().push(Fault { place, path: path.to_owned(), message, allowed });
    }
}

/// The digest of the lines in this order.
pub fn digest(lines: impl IntoIterator<Item = String>) -> Digest {
    let mut hash = Sha256::new();
    lines.into_iter().for_each(|line| hash.update(line));
    Digest::from_bytes(hash.finalize().into())
}

/// One place of the document that may hold a value.
#[derive(Debug)]
pub struct Item<'r> {
    report: &'r Report<'r>,
    value: Option<&'r Value>,
    path: String,
}

/// A mapping whose keys are being read.
#[derive(Debug)]
pub struct Section<'r> {
    item: Item<'r>,
    table: &'r Map<String, Value>,
}

impl<'r> Item<'r> {
    /// YAML path of this item.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the value stands; where none does, the place of what it belongs to.
    #[must_use]
    pub fn place(&self) -> Place {
        self.report.places.of_value(&self.path)
    }

    /// Whether there is a value other than `null`.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.value.is_some_and(|v| !matches!(v.kind, ValueKind::Nil))
    }

    /// Whether anything stands here, be it `null`.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        self.value.is_some()
    }

    /// Whether this very text stands here.
    #[must_use]
    pub fn is_text(&self, text: &str) -> bool {
        matches!(self.value.map(|v| &v.kind), Some(ValueKind::String(found)) if found == text)
    }

    /// The mapping that stands here.
    pub fn mapping(self) -> Option<Section<'r>> {
        match self.value.map(|v| &v.kind) {
            Some(ValueKind::Table(table)) => Some(Section { table, item: self }),
            _ => self.wrong_type("a mapping of keys to values"),
        }
    }

    /// The items of the list that stands here.
    pub fn list(&self) -> Option<Vec<Self>> {
        match self.value.map(|v| &v.kind) {
            Some(ValueKind::Array(items)) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, value)| Item {
                        report: self.report,
                        value: Some(value),
                        path: nth(&self.path, index),
                    })
                    .collect(),
            ),
            _ => self.wrong_type("a list"),
        }
    }

    /// The text that stands here; it must not be empty.
    pub fn text(&self) -> Option<&'r str> {
        let text = match self.value.map(|v| &v.kind) {
            Some(ValueKind::String(text)) => text,
            Some(ValueKind::I64(_) | ValueKind::Float(_) | ValueKind::Boolean(_)) => {
                return self.wrong_type("text; put it into quotes");
            }
            _ => return self.wrong_type("text"),
        };
        if text.trim().is_empty() {
            return self.fault("is empty", Some("text"));
        }
        self.record(format_args!("{text:?}"));
        Some(text)
    }

    /// The text, taken by a constructor whose error says what is wrong.
    pub fn parsed<T, E: Display>(&self, take: impl FnOnce(&str) -> Result<T, E>, allowed: Option<&str>) -> Option<T> {
        match take(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => self.fault(&error.to_string(), allowed),
        }
    }

    /// A path on this machine.
    pub fn file_path(&self) -> Option<PathBuf> {
        self.text().map(PathBuf::from)
    }

    /// A whole number in a range.
    pub fn whole<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        match self.value.map(|v| &v.kind) {
            Some(ValueKind::I64(number)) => match T::try_from(*number) {
                Ok(value) if range.contains(&value) => {
                    self.record(format_args!("{value}"));
                    Some(value)
                }
                _ => self.fault(&format!("{number} is out of range"), Some(&allowed)),
            },
            Some(ValueKind::Float(number)) => self.fault(&format!("{number} is not allowed"), Some(&allowed)),
            _ => self.wrong_type(&allowed),
        }
    }

    /// A finite number in a range.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        let number = match self.value.map(|v| &v.kind) {
            // Exact where it matters: what a range lets through is far below 2^53.
            Some(ValueKind::I64(number)) => *number as f64,
            Some(ValueKind::Float(number)) => *number,
            _ => return self.wrong_type(&allowed),
        };
        if range.contains(&number) {
            self.record(format_args!("{number}"));
            Some(number)
        } else if number.is_nan() {
            self.fault("is not a number (NaN)", Some(&allowed))
        } else {
            self.fault(&format!("{number} is out of range"), Some(&allowed))
        }
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        match self.value.map(|v| &v.kind) {
            Some(ValueKind::Boolean(flag)) => {
                self.record(format_args!("{flag}"));
                Some(*flag)
            }
            _ => self.wrong_type("true or false"),
        }
    }

    /// One of some words.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let allowed = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        match self.value.map(|v| &v.kind) {
            Some(ValueKind::String(text)) => match words.iter().find(|(word, _)| word == text) {
                Some((word, value)) => {
                    self.record(format_args!("{word}"));
                    Some(*value)
                }
                None => self.fault(&format!("{text:?} is not known"), Some(&allowed)),
            },
            _ => self.wrong_type(&allowed),
        }
    }

    /// A list of some of these words, none of them twice.
    pub fn choices<T: Copy + PartialEq>(&self, words: &[(&str, T)]) -> Option<Vec<T>> {
        let mut chosen = Vec::new();
        let mut sound = true;
        for item in self.list()? {
            match item.choice(words) {
                Some(value) if chosen.contains(&value) => {
                    let _: Option<T> = item.fault("is listed twice", None);
                    sound = false;
                }
                Some(value) => chosen.push(value),
                None => sound = false,
            }
        }
        sound.then_some(chosen)
    }

    /// `None` inside where nothing is set or `null` is, else what `read` gives.
    pub fn nullable<T>(self, read: impl FnOnce(Self) -> Option<T>) -> Option<Option<T>> {
        if self.is_set() { read(self).map(Some) } else { Some(None) }
    }

    /// What `read` gives, or the default where nothing is set or `null` is.
    pub fn or<T: Display>(self, default: T, read: impl FnOnce(Self) -> Option<T>) -> Option<T> {
        if self.is_set() {
            return read(self);
        }
        self.record(format_args!("{default}"));
        Some(default)
    }

    /// Reports a fault of this item; gives `None` to be handed on.
    pub fn fault<T>(&self, message: &str, allowed: Option<&str>) -> Option<T> {
        self.report.add(self.place(), &self.path, message.to_owned(), allowed.map(str::to_owned));
        None
    }

    /// Reports a fault of this item's key; gives `None` to be handed on.
    pub fn key_fault<T>(&self, message: &str, allowed: Option<&str>) -> Option<T> {
        let place = self.report.places.of_key(&self.path);
        self.report.add(place, &self.path, message.to_owned(), allowed.map(str::to_owned));
        None
    }

    /// Notes the effective value, for the digest.
    pub fn record(&self, value: impl Display) {
        self.report.effective.borrow_mut().insert(self.path.clone(), value.to_string());
    }

    fn wrong_type<T>(&self, allowed: &str) -> Option<T> {
        let message = match self.value.map(|v| &v.kind) {
            None => "is missing".to_owned(),
            Some(ValueKind::Nil) => "has no value".to_owned(),
            Some(ValueKind::Boolean(flag)) => format!("{flag} is a flag"),
            Some(ValueKind::String(text)) if text.chars().count() > 40 => "is text".to_owned(),
            Some(ValueKind::String(text)) => format!("{text:?} is text"),
            Some(ValueKind::Table(_)) => "is a mapping".to_owned(),
            Some(ValueKind::Array(_)) => "is a list".to_owned(),
            Some(ValueKind::I64(number)) => format!("{number} is a number"),
            Some(number) => format!("{number} is a number"),
        };
        self.fault(&message, Some(allowed))
    }
}

impl<'r> Section<'r> {
    /// Reports every key that is not one of these, with the nearest of them as a hint. The value of an
    /// unknown key is never printed: it may be a secret in the wrong place.
    #[must_use]
    pub fn only(self, keys: &[&str]) -> Self {
        for key in self.table.keys().filter(|key| !keys.contains(&key.as_str())) {
            let nearest = keys
                .iter()
                .map(|known| (strsim::jaro_winkler(key, known), known))
                .filter(|(likeness, _)| *likeness >= KEY_HINT_SIMILARITY)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let message = match nearest {
                Some((_, known)) => format!("unknown key, did you mean {known:?}?"),
                None => "unknown key".to_owned(),
            };
            let _: Option<()> = self.get(key).key_fault(&message, Some(&keys.join(", ")));
        }
        self
    }

    /// The item under a key, set or not.
    #[must_use]
    pub fn get(&self, key: &str) -> Item<'r> {
        Item { report: self.item.report, value: self.table.get(key), path: child(&self.item.path, key) }
    }

    /// Every key with its item, in alphabetical order.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'r str, Item<'r>)> {
        let mut entries: Vec<_> = self.table.keys().map(|key| (key.as_str(), self.get(key))).collect();
        entries.sort_by_key(|(key, _)| *key);
        entries
    }

    /// Reports a fault of the section as a whole; gives `None` to be handed on.
    pub fn fault<T>(&self, message: &str, allowed: Option<&str>) -> Option<T> {
        self.item.fault(message, allowed)
    }
}
