//! Settings as a station's file says them.

mod environment;
mod faults;
mod files;

use std::ffi::OsString;

use diad_capture::WireFormat;
use diad_core::frame::Roi;
use diad_publish::settings::PayloadKind;
use diad_publish::wire::OnUnjudged;
use diad_scene::Product;
use proptest::prelude::*;

use super::*;

/// The smallest valid file; tests put lines over or below it.
const STATION: &str = "\
line: L1
station: S1
cameras:
  - id: cam0
    source: { kind: rendered }
    trigger: { kind: mqtt }
";

fn variables(pairs: &[(&str, &str)]) -> Vec<Variable> {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn read(text: &str, pairs: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    examine(text, "f.yaml", &variables(pairs)).settings.map_err(|faults| faults.iter().map(Fault::to_string).collect())
}

fn below(more: &str) -> Result<Settings, Vec<String>> {
    read(&format!("{STATION}{more}"), &[])
}

fn camera(lines: &str) -> Result<Settings, Vec<String>> {
    read(&format!("line: L1\nstation: S1\ncameras:\n{lines}"), &[])
}

#[track_caller]
fn check(found: Result<Settings, Vec<String>>, want: &[&str]) {
    assert_eq!(found.map(|_| ()).unwrap_err(), want);
}

#[test]
fn read_of_a_small_file_takes_the_defaults() {
    let settings = read(STATION, &[]).unwrap();
    assert_eq!((settings.line().as_str(), settings.station().as_str()), ("L1", "S1"));
    assert_eq!(settings.deadline(), Duration::from_millis(200));
    assert_eq!(settings.repeat_within(), Duration::from_secs(5));
    assert_eq!(settings.on_unjudged(), OnUnjudged::Reject);
    assert_eq!(settings.engine().model, Path::new("onnx/models/diad-tiny"));
    assert_eq!((settings.engine().steps, settings.engine().library.as_ref()), (None, None));
    assert_eq!(settings.engine().foundations, None);
    assert_eq!(settings.mqtt().link.url().to_string(), "mqtt://127.0.0.1:1883");
    assert_eq!(settings.mqtt().root.to_string(), "factory");
    assert_eq!(settings.mqtt().link.payload(), PayloadKind::Json);
    let sparkplug = below("mqtt: { payload: sparkplug_b }").unwrap();
    assert_eq!(sparkplug.mqtt().link.payload(), PayloadKind::SparkplugB);
    assert_eq!(settings.ledger().keep, [Kept::Reject, Kept::Unjudged, Kept::Review]);
    assert_eq!(settings.thresholds(), Path::new("config/thresholds.yaml"));
    assert!(settings.drift_alarm());
    assert_eq!(*settings.golden(), Golden { folder: None, every: None });
    let [camera] = settings.cameras() else { panic!("one camera") };
    assert_eq!(camera.source, Source::Rendered { seed: 1, products: Product::ALL.to_vec(), defect_rate: 0.2 });
    assert_eq!((camera.trigger, camera.roi), (Trigger::Mqtt, None));
}

#[test]
fn read_of_settings_with_every_key_takes_them_all() {
    let settings = read(
        r#"
line: L1
station: S1
cameras:
  - id: cam0
    source: { kind: v4l2, device: /dev/video0, width: 1280, height: 720, fps: 30, format: Y10 }
    trigger: { kind: free_run, every_ms: 100 }
    roi: { x: 0, y: 0, width: 720, height: 720 }
    frozen_after: 4
deadline_ms: 200
on_unjudged: reject
engine: { model: onnx/models/diad-tiny, provider: auto, steps: null, threads: null }
mqtt: { url: "mqtt://127.0.0.1:1883", root: factory, qos: 1, username: null, password_file: null, ca_file: null }
ledger: { path: /var/lib/diad/ledger.sqlite3, keep_days: 90, images: { keep: [REJECT, UNJUDGED, REVIEW], max_gib: 20 } }
http: { listen: "127.0.0.1:8080" }
thresholds: config/thresholds.yaml
"#,
        &[],
    )
    .unwrap();
    let [camera] = settings.cameras() else { panic!("one camera") };
    assert!(matches!(camera.source, Source::V4l2 { format: Some(WireFormat::Y10), .. }));
    assert_eq!(camera.frozen_after.map(u32::from), Some(4));
    assert_eq!(camera.roi, Some(Roi { x: 0, y: 0, width: 720, height: 720 }));
    assert_eq!(camera.trigger, Trigger::FreeRun { every: Duration::from_millis(100) });
}

#[test]
fn digest_follows_the_meaning_and_not_the_spelling() {
    let digest = |more: &str| below(more).unwrap().digest();
    assert_eq!(digest(""), digest("deadline_ms: 0xc8 # as the default\nmqtt: { qos: 1 }"));
    assert_eq!(digest(""), read(STATION, &[("DIAD__DEADLINE_MS", "200")]).unwrap().digest());
    assert_ne!(digest(""), digest("deadline_ms: 201"));
    assert_ne!(digest(""), digest("engine: { steps: 3 }"));
    let seeded = STATION.replace("kind: rendered", "kind: rendered, products: all, seed: 1");
    assert_eq!(digest(""), read(&seeded, &[]).unwrap().digest());
}

#[test]
fn differences_name_every_value_that_a_restart_would_change() {
    let of = |text: &str, pairs: &[(&str, &str)]| -> Vec<String> {
        let then = read(text, pairs).unwrap();
        let differences = read(STATION, &[]).unwrap().differences(&then);
        assert_eq!(differences.is_empty(), read(STATION, &[]).unwrap().digest() == then.digest());
        differences.iter().map(Difference::to_string).collect()
    };
    assert_eq!(of(&format!("# new\n{STATION}deadline_ms: 0xc8\n"), &[]), [""; 0]);
    let more = "deadline_ms: 150\nengine: { steps: 3 }\nthresholds: other.yaml\n";
    let want = [
        "deadline_ms: 200 → 150",
        "engine.steps: not set → 3",
        r#"mqtt.url: "mqtt://127.0.0.1:1883" → "mqtt://10.0.0.5:1883""#,
        r#"thresholds: "config/thresholds.yaml" → "other.yaml""#,
    ];
    assert_eq!(of(&format!("{STATION}{more}"), &[("DIAD__MQTT__URL", "mqtt://10.0.0.5:1883")]), want);
    let seeded = STATION.replace("kind: rendered", "kind: rendered, seed: 7");
    assert_eq!(of(&seeded, &[]), ["cameras[0].source.seed: 1 → 7"]);
}

#[test]
fn examine_names_the_other_files_of_a_faulty_station() {
    let text = "deadline_ms: soon\nengine: { model: m, steps: 0 }\nthresholds: t\ngolden: { folder: g }\n";
    let examined = examine(text, "f.yaml", &[]);
    assert!(examined.settings.is_err());
    for (named, path, key, place) in [
        (examined.model, "m", "engine.model", "f.yaml:2:18"),
        (examined.thresholds, "t", "thresholds", "f.yaml:3:13"),
        (examined.golden, "g", "golden.folder", "f.yaml:4:19"),
    ] {
        let named = named.unwrap();
        assert_eq!((named.path, &*named.key, named.place.to_string()), (PathBuf::from(path), key, place.to_owned()));
    }
    assert_eq!(examined.steps, None);
    let (steps, place) = examine("engine: { steps: 7 }\n", "f.yaml", &[]).steps.unwrap();
    assert_eq!((steps, place.to_string()), (7, "f.yaml:1:18".to_owned()));
}

proptest! {
    #[test]
    fn examine_never_panics(text in "\\PC{0,200}|[a-z:\\-\\[\\]{}&*!|>'\"#% \t\n.0-9]{0,200}") {
        let _ = examine(&text, "f.yaml", &[]);
        let _ = examine(STATION, "f.yaml", &variables(&[("DIAD__MQTT__URL", &text), ("DIAD__CAMERAS", &text)]));
    }

    #[test]
    fn examine_of_a_damaged_file_never_panics(cut in 0..STATION.len(), byte in any::<u8>()) {
        let mut bytes = STATION.as_bytes().to_vec();
        bytes[cut] = byte;
        if let Ok(text) = text::decode(bytes, &Arc::from("f.yaml")) {
            let _ = examine(&text, "f.yaml", &[]);
            let _ = examine(&text[..text.floor_char_boundary(cut)], "f.yaml", &[]);
        }
    }
}
