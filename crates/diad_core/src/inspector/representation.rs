//! DiAD in a representation latent: the same order of steps, with patches of a foundation in place of pixels.

use super::walk::{Names, Walk};
use super::{ArrayName, InspectError, MethodError, Probe, Stage, bad, check_noise, failed, show};
use crate::distance;
use crate::graphs::{Graphs, LatentCall, LatentShapes};
use crate::schedule::Ddim;
use crate::tensor::{Shape, Tensor, TensorError};

/// What the method needs for a representation latent.
#[derive(Debug, Clone)]
pub struct Representation {
    /// Channels of each group that is compared by itself; they add up to those of the latent.
    pub groups: Vec<usize>,
    /// Noising and the way back.
    pub ddim: Ddim,
    /// The noise that every part is noised with, `[1, D, h, w]`.
    pub start_noise: Tensor,
}

/// The steps in a representation latent, and their buffers.
#[derive(Debug)]
pub(super) struct LatentDiad {
    groups: Vec<usize>,
    walk: Walk,
    clean: Tensor,
    hint: Tensor,
    distance: Tensor,
}

impl LatentDiad {
    pub(super) fn try_new(method: Representation, shapes: LatentShapes) -> Result<Self, MethodError> {
        let Representation { groups, ddim, start_noise } = method;
        let [_, channels, height, width] = shapes.latent;
        let misfit = |what, got: Shape, want| MethodError::Shape(TensorError::Shape { what, got, want });
        if groups.contains(&0) || groups.iter().sum::<usize>() != channels || channels * height * width == 0 {
            return Err(misfit("latent", shapes.latent, [1, groups.iter().sum(), height.max(1), width.max(1)]));
        }
        if shapes.hint[0] != 1 || shapes.hint.contains(&0) {
            return Err(misfit("hint", shapes.hint, shapes.hint.map(|extent| extent.max(1))));
        }
        check_noise("start noise", &start_noise, shapes.latent)?;
        Ok(Self {
            groups,
            walk: Walk::new(ddim, start_noise),
            clean: Tensor::zeros(shapes.latent),
            hint: Tensor::zeros(shapes.hint),
            distance: Tensor::zeros([1, 1, height, width]),
        })
    }

    /// What the last part came to.
    pub(super) const fn distance(&self) -> &Tensor {
        &self.distance
    }

    /// Patches → [`distance`](Self::distance) of every place to what the part would look like if it were good.
    pub(super) fn compare<G: Graphs>(
        &mut self,
        graphs: &mut G,
        patches: &Tensor,
        probe: &mut impl Probe,
    ) -> Result<(), InspectError<G::Error>> {
        let stage = Stage::Latent;
        let Self { groups, walk, clean, hint, distance } = self;
        patches.expect_shape("patches", clean.shape()).map_err(bad(stage))?;
        run(graphs, LatentCall::Encode { patches, out: clean })?;
        clean.expect_finite("latent").map_err(bad(stage))?;
        show(probe, ArrayName::LatentClean, clean);
        run(graphs, LatentCall::Hint { patches, out: hint })?;
        hint.expect_finite("hint").map_err(bad(stage))?;
        let names = Names { noised: None, noise_first: None, noise_last: None, end: ArrayName::LatentFinal };
        walk.run(clean, (stage, names), probe, |latent, t, out| {
            run(graphs, LatentCall::PredictNoise { latent, hint, t, out })
        })?;
        distance::cosine_of_groups(clean, walk.latent(), groups, distance).map_err(bad(stage))
    }
}

fn run<G: Graphs>(graphs: &mut G, call: LatentCall<'_>) -> Result<(), InspectError<G::Error>> {
    graphs.run_latent(call).ok_or(InspectError::NoRepresentation)?.map_err(failed(Stage::Latent))
}
