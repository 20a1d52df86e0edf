//! From the banks that thresholds name, and those that a model brings, to witnesses that are ready to judge.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use diad_core::foundation::Foundation;
use diad_core::join::Joined;
use diad_core::name::ProductName;
use diad_engine::{Bundle, Foundations, Overlay, OverlayError, verify_foundation};
use diad_publish::wire::Digest;

use super::Store;
use crate::chain::chain;
use crate::thresholds::{LoadWitnesses, NamedBank, ProductWitnesses, ThresholdSet};
use crate::yaml::Fault;

/// The overlays of products, each made ready once.
#[derive(Debug)]
pub struct Overlays {
    store: Option<Store>,
    /// As overlays name it.
    model: String,
    foundations: Arc<Foundations>,
    /// That of the model's representation, if it has one.
    latent: Option<Arc<dyn Foundation>>,
    /// What the model brings.
    of_bundle: BTreeMap<ProductName, Arc<Joined>>,
    ready: Mutex<BTreeMap<(ProductName, Digest), Arc<Joined>>>,
}

impl Overlays {
    /// Those of a model, and of what was learnt beside it; without a store, nothing was. Loads the foundations that the model
    /// needs.
    ///
    /// # Errors
    /// [`OverlayError::Foundation`] if one of them is not here.
    pub fn new(
        bundle: &Bundle,
        foundations: &Arc<Foundations>,
        model: Digest,
        store: Option<Store>,
    ) -> Result<Self, OverlayError> {
        let latent = latent(bundle, foundations)?;
        let mut of_bundle = BTreeMap::new();
        for entry in &bundle.manifest().overlays {
            let (product, overlay) = (ProductName::try_new(&entry.product), bundle.overlay(&entry.product));
            if let (Ok(product), Some(overlay)) = (product, overlay) {
                of_bundle.insert(product, Arc::new(overlay.joined(foundations, latent.as_ref())?));
            }
        }
        let foundations = Arc::clone(foundations);
        Ok(Self { store, model: model_name(model), foundations, latent, of_bundle, ready: Mutex::default() })
    }

    /// The witnesses of a product that the model brings.
    #[must_use]
    pub fn of_bundle(&self, product: &ProductName) -> Option<&Arc<Joined>> {
        self.of_bundle.get(product)
    }

    /// The witnesses of a product by the bank of this digest, which is kept. Reads the file and loads its foundations, the
    /// first time.
    ///
    /// # Errors
    /// [`OverlayError`]; each says what to do.
    pub fn kept(&self, product: &ProductName, digest: Digest) -> Result<Arc<Joined>, OverlayError> {
        let key = (product.clone(), digest);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(joined) = ready.get(&key) {
            return Ok(Arc::clone(joined));
        }
        let path = path(self.store.as_ref(), product, digest);
        let overlay = open(&path, product, digest, &self.model)?;
        let joined = Arc::new(overlay.joined(&self.foundations, self.latent.as_ref())?);
        ready.insert(key, Arc::clone(&joined));
        Ok(joined)
    }

    /// Forgets what no longer is in use: a line that goes on for months learns many times.
    fn keep_only(&self, set: &ThresholdSet) {
        let used = |product: &ProductName| set.bank(Some(product)).map(|bank| bank.digest);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|(product, digest), _| used(product) == Some(*digest));
    }
}

impl LoadWitnesses for Overlays {
    fn judges(&self, set: &ThresholdSet) -> Result<ProductWitnesses, Vec<Fault>> {
        let mut judges = self.of_bundle.clone();
        let mut faults = Vec::new();
        for (product, bank) in set.banks() {
            match self.kept(product, bank.digest) {
                Ok(joined) => {
                    judges.insert(product.clone(), joined);
                }
                Err(error) => faults.push(fault(bank, &error)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.keep_only(set);
        Ok(ProductWitnesses::new(judges))
    }
}

/// A fault for every bank of these thresholds that a station with this model could not use. Loads no network: the runtime is
/// not needed.
#[must_use]
pub fn check(set: &ThresholdSet, store: &Store, model: Digest, roots: &[PathBuf]) -> Vec<Fault> {
    let model = model_name(model);
    let sound = |product: &ProductName, bank: &NamedBank| -> Result<(), OverlayError> {
        let path = path(Some(store), product, bank.digest);
        let overlay = open(&path, product, bank.digest, &model)?;
        overlay.header().foundations.iter().try_for_each(|mark| {
            let refused = |source| OverlayError::Foundation { product: product.to_string(), source: Box::new(source) };
            verify_foundation(roots, &mark.name, mark.sha256).map_err(refused)
        })
    };
    set.banks().filter_map(|(product, bank)| Some(fault(bank, &sound(product, bank).err()?))).collect()
}

/// The foundation of a model's representation latent, if it has one: the very one that the model was made with.
///
/// # Errors
/// [`OverlayError::Foundation`].
pub fn latent(bundle: &Bundle, foundations: &Foundations) -> Result<Option<Arc<dyn Foundation>>, OverlayError> {
    let manifest = bundle.manifest();
    let wanted = manifest.representation.as_ref().map(|representation| &representation.foundation);
    let Some(mark) = manifest.foundations.iter().find(|mark| Some(&mark.name) == wanted) else { return Ok(None) };
    let refused = |source| OverlayError::Foundation { product: "every one".to_owned(), source: Box::new(source) };
    let foundation: Arc<dyn Foundation> = foundations.load_exact(&mark.name, mark.sha256).map_err(refused)?;
    Ok(Some(foundation))
}

fn fault(bank: &NamedBank, error: &OverlayError) -> Fault {
    bank.fault(chain(error), None)
}

/// Reads an overlay that must be this very file, of this product and model.
fn open(path: &Path, product: &ProductName, digest: Digest, model: &str) -> Result<Overlay, OverlayError> {
    let overlay = Overlay::open(path, Some(diad_engine::Digest::from_bytes(digest.to_bytes())))?;
    overlay.expect_product(product.as_str())?;
    overlay.expect_model(model)?;
    Ok(overlay)
}

fn path(store: Option<&Store>, product: &ProductName, digest: Digest) -> PathBuf {
    let file = || PathBuf::from(format!("{}.safetensors", digest.hex()));
    store.map_or_else(file, |store| store.shelf(product).path(digest))
}

/// A model as overlays name it.
#[must_use]
pub fn model_name(model: Digest) -> String {
    format!("sha256:{}", model.hex())
}
