//! The manifest of a model bundle, formats 1 and 2: the only contract between the exporter and this engine.
//!
//! Format 2 is format 1 with what a model may have beside its networks in pixels: foundations that it needs, overlays of
//! products, DiAD in a representation latent, and the scale of each tensor in words. Every field of format 1 is required, an
//! unknown one is refused, and [`Manifest::parse`] hands out nothing that it has not
//! checked: a [`Manifest`] that a [`crate::Bundle`] shows is whole, in range and agrees with itself.

mod check;
mod error;
mod graphs;
mod value;

use std::collections::BTreeMap;

use serde::Deserialize;

pub(crate) use self::check::expect;
pub use self::error::ManifestError;
pub use self::graphs::{Dtype, Graph, GraphName, GraphSet, LatentGraphSet, TensorSpec};
pub use self::value::{Dim, Dims, FileName, FileNameError};
use crate::digest::Digest;
use crate::foundation::FoundationMark;

/// The newest manifest format that this engine reads; it reads every one before it.
pub const FORMAT: u64 = 2;

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1 to [`FORMAT`].
    pub format: u64,
    /// What people call the model.
    pub name: String,
    /// The networks.
    pub graphs: GraphSet,
    /// How pixels become the model's input.
    pub input: Input,
    /// How moments become a latent.
    pub latent: Latent,
    /// The noise schedule.
    pub schedule: Schedule,
    /// The walk back along the schedule.
    pub sampler: Sampler,
    /// The noise that every part starts from: raw little-endian `f32` of one latent.
    pub start_noise: FileEntry,
    /// How feature distances become the anomaly map.
    pub map: Map,
    /// How the map becomes one score.
    pub score: ScoreRule,
    /// Product classes the model was trained on.
    pub products: Vec<String>,
    /// Scores of good parts by product; keys are among `products`.
    pub calibration: BTreeMap<String, Calibration>,
    /// Where the model comes from.
    pub provenance: Provenance,
    /// Frozen networks outside the bundle that it needs; format 2.
    #[serde(default)]
    pub foundations: Vec<FoundationMark>,
    /// What products add to the model; format 2.
    #[serde(default)]
    pub overlays: Vec<OverlayEntry>,
    /// DiAD in a representation latent; format 2.
    #[serde(default)]
    pub representation: Option<RepresentationSpec>,
}

/// An overlay inside the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlayEntry {
    /// The product.
    pub product: String,
    /// Name inside the bundle's folder.
    pub file: FileName,
    /// Its digest.
    pub sha256: Digest,
}

/// DiAD in a representation latent: patches of a foundation in place of pixels.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepresentationSpec {
    /// The foundation; one of `foundations`.
    pub foundation: String,
    /// Channels of each group that is compared by itself.
    pub groups: Vec<usize>,
    /// The networks.
    pub graphs: LatentGraphSet,
    /// The walk back along the schedule, which is that of the pixels.
    pub sampler: Sampler,
    /// The noise that every part starts from: raw little-endian `f32` of one latent.
    pub start_noise: FileEntry,
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name inside the bundle's folder.
    pub file: FileName,
    /// Its digest.
    pub sha256: Digest,
}

/// How pixels become the model's input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Width of the model's input, in pixels.
    pub width: u32,
    /// Height of the model's input, in pixels.
    pub height: u32,
    /// Order of the channels.
    pub channels: Channels,
    /// How a picture is brought to that size.
    pub resize: Resize,
    /// Subtracted from each channel of a picture in `0..=1`.
    pub mean: [f32; 3],
    /// Divides each channel after that.
    pub std: [f32; 3],
}

/// Order of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
}

/// How a picture is brought to the model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Triangle filter whose support grows with the reduction.
    BilinearAntialiased,
}

/// How moments become a latent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latent {
    /// Multiplies the autoencoder's latent; the decoder takes the product.
    pub scale: f32,
    /// Which latent is taken.
    pub posterior: Posterior,
    /// The fixed noise of a `sample`; absent for `mean`.
    pub posterior_noise: Option<FileEntry>,
}

/// Which latent is taken from the encoder's moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Posterior {
    /// The mean.
    Mean,
    /// Mean plus deviation times fixed noise.
    Sample,
}

/// The noise schedule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its shape.
    pub kind: ScheduleKind,
    /// Number of steps in training.
    pub train_steps: u32,
    /// First β.
    pub beta_start: f64,
    /// Last β.
    pub beta_end: f64,
}

/// Shape of the noise schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// √β runs linearly.
    ScaledLinear,
}

/// The walk back along the schedule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampler {
    /// The method.
    pub kind: SamplerKind,
    /// Noise added per step; always 0, so that the same pixels give the same score.
    pub eta: f64,
    /// The step whose noise level the latent is given.
    pub start: u32,
    /// Steps the denoiser is told, descending.
    pub steps: Vec<u32>,
    /// The step whose noise level the last update leaves.
    pub last_previous: u32,
    /// The only steps that the denoiser can be asked for, descending; `null` or absent: any.
    pub known: Option<Vec<u32>>,
}

/// Kinds of sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerKind {
    /// Song et al. 2021, arXiv:2010.02502.
    Ddim,
}

/// How feature distances become the anomaly map.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// How the layers join.
    pub fusion: Fusion,
    /// Weight of each layer.
    pub layer_weights: Vec<f32>,
    /// How a layer is brought to the model's size.
    pub upsample: Upsample,
    /// Gaussian blur of the map, σ in pixels of the model's input; 0 is none.
    pub blur_sigma_px: f32,
    /// The blur's kernel ends at this many σ.
    pub blur_truncate: f32,
}

/// How the layers of the map join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// Weighted sum.
    Sum,
}

/// How a layer is brought to the model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upsample {
    /// Bilinear, corners aligned.
    BilinearAlignCorners,
}

/// How the map becomes one score.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRule {
    /// The rule.
    pub rule: ScoreKind,
    /// Side of the averaging window, in pixels of the model's input.
    pub window_px: u32,
    /// How often the window is applied.
    pub times: u32,
}

/// Rules for the image score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// Average pooling with stride 1, several times, then the maximum.
    PooledMax,
}

/// Scores of the good parts that the model was calibrated on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Number of parts.
    pub parts: u32,
    /// Mean score.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest score.
    pub max: f64,
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// When it was exported.
    pub created_at: String,
    /// Revision of the code that made it.
    pub code: String,
    /// What it was trained on.
    pub data: String,
    /// Under which licence it is given.
    pub licence: String,
    /// Settings of the training, free.
    pub settings: serde_json::Value,
}

impl Manifest {
    /// Reads and checks a manifest. The format is looked at before anything else, so that a newer one is called that
    /// and not a list of unknown fields.
    ///
    /// # Errors
    /// [`ManifestError`], by what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Head {
            format: u64,
        }
        let head: Head = serde_json::from_slice(json).map_err(ManifestError::from_json)?;
        if !(1..=FORMAT).contains(&head.format) {
            return Err(ManifestError::Format { found: head.format });
        }
        let manifest: Self = serde_json::from_slice(json).map_err(ManifestError::from_json)?;
        if let Some(field) = manifest.newer_field() {
            return Err(ManifestError::Newer { field });
        }
        check::check(&manifest)?;
        Ok(manifest)
    }

    /// A field that its format does not have yet.
    fn newer_field(&self) -> Option<&'static str> {
        let tensors =
            || self.graphs.named().into_iter().flat_map(|(_, graph)| graph.inputs.iter().chain(&graph.outputs));
        match self.format {
            1 if !self.foundations.is_empty() => Some("foundations"),
            1 if !self.overlays.is_empty() => Some("overlays"),
            1 if self.representation.is_some() => Some("representation"),
            1 if tensors().any(|tensor| tensor.scale.is_some()) => Some("scale"),
            _ => None,
        }
    }

    /// Every graph in the bundle with its name, in the order in which a part passes them.
    pub(crate) fn graphs(&self) -> impl Iterator<Item = (GraphName, &Graph)> {
        let latent = self.representation.iter().flat_map(|representation| representation.graphs.named());
        self.graphs.named().into_iter().chain(latent)
    }

    /// Every file the manifest names, with its digest, and what it is.
    pub(crate) fn files(&self) -> impl Iterator<Item = (String, &FileName, &Digest)> {
        let graphs = self.graphs().flat_map(|(name, graph)| {
            std::iter::once((format!("graph {name}"), &graph.file, &graph.sha256)).chain(
                graph.data.iter().map(move |entry| (format!("data of graph {name}"), &entry.file, &entry.sha256)),
            )
        });
        let noise = std::iter::once(("start noise".to_owned(), &self.start_noise))
            .chain(self.latent.posterior_noise.as_ref().map(|entry| ("posterior noise".to_owned(), entry)))
            .chain(
                self.representation.iter().map(|it| ("start noise of the representation".to_owned(), &it.start_noise)),
            )
            .map(|(what, entry)| (what, &entry.file, &entry.sha256));
        let overlays =
            self.overlays.iter().map(|it| (format!("overlay of product {}", it.product), &it.file, &it.sha256));
        graphs.chain(noise).chain(overlays)
    }
}

#[cfg(test)]
mod tests;
