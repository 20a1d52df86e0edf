//! `diad learn`, `unlearn` and `products`: a product learnt on the machine, with the fixture bundle and foundation, whose
//! scores mean nothing and are the same every time.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Output;

use diad_core::event::{Judgement, Outcome};
use diad_core::frame::Roi;
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, ProductName, StationName};
use diad_core::score::Score;
use diad_ledger::{Key, Ledger, Mark, Moment, Reader, Row, RowProvenance, Series, Span, Timings};
use diad_scene::{Line, Product, render};
use serde_json::Value;

use super::broker::{Broker, Received, Subscriber};
use super::promise::disk::Disk;
use super::station::{Station, diad, foundations, micro};

const CAMERAS: &str = "  - { id: cam0, source: { kind: rendered, seed: 3, products: [washer] }, trigger: { kind: free_run, every_ms: 50 } }";
const THRESHOLDS: &str =
    "# ours\ndefault: { review: 0.2, reject: 0.4 }\nproducts:\n  washer: { review: 0.1, reject: 0.3 } # worn tool\n";

/// A station that is not started, with thresholds of its own.
fn station() -> Station {
    let station = Station::prepare_at(1, &micro(), CAMERAS, "deadline_ms: 20000");
    fs::write(thresholds(&station), THRESHOLDS).unwrap();
    station
}

fn thresholds(station: &Station) -> PathBuf {
    station.folder.path().join("thresholds.yaml")
}

fn products(station: &Station) -> PathBuf {
    station.folder.path().join("state/products")
}

/// Rendered parts as `<prefix>000.png`, ….
fn write(folder: &Path, prefix: &str, product: Product, parts: Range<u64>, defective: f32) {
    let line = Line::new(11, &[product], defective);
    fs::create_dir_all(folder).unwrap();
    for index in parts {
        render(&line.part(index)).image.save(folder.join(format!("{prefix}{index:03}.png"))).unwrap();
    }
}

/// Good washers below the station's folder.
fn washers(station: &Station, name: &str, parts: Range<u64>) -> PathBuf {
    let folder = station.folder.path().join(name);
    write(&folder, "", Product::Washer, parts, 0.0);
    folder
}

fn run(station: &Station, command: &str, args: &[&str]) -> Output {
    let config = station.folder.path().join("diad.yaml");
    diad().arg(command).args(args).arg("--config").arg(config).output().unwrap()
}

fn learn(station: &Station, folder: &Path, more: &[&str]) -> Output {
    run(station, "learn", &[&["--product", "washer", folder.to_str().unwrap()], more].concat())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn last_word(output: &Output) -> String {
    stderr(output).lines().last().unwrap_or_default().to_owned()
}

#[track_caller]
fn document(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The overlays that are kept of washers, and whatever else lies beside them.
fn kept(station: &Station) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(products(station).join("washer"))
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.retain(|name| name != ".lock");
    names.sort();
    names
}

#[test]
fn learn_writes_bank_and_cut_offs_together_and_unlearn_takes_both_back() {
    let station = station();
    let parts = washers(&station, "good", 0..12);
    let dry = document(&learn(&station, &parts, &["--dry-run", "--json"]));
    assert_eq!(fs::read_to_string(thresholds(&station)).unwrap(), THRESHOLDS, "a dry run writes nothing");
    assert!(!kept(&station).iter().any(|name| name.ends_with("safetensors")), "{:?}", kept(&station));

    let told = document(&learn(&station, &parts, &["--json"]));
    assert_eq!((&told["parts"], &told["copies"]), (&12.into(), &0.into()));
    assert_eq!(
        (&told["reject"], &told["witnesses"]),
        (&dry["reject"], &dry["witnesses"]),
        "the same parts, the same lesson"
    );
    assert_eq!(told["witnesses"][0]["witness"], "diad");
    assert_eq!(
        (&told["witnesses"][1]["witness"], &told["witnesses"][1]["weight"]),
        (&"bank:micro".into(), &(1.0 / 1.5).into())
    );
    // 1 - 0.05^(1/12), rounded up.
    assert_eq!(told["reject"]["rate"], 0.221);
    let bank = told["bank"].as_str().unwrap();
    let file = format!("{}.safetensors", bank.strip_prefix("sha256:").unwrap());
    let mut want = [file, "current.json".to_owned()];
    want.sort();
    assert_eq!(kept(&station), want, "what was worked out on the way is gone");
    let text = fs::read_to_string(thresholds(&station)).unwrap();
    let line = text.lines().find(|line| line.contains("washer: {")).unwrap();
    let (review, reject) = (&told["review"]["cut"], &told["reject"]["cut"]);
    assert!(line.starts_with(&format!("  washer: {{ review: {review}, reject: {reject}, bank: \"{bank}\"")), "{line}");
    assert!(line.contains("reference: { score: [") && line.ends_with("# worn tool"), "{line}");
    let note = text.lines().last().unwrap();
    assert!(note.contains("diad learn: washer, 12 good parts of ") && note.contains("at most 0.221"), "{note}");

    let check = run(&station, "check", &[]);
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
    let listed = document(&run(&station, "products", &["--json"]));
    assert_eq!((&listed["products"][0]["bank"], &listed["products"][0]["steps"]), (&bank.into(), &1.into()));
    assert_eq!(listed["products"][0]["banks"][0]["parts"], 12);

    let undone = document(&run(&station, "unlearn", &["--product", "washer", "--json"]));
    assert_eq!((&undone["bank_before"], &undone["bank"]), (&bank.into(), &Value::Null));
    let text = fs::read_to_string(thresholds(&station)).unwrap();
    assert!(text.contains("  washer: { review: 0.1, reject: 0.3 } # worn tool\n"), "{text}");
    assert!(text.lines().last().unwrap().contains("diad unlearn: washer is judged by the model alone"), "{text}");
    let redone = document(&run(&station, "unlearn", &["--product", "washer", "--to", &bank[..14], "--json"]));
    assert_eq!(redone["bank"], bank);
    assert!(
        fs::read_to_string(thresholds(&station)).unwrap().contains(line.trim_end_matches("# worn tool").trim_end())
    );
    document(&run(&station, "unlearn", &["--product", "washer", "--purge", "--json"]));
    assert_eq!(kept(&station), ["current.json"]);
    let unknown = run(&station, "unlearn", &["--product", "gear"]);
    assert_eq!(unknown.status.code(), Some(64), "{}", stderr(&unknown));
}

#[test]
fn entry_that_learn_made_goes_with_it() {
    let station = station();
    let before = "default: { review: 0.2, reject: 0.4 }\nproducts:\n  gear: { review: 0.1 }\n";
    fs::write(thresholds(&station), before).unwrap();
    let parts = washers(&station, "good", 0..8);
    document(&learn(&station, &parts, &["--json"]));
    document(&run(&station, "unlearn", &["--product", "washer", "--undo", "--json"]));
    let text = fs::read_to_string(thresholds(&station)).unwrap();
    assert!(text.starts_with(before) && !text.contains("washer:"), "{text}");
    let no_step = run(&station, "unlearn", &["--product", "washer", "--undo"]);
    assert_eq!(no_step.status.code(), Some(64), "{}", stderr(&no_step));
}

#[test]
fn folders_that_must_not_be_learnt_are_refused_with_what_to_do_and_change_nothing() {
    let station = station();
    let at = |name: &str| station.folder.path().join(name);
    washers(&station, "two", 0..2);
    write(&at("same"), "", Product::Washer, 0..1, 0.0);
    for copy in 1..60 {
        fs::copy(at("same/000.png"), at(&format!("same/{copy:03}.png"))).unwrap();
    }
    write(&at("mixed"), "a", Product::Washer, 0..8, 0.0);
    write(&at("mixed"), "b", Product::Fabric, 0..6, 0.0);
    washers(&station, "sizes", 0..8);
    image::RgbImage::new(300, 200).save(at("sizes/odd.png")).unwrap();
    washers(&station, "torn", 0..8);
    fs::write(at("torn/003.png"), "no picture").unwrap();
    washers(&station, "outlier", 0..12);
    write(&at("outlier"), "other", Product::Wood, 0..1, 0.0);
    fs::create_dir(at("empty")).unwrap();
    for (folder, code, words) in [
        ("nowhere", 65, &["list folder", "nowhere"][..]),
        ("empty", 65, &["no PNG or JPEG pictures"]),
        ("two", 65, &["2 different good parts; 5 are the least, and 20 a start"]),
        ("same", 65, &["1 different good parts (59 copies left out", "001.png, which is "]),
        ("mixed", 65, &["the parts look like two products, 8 and 6 of them", "mixed/b000.png"]),
        ("sizes", 65, &["1 of 9 pictures are not 256x256", "odd.png (300x200)"]),
        ("torn", 65, &["pictures that cannot be read", "torn/003.png"]),
        ("outlier", 65, &["1 of 13 parts are unlike the others", "outlier/other000.png", "--force"]),
    ] {
        let output = learn(&station, &at(folder), &[]);
        let word = last_word(&output);
        assert_eq!(output.status.code(), Some(code), "{folder}: {}", stderr(&output));
        assert!(words.iter().all(|words| word.contains(words)), "{folder}: {word}");
        assert_eq!(fs::read_to_string(thresholds(&station)).unwrap(), THRESHOLDS, "{folder}");
        assert!(!kept(&station).iter().any(|name| !name.starts_with('.')), "{folder}: {:?}", kept(&station));
    }
    let forced = document(&learn(&station, &at("outlier"), &["--force", "--json"]));
    assert_eq!((&forced["parts"], forced["doubtful"].as_array().unwrap().len()), (&13.into(), 1));
}

#[test]
fn foundations_that_cannot_be_used_are_refused_with_what_to_do() {
    let station = station();
    let parts = washers(&station, "good", 0..6);
    let broken = station.folder.path().join("foundation");
    let learn_with = |folder: &Path| {
        diad()
            .args(["learn", "--product", "washer", "--config"])
            .arg(station.folder.path().join("diad.yaml"))
            .arg(&parts)
            .env("DIAD_FOUNDATIONS", folder)
            .output()
            .unwrap()
    };
    let none = learn_with(&broken);
    assert_eq!(none.status.code(), Some(69), "{}", stderr(&none));
    assert!(last_word(&none).contains("no foundation found in ") && last_word(&none).contains("make setup-foundation"));

    fs::create_dir_all(broken.join("micro")).unwrap();
    for file in ["foundation.json", "foundation.onnx"] {
        fs::copy(foundations().join("micro").join(file), broken.join("micro").join(file)).unwrap();
    }
    let graph = broken.join("micro/foundation.onnx");
    let mut bytes = fs::read(&graph).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&graph, bytes).unwrap();
    let wrong = learn_with(&broken);
    assert_eq!(wrong.status.code(), Some(65), "{}", stderr(&wrong));
    assert!(last_word(&wrong).contains("foundation.onnx has sha256 "), "{}", last_word(&wrong));
    assert!(last_word(&wrong).contains("make setup-foundation"), "{}", last_word(&wrong));
    assert_eq!(fs::read_to_string(thresholds(&station)).unwrap(), THRESHOLDS);
}

/// The entry of washers with this bank instead.
fn with_bank(station: &Station, digest: &str) {
    let text = format!(
        "default: {{ review: 0.2, reject: 0.4 }}\nproducts:\n  washer: {{ review: 0.1, reject: 0.3, bank: \"sha256:{digest}\" }}\n"
    );
    fs::write(thresholds(station), text).unwrap();
}

#[test]
fn banks_that_cannot_be_used_are_faults_at_the_place_that_names_them() {
    let mut station = station();
    let parts = washers(&station, "good", 0..6);
    let told = document(&learn(&station, &parts, &["--json"]));
    let digest = told["bank"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let file = products(&station).join(format!("washer/{digest}.safetensors"));
    let sound = fs::read(&file).unwrap();
    let place = "thresholds.yaml:3:45: products.washer.bank: ";
    let refused = |station: &mut Station, words: &[&str]| {
        let check = run(station, "check", &[]);
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.code(), Some(78), "{said}");
        assert!(said.contains(place) && words.iter().all(|words| said.contains(words)), "{words:?}: {said}");
        station.restart();
        assert_eq!(station.exit_code(), Some(78));
        assert!(station.log().contains(place), "{}", station.log());
    };
    with_bank(&station, &"0".repeat(64));
    refused(&mut station, &["is missing; learn the product again"]);
    with_bank(&station, &digest);
    fs::write(&file, &sound[..sound.len() / 2]).unwrap();
    refused(&mut station, &["has sha256 ", "learn the product again"]);
    fs::write(&file, &sound).unwrap();

    // Another model in the same place: the micro bundle with another name.
    let other = station.folder.path().join("model");
    fs::create_dir(&other).unwrap();
    for entry in fs::read_dir(micro()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), other.join(entry.file_name())).unwrap();
    }
    let manifest = fs::read_to_string(other.join("manifest.json")).unwrap();
    fs::write(other.join("manifest.json"), manifest.replace("\"name\": \"micro\"", "\"name\": \"other\"")).unwrap();
    station.amend(&micro().display().to_string(), &other.display().to_string());
    refused(&mut station, &["product washer was learnt with model sha256:", "`diad learn --product washer` again"]);
    let add = learn(&station, &washers(&station, "more", 6..8), &["--add"]);
    assert_eq!(add.status.code(), Some(65), "{}", stderr(&add));
    assert!(last_word(&add).contains("was learnt with model"), "{}", last_word(&add));
}

fn is_state(message: &Received, state: &str) -> bool {
    message.topic.ends_with("/state") && message.payload["state"] == state
}

#[test]
fn running_station_takes_what_is_learnt_between_two_parts_and_refuses_what_it_cannot_use() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    plant.publish("factory/L1/S1/product", true, r#"{"product":"washer"}"#);
    let station = Station::start(&broker, CAMERAS);
    let first = plant.until(|m| m.topic.ends_with("/verdict") && m.payload["product"] == "washer");
    let digest = |message: &Received| message.payload["thresholds"].clone();
    let before = digest(first.last().unwrap());

    let parts = washers(&station, "good", 0..8);
    let told = document(&learn(&station, &parts, &["--json"]));
    let taken = plant.until(|m| m.topic.ends_with("/verdict") && digest(m) != before);
    let after = digest(taken.last().unwrap());
    assert!(!taken.iter().any(|m| is_state(m, "degraded")), "{taken:?}");

    // Cut-offs of a bank that is not there must not judge.
    let text = fs::read_to_string(thresholds(&station)).unwrap();
    let bank = told["bank"].as_str().unwrap().to_owned();
    fs::write(thresholds(&station), text.replace(&bank, &format!("sha256:{}", "0".repeat(64)))).unwrap();
    let refused = plant.until(|m| is_state(m, "degraded"));
    let detail = refused.last().unwrap().payload["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("products.washer.bank: ") && detail.contains("is missing"), "{detail}");
    let still = plant.until(|m| m.topic.ends_with("/verdict"));
    assert_eq!(digest(still.last().unwrap()), after, "what was in force stays");

    fs::write(thresholds(&station), &text).unwrap();
    plant.until(|m| is_state(m, "ready"));
    run(&station, "unlearn", &["--product", "washer"]);
    plant.until(|m| m.topic.ends_with("/verdict") && digest(m) != after);

    // Every part by one reading of the thresholds: witnesses are on record exactly where the bank judged.
    let reader = Reader::open(&station.ledger()).unwrap();
    let rows: Vec<Row> = reader.rows(Span::ALL).map(|entry| entry.unwrap().unwrap().row).collect();
    let learnt = |row: &Row| after.as_str().unwrap() == format!("sha256:{}", hex(&row.origin.thresholds[..16]));
    assert!(rows.iter().any(learnt));
    for row in rows.iter().filter(|row| matches!(row.outcome, Outcome::Judged(_))) {
        let names: Vec<&str> = row.witnesses.iter().map(|witness| &*witness.name).collect();
        let want: &[&str] = if learnt(row) { &["diad", "bank:micro"] } else { &[] };
        assert_eq!(names, want, "{}", row.key);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn parts_are_added_and_every_step_can_be_taken_back() {
    let station = station();
    let parts = washers(&station, "good", 0..8);
    let first = document(&learn(&station, &parts, &["--json"]));
    let nothing = learn(&station, &parts, &["--add"]);
    assert_eq!(nothing.status.code(), Some(65), "{}", stderr(&nothing));
    assert!(last_word(&nothing).contains("all 8 pictures are among the parts"), "{}", last_word(&nothing));

    // Two of them are known.
    let more = washers(&station, "more", 6..10);
    let added = document(&learn(&station, &more, &["--add", "--force", "--json"]));
    assert_eq!((&added["parts"], &added["new"], &added["copies"]), (&10.into(), &2.into(), &2.into()));
    assert_eq!(added["witnesses"], first["witnesses"], "the scale stays");
    assert!(added["rows"][0].as_u64() > first["rows"][0].as_u64());
    let text = fs::read_to_string(thresholds(&station)).unwrap();
    assert!(text.contains(added["bank"].as_str().unwrap()), "{text}");

    let undone = document(&run(&station, "unlearn", &["--product", "washer", "--undo", "--json"]));
    assert_eq!((&undone["bank_before"], &undone["bank"]), (&added["bank"], &first["bank"]));
    let text = fs::read_to_string(thresholds(&station)).unwrap();
    let line = text.lines().find(|line| line.contains("washer: {")).unwrap();
    assert!(line.contains(&format!("reject: {}, ", first["reject"]["cut"])), "{line}");
    assert!(line.contains(&format!("bank: {}", first["bank"])), "{line}");
    let gear = run(&station, "learn", &["--product", "gear", more.to_str().unwrap(), "--add"]);
    assert_eq!(gear.status.code(), Some(64), "{}", stderr(&gear));
}

/// Recorded washers with their pictures, and what a person said of each.
fn record(station: &Station, parts: &[(&Path, Verdict, Option<Mark>)]) {
    let mut ledger = Ledger::open(&station.ledger()).unwrap();
    let (line, site) = (LineName::try_new("L1").unwrap(), StationName::try_new("S1").unwrap());
    let run = ledger.start_run(&line, &site, std::time::SystemTime::now()).unwrap();
    let score = |value| Score::try_new(value).unwrap();
    let thresholds = Thresholds::try_new(score(0.1), score(0.3), 0).unwrap();
    for (seq, (picture, verdict, mark)) in (1..).zip(parts) {
        let camera = CameraId::try_new("cam0").unwrap();
        let key = Key { series: Series { line: line.clone(), station: site.clone(), camera, run: run.clone() }, seq };
        let region = Roi { x: 0, y: 0, width: 8, height: 8 };
        let now = Moment::from(std::time::SystemTime::now());
        let row = Row {
            key: key.clone(),
            part: None,
            product: Some(ProductName::try_new("washer").unwrap()),
            source: None,
            outcome: Outcome::Judged(Judgement { verdict: *verdict, score: score(0.5), thresholds, region }),
            witnesses: Vec::new(),
            captured: now,
            judged: now,
            latency: std::time::Duration::from_millis(1),
            deadline_ms: 200,
            origin: RowProvenance { model: [0; 32], thresholds: [0; 32], settings: [0; 32] },
            timings: Timings::NONE,
            repeat: false,
        };
        let place = diad::archive::folder_of(&station.ledger())
            .join(diad::archive::file_of(&row, diad::archive::ImageKind::Frame));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(picture, place).unwrap();
        ledger.record(&[row]).unwrap();
        if let Some(mark) = mark {
            assert!(ledger.mark(&key, Some(*mark), now).unwrap());
        }
    }
}

#[test]
fn parts_that_a_person_called_good_are_added_after_it_was_shown_what_changes() {
    let station = station();
    let parts = washers(&station, "good", 0..12);
    document(&learn(&station, &parts, &["--json"]));
    let none = run(&station, "learn", &["--product", "washer", "--from-ledger"]);
    assert_ne!(none.status.code(), Some(0), "{}", stderr(&none));

    // A washer with a mark of ink that is allowed, one with another that is not, and one that nobody has looked at.
    let at = |name: &str| station.folder.path().join(name);
    let inked = |name: &str, part: u64, (left, top): (u32, u32), ink: [u8; 3]| {
        let mut image = render(&Line::new(11, &[Product::Washer], 0.0).part(part)).image;
        for (x, y) in (0..40).flat_map(|x| (0..40).map(move |y| (x, y))) {
            image.put_pixel(left + x, top + y, image::Rgb(ink));
        }
        image.save(at(name)).unwrap();
    };
    inked("allowed.png", 20, (8, 8), [0, 0, 255]);
    inked("bad.png", 21, (200, 200), [255, 0, 0]);
    write(&at("recorded"), "", Product::Washer, 22..23, 0.0);
    let (good, bad, plain) = (at("allowed.png"), at("bad.png"), at("recorded/022.png"));
    record(
        &station,
        &[
            (&good, Verdict::Reject, Some(Mark::FalseReject)),
            (&bad, Verdict::Reject, Some(Mark::TrueReject)),
            (&plain, Verdict::Pass, None),
        ],
    );
    let before = fs::read_to_string(thresholds(&station)).unwrap();
    let ask = |more: &[&str]| {
        document(&run(&station, "learn", &[&["--product", "washer", "--from-ledger", "--json"], more].concat()))
    };
    let shown = ask(&[]);
    assert_eq!((shown["added"].as_array().unwrap().len(), &shown["judged"]), (1, &3.into()));
    assert_eq!(fs::read_to_string(thresholds(&station)).unwrap(), before, "only shown");
    assert_eq!(shown["bank"], Value::Null);
    let marked =
        |mark: &str| shown["marked"].as_array().unwrap().iter().find(|part| part["mark"] == mark).unwrap().clone();
    let good = marked("false_reject");
    assert!(good["score"].as_f64() < good["score_before"].as_f64(), "{good}");

    let taken = ask(&["--yes"]);
    assert_eq!(taken["marked"], shown["marked"], "what was shown is what is done");
    let after = fs::read_to_string(thresholds(&station)).unwrap();
    assert!(after.contains(taken["bank"].as_str().unwrap()), "{after}");
    assert!(after.lines().last().unwrap().contains("1 recorded parts that a person called good"), "{after}");
    let cuts = |text: &str| -> String {
        let line = text.lines().find(|line| line.contains("washer: {")).unwrap();
        line.splitn(3, ", ").take(2).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(cuts(&after), cuts(&before), "the cut-offs stay");
    document(&run(&station, "unlearn", &["--product", "washer", "--undo", "--json"]));
    assert_eq!(cuts(&fs::read_to_string(thresholds(&station)).unwrap()), cuts(&before));
}

#[test]
fn full_disk_changes_nothing_and_leaves_nothing_behind() {
    let station = station();
    let parts = washers(&station, "good", 0..6);
    document(&learn(&station, &parts, &["--json"]));
    document(&run(&station, "unlearn", &["--product", "washer", "--purge", "--json"]));
    let before = (fs::read_to_string(thresholds(&station)).unwrap(), kept(&station));
    let state = station.folder.path().join("state");
    fs::rename(&state, station.folder.path().join("aside")).unwrap();
    fs::create_dir(&state).unwrap();
    let Some(_disk) = Disk::mount_of(64, &state) else {
        println!("skipped: nothing can be mounted here");
        return;
    };
    // More than there is room for.
    let _ = fs::write(state.join("ballast"), vec![0; 65 * 1024]);
    let full = learn(&station, &parts, &[]);
    assert_eq!(full.status.code(), Some(74), "{}", stderr(&full));
    assert!(last_word(&full).contains("No space left on device"), "{}", last_word(&full));
    assert_eq!(fs::read_to_string(thresholds(&station)).unwrap(), before.0);
    assert!(
        !kept(&station).iter().any(|name| name.ends_with("safetensors") || name.ends_with(".part")),
        "{:?}",
        kept(&station)
    );

    fs::remove_file(state.join("ballast")).unwrap();
    document(&learn(&station, &parts, &["--json"]));
}
