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

/// The report without its pictures, whose text may hold any letters.
fn page(out: &Path) -> (String, usize) {
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    let mut pieces = page.split("data:image/jpeg;base64,");
    let first = pieces.next().unwrap().to_owned();
    pieces.fold((first, 0), |(text, pictures), piece| (text + piece.trim_start_matches(|c| c != '"'), pictures + 1))
}

const SECTIONS: [&str; 8] = [
    "Figures",
    "Verdicts at the thresholds in force",
    "Curves",
    "Scores",
    "Worst misses",
    "Worst false rejects",
    "How sure the figures are",
    "Time for one part",
];

/// Every section is there, every plot says what it is, and no number is none.
#[track_caller]
fn expect_sound(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    for section in SECTIONS {
        assert!(page.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
    let plots = page.matches("<svg role=\"img\" aria-label=\"").count();
    // The page itself has a title as well.
    assert_eq!(plots + 1, page.matches("<title>").count());
    let nonsense = page.split(|c: char| !c.is_alphanumeric()).find(|word| ["NaN", "inf", "null"].contains(word));
    assert_eq!(nonsense, None, "{page}");
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http") && !outside.contains("<script"));
}

#[test]
fn eval_writes_a_report_that_needs_nothing_but_itself() {
    let set = dataset();
    let out = set.path().join("nut/reports/new");
    let run = report(set.path(), &out).expect_code(0);
    assert_eq!(fs::read_to_string(out.join("report.json")).unwrap(), run.stdout());
    let (page, pictures) = page(&out);
    expect_sound(&page);
    // Five curves, a histogram for each class, and four pictures for each of the five parts of the class with both kinds.
    assert_eq!((page.matches("role=\"img\"").count(), pictures), (7, 20));
    assert!(page.contains("bolt &lt;b&gt;") && !page.contains("bolt <b>"));
    assert!(page.contains("no thresholds were given") && page.contains("bolt &lt;b&gt;: no image AUROC"), "{page}");
    // Times differ from run to run; nothing else does.
    let again = report(set.path(), &out).expect_code(0).document();
    for key in ["classes", "mean", "model"] {
        assert_eq!(again[key], run.document()[key], "{key}");
    }
}

/// `eval` by thresholds.
fn judged(set: &Path, out: &Path, thresholds: &str) -> Run {
    let file = out.with_extension("yaml");
    fs::write(&file, thresholds).unwrap();
    let options = ["--json".as_ref(), "--out".as_ref(), out.as_os_str(), "--thresholds".as_ref(), file.as_os_str()];
    Run::of("eval", &[&[set.as_os_str()], &options[..]].concat())
}

#[test]
fn eval_by_thresholds_counts_verdicts_against_the_truth() {
    let set = dataset();
    let out = tempdir().unwrap();
    // Whatever the scores are: every nut is rejected, and the bolt passes, for no spot is as large as it takes:
    // more than the whole picture.
    let thresholds = "default: { review: 0, reject: 0, min_area_px: 9217 }\nproducts:\n  nut: { min_area_px: 0 }\n";
    let document = judged(set.path(), &out.path().join("report"), thresholds).expect_code(0).document();
    let nut = &document["classes"]["nut"];
    assert_eq!(nut["thresholds"], json!({ "review": 0.0, "reject": 0.0, "min_area_px": 0 }));
    assert_eq!(nut["verdicts"]["good"], json!({ "PASS": 0, "REVIEW": 0, "REJECT": 3 }));
    assert_eq!(nut["verdicts"]["defective"], json!({ "PASS": 0, "REVIEW": 0, "REJECT": 2 }));
    let total = &document["verdicts"];
    assert_eq!(total["good"], json!({ "PASS": 1, "REVIEW": 0, "REJECT": 3 }));
    assert_eq!((&total["false_reject_rate"], &total["miss_rate"]), (&json!(0.75), &json!(0.0)));
    // Three of four, from the tables of Clopper and Pearson.
    let bounds = [0, 1].map(|end| total["false_reject_interval"][end].as_f64().unwrap());
    assert!((bounds[0] - 0.1941).abs() < 1e-4 && (bounds[1] - 0.9937).abs() < 1e-4, "{bounds:?}");
    assert_eq!(document["classes"]["bolt <b>"]["verdicts"]["miss_rate"], Value::Null);
    assert!(document["thresholds"]["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(nut["parts"][0]["verdict"], "REJECT");

    let (page, pictures) = page(&out.path().join("report"));
    expect_sound(&page);
    assert!(page.contains("75.0 % (19.4 to 99.4)") && page.contains("review at 0, reject at 0"), "{page}");
    // Two defective parts and four good ones are held against a line; the three rejected nuts come first.
    assert_eq!((pictures, page.matches("class=\"wrong\"").count()), (24, 3));
    assert!(page.contains("good parts rejected") && page.contains("<p class=\"note\">3 in all."), "{page}");
}

#[test]
fn eval_judges_as_the_line_does_under_the_mask_of_the_product_and_in_the_region_of_the_camera() {
    let set = dataset();
    let out = tempdir().unwrap();
    // Whatever the scores are: what counts is large enough for a reject, or it is not.
    let thresholds = |mask: &str| {
        format!("default: {{ review: 0, reject: 0 }}\nproducts:\n  nut: {{ min_area_px: 4000, {mask} }}\n")
    };
    let rejects = |run: Run| {
        let document = run.expect_code(0).document();
        let nut = &document["classes"]["nut"];
        assert!(nut["aupro"].is_number(), "{nut}");
        (nut["verdicts"]["good"]["REJECT"].clone(), nut["verdicts"]["good"]["PASS"].clone())
    };
    let report = out.path().join("report");
    assert_eq!(rejects(judged(set.path(), &report, &thresholds("ignore: []"))), (json!(3), json!(0)));
    let hidden = thresholds("ignore: [{ x: 0, y: 0, width: 96, height: 60 }]");
    assert_eq!(rejects(judged(set.path(), &report, &hidden)), (json!(0), json!(3)));

    let config = out.path().join("diad.yaml");
    let camera = "{ id: cam0, source: { kind: rendered }, trigger: { kind: camera }, roi: { x: 36, y: 0, width: 36, height: 96 } }";
    let settings = format!("line: L1\nstation: S1\ncameras: [{camera}]\ndeadline_ms: 200\nthresholds: t.yaml\n");
    fs::write(&config, settings).unwrap();
    let file = out.path().join("report.yaml");
    fs::write(&file, thresholds("ignore: []")).unwrap();
    // The other product's picture is of the same size.
    let options =
        ["--json".as_ref(), "--config".as_ref(), config.as_os_str(), "--thresholds".as_ref(), file.as_os_str()];
    let run = Run::of("eval", &[&[set.path().as_os_str()], &options[..]].concat());
    assert_eq!(rejects(run), (json!(0), json!(3)));
}

#[test]
fn eval_gives_curves_whose_areas_are_the_figures() {
    let set = dataset();
    let document = Run::of("eval", &[set.path().as_os_str(), "--json".as_ref()]).expect_code(0).document();
    let nut = &document["classes"]["nut"];
    for (curve, figure, width) in [
        ("image_roc", "image_auroc", 1.0),
        ("image_precision_recall", "image_ap", 1.0),
        ("pixel_roc", "pixel_auroc", 1.0),
        ("pixel_precision_recall", "pixel_ap", 1.0),
        ("region_overlap", "aupro", 0.3),
    ] {
        let values = |axis: &str| -> Vec<f64> {
            nut["curves"][curve][axis].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let (x, y) = (values("x"), values("y"));
        assert!(x.len() == y.len() && x.len() <= 202 && x.is_sorted(), "{curve}: {x:?}");
        let area: f64 = (1..x.len()).map(|i| (x[i] - x[i - 1]) * f64::midpoint(y[i], y[i - 1])).sum();
        // Thinned to steps of a hundredth.
        assert!((area / width - nut[figure].as_f64().unwrap()).abs() < 0.02, "{curve}: {area}");
        assert!(document["mean"]["curves"][curve]["x"].is_array(), "{curve}");
        assert_eq!(document["classes"]["bolt <b>"]["curves"][curve], Value::Null);
    }
}

#[test]
fn eval_of_a_poor_data_set_gives_a_report_that_says_what_is_missing() {
    type Change = fn(&Path);
    let thresholds = "default: { review: 0.1, reject: 0.2 }\n";
    let cases: [(Change, &str, &str); 4] = [
        (|nut| fs::remove_dir_all(nut.join("test/dent")).unwrap(), "only good parts", "no image AUROC, image AP"),
        (|nut| fs::remove_dir_all(nut.join("test/good")).unwrap(), "only defective parts", "nut: no image AUROC"),
        (
            |nut| fs::remove_dir_all(nut.join("ground_truth")).unwrap(),
            "no masks",
            "nut: no pixel AUROC, pixel AP, pixel F1-max, AUPRO: no folder ground_truth",
        ),
        (
            |nut| {
                for name in ["good/001.png", "good/002.png", "dent/000.png", "dent/001.png"] {
                    fs::copy(nut.join("test/good/000.png"), nut.join("test").join(name)).unwrap();
                }
            },
            "equal scores",
            "0.500",
        ),
    ];
    for (change, name, want) in cases {
        let set = dataset();
        change(&set.path().join("nut"));
        let out = tempdir().unwrap();
        for (run, pages) in [
            (report(&set.path().join("nut"), &out.path().join("plain")), "plain"),
            (judged(&set.path().join("nut"), &out.path().join("judged"), thresholds), "judged"),
        ] {
            run.expect_code(0);
            let (page, _) = page(&out.path().join(pages));
            expect_sound(&page);
            assert!(page.contains(want), "{name}, {pages}: {page}");
        }
    }
}

#[test]
fn eval_by_thresholds_with_a_fault_exits_78_and_names_the_line() {
    let set = dataset();
    let out = tempdir().unwrap();
    let run = judged(set.path(), &out.path().join("report"), "default:\n  review: 0.5\n  reject: 2\n").expect_code(78);
    assert!(run.stderr().contains("report.yaml:3:11") && run.stdout().is_empty(), "{}", run.stderr());
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
