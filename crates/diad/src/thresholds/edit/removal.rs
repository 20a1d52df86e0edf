//! Takes what a command wrote out of a thresholds file again, and leaves every other line as it is.

use diad_core::drift::Reference;
use diad_core::name::ProductName;

use super::{EditError, ThresholdSet, key_mark, mark, noted, offset, scalar_length};
use crate::yaml::fault::child;
use crate::yaml::{Document, Place, parse};

/// The text without the entry of a product, which the default judges from then on, and with a note at its end. A text
/// without such an entry gets the note alone.
///
/// # Errors
/// [`EditError`].
pub fn without_product(text: &str, file: &str, product: &ProductName, note: &str) -> Result<String, EditError> {
    let before = ThresholdSet::read(text, file).map_err(EditError::Faults)?;
    if !before.products().any(|known| known == product) {
        return Ok(noted(text.to_owned(), note));
    }
    let unclear = || EditError::UnclearRemoval { file: file.to_owned(), entry: product.to_string() };
    let document = parse(text, &Place::File { file: "".into(), mark: None }, "").map_err(|_| unclear())?;
    let path = child("products", product.as_str());
    let edited = without_key(text, &document, &path).ok_or_else(unclear)?;
    // Whoever reads the file judges whether the edit was right.
    let after = ThresholdSet::read(&edited, file).map_err(|_| unclear())?;
    let others = || before.products().filter(|known| *known != product);
    if !after.products().eq(others()) || !others().map(Some).chain([None]).all(|name| same(&before, &after, name)) {
        return Err(unclear());
    }
    Ok(noted(edited, note))
}

/// The text without what the drift guard compares a product with.
///
/// # Errors
/// [`EditError`].
pub fn without_reference(text: &str, file: &str, product: &ProductName) -> Result<String, EditError> {
    let before = ThresholdSet::read(text, file).map_err(EditError::Faults)?;
    let path = child(&child("products", product.as_str()), "reference");
    let unclear = || EditError::UnclearRemoval { file: file.to_owned(), entry: path.clone() };
    let document = parse(text, &Place::File { file: "".into(), mark: None }, "").map_err(|_| unclear())?;
    if document.places.exact(&path).is_none() {
        return Ok(text.to_owned());
    }
    let edited = without_key(text, &document, &path).ok_or_else(unclear)?;
    let after = ThresholdSet::read(&edited, file).map_err(|_| unclear())?;
    let others = before.products().filter(|known| *known != product).map(Some).chain([None]);
    let kept = |name: Option<&ProductName>| {
        before.for_product(name) == after.for_product(name) && before.mask(name) == after.mask(name)
    };
    let gone = after.reference(Some(product)) == Reference::default();
    if !gone || !kept(Some(product)) || !others.into_iter().all(|name| same(&before, &after, name)) {
        return Err(unclear());
    }
    Ok(edited)
}

/// Whether two files say the same of a product.
fn same(before: &ThresholdSet, after: &ThresholdSet, name: Option<&ProductName>) -> bool {
    before.for_product(name) == after.for_product(name)
        && before.mask(name) == after.mask(name)
        && before.reference(name) == after.reference(name)
        && before.bank(name).map(|bank| bank.digest) == after.bank(name).map(|bank| bank.digest)
}

/// The text without a key and its value: without its lines, or without what stands between two commas. None where it is not
/// clear what belongs to it.
pub(super) fn without_key(text: &str, document: &Document, path: &str) -> Option<String> {
    let spot = document.places.exact(path)?;
    let (key, value) = (key_mark(document, path)?, mark(&spot.value)?);
    let from = offset(text, key)?;
    let line_start = text[..from].rfind('\n').map_or(0, |at| at + 1);
    if !text[line_start..from].trim().is_empty() {
        let end = offset(text, value).map(|at| at + value_length(&text[at..]))?;
        return without_item(text, from, end);
    }
    let mut end = line_start;
    for (number, line) in text[line_start..].split_inclusive('\n').enumerate() {
        let indentation = line.chars().take_while(|c| *c == ' ').count();
        let belongs = number == 0 || (!line.trim().is_empty() && indentation >= key.column);
        if !belongs {
            break;
        }
        end += line.len();
    }
    Some(format!("{}{}", &text[..line_start], &text[end..]))
}

/// The text without an item of a flow mapping, and without one of the commas beside it.
fn without_item(text: &str, from: usize, end: usize) -> Option<String> {
    let (before, after) = (text.get(..from)?, text.get(end..)?);
    if let Some(rest) = after.trim_start().strip_prefix(',') {
        return Some(format!("{before}{}", rest.trim_start()));
    }
    match before.trim_end().strip_suffix(',') {
        Some(head) => Some(format!("{head}{after}")),
        None => Some(format!("{before}{}", after.trim_start())),
    }
}

/// Length of the value that a text begins with, in bytes: of a flow mapping up to its brace.
fn value_length(text: &str) -> usize {
    if !text.starts_with('{') {
        return scalar_length(text);
    }
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}
