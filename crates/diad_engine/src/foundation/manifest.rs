//! What a foundation's folder says of its network.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::{Dim, Dims, Dtype, FileName, Graph, ManifestError, TensorSpec, expect};

/// The format of `foundation.json` that this engine reads.
const FORMAT: u64 = 1;
/// Largest side of the input, and largest extent of the output.
const MAX_EXTENT: usize = 4096;
/// Largest number of values of the output.
const MAX_VALUES: usize = 1 << 24;

/// The manifest of a foundation, format 1. Every field is required, an unknown one is refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundationManifest {
    /// Always 1.
    pub format: u64,
    /// Its name; that of its folder.
    pub name: String,
    /// The ONNX file.
    pub file: FileName,
    /// The digest of the ONNX file.
    pub sha256: Digest,
    /// How a picture becomes its input.
    pub input: Input,
    /// Its patches.
    pub output: Output,
    /// Channels of each group that is normalised by itself.
    pub groups: Vec<usize>,
    /// Where it comes from.
    pub source: FoundationSource,
}

/// How a picture becomes the input: RGB in `0..=1`, resized, minus `mean`, divided by `std`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name in the graph; its shape is `[N, 3, height, width]`.
    pub name: String,
    /// Width, in pixels.
    pub width: u32,
    /// Height, in pixels.
    pub height: u32,
    /// Subtracted from each channel.
    pub mean: [f32; 3],
    /// Divides each channel after that.
    pub std: [f32; 3],
}

/// The patches, before they are normalised.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name in the graph; its shape is `[N, D, h, w]`.
    pub name: String,
    /// `D`, `h`, `w`.
    pub shape: [usize; 3],
}

/// Where a foundation's weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundationSource {
    /// Package of the registry.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Digest of the package's archive, or of the file if a person gave one.
    pub sha256: String,
    /// File inside the package.
    pub file: String,
    /// Under which licence it is given.
    pub licence: String,
}

/// A foundation, and the file that it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundationMark {
    /// Its name.
    pub name: String,
    /// Digest of its network.
    pub sha256: Digest,
}

/// Whether a text names a foundation: lowercase letters, digits and hyphens, at most 32, none at an end.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}

impl FoundationManifest {
    /// Reads and checks the manifest in the folder of that name.
    pub(super) fn parse(json: &[u8], name: &str) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct FoundationHead {
            format: u64,
        }
        let head: FoundationHead = serde_json::from_slice(json).map_err(ManifestError::from_json)?;
        if head.format != FORMAT {
            return Err(ManifestError::Format { found: head.format });
        }
        let manifest: Self = serde_json::from_slice(json).map_err(ManifestError::from_json)?;
        manifest.check(name)?;
        Ok(manifest)
    }

    fn check(&self, name: &str) -> Result<(), ManifestError> {
        expect(self.name == name, "name", &format_args!("{:?}", self.name), "the name of its folder")?;
        for (field, side) in [("input.width", self.input.width), ("input.height", self.input.height)] {
            expect((1..=MAX_EXTENT).contains(&(side as usize)), field, &side, "1 to 4096 px")?;
        }
        let [channels, height, width] = self.output.shape;
        let small = self.output.shape.iter().all(|extent| (1..=MAX_EXTENT).contains(extent))
            && channels * height * width <= MAX_VALUES;
        expect(small, "output.shape", &format_args!("{:?}", self.output.shape), "three extents of 1 to 4096")?;
        let whole = self.groups.iter().all(|group| *group >= 1)
            && self.groups.iter().try_fold(0_usize, |sum, group| sum.checked_add(*group)) == Some(channels);
        expect(whole, "groups", &format_args!("{:?}", self.groups), "channel counts that add up to those of the output")
    }

    /// The network as a graph of a bundle would be described.
    pub(super) fn graph(&self) -> Graph {
        let spec = |name: &str, [channels, height, width]: [usize; 3]| TensorSpec {
            name: name.to_owned(),
            dtype: Dtype::Float32,
            shape: Dims(vec![Dim::Batch, Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)]),
            scale: None,
        };
        let image = [3, self.input.height as usize, self.input.width as usize];
        Graph {
            file: self.file.clone(),
            sha256: self.sha256,
            data: Vec::new(),
            inputs: vec![spec(&self.input.name, image)],
            outputs: vec![spec(&self.output.name, self.output.shape)],
        }
    }
}
