//! Products that several witnesses judge: those of a bundle, and those that were learnt here.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use super::{Run, fixture, pattern, save};

const WITNESSES: [&str; 3] = ["diad", "latent", "bank:micro"];

/// The product washer, of which the bundle has an overlay, and nut, of which it has none.
fn dataset() -> TempDir {
    let root = tempdir().unwrap();
    for product in ["washer", "nut"] {
        for n in 0..3 {
            save(root.path().join(format!("{product}/test/good/{n:03}.png")), &pattern(80, n));
        }
        for n in 0..2 {
            let mut picture = pattern(80, n);
            picture.pixels_mut().skip(800).take(1600).for_each(|pixel| pixel.0 = [255, 0, 0]);
            save(root.path().join(format!("{product}/test/dent/{n:03}.png")), &picture);
        }
    }
    root
}

fn micro_latent() -> PathBuf {
    fixture("micro-latent")
}

fn latent(command: &str, arguments: &[&str]) -> Run {
    Run::with(&micro_latent(), Path::new("/nowhere"), command, arguments)
}

#[test]
fn eval_says_what_each_witness_of_a_product_would_come_to_alone() {
    let set = dataset();
    let set = set.path().to_str().unwrap();
    let run = latent("eval", &[set, "--json"]).expect_code(0);
    let document = run.document();
    let washer = &document["classes"]["washer"];
    for (name, weight) in WITNESSES.into_iter().zip([0.5, 0.25, 0.25]) {
        let own = &washer["witnesses"][name];
        assert_eq!(own["weight"], weight, "{washer}");
        assert!((0.0..=1.0).contains(&own["image_auroc"].as_f64().unwrap()), "{washer}");
        assert!(washer["parts"][0]["witnesses"][name].as_f64().unwrap() >= 0.0, "{washer}");
    }
    let nut = &document["classes"]["nut"];
    assert_eq!((nut.get("witnesses"), nut["parts"][0].get("witnesses")), (None, None));
    assert!(washer["parts"][0]["score"] != nut["parts"][0]["score"], "the same picture, judged by others");
    for stage in ["foundation", "latent", "bank"] {
        assert!(document["latency_ms"][stage]["p50"].as_f64().unwrap() >= 0.0, "{stage}");
    }

    let out = tempdir().unwrap();
    let text = latent("eval", &[set, "--out", out.path().to_str().unwrap()]).expect_code(0);
    assert!(text.stdout().contains("image AUROC of") && text.stdout().contains("bank:micro"), "{}", text.stdout());
    let page = fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(page.contains("Who judged") && page.contains("bank:micro"));
}

#[test]
fn eval_compares_models_and_the_witnesses_of_each() {
    let set = dataset();
    let out = tempdir().unwrap();
    let micro = fixture("micro");
    let (set, micro) = (set.path().to_str().unwrap(), micro.to_str().unwrap());
    let plain = latent("eval", &[set, "--json"]).expect_code(0).document();
    assert_eq!(plain.get("comparison"), None);
    let arguments = [set, "--json", "--compare", micro, "--out", out.path().to_str().unwrap()];
    let document = latent("eval", &arguments).expect_code(0).document();
    // The document of the model itself stays as it is; times differ from run to run.
    for key in ["classes", "mean", "images", "model"] {
        assert_eq!(document[key], plain[key], "{key}");
    }
    let candidates = document["comparison"]["candidates"].as_array().unwrap();
    let judges: Vec<&str> = candidates.iter().map(|candidate| candidate["judge"].as_str().unwrap()).collect();
    assert_eq!(judges, ["all", "diad", "banks", "latent", "all"]);
    let [all, diad, banks, alone, other] = candidates.as_slice() else { panic!("{candidates:?}") };
    assert_eq!((&all["model"], &other["folder"]), (&document["model"], &Value::from(micro)));
    assert_eq!(all["mean"]["image_auroc"], document["mean"]["image_auroc"]);
    // Only washer has witnesses; each alone ranks as its own scores do.
    for (candidate, witness) in [(diad, "diad"), (banks, "bank:micro"), (alone, "latent")] {
        let own = &candidate["classes"];
        assert_eq!((own.as_object().unwrap().len(), &own["nut"]), (1, &Value::Null));
        let want = &document["classes"]["washer"]["witnesses"][witness]["image_auroc"];
        assert_eq!(&own["washer"]["image_auroc"], want, "{witness}");
        assert!(own["washer"]["image_auroc_interval"][1].is_number(), "{own}");
        assert_eq!(own["washer"]["pixel_auroc"], Value::Null, "there are no masks");
    }
    // Not compared: all judge the parts of both products, one witness those of washer.
    assert!([all, diad, other].iter().all(|candidate| candidate["ms_p50"].as_f64().unwrap() > 0.0), "{candidates:?}");
    assert!(banks["ms_p50"].as_f64().unwrap() > 0.0 && alone["ms_p50"].is_null(), "the latent shares the foundation");
    let roc = &other["mean"]["curves"]["image_roc"];
    assert_eq!((roc["x"][0].as_f64(), roc["y"].as_array().unwrap().last().unwrap().as_f64()), (Some(0.0), Some(1.0)));
    // The banks know one product of two: they are on no front.
    let front: Vec<u64> = document["comparison"]["pareto"]["image_auroc"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| place.as_u64().unwrap())
        .collect();
    assert!(!front.is_empty() && front.iter().all(|place| [0, 4].contains(place)), "{front:?}");
    assert_eq!(document["comparison"]["pareto"]["aupro"], serde_json::json!([]));

    let page = fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(page.contains("<h2>Comparison</h2>") && page.contains("image AUROC and time"), "{}", page.len());
    let text = latent("eval", &[set, "--witnesses"]).expect_code(0);
    assert!(text.stdout().contains("banks alone (nearest neighbour)"), "{}", text.stdout());
    let gone = latent("eval", &[set, "--compare", "/nowhere/model"]);
    assert!(gone.stderr().contains("compare with /nowhere/model"), "{}", gone.stderr());
    gone.expect_code(65);
}

#[test]
fn product_without_an_overlay_is_judged_alike_by_both_bundles() {
    let set = dataset();
    let set = set.path().to_str().unwrap();
    let scores = |run: Run| {
        let document = run.expect_code(0).document();
        document["classes"]["nut"]["parts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| part["score"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(scores(latent("eval", &[set, "--json"])), scores(Run::of("eval", &[set, "--json"])));
}

#[test]
fn inspect_judges_as_the_product_that_is_named() {
    let folder = tempdir().unwrap();
    let part = save(folder.path().join("part.png"), &pattern(64, 1));
    let part = part.to_str().unwrap();
    let image = |arguments: &[&str]| -> Value {
        latent("inspect", &[&[part, "--json"], arguments].concat()).expect_code(0).document()["images"][0].clone()
    };
    let (plain, washer, nut) = (image(&[]), image(&["--product", "washer"]), image(&["--product", "nut"]));
    assert_eq!((plain.get("witnesses"), &nut), (None, &plain));
    assert!(WITNESSES.iter().all(|name| washer["witnesses"][name].is_number()), "{washer}");
    assert_ne!(washer["score"], plain["score"]);
    let dump = folder.path().join("dump");
    let text = latent("inspect", &[part, "--product", "washer", "--dump", dump.to_str().unwrap()]).expect_code(0);
    assert!(text.stdout().contains("bank:micro "), "{}", text.stdout());
    for array in ["patches_1", "latent_final", "witness_3", "map"] {
        assert!(dump.join(format!("{array}.npy")).is_file(), "{array}");
    }

    let thresholds = folder.path().join("thresholds.yaml");
    fs::write(&thresholds, "default: { review: 0.5, reject: 1 }\nproducts: { washer: { review: 0.25, reject: 1 } }\n")
        .unwrap();
    let by = ["--thresholds", thresholds.to_str().unwrap()];
    assert_eq!(image(&by)["review_at"], 0.5);
    assert_eq!(image(&[&by[..], &["--product", "washer"]].concat())["review_at"], 0.25);
}

#[test]
fn model_whose_foundation_is_not_here_exits_69_and_says_what_to_do() {
    let folder = tempdir().unwrap();
    let part = save(folder.path().join("part.png"), &pattern(64, 1));
    let run =
        Run::at(folder.path(), &micro_latent(), folder.path(), "inspect", &[part.to_str().unwrap()]).expect_code(69);
    assert!(run.stderr().contains("foundation micro is missing; `make setup-foundation`"), "{}", run.stderr());
    // A model that needs none does not ask for one.
    Run::at(folder.path(), &fixture("micro"), folder.path(), "inspect", &[part.to_str().unwrap()]).expect_code(0);
}

#[test]
fn eval_and_inspect_judge_as_was_learnt_on_this_machine_and_with_this_model() {
    let (state, set) = (tempdir().unwrap(), dataset());
    let good = set.path().join("learn");
    for n in 0..8 {
        save(good.join(format!("{n}.png")), &pattern(80, n));
    }
    let micro = fixture("micro");
    let learn = ["--product", "nut", good.to_str().unwrap(), "--force", "--rows", "50"];
    Run::with(&micro, state.path(), "learn", &learn).expect_code(0);
    fs::remove_dir_all(&good).unwrap();

    let set = set.path().to_str().unwrap();
    let eval = |model: &Path| Run::with(model, state.path(), "eval", &[set, "--json"]).expect_code(0).document();
    let learnt = eval(&micro);
    assert!(learnt["classes"]["nut"]["witnesses"]["bank:micro"]["weight"].as_f64().unwrap() > 0.0, "{learnt}");
    assert_eq!(learnt["classes"]["washer"].get("witnesses"), None);
    // What was learnt with one model says nothing about the maps of another.
    let other = eval(&micro_latent());
    assert_eq!(other["classes"]["nut"].get("witnesses"), None);

    // Thresholds that name no bank judge without one.
    let thresholds = state.path().join("thresholds.yaml");
    fs::write(&thresholds, "default: { review: 0.3, reject: 0.4 }\n").unwrap();
    let by = [set, "--json", "--thresholds", thresholds.to_str().unwrap()];
    let plain = Run::with(&micro, state.path(), "eval", &by).expect_code(0).document();
    assert_eq!(plain["classes"]["nut"].get("witnesses"), None);
    // And a bank that is not there is a fault, whatever else could judge.
    let missing = format!(
        "default: {{ review: 0.3, reject: 0.4 }}\nproducts: {{ nut: {{ bank: \"sha256:{}\" }} }}\n",
        "0".repeat(64)
    );
    fs::write(&thresholds, missing).unwrap();
    let run = Run::with(&micro, state.path(), "eval", &by).expect_code(65);
    assert!(run.stderr().contains("learn the product again"), "{}", run.stderr());
}
