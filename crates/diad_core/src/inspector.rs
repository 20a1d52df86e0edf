//! One part through the whole method: pixels in, score and map out.

mod error;
mod panel;
mod probe;
mod representation;
mod walk;

use std::error::Error;
use std::sync::Arc;

use crate::distance;
use crate::event::WitnessScore;
use crate::frame::{PixelsView, Roi};
use crate::graphs::{GraphShapes, Graphs};
use crate::join::Joined;
use crate::map::{AnomalyMap, Counted, Fuser, MapSettings, Mask};
use crate::prepare::{Geometry, InputSpec, Preparer};
use crate::schedule::Ddim;
use crate::score::{Peak, PeakFinder, Score, ScoreRule};
use crate::tensor::{Shape, Tensor, TensorError};

pub use error::{InspectError, MethodError};
pub use panel::WitnessMap;
pub use probe::{ArrayName, Probe, Stage};
pub use representation::Representation;

use self::panel::Panel;
use self::representation::LatentDiad;
use self::walk::{Names, Walk};

/// Bounds of the log-variance, as the reference's autoencoder sets them.
const LOG_VARIANCE: (f32, f32) = (-30.0, 20.0);

/// What is taken from the distribution that the encoder gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Posterior {
    /// Its mean.
    Mean,
    /// The point at this fixed noise, `[1, C, h, w]`: mean + standard deviation · noise (the reference's way).
    Sample(Tensor),
}

/// Everything about the method that a model bundle fixes.
#[derive(Debug, Clone)]
pub struct Method {
    /// The model's input.
    pub input: InputSpec,
    /// Factor between the encoder's latent and the one that is denoised (0.18215 in the reference).
    pub latent_scale: f32,
    /// What is taken from the encoder.
    pub posterior: Posterior,
    /// Noising and the way back.
    pub ddim: Ddim,
    /// The noise every part is noised with, `[1, C, h, w]`: same pixels, same score.
    pub start_noise: Tensor,
    /// Feature layers → map.
    pub map: MapSettings,
    /// Map → score.
    pub score: ScoreRule,
    /// DiAD in a representation latent, if the model has it.
    pub representation: Option<Representation>,
}

/// How a part is judged: what its product adds to the model.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Which pixels count.
    pub mask: &'a Mask,
    /// The witnesses whose maps are joined; without them the diffusion model judges alone.
    pub joined: Option<&'a Joined>,
}

impl<'a> Subject<'a> {
    /// Every pixel counts, and the diffusion model judges alone.
    pub const PLAIN: Subject<'static> = Subject { mask: Mask::EVERYTHING, joined: None };

    /// The diffusion model judges alone.
    #[must_use]
    pub const fn under(mask: &'a Mask) -> Self {
        Self { mask, joined: None }
    }
}

/// What the method says of one part. Borrows the inspector's buffers until the next part.
#[derive(Debug, Clone, Copy)]
pub struct Inspection<'a> {
    /// How unlike the good ones the part is.
    pub score: Score,
    /// Where it is most unlike, in model pixels.
    pub peak: Peak,
    /// The patch around the peak, in frame pixels.
    pub region: Roi,
    /// Where the model's pixels lie in the frame.
    pub geometry: Geometry,
    /// The map that was scored: 0 where it does not count.
    pub map: &'a AnomalyMap,
    /// How much of the map counts, in model pixels.
    pub counted_px: usize,
    /// The map before smoothing, all of it.
    pub raw_map: &'a AnomalyMap,
    /// What each witness says, in the order of [`Joined::witnesses`]; empty if the diffusion model judged alone.
    pub witnesses: &'a [WitnessMap],
    /// The input as the networks saw it, `[1, 3, H, W]`, normalised colours.
    pub input: &'a Tensor,
    /// The part as the method would have it, `[1, 3, H, W]`, normalised colours.
    pub reconstruction: &'a Tensor,
}

impl Inspection<'_> {
    /// The score of each witness, to be kept; empty if the diffusion model judged alone.
    #[must_use]
    pub fn witness_scores(&self) -> Vec<WitnessScore> {
        let said = |witness: &WitnessMap| WitnessScore { name: Arc::clone(witness.name()), score: witness.score() };
        self.witnesses.iter().map(said).collect()
    }

    /// Area of the map that counts and is at or above `cut`, in frame pixels: what [`crate::judge::judge`] asks for.
    #[must_use]
    pub fn area_at_least(&self, cut: Score) -> f64 {
        // What does not count is 0 in the map, which a cut-off of 0 reaches.
        self.map.area_at_least(cut.get()).min(self.counted_px) as f64 * self.geometry.pixel_area()
    }
}

/// Runs the method with one set of networks. Owns them and every buffer: a part costs no allocation of ours once
/// the first of its size has passed.
#[derive(Debug)]
pub struct Inspector<G> {
    graphs: G,
    latent_scale: f32,
    posterior: Posterior,
    walk: Walk,
    preparer: Preparer,
    counted: Counted,
    fuser: Fuser,
    finder: PeakFinder,
    tensors: Tensors,
    panel: Panel,
}

/// One buffer per value that flows between the steps.
#[derive(Debug)]
struct Tensors {
    image: Tensor,
    moments: Tensor,
    hint: Tensor,
    clean: Tensor,
    reconstruction: Tensor,
    pair: Tensor,
    features: Vec<Tensor>,
    distances: Vec<Tensor>,
}

impl<G: Graphs> Inspector<G> {
    /// Joins networks and method, after checking that every shape agrees.
    ///
    /// # Errors
    /// [`MethodError`] names what does not fit.
    pub fn try_new(graphs: G, method: Method) -> Result<Self, MethodError> {
        let Method { input, latent_scale, posterior, ddim, start_noise, map, score, representation } = method;
        let shapes = graphs.shapes();
        check_shapes(shapes, &input)?;
        if !(latent_scale.is_finite() && latent_scale > 0.0) {
            return Err(MethodError::LatentScale(latent_scale));
        }
        check_noise("start noise", &start_noise, shapes.latent)?;
        if let Posterior::Sample(noise) = &posterior {
            check_noise("posterior noise", noise, shapes.latent)?;
        }
        let latent = match (representation, graphs.latent_shapes()) {
            (Some(representation), Some(shapes)) => Some(LatentDiad::try_new(representation, shapes)?),
            (None, None) => None,
            _ => return Err(MethodError::Representation),
        };
        let panel = Panel::try_new(&map, latent, input.width(), input.height())?;
        let distances: Vec<Shape> = shapes.features.iter().map(|&[_, _, h, w]| [1, 1, h, w]).collect();
        let fuser = Fuser::try_new(&map, &distances, input.width(), input.height()).map_err(MethodError::Map)?;
        let finder = PeakFinder::try_new(score, input.width(), input.height()).map_err(MethodError::Score)?;
        let preparer = Preparer::try_new(input).map_err(MethodError::Input)?;
        let counted = Counted::new(input.width(), input.height());
        let tensors = Tensors::new(shapes, &distances);
        let walk = Walk::new(ddim, start_noise);
        Ok(Self { graphs, latent_scale, posterior, walk, preparer, counted, fuser, finder, tensors, panel })
    }

    /// The networks.
    #[must_use]
    pub const fn graphs(&self) -> &G {
        &self.graphs
    }

    /// What the model takes.
    #[must_use]
    pub const fn input(&self) -> &InputSpec {
        self.preparer.spec()
    }

    /// The step list.
    #[must_use]
    pub const fn ddim(&self) -> &Ddim {
        self.walk.ddim()
    }

    /// Inspects the part `roi` of a frame, every pixel of it, by the diffusion model alone. `probe` is told of each stage as it begins and shown every array as
    /// it is made; `&mut ()` listens to nothing.
    ///
    /// # Errors
    /// [`InspectError`]: the frame does not fit, a network failed, or a number that is not finite came up. There
    /// is no score in any of these cases.
    pub fn inspect(
        &mut self,
        pixels: PixelsView<'_>,
        roi: Roi,
        probe: &mut impl Probe,
    ) -> Result<Inspection<'_>, InspectError<G::Error>> {
        self.inspect_as(&Subject::PLAIN, pixels, roi, probe)
    }

    /// The same, where only what `mask` leaves counts towards score, region and area.
    ///
    /// # Errors
    /// As [`inspect_as`](Self::inspect_as).
    pub fn inspect_under(
        &mut self,
        mask: &Mask,
        pixels: PixelsView<'_>,
        roi: Roi,
        probe: &mut impl Probe,
    ) -> Result<Inspection<'_>, InspectError<G::Error>> {
        self.inspect_as(&Subject::under(mask), pixels, roi, probe)
    }

    /// Inspects a part as its product asks. The networks see all of `roi`: what does not count is set to 0 in the map,
    /// before it is pooled. With witnesses the map is the joined one; the diffusion model runs all the same, for its
    /// reconstruction is what people see.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect); [`InspectError::Mask`] if nothing of the picture counts;
    /// [`InspectError::NoRepresentation`], [`InspectError::Foundation`] and [`InspectError::Bank`] if a witness cannot
    /// judge.
    pub fn inspect_as(
        &mut self,
        subject: &Subject<'_>,
        pixels: PixelsView<'_>,
        roi: Roi,
        probe: &mut impl Probe,
    ) -> Result<Inspection<'_>, InspectError<G::Error>> {
        probe.entering(Stage::Prepare);
        let geometry = self.preparer.prepare(pixels, roi, &mut self.tensors.image).map_err(InspectError::Prepare)?;
        self.counted.lay(subject.mask, &geometry).map_err(InspectError::Mask)?;
        show(probe, ArrayName::Input, &self.tensors.image);
        self.encode(probe)?;
        self.denoise(probe)?;
        self.decode(probe)?;
        self.compare(probe)?;
        let (map, raw_map, witnesses) = match subject.joined {
            None => {
                probe.entering(Stage::Map);
                self.fuser.fuse(&self.tensors.distances).map_err(InspectError::Map)?;
                self.fuser.keep(&self.counted);
                (self.fuser.smooth(), self.fuser.raw(), &[][..])
            }
            Some(joined) => {
                self.ask(joined, pixels, roi, probe)?;
                (self.panel.joiner().smooth(), self.panel.joiner().raw(), self.panel.maps())
            }
        };
        let plane = [1, 1, map.height() as usize, map.width() as usize];
        probe.array(ArrayName::RawMap, plane, raw_map.values());
        probe.array(ArrayName::Map, plane, map.values());

        probe.entering(Stage::Score);
        let peak = self.finder.find(map).map_err(InspectError::Score)?;
        let region = geometry.rect_to_frame(self.finder.region(map, &peak).map_err(InspectError::Score)?);
        let Tensors { image: input, reconstruction, .. } = &self.tensors;
        let counted_px = self.counted.count();
        let score = peak.score;
        Ok(Inspection { score, peak, region, geometry, map, counted_px, raw_map, witnesses, input, reconstruction })
    }

    /// Asks every witness and joins their maps.
    fn ask(
        &mut self,
        joined: &Joined,
        pixels: PixelsView<'_>,
        roi: Roi,
        probe: &mut impl Probe,
    ) -> Result<(), InspectError<G::Error>> {
        let Self { graphs, fuser, counted, finder, tensors, panel, .. } = self;
        panel.describe::<G>(joined, pixels, roi, probe)?;
        panel.denoise(joined, graphs, probe)?;
        panel.look_up::<G>(joined, probe)?;
        probe.entering(Stage::Map);
        fuser.sum(&tensors.distances).map_err(InspectError::Map)?;
        panel.join::<G>(joined, fuser.raw(), counted, finder, probe)
    }

    /// Image → clean latent.
    fn encode(&mut self, probe: &mut impl Probe) -> Result<(), InspectError<G::Error>> {
        probe.entering(Stage::Encode);
        let Tensors { image, moments, clean, .. } = &mut self.tensors;
        self.graphs.encode(image, moments).map_err(failed(Stage::Encode))?;
        moments.expect_finite("moments").map_err(bad(Stage::Encode))?;
        show(probe, ArrayName::Moments, moments);
        draw(moments, &self.posterior, self.latent_scale, clean);
        clean.expect_finite("latent").map_err(bad(Stage::Encode))?;
        show(probe, ArrayName::Latent, clean);
        Ok(())
    }

    /// Clean latent → noised → denoised latent.
    fn denoise(&mut self, probe: &mut impl Probe) -> Result<(), InspectError<G::Error>> {
        let Self { graphs, walk, tensors, .. } = self;
        let Tensors { image, hint, clean, .. } = tensors;
        probe.entering(Stage::Hint);
        graphs.hint(image, hint).map_err(failed(Stage::Hint))?;
        hint.expect_finite("hint").map_err(bad(Stage::Hint))?;

        probe.entering(Stage::Denoise);
        let names = Names {
            noised: Some(ArrayName::Noised),
            noise_first: Some(ArrayName::NoiseFirst),
            noise_last: Some(ArrayName::NoiseLast),
            end: ArrayName::FinalLatent,
        };
        walk.run(clean, (Stage::Denoise, names), probe, |latent, t, noise| {
            graphs.predict_noise(latent, hint, t, noise).map_err(failed(Stage::Denoise))
        })
    }

    /// Denoised latent → reconstruction.
    fn decode(&mut self, probe: &mut impl Probe) -> Result<(), InspectError<G::Error>> {
        probe.entering(Stage::Decode);
        let Self { graphs, walk, tensors: Tensors { reconstruction, .. }, .. } = self;
        graphs.decode(walk.latent(), reconstruction).map_err(failed(Stage::Decode))?;
        reconstruction.expect_finite("reconstruction").map_err(bad(Stage::Decode))?;
        show(probe, ArrayName::Reconstruction, reconstruction);
        Ok(())
    }

    /// Input and reconstruction → distances of every feature layer.
    fn compare(&mut self, probe: &mut impl Probe) -> Result<(), InspectError<G::Error>> {
        probe.entering(Stage::Features);
        let Tensors { image, reconstruction, pair, features, distances, .. } = &mut self.tensors;
        let (first, second) = pair.data_mut().split_at_mut(image.data().len());
        first.copy_from_slice(image.data());
        second.copy_from_slice(reconstruction.data());
        self.graphs.features(pair, features).map_err(failed(Stage::Features))?;
        for (layer, (features, distance)) in features.iter().zip(distances).enumerate() {
            features.expect_finite("feature layer").map_err(bad(Stage::Features))?;
            distance::cosine(features, distance).map_err(bad(Stage::Features))?;
            show(probe, ArrayName::Distance(layer + 1), distance);
        }
        Ok(())
    }
}

impl Tensors {
    fn new(shapes: &GraphShapes, distances: &[Shape]) -> Self {
        let [_, channels, height, width] = shapes.latent;
        let [_, colours, rows, columns] = shapes.image;
        let zeros = |shapes: &[Shape]| shapes.iter().copied().map(Tensor::zeros).collect();
        Self {
            image: Tensor::zeros(shapes.image),
            moments: Tensor::zeros([1, 2 * channels, height, width]),
            hint: Tensor::zeros(shapes.hint),
            clean: Tensor::zeros(shapes.latent),
            reconstruction: Tensor::zeros(shapes.image),
            pair: Tensor::zeros([2, colours, rows, columns]),
            features: zeros(&shapes.features),
            distances: zeros(distances),
        }
    }
}

/// Takes the latent from the encoder's moments. Golden `z_scaled`, `z_mode_scaled`.
fn draw(moments: &Tensor, posterior: &Posterior, scale: f32, latent: &mut Tensor) {
    let (mean, log_variance) = moments.data().split_at(latent.data().len());
    match posterior {
        Posterior::Mean => {
            for (z, mean) in latent.data_mut().iter_mut().zip(mean) {
                *z = scale * mean;
            }
        }
        Posterior::Sample(noise) => {
            let spread = log_variance.iter().map(|v| (0.5 * v.clamp(LOG_VARIANCE.0, LOG_VARIANCE.1)).exp());
            for (((z, mean), spread), noise) in latent.data_mut().iter_mut().zip(mean).zip(spread).zip(noise.data()) {
                *z = scale * (mean + spread * noise);
            }
        }
    }
}

fn check_shapes(shapes: &GraphShapes, input: &InputSpec) -> Result<(), MethodError> {
    let fits = |what, got: Shape, want: Shape| {
        if got == want && !got.contains(&0) {
            Ok(())
        } else {
            Err(MethodError::Shape(TensorError::Shape { what, got, want }))
        }
    };
    fits("image", shapes.image, input.shape())?;
    let [_, channels, height, width] = shapes.latent;
    fits("latent", shapes.latent, [1, channels.max(1), height.max(1), width.max(1)])?;
    let [_, channels, height, width] = shapes.hint;
    fits("hint", shapes.hint, [1, channels.max(1), height.max(1), width.max(1)])?;
    for &layer in &shapes.features {
        let [_, channels, height, width] = layer;
        fits("feature layer", layer, [2, channels.max(1), height.max(1), width.max(1)])?;
    }
    Ok(())
}

fn check_noise(what: &'static str, noise: &Tensor, latent: Shape) -> Result<(), MethodError> {
    noise.expect_shape(what, latent).map_err(MethodError::Shape)?;
    noise.expect_finite(what).map_err(MethodError::Noise)
}

fn failed<E: Error>(stage: Stage) -> impl FnOnce(E) -> InspectError<E> {
    move |source| InspectError::Graph { stage, source }
}

fn bad<E: Error>(stage: Stage) -> impl FnOnce(TensorError) -> InspectError<E> {
    move |source| InspectError::Value { stage, source }
}

fn show(probe: &mut impl Probe, name: ArrayName, tensor: &Tensor) {
    probe.array(name, tensor.shape(), tensor.data());
}

#[cfg(test)]
mod tests;
