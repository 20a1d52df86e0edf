//! What computes: library, providers and model bundle, in the order in which they need each other.

use std::error::Error;
use std::path::{Path, PathBuf};

use diad_engine::{Attempts, Bundle, Provider, ProviderError, Runtime, RuntimeError};

use super::Check;
use crate::chain::chain;
use crate::cli::DEFAULT_MODEL;
use crate::exit::Exit;
use crate::model::load_runtime;
use crate::settings::Variable;

/// Where the bundled model may lie: the checkout, and an installed package.
const MODEL_PLACES: [&str; 2] = [DEFAULT_MODEL, "/usr/share/diad/models/diad-tiny"];

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
    checks.push(examine_model(&MODEL_PLACES.map(PathBuf::from)));
    checks
}

fn missing_library(error: RuntimeError) -> Check {
    let detail = match error {
        RuntimeError::NotFound { tried: Attempts(tried) } => {
            let places: Vec<String> = tried.into_iter().map(|attempt| Attempts(vec![attempt]).to_string()).collect();
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

fn examine_model(places: &[PathBuf]) -> Check {
    let Some(folder) = places.iter().find(|place| place.is_dir()) else {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let detail = format!("no model bundle at {}", places.join(" or "));
        return Check::failed(
            "model",
            Exit::BadData,
            detail,
            "run diad in the folder of the checkout, or install the package",
        );
    };
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
    use super::*;
    use crate::command::doctor::Health;

    fn micro() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures/micro")
    }

    #[test]
    fn model_in_the_second_place_is_found() {
        let check = examine_model(&["/nonexistent/diad".into(), micro()]);
        assert_eq!(check.health, Health::Fine, "{}", check.detail);
        assert!(check.detail.contains("sha256:"), "{}", check.detail);
    }

    #[test]
    fn model_in_no_place_is_bad_data_and_names_every_place() {
        let check = examine_model(&["/nonexistent/a".into(), "/nonexistent/b".into()]);
        assert_eq!(check.failure(), Some(Exit::BadData));
        assert!(check.detail.contains("/nonexistent/a or /nonexistent/b"), "{}", check.detail);
    }

    #[test]
    fn model_in_a_folder_without_manifest_is_bad_data() {
        let folder = tempfile::tempdir().unwrap();
        let check = examine_model(&[folder.path().to_owned(), micro()]);
        assert_eq!(check.failure(), Some(Exit::BadData), "a broken bundle is not passed over: {}", check.detail);
    }
}
