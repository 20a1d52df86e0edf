//! A model bundle: a folder with a manifest and the files it names, verified before anything is used.

mod error;
mod method;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use diad_core::graphs::GraphShapes;
use diad_core::inspector::Method;
use diad_core::schedule::Schedule;

pub use self::error::BundleError;
use crate::digest::Digest;
use crate::manifest::{Dim, Manifest, TensorSpec};

/// Name of the manifest in a bundle's folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A verified model bundle. Every file was there and had its digest when the bundle was opened.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    manifest: Manifest,
    model_id: String,
    shapes: GraphShapes,
    schedule: Schedule,
    method: Method,
}

impl Bundle {
    /// Opens a folder: reads and checks the manifest, then every file that it names.
    ///
    /// # Errors
    /// [`BundleError`]; each names the file, and what to do.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, BundleError> {
        let folder = folder.into();
        if !folder.is_dir() {
            return Err(BundleError::Folder { folder });
        }
        let json = read_manifest(&folder)?;
        let model_id = format!("sha256:{}", Digest::of(&json));
        let manifest = Manifest::parse(&json)
            .map_err(|source| BundleError::Manifest { path: folder.join(MANIFEST_FILE), source })?;
        for (what, file, want) in manifest.files() {
            verify(what, folder.join(file.as_path()), *want)?;
        }
        let shapes = shapes(&manifest);
        let (schedule, method) = method::assemble(&folder, &manifest, shapes.latent)?;
        Ok(Self { folder, manifest, model_id, shapes, schedule, method })
    }

    /// Names this model for ever: `sha256:` and the digest of the manifest, which holds the digests of all files.
    #[must_use]
    pub fn model_id(&self) -> &str {
        &self.model_id
    }

    /// The manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Shapes of the networks' tensors for one part.
    #[must_use]
    pub const fn shapes(&self) -> &GraphShapes {
        &self.shapes
    }

    /// All that the core needs besides the networks.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The noise schedule, for a step list other than the bundle's.
    #[must_use]
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}

fn read_manifest(folder: &Path) -> Result<Vec<u8>, BundleError> {
    let path = folder.join(MANIFEST_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(BundleError::NoManifest { path }),
        Err(source) => return Err(BundleError::Read { path, source }),
    };
    let mut json = Vec::new();
    if let Err(source) = file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut json) {
        return Err(BundleError::Read { path, source });
    }
    if json.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(BundleError::LargeManifest { path, limit: MAX_MANIFEST_BYTES });
    }
    Ok(json)
}

/// Refuses a file that is missing or is not the one the manifest was made for.
fn verify(what: String, path: PathBuf, want: Digest) -> Result<(), BundleError> {
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(BundleError::Missing { what, path }),
        Err(source) => return Err(BundleError::Read { path, source }),
    };
    match Digest::of_reader(file) {
        Ok(got) if got == want => Ok(()),
        Ok(got) => Err(BundleError::Hash { what, path, want, got }),
        Err(source) => Err(BundleError::Read { path, source }),
    }
}

/// The shapes of one part. The manifest's check has made sure that every extent is there.
fn shapes(manifest: &Manifest) -> GraphShapes {
    let graphs = &manifest.graphs;
    let shape = |batch: usize, tensor: &TensorSpec| {
        let mut shape = [batch; 4];
        for (extent, dim) in shape.iter_mut().zip(&tensor.shape.0) {
            if let Dim::Fixed(fixed) = dim {
                *extent = *fixed;
            }
        }
        shape
    };
    GraphShapes {
        image: shape(1, &graphs.encoder.inputs[0]),
        latent: shape(1, &graphs.denoiser.inputs[0]),
        hint: shape(1, &graphs.denoiser.inputs[1]),
        features: graphs.features.outputs.iter().map(|layer| shape(2, layer)).collect(),
    }
}
