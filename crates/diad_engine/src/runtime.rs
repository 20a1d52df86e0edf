//! Finding and loading the ONNX Runtime library: one library and one environment per process.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;

const LIBRARY: &str = "libonnxruntime.so";

/// The loaded ONNX Runtime library.
#[derive(Debug)]
pub struct Runtime {
    path: PathBuf,
    environment: Environment,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// One place where the library was looked for, and what was wrong there.
#[derive(Debug)]
pub struct LibraryAttempt {
    /// The file, or a bare name that the system's loader looks up.
    pub path: PathBuf,
    /// Why it is not used.
    pub source: ort::LoadDynamicError,
}

/// The places tried, in order.
#[derive(Debug)]
pub struct LibraryAttempts(pub Vec<LibraryAttempt>);

impl fmt::Display for LibraryAttempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, LibraryAttempt { path, source }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: ", path.display())?;
            match source {
                // The loader's own text says "dlopen failed" and hides the reason one level down.
                ort::LoadDynamicError::Dlopen { error, .. } => match error.source() {
                    Some(reason) => write!(f, "{reason}")?,
                    None => write!(f, "{error}")?,
                },
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

/// The library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No place holds a library that loads.
    #[error(
        "no ONNX Runtime library of version 1.{min} or newer; `make setup` fetches one, or name one with ORT_DYLIB_PATH; tried {tried}",
        min = ort::MINOR_VERSION
    )]
    NotFound {
        /// Every place tried, with its reason.
        tried: LibraryAttempts,
    },
    /// The library loads but does not start.
    #[error("start the ONNX Runtime library {path}", path = .path.display())]
    Start {
        /// The library.
        path: PathBuf,
        /// The library's reason.
        #[source]
        source: ort::Error,
    },
    /// This process has already loaded another library.
    #[error(
        "the ONNX Runtime library {loaded} is in use; name another one before the first model is loaded",
        loaded = .loaded.display()
    )]
    Loaded {
        /// The library in use.
        loaded: PathBuf,
    },
}

impl Runtime {
    /// Loads the library, or gives the one this process has loaded.
    ///
    /// If a person has `named` libraries (settings, then `ORT_DYLIB_PATH`), only they are tried, in that order: a wrong name
    /// must not end in another library being used. With no name the places are `lib/` beside the program, the checkout's
    /// `target/ort/lib`, `/usr/lib/diad`, and the system's loader.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn load(named: &[&Path]) -> Result<&'static Self, RuntimeError> {
        let _guard = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            let in_use = named.is_empty() || named.iter().any(|path| resolved(path) == runtime.path);
            return if in_use { Ok(runtime) } else { Err(RuntimeError::Loaded { loaded: runtime.path.clone() }) };
        }
        let places = if named.is_empty() { places() } else { named.iter().map(|path| (*path).to_owned()).collect() };
        let mut tried = Vec::new();
        for place in places {
            // `ort::init` would panic on a missing library; `init_from` says what is wrong with it.
            match ort::init_from(&place) {
                Ok(builder) => {
                    let path = resolved(&place);
                    let start = |source| RuntimeError::Start { path: path.clone(), source };
                    let environment = builder.with_name("diad").with_telemetry(false).build().map_err(start)?;
                    // The library formats every message before anyone filters it, so most are turned off at the source.
                    environment.set_log_level(ort::logging::LogLevel::Warning);
                    tracing::debug!(path = %path.display(), build = ort::info(), "ONNX Runtime loaded");
                    return Ok(RUNTIME.get_or_init(|| Self { path, environment }));
                }
                Err(source) => {
                    tracing::debug!(path = %place.display(), reason = %source, "no ONNX Runtime here");
                    tried.push(LibraryAttempt { path: place, source });
                }
            }
        }
        Err(RuntimeError::NotFound { tried: LibraryAttempts(tried) })
    }

    /// The library's file, links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library's version, such as `1.24.4`, if its file name tells: the library itself gives only [`build_info`].
    ///
    /// [`build_info`]: Self::build_info
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.path.file_name()?.to_str()?.split_once(".so.").map(|(_, version)| version)
    }

    /// What the library says of its own build: branch, commit, flags.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    pub(crate) const fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The file itself, links resolved. What a relative path or a bare name means is the system loader's affair; once a
/// library is loaded, the process's own map of its memory tells.
fn resolved(path: &Path) -> PathBuf {
    if path.is_absolute() {
        return path.canonicalize().unwrap_or_else(|_| path.to_owned());
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut files = maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    let mapped = files.find(|file| file.file_name().is_some_and(|found| found.to_string_lossy().starts_with(&*name)));
    mapped.unwrap_or(path).to_owned()
}

/// Where the library is looked for if nobody names one.
fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(program) = std::env::current_exe() {
        places.extend(program.parent().map(|folder| folder.join("lib").join(LIBRARY)));
        let target = program.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "target"));
        places.extend(target.map(|folder| folder.join("ort/lib").join(LIBRARY)));
    }
    if cfg!(debug_assertions) {
        // A build folder outside the checkout has no library; the checkout that this was built from has.
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let place = checkout.map(|root| root.join("target/ort/lib").join(LIBRARY));
        places.extend(place.filter(|place| !places.contains(place)));
    }
    places.push(Path::new("/usr/lib/diad").join(LIBRARY));
    places.push(PathBuf::from(LIBRARY));
    places
}
