//! Finding, verifying and running a foundation: a whole one, and one with each thing that can be wrong with it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail like the test itself")]

#[expect(dead_code, reason = "each test program uses its part of the shared support")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diad_core::foundation::Foundation;
use diad_core::tensor::Tensor;
use diad_engine::{Digest, EngineError, FoundationLoadError, Foundations, ManifestError, Provider, foundation_roots};
use serde_json::{Value, json};
use support::{chain, check_expected, foundations, runtime, wave};
use tempfile::TempDir;

fn in_roots(roots: &[&Path]) -> Foundations {
    Foundations::new(runtime(), roots.iter().map(|root| (*root).to_owned()).collect(), Provider::Cpu, None)
}

/// A copy of the fixture that a test may break.
fn copy() -> (TempDir, PathBuf) {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("micro");
    fs::create_dir(&folder).unwrap();
    for file in ["foundation.json", "foundation.onnx"] {
        fs::copy(foundations().join("micro").join(file), folder.join(file)).unwrap();
    }
    (root, folder)
}

fn edit(folder: &Path, pointer: &str, value: Value) {
    let path = folder.join("foundation.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    *manifest.pointer_mut(pointer).unwrap() = value;
    fs::write(path, manifest.to_string()).unwrap();
}

fn refused(edits: &[(&str, Value)]) -> FoundationLoadError {
    let (root, folder) = copy();
    for (pointer, value) in edits {
        edit(&folder, pointer, value.clone());
    }
    in_roots(&[root.path()]).load("micro").unwrap_err()
}

#[test]
fn patches_are_what_the_reference_evaluator_gives_and_have_length_1() {
    let micro = in_roots(&[&foundations()]).load("micro").unwrap();
    assert_eq!((micro.name(), micro.shape()), ("micro", [1, 6, 8, 8]));
    let image = wave(micro.input().shape(), 1, 4099);
    let mut patches = Tensor::zeros(micro.shape());
    micro.patches(&image, &mut patches).unwrap();
    check_expected("foundation", std::slice::from_ref(&patches));
    for place in 0..64 {
        let length: f64 = (0..6).map(|channel| f64::from(patches.data()[channel * 64 + place]).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6, "{place}: {length}");
    }
    let mut again = Tensor::zeros(micro.shape());
    micro.patches(&image, &mut again).unwrap();
    assert_eq!(patches, again, "the same bits");
}

#[test]
fn patches_of_an_image_of_another_size_are_an_error_that_names_the_foundation() {
    let micro = in_roots(&[&foundations()]).load("micro").unwrap();
    let mut patches = Tensor::zeros(micro.shape());
    let error = micro.patches(&Tensor::zeros([1, 3, 16, 16]), &mut patches).unwrap_err();
    assert!(chain(&error).contains("foundation micro"), "{}", chain(&error));
    micro.patches(&Tensor::zeros([1, 3, 32, 32]), &mut patches).unwrap();
}

#[test]
fn load_gives_one_foundation_to_all_that_ask() {
    let machine = in_roots(&[&foundations()]);
    let (one, other) = (machine.load("micro").unwrap(), machine.load("micro").unwrap());
    assert!(Arc::ptr_eq(&one, &other));
    assert!(Arc::ptr_eq(&one, &machine.load_exact("micro", one.sha256()).unwrap()));
    let error = machine.load_exact("micro", Digest::of(b"another")).unwrap_err();
    assert!(matches!(error, FoundationLoadError::Other { .. }), "{error:?}");
    assert!(error.to_string().contains("learn the product again"), "{error}");
}

#[test]
fn load_takes_the_first_place_that_has_it_and_names_them_all_if_none_has() {
    let (root, folder) = copy();
    let empty = TempDir::new().unwrap();
    let machine = in_roots(&[empty.path(), root.path(), &foundations()]);
    assert_eq!(machine.at_hand(), ["micro"]);
    fs::write(folder.join("foundation.onnx"), b"cut").unwrap();
    assert!(matches!(machine.load("micro"), Err(FoundationLoadError::Hash { .. })), "no silent way to the next place");
    for name in ["dinov2-s", "../micro", "", "Micro"] {
        let error = machine.load(name).unwrap_err();
        assert!(matches!(error, FoundationLoadError::Missing { .. }), "{name}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("make setup-foundation") && text.contains(&root.path().display().to_string()), "{text}");
    }
    assert!(in_roots(&[empty.path()]).at_hand().is_empty());
}

#[test]
fn load_refuses_a_folder_whose_files_are_not_whole() {
    let (root, folder) = copy();
    let load = || in_roots(&[root.path()]).load("micro").unwrap_err();
    let json = fs::read(folder.join("foundation.json")).unwrap();
    fs::write(folder.join("foundation.json"), &json[..json.len() / 2]).unwrap();
    assert!(matches!(load(), FoundationLoadError::Manifest { source: ManifestError::Truncated(_), .. }));
    fs::write(folder.join("foundation.json"), vec![b' '; 1 << 20]).unwrap();
    assert!(matches!(load(), FoundationLoadError::Large { .. }));
    fs::write(folder.join("foundation.json"), json).unwrap();
    fs::write(folder.join("foundation.onnx"), b"another").unwrap();
    let error = load();
    assert!(matches!(error, FoundationLoadError::Hash { .. }), "{error:?}");
    assert!(error.to_string().contains("make setup-foundation"), "{error}");
    fs::remove_file(folder.join("foundation.onnx")).unwrap();
    assert!(matches!(load(), FoundationLoadError::File { .. }));
}

#[test]
fn load_refuses_a_manifest_out_of_range() {
    for (pointer, value) in [
        ("/name", json!("other")),
        ("/input/width", json!(0)),
        ("/input/height", json!(5000)),
        ("/output/shape", json!([6, 0, 8])),
        ("/output/shape", json!([4096, 4096, 4096])),
        ("/groups", json!([2, 3])),
        ("/groups", json!([6, 0])),
        ("/groups", json!([u64::MAX, 7])),
        ("/format", json!(2)),
        ("/file", json!("../foundation.onnx")),
        ("/source", json!({"novelty": 1})),
    ] {
        let error = refused(&[(pointer, value.clone())]);
        assert!(matches!(error, FoundationLoadError::Manifest { .. }), "{pointer} {value}: {error:?}");
    }
    let error = refused(&[("/input/std", json!([0.25, 0.0, 0.25]))]);
    assert!(matches!(error, FoundationLoadError::Input { .. }), "{error:?}");
}

#[test]
fn load_refuses_a_network_that_is_not_the_one_described() {
    for edits in [
        vec![("/input/name", json!("picture"))],
        vec![("/output/name", json!("tokens"))],
        vec![("/input/width", json!(64))],
        vec![("/output/shape", json!([6, 8, 9]))],
    ] {
        let error = refused(&edits);
        let FoundationLoadError::Network { source, .. } = &error else { panic!("{edits:?}: {error:?}") };
        assert!(matches!(**source, EngineError::Names { .. } | EngineError::Contract { .. }), "{source:?}");
    }
}

#[test]
fn a_named_root_is_the_only_one() {
    let named = Path::new("/named");
    assert_eq!(foundation_roots(Some(named)), [named]);
    let places = foundation_roots(None);
    assert_eq!(places[0], Path::new("target/foundation"));
    assert!(places.iter().any(|place| place.ends_with("share/diad/foundation")), "{places:?}");
}
