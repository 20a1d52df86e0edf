//! Bundles of format 2: a representation latent, and overlays of products.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail like the test itself")]

#[expect(dead_code, reason = "each test program uses its part of the shared support")]
mod support;

use std::fs;
use std::sync::Arc;

use diad_core::foundation::Foundation;
use diad_core::frame::{PixelFormat, PixelsView};
use diad_core::inspector::{ArrayName, Inspector, Probe, Subject};
use diad_core::join::Joined;
use diad_core::map::Mask;
use diad_core::tensor::{Shape, Tensor};
use diad_engine::{Bundle, BundleError, Digest, Engine, EngineError, Foundations, Overlay, Provider};
use serde_json::json;
use support::{Copy, chain, check_expected, foundations, micro_latent, runtime};

const SIDE: u32 = 32;

/// The picture of the fixture's recipe.
fn frame() -> Vec<u8> {
    (0..u64::from(SIDE * SIDE * 3)).map(|i| (i * i / 7 % 251) as u8).collect()
}

/// Bundle, witnesses of the product washer and networks.
fn washer() -> (Bundle, Joined, Inspector<Engine>) {
    let copy = Copy::of(&micro_latent());
    let bundle = copy.bundle();
    let machine = Foundations::new(runtime(), vec![foundations()], Provider::Cpu, None);
    let latent: Arc<dyn Foundation> = machine.load("micro").unwrap();
    let joined = bundle.overlay("washer").unwrap().joined(&machine, Some(&latent)).unwrap();
    let inspector = Inspector::try_new(copy.engine().unwrap(), bundle.method().clone()).unwrap();
    (bundle, joined, inspector)
}

/// Keeps the arrays of the latent.
#[derive(Default)]
struct Latents(Vec<(ArrayName, Tensor)>);

impl Probe for Latents {
    fn array(&mut self, name: ArrayName, shape: Shape, values: &[f32]) {
        if matches!(name, ArrayName::LatentClean | ArrayName::LatentFinal) {
            self.0.push((name, Tensor::from_vec(shape, values.to_vec()).unwrap()));
        }
    }
}

#[test]
fn open_gives_the_representation_and_the_overlays() {
    let bundle = Bundle::open(micro_latent()).unwrap();
    let representation = bundle.method().representation.as_ref().unwrap();
    assert_eq!((&representation.groups[..], representation.start_noise.shape()), (&[2, 4][..], [1, 6, 8, 8]));
    assert_eq!(bundle.latent_shapes().unwrap().hint, [1, 2, 8, 8]);
    assert_eq!(bundle.overlay("washer").unwrap().header().join.len(), 3);
    assert!(bundle.overlay("fabric").is_none());
}

#[test]
fn latent_walks_as_the_reference_evaluator_and_the_formulas_do() {
    let (_, joined, mut inspector) = washer();
    let data = frame();
    let pixels = PixelsView::try_new(SIDE, SIDE, PixelFormat::Rgb8, &data).unwrap();
    let mut latents = Latents::default();
    let subject = Subject { mask: Mask::EVERYTHING, joined: Some(&joined) };
    let inspection = inspector.inspect_as(&subject, pixels, pixels.full(), &mut latents).unwrap();
    let names: Vec<&str> = inspection.witnesses.iter().map(|witness| &**witness.name()).collect();
    assert_eq!(names, ["diad", "latent", "bank:micro"]);
    for (name, tensor) in latents.0 {
        check_expected(&name.to_string(), &[tensor]);
    }
}

#[test]
fn joined_parts_give_the_same_bytes_for_the_same_pixels() {
    let run = |(_, joined, mut inspector): (Bundle, Joined, Inspector<Engine>)| {
        let data = frame();
        let pixels = PixelsView::try_new(SIDE, SIDE, PixelFormat::Rgb8, &data).unwrap();
        let mut inspect = || {
            let subject = Subject { mask: Mask::EVERYTHING, joined: Some(&joined) };
            let inspection = inspector.inspect_as(&subject, pixels, pixels.full(), &mut ()).unwrap();
            let scores: Vec<f32> = inspection.witnesses.iter().map(|witness| witness.score().get()).collect();
            (inspection.map.clone(), inspection.score, scores)
        };
        let first = inspect();
        assert_eq!(inspect(), first, "second part of one engine");
        first
    };
    assert_eq!(run(washer()), run(washer()));
}

#[test]
fn open_refuses_an_overlay_that_is_changed_or_of_another_bundle() {
    let copy = Copy::of(&micro_latent());
    let path = copy.path("overlay-washer.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = Bundle::open(copy.path("")).unwrap_err();
    assert!(matches!(error, BundleError::Hash { .. }), "{error:?}");

    let overlay = Overlay::parse(&bytes).unwrap();
    let bank = overlay.bank("micro").unwrap();
    let put = |header: &diad_engine::OverlayHeader| {
        let copy = Copy::of(&micro_latent());
        let bytes = Overlay::encode(header, &[("micro", bank)]).unwrap();
        copy.replace("/overlays/0", "overlay-washer.safetensors", &bytes);
        Bundle::open(copy.path(""))
    };
    put(overlay.header()).unwrap();
    let mut other = overlay.header().clone();
    other.product = "fabric".to_owned();
    let error = put(&other).unwrap_err();
    assert!(matches!(error, BundleError::Overlay { .. }), "{error:?}");
    assert!(chain(&error).contains("made for product fabric, not for washer"), "{}", chain(&error));
    let mut other = overlay.header().clone();
    other.model = Some(format!("sha256:{}", Digest::of(b"model")));
    let error = put(&other).unwrap_err();
    assert!(matches!(error, BundleError::OverlayMisfit { .. }), "{error:?}");
    let mut other = overlay.header().clone();
    other.foundations[0].sha256 = Digest::of(b"another network");
    let error = put(&other).unwrap_err();
    assert!(chain(&error).contains("which the manifest does not list"), "{}", chain(&error));

    let copy = Copy::of(&micro_latent());
    copy.edit("/representation", json!(null));
    let error = Bundle::open(copy.path("")).unwrap_err();
    assert!(chain(&error).contains("joins a representation latent"), "{}", chain(&error));
}

#[test]
fn load_holds_the_networks_of_the_latent_to_the_manifest() {
    let copy = Copy::of(&micro_latent());
    copy.edit("/representation/graphs/hint/inputs/0/name", json!("tokens"));
    let error = copy.engine().unwrap_err();
    assert!(matches!(error, EngineError::Names { .. }), "{error:?}");
    assert!(chain(&error).contains("graph latent_hint"), "{}", chain(&error));
    let copy = Copy::of(&micro_latent());
    let encoder = fs::read(copy.path("representation-encoder.onnx")).unwrap();
    copy.replace("/representation/graphs/encoder", "other.onnx", &encoder[..encoder.len() / 2]);
    assert!(matches!(copy.engine(), Err(EngineError::Load { .. })));
}
