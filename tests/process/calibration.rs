//! `diad calibrate` and `diad whatif`: what a threshold may promise, and what it would have done.

use std::fs;
use std::path::Path;
use std::process::Output;

use diad_scene::{Line, Product, render};
use serde_json::Value;

use super::ledger::filled;
use super::station::diad;

const THRESHOLDS: &str = "# our line\ndefault: { review: 0.5, reject: 0.6 }\nproducts:\n  # worn tool\n  washer: { review: 0.1, reject: 0.2, min_area_px: 9 } # keep\n";

/// Good washers, and some defective ones.
fn washers(folder: &Path, good: u64, bad: u64) {
    for (kind, count, share) in [("train/good", good, 0.0), ("test/scratch", bad, 1.0)] {
        let line = Line::new(11, &[Product::Washer], share);
        let folder = folder.join("washer").join(kind);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..count {
            render(&line.part(index)).image.save(folder.join(format!("{index:03}.png"))).unwrap();
        }
    }
}

fn calibrate(folder: &Path, more: &[&str]) -> Output {
    // The fixture's scores mean nothing and leave the range of thresholds; the shipped model's do not.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../onnx/models/diad-tiny");
    diad().arg("calibrate").arg(folder).arg("--model").arg(shipped).args(more).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn calibrate_writes_cut_offs_with_their_promise_and_keeps_every_comment() {
    let folder = tempfile::tempdir().unwrap();
    washers(folder.path(), 60, 5);
    let file = folder.path().join("thresholds.yaml");
    fs::write(&file, THRESHOLDS).unwrap();
    let name = file.to_str().unwrap();
    let bound = ["--max-false-reject", "0.05", "--confidence", "0.95"];

    let dry = calibrate(folder.path(), &[&bound[..], &["--write", name, "--dry-run"]].concat());
    assert_eq!(dry.status.code(), Some(0), "{}", stderr(&dry));
    assert_eq!(fs::read_to_string(&file).unwrap(), THRESHOLDS, "a dry run writes nothing");
    assert!(String::from_utf8_lossy(&dry.stdout).contains("+  washer: {"), "{}", String::from_utf8_lossy(&dry.stdout));

    let output = calibrate(folder.path(), &[&bound[..], &["--write", name, "--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let washer = &document["products"][0];
    assert_eq!((&washer["product"], &washer["good"]), (&"washer".into(), &60.into()));
    assert_eq!(washer["missed"]["defective"], 5);
    let (review, reject) = (washer["review"].as_f64().unwrap(), washer["reject"].as_f64().unwrap());
    assert!(review <= reject);
    let text = fs::read_to_string(&file).unwrap();
    for kept in ["# our line", "default: { review: 0.5, reject: 0.6 }", "# worn tool", "min_area_px: 9 } # keep"] {
        assert!(text.contains(kept), "{kept} is gone: {text}");
    }
    assert!(text.lines().last().unwrap().contains("diad calibrate: at most 0.05 of good parts rejected"), "{text}");
    let washer = text.lines().find(|line| line.contains("washer: {")).unwrap();
    let value = |key: &str| -> f64 {
        washer.split(&format!("{key}: ")).nth(1).unwrap().split([',', ' ']).next().unwrap().parse().unwrap()
    };
    assert!((value("review") - review).abs() < 1e-6 && (value("reject") - reject).abs() < 1e-6, "{washer}");
}

#[test]
fn calibrate_refuses_what_the_sample_does_not_support_and_says_how_many_would() {
    let folder = tempfile::tempdir().unwrap();
    washers(folder.path(), 20, 0);
    let file = folder.path().join("thresholds.yaml");
    fs::write(&file, THRESHOLDS).unwrap();
    let output = calibrate(folder.path(), &["--write", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("washer") && stderr(&output).contains("598 good parts"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), THRESHOLDS);
    for (rate, code) in [("0", 64), ("1.5", 64), ("nan", 64)] {
        let output = calibrate(folder.path(), &["--max-false-reject", rate]);
        assert_eq!(output.status.code(), Some(code), "{rate}: {}", stderr(&output));
    }
}

#[test]
fn calibrate_of_parts_that_are_none_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(calibrate(folder.path(), &[]).status.code(), Some(65));
    let good = folder.path().join("gear/good");
    fs::create_dir_all(&good).unwrap();
    for index in 0..30 {
        image::GrayImage::from_pixel(64, 64, image::Luma([9])).save(good.join(format!("{index}.png"))).unwrap();
    }
    let same = calibrate(folder.path(), &["--max-false-reject", "0.1"]);
    assert_eq!(same.status.code(), Some(65));
    assert!(stderr(&same).contains("all the same"), "{}", stderr(&same));
    fs::write(good.join("broken.png"), "no picture").unwrap();
    let broken = calibrate(folder.path(), &["--max-false-reject", "0.1"]);
    assert_eq!(broken.status.code(), Some(65));
    assert!(stderr(&broken).contains("broken.png"), "{}", stderr(&broken));
}

fn whatif(thresholds: &str, more: &[&str]) -> Output {
    let place = filled();
    let file = place.at("thresholds.yaml");
    fs::write(&file, thresholds).unwrap();
    diad().arg("whatif").arg("--thresholds").arg(file).arg("--ledger").arg(place.ledger()).args(more).output().unwrap()
}

#[test]
fn whatif_counts_what_would_have_changed() {
    // On record: two that passed (0.125), one for review (0.375), one reject (0.75).
    let output = whatif("default: { review: 0.1, reject: 0.3 }\n", &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["judged"], &answer["unjudged"]), (&4.into(), &6.into()), "{answer}");
    assert_eq!((&answer["rejects_added"], &answer["rejects_removed"]), (&1.into(), &0.into()), "{answer}");
    assert_eq!((&answer["from"]["PASS"]["REVIEW"], &answer["from"]["REVIEW"]["REJECT"]), (&2.into(), &1.into()));
    assert_eq!(answer["by_product"][0]["product"], "washer");
    assert_eq!(answer["changed"]["total"], 3);
    assert_eq!(answer["by_hour"][0]["hour"], "2026-01-01T08:00Z");

    let later = whatif("default: { review: 0.1, reject: 0.3 }\n", &["--since", "2026-01-02", "--json"]);
    let answer: Value = serde_json::from_slice(&later.stdout).unwrap();
    assert_eq!((later.status.code(), &answer["judged"]), (Some(0), &0.into()));

    let text = whatif("default: { review: 0.8, reject: 0.9 }\nproducts: { washer: { min_area_px: 5 } }\n", &[]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("4 judged parts, 6 not judged (they stay so): 0 rejects more, 1 fewer"), "{text}");
    assert!(text.contains("by their score alone"), "{text}");
}

#[test]
fn whatif_of_bad_thresholds_or_no_ledger_says_why() {
    let output = whatif("default: { review: 0.5, reject: 0.3 }\n", &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("thresholds.yaml:1:"), "{}", stderr(&output));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.yaml");
    fs::write(&file, THRESHOLDS).unwrap();
    let none =
        diad().arg("whatif").arg("--thresholds").arg(&file).args(["--ledger", "/nowhere/l.sqlite3"]).output().unwrap();
    assert_eq!(none.status.code(), Some(65), "{}", stderr(&none));
}
