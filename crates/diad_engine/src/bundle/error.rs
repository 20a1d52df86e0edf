//! Why a bundle is not used.

use std::path::PathBuf;

use crate::digest::Digest;
use crate::manifest::ManifestError;
use crate::overlay::OverlayError;

/// A bundle that is not used. Nothing of it has been loaded.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is no such folder, or it is closed to this process.
    #[error("model folder {folder} does not exist or cannot be entered; name a folder that holds a manifest.json", folder = .folder.display())]
    Folder {
        /// The path given.
        folder: PathBuf,
    },
    /// The folder holds no manifest.
    #[error("{path} is missing; name a folder that an export has finished", path = .path.display())]
    NoManifest {
        /// Where it should be.
        path: PathBuf,
    },
    /// The manifest is too large to be one.
    #[error("{path} has more than {limit} bytes; a manifest is smaller", path = .path.display())]
    LargeManifest {
        /// The file.
        path: PathBuf,
        /// Largest size that is read, in bytes.
        limit: u64,
    },
    /// The manifest cannot be used.
    #[error("manifest {path}", path = .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// A file that the manifest names is not there.
    #[error("{what}: {path} is missing; copy or export the whole bundle again", path = .path.display())]
    Missing {
        /// What the file is.
        what: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file is not the one the manifest was made for.
    #[error(
        "{what}: {path} has sha256 {got}, manifest says {want}; copy or export the whole bundle again",
        path = .path.display()
    )]
    Hash {
        /// What the file is.
        what: String,
        /// The file.
        path: PathBuf,
        /// Digest in the manifest.
        want: Digest,
        /// Digest of the file.
        got: Digest,
    },
    /// A file cannot be read.
    #[error("read {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A noise file does not hold one latent.
    #[error("{path} has {got} bytes, one latent takes {want}; export the bundle again", path = .path.display())]
    NoiseLength {
        /// The file.
        path: PathBuf,
        /// Bytes of one latent.
        want: usize,
        /// Bytes of the file.
        got: usize,
    },
    /// A noise file holds NaN or an infinity.
    #[error("{path} is {value} at value {index}; export the bundle again", path = .path.display())]
    NoiseNonFinite {
        /// The file.
        path: PathBuf,
        /// Index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// An overlay of the bundle cannot be used.
    #[error("overlay of the bundle; copy or export the whole bundle again")]
    Overlay {
        /// What is wrong with it.
        #[source]
        source: OverlayError,
    },
    /// An overlay of the bundle does not fit its manifest.
    #[error("overlay {path} {what}; export the bundle again", path = .path.display())]
    OverlayMisfit {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// The core refuses a part of the method that the manifest describes.
    #[error("manifest {path}: {section}", path = .path.display())]
    Method {
        /// The manifest.
        path: PathBuf,
        /// Section of the manifest.
        section: &'static str,
        /// The core's reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
