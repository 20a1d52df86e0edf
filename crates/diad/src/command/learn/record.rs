//! What an overlay remembers of how it was learnt: what the next `--add` needs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The part of an overlay's header that belongs to `learn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The first 32 hexadecimal digits of the SHA-256 of every picture, of its pixels.
    pub(super) pictures: BTreeSet<String>,
    /// The scores of parts that were held out, on the scale of the overlay.
    pub(super) scores: Vec<f32>,
    /// Brightness and sharpness of the same parts.
    pub(super) looks: Vec<[f32; 2]>,
    /// Largest share of good parts that may be rejected, as asked for.
    pub(super) max_false_reject: f64,
    /// Largest share that a person may have to look at, as asked for.
    pub(super) max_review: f64,
    /// How sure both have to be.
    pub(super) confidence: f64,
}

/// A picture as a record names it.
pub(super) fn name(pixels: &[u8; 32]) -> String {
    pixels[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
