//! What the witnesses see of one part, whatever is learnt from it later: the maps of the model, and the patches of every
//! foundation. Kept with half precision, for several hundred parts are in memory at once.

use std::sync::Arc;

use diad_core::drift::Look;
use diad_core::foundation::Foundation;
use diad_core::frame::{PixelsView, Roi};
use diad_core::inspector::{Inspector, MethodError, Subject};
use diad_core::join::{JoinError, Joined, Share, Witness, WitnessKind};
use diad_core::map::{AnomalyMap, MapError};
use diad_core::prepare::{Geometry, PrepareError, Preparer};
use diad_core::tensor::{Shape, Tensor};
use diad_engine::{Engine, OnnxFoundation};
use half::f16;

use super::error::LearnError;
use crate::chain::chain;

/// What there is to see of a part.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    /// Where the model's pixels lie in the picture.
    pub(super) geometry: Geometry,
    /// How bright and sharp it looks.
    pub(super) look: Look,
    /// The maps of the model's own witnesses, before smoothing, in their own units and the model's size.
    pub(super) maps: Vec<Vec<f16>>,
    /// The patches of each foundation, NCHW.
    pub(super) patches: Vec<Vec<f16>>,
}

/// Looks at parts with all networks.
pub(super) struct FeatureReader {
    inspector: Inspector<Engine>,
    /// The model's own witnesses, where there are more than one.
    own: Option<Joined>,
    eyes: Vec<FeatureNetwork>,
}

/// A foundation with what it needs to look.
struct FeatureNetwork {
    foundation: Arc<OnnxFoundation>,
    preparer: Preparer,
    image: Tensor,
    patches: Tensor,
}

impl FeatureReader {
    /// Takes the networks; `latent` is the foundation of the model's representation, if it has one.
    ///
    /// # Errors
    /// [`LearnError::Method`], [`LearnError::Join`].
    pub(super) fn new(
        inspector: Inspector<Engine>,
        latent: Option<Arc<dyn Foundation>>,
        foundations: &[Arc<OnnxFoundation>],
    ) -> Result<Self, LearnError> {
        // Each map is taken in its own unit: weights and scale are what is being learnt.
        let own = |foundation| -> Result<Joined, JoinError> {
            let half = Share::try_new(0.5, 0.0, 1.0)?;
            let kinds = [WitnessKind::Diad, WitnessKind::Latent { foundation }];
            Joined::try_new(kinds.map(|kind| Witness::new(kind, half)).to_vec())
        };
        let own = latent.map(own).transpose()?;
        let eye = |foundation: &Arc<OnnxFoundation>| {
            let input = *foundation.input();
            Ok(FeatureNetwork {
                foundation: Arc::clone(foundation),
                preparer: Preparer::try_new(input)?,
                image: Tensor::zeros(input.shape()),
                patches: Tensor::zeros(foundation.shape()),
            })
        };
        let eyes = foundations.iter().map(eye).collect::<Result<_, PrepareError>>().map_err(MethodError::Input)?;
        Ok(Self { inspector, own, eyes })
    }

    /// Size of the model's maps, in model pixels.
    pub(super) fn size(&self) -> (u32, u32) {
        (self.inspector.input().width(), self.inspector.input().height())
    }

    /// Shapes of the patches of each foundation.
    pub(super) fn shapes(&self) -> Vec<Shape> {
        self.eyes.iter().map(|eye| eye.foundation.shape()).collect()
    }

    /// Looks at the part `roi` of a picture.
    ///
    /// # Errors
    /// The words of whatever failed.
    pub(super) fn look(&mut self, pixels: PixelsView<'_>, roi: Roi) -> Result<View, String> {
        let input = *self.inspector.input();
        let subject = Subject { joined: self.own.as_ref(), ..Subject::PLAIN };
        let inspection = self.inspector.inspect_as(&subject, pixels, roi, &mut ());
        let inspection = inspection.map_err(|error| chain(&error))?;
        let (geometry, look) = (inspection.geometry, Look::of(inspection.input, &input));
        let maps = match inspection.witnesses {
            [] => vec![halved(inspection.raw_map.values())],
            witnesses => witnesses.iter().map(|witness| halved(witness.raw().values())).collect(),
        };
        let mut patches = Vec::new();
        for eye in &mut self.eyes {
            eye.preparer.prepare(pixels, roi, &mut eye.image).map_err(|error| chain(&error))?;
            eye.foundation.patches(&eye.image, &mut eye.patches).map_err(|error| chain(&error))?;
            patches.push(halved(eye.patches.data()));
        }
        Ok(View { geometry, look, maps, patches })
    }
}

fn halved(values: &[f32]) -> Vec<f16> {
    values.iter().map(|value| f16::from_f32(*value)).collect()
}

fn widened(values: &[f16]) -> Vec<f32> {
    values.iter().map(|value| value.to_f32()).collect()
}

impl View {
    /// The map of one of the model's witnesses.
    ///
    /// # Errors
    /// [`MapError`], where it is of another size.
    pub(super) fn map(&self, witness: usize, (width, height): (u32, u32)) -> Result<AnomalyMap, MapError> {
        AnomalyMap::try_new(width, height, self.maps.get(witness).map(|map| widened(map)).unwrap_or_default())
    }

    /// Writes the patches of a foundation over `out`, which has their shape.
    pub(super) fn read_patches(&self, foundation: usize, out: &mut Tensor) {
        if let Some(patches) = self.patches.get(foundation) {
            out.data_mut().iter_mut().zip(patches).for_each(|(out, value)| *out = value.to_f32());
        }
    }

    /// The mean of all patches, foundation by foundation: what kind of part it is.
    pub(super) fn pooled(&self, shapes: &[Shape]) -> Vec<f32> {
        let channel = |plane: &[f16]| plane.iter().map(|value| value.to_f32()).sum::<f32>() / plane.len() as f32;
        let of_foundation = |(patches, [_, _, height, width]): (&Vec<f16>, &Shape)| {
            patches.chunks_exact(height * width).map(channel).collect::<Vec<_>>()
        };
        self.patches.iter().zip(shapes).flat_map(of_foundation).collect()
    }
}
