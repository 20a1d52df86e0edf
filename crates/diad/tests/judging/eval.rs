//! `diad eval`.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::{Run, pattern, save};

/// A mask whose middle is defect.
fn mask(path: PathBuf, side: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let middle = side / 4..side * 3 / 4;
    let picture =
        GrayImage::from_fn(side, side, |x, y| Luma([if middle.contains(&x) && middle.contains(&y) { 255 } else { 0 }]));
    picture.save(path).unwrap();
}

/// Two products: `nut` with three good parts and two dents, `bolt <b>` with good parts only.
fn dataset() -> TempDir {
    let root = tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    for n in 0..3 {
        save(at(&format!("nut/test/good/{n:03}.png")), &pattern(96, n));
    }
    for n in 0..2 {
        let mut picture = pattern(96, n);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            if (24..72).contains(&x) && (24..72).contains(&y) {
                pixel.0 = [255, 0, 0];
            }
        }
        save(at(&format!("nut/test/dent/{n:03}.png")), &picture);
        mask(at(&format!("nut/ground_truth/dent/{n:03}_mask.png")), 96);
    }
    save(at("bolt <b>/test/good/000.jpg"), &pattern(96, 4));
    root
}

fn report(set: &Path, out: &Path) -> Run {
    Run::of("eval", &[set.as_os_str(), "--json".as_ref(), "--out".as_ref(), out.as_os_str()])
}

const FIGURES: [&str; 7] =
    ["image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro"];

#[test]
fn eval_gives_every_figure_of_every_class() {
    let set = dataset();
    let run = Run::of("eval", &[set.path().as_os_str(), "--json".as_ref()]).expect_code(0);
    assert_eq!(run.stderr(), "");
    let document = run.document();
    assert_eq!(document["images"], 6);
    assert_eq!(document["dataset"], set.path().to_str().unwrap());
    let nut = &document["classes"]["nut"];
    assert_eq!((&nut["good"], &nut["defective"]), (&json!(3), &json!(2)));
    for figure in FIGURES {
        let value = nut[figure].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&value), "{figure}: {value}");
        assert_eq!(document["mean"][figure], nut[figure], "the other class has none");
    }
    for figure in ["image_auroc", "pixel_auroc"] {
        let bounds = [0, 1].map(|end| nut[format!("{figure}_interval")][end].as_f64().unwrap());
        let value = nut[figure].as_f64().unwrap();
        // Pixels are binned for the interval, so it may miss a value at its very edge by a hair.
        assert!(bounds[0] <= value + 0.005 && value <= bounds[1] + 0.005, "{figure}: {value} in {bounds:?}");
    }
    // The dents are masked, and the rest of those parts is the same as that of good ones.
    assert!(nut["shortcut"]["auroc"].as_f64().unwrap() >= 0.5 && nut["shortcut"]["statistic"].is_string(), "{nut}");
    assert_eq!(nut.get("undefined"), None);
    for stage in ["total", "prepare", "encode", "hint", "denoise", "decode", "features", "map", "score"] {
        let time = |key: &str| document["latency_ms"][stage][key].as_f64().unwrap();
        assert!(time("p50") <= time("p99"), "{stage}");
    }
}

#[test]
fn eval_of_a_class_without_defects_has_no_figures_and_says_why() {
    let set = dataset();
    let bolt = &Run::of("eval", &[set.path().as_os_str(), "--json".as_ref()]).document()["classes"]["bolt <b>"];
    for figure in FIGURES {
        assert_eq!(bolt[figure], Value::Null);
        assert!(bolt["undefined"][figure].as_str().unwrap().contains("0 bad among"), "{bolt}");
    }
    let text = Run::of("eval", &[set.path()]).expect_code(0);
    assert!(bolt["shortcut"].is_null() && bolt["image_auroc_interval"].is_null(), "{bolt}");
    let lines: Vec<&str> = text.stdout().lines().collect();
    assert!(lines[0].starts_with("class") && lines[0].ends_with("AUPRO"), "{}", text.stdout());
    assert!(lines.iter().any(|line| line.starts_with("bolt <b>: no image AUROC")), "{}", text.stdout());
}

#[test]
fn eval_of_defects_only_has_pixel_figures_only() {
    let set = dataset();
    fs::remove_dir_all(set.path().join("nut/test/good")).unwrap();
    let nut = &Run::of("eval", &[set.path().join("nut").as_os_str(), "--json".as_ref()]).document()["classes"]["nut"];
    assert_eq!((&nut["image_auroc"], &nut["good"]), (&Value::Null, &json!(0)));
    assert!(nut["undefined"]["image_ap"].as_str().unwrap().contains("2 bad among 2"), "{nut}");
    assert!(nut["pixel_auroc"].is_number() && nut["aupro"].is_number(), "{nut}");
}

#[test]
fn eval_writes_a_report_that_needs_nothing_but_itself() {
    let set = dataset();
    let out = set.path().join("nut/reports/new");
    let run = report(set.path(), &out).expect_code(0);
    assert_eq!(fs::read_to_string(out.join("report.json")).unwrap(), run.stdout());
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    // A histogram for each class, an ROC curve where there is one, and two pictures for each of five parts.
    assert_eq!((page.matches("<svg").count(), page.matches("data:image/png;base64,").count()), (3, 10));
    assert!(page.contains("bolt &lt;b&gt;") && !page.contains("bolt <b>"));
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http") && !outside.contains("<script"));
    // Times differ from run to run; nothing else does.
    let again = report(set.path(), &out).expect_code(0).document();
    for key in ["classes", "mean", "model"] {
        assert_eq!(again[key], run.document()[key], "{key}");
    }
}

#[test]
fn eval_of_what_is_no_data_set_exits_65_and_names_the_place() {
    type Damage = fn(&Path);
    let cases: [(Damage, &str, &str); 9] = [
        (|nut| fs::remove_dir_all(nut.join("test")).unwrap(), "nut", "no folder test"),
        (|nut| fs::create_dir(nut.join("test/scratch")).unwrap(), "nut/test/scratch", "no pictures"),
        (|nut| fs::write(nut.join("test/notes.txt"), "").unwrap(), "nut/test/notes.txt", "unexpected"),
        (|nut| fs::write(nut.join("test/good/a.bmp"), "").unwrap(), "nut/test/good/a.bmp", "PNG and JPEG"),
        (|nut| fs::write(nut.join("test/good/a.png"), "").unwrap(), "nut/test/good/a.png", "empty"),
        (
            |nut| fs::remove_file(nut.join("ground_truth/dent/001_mask.png")).unwrap(),
            "nut/ground_truth/dent/001_mask.png",
            "no mask",
        ),
        (|nut| mask(nut.join("ground_truth/dent/001_mask.png"), 64), "001_mask.png", "64x64 px, its picture 96x96 px"),
        (|nut| mask(nut.join("ground_truth/dent/001_mask.png"), 1), "001_mask.png", "1x1 px"),
        (
            |nut| GrayImage::new(96, 96).save(nut.join("ground_truth/dent/001_mask.png")).unwrap(),
            "001_mask.png",
            "marks nothing",
        ),
    ];
    for (damage, place, want) in cases {
        let set = dataset();
        damage(&set.path().join("nut"));
        let run = Run::of("eval", &[set.path().as_os_str(), "--json".as_ref()]).expect_code(65);
        assert_eq!(run.stdout(), "", "{want}");
        assert!(run.stderr().contains(place) && run.stderr().contains(want), "{want}: {}", run.stderr());
    }
    for path in ["/nowhere/at/all", "/dev/null"] {
        let run = Run::of("eval", &[path]).expect_code(65);
        assert!(run.stderr().contains(path), "{}", run.stderr());
    }
}

#[test]
fn eval_that_cannot_write_exits_74() {
    let set = dataset();
    let out = set.path().join("file");
    fs::write(&out, "").unwrap();
    let run = report(set.path(), &out).expect_code(74);
    assert!(run.stdout().is_empty() && run.stderr().contains("make folder"), "{}", run.stderr());
}
