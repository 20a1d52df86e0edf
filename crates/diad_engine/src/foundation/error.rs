//! Why a foundation is not used.

use std::fmt::Write as _;
use std::path::PathBuf;

use diad_core::foundation::FoundationError;
use diad_core::prepare::PrepareError;

use crate::digest::Digest;
use crate::error::EngineError;
use crate::manifest::ManifestError;

/// A foundation that is not used. Nothing depends on it yet.
#[derive(Debug, thiserror::Error)]
pub enum FoundationLoadError {
    /// It is in none of the places.
    #[error("foundation {name} is missing; `make setup-foundation` fetches it; looked in {}", list(.roots))]
    Missing {
        /// The foundation.
        name: String,
        /// Folders in which it was looked for.
        roots: Vec<PathBuf>,
    },
    /// The manifest is too large to be one.
    #[error("{path} has more than {limit} bytes; run `make setup-foundation` again", path = .path.display())]
    Large {
        /// The file.
        path: PathBuf,
        /// Largest size that is read, in bytes.
        limit: u64,
    },
    /// The manifest cannot be used.
    #[error("manifest {path}; run `make setup-foundation` again", path = .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// The network's file is not there.
    #[error("{path} is missing; run `make setup-foundation` again", path = .path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
    },
    /// The network's file is not the one that the manifest was made for.
    #[error(
        "{path} has sha256 {got}, its manifest says {want}; run `make setup-foundation` again",
        path = .path.display()
    )]
    Hash {
        /// The file.
        path: PathBuf,
        /// Digest in the manifest.
        want: Digest,
        /// Digest of the file.
        got: Digest,
    },
    /// It is sound, but not the one that is needed.
    #[error(
        "foundation {name} here has sha256 {got}, {want} is needed; set up that one, or learn the product again with this one"
    )]
    Other {
        /// The foundation.
        name: String,
        /// Digest that is needed.
        want: Digest,
        /// Digest of the one at hand.
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
    /// The core refuses the input that the manifest describes.
    #[error("input of manifest {path}; run `make setup-foundation` again", path = .path.display())]
    Input {
        /// The manifest.
        path: PathBuf,
        /// The core's reason.
        #[source]
        source: PrepareError,
    },
    /// The network cannot be loaded, or is not the one that the manifest describes.
    #[error("load foundation {name}; `make setup-foundation` fetches it again")]
    Network {
        /// The foundation.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Box<EngineError>,
    },
    /// The first run, on a grey picture, failed.
    #[error("warm up foundation {name}; `make setup-foundation` fetches it again")]
    WarmUp {
        /// The foundation.
        name: String,
        /// What went wrong.
        #[source]
        source: FoundationError,
    },
}

fn list(roots: &[PathBuf]) -> String {
    let mut text = String::new();
    for (index, root) in roots.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{}", if index == 0 { "" } else { ", " }, root.display());
    }
    text
}
