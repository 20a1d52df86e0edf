//! Writes new cut-offs into a thresholds file as a person would: in place, with every comment and every other value
//! left as it is.

use std::collections::BTreeMap;

use config::{Value, ValueKind};
use diad_core::drift::{Reference, Signal};
use diad_core::name::ProductName;
use diad_core::score::Score;

use diad_publish::wire::Digest;

use super::reference as reference_key;
use super::{KEYS, OF_PRODUCT, ThresholdSet, bank};
use crate::yaml::fault::{child, nth};
use crate::yaml::{Document, Fault, Mark, Place, parse};

mod numbers;
mod removal;
#[cfg(test)]
mod tests;

pub use numbers::{reference, written};
pub use removal::{without_product, without_reference};

/// The cut-offs of one product, what the drift guard compares it with, and which bank its scores are made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cuts {
    /// At or above this, a person should look.
    pub review: Score,
    /// At or above this, the part is off.
    pub reject: Score,
    /// The signals that are known; what the file says of the others stays.
    pub reference: Reference,
    /// What becomes of the bank that the entry names.
    pub bank: BankEdit,
}

/// What becomes of the bank that a product's entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BankEdit {
    /// It stays, and so does an entry without one.
    Keep,
    /// The entry names this one.
    Set(Digest),
    /// The entry names none.
    Remove,
}

impl BankEdit {
    /// The bank of an entry after the edit.
    const fn after(self, before: Option<Digest>) -> Option<Digest> {
        match self {
            Self::Keep => before,
            Self::Set(digest) => Some(digest),
            Self::Remove => None,
        }
    }
}

/// A file that cannot be edited.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EditError {
    /// It was not valid before.
    #[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<Fault>),
    /// It is valid, but written so that the place to write to is not clear.
    #[error(
        "{file}: the place for {entry} is not clear; write it by hand: {entry}: {{ review: {review}, reject: {reject} }}"
    )]
    Unclear {
        /// The file.
        file: String,
        /// The product, or `default`.
        entry: String,
        /// Its new cut-off.
        review: Score,
        /// Its new cut-off.
        reject: Score,
    },
    /// It is valid, but written so that it is not clear what belongs to an entry.
    #[error("{file}: it is not clear which lines are those of {entry}; take the entry out by hand")]
    UnclearRemoval {
        /// The file.
        file: String,
        /// The product.
        entry: String,
    },
}

/// The text with new cut-offs for some products, and a note at its end. What the text says of all else is the same.
///
/// # Errors
/// [`EditError`].
pub fn with_cuts(text: &str, file: &str, cuts: &BTreeMap<ProductName, Cuts>, note: &str) -> Result<String, EditError> {
    let before = ThresholdSet::read(text, file).map_err(EditError::Faults)?;
    let mut edited = text.to_owned();
    for (product, new) in cuts {
        let Cuts { review, reject, .. } = new;
        let unclear = || EditError::Unclear {
            file: file.to_owned(),
            entry: product.to_string(),
            review: *review,
            reject: *reject,
        };
        edited = with_product(&edited, product, new).ok_or_else(unclear)?;
        // Whoever reads the file judges whether the edit was right.
        let after = ThresholdSet::read(&edited, file).map_err(|_| unclear())?;
        let got = after.for_product(Some(product));
        let names = || before.products().chain(after.products()).map(Some).chain([None]);
        let mut untouched = names().filter(|name| name.is_none_or(|name| !cuts.contains_key(name)));
        let mut reference = before.reference(Some(product));
        for signal in Signal::ALL {
            *reference.get_mut(signal) = new.reference.get(signal).or(reference.get(signal));
        }
        let bank = |set: &ThresholdSet, name| set.bank(name).map(|bank| bank.digest);
        let wanted_bank = new.bank.after(bank(&before, Some(product)));
        if (got.review(), got.reject(), after.reference(Some(product))) != (*review, *reject, reference)
            || bank(&after, Some(product)) != wanted_bank
            || untouched.any(|name| {
                before.for_product(name) != after.for_product(name)
                    || before.reference(name) != after.reference(name)
                    || bank(&before, name) != bank(&after, name)
            })
            || names().any(|name| before.mask(name) != after.mask(name))
        {
            return Err(unclear());
        }
    }
    Ok(noted(edited, note))
}

/// The text with new cut-offs for every product without its own, and a note at its end. What the text says of all else is
/// the same.
///
/// # Errors
/// [`EditError`]; `Faults` also where a product that takes one of its cut-offs from the default would get `review` above
/// `reject`.
pub fn with_default(text: &str, file: &str, review: Score, reject: Score, note: &str) -> Result<String, EditError> {
    let before = ThresholdSet::read(text, file).map_err(EditError::Faults)?;
    let unclear = || EditError::Unclear { file: file.to_owned(), entry: "default".to_owned(), review, reject };
    let mut edited = text.to_owned();
    for (key, value) in [("review", review), ("reject", reject)] {
        let document = parse(&edited, &Place::File { file: "".into(), mark: None }, "").map_err(|_| unclear())?;
        let spot = document.places.exact(&child("default", key)).and_then(|spot| mark(&spot.value));
        let replaced = spot.and_then(|mark| replace_scalar(&edited, mark, &value.to_string()));
        edited = replaced.ok_or_else(unclear)?;
    }
    let after = ThresholdSet::read(&edited, file).map_err(EditError::Faults)?;
    let (old, new) = (before.for_product(None), after.for_product(None));
    // A product keeps what is its own, and follows the default in what is not.
    let follows =
        |before: Score, after: Score, old: Score, new: Score| before == after || (before, after) == (old, new);
    let sound = |name: Option<&ProductName>| {
        let (was, is) = (before.for_product(name), after.for_product(name));
        follows(was.review(), is.review(), old.review(), new.review())
            && follows(was.reject(), is.reject(), old.reject(), new.reject())
            && was.min_area_px() == is.min_area_px()
            && (before.mask(name), before.reference(name)) == (after.mask(name), after.reference(name))
            && before.bank(name).map(|bank| bank.digest) == after.bank(name).map(|bank| bank.digest)
    };
    if (new.review(), new.reject()) != (review, reject)
        || !before.products().eq(after.products())
        || !before.products().map(Some).chain([None]).all(sound)
    {
        return Err(unclear());
    }
    Ok(noted(edited, note))
}

fn noted(mut text: String, note: &str) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str("# ");
    text.extend(note.chars().map(|c| if c.is_control() { ' ' } else { c }));
    text.push('\n');
    text
}

/// The text with all that is new of one product. None where there is no clear place for it.
fn with_product(text: &str, product: &ProductName, cuts: &Cuts) -> Option<String> {
    let text = with_cut_offs(text, product, cuts)?;
    let text = with_reference(text, product, cuts)?;
    with_bank(text, product, cuts.bank)
}

/// The text with the bank of one product, whose entry has a `reject` by now.
fn with_bank(text: String, product: &ProductName, edit: BankEdit) -> Option<String> {
    let path = child(&child("products", product.as_str()), "bank");
    let document = parse(&text, &Place::File { file: "".into(), mark: None }, "").ok()?;
    let spot = document.places.exact(&path);
    match (edit, spot) {
        (BankEdit::Keep, _) | (BankEdit::Remove, None) => Some(text),
        (BankEdit::Set(digest), Some(spot)) => replace_scalar(&text, mark(&spot.value)?, &bank::text(digest)),
        (BankEdit::Set(digest), None) => {
            insert_behind_reject(&text, &document, product, &format!("bank: {}", bank::text(digest)))
        }
        (BankEdit::Remove, Some(_)) => removal::without_key(&text, &document, &path),
    }
}

/// The text with the reference of one product.
fn with_reference(text: String, product: &ProductName, cuts: &Cuts) -> Option<String> {
    let path = child(&child("products", product.as_str()), "reference");
    let mut edited = text;
    // The last first: each goes before what is there.
    for signal in Signal::ALL.into_iter().rev() {
        let Some(spread) = cuts.reference.get(signal) else { continue };
        let document = parse(&edited, &Place::File { file: "".into(), mark: None }, "").ok()?;
        let inside = child(&path, signal.as_str());
        let item = format!("{signal}: {}", reference_key::text(spread), signal = signal.as_str());
        let spot = |path: &str| document.places.exact(path).and_then(|spot| mark(&spot.value));
        edited = match (spot(&nth(&inside, 0)), spot(&nth(&inside, 1))) {
            (Some(mean), Some(sd)) => {
                let edited = replace_scalar(&edited, sd, &spread.sd().to_string())?;
                replace_scalar(&edited, mean, &spread.mean().to_string())?
            }
            _ if spot(&inside).is_some() => return None,
            _ if spot(&path).is_some() => {
                let known = Signal::ALL.map(|signal| child(&path, signal.as_str()));
                let known = known.into_iter().filter(|path| document.places.exact(path).is_some());
                insert_into(&edited, &document, &path, known, &item)?
            }
            _ => insert_behind_reject(&edited, &document, product, &format!("reference: {{ {item} }}"))?,
        };
    }
    Some(edited)
}

/// Puts `item` into the mapping of a product, behind `reject`: on a line of its own, or behind a comma.
fn insert_behind_reject(text: &str, document: &Document, product: &ProductName, item: &str) -> Option<String> {
    let path = child("products", product.as_str());
    let reject = document.places.exact(&child(&path, "reject"))?;
    let entry = offset(text, mark(&document.places.exact(&path)?.value)?)?;
    if text[entry..].starts_with('{') {
        let at = offset(text, mark(&reject.value)?)?;
        let end = at + scalar_length(&text[at..]);
        return Some(format!("{}, {item}{}", &text[..end], &text[end..]));
    }
    let key = mark(&reject.key)?;
    Some(insert_line(text, key.line + 1, &format!("{}{item}", " ".repeat(key.column - 1))))
}

/// The text with the cut-offs of one product.
fn with_cut_offs(text: &str, product: &ProductName, Cuts { review, reject, .. }: &Cuts) -> Option<String> {
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
                let known = KEYS.iter().chain(&OF_PRODUCT).map(|key| child(&path, key));
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
    Some(format!("{}{value}{}", &text[..at], &text[at + scalar_length(&text[at..])..]))
}

/// Length of the plain scalar that a text begins with, in bytes.
fn scalar_length(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || ",}]#".contains(c)).unwrap_or(text.len())
}

/// Where a place is, in bytes.
fn offset(text: &str, Mark { line, column }: Mark) -> Option<usize> {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start..)?;
    let inside = rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at);
    Some(start + inside)
}
