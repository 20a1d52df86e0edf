//! By what a command judges a product: as the thresholds say, else as was learnt on this machine, else as the bundle has it.

use std::path::Path;
use std::sync::Arc;

use diad_core::join::Joined;
use diad_core::name::ProductName;
use diad_engine::{Bundle, FoundationLoadError, Foundations, OverlayError};
use diad_publish::wire::Digest;
use tracing::warn;

use super::{Overlays, Site, SiteError, StoreError};
use crate::chain::chain;
use crate::exit::Exit;
use crate::settings::Variable;
use crate::thresholds::ThresholdSet;

/// Finds the witnesses of products for one command.
#[derive(Debug)]
pub struct Witnesses<'a> {
    overlays: Overlays,
    /// None where it is not known where products are kept: nothing was learnt there.
    site: Option<Site>,
    thresholds: Option<&'a ThresholdSet>,
}

/// It is not possible to judge a product as it should be.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// What was learnt cannot be found out.
    #[error("find what was learnt")]
    Site(#[from] SiteError),
    /// What the model needs beside its networks is not here.
    #[error("load what products add to the model")]
    Model(#[source] Box<OverlayError>),
    /// The overlay of the product cannot be used.
    #[error("judge product {product} as it was learnt")]
    Overlay {
        /// The product.
        product: String,
        /// What is wrong with it.
        #[source]
        source: Box<OverlayError>,
    },
}

impl WitnessError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Site(error) => error.exit(),
            Self::Model(source) | Self::Overlay { source, .. } => match &**source {
                OverlayError::Foundation { source, .. } if matches!(**source, FoundationLoadError::Missing { .. }) => {
                    Exit::Unavailable
                }
                _ => Exit::BadData,
            },
        }
    }
}

impl<'a> Witnesses<'a> {
    /// For a model, at the station of `config` or for the user of this machine. With `thresholds` these say by which bank a
    /// product is judged, and nothing else does.
    ///
    /// # Errors
    /// [`WitnessError::Site`], [`WitnessError::Model`].
    pub fn of(
        (bundle, foundations, model): (&Bundle, &Arc<Foundations>, Digest),
        config: Option<&Path>,
        thresholds: Option<&'a ThresholdSet>,
        variables: &[Variable],
    ) -> Result<Self, WitnessError> {
        let site = match Site::of(config, variables) {
            Ok(site) => Some(site),
            Err(SiteError::Store(StoreError::NoFolder)) => None,
            Err(error) => return Err(error.into()),
        };
        let store = site.as_ref().map(|site| site.store().clone());
        let overlays =
            Overlays::new(bundle, foundations, model, store).map_err(|error| WitnessError::Model(Box::new(error)))?;
        Ok(Self { overlays, site, thresholds })
    }

    /// The witnesses of a product; none if the diffusion model judges it alone, as it does parts of no product.
    ///
    /// # Errors
    /// [`WitnessError`]. What was learnt with another model and is not named by thresholds is passed over with a warning:
    /// otherwise nobody could try another model.
    pub fn of_product(&self, product: Option<&ProductName>) -> Result<Option<Arc<Joined>>, WitnessError> {
        let Some(product) = product else { return Ok(None) };
        let bank = match (self.thresholds, &self.site) {
            (Some(set), _) => set.bank(Some(product)).map(|bank| bank.digest),
            (None, Some(site)) => site.current(product)?.now.bank,
            (None, None) => None,
        };
        let of_bundle = || Ok(self.overlays.of_bundle(product).cloned());
        let Some(bank) = bank else { return of_bundle() };
        match self.overlays.kept(product, bank) {
            Ok(joined) => Ok(Some(joined)),
            Err(error @ OverlayError::Model { .. }) if self.thresholds.is_none() => {
                warn!(%product, reason = %chain(&error), "what was learnt is not used");
                of_bundle()
            }
            Err(source) => Err(WitnessError::Overlay { product: product.to_string(), source: Box::new(source) }),
        }
    }
}
