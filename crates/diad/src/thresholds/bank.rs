//! The key `bank` of a product's entry: which reference bank its scores are made with.

use diad_publish::wire::Digest;

use crate::yaml::{Fault, Item, Place};

/// What may stand there.
const ALLOWED: &str = "sha256: and 64 hexadecimal digits, as diad learn writes it";

/// A reference bank that an entry names, and where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBank {
    /// SHA-256 of its file.
    pub digest: Digest,
    place: Place,
    path: String,
}

impl NamedBank {
    /// A fault of the bank, at the place that names it.
    #[must_use]
    pub fn fault(&self, message: String, allowed: Option<&str>) -> Fault {
        Fault { place: self.place.clone(), path: self.path.clone(), message, allowed: allowed.map(str::to_owned) }
    }
}

/// Reads one; `None` inside where none is named.
pub(super) fn read(item: Item<'_>) -> Option<Option<NamedBank>> {
    item.nullable(|item| {
        let digest = item.parsed(Digest::try_from_hex, Some(ALLOWED))?;
        Some(NamedBank { digest, place: item.place(), path: item.path().to_owned() })
    })
}

/// The bank in the words of the digest; nothing where none is named.
pub(super) fn words(bank: Option<&NamedBank>) -> String {
    bank.map_or_else(String::new, |bank| format!(" bank={}", bank.digest.hex()))
}

/// The bank as the file names it.
pub(super) fn text(digest: Digest) -> String {
    format!("\"sha256:{}\"", digest.hex())
}
