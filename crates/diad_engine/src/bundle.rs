//! A model bundle: a folder with a manifest and the files it names, verified before anything is used.

mod error;
mod method;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diad_core::graphs::{GraphShapes, LatentShapes};
use diad_core::inspector::Method;
use diad_core::schedule::Schedule;
use diad_core::tensor::Shape;

pub use self::error::BundleError;
use crate::digest::Digest;
use crate::manifest::{Dim, Manifest, OverlayEntry, RepresentationSpec, TensorSpec};
use crate::overlay::Overlay;

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
    latent: Option<LatentShapes>,
    overlays: Vec<Arc<Overlay>>,
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
        let latent = manifest.representation.as_ref().map(latent_shapes);
        let (schedule, method) = method::assemble(&folder, &manifest, shapes.latent)?;
        let overlays = manifest.overlays.iter().map(|entry| overlay(&folder, &manifest, entry));
        let overlays = overlays.collect::<Result<_, _>>()?;
        Ok(Self { folder, manifest, model_id, shapes, schedule, method, latent, overlays })
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

    /// Shapes in the representation latent, if the model has one.
    #[must_use]
    pub const fn latent_shapes(&self) -> Option<LatentShapes> {
        self.latent
    }

    /// What a product adds to the model, if that lies inside the bundle.
    #[must_use]
    pub fn overlay(&self, product: &str) -> Option<&Arc<Overlay>> {
        self.overlays.iter().find(|overlay| overlay.header().product == product)
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

/// Reads an overlay of the bundle, which must be one of this very bundle.
fn overlay(folder: &Path, manifest: &Manifest, entry: &OverlayEntry) -> Result<Arc<Overlay>, BundleError> {
    let path = folder.join(entry.file.as_path());
    let overlay = Overlay::open(&path, Some(entry.sha256)).and_then(|overlay| {
        overlay.expect_product(&entry.product)?;
        Ok(overlay)
    });
    let overlay = overlay.map_err(|source| BundleError::Overlay { source })?;
    let header = overlay.header();
    let unlisted = header.foundations.iter().find(|mark| !manifest.foundations.contains(mark));
    let latent = header.join.iter().any(|entry| entry.witness == "latent");
    let what = match unlisted {
        _ if header.model.is_some() => "names a model; inside a bundle that must be null".to_owned(),
        Some(mark) => {
            format!("needs foundation {} with sha256 {}, which the manifest does not list", mark.name, mark.sha256)
        }
        None if latent && manifest.representation.is_none() => {
            "joins a representation latent, which the manifest does not have".to_owned()
        }
        None => return Ok(Arc::new(overlay)),
    };
    Err(BundleError::OverlayMisfit { path, what })
}

/// The shape of a tensor. The manifest's check has made sure that every extent is there.
fn shape(batch: usize, tensor: &TensorSpec) -> Shape {
    let mut shape = [batch; 4];
    for (extent, dim) in shape.iter_mut().zip(&tensor.shape.0) {
        if let Dim::Fixed(fixed) = dim {
            *extent = *fixed;
        }
    }
    shape
}

fn latent_shapes(representation: &RepresentationSpec) -> LatentShapes {
    let inputs = &representation.graphs.denoiser.inputs;
    LatentShapes { latent: shape(1, &inputs[0]), hint: shape(1, &inputs[1]) }
}

/// The shapes of one part.
fn shapes(manifest: &Manifest) -> GraphShapes {
    let graphs = &manifest.graphs;
    GraphShapes {
        image: shape(1, &graphs.encoder.inputs[0]),
        latent: shape(1, &graphs.denoiser.inputs[0]),
        hint: shape(1, &graphs.denoiser.inputs[1]),
        features: graphs.features.outputs.iter().map(|layer| shape(2, layer)).collect(),
    }
}
