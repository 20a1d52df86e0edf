//! The fixture bundle, whole and with one thing wrong, and the runtime library.

use std::fs;
use std::path::{Path, PathBuf};

use diad_core::tensor::{Shape, Tensor};
use diad_engine::{Bundle, Digest, Engine, EngineError, EngineOptions, Provider, Runtime};
use serde_json::Value;
use tempfile::TempDir;

/// The ONNX Runtime library. A test that cannot have it fails and says what to do.
pub fn runtime() -> &'static Runtime {
    Runtime::load(&[]).unwrap_or_else(|error| panic!("these tests need ONNX Runtime, run `make setup`: {error}"))
}

/// Folder of the fixture bundle; `fixtures/make_micro.py` makes it.
pub fn micro() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/micro")
}

/// Folder of the fixture bundle with a representation latent and an overlay of the product washer.
pub fn micro_latent() -> PathBuf {
    micro().with_file_name("micro-latent")
}

/// Folder of the fixture foundations, of which there is one: `micro`.
pub fn foundations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foundation")
}

/// A copy of the fixture bundle that a test may break.
pub struct Copy(TempDir);

impl Copy {
    pub fn new() -> Self {
        Self::of(&micro())
    }

    /// Of another fixture.
    pub fn of(bundle: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        for entry in fs::read_dir(bundle).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Self(folder)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Replaces a value of the manifest.
    pub fn edit(&self, pointer: &str, value: Value) -> &Self {
        let path = self.path("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        *manifest.pointer_mut(pointer).unwrap() = value;
        fs::write(path, manifest.to_string()).unwrap();
        self
    }

    /// Gives a file new bytes and makes the manifest agree.
    pub fn replace(&self, entry: &str, file: &str, bytes: &[u8]) -> &Self {
        fs::write(self.path(file), bytes).unwrap();
        self.edit(&format!("{entry}/file"), file.into())
            .edit(&format!("{entry}/sha256"), Digest::of(bytes).to_string().into())
    }

    pub fn bundle(&self) -> Bundle {
        Bundle::open(self.0.path()).unwrap()
    }

    /// Loads the copy's networks on the CPU.
    pub fn engine(&self) -> Result<Engine, EngineError> {
        Engine::load(runtime(), &self.bundle(), &EngineOptions { provider: Provider::Cpu, threads: None })
    }
}

/// Values that the fixture's recipe makes by the same formula.
pub fn wave(shape: Shape, step: usize, modulus: usize) -> Tensor {
    let half = (modulus - 1) as f64 / 2.0;
    let values = (0..shape.iter().product()).map(|i: usize| ((i * step % modulus) as f64 / half - 1.0) as f32);
    Tensor::from_vec(shape, values.collect()).unwrap()
}

/// Fails unless first value, last value and mean of each output are what the reference evaluator gives.
pub fn check_expected(graph: &str, outputs: &[Tensor]) {
    /// The two runtimes add up products in different orders.
    const NEAR: f64 = 1e-5;
    let text = fs::read(micro().with_file_name("micro_expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&text).unwrap();
    for (index, output) in outputs.iter().enumerate() {
        let values = output.data();
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        let found = [f64::from(values[0]), f64::from(values[values.len() - 1]), mean];
        for (place, got) in found.into_iter().enumerate() {
            let want = expected[graph][index][place].as_f64().unwrap();
            assert!((got - want).abs() < NEAR, "{graph} output {index} value {place}: {got}, expected {want}");
        }
    }
}

/// An error and its causes, as an operator reads them.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
