//! The keys `roi` and `ignore` of an entry.

use std::fmt::Write;

use diad_core::frame::{MAX_SIDE_PX, Roi};
use diad_core::map::Mask;

use crate::yaml::{Item, Section, rectangle};

/// Most rectangles that one product may ignore.
const MAX_IGNORED: usize = 64;

/// Reads both keys; one that is left out is the base's. `roi: null` is the whole picture, `ignore: []` ignores nothing.
/// An `ignore` without a value is a fault: it could mean either the base's or none.
pub(super) fn read(keys: &Section<'_>, base: &Mask) -> Option<Mask> {
    let item = keys.get("roi");
    let roi = if item.is_written() { item.nullable(picture) } else { Some(base.roi()) };
    let item = keys.get("ignore");
    let ignored = if item.is_written() { list(&item) } else { Some(base.ignored().to_vec()) };
    Some(Mask::new(roi?, ignored?))
}

fn list(item: &Item<'_>) -> Option<Vec<Roi>> {
    let items = item.list()?;
    if items.len() > MAX_IGNORED {
        return item.fault(&format!("lists {} rectangles", items.len()), Some("at most 64"));
    }
    // All of them first, so that all faults come out at once.
    let rectangles: Vec<_> = items.into_iter().map(picture).collect();
    rectangles.into_iter().collect()
}

/// A rectangle in the largest picture there is; that of the camera is not known here.
fn picture(item: Item<'_>) -> Option<Roi> {
    rectangle(item.mapping()?, (MAX_SIDE_PX, MAX_SIDE_PX))
}

/// The mask in the words of the digest; none where everything counts.
pub(super) fn words(mask: &Mask) -> String {
    let mut words = String::new();
    let rectangles = mask.roi().into_iter().map(|roi| ("roi", roi));
    for (key, Roi { x, y, width, height }) in rectangles.chain(mask.ignored().iter().map(|rect| ("ignore", *rect))) {
        // Writing to a `String` cannot fail.
        let _ = write!(words, " {key}={x},{y},{width},{height}");
    }
    words
}

#[cfg(test)]
mod tests;
