//! `bench`, `cameras` and `doctor` from outside: the real program, its standard output and its exit code.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail like the test itself")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, str};

use serde_json::Value;

/// The program as a user starts it, but for a quieter log.
fn diad(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diad"));
    command.args(arguments).env_remove("NOTIFY_SOCKET").env("DIAD_LOG", "warn");
    command
}

fn micro() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures/micro")
}

fn bench(more: &[&str]) -> Output {
    let model = micro();
    let mut arguments = vec!["bench", "--seconds", "1", "--model", model.to_str().unwrap()];
    arguments.extend(more);
    diad(&arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

/// Standard output is one JSON document and nothing else.
fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", stdout(output), stderr(output)))
}

fn ordered(times: &Value) {
    let [p50, p90, p99, max] = ["p50", "p90", "p99", "max"].map(|key| times[key].as_f64().unwrap());
    assert!(0.0 <= p50 && p50 <= p90 && p90 <= p99 && p99 <= max, "{times}");
    let mean = times["mean"].as_f64().unwrap();
    assert!(0.0 <= mean && mean <= max, "{times}");
}

#[test]
fn bench_json_has_every_time_in_order() {
    let output = bench(&["--provider", "cpu", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = document(&output);
    assert!(report["model"].as_str().unwrap().starts_with("sha256:"), "{report}");
    assert_eq!(report["provider"], "cpu");
    assert!(report["threads"].as_u64().unwrap() >= 1);
    assert!(report["library"].as_str().unwrap().contains("libonnxruntime"), "{report}");
    let (parts, steps) = (report["parts"].as_u64().unwrap(), report["steps"].as_u64().unwrap());
    assert!(parts >= 1 && steps >= 1, "{report}");
    assert!(report["seconds"].as_f64().unwrap() >= 1.0, "measures for as long as it was told to");
    assert!(report["images_per_second"].as_f64().unwrap() > 0.0);
    ordered(&report["latency_ms"]);
    for stage in ["prepare", "encode", "hint", "denoise", "decode", "features", "map", "score"] {
        ordered(&report["stages_ms"][stage]);
    }
    for (graph, calls_per_part) in [("encoder", 1), ("hint", 1), ("denoiser", steps), ("decoder", 1), ("features", 1)] {
        let graph = &report["graphs_ms"][graph];
        ordered(graph);
        assert_eq!(graph["calls"].as_u64().unwrap(), calls_per_part * parts, "{report}");
    }
    let outside = &report["outside_networks"];
    assert!((0.0..=1.0).contains(&outside["share"].as_f64().unwrap()), "{outside}");
    assert!(outside["p50_ms"].as_f64().unwrap() <= report["latency_ms"]["max"].as_f64().unwrap());
}

#[test]
fn bench_of_several_witnesses_times_their_stages_and_networks() {
    let fixtures = micro().with_file_name("");
    let measured = |model: &str, more: &[&str]| {
        let model = fixtures.join(model);
        let arguments = [&["bench", "--seconds", "1", "--json", "--model", model.to_str().unwrap()], more].concat();
        let mut program = diad(&arguments);
        program.env("DIAD_FOUNDATIONS", fixtures.join("foundation")).env("DIAD_STATE", "/nowhere");
        let output = program.output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        document(&output)
    };
    let plain = measured("micro", &[]);
    assert_eq!((&plain["witnesses"], plain["stages_ms"].get("bank")), (&Value::Array(vec![]), None));
    for (report, latent) in [
        (measured("micro", &["--rows", "100"]), false),
        (measured("micro-latent", &["--rows", "100"]), true),
        (measured("micro-latent", &["--product", "washer"]), true),
    ] {
        assert_eq!(report["witnesses"].as_array().unwrap().len(), if latent { 3 } else { 2 }, "{report}");
        for stage in ["foundation", "bank", "map"] {
            ordered(&report["stages_ms"][stage]);
        }
        assert_eq!(report["graphs_ms"]["foundation"]["calls"], report["parts"], "one call a part, whoever asks");
        for graph in ["latent_encoder", "latent_hint", "latent_denoiser"] {
            assert_eq!(report["graphs_ms"].get(graph).is_some(), latent, "{graph}: {report}");
        }
    }
}

#[test]
fn bench_text_has_a_row_for_every_stage_and_network() {
    let output = bench(&["--provider", "cpu", "--steps", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    for part in ["cpu", "2 steps", "images/s", "denoise ", "network denoiser", "outside networks"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn bench_with_more_steps_than_there_are_is_a_usage_error() {
    let output = bench(&["--provider", "cpu", "--steps", "1000"]);
    assert_eq!(code(&output), 64, "{}", stderr(&output));
    assert!(stderr(&output).contains("1000 denoising steps"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn bench_on_a_provider_that_does_not_load_is_unavailable_with_the_reason() {
    // On a machine with a GPU and a GPU build of the library the provider works, and that is right as well.
    let output = bench(&["--provider", "cuda", "--json"]);
    match code(&output) {
        0 => assert_eq!(document(&output)["provider"], "cuda"),
        other => {
            assert_eq!(other, 69, "{}", stderr(&output));
            assert!(stderr(&output).contains("provider cuda does not work here: "), "{}", stderr(&output));
            assert_eq!(stdout(&output), "");
        }
    }
}

#[test]
fn bench_without_a_bundle_is_bad_data_and_names_the_folder() {
    let output = diad(&["bench", "--model", "/nonexistent/bundle"]).output().unwrap();
    assert_eq!(code(&output), 65, "{}", stderr(&output));
    assert!(stderr(&output).contains("/nonexistent/bundle"), "{}", stderr(&output));
}

#[test]
fn bench_without_a_library_is_unavailable_and_names_the_place() {
    let model = micro();
    let mut command = diad(&["bench", "--model", model.to_str().unwrap()]);
    let output = command.env("ORT_DYLIB_PATH", "/nonexistent/lib.so").output().unwrap();
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains("/nonexistent/lib.so"), "{}", stderr(&output));
}

#[test]
fn cameras_lists_devices_or_says_that_there_are_none() {
    let output = diad(&["cameras"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("/dev/video"), "{}", stdout(&output));
    let output = diad(&["cameras", "--json"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for camera in document(&output)["cameras"].as_array().unwrap() {
        assert!(camera["path"].is_string() && camera["name"].is_string() && camera["formats"].is_array(), "{camera}");
    }
}

/// A checkout with nothing in it but a model bundle.
fn checkout() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let model = root.path().join("onnx/models/diad-tiny");
    fs::create_dir_all(&model).unwrap();
    for entry in fs::read_dir(micro()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    root
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn doctor_on_a_machine_that_can_judge_is_done_whatever_it_warns_of() {
    let root = checkout();
    let output = diad(&["doctor", "--json"]).current_dir(&root).output().unwrap();
    assert_eq!(code(&output), 0, "{}\n{}", stdout(&output), stderr(&output));
    let report = document(&output);
    assert_eq!(report["ok"], true);
    for name in ["library", "provider cpu", "model"] {
        assert_eq!(check(&report, name)["ok"], true, "{report:#}");
    }
    for name in ["provider cuda", "broker", "disk", "state folder", "clock", "systemd", "cpu", "memory"] {
        assert_ne!(check(&report, name)["ok"], false, "{report:#}");
    }
    for check in report["checks"].as_array().unwrap() {
        assert!(check["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{check}");
        assert_eq!(check["ok"] == true, check["remedy"].is_null(), "a remedy where one is needed: {check}");
    }
}

#[test]
fn doctor_text_marks_every_check() {
    let root = checkout();
    let output = diad(&["doctor"]).current_dir(&root).output().unwrap();
    assert_eq!(code(&output), 0, "{}\n{}", stdout(&output), stderr(&output));
    let marked =
        |line: &str| ["ok       ", "warning  ", "skipped  ", "         "].iter().any(|mark| line.starts_with(mark));
    assert!(stdout(&output).lines().all(marked), "{}", stdout(&output));
}

#[test]
fn doctor_without_a_library_is_unavailable_and_says_where_it_looked() {
    let root = checkout();
    let mut command = diad(&["doctor", "--json"]);
    let output = command.current_dir(&root).env("ORT_DYLIB_PATH", "/nonexistent/lib.so").output().unwrap();
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    let report = document(&output);
    assert_eq!(report["ok"], false);
    let library = check(&report, "library");
    assert_eq!(library["ok"], false);
    assert!(library["detail"].as_str().unwrap().contains("/nonexistent/lib.so"), "{library}");
    assert!(library["remedy"].as_str().unwrap().contains("make setup"), "{library}");
}

#[test]
fn doctor_with_a_broken_bundle_is_bad_data_and_names_the_file() {
    let root = checkout();
    let graph = root.path().join("onnx/models/diad-tiny/decoder.onnx");
    fs::write(&graph, b"not the decoder").unwrap();
    let output = diad(&["doctor", "--json"]).current_dir(&root).output().unwrap();
    assert_eq!(code(&output), 65, "{}", stderr(&output));
    let model = check(&document(&output), "model").clone();
    assert_eq!(model["ok"], false);
    assert!(model["detail"].as_str().unwrap().contains("decoder.onnx"), "{model}");
}
