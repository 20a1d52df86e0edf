//! From a bundle's folder to a method that is ready to judge: library, verified bundle, warmed-up networks.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diad_core::inspector::{Inspector, Method, MethodError};
use diad_core::schedule::{Ddim, ScheduleError, Step};
use diad_engine::{
    Bundle, BundleError, Engine, EngineError, EngineOptions, Foundations, OverlayError, Provider, Runtime,
    RuntimeError, foundation_roots,
};
use diad_publish::wire::{Digest, DigestError};
use tracing::info;

use crate::chain::chain;
use crate::exit::Exit;
use crate::learnt::{Overlays, Store};
use crate::settings::{self, Variable};
use crate::yaml::Fault;

/// Names the library file where the settings do not.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Names the folder of all foundations where the settings do not.
const FOUNDATIONS_VARIABLE: &str = "DIAD_FOUNDATIONS";

/// The model that ships, from the root of a checkout.
const CHECKOUT_MODEL_DIR: &str = "onnx/models/diad-tiny";
/// The model that ships, from the folder above an installed program's.
const INSTALLED_MODEL_DIR: &str = "share/diad/models/diad-tiny";

/// Folder of the model that ships with this program: that of the current folder if it is a checkout, else the one
/// beside the program, built or installed. Where there is none, the first place is named all the same.
#[must_use]
pub fn default_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let beside =
        program.ancestors().flat_map(|folder| [folder.join(CHECKOUT_MODEL_DIR), folder.join(INSTALLED_MODEL_DIR)]);
    std::iter::once(PathBuf::from(CHECKOUT_MODEL_DIR))
        .chain(beside)
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| PathBuf::from(CHECKOUT_MODEL_DIR))
}

/// What to load and how.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    /// Folder of the bundle.
    pub folder: PathBuf,
    /// What computes the networks.
    pub provider: Provider,
    /// Denoising steps; none takes the bundle's own list.
    pub steps: Option<u32>,
    /// CPU threads; none takes one per core.
    pub threads: Option<NonZeroUsize>,
    /// The runtime library; none searches for it.
    pub library: Option<PathBuf>,
    /// Folder of all foundations; none searches for it.
    pub foundations: Option<PathBuf>,
}

impl ModelSpec {
    /// A bundle with everything else left to the program.
    #[must_use]
    pub fn of_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            provider: Provider::Auto,
            steps: None,
            threads: None,
            library: None,
            foundations: None,
        }
    }

    /// The one that is named; else that of a station, so that its scores come out; else the program's own.
    ///
    /// # Errors
    /// Every fault of the station's settings.
    pub fn meant(folder: Option<&Path>, station: Option<&Path>, variables: &[Variable]) -> Result<Self, Vec<Fault>> {
        match (folder, station) {
            (Some(folder), _) => Ok(Self::of_folder(folder)),
            (None, Some(file)) => Ok(Self::from_settings(settings::load(file, variables)?.engine())),
            (None, None) => Ok(Self::of_folder(&default_folder())),
        }
    }

    /// What the settings ask for.
    #[must_use]
    pub fn from_settings(engine: &settings::Engine) -> Self {
        let threads = engine.threads.and_then(|n| NonZeroUsize::new(n as usize));
        let settings::Engine { model, provider, steps, library, foundations, .. } = engine.clone();
        Self { folder: model, provider, steps, threads, library, foundations }
    }
}

/// A method that is ready to judge.
pub struct Model {
    /// The verified bundle.
    pub bundle: Bundle,
    /// Which bundle this is, for verdicts.
    pub digest: Digest,
    /// The method with its networks, warmed up.
    pub inspector: Inspector<Engine>,
    /// The foundations of this machine, computed where the model is; none is loaded yet.
    pub foundations: Arc<Foundations>,
}

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No usable runtime library.
    #[error("load ONNX Runtime; `make setup` fetches it")]
    Runtime(#[from] RuntimeError),
    /// The bundle is not sound.
    #[error("open the model bundle")]
    Bundle(#[from] BundleError),
    /// The networks cannot be run.
    #[error("load the networks")]
    Engine(#[from] EngineError),
    /// The step list asked for makes no sense with this bundle.
    #[error("use {steps} denoising steps; this model takes 1 to {most}")]
    Steps {
        /// Steps asked for.
        steps: u32,
        /// The most there can be.
        most: usize,
        /// Why not.
        #[source]
        source: ScheduleError,
    },
    /// The bundle's own mark is not a digest.
    #[error("name the model")]
    Digest(#[from] DigestError),
    /// Networks and method do not fit.
    #[error("join the networks")]
    Method(#[from] MethodError),
    /// What products add to the model cannot be used.
    #[error("load what products add to the model")]
    Overlay(#[source] Box<OverlayError>),
}

impl From<OverlayError> for ModelError {
    fn from(error: OverlayError) -> Self {
        Self::Overlay(Box::new(error))
    }
}

impl ModelError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Runtime(_) | Self::Engine(EngineError::Provider(_) | EngineError::Refused { .. }) => {
                Exit::Unavailable
            }
            Self::Overlay(_) => Exit::Unavailable,
            Self::Bundle(_) | Self::Engine(_) | Self::Method(_) => Exit::BadData,
            Self::Steps { .. } => Exit::Settings,
            Self::Digest(_) => Exit::Bug,
        }
    }
}

impl Model {
    /// Loads the library, verifies the bundle, loads the networks and runs them once.
    ///
    /// # Errors
    /// [`ModelError`]. A provider asked for by name that cannot run is an error; `auto` logs what it took and why.
    pub fn load(spec: &ModelSpec, variables: &[Variable]) -> Result<Self, ModelError> {
        let Parts { bundle, digest, engine, method, foundations, .. } = Parts::load(spec, variables)?;
        Ok(Self { digest, inspector: Inspector::try_new(engine, method)?, bundle, foundations })
    }

    /// What products add to this model: what it brings, and what was learnt beside it, if there is a store.
    ///
    /// # Errors
    /// [`OverlayError::Foundation`] if a foundation that the model needs is not here.
    pub fn overlays(&self, store: Option<Store>) -> Result<Overlays, OverlayError> {
        Overlays::new(&self.bundle, &self.foundations, self.digest, store)
    }

    /// How to load this model anew. Another one in its folder is refused: verdicts name the model they were made with.
    #[must_use]
    pub fn rebuild(
        &self,
        spec: ModelSpec,
        variables: Vec<Variable>,
    ) -> Box<dyn FnMut() -> Result<Inspector<Engine>, String> + Send> {
        let digest = self.digest;
        Box::new(move || match Self::load(&spec, &variables) {
            Ok(model) if model.digest == digest => Ok(model.inspector),
            Ok(model) => Err(format!("{} holds another model by now: {}", spec.folder.display(), model.digest)),
            Err(error) => Err(chain(&error)),
        })
    }
}

/// What a [`Model`] is joined from, for those who put something between networks and method.
pub struct Parts {
    /// The library.
    pub runtime: &'static Runtime,
    /// The verified bundle.
    pub bundle: Bundle,
    /// Which bundle this is, for verdicts.
    pub digest: Digest,
    /// The networks, warmed up.
    pub engine: Engine,
    /// The method, with the step list asked for.
    pub method: Method,
    /// The foundations of this machine, computed where the model is; none is loaded yet.
    pub foundations: Arc<Foundations>,
}

impl Parts {
    /// Loads the library, verifies the bundle, loads the networks and runs them once.
    ///
    /// # Errors
    /// [`ModelError`], but for [`ModelError::Method`].
    pub fn load(spec: &ModelSpec, variables: &[Variable]) -> Result<Self, ModelError> {
        let runtime = load_runtime(spec.library.as_deref(), variables)?;
        info!(library = %runtime.path().display(), version = runtime.version().unwrap_or("unknown"), "ONNX Runtime loaded");
        let bundle = Bundle::open(&spec.folder)?;
        let method = method(&bundle, spec.steps)?;
        let engine = Engine::load(runtime, &bundle, &EngineOptions { provider: spec.provider, threads: spec.threads })?;
        let choice = engine.choice();
        for (provider, reason) in &choice.refused {
            info!(%provider, %reason, "provider passed over");
        }
        info!(provider = %choice.taken, model = bundle.model_id(), name = bundle.manifest().name, "networks warmed up");
        let digest = Digest::try_from_hex(bundle.model_id())?;
        let roots = roots(spec.foundations.as_deref(), variables);
        let foundations = Foundations::new(runtime, roots, choice.taken, spec.threads);
        Ok(Self { runtime, bundle, digest, engine, method, foundations: Arc::new(foundations) })
    }
}

/// Where foundations are looked for, best first: in the folder that the settings name, else in the one that the environment
/// names, else in the usual places.
#[must_use]
pub fn roots(folder: Option<&Path>, variables: &[Variable]) -> Vec<PathBuf> {
    let named = variables.iter().find(|(name, _)| name == FOUNDATIONS_VARIABLE).map(|(_, path)| Path::new(path));
    foundation_roots(folder.or(named))
}

/// Loads ONNX Runtime: the library that the settings name, else the one that the environment names, else one found.
///
/// # Errors
/// [`RuntimeError`].
pub fn load_runtime(library: Option<&Path>, variables: &[Variable]) -> Result<&'static Runtime, RuntimeError> {
    let from_environment = variables.iter().find(|(name, _)| name == LIBRARY_VARIABLE).map(|(_, path)| Path::new(path));
    let named: Vec<&Path> = library.or(from_environment).into_iter().collect();
    Runtime::load(&named)
}

/// The bundle's method, with another number of steps if one is asked for.
///
/// # Errors
/// [`ModelError::Steps`].
pub fn method(bundle: &Bundle, steps: Option<u32>) -> Result<Method, ModelError> {
    let mut method = bundle.method().clone();
    if let Some(steps) = steps {
        let most = match &bundle.manifest().sampler.known {
            Some(known) => known.len(),
            None => usize::from(first_step(&method.ddim).get().max(1)),
        };
        method.ddim = with_steps(bundle, steps).map_err(|source| ModelError::Steps { steps, most, source })?;
    }
    Ok(method)
}

/// Another number of steps from the bundle's own start: evenly spread over the steps that the denoiser knows, the first
/// at the bundle's first.
fn with_steps(bundle: &Bundle, count: u32) -> Result<Ddim, ScheduleError> {
    let ddim = &bundle.method().ddim;
    let first = u32::from(first_step(ddim).get());
    let step = |i: u32| match &bundle.manifest().sampler.known {
        Some(known) => known.get(known.len() * i as usize / count as usize).copied().unwrap_or(0),
        None => first - first * i / count,
    };
    let steps = (0..count).map(|i| Step::try_new(step(i))).collect::<Result<Vec<_>, _>>()?;
    Ddim::try_new(bundle.schedule(), ddim.start(), &steps, ddim.last_previous())
}

/// The step that the way back begins with; evenly spaced steps below it are at most as many as its number.
fn first_step(ddim: &Ddim) -> Step {
    ddim.updates().first().map_or(ddim.start(), |update| update.step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meant_is_the_named_model_else_the_stations_else_the_programs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("diad.yaml");
        let settings = "line: L1\nstation: S1\ncameras:\n  - { id: a, source: { kind: rendered }, trigger: { kind: camera } }\n\
                        deadline_ms: 200\nengine: { model: /of/the/station, steps: 1, provider: cpu }\n";
        std::fs::write(&file, settings).unwrap();
        let meant = |named: Option<&str>, station: Option<&Path>| {
            let spec = ModelSpec::meant(named.map(Path::new), station, &[]).unwrap();
            (spec.folder.display().to_string(), spec.steps, spec.provider)
        };
        assert_eq!(meant(None, Some(&file)), ("/of/the/station".to_owned(), Some(1), Provider::Cpu));
        assert_eq!(meant(Some("/named"), Some(&file)), ("/named".to_owned(), None, Provider::Auto));
        assert_eq!(meant(None, None), (default_folder().display().to_string(), None, Provider::Auto));
        std::fs::write(&file, "line: 3\n").unwrap();
        assert!(!ModelSpec::meant(None, Some(&file), &[]).unwrap_err().is_empty());
    }
}
