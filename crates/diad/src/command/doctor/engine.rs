//! What computes: library, providers and model bundle, in the order in which they need each other.

use std::error::Error;
use std::path::Path;

use diad_engine::{Bundle, LibraryAttempts, Provider, ProviderError, Runtime, RuntimeError};

use super::Check;
use crate::chain::chain;
use crate::exit::Exit;
use crate::model::{default_folder, load_runtime};
use crate::settings::Variable;

pub(super) fn checks(variables: &[Variable]) -> Vec<Check> {
    let mut checks = Vec::new();
    match load_runtime(None, variables) {
        Ok(runtime) => {
            let version = runtime.version().unwrap_or("of unknown version");
            let path = runtime.path().display();
            checks.push(Check::fine("library", format!("ONNX Runtime {version}: {path}\n{}", runtime.build_info())));
            checks.extend(Provider::ALL.map(|provider| examine_provider(provider, runtime)));
        }
        Err(error) => checks.push(missing_library(error)),
    }
    checks.push(examine_model(&default_folder()));
    checks
}

fn missing_library(error: RuntimeError) -> Check {
    let detail = match error {
        RuntimeError::NotFound { tried: LibraryAttempts(tried) } => {
            let places: Vec<String> =
                tried.into_iter().map(|attempt| LibraryAttempts(vec![attempt]).to_string()).collect();
            format!("no ONNX Runtime library; tried\n{}", places.join("\n"))
        }
        other => chain(&other),
    };
    let remedy = "run `make setup`, which fetches it, or name the file with ORT_DYLIB_PATH (unset it if it is wrong)";
    Check::failed("library", Exit::Unavailable, detail, remedy)
}

fn examine_provider(provider: Provider, runtime: &Runtime) -> Check {
    let name = format!("provider {provider}");
    // The name of the check says which provider it is; what is left to say is why.
    let reason = |error: &ProviderError| error.source().map_or_else(|| error.to_string(), chain);
    match provider.probe(runtime) {
        Ok(()) => Check::fine(name, "ran a test network"),
        Err(error) if provider == Provider::Cpu => Check::failed(
            name,
            Exit::Unavailable,
            reason(&error),
            "replace the ONNX Runtime library: every build has it",
        ),
        Err(error) => Check::warning(
            name,
            reason(&error),
            "only for an NVIDIA GPU: install its driver, CUDA and cuDNN (and TensorRT), and a GPU build of ONNX Runtime",
        ),
    }
}

fn examine_model(folder: &Path) -> Check {
    if !folder.is_dir() {
        let detail = format!("no model bundle at {}", folder.display());
        let remedy = "run diad in the folder of the checkout, or install the package";
        return Check::failed("model", Exit::BadData, detail, remedy);
    }
    match Bundle::open(folder) {
        Ok(bundle) => Check::fine("model", described(&bundle, folder)),
        Err(error) => {
            Check::failed("model", Exit::BadData, chain(&error), "put the bundle back as it was, or export it again")
        }
    }
}

fn described(bundle: &Bundle, folder: &Path) -> String {
    let manifest = bundle.manifest();
    let products = manifest.products.join(", ");
    format!("{} for {products}: {}\n{}", manifest.name, folder.display(), bundle.model_id())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::command::doctor::CheckStatus;

    fn micro() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures/micro")
    }

    #[test]
    fn model_that_opens_is_fine() {
        let check = examine_model(&micro());
        assert_eq!(check.health, CheckStatus::Fine, "{}", check.detail);
        assert!(check.detail.contains("sha256:"), "{}", check.detail);
    }

    #[test]
    fn model_that_is_not_there_is_bad_data_and_names_its_place() {
        let check = examine_model(Path::new("/nonexistent/a"));
        assert_eq!(check.failure(), Some(Exit::BadData));
        assert!(check.detail.contains("/nonexistent/a"), "{}", check.detail);
    }

    #[test]
    fn model_in_a_folder_without_manifest_is_bad_data() {
        let folder = tempfile::tempdir().unwrap();
        let check = examine_model(folder.path());
        assert_eq!(check.failure(), Some(Exit::BadData), "{}", check.detail);
    }
}
