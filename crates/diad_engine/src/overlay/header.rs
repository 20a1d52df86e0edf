//! What an overlay says of itself.

use std::collections::BTreeSet;
use std::fmt::Display;

use diad_core::join::{MAX_WITNESSES, Share};
use diad_core::name::ProductName;
use serde::{Deserialize, Serialize};

use super::OverlayError;
use crate::digest::Digest;
use crate::foundation::{FoundationMark, is_name};

/// The format of headers that this engine reads and writes.
pub const FORMAT: u64 = 1;
/// Largest accepted length of a free text, in bytes.
const MAX_TEXT: usize = 4096;
/// Most digests of earlier overlays.
const MAX_HISTORY: usize = 1000;

/// The header of an overlay, format 1. An unknown field is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlayHeader {
    /// Always 1.
    pub format: u64,
    /// The product.
    pub product: String,
    /// The model whose maps it was made with, `sha256:…`; none if the file lies inside a bundle.
    pub model: Option<String>,
    /// The foundations of its banks.
    pub foundations: Vec<FoundationMark>,
    /// The witnesses, in the order in which they are recorded.
    pub join: Vec<JoinEntry>,
    /// Number of good parts that it was made of, at least 1.
    pub parts: u64,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// What it was made of, free text.
    pub source: String,
    /// Digests of the overlays that it replaces, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<String>,
    /// What the next `learn --add` needs of this one; nothing else reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn: Option<serde_json::Value>,
}

/// One witness: its weight, and its scale on good parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinEntry {
    /// `diad`, `latent` or `bank:<foundation>`.
    pub witness: String,
    /// Weight; all add up to 1.
    pub weight: f64,
    /// Mean of a good pixel, in the witness's unit.
    pub mean: f64,
    /// Standard deviation of a good pixel, in the witness's unit.
    pub sd: f64,
}

impl JoinEntry {
    /// The foundation of a witness with a bank.
    #[must_use]
    pub fn foundation(&self) -> Option<&str> {
        self.witness.strip_prefix("bank:")
    }
}

impl OverlayHeader {
    /// Reads and checks a header.
    pub(super) fn parse(text: &str) -> Result<Self, OverlayError> {
        #[derive(Deserialize)]
        struct OverlayHead {
            format: u64,
        }
        let head: OverlayHead = serde_json::from_str(text).map_err(OverlayError::Header)?;
        if head.format != FORMAT {
            return Err(OverlayError::Version(head.format));
        }
        let header: Self = serde_json::from_str(text).map_err(OverlayError::Header)?;
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), OverlayError> {
        let quoted = |text: &str| format!("{text:?}");
        let product = ProductName::try_new(&self.product).is_ok();
        expect(product, "product", &quoted(&self.product), "a product name")?;
        if let Some(model) = &self.model {
            let digest = model.strip_prefix("sha256:").is_some_and(|hex| Digest::try_from(hex.to_owned()).is_ok());
            expect(digest, "model", &quoted(model), "null, or sha256: and 64 hexadecimal digits")?;
        }
        expect(self.parts >= 1, "parts", &self.parts, "at least 1")?;
        for (field, text) in [("created_at", &self.created_at), ("source", &self.source)] {
            expect(text.len() <= MAX_TEXT, field, &format_args!("{} bytes", text.len()), "at most 4096 bytes")?;
        }
        let history = self.history.len();
        expect(history <= MAX_HISTORY, "history", &format_args!("{history} digests"), "at most 1000 digests")?;
        let count = self.join.len();
        expect((1..=MAX_WITNESSES).contains(&count), "join", &format_args!("{count} witnesses"), "1 to 8 witnesses")?;
        self.check_foundations()?;
        self.check_join()
    }

    fn check_foundations(&self) -> Result<(), OverlayError> {
        let mut seen = BTreeSet::new();
        for (index, mark) in self.foundations.iter().enumerate() {
            let used = self.join.iter().any(|entry| entry.foundation() == Some(&mark.name));
            let good = is_name(&mark.name) && seen.insert(&mark.name) && used;
            let allowed = "a foundation that has a bank, listed once";
            expect(good, &format!("foundations[{index}]"), &format_args!("{:?}", mark.name), allowed)?;
        }
        Ok(())
    }

    fn check_join(&self) -> Result<(), OverlayError> {
        let mut seen = BTreeSet::new();
        for (index, entry) in self.join.iter().enumerate() {
            let known = match entry.foundation() {
                Some(name) => self.foundations.iter().any(|mark| mark.name == name),
                None => matches!(entry.witness.as_str(), "diad" | "latent"),
            };
            let allowed = "diad, latent or bank:<one of foundations>, each once";
            let good = known && seen.insert(&entry.witness);
            expect(good, &format!("join[{index}].witness"), &format_args!("{:?}", entry.witness), allowed)?;
            Share::try_new(entry.weight, entry.mean, entry.sd).map_err(OverlayError::Join)?;
        }
        let sum: f64 = self.join.iter().map(|entry| entry.weight).sum();
        expect((sum - 1.0).abs() <= 1e-3, "join", &format_args!("weights that add up to {sum}"), "weights of sum 1")
    }
}

fn expect(holds: bool, field: &str, found: &dyn Display, allowed: &'static str) -> Result<(), OverlayError> {
    if holds {
        return Ok(());
    }
    Err(OverlayError::Field { field: field.to_owned(), found: found.to_string(), allowed })
}
