//! The faults, each as a function of how long it goes on. Each drives the real daemon and a real broker, lets it come to
//! rest, and gives the books. What must hold after every fault is asserted on the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use diad_ledger::Reader;

use super::audit::Audit;
use super::sabotage::{self, DEADLY, Failure, SOUND};
use crate::broker::{Broker, Direction, Gate, Received, Subscriber, wait_until};
use crate::station::{Station, is_offline, micro, of};

/// Fifty parts a second.
const FREE_RUN: &str =
    "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: free_run, every_ms: 20 } }";
const PATIENT: &str = "deadline_ms: 20000";

pub fn is_verdict(message: &Received) -> bool {
    message.topic.ends_with("/verdict")
}

fn is_live(message: &Received) -> bool {
    is_verdict(message) && message.payload["historical"] == false
}

fn seq(message: &Received) -> u64 {
    message.payload["seq"].as_u64().unwrap()
}

fn is_state(state: &'static str) -> impl Fn(&Received) -> bool {
    move |message| message.topic.ends_with("/state") && message.payload["state"] == state
}

fn is_stopped(message: &Received) -> bool {
    is_offline(message) && message.payload["detail"] == "stopped"
}

fn listen(broker: &Broker) -> Subscriber {
    Subscriber::start(broker.port(), "factory/L1/S1/#")
}

/// Asks the station to stop, and hears it out.
fn stop(station: &mut Station, plant: &Subscriber) -> Vec<Received> {
    station.signal("TERM");
    let heard = plant.until(is_stopped);
    assert_eq!(station.exit_code(), Some(0), "{}", station.log());
    heard
}

fn whole(station: &Station, heard: &[Received]) -> Audit {
    let audit = Audit::of(&station.ledger(), heard);
    audit.expect_all_delivered();
    audit.expect_no_gap();
    audit
}

/// Nothing goes wrong.
pub fn nothing(parts: u64) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut heard = plant.until(|m| is_verdict(m) && seq(m) == parts);
    heard.extend(stop(&mut station, &plant));
    for beat in of(&heard, "heartbeat") {
        assert_eq!(beat["unaccounted"], 0, "{beat}");
    }
    let audit = whole(&station, &heard);
    assert!(audit.recorded.len() as u64 >= parts && audit.repeats == 0 && audit.missed == 0);
    audit
}

/// The daemon is killed again and again over one ledger.
pub fn daemon_killed(kills: u64) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let (mut heard, mut logged) = (Vec::new(), 0);
    for kill in 0..kills {
        // Some die while they start, some in their first part, some between a commit and its message.
        if kill % 2 == 0 {
            for _ in 0..kill % 7 {
                heard.extend(plant.until(is_live));
            }
        }
        std::thread::sleep(Duration::from_millis(kill * 37 % 151));
        station.kill();
        logged = station.log().len();
        station.restart();
    }
    // Of the last process, by its name: the plant has heard many.
    let last = || station.log().split_off(logged);
    wait_until("the last start", || last().contains("camera open"));
    let run = last().split(" run=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    heard.extend(plant.until(|m| is_live(m) && m.payload["run"] == run && seq(m) >= 5));
    heard.extend(stop(&mut station, &plant));
    whole(&station, &heard)
}

/// The broker is killed with everything it knew, and another one takes its place.
pub fn broker_killed(outages: u64) -> Audit {
    let gate = Gate::shut();
    let mut broker = Broker::start();
    let mut plant = listen(&broker);
    gate.open(broker.port());
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    let mut heard = plant.until(is_live);
    for outage in 0..outages {
        heard.extend(plant.until(is_live));
        std::thread::sleep(Duration::from_millis(outage * 53 % 97));
        broker.kill();
        gate.cut_and_shut();
        heard.extend(plant.rest());
        std::thread::sleep(Duration::from_millis(300));
        broker = Broker::start();
        plant = listen(&broker);
        gate.open(broker.port());
        let again = plant.until(is_live);
        expect_order(&again);
        heard.extend(again);
    }
    let rest = stop(&mut station, &plant);
    expect_order(&rest);
    heard.extend(rest);
    let audit = whole(&station, &heard);
    let late = heard.iter().filter(|m| is_verdict(m) && m.payload["historical"] == true).count();
    assert!(late as u64 >= outages * 5, "{late} historical verdicts");
    audit
}

/// Over one connection: stored verdicts in their order, live ones in theirs, and no bit for a stored one.
fn expect_order(heard: &[Received]) {
    for historical in [true, false] {
        let of_kind = heard.iter().filter(|m| is_verdict(m) && m.payload["historical"] == historical);
        let seqs: Vec<u64> = of_kind.map(seq).collect();
        assert!(seqs.is_sorted(), "historical {historical}: {seqs:?}");
        if historical {
            let bits: Vec<u64> = of(heard, "reject").iter().map(|bit| bit["seq"].as_u64().unwrap()).collect();
            assert!(seqs.iter().all(|seq| !bits.contains(seq)), "a bit came late");
        }
    }
}

/// The network is cut and mended; the broker lives on.
pub fn network_cut(outages: u64) -> Audit {
    let gate = Gate::shut();
    let broker = Broker::start();
    let plant = listen(&broker);
    gate.open(broker.port());
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    let mut heard = plant.until(is_live);
    for _ in 0..outages {
        gate.cut_and_shut();
        heard.extend(plant.until(is_state("offline")));
        std::thread::sleep(Duration::from_millis(200));
        gate.open(broker.port());
        heard.extend(plant.until(is_live));
    }
    heard.extend(stop(&mut station, &plant));
    whole(&station, &heard)
}

/// The broker stays connected and says nothing: its acknowledgements are swallowed, then all bytes.
pub fn broker_hangs(outages: u64) -> Audit {
    let gate = Gate::shut();
    let broker = Broker::start();
    let plant = listen(&broker);
    gate.open(broker.port());
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    let mut heard = plant.until(is_live);
    for _ in 0..outages {
        gate.freeze(Direction::FromBroker);
        std::thread::sleep(Duration::from_millis(300));
        gate.freeze(Direction::ToBroker);
        std::thread::sleep(Duration::from_millis(500));
        gate.cut_and_shut();
        gate.open(broker.port());
        heard.extend(plant.until(|m| is_verdict(m) && m.payload["historical"] == true));
        // Back for good: a stop while the link waits for its next attempt would leave the rest to the next start.
        wait_until("delivery", || {
            Reader::open(&station.ledger()).is_ok_and(|reader| reader.unsent_count().unwrap() < 10)
        });
    }
    heard.extend(stop(&mut station, &plant));
    let audit = whole(&station, &heard);
    assert!(audit.repeats > 0, "what was swallowed was said again");
    audit
}

/// The broker refuses the station for a while, then lets it in.
pub fn broker_refuses(_: u64) -> Audit {
    let gate = Gate::shut();
    let strict = Broker::start_with(|_| "allow_anonymous false\n".to_owned());
    gate.open(strict.port());
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    wait_until("the refusal", || station.log().contains("the broker refused"));
    wait_until("parts", || Reader::open(&station.ledger()).is_ok_and(|reader| reader.unsent_count().unwrap() > 20));
    let broker = Broker::start();
    let plant = listen(&broker);
    gate.cut_and_shut();
    gate.open(broker.port());
    let mut heard = plant.until(is_live);
    heard.extend(stop(&mut station, &plant));
    whole(&station, &heard)
}

/// Stopped while there is no broker; what it owes is said by the next process. Between them, somebody breaks the settings.
pub fn settings_broken_on_restart(_: u64) -> Audit {
    let gate = Gate::shut();
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    wait_until("parts", || Reader::open(&station.ledger()).is_ok_and(|reader| reader.unsent_count().unwrap() > 5));
    station.signal("TERM");
    assert_eq!(station.exit_code(), Some(0));
    let owed = Audit::of(&station.ledger(), &[]);
    assert!(owed.recorded.len() > 5 && owed.recorded.values().all(|r| !r.acknowledged), "{owed:?}");

    let path = station.folder.path().join("diad.yaml");
    let settings = fs::read_to_string(&path).unwrap();
    fs::write(&path, settings.replace("deadline_ms", "deadline_s")).unwrap();
    station.restart();
    assert_eq!(station.exit_code(), Some(78));
    fs::write(&path, settings).unwrap();

    let broker = Broker::start();
    let plant = listen(&broker);
    gate.open(broker.port());
    station.restart();
    let mut heard = plant.until(|m| is_live(m) && seq(m) >= 3);
    heard.extend(stop(&mut station, &plant));
    let audit = whole(&station, &heard);
    assert!(owed.recorded.keys().all(|key| audit.heard.contains_key(key)));
    audit
}

/// The ledger's folder is taken away while parts are judged, and an empty one put in its place.
pub fn ledger_removed(_: u64) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut heard = plant.until(|m| is_verdict(m) && seq(m) == 10);
    let state = station.ledger().parent().unwrap().to_owned();
    fs::rename(&state, station.folder.path().join("aside")).unwrap();
    heard.extend(degraded_by_the_ledger(&plant));
    // A picture may have made it already.
    fs::create_dir_all(&state).unwrap();
    heard.extend(plant.until(is_state("ready")));
    heard.extend(plant.until(is_verdict));
    heard.extend(stop(&mut station, &plant));
    let audit = Audit::of(&station.ledger(), &heard);
    audit.expect_heard_without_gap();
    assert!(audit.missed >= 15 && audit.recorded.values().all(|r| r.acknowledged), "{audit:?}");
    audit
}

/// Waits until the station says that its ledger is not well, and for some verdicts that go out all the same.
fn degraded_by_the_ledger(plant: &Subscriber) -> Vec<Received> {
    let says_so =
        |m: &Received| is_state("degraded")(m) && m.payload["detail"].as_str().unwrap().contains("ledger since");
    let mut heard = plant.until(says_so);
    for _ in 0..6 {
        heard.extend(plant.until(is_verdict));
    }
    heard
}

/// A small disk of its own, where this machine lets us have one.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(at).status();
        done.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    fn remount(&self, option: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// The ledger's disk fills up, and is freed again; a start on it read-only is refused. None where nothing can be mounted.
pub fn disk_full(_: u64) -> Option<Audit> {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::prepare_at(broker.port(), &micro(), FREE_RUN, PATIENT);
    let state = station.ledger().parent().unwrap().to_owned();
    let disk = Disk::mount(&state)?;
    // Pictures leave more room than this disk has.
    let settings = station.folder.path().join("diad.yaml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("ledger.sqlite3 }", "ledger.sqlite3, images: { max_gib: 0 } }")).unwrap();
    station.restart();
    let mut heard = plant.until(|m| is_verdict(m) && seq(m) == 10);
    let filler = state.join("filler");
    // As large as it gets: the write ends with an error.
    let _ = fs::write(&filler, vec![0_u8; 4 << 20]);
    heard.extend(degraded_by_the_ledger(&plant));
    fs::remove_file(&filler).unwrap();
    heard.extend(plant.until(is_state("ready")));
    heard.extend(plant.until(is_live));
    heard.extend(stop(&mut station, &plant));
    disk.remount("ro");
    station.restart();
    assert_eq!(station.exit_code(), Some(74), "{}", station.log());
    assert!(station.log().contains("ledger.sqlite3"), "{}", station.log());
    disk.remount("rw");
    let audit = Audit::of(&station.ledger(), &heard);
    audit.expect_heard_without_gap();
    assert!(audit.missed >= 5, "{audit:?}");
    assert!(audit.recorded.values().all(|r| r.acknowledged), "{audit:?}");
    Some(audit)
}

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
    let mut heard = plant.until(is_state("ready"));
    for part in 1..=parts {
        // A mark that repeats is a part of its own.
        plant.publish("factory/L1/S1/trigger", false, format!(r#"{{"part":"P-{}","camera":"cam0"}}"#, part.min(3)));
    }
    let of_stalled = |m: &Received| is_verdict(m) && m.payload["camera"] == "cam0";
    for _ in 0..parts {
        heard.extend(plant.until(of_stalled));
    }
    heard.extend(plant.until(|m| is_live(m) && m.payload["camera"] == "cam1" && m.payload["verdict"] != "UNJUDGED"));
    heard.extend(stop(&mut station, &plant));
    for verdict in heard.iter().filter(|m| of_stalled(m)).map(|m| &m.payload) {
        assert_eq!(verdict["reason"], "deadline", "{verdict}");
    }
    assert!(station.log().contains("repeats the mark"), "{}", station.log());
    whole(&station, &heard)
}

fn grey(folder: &Path, name: &str, level: u8) {
    image::GrayImage::from_pixel(64, 64, image::Luma([level])).save(folder.join(name)).unwrap();
}

fn replay(folder: &Path) -> String {
    format!("  - {{ id: cam0, source: {{ kind: replay, folder: {} }}, trigger: {{ kind: camera }} }}", folder.display())
}

/// Every third picture breaks the networks: those parts are unjudged, the others are not touched by it.
pub fn engine_fails(failure: Failure, parts: u64) -> Audit {
    let bundle = sabotage::bundle(failure);
    let broker = Broker::start();
    let plant = listen(&broker);
    let pictures = tempfile::tempdir().unwrap();
    for part in 1..=parts {
        grey(pictures.path(), &format!("{part:03}.png"), if part % 3 == 0 { DEADLY } else { SOUND });
    }
    let mut station = Station::start_on(bundle.path(), &broker, &replay(pictures.path()));
    let heard = plant.until(is_stopped);
    assert_eq!(station.exit_code(), Some(0));
    for verdict in of(&heard, "verdict") {
        let bad = verdict["seq"].as_u64().unwrap() % 3 == 0;
        assert_eq!(verdict["verdict"] == "UNJUDGED", bad, "{verdict}");
        assert!(!bad || verdict["reason"] == "engine", "{verdict}");
    }
    let audit = whole(&station, &heard);
    assert_eq!(audit.recorded.len() as u64, parts);
    audit
}

/// Networks that fail for every part are loaded anew, and when that does not help the process ends with 70.
pub fn engine_gives_up(_: u64) -> Audit {
    let bundle = sabotage::bundle(Failure::NaN);
    let broker = Broker::start();
    let plant = listen(&broker);
    let pictures = tempfile::tempdir().unwrap();
    for part in 1..=20 {
        grey(pictures.path(), &format!("{part:03}.png"), DEADLY);
    }
    let mut station = Station::start_on(bundle.path(), &broker, &replay(pictures.path()));
    let heard = plant.until(is_stopped);
    assert_eq!(station.exit_code(), Some(70), "{}", station.log());
    assert!(station.log().contains("networks loaded anew"), "{}", station.log());
    let audit = whole(&station, &heard);
    assert!((6..=10).contains(&audit.recorded.len()), "{audit:?}");
    assert!(audit.recorded.values().all(|r| r.verdict == "UNJUDGED"), "{audit:?}");
    audit
}

/// Networks that take longer than the deadline: what they say then is kept as late, and is no verdict.
pub fn engine_too_slow(parts: u64) -> Audit {
    let bundle = sabotage::bundle(Failure::Slow);
    let broker = Broker::start();
    let plant = listen(&broker);
    let pictures = tempfile::tempdir().unwrap();
    for part in 1..=parts {
        grey(pictures.path(), &format!("{part:03}.png"), SOUND);
    }
    let mut station = Station::launch(bundle.path(), &broker, &replay(pictures.path()), "deadline_ms: 100");
    let heard = plant.until(is_stopped);
    assert_eq!(station.exit_code(), Some(0), "{}", station.log());
    let audit = whole(&station, &heard);
    assert!(of(&heard, "verdict").iter().all(|v| v["reason"] == "deadline"));
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
    let mut heard = plant.until(|m| is_verdict(m) && m.payload["reason"] == "overrun");
    heard.extend(plant.until(|m| is_verdict(m) && seq(m) >= parts));
    heard.extend(stop(&mut station, &plant));
    whole(&station, &heard)
}

/// Every part that was not judged leaves its picture, and none that passed does.
pub fn pictures() {
    let bundle = sabotage::bundle(Failure::NaN);
    let broker = Broker::start();
    let plant = listen(&broker);
    let pictures = tempfile::tempdir().unwrap();
    for (part, level) in [(1, SOUND), (2, DEADLY), (3, SOUND)] {
        grey(pictures.path(), &format!("{part:03}.png"), level);
    }
    let mut station = Station::start_on(bundle.path(), &broker, &replay(pictures.path()));
    let heard = plant.until(is_stopped);
    assert_eq!(station.exit_code(), Some(0));
    let mut wanted = Vec::new();
    for verdict in of(&heard, "verdict") {
        let word = verdict["verdict"].as_str().unwrap();
        let stem = format!("{}-cam0-{:010}-{word}", verdict["run"].as_str().unwrap(), verdict["seq"].as_u64().unwrap());
        match word {
            "PASS" => {}
            "UNJUDGED" => wanted.push(format!("{stem}.frame.png")),
            _ => wanted.extend([format!("{stem}.frame.png"), format!("{stem}.heatmap.png")]),
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
