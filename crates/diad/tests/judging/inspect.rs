//! `diad inspect`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::{ImageBuffer, Luma, Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{Run, pattern, save};

/// Bytes of a picture file.
fn encoded(picture: &RgbImage, ending: &str) -> Vec<u8> {
    let folder = tempdir().unwrap();
    fs::read(save(folder.path().join(format!("picture.{ending}")), picture)).unwrap()
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn inspect_without_thresholds_gives_a_score_and_claims_no_verdict() {
    let folder = tempdir().unwrap();
    let path = save(folder.path().join("part.png"), &pattern(100, 1));
    let run = Run::of("inspect", &[path.as_os_str(), "--json".as_ref()]).expect_code(0);
    assert_eq!(run.stderr(), "");
    let document = run.document();
    assert_eq!(document["errors"], 0);
    assert!(document["model"].as_str().unwrap().starts_with("sha256:"));
    let image = &document["images"][0];
    assert_eq!(image["path"], path.to_str().unwrap());
    assert!(image["score"].as_f64().unwrap() > 0.0);
    for key in ["verdict", "review_at", "reject_at", "error"] {
        assert_eq!(image[key], Value::Null, "{key}");
    }
    let side = |start: &str, length: &str| image[start].as_u64().unwrap() + image[length].as_u64().unwrap();
    assert!((1..=100).contains(&side("x_px", "width_px")) && (1..=100).contains(&side("y_px", "height_px")));
}

#[test]
fn inspect_with_thresholds_judges_by_their_default() {
    let folder = tempdir().unwrap();
    let path = save(folder.path().join("part.png"), &pattern(64, 1));
    let thresholds = folder.path().join("thresholds.yaml");
    fs::write(&thresholds, "default: { review: 0.01, reject: 0.02 }\nproducts: { a: { review: 1, reject: 1 } }\n")
        .unwrap();
    let arguments = [path.as_os_str(), "--thresholds".as_ref(), thresholds.as_os_str()];
    let text = Run::of("inspect", &arguments).expect_code(0);
    assert!(text.stdout().contains("  REJECT  ") && text.stdout().lines().count() == 1, "{}", text.stdout());
    let image = &Run::of("inspect", &[&arguments[..], &["--json".as_ref()]].concat()).document()["images"][0];
    assert_eq!(image["verdict"], "REJECT");
    assert_eq!((&image["review_at"], &image["reject_at"]), (&json!(0.01), &json!(0.02)));
}

#[test]
fn inspect_with_thresholds_judges_under_their_mask() {
    let folder = tempdir().unwrap();
    let path = save(folder.path().join("part.png"), &pattern(64, 1));
    let thresholds = folder.path().join("thresholds.yaml");
    let arguments = [path.as_os_str(), "--json".as_ref(), "--thresholds".as_ref(), thresholds.as_os_str()];
    let said = |mask: &str, code: i32| {
        fs::write(&thresholds, format!("default: {{ review: 0.01, reject: 0.02, {mask} }}\n")).unwrap();
        Run::of("inspect", &arguments).expect_code(code).document()["images"][0].clone()
    };
    let whole = said("ignore: []", 0);
    assert_eq!(said("roi: { x: 0, y: 0, width: 900, height: 900 }", 0), whole);

    let left = said("roi: { x: 0, y: 0, width: 32, height: 64 }", 0);
    assert!(left["score"].as_f64() <= whole["score"].as_f64(), "{left}, {whole}");
    assert!(left["x_px"].as_u64().unwrap() + left["width_px"].as_u64().unwrap() <= 32, "{left}");

    let nothing = said("roi: { x: 64, y: 0, width: 32, height: 64 }", 65);
    assert_eq!((&nothing["verdict"], &nothing["score"]), (&json!("UNJUDGED"), &Value::Null));
    let error = nothing["error"].as_str().unwrap();
    assert!(error.contains("x 64, y 0, 32x64 px") && error.contains("x 0, y 0, 64x64 px"), "{error}");
}

#[test]
fn inspect_with_bad_thresholds_lists_every_fault_and_exits_78() {
    let folder = tempdir().unwrap();
    let path = save(folder.path().join("part.png"), &pattern(64, 1));
    let thresholds = folder.path().join("thresholds.yaml");
    fs::write(&thresholds, "default: { review: .nan, reject: 0.02 }\nspeed: 3\n").unwrap();
    let arguments = [path.as_os_str(), "--json".as_ref(), "--thresholds".as_ref(), thresholds.as_os_str()];
    let run = Run::of("inspect", &arguments).expect_code(78);
    assert_eq!(run.stdout(), "");
    for want in ["thresholds.yaml:1:20: default.review", "thresholds.yaml:2:1: speed"] {
        assert!(run.stderr().contains(want), "{}", run.stderr());
    }
    let missing = [path.as_os_str(), "--thresholds".as_ref(), "/nowhere.yaml".as_ref()];
    assert!(Run::of("inspect", &missing).expect_code(78).stderr().contains("/nowhere.yaml"));
}

#[test]
fn inspect_reports_every_bad_image_and_judges_the_others() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(place(name), bytes).unwrap();
        place(name)
    };
    let jpeg = encoded(&pattern(64, 1), "jpg");
    let png = encoded(&pattern(64, 1), "png");
    let mut huge = png.clone();
    huge[16..20].copy_from_slice(&20_000_u32.to_be_bytes());
    huge[20..24].copy_from_slice(&20_000_u32.to_be_bytes());
    let cmyk = include_bytes!("../../../diad_capture/src/picture/fixtures/cmyk.jpg");
    let deep = ImageBuffer::<Luma<u16>, _>::from_fn(64, 64, |x, y| Luma([(x * y * 16) as u16]));
    deep.save(place("deep.png")).unwrap();
    let cases = [
        (save(place("good.png"), &pattern(80, 2)), None),
        (place("missing.png"), Some("No such file")),
        (write("empty.png", b""), Some("empty")),
        (write("cut.jpg", &jpeg[..jpeg.len() / 2]), Some("truncated")),
        (write("cut.png", &png[..png.len() - 10]), Some("truncated: the PNG ends before its last chunk")),
        (write("text.png", b"not a picture at all"), Some("neither PNG nor JPEG")),
        (write("huge.png", &huge), Some("20000x20000 px")),
        (write("cmyk.jpg", cmyk), Some("CMYK")),
        (folder.path().to_owned(), Some("not a regular file")),
        (place("deep.png"), None),
        (save(place("dot.png"), &RgbImage::from_pixel(1, 1, Rgb([9, 99, 199]))), None),
    ];
    let mut arguments: Vec<_> = cases.iter().map(|(path, _)| path.as_os_str()).collect();
    let text = Run::of("inspect", &arguments).expect_code(65);
    assert_eq!(text.stdout().lines().count(), cases.len());
    assert!(text.stderr().contains("8 of 11 images could not be judged"), "{}", text.stderr());

    arguments.push("--json".as_ref());
    let document = Run::of("inspect", &arguments).expect_code(65).document();
    assert_eq!(document["errors"], 8);
    let images = document["images"].as_array().unwrap();
    assert_eq!(images.len(), cases.len());
    for ((path, want), (image, line)) in cases.iter().zip(images.iter().zip(text.stdout().lines())) {
        assert_eq!(image["path"], path.to_str().unwrap());
        assert!(line.starts_with(path.to_str().unwrap()), "{line}");
        if let Some(want) = want {
            assert!(image["error"].as_str().unwrap().contains(want), "{image}");
            assert_eq!((&image["verdict"], &image["score"]), (&json!("UNJUDGED"), &Value::Null));
            assert!(line.contains("  UNJUDGED  ") && line.contains(want), "{line}");
        } else {
            assert!(image["error"].is_null() && image["score"].is_number(), "{image}");
        }
    }
}

#[test]
fn inspect_dumps_every_array_with_its_shape() {
    let folder = tempdir().unwrap();
    let path = save(folder.path().join("part.png"), &pattern(64, 1));
    let dump = folder.path().join("dump");
    Run::of("inspect", &[path.as_os_str(), "--dump".as_ref(), dump.as_os_str()]).expect_code(0);
    let latent = "(1, 4, 8, 8)";
    let want = BTreeMap::from([
        ("input", "(1, 3, 64, 64)"),
        ("moments", "(1, 8, 8, 8)"),
        ("latent", latent),
        ("noised", latent),
        ("noise_first", latent),
        ("noise_last", latent),
        ("final_latent", latent),
        ("reconstruction", "(1, 3, 64, 64)"),
        ("distance_1", "(1, 1, 16, 16)"),
        ("distance_2", "(1, 1, 8, 8)"),
        ("distance_3", "(1, 1, 4, 4)"),
        ("map_raw", "(1, 1, 64, 64)"),
        ("map", "(1, 1, 64, 64)"),
        ("score", "(1,)"),
    ]);
    let files = files(&dump);
    let names: Vec<_> = files.keys().map(|path| path.to_str().unwrap().to_owned()).collect();
    let mut expected: Vec<_> = want.keys().map(|name| format!("{name}.npy")).collect();
    expected.sort();
    assert_eq!(names, expected);
    for (name, shape) in want {
        let bytes = &files[Path::new(&format!("{name}.npy"))];
        let header = String::from_utf8_lossy(&bytes[..128]);
        assert!(header.contains("'<f4'") && header.contains(&format!("'shape': {shape}")), "{name}: {header}");
        let values: usize =
            shape.trim_matches(['(', ')']).split(',').filter_map(|n| n.trim().parse::<usize>().ok()).product();
        assert_eq!(bytes.len() % 64, (4 * values) % 64, "{name}");
    }
}

#[test]
fn inspect_of_the_same_images_writes_the_same_bytes() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let images = [save(place("a/000.png"), &pattern(64, 1)), save(place("b/000.jpg"), &pattern(200, 2))];
    let run = |turn: &str| {
        let (out, dump) = (place(turn).join("out"), place(turn).join("dump"));
        let options = ["--out".as_ref(), out.as_os_str(), "--dump".as_ref(), dump.as_os_str()];
        let images: Vec<_> = images.iter().map(|path| path.as_os_str()).collect();
        Run::of("inspect", &[&images[..], &options].concat()).expect_code(0);
        files(&place(turn))
    };
    let (first, second) = (run("first"), run("second"));
    assert!(first == second);
    // Two images of one name keep their files apart.
    for (name, side) in [("a_000", 64), ("b_000", 64)] {
        assert!(first.contains_key(Path::new(&format!("dump/{name}/score.npy"))), "{:?}", first.keys());
        for what in ["reconstruction", "heatmap", "overlay"] {
            let bytes = &first[Path::new(&format!("out/{name}_{what}.png"))];
            let picture = image::load_from_memory(bytes).unwrap();
            assert_eq!((picture.width(), picture.height()), (side, side), "{name} {what}");
        }
    }
    assert_eq!(first.len(), 2 * (14 + 3));
}

#[test]
fn inspect_that_cannot_write_exits_74() {
    let folder = tempdir().unwrap();
    let path = save(folder.path().join("part.png"), &pattern(64, 1));
    for option in ["--out", "--dump"] {
        // A file stands where the folder should be.
        let run = Run::of("inspect", &[path.as_os_str(), option.as_ref(), path.as_os_str()]).expect_code(74);
        assert_eq!(run.stdout(), "");
        assert!(run.stderr().contains("make folder") && run.stderr().contains("part.png"), "{}", run.stderr());
    }
    // A folder stands where the file should be.
    for (option, taken) in [("--out", "part_heatmap.png"), ("--dump", "latent.npy")] {
        let out = folder.path().join("out");
        fs::create_dir_all(out.join(taken)).unwrap();
        let run = Run::of("inspect", &[path.as_os_str(), option.as_ref(), out.as_os_str()]).expect_code(74);
        assert!(run.stderr().contains(taken), "{}", run.stderr());
    }
}

#[test]
fn inspect_without_a_model_exits_65_and_names_the_folder() {
    let folder = tempdir().unwrap();
    let path = save(folder.path().join("part.png"), &pattern(64, 1));
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_diad"));
    let run = Run(program.args(["inspect", "--model", "/nowhere/at/all"]).arg(path).output().unwrap()).expect_code(65);
    assert!(run.stderr().contains("/nowhere/at/all"), "{}", run.stderr());
}
