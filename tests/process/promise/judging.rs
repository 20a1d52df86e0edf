//! Cameras and networks that fail, and more parts than there is time for.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::audit::Audit;
use super::plant::{PATIENT, is_live, is_state, is_stopped, is_verdict, listen, seq, stop, whole};
use super::sabotage::{self, DEADLY, Failure, SOUND};
use crate::broker::{Broker, Received, Subscriber};
use crate::station::{Station, of};

/// Triggers while the camera is lost in a picture that takes longer than any deadline: every part is decided in time,
/// and the other camera goes on.
pub fn camera_stalls(parts: u64) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let pictures = tempfile::tempdir().unwrap();
    let large = pictures.path().join("000.png");
    // The largest that is taken: 200 MB unpacked.
    image::RgbImage::from_pixel(8192, 8192, image::Rgb([SOUND; 3])).save(&large).unwrap();
    for part in 1..parts {
        fs::hard_link(&large, pictures.path().join(format!("{part:03}.png"))).unwrap();
    }
    let cameras = format!(
        "  - {{ id: cam0, source: {{ kind: replay, folder: {} }}, trigger: {{ kind: mqtt }} }}\n  \
         - {{ id: cam1, source: {{ kind: rendered, seed: 3 }}, trigger: {{ kind: free_run, every_ms: 50 }} }}",
        pictures.path().display()
    );
    let mut station = Station::start_with(&broker, &cameras, "deadline_ms: 60");
    let mut received = plant.until(is_state("ready"));
    for part in 1..=parts {
        // A mark that repeats is a part of its own.
        plant.publish("factory/L1/S1/trigger", false, format!(r#"{{"part":"P-{}","camera":"cam0"}}"#, part.min(3)));
    }
    let of_stalled = |m: &Received| is_verdict(m) && m.payload["camera"] == "cam0";
    for _ in 0..parts {
        received.extend(plant.until(of_stalled));
    }
    received.extend(plant.until(|m| is_live(m) && m.payload["camera"] == "cam1" && m.payload["verdict"] != "UNJUDGED"));
    received.extend(stop(&mut station, &plant));
    for verdict in received.iter().filter(|m| of_stalled(m)).map(|m| &m.payload) {
        assert_eq!(verdict["reason"], "deadline", "{verdict}");
    }
    assert!(station.log().contains("repeats the mark"), "{}", station.log());
    whole(&station, &received)
}

/// Networks that fail at [`DEADLY`] pictures, and a folder of pictures for them, one a part.
struct Sabotaged {
    bundle: TempDir,
    pictures: TempDir,
    broker: Broker,
    plant: Subscriber,
}

impl Sabotaged {
    fn new(failure: Failure, levels: impl IntoIterator<Item = u8>) -> Self {
        let broker = Broker::start();
        let pictures = tempfile::tempdir().unwrap();
        for (part, level) in (1..).zip(levels) {
            let picture = image::GrayImage::from_pixel(64, 64, image::Luma([level]));
            picture.save(pictures.path().join(format!("{part:03}.png"))).unwrap();
        }
        Self { bundle: sabotage::bundle(failure), plant: listen(&broker), pictures, broker }
    }

    /// Starts a station on them, and hears it until it has shown every picture or given up.
    fn run(&self, limits: &str) -> (Station, Vec<Received>) {
        let camera = format!(
            "  - {{ id: cam0, source: {{ kind: replay, folder: {} }}, trigger: {{ kind: camera }} }}",
            self.pictures.path().display()
        );
        let station = Station::launch(self.bundle.path(), &self.broker, &camera, limits);
        (station, self.plant.until(is_stopped))
    }
}

/// Every third picture breaks the networks: those parts are unjudged, the others are not touched by it.
pub fn engine_fails(failure: Failure, parts: u64) -> Audit {
    let levels = (1..=parts).map(|part| if part % 3 == 0 { DEADLY } else { SOUND });
    let (mut station, received) = Sabotaged::new(failure, levels).run(PATIENT);
    assert_eq!(station.exit_code(), Some(0));
    for verdict in of(&received, "verdict") {
        let bad = verdict["seq"].as_u64().unwrap() % 3 == 0;
        assert_eq!(verdict["verdict"] == "UNJUDGED", bad, "{verdict}");
        assert!(!bad || verdict["reason"] == "engine", "{verdict}");
    }
    let audit = whole(&station, &received);
    assert_eq!(audit.recorded.len() as u64, parts);
    audit
}

/// Networks that fail for every part are loaded anew, and when that does not help the process ends with 70.
pub fn engine_gives_up(_: u64) -> Audit {
    let (mut station, received) = Sabotaged::new(Failure::NaN, [DEADLY; 20]).run(PATIENT);
    assert_eq!(station.exit_code(), Some(70), "{}", station.log());
    assert!(station.log().contains("the networks still fail after they were loaded anew"), "{}", station.log());
    let audit = whole(&station, &received);
    assert!((6..=10).contains(&audit.recorded.len()), "{audit:?}");
    assert!(audit.recorded.values().all(|r| r.verdict == "UNJUDGED"), "{audit:?}");
    audit
}

/// Networks that take longer than the deadline: what they say then is kept as late, and is no verdict.
pub fn engine_too_slow(parts: u64) -> Audit {
    let levels = (0..parts).map(|_| SOUND);
    let (mut station, received) = Sabotaged::new(Failure::Slow, levels).run("deadline_ms: 100");
    assert_eq!(station.exit_code(), Some(0), "{}", station.log());
    let audit = whole(&station, &received);
    assert!(of(&received, "verdict").iter().all(|v| v["reason"] == "deadline"));
    assert!(audit.recorded.values().all(|r| r.verdict == "UNJUDGED"), "{audit:?}");
    assert!(audit.late > 0, "what came late is kept");
    audit
}

/// Ten times what the networks can do, from two cameras: the oldest that wait are shed, aloud.
pub fn overload(parts: u64) -> Audit {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../onnx/models/diad-tiny");
    let broker = Broker::start();
    let plant = listen(&broker);
    let camera = |name: &str| {
        format!(
            "  - {{ id: {name}, source: {{ kind: rendered, products: [cap] }}, trigger: {{ kind: free_run, every_ms: 1 }} }}"
        )
    };
    let mut station = Station::start_on(&shipped, &broker, &[camera("cam0"), camera("cam1")].join("\n"));
    let mut received = plant.until(|m| is_verdict(m) && m.payload["reason"] == "overrun");
    received.extend(plant.until(|m| is_verdict(m) && seq(m) >= parts));
    received.extend(stop(&mut station, &plant));
    whole(&station, &received)
}

/// Every part that was not judged leaves its picture, and none that passed does.
pub fn pictures() {
    let (mut station, received) = Sabotaged::new(Failure::NaN, [SOUND, DEADLY, SOUND]).run(PATIENT);
    assert_eq!(station.exit_code(), Some(0));
    let mut wanted = Vec::new();
    for verdict in of(&received, "verdict") {
        let word = verdict["verdict"].as_str().unwrap();
        let stem = format!("{}-cam0-{:010}-{word}", verdict["run"].as_str().unwrap(), verdict["seq"].as_u64().unwrap());
        match word {
            "PASS" => {}
            "UNJUDGED" => wanted.push(format!("{stem}.frame.png")),
            _ => wanted.extend(["frame", "heatmap", "overlay"].map(|print| format!("{stem}.{print}.png"))),
        }
    }
    let folder = station.ledger().with_file_name("images");
    let days: Vec<_> = fs::read_dir(&folder).unwrap().map(|day| day.unwrap().path()).collect();
    let mut found: Vec<String> = days
        .iter()
        .flat_map(|day| fs::read_dir(day).unwrap())
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    assert!(wanted.iter().any(|name| name.contains("0000000002-UNJUDGED")), "{wanted:?}");
    let picture = days[0].join(found.iter().find(|name| name.contains("UNJUDGED")).unwrap());
    assert_eq!(image::open(picture).unwrap().into_luma8().as_raw()[0], DEADLY);
}
