//! Overlays: a whole one, and one with each thing that can be wrong with it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail like the test itself")]

#[expect(dead_code, reason = "each test program uses its part of the shared support")]
mod support;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use diad_core::bank::Bank;
use diad_core::foundation::Foundation;
use diad_engine::{
    Digest, FoundationLoadError, FoundationMark, Foundations, JoinEntry, MAX_OVERLAY_BYTES, Overlay, OverlayError,
    OverlayHeader, Provider,
};
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use support::{chain, foundations, runtime};
use tempfile::TempDir;

fn machine() -> Foundations {
    Foundations::new(runtime(), vec![foundations()], Provider::Cpu, None)
}

fn entry(witness: &str, weight: f64) -> JoinEntry {
    JoinEntry { witness: witness.to_owned(), weight, mean: 0.02, sd: 0.01 }
}

fn header() -> OverlayHeader {
    let manifest = fs::read(foundations().join("micro/foundation.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let sha256 = Digest::try_from(manifest["sha256"].as_str().unwrap().to_owned()).unwrap();
    OverlayHeader {
        format: 1,
        product: "washer".to_owned(),
        model: Some(format!("sha256:{}", Digest::of(b"model"))),
        foundations: vec![FoundationMark { name: "micro".to_owned(), sha256 }],
        join: vec![entry("diad", 0.5), entry("bank:micro", 0.5)],
        parts: 20,
        created_at: "2026-01-01T00:00:00Z".to_owned(),
        source: "20 pictures of a test".to_owned(),
        history: Vec::new(),
        learn: None,
    }
}

fn bank() -> Bank {
    let rows = (0..30).flat_map(|row| (0..6).map(move |channel| if channel == row % 6 { 1.0 } else { 0.0 }));
    Bank::try_new(rows.collect(), 6).unwrap()
}

fn encoded() -> Vec<u8> {
    Overlay::encode(&header(), &[("micro", &bank())]).unwrap()
}

/// A file with this header and these tensors of two bytes a value.
fn file(header: &Value, tensors: &[(&str, Dtype, Vec<usize>)]) -> Vec<u8> {
    let data = vec![0_u8; tensors.iter().map(|(.., shape)| 2 * shape.iter().product::<usize>()).max().unwrap_or(0)];
    let views = tensors.iter().map(|(name, dtype, shape)| {
        (*name, TensorView::new(*dtype, shape.clone(), &data[..2 * shape.iter().product::<usize>()]).unwrap())
    });
    let metadata = HashMap::from([("diad".to_owned(), header.to_string())]);
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
fn overlay_comes_back_as_it_was_written() {
    let folder = TempDir::new().unwrap();
    let inside = folder.path().join("products/washer");
    let (digest, path) = Overlay::write(&inside, &header(), &[("micro", &bank())]).unwrap();
    assert_eq!(path, inside.join(format!("{digest}.safetensors")));
    let overlay = Overlay::open(&path, Some(digest)).unwrap();
    assert_eq!((overlay.header(), overlay.digest()), (&header(), digest));
    assert_eq!(**overlay.bank("micro").unwrap(), bank());
    assert!(overlay.bank("other").is_none());
    assert_eq!(fs::read(&path).unwrap(), encoded(), "the same bytes every time");
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 1, "nothing else is left");
    overlay.expect_product("washer").unwrap();
    assert!(matches!(overlay.expect_product("glass"), Err(OverlayError::Product { .. })));
}

#[test]
fn overlay_joins_its_witnesses_with_foundations_of_this_machine() {
    let overlay = Overlay::parse(&encoded()).unwrap();
    let machine = machine();
    let joined = overlay.joined(&machine, None).unwrap();
    let names: Vec<&str> = joined.witnesses().iter().map(|witness| &**witness.name()).collect();
    assert_eq!(names, ["diad", "bank:micro"]);
    assert!((joined.witnesses()[1].share().sd() - 0.01).abs() < 1e-12);

    let mut latent = header();
    latent.join = vec![entry("latent", 0.5), entry("bank:micro", 0.5)];
    let overlay = Overlay::parse(&Overlay::encode(&latent, &[("micro", &bank())]).unwrap()).unwrap();
    assert!(matches!(overlay.joined(&machine, None), Err(OverlayError::NoLatent { .. })));
    let micro: Arc<dyn Foundation> = machine.load("micro").unwrap();
    assert_eq!(overlay.joined(&machine, Some(&micro)).unwrap().witnesses().len(), 2);
}

#[test]
fn overlay_of_another_foundation_or_model_is_refused_with_what_to_do() {
    let mut other = header();
    other.foundations[0].sha256 = Digest::of(b"another network");
    let overlay = Overlay::parse(&Overlay::encode(&other, &[("micro", &bank())]).unwrap()).unwrap();
    let error = overlay.joined(&machine(), None).unwrap_err();
    let OverlayError::Foundation { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, FoundationLoadError::Other { .. }), "{source:?}");
    assert!(chain(&error).contains("learn the product again"), "{}", chain(&error));

    overlay.expect_model(&format!("sha256:{}", Digest::of(b"model"))).unwrap();
    let error = overlay.expect_model(&format!("sha256:{}", Digest::of(b"another model"))).unwrap_err();
    assert!(matches!(error, OverlayError::Model { .. }), "{error:?}");
    assert!(error.to_string().contains("`diad learn --product washer` again"), "{error}");
    let mut inside = header();
    inside.model = None;
    let overlay = Overlay::parse(&Overlay::encode(&inside, &[("micro", &bank())]).unwrap()).unwrap();
    overlay.expect_model("sha256:of the bundle around it").unwrap();
}

#[test]
fn overlay_with_rows_of_another_width_than_its_foundations_patches_is_refused() {
    let five = Bank::try_new(vec![1.0, 0.0, 0.0, 0.0, 0.0], 5).unwrap();
    let overlay = Overlay::parse(&Overlay::encode(&header(), &[("micro", &five)]).unwrap()).unwrap();
    let error = overlay.joined(&machine(), None).unwrap_err();
    assert!(matches!(error, OverlayError::Join(_)), "{error:?}");
}

#[test]
fn overlay_cut_anywhere_is_refused() {
    let whole = encoded();
    for length in 0..whole.len() {
        let error = Overlay::parse(&whole[..length]).unwrap_err();
        assert!(matches!(error, OverlayError::Format(_)), "{length}: {error:?}");
    }
    let mut longer = whole;
    longer.push(0);
    assert!(matches!(Overlay::parse(&longer), Err(OverlayError::Format(_))));
}

#[test]
fn open_of_a_missing_a_changed_and_a_huge_file_names_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("overlay.safetensors");
    assert!(matches!(Overlay::open(&path, None), Err(OverlayError::Missing { .. })));
    fs::write(&path, encoded()).unwrap();
    let error = Overlay::open(&path, Some(Digest::of(b"another"))).unwrap_err();
    assert!(matches!(error, OverlayError::Hash { .. }), "{error:?}");
    fs::write(&path, &encoded()[..100]).unwrap();
    let error = Overlay::open(&path, None).unwrap_err();
    assert!(chain(&error).contains("overlay.safetensors; learn the product again: no whole"), "{}", chain(&error));
    // A file with a hole takes no room on the disk.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = Overlay::open(&path, None).unwrap_err();
    let OverlayError::File { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, OverlayError::Large { limit: MAX_OVERLAY_BYTES }), "{source:?}");
}

#[test]
fn parse_refuses_a_header_that_is_none_or_out_of_range() {
    let good = serde_json::to_value(header()).unwrap();
    let bank = [("bank:micro", Dtype::F16, vec![1, 6])];
    let no_header = safetensors::serialize(Vec::<(&str, TensorView<'_>)>::new(), None).unwrap();
    assert!(matches!(Overlay::parse(&no_header), Err(OverlayError::NoHeader)));
    for (pointer, value, field) in [
        ("/product", json!("a/b"), "product"),
        ("/model", json!("latest"), "model"),
        ("/parts", json!(0), "parts"),
        ("/source", json!("x".repeat(5000)), "source"),
        ("/foundations/0/name", json!("../micro"), "foundations[0]"),
        ("/foundations/0/name", json!("other"), "foundations[0]"),
        ("/join", json!([]), "join"),
        ("/join/0/witness", json!("oracle"), "join[0].witness"),
        ("/join/1/witness", json!("diad"), "foundations[0]"),
        ("/join/0/weight", json!(0.1), "join"),
    ] {
        let mut header = good.clone();
        *header.pointer_mut(pointer).unwrap() = value.clone();
        match Overlay::parse(&file(&header, &bank)) {
            Err(OverlayError::Field { field: found, .. }) => assert_eq!(found, field, "{pointer} {value}"),
            other => panic!("{pointer} {value}: {other:?}"),
        }
    }
    let refused = |pointer: &str, value: Value| {
        let mut header = good.clone();
        *header.pointer_mut(pointer).unwrap() = value;
        Overlay::parse(&file(&header, &bank)).unwrap_err()
    };
    assert!(matches!(refused("/format", json!(2)), OverlayError::Version(2)));
    assert!(matches!(refused("/parts", json!(-1)), OverlayError::Header(_)));
    assert!(matches!(refused("", json!({"format": 1, "novelty": 1})), OverlayError::Header(_)));
    assert!(matches!(refused("/join/0/sd", json!(-1.0)), OverlayError::Join(_)));
}

#[test]
fn parse_refuses_tensors_that_are_no_banks() {
    let good = serde_json::to_value(header()).unwrap();
    let refused = |tensors: &[(&str, Dtype, Vec<usize>)]| Overlay::parse(&file(&good, tensors)).unwrap_err();
    assert!(matches!(refused(&[]), OverlayError::NoBank { .. }));
    for (dtype, shape) in [
        (Dtype::I16, vec![1, 6]),
        (Dtype::F16, vec![6]),
        (Dtype::F16, vec![0, 6]),
        (Dtype::F16, vec![10_001, 1]),
        (Dtype::F16, vec![1, 4097]),
    ] {
        let error = refused(&[("bank:micro", dtype, shape.clone())]);
        assert!(matches!(error, OverlayError::Tensor { .. }), "{dtype:?} {shape:?}: {error:?}");
    }
    let error = refused(&[("bank:micro", Dtype::F16, vec![1, 6])]);
    assert!(matches!(error, OverlayError::Bank { .. }), "rows of zeros: {error:?}");

    let mut whole = encoded();
    let last = whole.len() - 2;
    whole[last..].copy_from_slice(&[0x00, 0x7e]); // NaN
    assert!(matches!(Overlay::parse(&whole), Err(OverlayError::Bank { .. })));

    let two = Overlay::encode(&header(), &[("micro", &bank()), ("spare", &bank())]);
    assert!(matches!(two, Err(OverlayError::Tensors { found: 2, wanted: 1 })), "{two:?}");
}

#[test]
fn write_into_a_folder_that_takes_nothing_is_an_error_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let blocked = folder.path().join("blocked");
    fs::write(&blocked, b"a file where the folder should be").unwrap();
    let error = Overlay::write(&blocked, &header(), &[("micro", &bank())]).unwrap_err();
    assert!(matches!(error, OverlayError::Write { .. }), "{error:?}");
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // A process that may do everything writes here all the same.
    if Overlay::write(&closed, &header(), &[("micro", &bank())]).is_err() {
        assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn parse_of_a_file_with_other_bytes_is_an_overlay_or_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encoded();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(overlay) = Overlay::parse(&bytes) {
            prop_assert!(overlay.bank("micro").is_some());
        }
    }
}
