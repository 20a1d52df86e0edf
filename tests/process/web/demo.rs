//! The page of a demonstration.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::client::get;
use crate::broker::{free_port, wait_until};
use crate::station::diad;

#[test]
fn demonstration_is_for_this_machine_alone_and_tells_a_refused_save() {
    let refused = diad().args(["demo", "--http", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("0.0.0.0:0") && words.contains("other machines reach it"), "{words}");

    let port = free_port();
    let mut demo = diad()
        .args(["demo", "--parts", "0", "--json", "--http", &format!("127.0.0.1:{port}")])
        .current_dir(root())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the page", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let status = || get(port, "/api/v1/status").json();
    std::fs::write(status()["thresholds"]["file"].as_str().unwrap(), "default: { review: 2 }\n").unwrap();
    wait_until("the refusal", || status()["problems"][0]["source"] == "thresholds");
    assert!(Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap().success());
    assert!(demo.wait().unwrap().success());
}

/// The summary of a few parts, and the log.
fn parts_with(foundations: &Path) -> (Value, String) {
    let demo = diad()
        .args(["demo", "--parts", "3", "--json", "--http", &format!("127.0.0.1:{}", free_port())])
        .env("DIAD_FOUNDATIONS", foundations)
        .current_dir(root())
        .output()
        .unwrap();
    let log = String::from_utf8(demo.stderr).unwrap();
    assert!(demo.status.success(), "{log}");
    (serde_json::from_slice(&demo.stdout).unwrap(), log)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn demonstration_goes_on_by_the_model_alone_where_a_foundation_is_missing() {
    let (summary, log) = parts_with(Path::new("/nonexistent"));
    assert_eq!((&summary["verdicts_out"], &summary["unjudged"]), (&3.into(), &0.into()));
    assert!(log.contains("the model judges without what was learnt of the products"), "{log}");
    assert!(!log.contains("products are judged by what was learnt of them"), "{log}");
    assert!(!summary["products"].as_object().unwrap().is_empty(), "{summary}");
}

#[test]
fn demonstration_judges_by_what_was_learnt_where_the_foundation_is_at_hand() {
    let foundations = root().join("target/foundation");
    if !foundations.join("efficientnet-lite2/foundation.json").is_file() {
        eprintln!("skipped: {} has no efficientnet-lite2; make setup-foundation fetches it", foundations.display());
        return;
    }
    if !root().join("onnx/models/diad-tiny/learnt/thresholds.yaml").is_file() {
        eprintln!("skipped: nothing was learnt of the rendered products; scripts/learn_rendered.sh does");
        return;
    }
    let (summary, log) = parts_with(&foundations);
    assert_eq!((&summary["verdicts_out"], &summary["unjudged"]), (&3.into(), &0.into()));
    assert!(log.contains("products are judged by what was learnt of them"), "{log}");
}
