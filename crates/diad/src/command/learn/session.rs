//! Networks, mask and region of one run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use diad_capture::read_image;
use diad_core::bank::Bank;
use diad_core::foundation::Foundation;
use diad_core::frame::Roi;
use diad_core::inspector::Inspector;
use diad_core::join::Share;
use diad_core::learning::{self, Latent, Trained};
use diad_core::map::Mask;
use diad_core::name::ProductName;
use diad_core::tensor::Shape;
use diad_engine::{Foundations, OnnxFoundation};
use diad_publish::wire::Digest;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::LearnError;
use super::pictures::Picture;
use super::trial::{Earlier, Ground, Trial};
use super::view::{FeatureReader, View};
use super::work::Work;
use crate::chain::chain;
use crate::cli::LearnArgs;
use crate::command::region::{Region, RegionError};
use crate::learnt::{Shelf, Site, overlays};
use crate::model::{ModelSpec, Parts};
use crate::settings::Variable;

/// What a progress bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Pictures that are read.
    Decode,
    /// Parts that the networks look at.
    Look,
    /// Banks that are made, and judge the parts that are not in them.
    Judge,
}

impl Phase {
    /// A bar on standard error; none where that is no terminal.
    pub(super) fn bar(self, length: Option<usize>) -> ProgressBar {
        let words = match self {
            Self::Decode => "reading pictures",
            Self::Look => "looking at parts",
            Self::Judge => "judging held-out parts",
        };
        let bar = length.map_or_else(ProgressBar::new_spinner, |length| ProgressBar::new(length as u64));
        let template = match length {
            None => "{msg} {pos}",
            Some(_) => "{msg:22} {wide_bar} {pos}/{len}, {eta} left",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        bar.with_message(words)
    }
}

/// Everything that a run works with.
pub(super) struct Session {
    pub(super) site: Site,
    pub(super) shelf: Shelf,
    pub(super) product: ProductName,
    /// The model.
    pub(super) model: Digest,
    pub(super) foundations: Vec<Arc<OnnxFoundation>>,
    /// Names of the model's own witnesses; the banks follow them.
    own: Vec<&'static str>,
    weights: Vec<f64>,
    looker: FeatureReader,
    shapes: Vec<Shape>,
    region: Region,
    pub(super) mask: Mask,
    map: diad_core::map::MapSettings,
    rule: diad_core::score::ScoreRule,
    rows: usize,
    seed: u64,
    work: Work,
}

/// For whom the product is learnt.
pub(super) fn site(args: &LearnArgs, variables: &[Variable]) -> Result<Site, LearnError> {
    Ok(Site::of(args.camera.config.as_deref(), variables)?)
}

impl Session {
    /// Loads the model, and the foundations with these names; all that are at hand if none is named.
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn open(
        args: &LearnArgs,
        site: Site,
        shelf: Shelf,
        names: &[String],
        variables: &[Variable],
    ) -> Result<Self, LearnError> {
        let region = Region::of(&args.camera, variables)?;
        let mask = match site.set()? {
            Some(set) => set.mask(Some(&args.product)).clone(),
            None => Mask::EVERYTHING.clone(),
        };
        let spec = ModelSpec::meant(args.model.as_deref(), args.camera.config.as_deref(), variables)
            .map_err(RegionError::Settings)?;
        let parts = Parts::load(&spec, variables)?;
        let foundations = foundations(&parts.foundations, names)?;
        let trained = match parts.bundle.manifest().products.iter().any(|known| known == args.product.as_str()) {
            true => Trained::OnProduct,
            false => Trained::OnOthers,
        };
        let (map, rule) = (parts.method.map.clone(), parts.method.score);
        let steps: Vec<_> = parts.method.ddim.updates().iter().map(|update| update.step.get()).collect();
        let inspector = Inspector::try_new(parts.engine, parts.method)?;
        let latent = overlays::latent(&parts.bundle, &parts.foundations).map_err(LearnError::of_overlay)?;
        let (own, beside) = match &latent {
            Some(_) => (vec!["diad", "latent"], Latent::Beside),
            None => (vec!["diad"], Latent::None),
        };
        let looker = FeatureReader::new(inspector, latent, &foundations)?;
        let digests: Vec<String> = foundations.iter().map(|foundation| foundation.sha256().to_string()).collect();
        let setting = format!("{} steps {steps:?} {}", parts.digest.hex(), digests.join(" "));
        Ok(Self {
            work: Work::open(shelf.work(), setting),
            site,
            shelf,
            product: args.product.clone(),
            model: parts.digest,
            weights: learning::weights(trained, beside, foundations.len()),
            foundations,
            own,
            shapes: looker.shapes(),
            looker,
            region,
            mask,
            map,
            rule,
            rows: args.rows as usize,
            seed: args.seed,
        })
    }

    /// Names of all witnesses, the model's own first.
    pub(super) fn witnesses(&self) -> Vec<String> {
        let own = self.own.iter().map(|name| (*name).to_owned());
        own.chain(self.foundations.iter().map(|f| diad_core::join::bank_name(f.name()))).collect()
    }

    /// Shapes of the patches of each foundation.
    pub(super) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Looks at pictures, or finds what an earlier run saw of them.
    ///
    /// # Errors
    /// [`LearnError::Picture`].
    pub(super) fn look_at(&mut self, pictures: &[&Picture]) -> Result<Vec<View>, LearnError> {
        let bar = Phase::Look.bar(Some(pictures.len()));
        let mut views = Vec::with_capacity(pictures.len());
        for picture in pictures {
            views.push(self.look(picture, None)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(views)
    }

    /// Looks at one picture, in the region of the run's camera or in `region`.
    pub(super) fn look(&mut self, picture: &Picture, region: Option<Option<Roi>>) -> Result<View, LearnError> {
        let failed = |reason| LearnError::Picture { path: picture.path.clone(), reason };
        let (width, height) = picture.size();
        let whole = Roi { x: 0, y: 0, width, height };
        let roi = region.unwrap_or_else(|| self.region.roi()).unwrap_or(whole);
        if let Some(view) = self.work.read(&picture.pixels, roi) {
            return Ok(view);
        }
        let pixels = read_image(&picture.path).map_err(|error| failed(chain(&error)))?;
        let pixels = pixels.view().map_err(|error| failed(chain(&error)))?;
        let view = self.looker.look(pixels, roi).map_err(failed)?;
        self.work.write(&picture.pixels, roi, &view, self.looker.size());
        Ok(view)
    }

    /// Judges every part by banks of the others; see [`Ground::cross_validate`].
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn cross_validate(
        &self,
        views: &[View],
        aside: &BTreeSet<usize>,
        earlier: Option<&Earlier>,
    ) -> Result<Trial, LearnError> {
        let bar = Phase::Judge.bar(Some(learning::Folds::of(views.len()).count() * self.foundations.len()));
        let trial = self.ground().cross_validate(views, aside, earlier, &|| bar.inc(1));
        bar.finish_and_clear();
        trial
    }

    /// Judges parts by given banks on a given scale.
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn scores(&self, views: &[View], banks: &[Bank], shares: &[Share]) -> Result<Vec<f32>, LearnError> {
        let peaks = self.ground().peaks(views, banks, shares)?;
        Ok(peaks.iter().map(|peak| peak.score.get()).collect())
    }

    /// The banks of all parts; beside those of earlier ones, if there were any: their number and what was learnt of them.
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn banks(&self, views: &[View], earlier: Option<(u64, &Earlier)>) -> Result<Vec<Bank>, LearnError> {
        let ground = self.ground();
        match earlier {
            Some((parts, earlier)) => {
                let share = views.len() as f64 / (parts as f64 + views.len() as f64);
                let more = (self.rows as f64 * share).ceil() as usize;
                let candidates = (0..self.shapes.len()).map(|foundation| ground.candidates(foundation, views.iter()));
                ground.extended(&earlier.banks, &candidates.collect::<Vec<_>>(), more)
            }
            None => ground.all_banks(views),
        }
    }

    /// What all parts are judged with.
    pub(super) fn ground(&self) -> Ground<'_> {
        Ground {
            shapes: self.shapes.clone(),
            own: self.own.len(),
            weights: self.weights.clone(),
            size: self.looker.size(),
            map: self.map.clone(),
            rule: self.rule,
            mask: &self.mask,
            rows: self.rows,
            seed: self.seed,
        }
    }

    /// Refuses to go on if another mask is in the thresholds by now: the cut-offs would not fit its scores.
    ///
    /// # Errors
    /// [`LearnError::Changed`].
    pub(super) fn expect_same_mask(&self) -> Result<(), LearnError> {
        let same = self.site.set()?.is_none_or(|set| *set.mask(Some(&self.product)) == self.mask);
        if same { Ok(()) } else { Err(LearnError::Changed { product: self.product.clone() }) }
    }

    /// The run is done: what it worked out is no longer needed.
    pub(super) fn finish(&self) {
        self.work.clear();
    }
}

/// Every foundation at hand, or those that were named.
fn foundations(machine: &Foundations, named: &[String]) -> Result<Vec<Arc<OnnxFoundation>>, LearnError> {
    let names = if named.is_empty() { machine.at_hand() } else { named.to_vec() };
    if names.is_empty() {
        return Err(LearnError::NoFoundation { roots: machine.roots().to_vec() });
    }
    names.iter().map(|name| machine.load(name).map_err(LearnError::of_foundation)).collect()
}
