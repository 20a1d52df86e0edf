//! `diad calibrate` and `diad whatif`: what a threshold may promise, and what it would have done.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Output;

use diad_ledger::{Ledger, Mark, Moment, RowId};
use diad_scene::{Line, Product, render};
use serde_json::{Value, json};

use super::ledger::filled;
use super::station::diad;

const THRESHOLDS: &str = "# our line\ndefault: { review: 0.5, reject: 0.6 }\nproducts:\n  # worn tool\n  washer: { review: 0.1, reject: 0.2, min_area_px: 9 } # keep\n";

/// Good washers, and some defective ones.
fn washers(folder: &Path, good: u64, bad: u64) {
    write(&folder.join("washer/good"), 0..good, 0.0);
    write(&folder.join("washer/test/scratch"), 0..bad, 1.0);
}

fn write(folder: &Path, parts: Range<u64>, defective: f32) {
    let line = Line::new(11, &[Product::Washer], defective);
    fs::create_dir_all(folder).unwrap();
    for index in parts {
        render(&line.part(index)).image.save(folder.join(format!("{index:03}.png"))).unwrap();
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
    let brightness = &washer["reference"]["brightness"];
    assert!(brightness[0].as_f64().unwrap() > 0.1 && brightness[1].as_f64().unwrap() < 0.1, "{brightness}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("brightness: [{}, {}]", brightness[0], brightness[1])), "{text}");
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
fn calibrate_judges_under_the_mask_of_the_file_it_writes_to_and_in_the_region_of_the_camera() {
    let folder = tempfile::tempdir().unwrap();
    washers(folder.path(), 30, 0);
    let file = folder.path().join("thresholds.yaml");
    let name = file.to_str().unwrap();
    let run = |mask: &str| {
        let text = format!("default: {{ review: 0.5, reject: 0.6 }}\nproducts:\n  washer:\n    {mask} # ours\n");
        fs::write(&file, text).unwrap();
        let output = calibrate(folder.path(), &["--max-false-reject", "0.1", "--write", name, "--json"]);
        (output, fs::read_to_string(&file).unwrap())
    };
    let reject = |output: &Output| {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["products"][0]["reject"].as_f64().unwrap()
    };
    let (whole, _) = run("ignore: []");
    let mask = "roi: { x: 0, y: 0, width: 24, height: 24 }";
    let (corner, text) = run(mask);
    assert!(reject(&corner) < reject(&whole), "{} and {}", reject(&corner), reject(&whole));
    assert!(text.contains(&format!("    {mask} # ours\n")), "{text}");

    let settings = folder.path().join("diad.yaml");
    let camera = |roi: &str| {
        let camera =
            format!("{{ id: cam0, source: {{ kind: rendered }}, trigger: {{ kind: camera }}, roi: {{ {roi} }} }}");
        let text = format!("line: L1\nstation: S1\ncameras: [{camera}]\ndeadline_ms: 200\nthresholds: {name}\n");
        fs::write(&settings, text).unwrap();
        calibrate(folder.path(), &["--max-false-reject", "0.1", "--json", "--config", settings.to_str().unwrap()])
    };
    let looked_at = camera("x: 8, y: 8, width: 240, height: 240");
    assert!((reject(&looked_at) - reject(&whole)).abs() > 1e-4, "{} and {}", reject(&looked_at), reject(&whole));
    let cut_already = camera("x: 64, y: 0, width: 256, height: 256");
    assert_eq!(cut_already.status.code(), Some(65));
    assert!(stderr(&cut_already).contains("000.png"), "{}", stderr(&cut_already));

    let (nothing, text) = run("roi: { x: 9000, y: 0, width: 24, height: 24 }");
    assert_eq!(nothing.status.code(), Some(65));
    assert!(stderr(&nothing).contains("nothing of the picture counts"), "{}", stderr(&nothing));
    assert!(text.contains("review: 0.5, reject: 0.6") && !text.contains("diad calibrate"), "{text}");
}

#[test]
fn calibrate_counts_a_part_once_and_names_what_it_leaves_out_and_whom_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("Washer/good"), 0..30, 0.0);
    let good = folder.path().join("Washer/good");
    fs::copy(good.join("000.png"), good.join("copy.png")).unwrap();
    fs::copy(good.join("001.png"), good.join("._001.png")).unwrap();
    write(&good.join("lot2"), 40..41, 0.0);
    let file = folder.path().join("thresholds.yaml");
    fs::write(&file, THRESHOLDS).unwrap();
    let more = ["--max-false-reject", "0.1", "--write", file.to_str().unwrap(), "--dry-run"];
    let output = calibrate(folder.path(), &[&more[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let washer = &document["products"][0];
    assert_eq!((&washer["good"], &washer["copies"]), (&30.into(), &1.into()));
    assert_eq!(washer["left_out"], json!([good.join("lot2").display().to_string()]));
    let told = stderr(&output);
    for want in ["product Washer is named neither by the thresholds nor by the model", "product Washer is new in "] {
        let line = told.lines().find(|line| line.contains(want)).unwrap_or_else(|| panic!("{want}: {told}"));
        assert!(line.contains("WARN") && line.contains("did you mean washer? They differ in case alone"), "{line}");
    }
    let text = String::from_utf8_lossy(&calibrate(folder.path(), &more).stdout).into_owned();
    assert!(text.contains("Washer: 1 pictures are copies of others; a part counts once"), "{text}");
    assert!(text.contains("Washer: left out, for they are no pictures of good parts: "), "{text}");
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
fn calibrate_leaves_out_what_a_model_is_trained_on_unless_told_that_it_never_saw_it() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("washer/test/good"), 0..30, 0.0);
    write(&folder.path().join("washer/train/good"), 30..32, 0.0);
    let file = folder.path().join("thresholds.yaml");
    let run = |more: &[&str]| {
        fs::write(&file, THRESHOLDS).unwrap();
        let output = calibrate(folder.path(), &[&["--write", file.to_str().unwrap()], more].concat());
        (output, fs::read_to_string(&file).unwrap().lines().last().unwrap().to_owned())
    };
    for (more, good, done, advice) in [
        (&[][..], "washer (30 good parts)", "left out", "--include-train takes them"),
        (&["--include-train"], "washer (32 good parts)", "included", "only if the model was not trained on them"),
    ] {
        let (output, note) = run(&[&["--max-false-reject", "0.1"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(&format!("2 pictures of train/good {done}: ")) && text.contains(advice), "{text}");
        assert!(note.contains(good) && note.contains(&format!(", train/good {done}: ")), "{note}");
    }
    let (few, note) = run(&["--max-false-reject", "0.09"]);
    assert_eq!(few.status.code(), Some(65));
    let want = "30 good parts support 0.0950 at best";
    assert!(stderr(&few).contains(want) && stderr(&few).contains("2 in train/good were left out"), "{}", stderr(&few));
    assert!(!note.contains("diad calibrate"), "{note}");

    fs::remove_dir_all(folder.path().join("washer/test")).unwrap();
    let (none, _) = run(&["--max-false-reject", "0.1"]);
    assert_eq!(none.status.code(), Some(65));
    assert!(stderr(&none).contains("--include-train takes them, if it never saw them"), "{}", stderr(&none));
}

#[test]
fn calibrate_names_a_defect_among_the_good_parts_and_prints_scores_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    // Enough for one part beyond the cut-off.
    washers(folder.path(), 50, 0);
    let odd = folder.path().join("washer/good/odd.png");
    image::RgbImage::from_fn(256, 256, |x, y| {
        image::Rgb(if (x / 16 + y / 16) % 2 == 0 { [255, 0, 255] } else { [0, 255, 0] })
    })
    .save(&odd)
    .unwrap();
    let output = calibrate(folder.path(), &["--max-false-reject", "0.1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["products"][0]["doubtful"], json!([odd.to_str().unwrap()]), "{text}");
    let warning = stderr(&output);
    assert!(warning.contains("odd.png") && warning.contains("look at them"), "{warning}");
    for key in ["review", "reject"] {
        let number = document["products"][0][key].to_string();
        assert!(number.trim_start_matches(['0', '.']).len() <= 4, "{key}: {number}");
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
    // Thirty copies of one part are one part, and no promise can be made of it.
    let same = calibrate(folder.path(), &["--max-false-reject", "0.1"]);
    assert_eq!(same.status.code(), Some(65));
    let want = "29 pictures are copies of others, and a part counts once";
    assert!(stderr(&same).contains(want), "{}", stderr(&same));
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
    let later = whatif("default: { review: 0.1, reject: 0.3 }\n", &["--since", "2026-01-02"]);
    assert_eq!(String::from_utf8_lossy(&later.stdout), "no parts on record in this span\n");

    let text = whatif("default: { review: 0.8, reject: 0.9 }\nproducts: { washer: { min_area_px: 5 } }\n", &[]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("4 judged parts, 6 not judged (they stay so): 0 rejects more, 1 fewer"), "{text}");
    assert!(text.contains("by their score alone") && !text.contains("roi or ignore"), "{text}");
}

#[test]
fn whatif_says_that_recorded_scores_do_not_know_a_mask() {
    let mask =
        "default: { review: 0.1, reject: 0.3 }\nproducts: { washer: { roi: { x: 0, y: 0, width: 9, height: 9 } } }\n";
    let answer: Value = serde_json::from_slice(&whatif(mask, &["--json"]).stdout).unwrap();
    assert_eq!((&answer["judged"], &answer["mask_unknown"]), (&4.into(), &4.into()), "{answer}");
    // The scores themselves stay as they are.
    assert_eq!((&answer["rejects_added"], &answer["changed"]["total"]), (&1.into(), &3.into()), "{answer}");
    let text = whatif(mask, &[]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("4 parts by the score on record") && text.contains("roi or ignore"), "{text}");
}

#[test]
fn marks_of_people_count_in_whatif_and_in_a_calibration_from_the_record() {
    let place = filled();
    let mut ledger = Ledger::open(&place.ledger()).unwrap();
    let rows: Vec<_> = ledger.read().oldest(RowId::START, 100).unwrap().into_iter().map(Result::unwrap).collect();
    for (verdict, mark) in [("REJECT", Mark::TrueReject), ("REVIEW", Mark::FalseReject)] {
        let found = rows.iter().find(|stored| stored.row.verdict_word() == verdict).unwrap();
        assert!(ledger.mark(&found.row.key, Some(mark), Moment::from_micros(1)).unwrap());
    }
    drop(ledger);
    let file = place.at("thresholds.yaml");
    fs::write(&file, "default: { review: 0.8, reject: 0.9 }\n").unwrap();
    let output =
        diad().arg("whatif").arg("--thresholds").arg(&file).arg("--ledger").arg(place.ledger()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("of 1 parts that somebody called bad 1 would pass; of 1 called good 0 would be rejected"),
        "{text}"
    );

    let output = diad()
        .args(["calibrate", "--max-false-reject", "0.7", "--confidence", "0.6", "--json", "--ledger"])
        .arg(place.ledger())
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    // Two that passed, and the one that somebody called good; the bad one is not among them.
    assert_eq!((&answer["products"][0]["good"], &answer["products"][0]["missed"]["defective"]), (&3.into(), &1.into()));
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

    let ledger = folder.path().join("l.sqlite3");
    let ask = || diad().arg("whatif").arg("--thresholds").arg(&file).arg("--ledger").arg(&ledger).output().unwrap();
    fs::write(&ledger, "no database, only some words of somebody else, more of them than a header has bytes".repeat(9))
        .unwrap();
    let foreign = ask();
    assert_eq!((foreign.status.code(), foreign.stdout.len()), (Some(65), 0), "{}", stderr(&foreign));
    assert!(stderr(&foreign).contains("l.sqlite3"), "{}", stderr(&foreign));
    fs::remove_file(&ledger).unwrap();
    drop(Ledger::open(&ledger).unwrap());
    let empty = ask();
    assert_eq!(empty.status.code(), Some(0), "{}", stderr(&empty));
    assert_eq!(String::from_utf8_lossy(&empty.stdout), "no parts on record in this span\n");
}
