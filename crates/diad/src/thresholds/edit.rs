//! Writes new cut-offs into a thresholds file as a person would: in place, with every comment and every other value
//! left as it is.

use std::collections::BTreeMap;

use config::{Value, ValueKind};
use diad_core::name::ProductName;
use diad_core::score::Score;

use super::ThresholdSet;
use crate::yaml::fault::child;
use crate::yaml::{Document, Fault, Mark, Place, parse};

#[cfg(test)]
mod tests;

/// The cut-offs of one product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cuts {
    /// At or above this, a person should look.
    pub review: Score,
    /// At or above this, the part is off.
    pub reject: Score,
}

/// A file that cannot be edited.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EditError {
    /// It was not valid before.
    #[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<Fault>),
    /// It is valid, but written so that the place to write to is not clear.
    #[error(
        "{file}: the place for {product} is not clear; write it by hand: {product}: {{ review: {review}, reject: {reject} }}"
    )]
    Unclear {
        /// The file.
        file: String,
        /// The product.
        product: ProductName,
        /// Its new cut-off.
        review: Score,
        /// Its new cut-off.
        reject: Score,
    },
}

/// The text with new cut-offs for some products, and a note at its end. What the text says of all else is the same.
///
/// # Errors
/// [`EditError`].
pub fn with_cuts(text: &str, file: &str, cuts: &BTreeMap<ProductName, Cuts>, note: &str) -> Result<String, EditError> {
    let before = ThresholdSet::read(text, file).map_err(EditError::Faults)?;
    let mut edited = text.to_owned();
    for (product, Cuts { review, reject }) in cuts {
        let unclear =
            || EditError::Unclear { file: file.to_owned(), product: product.clone(), review: *review, reject: *reject };
        edited = with_product(&edited, product, Cuts { review: *review, reject: *reject }).ok_or_else(unclear)?;
        // Whoever reads the file judges whether the edit was right.
        let after = ThresholdSet::read(&edited, file).map_err(|_| unclear())?;
        let got = after.for_product(Some(product));
        let untouched = before.products().chain(after.products()).filter(|name| !cuts.contains_key(*name));
        let kept = untouched.map(Some).chain([None]);
        if (got.review(), got.reject()) != (*review, *reject)
            || kept.into_iter().any(|name| before.for_product(name) != after.for_product(name))
        {
            return Err(unclear());
        }
    }
    if !edited.ends_with('\n') {
        edited.push('\n');
    }
    edited.push_str("# ");
    edited.extend(note.chars().map(|c| if c.is_control() { ' ' } else { c }));
    edited.push('\n');
    Ok(edited)
}

/// The text with the cut-offs of one product. None where there is no clear place for them.
fn with_product(text: &str, product: &ProductName, Cuts { review, reject }: Cuts) -> Option<String> {
    let place = Place::File { file: "".into(), mark: None };
    let document = parse(text, &place, "").ok()?;
    let products = table(&document.value)?.get("products");
    let entry = products.and_then(table).and_then(|products| products.get(product.as_str()));
    let inline = format!("{product}: {{ review: {review}, reject: {reject} }}");
    if entry.and_then(table).is_none() {
        return match products.map(|products| &products.kind) {
            None => Some(format!("{}products:\n  {inline}\n", ended(text))),
            Some(ValueKind::Nil) => {
                let line = key_mark(&document, "products")?.line;
                // Nothing may stand behind the colon but a comment.
                let written = text.lines().nth(line - 1)?.split('#').next()?.trim_end();
                written.ends_with(':').then(|| insert_line(text, line + 1, &format!("  {inline}")))
            }
            Some(ValueKind::Table(known)) => {
                let names = known.keys().map(|name| child("products", name));
                insert_into(text, &document, "products", names, &inline)
            }
            Some(_) => None,
        };
    }
    let path = child("products", product.as_str());
    let mut edited = text.to_owned();
    for (key, value) in [("review", review), ("reject", reject)] {
        let document = parse(&edited, &place, "").ok()?;
        let inside = child(&path, key);
        edited = match document.places.exact(&inside) {
            Some(spot) => replace_scalar(&edited, mark(&spot.value)?, &value.to_string())?,
            None => {
                let known = ["review", "reject", "min_area_px"].map(|key| child(&path, key));
                let known = known.into_iter().filter(|path| document.places.exact(path).is_some());
                insert_into(&edited, &document, &path, known, &format!("{key}: {value}"))?
            }
        };
    }
    Some(edited)
}

fn table(value: &Value) -> Option<&config::Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

fn mark(place: &Place) -> Option<Mark> {
    match place {
        Place::File { mark, .. } => *mark,
        Place::Environment { .. } => None,
    }
}

fn key_mark(document: &Document, path: &str) -> Option<Mark> {
    mark(&document.places.exact(path)?.key)
}

/// Puts `item` into the mapping at `path`, before what is there: on a line of its own, or behind the opening brace.
fn insert_into(
    text: &str,
    document: &Document,
    path: &str,
    children: impl Iterator<Item = String>,
    item: &str,
) -> Option<String> {
    let at = offset(text, mark(&document.places.exact(path)?.value)?)?;
    let first = children.filter_map(|child| key_mark(document, &child)).min();
    if text[at..].starts_with('{') {
        let comma = if first.is_some() { "," } else { " " };
        return Some(format!("{} {item}{comma}{}", &text[..=at], &text[at + 1..]));
    }
    let first = first?;
    Some(insert_line(text, first.line, &format!("{}{item}", " ".repeat(first.column - 1))))
}

/// The text with a new line that will be line `number`, from 1.
fn insert_line(text: &str, number: usize, line: &str) -> String {
    let text = ended(text);
    let at: usize = text.split_inclusive('\n').take(number - 1).map(str::len).sum();
    format!("{}{line}\n{}", &text[..at], &text[at..])
}

fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// The text with another plain scalar at a place.
fn replace_scalar(text: &str, mark: Mark, value: &str) -> Option<String> {
    let at = offset(text, mark)?;
    let length = text[at..].find(|c: char| c.is_whitespace() || ",}#".contains(c)).unwrap_or(text.len() - at);
    Some(format!("{}{value}{}", &text[..at], &text[at + length..]))
}

/// Where a place is, in bytes.
fn offset(text: &str, Mark { line, column }: Mark) -> Option<usize> {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start..)?;
    let inside = rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at);
    Some(start + inside)
}
