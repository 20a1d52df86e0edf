//! Thresholds of a station: `config/thresholds.yaml`, saved by an operator, live while the line runs.
//!
//! [`ThresholdSet::read`] is pure: a text gives a set or every fault in it. [`LiveThresholds`] is what the
//! line judges by, and [`Watcher`] the only one who replaces it.

mod bank;
pub mod edit;
mod live;
mod mask;
mod reference;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use diad_core::drift::Reference;
use diad_core::join::Joined;
use diad_core::judge::Thresholds;
use diad_core::map::Mask;
use diad_core::name::ProductName;
use diad_core::score::Score;
use diad_publish::wire::Digest;

use crate::products::hint;
use crate::yaml::{Fault, Item, Place, Report, Section, digest, parse, text};

pub use bank::{LoadWitnesses, NamedBank, ProductWitnesses};
pub use live::{LiveThresholds, Saves};
pub use watch::{Change, POLL_EVERY, Watch, Watcher};

/// Largest least area, in frame pixels: the largest picture there is.
const MAX_AREA_PX: u32 = 16_384 * 16_384;

/// What may be said of a product.
const KEYS: [&str; 5] = ["review", "reject", "min_area_px", "roi", "ignore"];
/// What may be said of a product and not of the default.
const OF_PRODUCT: [&str; 2] = ["reference", "bank"];

/// The thresholds of every product, complete: what a product leaves out, the default gave.
#[derive(Debug, Clone, PartialEq)]
pub struct ThresholdSet {
    default: Entry,
    products: BTreeMap<ProductName, Entry>,
    references: BTreeMap<ProductName, Reference>,
    banks: BTreeMap<ProductName, NamedBank>,
    /// Those of the banks, once they are ready.
    judges: ProductWitnesses,
    digest: Digest,
}

/// What is said of one product.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    cuts: Thresholds,
    mask: Mask,
}

impl ThresholdSet {
    /// Reads a file.
    ///
    /// # Errors
    /// Every [`Fault`] that was found, in the order of the file; at least one.
    pub fn load(path: &Path) -> Result<Self, Vec<Fault>> {
        let text = text::load(path).map_err(|fault| vec![fault])?;
        Self::read(&text, &path.to_string_lossy())
    }

    /// Reads a text; `file` is the name that faults give. Cut-offs are numbers from 0 to 1 with
    /// `review <= reject`, areas and rectangles whole numbers of frame pixels.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn read(text: &str, file: &str) -> Result<Self, Vec<Fault>> {
        let place = Place::File { file: Arc::from(file), mark: None };
        let document = parse(text, &place, "").map_err(|fault| vec![fault])?;
        let report = Report::new(&document.places, document.faults);
        let set = Self::section(report.root(&document.value));
        match (set, report.into_faults()) {
            (Some(set), faults) if faults.is_empty() => Ok(set),
            (_, faults) => Err(faults),
        }
    }

    fn section(root: Item<'_>) -> Option<Self> {
        let keys = root.mapping()?.only(&["default", "products"]);
        let default = keys.get("default").mapping().and_then(|keys| entry(keys, None));
        let base = default.clone().or_else(widest);
        let (mut products, mut references) = (BTreeMap::new(), BTreeMap::new());
        let mut banks = BTreeMap::new();
        let section = keys.get("products").nullable(|item| item.mapping())?;
        for (name, item) in section.iter().flat_map(Section::entries) {
            let name: Option<ProductName> = match ProductName::try_new(name) {
                Ok(name) if products.contains_key(&name) => {
                    item.key_fault("is set twice: two keys are the same name in different Unicode forms", None)
                }
                Ok(name) => Some(name),
                Err(error) => item.key_fault(&error.to_string(), None),
            };
            let keys = item.mapping();
            let reference = keys.as_ref().and_then(|keys| reference::read(keys.get("reference")));
            let bank = keys.as_ref().and_then(|keys| bank::read(keys.get("bank"))).flatten();
            let entry = keys.and_then(|keys| entry(keys, base.as_ref()));
            banks.extend(name.clone().zip(bank));
            references.extend(name.clone().zip(reference));
            products.extend(name.zip(entry));
        }
        let default = default?;
        let named = products.iter().map(|(name, entry)| (name.as_str(), entry, banks.get(name)));
        let entries = std::iter::once(("", &default, None)).chain(named);
        let digest = digest(entries.map(|(name, Entry { cuts: t, mask }, bank)| {
            let (mask, bank) = (mask::words(mask), bank::words(bank));
            let (review, reject, area) = (t.review(), t.reject(), t.min_area_px());
            format!("{name:?} review={review} reject={reject} min_area_px={area}{mask}{bank}\n")
        }));
        Some(Self { default, products, references, banks, judges: ProductWitnesses::default(), digest })
    }

    /// The thresholds of a product; those of no product, or of one without its own, are the default.
    #[must_use]
    pub fn for_product(&self, product: Option<&ProductName>) -> Thresholds {
        self.entry(product).cuts
    }

    /// Which pixels count for a product; for no product, or one without its own entry, what the default says.
    #[must_use]
    pub fn mask(&self, product: Option<&ProductName>) -> &Mask {
        &self.entry(product).mask
    }

    fn entry(&self, product: Option<&ProductName>) -> &Entry {
        product.and_then(|name| self.products.get(name)).unwrap_or(&self.default)
    }

    /// The products with thresholds of their own, in alphabetical order.
    pub fn products(&self) -> impl Iterator<Item = &ProductName> {
        self.products.keys()
    }

    /// Whether a product has thresholds of its own.
    #[must_use]
    pub fn names(&self, product: &ProductName) -> bool {
        self.products.contains_key(product)
    }

    /// What is to be said of products that a model does not know, which knows those, and that were not learnt beside it: their
    /// thresholds judge no part, and a product that was meant by one of them is judged by the default. Allowed, for a model
    /// may come later.
    #[must_use]
    pub fn strangers(&self, known: &[String]) -> Vec<String> {
        self.products()
            .filter(|product| !known.iter().any(|known| ProductName::try_new(known).as_ref() == Ok(*product)))
            .filter(|product| self.bank(Some(product)).is_none())
            .map(|product| {
                let hint = hint(product.as_str(), known.iter().map(String::as_str));
                format!("the model does not know product {product}, only {}{hint}", known.join(", "))
            })
            .collect()
    }

    /// What the drift guard compares a product with; empty where the file says nothing of it.
    #[must_use]
    pub fn reference(&self, product: Option<&ProductName>) -> Reference {
        product.and_then(|name| self.references.get(name)).copied().unwrap_or_default()
    }

    /// The reference bank that a product's entry names: its cut-offs are for scores of that bank and of no other.
    #[must_use]
    pub fn bank(&self, product: Option<&ProductName>) -> Option<&NamedBank> {
        product.and_then(|name| self.banks.get(name))
    }

    /// The same thresholds with the witnesses that they name: ready to judge by.
    #[must_use]
    pub fn with(self, judges: ProductWitnesses) -> Self {
        Self { judges, ..self }
    }

    /// The witnesses of a product; none where the model judges alone.
    #[must_use]
    pub fn joined(&self, product: Option<&ProductName>) -> Option<&Joined> {
        self.judges.of(product).map(|joined| &**joined)
    }

    /// Every bank that is named, with its product, in alphabetical order.
    pub fn banks(&self) -> impl Iterator<Item = (&ProductName, &NamedBank)> {
        self.banks.iter()
    }

    /// Over the cut-offs, masks and banks of every product: the same for two files that mean the same. References do not count:
    /// they change no verdict.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Stands in for a faulty default, whose fault must not be reported again for every product.
fn widest() -> Option<Entry> {
    let cuts = Thresholds::try_new(Score::try_new(0.0).ok()?, Score::try_new(1.0).ok()?, 0).ok()?;
    Some(Entry { cuts, mask: Mask::EVERYTHING.clone() })
}

/// Reads one entry; what it leaves out is the base's. The default, which has no base, must be complete.
fn entry(keys: Section<'_>, base: Option<&Entry>) -> Option<Entry> {
    let of_product: &[_] = if base.is_some() { &OF_PRODUCT } else { &[] };
    let keys = keys.only(&[&KEYS[..], of_product].concat());
    let cut = |key, of_base: fn(&Thresholds) -> Score| {
        let item = keys.get(key);
        match base {
            Some(base) if !item.is_set() => Some(of_base(&base.cuts)),
            _ => score(&item),
        }
    };
    let review = cut("review", Thresholds::review);
    let reject = cut("reject", Thresholds::reject);
    let min_area_px = base.map_or(0, |base| base.cuts.min_area_px());
    let min_area_px = keys.get("min_area_px").or(min_area_px, |item| item.whole(0..=MAX_AREA_PX));
    let mask = mask::read(&keys, base.map_or(Mask::EVERYTHING, |base| &base.mask));
    match Thresholds::try_new(review?, reject?, min_area_px?) {
        Ok(cuts) => Some(Entry { cuts, mask: mask? }),
        Err(error) => keys.fault(&error.to_string(), None),
    }
}

fn score(item: &Item<'_>) -> Option<Score> {
    // Adding zero turns -0 into 0, which compares as what it looks like.
    let number = item.number(0.0..=1.0)? + 0.0;
    match Score::try_new(number as f32) {
        Ok(score) => Some(score),
        Err(error) => item.fault(&error.to_string(), None),
    }
}
