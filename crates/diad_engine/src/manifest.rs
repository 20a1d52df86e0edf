//! The manifest of a model bundle, format 1: the only contract between the exporter and this engine.
//!
//! Every field is required, an unknown one is refused, and [`Manifest::parse`] hands out nothing that it has not
//! checked: a [`Manifest`] that a [`crate::Bundle`] shows is whole, in range and agrees with itself.

mod check;
mod error;
mod value;

use std::collections::BTreeMap;

use serde::Deserialize;

pub(crate) use self::check::expect;
pub use self::error::ManifestError;
pub use self::value::{Dim, Dims, FileName, FileNameError};
use crate::digest::Digest;

/// The manifest format that this engine reads.
pub const FORMAT: u64 = 1;

/// One of the networks that a part passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GraphName {
    /// Image → moments of the latent.
    Encoder,
    /// Image → what the SG network computes once per image.
    Hint,
    /// Latent, hint and step → predicted noise.
    Denoiser,
    /// Latent → image.
    Decoder,
    /// Image → feature pyramid.
    Features,
    /// Image → patches: a frozen network outside the bundle.
    Foundation,
}

impl GraphName {
    /// The five graphs of every bundle, in the order in which a part passes them.
    pub const BUNDLE: [Self; 5] = [Self::Encoder, Self::Hint, Self::Denoiser, Self::Decoder, Self::Features];

    /// One lowercase word: for a graph of the bundle, its key in the manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Hint => "hint",
            Self::Denoiser => "denoiser",
            Self::Decoder => "decoder",
            Self::Features => "features",
            Self::Foundation => "foundation",
        }
    }
}

impl std::fmt::Display for GraphName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`FORMAT`].
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
}

/// The five networks, by their fixed keys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSet {
    /// `image` → moments `[N, 2C, h, w]`.
    pub encoder: Graph,
    /// `image` → hint `[N, M, h, w]`.
    pub hint: Graph,
    /// latent, hint, `t` → noise `[N, C, h, w]`.
    pub denoiser: Graph,
    /// latent → image.
    pub decoder: Graph,
    /// `image` → layers, finest first.
    pub features: Graph,
}

impl GraphSet {
    /// The five graphs with their names, in the order in which a part passes them.
    #[must_use]
    pub const fn named(&self) -> [(GraphName, &Graph); 5] {
        [
            (GraphName::Encoder, &self.encoder),
            (GraphName::Hint, &self.hint),
            (GraphName::Denoiser, &self.denoiser),
            (GraphName::Decoder, &self.decoder),
            (GraphName::Features, &self.features),
        ]
    }
}

/// One exported network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// The ONNX file.
    pub file: FileName,
    /// Its digest.
    pub sha256: Digest,
    /// External data files that the ONNX file refers to.
    pub data: Vec<FileEntry>,
    /// Inputs, in the graph's order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in the order in which the method uses them.
    pub outputs: Vec<TensorSpec>,
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

/// Name, element type and shape of a graph's input or output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// The name in the graph.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The shape; the batch comes first.
    pub shape: Dims,
}

/// Element types that the method uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats.
    Float32,
    /// 64-bit integers: the step.
    Int64,
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
        if head.format != FORMAT {
            return Err(ManifestError::Format { found: head.format });
        }
        let manifest: Self = serde_json::from_slice(json).map_err(ManifestError::from_json)?;
        check::check(&manifest)?;
        Ok(manifest)
    }

    /// Every file the manifest names, with its digest, and what it is.
    pub(crate) fn files(&self) -> impl Iterator<Item = (String, &FileName, &Digest)> {
        let graphs = self.graphs.named().into_iter().flat_map(|(name, graph)| {
            std::iter::once((format!("graph {name}"), &graph.file, &graph.sha256)).chain(
                graph.data.iter().map(move |entry| (format!("data of graph {name}"), &entry.file, &entry.sha256)),
            )
        });
        let noise = std::iter::once(("start noise".to_owned(), &self.start_noise))
            .chain(self.latent.posterior_noise.as_ref().map(|entry| ("posterior noise".to_owned(), entry)))
            .map(|(what, entry)| (what, &entry.file, &entry.sha256));
        graphs.chain(noise)
    }
}

#[cfg(test)]
mod tests;
