//! The networks of the fixture bundle on a real runtime.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail like the test itself")]

#[expect(dead_code, reason = "each test program uses its part of the shared support")]
mod support;

use std::fs;
use std::num::NonZeroUsize;

use diad_core::frame::{PixelFormat, PixelsView};
use diad_core::graphs::Graphs;
use diad_core::inspector::Inspector;
use diad_core::schedule::Step;
use diad_core::tensor::{Shape, Tensor};
use diad_engine::{Bundle, Engine, EngineError, EngineOptions, GraphName, Provider, ProviderError};
use serde_json::json;
use support::{Copy, chain, check_expected, micro, runtime, wave};

const IMAGE: Shape = [1, 3, 64, 64];
const LATENT: Shape = [1, 4, 8, 8];
const HINT: Shape = [1, 2, 8, 8];

fn engine() -> Engine {
    load(Provider::Cpu).unwrap()
}

fn load(provider: Provider) -> Result<Engine, EngineError> {
    let threads = NonZeroUsize::new(2);
    Engine::load(runtime(), &Bundle::open(micro()).unwrap(), &EngineOptions { provider, threads })
}

#[test]
fn networks_give_what_the_reference_evaluator_gives() {
    let mut engine = engine();
    let image = wave(IMAGE, 1, 4099);
    let latent = wave(LATENT, 29, 97);
    let hint = wave(HINT, 31, 89);

    let mut moments = Tensor::zeros([1, 8, 8, 8]);
    engine.encode(&image, &mut moments).unwrap();
    check_expected("encoder", &[moments]);

    let mut out = Tensor::zeros(HINT);
    engine.hint(&image, &mut out).unwrap();
    check_expected("hint", &[out]);

    let mut noise = Tensor::zeros(LATENT);
    engine.predict_noise(&latent, &hint, Step::try_new(501).unwrap(), &mut noise).unwrap();
    check_expected("denoiser", &[noise]);

    let mut reconstruction = Tensor::zeros(IMAGE);
    engine.decode(&latent, &mut reconstruction).unwrap();
    check_expected("decoder", &[reconstruction]);

    let mut pair = image.data().to_vec();
    pair.extend(image.data().iter().map(|value| -value / 2.0));
    let pair = Tensor::from_vec([2, 3, 64, 64], pair).unwrap();
    let mut layers: Vec<Tensor> = engine.shapes().features.iter().map(|shape| Tensor::zeros(*shape)).collect();
    engine.features(&pair, &mut layers).unwrap();
    check_expected("features", &layers);
}

fn frame() -> Vec<u8> {
    (0..90 * 70 * 3_usize).map(|i| (i * i / 700 % 251) as u8).collect()
}

/// Bits of the score and of the map of one part.
fn inspect(inspector: &mut Inspector<Engine>) -> (u32, Vec<u32>) {
    let frame = frame();
    let pixels = PixelsView::try_new(90, 70, PixelFormat::Rgb8, &frame).unwrap();
    let inspection = inspector.inspect(pixels, pixels.full(), &mut ()).unwrap();
    let map = inspection.map.values().iter().map(|value| value.to_bits()).collect();
    (inspection.score.get().to_bits(), map)
}

#[test]
fn inspector_gives_the_same_bytes_for_the_same_pixels() {
    let bundle = Bundle::open(micro()).unwrap();
    let mut inspector = Inspector::try_new(engine(), bundle.method().clone()).unwrap();
    let first = inspect(&mut inspector);
    assert!(f32::from_bits(first.0) > 0.0);
    assert_eq!(inspect(&mut inspector), first, "second part of one engine");
    let mut inspector = Inspector::try_new(engine(), bundle.method().clone()).unwrap();
    assert_eq!(inspect(&mut inspector), first, "first part of another engine");
}

#[test]
fn engines_on_two_threads_do_not_disturb_each_other() {
    let bundle = Bundle::open(micro()).unwrap();
    let run = || {
        let mut inspector = Inspector::try_new(engine(), bundle.method().clone()).unwrap();
        (0..20).map(|_| inspect(&mut inspector)).collect::<Vec<_>>()
    };
    let (left, right) = std::thread::scope(|scope| {
        let left = scope.spawn(run);
        let right = scope.spawn(run);
        (left.join().unwrap(), right.join().unwrap())
    });
    assert_eq!(left, right);
}

#[test]
fn cpu_works_and_a_provider_that_does_not_says_why() {
    Provider::Cpu.probe(runtime()).unwrap();
    for provider in Provider::ALL {
        let Err(probe) = provider.probe(runtime()) else { continue };
        let error = load(provider).unwrap_err();
        let EngineError::Provider(ProviderError::Unavailable { provider: named, source }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*named, provider);
        assert!(!source.message().is_empty());
        assert!(chain(&error).ends_with(&chain(&probe)), "{}", chain(&error));
    }
}

#[test]
fn auto_takes_the_first_that_works_and_records_why_not_the_others() {
    let engine = load(Provider::Auto).unwrap();
    let choice = engine.choice();
    let order = [Provider::TensorRt, Provider::Cuda, Provider::Cpu];
    let place = order.iter().position(|provider| *provider == choice.taken).unwrap();
    let refused: Vec<Provider> = choice.refused.iter().map(|(provider, _)| *provider).collect();
    assert_eq!(refused, order[..place]);
    for (provider, reason) in &choice.refused {
        let error = load(*provider).unwrap_err();
        assert_eq!(*reason, chain(&error));
    }
    // The library that `make setup` fetches is built for the CPU alone.
    if runtime().path().parent().is_some_and(|folder| folder.ends_with("target/ort/lib")) {
        assert_eq!(choice.taken, Provider::Cpu);
        assert!(choice.refused[1].1.contains("CUDA execution provider is not enabled in this build"));
    }
}

#[test]
fn load_refuses_a_network_that_gives_nan_on_the_grey_image() {
    let copy = Copy::new();
    let nan = fs::read(copy.path("decoder_nan.onnx")).unwrap();
    let error = copy.replace("/graphs/decoder", "decoder_nan.onnx", &nan).engine().unwrap_err();
    let EngineError::WarmUp(source) = &error else { panic!("{error:?}") };
    let EngineError::NonFinite { graph, output, value, .. } = &**source else { panic!("{error:?}") };
    assert_eq!((*graph, &**output), (GraphName::Decoder, "reconstruction"));
    assert!(value.is_nan());
}

#[test]
fn load_refuses_a_network_that_is_not_what_the_manifest_says() {
    let copy = Copy::new();
    let error = copy.edit("/graphs/features/outputs/1/shape", json!(["N", 9, 8, 8])).engine().unwrap_err();
    let EngineError::Contract { graph, tensor, want, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*graph, &**tensor, &**want), (GraphName::Features, "layer2", "Float32 [N, 9, 8, 8]"));

    for (pointer, side) in [("/graphs/hint/inputs/0/name", "inputs"), ("/graphs/hint/outputs/0/name", "outputs")] {
        let copy = Copy::new();
        let error = copy.edit(pointer, json!("picture")).engine().unwrap_err();
        assert!(
            matches!(&error, EngineError::Names { graph: GraphName::Hint, side: got, .. } if *got == side),
            "{error:?}"
        );
    }
}

#[test]
fn load_of_a_file_that_is_no_network_names_the_graph() {
    let copy = Copy::new();
    let error = copy.replace("/graphs/encoder", "junk.onnx", b"junk").engine().unwrap_err();
    assert!(matches!(error, EngineError::Load { graph: GraphName::Encoder, .. }), "{error:?}");
    assert!(chain(&error).contains("Protobuf parsing failed"), "{}", chain(&error));
}

#[test]
fn run_refuses_numbers_that_are_not_finite() {
    let mut engine = engine();
    for bad in [f32::NAN, f32::INFINITY, f32::MAX] {
        let mut image = Tensor::zeros(IMAGE);
        image.data_mut().fill(bad);
        let error = engine.encode(&image, &mut Tensor::zeros([1, 8, 8, 8])).unwrap_err();
        assert!(matches!(error, EngineError::NonFinite { graph: GraphName::Encoder, .. }), "{bad}: {error:?}");
    }
}

#[test]
fn run_refuses_tensors_of_other_shapes() {
    let mut engine = engine();
    let error = engine.encode(&Tensor::zeros([1, 3, 32, 64]), &mut Tensor::zeros([1, 8, 8, 8])).unwrap_err();
    assert!(matches!(error, EngineError::Run { graph: GraphName::Encoder, .. }), "{error:?}");
    let error = engine.encode(&Tensor::zeros(IMAGE), &mut Tensor::zeros([1, 8, 8, 4])).unwrap_err();
    assert!(matches!(error, EngineError::Shape { got, .. } if got == [1, 8, 8, 8]));
    let error = engine.features(&Tensor::zeros([2, 3, 64, 64]), &mut []).unwrap_err();
    assert!(matches!(error, EngineError::Outputs { graph: GraphName::Features, got: 0, want: 3 }), "{error:?}");
}
