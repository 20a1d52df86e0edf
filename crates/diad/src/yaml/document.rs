//! Turns a YAML text into values that know where they stand.
//!
//! Plain YAML only: one document, mappings with plain keys, no anchors, aliases, tags or directives, and
//! bounds on nesting and size, so that a small file cannot become a large tree.

use std::borrow::Cow;
use std::collections::hash_map::Entry;

use config::{Map, Value, ValueKind};
use diad_core::name::{is_invisible, shown};
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError};

use super::fault::{Fault, Mark, Place, Places, child, nth};

/// Deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 32;
/// Most values in one document.
const MAX_VALUES: usize = 10_000;
/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// A parsed text.
#[derive(Debug)]
pub struct Document {
    /// The root value. Integers are `I64`, or `Float` where they are too large for it.
    pub value: Value,
    /// Where each value stands.
    pub places: Places,
    /// Faults that did not stop the reading: duplicate keys, of which the first counts.
    pub faults: Vec<Fault>,
}

/// Parses one YAML document, set at `path` of the settings (empty for a whole file).
///
/// # Errors
/// The [`Fault`] that stopped the parser: broken syntax (a tab among it), or YAML that settings do not use.
pub fn parse(text: &str, place: &Place, path: &str) -> Result<Document, Fault> {
    let mut options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(text, options),
        text,
        place,
        root: path,
        places: Places::new(place.at(Mark { line: 1, column: 1 })),
        faults: Vec::new(),
        values: 0,
    };
    let value = builder.document()?;
    Ok(Document { value, places: builder.places, faults: builder.faults })
}

struct Builder<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    text: &'t str,
    place: &'t Place,
    root: &'t str,
    places: Places,
    faults: Vec<Fault>,
    values: usize,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Value, Fault> {
        let path = self.root;
        let mut root = None;
        loop {
            let (event, mark) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(self.fault(mark, path, "a second document begins", Some("one document in a file")));
                }
                Event::DocumentStart(..) => {
                    let (event, mark) = self.next()?;
                    self.places.note_whole(path, &self.place.at(mark));
                    root = Some(self.node(event, mark, path)?);
                }
                Event::StreamEnd => {
                    self.places.note_whole(path, &self.place.at(mark));
                    return Ok(root.unwrap_or_else(|| Value::new(None, ValueKind::Nil)));
                }
                _ => return Err(self.fault(mark, path, "is not a YAML document", None)),
            }
        }
    }

    fn node(&mut self, event: Event<'t>, mark: Mark, path: &str) -> Result<Value, Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.fault(mark, path, "holds too many values", Some("at most 10000 in a file")));
        }
        let kind = match event {
            Event::Alias(_) | Event::UnresolvedAlias(_) => return Err(self.reference(mark, path)),
            Event::Scalar(_, _, 1.., _)
            | Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, 1.., _)
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, 1.., _)
            | Event::MappingStart(_, _, Some(_)) => return Err(self.reference(mark, path)),
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(text),
            Event::Scalar(text, ..) => ValueKind::String(text.into_owned()),
            Event::SequenceStart(..) => self.list(path)?,
            Event::MappingStart(..) => self.mapping(path)?,
            _ => return Err(self.fault(mark, path, "has no value", None)),
        };
        Ok(Value::new(None, kind))
    }

    fn list(&mut self, path: &str) -> Result<ValueKind, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, mark) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(ValueKind::Array(items));
            }
            let path = nth(path, items.len());
            self.places.note_whole(&path, &self.place.at(mark));
            items.push(self.node(event, mark, &path)?);
        }
    }

    fn mapping(&mut self, path: &str) -> Result<ValueKind, Fault> {
        let mut table: Map<String, Value> = Map::new();
        loop {
            let (event, key_mark) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(ValueKind::Table(table)),
                Event::Scalar(text, _, 0, None) if text.len() <= MAX_KEY_BYTES => text.into_owned(),
                Event::Scalar(_, _, 0, None) => {
                    return Err(self.fault(key_mark, path, "a key is too long", Some("at most 128 bytes")));
                }
                Event::SequenceStart(_, 0, None) | Event::MappingStart(_, 0, None) => {
                    return Err(self.fault(key_mark, path, "a key is a list or a mapping", Some("a name as key")));
                }
                _ => return Err(self.reference(key_mark, path)),
            };
            let path = child(path, &key);
            let (event, mark) = self.next()?;
            self.places.note(&path, self.place.at(key_mark), self.place.at(mark));
            let value = self.node(event, mark, &path)?;
            match table.entry(key) {
                Entry::Vacant(vacant) => {
                    vacant.insert(value);
                }
                Entry::Occupied(_) => self.twice(key_mark, &path),
            }
        }
    }

    fn twice(&mut self, mark: Mark, path: &str) {
        let message = match self.places.of_key(path) {
            Place::File { mark: Some(first), .. } => format!("is set twice, first in line {}", first.line),
            _ => "is set twice".to_owned(),
        };
        let fault = self.fault(mark, path, &message, None);
        self.faults.push(fault);
    }

    fn next(&mut self) -> Result<(Event<'t>, Mark), Fault> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, mark_of(&span.start))),
            Some(Err(error)) => Err(self.syntax(&error)),
            // The parser ends with `StreamEnd`, after which nothing is asked for.
            None => Ok((Event::StreamEnd, Mark { line: 1, column: 1 })),
        }
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            let allowed = format!("at most {MAX_DEPTH} levels");
            return self.fault(mark_of(error.marker()), self.root, "is nested too deeply", Some(&allowed));
        }
        let info = error.info();
        if let Some((mark, character)) = invisible_in(self.text, error.marker().line()) {
            let message = format!("is not valid YAML: {} stands here, which cannot be seen", shown(character));
            return self.fault(mark, self.root, &message, Some("visible characters and plain blanks"));
        }
        match tab_in_indentation(self.text) {
            // The parser points at what it was reading when it met the tab, which may be lines above.
            Some(mark) if mark.line >= error.marker().line() => {
                self.fault(mark, self.root, "a tab stands in the indentation", Some("spaces"))
            }
            _ => self.fault(mark_of(error.marker()), self.root, &format!("is not valid YAML: {info}"), None),
        }
    }

    fn reference(&self, mark: Mark, path: &str) -> Fault {
        self.fault(mark, path, "uses an anchor, alias or tag", Some("plain values only"))
    }

    fn fault(&self, mark: Mark, path: &str, message: &str, allowed: Option<&str>) -> Fault {
        Fault {
            place: self.place.at(mark),
            path: path.to_owned(),
            message: message.to_owned(),
            allowed: allowed.map(str::to_owned),
        }
    }
}

fn mark_of(marker: &Marker) -> Mark {
    Mark { line: marker.line().max(1), column: marker.col() + 1 }
}

/// The first invisible character of the lines up to this one, counted from 1, outside of comments.
fn invisible_in(text: &str, last: usize) -> Option<(Mark, char)> {
    text.lines().take(last).enumerate().find_map(|(index, line)| {
        // A mark of the byte order, at the very beginning, is the reader's business.
        let hidden = |(column, character): &(usize, char)| is_invisible(*character) && (index, *column) != (0, 0);
        let written = line.find(" #").map_or(line, |comment| &line[..comment]);
        let (column, character) = written.chars().enumerate().find(hidden).filter(|_| !line.starts_with('#'))?;
        Some((Mark { line: index + 1, column: column + 1 }, character))
    })
}

fn tab_in_indentation(text: &str) -> Option<Mark> {
    text.lines().enumerate().find_map(|(index, line)| {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        let column = line[..indentation].find('\t')? + 1;
        Some(Mark { line: index + 1, column })
    })
}

/// Gives an unquoted scalar the type that the YAML 1.2 core schema says: `yes`, `on` and `1_000` are text.
fn plain(text: Cow<'_, str>) -> ValueKind {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return ValueKind::Nil,
        "true" | "True" | "TRUE" => return ValueKind::Boolean(true),
        "false" | "False" | "FALSE" => return ValueKind::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => return ValueKind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return ValueKind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return ValueKind::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let radix = |prefix, radix| {
        let digits = text.strip_prefix(prefix)?;
        if digits.starts_with(['+', '-']) { None } else { i64::from_str_radix(digits, radix).ok() }
    };
    if let Some(integer) = text.parse().ok().or_else(|| radix("0x", 16)).or_else(|| radix("0o", 8)) {
        return ValueKind::I64(integer);
    }
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match text.parse() {
        Ok(number) if numeric => ValueKind::Float(number),
        _ => ValueKind::String(text.into_owned()),
    }
}
