use serde_json::{Value, json};

use super::*;

const MICRO: &str = include_str!("../../tests/fixtures/micro/manifest.json");
const LATENT: &str = include_str!("../../tests/fixtures/micro-latent/manifest.json");

/// The fixture's manifest with the value at `pointer` replaced, and what comes of reading it.
fn parse_with(pointer: &str, value: Value) -> Result<Manifest, ManifestError> {
    changed(MICRO, pointer, value)
}

fn changed(manifest: &str, pointer: &str, value: Value) -> Result<Manifest, ManifestError> {
    let mut manifest: Value = serde_json::from_str(manifest).unwrap();
    *manifest.pointer_mut(pointer).unwrap_or_else(|| panic!("the fixture has no {pointer}")) = value;
    Manifest::parse(manifest.to_string().as_bytes())
}

/// The fixture's sampler with a denoiser that knows certain steps alone.
fn sampler_that_knows(known: &[u32]) -> Value {
    json!({"kind": "ddim", "eta": 0.0, "start": 999, "steps": [901, 801, 1], "last_previous": 0, "known": known})
}

/// The same with a field added to the object at `pointer`.
fn parse_with_field(pointer: &str, key: &str) -> Result<Manifest, ManifestError> {
    let mut manifest: Value = serde_json::from_str(MICRO).unwrap();
    manifest.pointer_mut(pointer).unwrap()[key] = json!(1);
    Manifest::parse(manifest.to_string().as_bytes())
}

#[test]
fn parse_takes_the_fixture_whole() {
    let manifest = Manifest::parse(MICRO.as_bytes()).unwrap();
    assert_eq!(manifest.name, "micro");
    assert_eq!(manifest.sampler.steps, [901, 801, 1]);
    assert_eq!(manifest.graphs.denoiser.inputs[2].dtype, Dtype::Int64);
    assert_eq!(manifest.graphs.features.outputs[2].shape.to_string(), "[N, 8, 4, 4]");
    let files: Vec<String> =
        manifest.files().map(|(what, file, _)| format!("{what}: {}", file.as_path().display())).collect();
    assert_eq!(
        files,
        [
            "graph encoder: encoder.onnx",
            "graph hint: hint.onnx",
            "data of graph hint: hint.onnx.data",
            "graph denoiser: denoiser.onnx",
            "graph decoder: decoder.onnx",
            "graph features: features.onnx",
            "start noise: start_noise.f32",
        ]
    );
}

#[test]
fn parse_of_a_text_cut_anywhere_is_truncated() {
    for length in 0..MICRO.trim_end().len() {
        let error = Manifest::parse(&MICRO.as_bytes()[..length]).unwrap_err();
        // To the JSON reader a number that ends in its point or sign is a malformed one.
        let in_number = MICRO[..length].ends_with(['.', '-']);
        let wanted = matches!(error, ManifestError::Truncated(_)) || in_number;
        assert!(wanted, "{length}: {error:?}");
    }
}

#[test]
fn parse_of_another_format_says_so_before_anything_else() {
    for found in [0, 3] {
        let error = Manifest::parse(format!(r#"{{"format": {found}, "novelty": true}}"#).as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::Format { found: got } if got == found), "{error:?}");
        assert!(
            error.to_string().contains(&format!("format is {found}, this program reads formats 1 to 2")),
            "{error}"
        );
    }
    for text in ["[1]", "{}", r#"{"format": "1"}"#, r#"{"format": null}"#] {
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::Field(_)), "{text}: {error:?}");
    }
    assert!(matches!(Manifest::parse(b"format: 1"), Err(ManifestError::Syntax(_))));
}

#[test]
fn parse_refuses_an_unknown_field_anywhere_but_in_the_settings() {
    let objects = [
        "",
        "/graphs",
        "/graphs/hint",
        "/graphs/hint/data/0",
        "/graphs/hint/inputs/0",
        "/input",
        "/latent",
        "/schedule",
        "/sampler",
        "/start_noise",
        "/map",
        "/score",
        "/calibration/washer",
        "/provenance",
    ];
    for pointer in objects {
        let error = parse_with_field(pointer, "novelty").unwrap_err();
        assert!(matches!(error, ManifestError::UnknownField(_)), "{pointer}: {error:?}");
    }
    parse_with_field("/provenance/settings", "novelty").unwrap();
}

#[test]
fn parse_refuses_words_and_types_that_the_format_does_not_have() {
    for (pointer, value) in [
        ("/graphs/encoder/file", json!("../encoder.onnx")),
        ("/graphs/encoder/file", json!("a/b.onnx")),
        ("/graphs/encoder/file", json!("/etc/passwd")),
        ("/graphs/encoder/file", json!(".hidden")),
        ("/graphs/encoder/file", json!("")),
        ("/graphs/encoder/sha256", json!("00")),
        ("/graphs/encoder/inputs/0/dtype", json!("float16")),
        ("/graphs/encoder/inputs/0/shape/0", json!("M")),
        ("/graphs/encoder/inputs/0/shape/1", json!(-3)),
        ("/input/channels", json!("bgr")),
        ("/input/resize", json!("nearest")),
        ("/input/mean", json!([0.5, 0.5])),
        ("/latent/posterior", json!("mode")),
        ("/schedule/kind", json!("cosine")),
        ("/sampler/kind", json!("ddpm")),
        ("/map/fusion", json!("product")),
        ("/score/rule", json!("mean")),
        ("/products", json!(null)),
    ] {
        let error = parse_with(pointer, value.clone()).unwrap_err();
        assert!(matches!(error, ManifestError::Field(_)), "{pointer} {value}: {error:?}");
    }
}

#[test]
fn parse_refuses_numbers_out_of_range_and_names_the_place() {
    for (pointer, value, place) in [
        ("/name", json!(""), "name"),
        ("/input/width", json!(0), "input.width"),
        ("/input/height", json!(100_000), "input.height"),
        ("/input/mean/1", json!(1e300), "input.mean[1]"),
        ("/input/std/2", json!(0.0), "input.std[2]"),
        ("/latent/scale", json!(-1.0), "latent.scale"),
        ("/latent/scale", json!(1e300), "latent.scale"),
        ("/latent/posterior", json!("sample"), "latent.posterior_noise"),
        ("/schedule/train_steps", json!(500), "schedule.train_steps"),
        ("/schedule/beta_start", json!(0.0), "schedule.beta_start"),
        ("/schedule/beta_end", json!(0.0001), "schedule.beta_end"),
        ("/schedule/beta_end", json!(1.0), "schedule.beta_end"),
        ("/sampler/eta", json!(0.5), "sampler.eta"),
        ("/sampler/start", json!(1000), "sampler.start"),
        ("/sampler/start", json!(900), "sampler.steps[0]"),
        ("/sampler/steps", json!([]), "sampler.steps"),
        ("/sampler/steps", json!([901, 901]), "sampler.steps[1]"),
        ("/sampler/last_previous", json!(1), "sampler.last_previous"),
        ("/sampler", sampler_that_knows(&[901, 801]), "sampler.steps[2]"),
        ("/sampler", sampler_that_knows(&[1, 801, 901]), "sampler.known"),
        ("/map/layer_weights", json!([1.0, 1.0]), "map.layer_weights"),
        ("/map/layer_weights", json!([0.0, 0.0, 0.0]), "map.layer_weights"),
        ("/map/layer_weights/0", json!(-1.0), "map.layer_weights[0]"),
        ("/map/blur_sigma_px", json!(-1.0), "map.blur_sigma_px"),
        ("/map/blur_truncate", json!(0.0), "map.blur_truncate"),
        ("/score/window_px", json!(0), "score.window_px"),
        ("/score/times", json!(0), "score.times"),
        ("/score/times", json!(22), "score"),
        ("/products", json!(["washer", "washer"]), "products[1]"),
        ("/products", json!(["a/b"]), "products[0]"),
        ("/products", json!(["fabric"]), "calibration.washer"),
        ("/calibration/washer/parts", json!(0), "calibration.washer.parts"),
        ("/calibration/washer/mean", json!(-0.1), "calibration.washer.mean"),
        ("/calibration/washer/max", json!(0.1), "calibration.washer"),
        ("/graphs/denoiser/inputs/1/name", json!("latent"), "graphs.denoiser.inputs[1].name"),
    ] {
        match parse_with(pointer, value.clone()) {
            Err(ManifestError::Value { field, .. }) => assert_eq!(field, place, "{pointer} {value}"),
            other => panic!("{pointer} {value}: {other:?}"),
        }
    }
}

#[test]
fn parse_refuses_graphs_that_do_not_agree() {
    for (pointer, value, graph, tensor) in [
        ("/graphs/encoder/inputs/0/shape", json!(["N", 3, 64, 32]), GraphName::Encoder, "image"),
        ("/graphs/encoder/outputs/0/shape", json!(["N", 4, 8, 8]), GraphName::Encoder, "moments"),
        ("/graphs/hint/outputs/0/shape", json!(["N", 2, 8, 9]), GraphName::Hint, "hint"),
        ("/graphs/denoiser/inputs/0/shape", json!([1, 4, 8, 8]), GraphName::Denoiser, "latent"),
        ("/graphs/denoiser/inputs/2/dtype", json!("float32"), GraphName::Denoiser, "t"),
        ("/graphs/denoiser/outputs/0/shape", json!(["N", 4, 8]), GraphName::Denoiser, "noise"),
        ("/graphs/decoder/outputs/0/dtype", json!("int64"), GraphName::Decoder, "reconstruction"),
        ("/graphs/features/outputs/2/shape", json!(["N", 8, 0, 4]), GraphName::Features, "layer3"),
    ] {
        match parse_with(pointer, value.clone()) {
            Err(ManifestError::Shape { graph: got, tensor: name, .. }) => assert_eq!((got, &*name), (graph, tensor)),
            other => panic!("{pointer} {value}: {other:?}"),
        }
    }
    let error = parse_with("/graphs/encoder/outputs", json!([])).unwrap_err();
    assert!(matches!(error, ManifestError::Count { graph: GraphName::Encoder, found: 0, .. }), "{error:?}");
}

#[test]
fn parse_takes_the_fixture_of_format_2_whole() {
    let manifest = Manifest::parse(LATENT.as_bytes()).unwrap();
    assert_eq!((manifest.format, manifest.foundations.len(), manifest.overlays.len()), (2, 1, 1));
    let representation = manifest.representation.as_ref().unwrap();
    assert_eq!((&*representation.foundation, &representation.groups[..]), ("micro", &[2, 4][..]));
    assert_eq!(representation.graphs.encoder.outputs[0].scale.as_deref(), Some("unit variance"));
    let files: Vec<String> = manifest.files().map(|(what, ..)| what).skip(6).collect();
    assert_eq!(
        files,
        [
            "graph latent_encoder",
            "graph latent_hint",
            "graph latent_denoiser",
            "start noise",
            "start noise of the representation",
            "overlay of product washer",
        ]
    );
    changed(MICRO, "/format", json!(2)).unwrap();
}

#[test]
fn parse_refuses_fields_of_format_2_in_format_1() {
    for (key, field) in [("foundations", "foundations"), ("overlays", "overlays"), ("representation", "representation")]
    {
        let mut manifest: Value = serde_json::from_str(MICRO).unwrap();
        manifest[key] = serde_json::from_str::<Value>(LATENT).unwrap()[key].clone();
        let error = Manifest::parse(manifest.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::Newer { field: found } if found == field), "{key}: {error:?}");
    }
    let mut manifest: Value = serde_json::from_str(MICRO).unwrap();
    manifest["graphs"]["decoder"]["inputs"][0]["scale"] = json!("scaled latent");
    let error = Manifest::parse(manifest.to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, ManifestError::Newer { field: "scale" }), "{error:?}");
}

#[test]
fn parse_refuses_what_stands_beside_the_pixels_and_is_out_of_range() {
    let mark = json!({"name": "micro", "sha256": "0".repeat(64)});
    for (pointer, value, place) in [
        ("/foundations/0/name", json!("../micro"), "foundations[0].name"),
        ("/foundations", json!([mark, mark]), "foundations[1].name"),
        ("/foundations", json!([]), "representation.foundation"),
        ("/overlays/0/product", json!("a/b"), "overlays[0].product"),
        ("/representation/foundation", json!("other"), "representation.foundation"),
        ("/representation/groups", json!([2, 3]), "representation.groups"),
        ("/representation/groups", json!([6, 0]), "representation.groups"),
        ("/representation/sampler/eta", json!(0.5), "representation.sampler.eta"),
        ("/representation/sampler/steps", json!([300, 300]), "representation.sampler.steps[1]"),
        ("/representation/sampler/start", json!(1000), "representation.sampler.start"),
        ("/representation/graphs/hint/outputs/0/name", json!(""), "graphs.latent_hint.outputs[0].name"),
    ] {
        match changed(LATENT, pointer, value.clone()) {
            Err(ManifestError::Value { field, .. }) => assert_eq!(field, place, "{pointer} {value}"),
            other => panic!("{pointer} {value}: {other:?}"),
        }
    }
    for (pointer, value, graph) in [
        ("/representation/graphs/encoder/outputs/0/shape", json!(["N", 6, 8, 9]), GraphName::LatentEncoder),
        ("/representation/graphs/hint/inputs/0/shape", json!(["N", 5, 8, 8]), GraphName::LatentHint),
        ("/representation/graphs/denoiser/outputs/0/shape", json!(["N", 2, 8, 8]), GraphName::LatentDenoiser),
        ("/representation/graphs/denoiser/inputs/2/shape", json!([1]), GraphName::LatentDenoiser),
    ] {
        match changed(LATENT, pointer, value.clone()) {
            Err(ManifestError::Shape { graph: got, .. }) => assert_eq!(got, graph, "{pointer} {value}"),
            other => panic!("{pointer} {value}: {other:?}"),
        }
    }
    let mut manifest: Value = serde_json::from_str(LATENT).unwrap();
    manifest["representation"]["novelty"] = json!(1);
    assert!(matches!(Manifest::parse(manifest.to_string().as_bytes()), Err(ManifestError::UnknownField(_))));
}
