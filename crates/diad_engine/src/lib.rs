//! The networks: model bundle, ONNX Runtime library, providers and sessions. The only crate that names `ort`.
//!
//! The way to a running engine has three steps, each of which can fail with a reason a person can act on:
//!
//! 1. [`Runtime::load`] finds and loads the ONNX Runtime library;
//! 2. [`Bundle::open`] reads the [`manifest`] and verifies every file that it names;
//! 3. [`Engine::load`] chooses a [`Provider`], loads the five networks, holds them to the manifest and runs each once.
//!
//! An [`Engine`] implements [`diad_core::graphs::Graphs`]; [`Bundle::method`] is the rest that the core's inspector needs.
//! [`Foundations`] finds the frozen feature networks that no bundle carries, and an [`Overlay`] holds what a product adds to
//! a model: banks of good patches and the scale on which the witnesses are joined.
//!
//! Every output is checked for its shape and for NaN before the core sees it.

mod bundle;
mod digest;
mod engine;
mod error;
mod foundation;
pub mod manifest;
mod overlay;
mod provider;
mod runtime;
mod session;

pub use bundle::{Bundle, BundleError, MANIFEST_FILE};
pub use digest::{Digest, DigestError};
pub use engine::{Engine, EngineOptions};
pub use error::EngineError;
pub use foundation::{
    FOUNDATION_FILE, FoundationLoadError, FoundationManifest, FoundationMark, FoundationSource, Foundations,
    OnnxFoundation, foundation_roots, verify_foundation,
};
pub use manifest::{GraphName, Manifest, ManifestError};
pub use overlay::{JoinEntry, MAX_OVERLAY_BYTES, OVERLAY_EXTENSION, Overlay, OverlayError, OverlayHeader};
pub use provider::{Provider, ProviderChoice, ProviderError};
pub use runtime::{LibraryAttempt, LibraryAttempts, Runtime, RuntimeError};
