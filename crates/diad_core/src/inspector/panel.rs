//! The witnesses of one part beside the diffusion model, and the join of their maps.

use std::sync::Arc;

use super::representation::LatentDiad;
use super::{ArrayName, InspectError, MethodError, Probe, Stage, bad, show};
use crate::bank::Search;
use crate::foundation::Foundation;
use crate::frame::{PixelsView, Roi};
use crate::graphs::Graphs;
use crate::join::{Joined, MAX_WITNESSES, WitnessKind};
use crate::map::{Alignment, AnomalyMap, Counted, Enlarger, Joiner, MapSettings};
use crate::prepare::Preparer;
use crate::score::{PeakFinder, Score};
use crate::tensor::Tensor;

/// What one witness says of a part.
#[derive(Debug, Clone)]
pub struct WitnessMap {
    name: Arc<str>,
    score: Score,
    raw: AnomalyMap,
}

impl WitnessMap {
    /// `diad`, `latent` or `bank:<foundation>`.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The score that the part would have by this witness alone: 1.0 is 100 standard deviations of a good pixel.
    #[must_use]
    pub const fn score(&self) -> Score {
        self.score
    }

    /// Its map before smoothing, all of it, in the witness's own unit.
    #[must_use]
    pub const fn raw(&self) -> &AnomalyMap {
        &self.raw
    }
}

/// The buffers of all witnesses. Kept from part to part: a part whose foundations and number of witnesses have been seen
/// costs no allocation.
#[derive(Debug)]
pub(super) struct Panel {
    width: u32,
    height: u32,
    /// One per foundation that a witness has asked.
    views: Vec<View>,
    /// For every witness of the part in hand, the place of its foundation's view.
    places: Vec<Option<usize>>,
    latent: Option<(LatentDiad, Enlarger)>,
    search: Search,
    joiner: Joiner,
    maps: Vec<WitnessMap>,
    count: usize,
}

/// A part as one foundation sees it.
#[derive(Debug)]
struct View {
    foundation: Arc<dyn Foundation>,
    preparer: Preparer,
    image: Tensor,
    patches: Tensor,
    /// Distances to the bank.
    distance: Tensor,
    enlarger: Enlarger,
    /// Whether it shows the part in hand.
    fresh: bool,
}

impl View {
    fn try_new(foundation: Arc<dyn Foundation>, (width, height): (u32, u32)) -> Result<Self, MethodError> {
        let [_, _, h, w] = foundation.shape();
        let distance = Tensor::zeros([1, 1, h, w]);
        let enlarger = Enlarger::try_new(distance.shape(), Alignment::Centres, width, height);
        Ok(Self {
            preparer: Preparer::try_new(*foundation.input()).map_err(MethodError::Input)?,
            image: Tensor::zeros(foundation.input().shape()),
            patches: Tensor::zeros(foundation.shape()),
            distance,
            enlarger: enlarger.map_err(MethodError::Map)?,
            foundation,
            fresh: false,
        })
    }
}

impl Panel {
    pub(super) fn try_new(
        settings: &MapSettings,
        latent: Option<LatentDiad>,
        width: u32,
        height: u32,
    ) -> Result<Self, MethodError> {
        let enlarged = |latent: LatentDiad| {
            let enlarger = Enlarger::try_new(latent.distance().shape(), Alignment::Centres, width, height);
            Ok((latent, enlarger.map_err(MethodError::Map)?))
        };
        Ok(Self {
            width,
            height,
            views: Vec::new(),
            places: Vec::new(),
            latent: latent.map(enlarged).transpose()?,
            search: Search::default(),
            joiner: Joiner::try_new(settings, width, height).map_err(MethodError::Map)?,
            maps: Vec::new(),
            count: 0,
        })
    }

    /// What the witnesses said of the part in hand.
    pub(super) fn maps(&self) -> &[WitnessMap] {
        &self.maps[..self.count]
    }

    pub(super) const fn joiner(&self) -> &Joiner {
        &self.joiner
    }

    /// Describes the part with every foundation that a witness asks, each once.
    pub(super) fn describe<G: Graphs>(
        &mut self,
        joined: &Joined,
        pixels: PixelsView<'_>,
        roi: Roi,
        probe: &mut impl Probe,
    ) -> Result<(), InspectError<G::Error>> {
        probe.entering(Stage::Foundation);
        // Foundations that no witness asks any more must not pile up.
        if self.views.len() > MAX_WITNESSES {
            self.views.clear();
        }
        self.views.iter_mut().for_each(|view| view.fresh = false);
        self.places.clear();
        for witness in joined.witnesses() {
            let place = match witness.kind() {
                WitnessKind::Diad => None,
                WitnessKind::Latent { foundation } | WitnessKind::Bank { foundation, .. } => {
                    Some(self.look::<G>(foundation, pixels, roi, probe)?)
                }
            };
            self.places.push(place);
        }
        Ok(())
    }

    /// The place of the foundation's view, which shows the part in hand.
    fn look<G: Graphs>(
        &mut self,
        foundation: &Arc<dyn Foundation>,
        pixels: PixelsView<'_>,
        roi: Roi,
        probe: &mut impl Probe,
    ) -> Result<usize, InspectError<G::Error>> {
        let seen = self.views.iter().position(|view| Arc::ptr_eq(&view.foundation, foundation));
        let place = seen.unwrap_or(self.views.len());
        if seen.is_none() {
            let view = View::try_new(Arc::clone(foundation), (self.width, self.height));
            self.views.push(view.map_err(InspectError::Witness)?);
        }
        let View { foundation, preparer, image, patches, fresh, .. } = &mut self.views[place];
        if !*fresh {
            preparer.prepare(pixels, roi, image).map_err(InspectError::Prepare)?;
            foundation.patches(image, patches).map_err(InspectError::Foundation)?;
            patches.expect_finite("patches").map_err(bad(Stage::Foundation))?;
            *fresh = true;
            show(probe, ArrayName::Patches(place + 1), patches);
            probe.step();
        }
        Ok(place)
    }

    /// Runs DiAD in the representation latent, if a witness is that.
    pub(super) fn denoise<G: Graphs>(
        &mut self,
        joined: &Joined,
        graphs: &mut G,
        probe: &mut impl Probe,
    ) -> Result<(), InspectError<G::Error>> {
        for (witness, place) in joined.witnesses().iter().zip(&self.places) {
            if let (WitnessKind::Latent { .. }, Some(place)) = (witness.kind(), *place) {
                probe.entering(Stage::Latent);
                let (latent, _) = self.latent.as_mut().ok_or(InspectError::NoRepresentation)?;
                latent.compare(graphs, &self.views[place].patches, probe)?;
            }
        }
        Ok(())
    }

    /// Looks every patch up in the banks.
    pub(super) fn look_up<G: Graphs>(
        &mut self,
        joined: &Joined,
        probe: &mut impl Probe,
    ) -> Result<(), InspectError<G::Error>> {
        let mut entered = false;
        for (witness, place) in joined.witnesses().iter().zip(&self.places) {
            let (WitnessKind::Bank { bank, .. }, Some(place)) = (witness.kind(), *place) else { continue };
            if !entered {
                probe.entering(Stage::Bank);
                entered = true;
            }
            let View { patches, distance, .. } = &mut self.views[place];
            bank.nearest(patches, &mut self.search, distance).map_err(InspectError::Bank)?;
        }
        Ok(())
    }

    /// Brings every witness's map to the model's size and joins them. `diad` is the diffusion model's own.
    pub(super) fn join<G: Graphs>(
        &mut self,
        joined: &Joined,
        diad: &AnomalyMap,
        counted: &Counted,
        finder: &mut PeakFinder,
        probe: &mut impl Probe,
    ) -> Result<(), InspectError<G::Error>> {
        let Self { width, height, views, places, latent, joiner, maps, count, .. } = self;
        *count = 0;
        joiner.begin();
        for (index, (witness, place)) in joined.witnesses().iter().zip(places).enumerate() {
            if maps.len() == index {
                let raw = AnomalyMap::zeros(*width, *height);
                maps.push(WitnessMap { name: Arc::clone(witness.name()), score: Score::ZERO, raw });
            }
            let WitnessMap { name, score, raw } = &mut maps[index];
            *name = Arc::clone(witness.name());
            match (witness.kind(), place) {
                (WitnessKind::Bank { .. }, Some(place)) => {
                    let View { enlarger, distance, .. } = &views[*place];
                    enlarger.enlarge(distance, raw)
                }
                (WitnessKind::Latent { .. }, _) => {
                    let (latent, enlarger) = latent.as_ref().ok_or(InspectError::NoRepresentation)?;
                    enlarger.enlarge(latent.distance(), raw)
                }
                _ => raw.copy_from(diad),
            }
            .map_err(InspectError::Map)?;
            let plane = [1, 1, *height as usize, *width as usize];
            probe.array(ArrayName::Witness(index + 1), plane, raw.values());
            let own = joiner.add(raw, witness.share(), counted).map_err(InspectError::Map)?;
            *score = finder.find(own).map_err(InspectError::Score)?.score;
        }
        joiner.finish(counted).map_err(InspectError::Map)?;
        *count = joined.witnesses().len();
        Ok(())
    }
}
