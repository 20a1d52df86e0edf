//! The networks of a manifest: their names, files and tensors.

use serde::Deserialize;

use super::{Dims, FileEntry, FileName};
use crate::digest::Digest;

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
    /// Patches → representation latent.
    LatentEncoder,
    /// Patches → what the SG network of the representation computes once per image.
    LatentHint,
    /// Representation latent, hint and step → predicted noise.
    LatentDenoiser,
}

impl GraphName {
    /// The five graphs of every bundle, in the order in which a part passes them.
    pub const BUNDLE: [Self; 5] = [Self::Encoder, Self::Hint, Self::Denoiser, Self::Decoder, Self::Features];

    /// Every network, in the order in which a part passes them.
    pub const ALL: [Self; 9] = [
        Self::Encoder,
        Self::Hint,
        Self::Denoiser,
        Self::Decoder,
        Self::Features,
        Self::Foundation,
        Self::LatentEncoder,
        Self::LatentHint,
        Self::LatentDenoiser,
    ];

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
            Self::LatentEncoder => "latent_encoder",
            Self::LatentHint => "latent_hint",
            Self::LatentDenoiser => "latent_denoiser",
        }
    }
}

impl std::fmt::Display for GraphName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
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

/// The networks of a representation latent, by their fixed keys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentGraphSet {
    /// Patches `[N, D, h, w]` → latent of the same shape.
    pub encoder: Graph,
    /// Patches → hint `[N, M, h, w]`.
    pub hint: Graph,
    /// Latent, hint, `t` → noise `[N, D, h, w]`.
    pub denoiser: Graph,
}

impl LatentGraphSet {
    /// The three graphs with their names, in the order in which a part passes them.
    #[must_use]
    pub const fn named(&self) -> [(GraphName, &Graph); 3] {
        [
            (GraphName::LatentEncoder, &self.encoder),
            (GraphName::LatentHint, &self.hint),
            (GraphName::LatentDenoiser, &self.denoiser),
        ]
    }
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
    /// On which scale its values are, in words, such as "scaled latent"; format 2. The engine does not read it.
    #[serde(default)]
    pub scale: Option<String>,
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
