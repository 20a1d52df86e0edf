//! Opening a bundle: a whole one, and one with each thing that can be wrong with its files.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail like the test itself")]

#[expect(dead_code, reason = "each test program uses its part of the shared support")]
mod support;

use std::fs;

use diad_core::inspector::Posterior;
use diad_engine::{Bundle, BundleError, ManifestError};
use serde_json::json;
use support::{Copy, chain, micro};

fn open_error(copy: &Copy) -> BundleError {
    Bundle::open(copy.path("")).unwrap_err()
}

#[test]
fn open_of_a_whole_bundle_gives_its_method_and_its_name() {
    let bundle = Bundle::open(micro()).unwrap();
    let method = bundle.method();
    assert_eq!((method.input.width(), method.input.height()), (64, 64));
    assert_eq!(method.posterior, Posterior::Mean);
    assert_eq!(method.ddim.start().get(), 999);
    let steps: Vec<u16> = method.ddim.updates().iter().map(|update| update.step.get()).collect();
    assert_eq!(steps, [901, 801, 1]);
    assert_eq!(method.start_noise.shape(), [1, 4, 8, 8]);
    assert_eq!(bundle.shapes().hint, [1, 2, 8, 8]);
    assert_eq!(bundle.shapes().features, [[2, 4, 16, 16], [2, 8, 8, 8], [2, 8, 4, 4]]);
    let digest = diad_engine::Digest::of(&fs::read(micro().join("manifest.json")).unwrap());
    assert_eq!(bundle.model_id(), format!("sha256:{digest}"));
}

#[test]
fn open_reads_the_noise_of_a_sampled_posterior() {
    let copy = Copy::new();
    let noise = fs::read(copy.path("start_noise.f32")).unwrap();
    copy.edit("/latent/posterior", json!("sample"))
        .edit("/latent/posterior_noise", json!({"file": "", "sha256": ""}))
        .replace("/latent/posterior_noise", "posterior_noise.f32", &noise);
    let bundle = copy.bundle();
    assert_eq!(bundle.method().posterior, Posterior::Sample(bundle.method().start_noise.clone()));
}

#[test]
fn open_without_a_folder_or_a_manifest_says_which() {
    let copy = Copy::new();
    let error = Bundle::open(copy.path("nowhere")).unwrap_err();
    assert!(matches!(error, BundleError::Folder { .. }), "{error:?}");
    let error = Bundle::open(copy.path("encoder.onnx")).unwrap_err();
    assert!(matches!(error, BundleError::Folder { .. }), "{error:?}");
    fs::remove_file(copy.path("manifest.json")).unwrap();
    let error = open_error(&copy);
    assert!(matches!(error, BundleError::NoManifest { .. }), "{error:?}");
    assert!(chain(&error).contains("manifest.json is missing"), "{}", chain(&error));
}

#[test]
fn open_refuses_a_manifest_that_cannot_be_read() {
    let copy = Copy::new();
    let json = fs::read(copy.path("manifest.json")).unwrap();
    fs::write(copy.path("manifest.json"), &json[..json.len() / 2]).unwrap();
    let error = open_error(&copy);
    assert!(matches!(error, BundleError::Manifest { source: ManifestError::Truncated(_), .. }), "{error:?}");

    fs::write(copy.path("manifest.json"), b"").unwrap();
    let error = open_error(&copy);
    assert!(matches!(error, BundleError::Manifest { source: ManifestError::Truncated(_), .. }), "{error:?}");

    fs::write(copy.path("manifest.json"), vec![b' '; 2 << 20]).unwrap();
    assert!(matches!(open_error(&copy), BundleError::LargeManifest { .. }));

    fs::remove_file(copy.path("manifest.json")).unwrap();
    fs::create_dir(copy.path("manifest.json")).unwrap();
    assert!(matches!(open_error(&copy), BundleError::Read { .. }));
}

#[test]
fn open_refuses_a_manifest_of_another_format_or_with_an_unknown_field() {
    let copy = Copy::new();
    copy.edit("/format", json!(3));
    let error = open_error(&copy);
    assert!(matches!(error, BundleError::Manifest { source: ManifestError::Format { found: 3 }, .. }), "{error:?}");

    let copy = Copy::new();
    copy.edit("/score", json!({"rule": "pooled_max", "window_px": 4, "times": 4, "novelty": 1}));
    let error = open_error(&copy);
    assert!(matches!(error, BundleError::Manifest { source: ManifestError::UnknownField(_), .. }), "{error:?}");
    let text = chain(&error);
    assert!(text.contains("manifest.json") && text.contains("`novelty`") && text.contains("line 1 column"), "{text}");
}

#[test]
fn open_without_one_of_its_files_names_it() {
    for (file, what) in [
        ("decoder.onnx", "graph decoder"),
        ("hint.onnx.data", "data of graph hint"),
        ("start_noise.f32", "start noise"),
    ] {
        let copy = Copy::new();
        fs::remove_file(copy.path(file)).unwrap();
        match open_error(&copy) {
            BundleError::Missing { what: got, path } => assert_eq!((&*got, path), (what, copy.path(file))),
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn open_refuses_a_file_with_one_other_byte() {
    for file in ["encoder.onnx", "hint.onnx.data", "start_noise.f32"] {
        let copy = Copy::new();
        let mut bytes = fs::read(copy.path(file)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(copy.path(file), bytes).unwrap();
        match open_error(&copy) {
            BundleError::Hash { path, want, got, .. } => {
                assert_eq!(path, copy.path(file));
                assert_ne!(want, got);
            }
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn open_refuses_noise_of_another_length_or_with_nan() {
    let copy = Copy::new();
    copy.replace("/start_noise", "short.f32", &[0; 1020]);
    let error = open_error(&copy);
    assert!(matches!(error, BundleError::NoiseLength { want: 1024, got: 1020, .. }), "{error:?}");

    let mut bytes = [0; 1024];
    bytes[40..44].copy_from_slice(&f32::NAN.to_le_bytes());
    copy.replace("/start_noise", "nan.f32", &bytes);
    let error = open_error(&copy);
    assert!(matches!(error, BundleError::NoiseNonFinite { index: 10, .. }), "{error:?}");
}
