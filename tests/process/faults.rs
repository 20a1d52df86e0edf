//! What goes wrong, and what is said of it: always a clear error or an `UNJUDGED` verdict, never a `PASS`.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::broker::{Broker, Subscriber, wait_until};
use super::station::{Station, diad, is_offline, micro, verdicts, write_parts};

#[test]
fn bad_pictures_in_a_replay_are_unjudged_parts_with_their_reason() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let pictures = tempfile::tempdir().unwrap();
    write_parts(pictures.path(), 3);
    let file = |name: &str| pictures.path().join(name);
    fs::write(file("003-empty.png"), b"").unwrap();
    fs::write(file("004-text.png"), b"this is not a picture").unwrap();
    image::open(file("000.png")).unwrap().save(file("005-cut.jpg")).unwrap();
    let whole = fs::read(file("005-cut.jpg")).unwrap();
    fs::write(file("005-cut.jpg"), &whole[..whole.len() / 2]).unwrap();
    fs::write(file("006-huge.png"), huge_png_header()).unwrap();
    fs::copy(file("001.png"), file("007.png")).unwrap();
    let cameras = format!(
        "  - {{ id: cam0, source: {{ kind: replay, folder: {} }}, trigger: {{ kind: camera }} }}",
        pictures.path().display()
    );
    let mut station = Station::start(&broker, &cameras);

    let heard = plant.until(is_offline);

    assert_eq!(station.exit_code(), Some(0));
    let verdicts = verdicts(&heard);
    assert_eq!(verdicts.len(), 8);
    for (seq, verdict) in &verdicts {
        let bad = (4..=7).contains(seq);
        assert_eq!(verdict["verdict"] == "UNJUDGED", bad, "{verdict}");
        assert_eq!(verdict["reason"], if bad { "frame".into() } else { Value::Null }, "{verdict}");
        assert_eq!(verdict["score"].is_null(), bad, "{verdict}");
    }
    let bits: Vec<_> = heard.iter().filter(|m| m.topic.ends_with("/reject")).map(|m| &m.payload).collect();
    assert!(bits.iter().filter(|b| (4..=7).contains(&b["seq"].as_u64().unwrap())).all(|b| b["reject"] == 1));
    for name in ["003-empty.png", "004-text.png", "005-cut.jpg", "006-huge.png"] {
        assert!(station.log().contains(name), "the log names {name}");
    }
}

/// A PNG that says it has 20,000 × 20,000 pixels, and nothing behind it.
fn huge_png_header() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(20_000_u32.to_be_bytes());
    bytes.extend(20_000_u32.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0x2a, 0x2a, 0x2a, 0x2a]);
    bytes
}

#[test]
fn part_later_than_its_deadline_is_unjudged() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let folder = tempfile::tempdir().unwrap();
    // The tensor alone of so large a picture takes many times the deadline, on any machine and with any networks.
    for name in ["000.png", "001.png"] {
        image::GrayImage::from_pixel(4096, 4096, image::Luma([90])).save(folder.path().join(name)).unwrap();
    }
    let cameras = format!(
        "  - {{ id: cam0, source: {{ kind: replay, folder: {} }}, trigger: {{ kind: camera }} }}",
        folder.path().display()
    );
    let mut station = Station::start_with(&broker, &cameras, "deadline_ms: 1");
    let heard = verdicts(&plant.until(is_offline));
    assert_eq!(station.exit_code(), Some(0));
    assert_eq!(heard.len(), 2);
    assert!(heard.values().all(|v| v["verdict"] == "UNJUDGED" && v["reason"] == "deadline"), "{heard:?}");
}

/// As when the journal hangs: its end of the pipe is open, and full.
#[test]
fn log_that_nobody_reads_holds_up_neither_verdicts_nor_the_stop() {
    const PIPE_BYTES: usize = 65_536;
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let cameras = "  - { id: cam0, source: { kind: rendered }, trigger: { kind: free_run, every_ms: 100 } }";
    let station = Station::prepare_at(broker.port(), &micro(), cameras, "deadline_ms: 20000");
    let mut command = diad();
    command.args(["run", "--config"]).arg(station.folder.path().join("diad.yaml")).env("DIAD_LOG", "trace");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut heard = plant.until(|message| message.topic.ends_with("/verdict") && message.payload["seq"] == 40);
    let term = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(term.success());
    heard.extend(plant.until(is_offline));
    let mut status = None;
    wait_until("the daemon to end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    let mut log = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut log).unwrap();
    assert!(log.len() > PIPE_BYTES - 4096, "{} bytes do not fill a pipe", log.len());
    assert_eq!(status.unwrap().code(), Some(0));
    let unjudged: Vec<_> = verdicts(&heard).into_values().filter(|v| v["verdict"] == "UNJUDGED").collect();
    assert!(unjudged.iter().all(|v| v["reason"] == "shutdown"), "{unjudged:?}");
}

#[test]
fn missing_camera_ends_with_69_and_its_name() {
    let broker = Broker::start();
    let cameras = "  - { id: cam0, source: { kind: v4l2, device: /dev/video99, width: 640, height: 480, fps: 30 }, trigger: { kind: free_run, every_ms: 100 } }";
    let mut station = Station::start(&broker, cameras);
    assert_eq!(station.exit_code(), Some(69));
    assert!(station.log().contains("/dev/video99"), "{}", station.log());
}

/// A copy of the fixture bundle in which one file is changed.
fn bundle_with(change: impl Fn(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(micro()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    change(folder.path());
    folder
}

fn run_with_model(model: &Path) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("thresholds.yaml"), "default: { review: 0.2, reject: 0.4 }\n").unwrap();
    let settings = format!(
        "line: L1\nstation: S1\ncameras:\n  - {{ id: cam0, source: {{ kind: rendered }}, trigger: {{ kind: camera }} }}\n\
         thresholds: {}\nengine: {{ model: {} }}\n",
        path("thresholds.yaml"),
        model.display()
    );
    fs::write(path("diad.yaml"), settings).unwrap();
    let output = diad().args(["run", "--config", &path("diad.yaml")]).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn unsound_bundles_are_refused_by_name_before_anything_starts() {
    let flipped = bundle_with(|folder| {
        let path = folder.join("decoder.onnx");
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    let missing = bundle_with(|folder| fs::remove_file(folder.join("hint.onnx")).unwrap());
    let unknown = bundle_with(|folder| {
        let path = folder.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap().replacen('{', "{\"colour\": 1,", 1);
        fs::write(path, text).unwrap();
    });
    for (folder, names) in [(&flipped, "decoder.onnx"), (&missing, "hint.onnx"), (&unknown, "colour")] {
        let (code, log) = run_with_model(folder.path());
        assert_eq!(code, Some(65), "{log}");
        assert!(log.contains(names), "{names}: {log}");
    }
    let (code, log) = run_with_model(Path::new("/nowhere/at/all"));
    assert_eq!(code, Some(65), "{log}");
}

#[test]
fn broken_settings_end_with_78_and_every_fault_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diad.yaml");
    for (text, wanted) in [
        ("line: L1\nengine:\n\tmodel: m\n", "diad.yaml:3:"),
        ("line: L1\nline: L2\n", "diad.yaml:2:1"),
        ("line: L1\nlime: L2\n", "diad.yaml:2:1: lime"),
        ("line: L1\ndeadline_ms: .nan\n", "diad.yaml:2:14: deadline_ms"),
        ("line: L1\ndeadline_ms: 0\n", "diad.yaml:2:14: deadline_ms"),
    ] {
        fs::write(&path, text).unwrap();
        let output = diad().args(["run", "--config"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(wanted), "{text:?} should say {wanted:?}: {said}");
    }
}
