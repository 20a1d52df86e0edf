//! The key `bank` of a product's entry: which reference bank its scores are made with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use diad_core::join::Joined;
use diad_core::name::ProductName;
use diad_publish::wire::Digest;

use super::ThresholdSet;

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

/// The witnesses of products, ready to judge.
#[derive(Debug, Clone, Default)]
pub struct ProductWitnesses(BTreeMap<ProductName, Arc<Joined>>);

/// Makes ready what thresholds name.
pub trait LoadWitnesses: fmt::Debug + Send + Sync {
    /// The witnesses of every product that has any: those of the bank that its entry names, else those that the model brings.
    ///
    /// # Errors
    /// A [`Fault`] for every bank that cannot be used, at the place that names it.
    fn judges(&self, set: &ThresholdSet) -> Result<ProductWitnesses, Vec<Fault>>;
}

impl ProductWitnesses {
    /// Takes the witnesses of each product.
    #[must_use]
    pub const fn new(by_product: BTreeMap<ProductName, Arc<Joined>>) -> Self {
        Self(by_product)
    }

    /// The witnesses of a product; none where the model judges alone.
    #[must_use]
    pub fn of(&self, product: Option<&ProductName>) -> Option<&Arc<Joined>> {
        product.and_then(|name| self.0.get(name))
    }
}

/// Which bank each product has, its entry says: the same products are the same.
impl PartialEq for ProductWitnesses {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}

/// A fault for every bank, where none can be used.
pub(super) fn refuse_all(set: &ThresholdSet) -> Result<ProductWitnesses, Vec<Fault>> {
    let fault = |(_, bank): (_, &NamedBank)| bank.fault("no banks are at hand here".to_owned(), None);
    let faults: Vec<Fault> = set.banks().map(fault).collect();
    if faults.is_empty() { Ok(ProductWitnesses::default()) } else { Err(faults) }
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
