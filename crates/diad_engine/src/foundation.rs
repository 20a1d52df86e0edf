//! Foundations on this machine: finding, verifying and running the frozen feature networks that no bundle carries.
//!
//! A foundation is a folder with `foundation.json` and the ONNX file that it names; `make setup-foundation` makes it.

mod error;
mod manifest;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use diad_core::foundation::{Foundation, FoundationError, Normaliser};
use diad_core::prepare::InputSpec;
use diad_core::tensor::{Shape, Tensor};

pub use self::error::FoundationLoadError;
pub(crate) use self::manifest::is_name;
pub use self::manifest::{FoundationManifest, FoundationMark, FoundationSource};
use crate::digest::Digest;
use crate::engine::view;
use crate::error::EngineError;
use crate::manifest::GraphName;
use crate::provider::Provider;
use crate::runtime::Runtime;
use crate::session::{self, Network};

/// Name of the manifest in a foundation's folder.
pub const FOUNDATION_FILE: &str = "foundation.json";

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 16;

/// Where the folder of all foundations lies in a checkout.
const CHECKOUT_FOUNDATIONS_DIR: &str = "target/foundation";
/// Where it lies beside an installed program's folder.
const INSTALLED_FOUNDATIONS_DIR: &str = "share/diad/foundation";

/// The folders in which foundations are looked for, best first.
///
/// If a person has `named` one (settings, then environment), it is the only one: a wrong name must not end in other
/// networks being used. With no name the places are `target/foundation` of the current folder if it is a checkout, then
/// `foundation` beside the folders above the program, then `share/diad/foundation` beside them.
#[must_use]
pub fn foundation_roots(named: Option<&Path>) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named.to_owned()];
    }
    let mut places = vec![PathBuf::from(CHECKOUT_FOUNDATIONS_DIR)];
    let program = std::env::current_exe().unwrap_or_default();
    for folder in program.ancestors().skip(1) {
        places.extend([folder.join("foundation"), folder.join(INSTALLED_FOUNDATIONS_DIR)]);
    }
    if cfg!(debug_assertions) {
        // A build folder outside the checkout has no foundation; the checkout that this was built from has.
        places.extend(
            Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(|root| root.join(CHECKOUT_FOUNDATIONS_DIR)),
        );
    }
    places
}

/// The foundations of this machine. Each is loaded once, when it is first asked for, and shared.
#[derive(Debug)]
pub struct Foundations {
    runtime: &'static Runtime,
    roots: Vec<PathBuf>,
    provider: Provider,
    threads: NonZeroUsize,
    loaded: Mutex<BTreeMap<String, Arc<OnnxFoundation>>>,
}

impl Foundations {
    /// Looks for foundations in `roots` (see [`foundation_roots`]) and computes them on `provider`: the one that the
    /// bundle's networks were loaded on ([`crate::Engine::choice`]). [`Provider::Auto`] is the CPU here. Without a number
    /// of threads they take one per core this process may use.
    #[must_use]
    pub fn new(
        runtime: &'static Runtime,
        roots: Vec<PathBuf>,
        provider: Provider,
        threads: Option<NonZeroUsize>,
    ) -> Self {
        let threads = session::threads(threads);
        Self { runtime, roots, provider, threads, loaded: Mutex::default() }
    }

    /// Where foundations are looked for, best first.
    #[must_use]
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Names of the foundations that are at hand, sorted. Whether they are sound, [`load`](Self::load) finds out.
    #[must_use]
    pub fn at_hand(&self) -> Vec<String> {
        let entries = self.roots.iter().filter_map(|root| std::fs::read_dir(root).ok()).flatten();
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().join(FOUNDATION_FILE).is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_name(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The foundation of this name: verified, loaded and run once on a grey picture.
    ///
    /// # Errors
    /// [`FoundationLoadError`]; each names the file, and what to do.
    pub fn load(&self, name: &str) -> Result<Arc<OnnxFoundation>, FoundationLoadError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(foundation) = loaded.get(name) {
            return Ok(Arc::clone(foundation));
        }
        let folder = self.folder(name)?;
        let foundation = Arc::new(OnnxFoundation::open(self, name, &folder)?);
        tracing::info!(foundation = name, folder = %folder.display(), provider = %self.provider, "foundation ready");
        loaded.insert(name.to_owned(), Arc::clone(&foundation));
        Ok(foundation)
    }

    /// The same, if its network is the one with this digest: what was made with another is of no use.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`FoundationLoadError::Other`] if it is another one.
    pub fn load_exact(&self, name: &str, sha256: Digest) -> Result<Arc<OnnxFoundation>, FoundationLoadError> {
        let foundation = self.load(name)?;
        if foundation.sha256 == sha256 {
            return Ok(foundation);
        }
        Err(FoundationLoadError::Other { name: name.to_owned(), want: sha256, got: foundation.sha256 })
    }

    fn folder(&self, name: &str) -> Result<PathBuf, FoundationLoadError> {
        folder(&self.roots, name)
    }
}

fn folder(roots: &[PathBuf], name: &str) -> Result<PathBuf, FoundationLoadError> {
    let missing = || FoundationLoadError::Missing { name: name.to_owned(), roots: roots.to_vec() };
    if !is_name(name) {
        return Err(missing());
    }
    let mut folders = roots.iter().map(|root| root.join(name));
    folders.find(|folder| folder.join(FOUNDATION_FILE).is_file()).ok_or_else(missing)
}

/// Whether the foundation of this name is in one of `roots`, and is the one whose network has this digest. Loads no runtime
/// and runs nothing.
///
/// # Errors
/// [`FoundationLoadError`]; each names the file, and what to do.
pub fn verify_foundation(roots: &[PathBuf], name: &str, sha256: Digest) -> Result<(), FoundationLoadError> {
    let (manifest, _) = manifest(name, &folder(roots, name)?)?;
    if manifest.sha256 == sha256 {
        return Ok(());
    }
    Err(FoundationLoadError::Other { name: name.to_owned(), want: sha256, got: manifest.sha256 })
}

/// Reads the manifest in a foundation's folder and makes sure that the network is the one that it names. Gives the
/// network's file too.
fn manifest(name: &str, folder: &Path) -> Result<(FoundationManifest, PathBuf), FoundationLoadError> {
    let path = folder.join(FOUNDATION_FILE);
    let json = read(&path, MAX_MANIFEST_BYTES)?;
    let manifest = FoundationManifest::parse(&json, name);
    let manifest = manifest.map_err(|source| FoundationLoadError::Manifest { path, source })?;
    let graph = folder.join(manifest.file.as_path());
    let got = digest(&graph)?;
    if got != manifest.sha256 {
        return Err(FoundationLoadError::Hash { path: graph, want: manifest.sha256, got });
    }
    Ok((manifest, graph))
}

/// A foundation on ONNX Runtime.
#[derive(Debug)]
pub struct OnnxFoundation {
    manifest: FoundationManifest,
    sha256: Digest,
    input: InputSpec,
    shape: Shape,
    worker: Mutex<Worker>,
}

#[derive(Debug)]
struct Worker {
    network: Network,
    normaliser: Normaliser,
}

impl OnnxFoundation {
    fn open(machine: &Foundations, name: &str, folder: &Path) -> Result<Self, FoundationLoadError> {
        let (manifest, graph_path) = manifest(name, folder)?;
        let FoundationManifest { input, sha256, .. } = &manifest;
        let sha256 = *sha256;
        let input = InputSpec::try_new(input.width, input.height, input.mean, input.std)
            .map_err(|source| FoundationLoadError::Input { path: folder.join(FOUNDATION_FILE), source })?;
        let failed = |source| FoundationLoadError::Network { name: name.to_owned(), source: Box::new(source) };
        let builder = session::builder(machine.runtime, machine.provider, machine.threads)
            .map_err(|source| failed(EngineError::Load { graph: GraphName::Foundation, path: graph_path, source }))?;
        let network = Network::load(GraphName::Foundation, &manifest.graph(), folder, builder).map_err(failed)?;
        let [channels, height, width] = manifest.output.shape;
        let worker = Worker { network, normaliser: Normaliser::new(manifest.groups.clone()) };
        let shape = [1, channels, height, width];
        let foundation = Self { manifest, sha256, input, shape, worker: Mutex::new(worker) };
        foundation.warm_up().map_err(|source| FoundationLoadError::WarmUp { name: name.to_owned(), source })?;
        Ok(foundation)
    }

    /// Sends a mid-grey picture through the network: the first part is not slower than the others, and no number that is
    /// not finite comes as a surprise.
    fn warm_up(&self) -> Result<(), FoundationError> {
        let mut image = Tensor::zeros(self.input.shape());
        let plane = image.data().len() / 3;
        for (channel, values) in image.data_mut().chunks_exact_mut(plane).enumerate() {
            values.fill((0.5 - self.input.mean()[channel]) / self.input.std()[channel]);
        }
        self.patches(&image, &mut Tensor::zeros(self.shape))
    }

    /// Digest of its network: what it gives belongs to this file alone.
    #[must_use]
    pub const fn sha256(&self) -> Digest {
        self.sha256
    }

    /// Its manifest.
    #[must_use]
    pub const fn manifest(&self) -> &FoundationManifest {
        &self.manifest
    }
}

impl Foundation for OnnxFoundation {
    fn name(&self) -> &str {
        &self.manifest.name
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn patches(&self, image: &Tensor, out: &mut Tensor) -> Result<(), FoundationError> {
        // A panic while it was held leaves nothing half done that the next run would read.
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| FoundationError { name: self.manifest.name.clone(), source };
        let inputs = view(image).map(|image| [image]);
        worker.network.run(inputs, std::slice::from_mut(out)).map_err(|error| failed(error.into()))?;
        worker.normaliser.normalise(out).map_err(|error| failed(error.into()))
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FoundationLoadError> {
    let unread = |source| FoundationLoadError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(unread)?.take(limit + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > limit {
        return Err(FoundationLoadError::Large { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn digest(path: &Path) -> Result<Digest, FoundationLoadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(FoundationLoadError::File { path: path.to_owned() });
        }
        Err(source) => return Err(FoundationLoadError::Read { path: path.to_owned(), source }),
    };
    Digest::of_reader(file).map_err(|source| FoundationLoadError::Read { path: path.to_owned(), source })
}
