//! The ledger's file and its disk: gone, full, read-only, hanging, damaged.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use diad_core::event::{Outcome, Reason};
use diad_core::name::{CameraId, LineName, RunId, StationName};
use diad_ledger::{Key, Ledger, Reader, Row, RowProvenance, Series, Timings};

use super::audit::Audit;
use super::plant::{FREE_RUN, PATIENT, is_live, is_state, is_verdict, listen, seq, stop};
use crate::broker::{Broker, Gate, Received, Subscriber, wait_until};
use crate::station::{Station, diad, micro};

/// The ledger's folder is taken away while parts are judged, and an empty one put in its place.
pub fn removed(_: u64) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(|m| is_verdict(m) && seq(m) == 10);
    let state = station.ledger().parent().unwrap().to_owned();
    fs::rename(&state, station.folder.path().join("aside")).unwrap();
    received.extend(degraded_by_the_ledger(&plant));
    // A picture may have made it already.
    fs::create_dir_all(&state).unwrap();
    received.extend(plant.until(is_state("ready")));
    received.extend(plant.until(is_verdict));
    received.extend(stop(&mut station, &plant));
    let audit = Audit::of(&station, &received);
    audit.expect_heard_without_gap();
    assert!(audit.missed >= 15 && audit.recorded.values().all(|r| r.acknowledged), "{audit:?}");
    audit
}

/// Waits until the station says that its ledger is not well, and for some verdicts that go out all the same.
fn degraded_by_the_ledger(plant: &Subscriber) -> Vec<Received> {
    let says_so =
        |m: &Received| is_state("degraded")(m) && m.payload["detail"].as_str().unwrap().contains("ledger since");
    let mut received = plant.until(says_so);
    for _ in 0..6 {
        received.extend(plant.until(is_verdict));
    }
    received
}

/// A small disk of its own, where this machine lets us have one.
pub struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        // Room for the ledger's write-ahead log, which is taken into the file at 4 MiB.
        Self::mount_of(8192, at)
    }

    /// One with room for so many KiB.
    pub fn mount_of(kib: u32, at: &Path) -> Option<Self> {
        Self::mount_as(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"], at)
    }

    fn mount_as(words: &[&str], at: &Path) -> Option<Self> {
        let done = Command::new("mount").args(words).arg(at).output();
        done.is_ok_and(|done| done.status.success()).then(|| Self(at.to_owned()))
    }

    /// A disk in a file, which can be told that it has failed.
    fn of_blocks(image: &Path, at: &Path) -> Option<Self> {
        Self::mount_as(&["-o", "loop,errors=remount-ro", image.to_str().unwrap()], at)
    }

    /// The kernel takes an error for found on it, and writes to it no more until it is mounted anew.
    fn fail(&self) -> Option<()> {
        let said = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&self.0).output().ok()?;
        let device = String::from_utf8(said.stdout).ok()?.trim().replace("/dev/", "");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").ok()
    }

    /// Every write waits until what is given here is dropped.
    fn freeze(&self) -> Option<Frozen> {
        let done = Command::new("fsfreeze").arg("--freeze").arg(&self.0).output();
        done.is_ok_and(|done| done.status.success()).then(|| Frozen(self.0.clone()))
    }

    fn remount(&self, option: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

/// A disk that hangs.
struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.0).status();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// The ledger's disk fills up, and is freed again; a start on it read-only is refused. None where nothing can be mounted.
pub fn full(_: u64) -> Option<Audit> {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::prepare_at(broker.port(), &micro(), FREE_RUN, PATIENT);
    let state = station.ledger().parent().unwrap().to_owned();
    let disk = Disk::mount(&state)?;
    // Pictures leave more room than this disk has.
    station.amend("ledger.sqlite3 }", "ledger.sqlite3, images: { max_gib: 0 } }");
    station.restart();
    let mut received = plant.until(|m| is_verdict(m) && seq(m) == 10);
    let filler = state.join("filler");
    // As large as it gets: the write ends with an error.
    let _ = fs::write(&filler, vec![0_u8; 16 << 20]);
    received.extend(degraded_by_the_ledger(&plant));
    fs::remove_file(&filler).unwrap();
    received.extend(plant.until(is_state("ready")));
    received.extend(plant.until(is_live));
    received.extend(stop(&mut station, &plant));
    disk.remount("ro");
    station.restart();
    assert_eq!(station.exit_code(), Some(74), "{}", station.log());
    assert!(station.log().contains("ledger.sqlite3"), "{}", station.log());
    disk.remount("rw");
    let audit = Audit::of(&station, &received);
    audit.expect_heard_without_gap();
    assert!(audit.missed >= 5, "{audit:?}");
    assert!(audit.recorded.values().all(|r| r.acknowledged), "{audit:?}");
    Some(audit)
}

/// The ledger's disk fills up and the process ends before there is room again, by a stop and by a kill. None where nothing
/// can be mounted.
pub fn full_to_the_end(ends: u64) -> Option<Audit> {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::prepare_at(broker.port(), &micro(), FREE_RUN, PATIENT);
    let state = station.ledger().parent().unwrap().to_owned();
    let _disk = Disk::mount(&state)?;
    station.amend("ledger.sqlite3 }", "ledger.sqlite3, images: { max_gib: 0 } }");
    let mut received = Vec::new();
    let mut gaps = 0;
    for end in 0..ends {
        station.restart();
        received.extend(plant.until(|m| is_live(m) && seq(m) == 10));
        let filler = state.join("filler");
        let _ = fs::write(&filler, vec![0_u8; 16 << 20]);
        received.extend(degraded_by_the_ledger(&plant));
        if end % 2 == 0 {
            received.extend(stop(&mut station, &plant));
        } else {
            station.kill();
            received.extend(plant.until(is_state("offline")));
        }
        fs::remove_file(&filler).unwrap();
        gaps += 1;
    }
    station.restart();
    received.extend(plant.until(|m| is_live(m) && seq(m) == 10));
    received.extend(stop(&mut station, &plant));
    let audit = Audit::of(&station, &received);
    audit.expect_promise();
    assert!(audit.missed >= gaps && audit.recorded.values().all(|r| r.acknowledged), "{audit:?}");
    assert_eq!(Reader::open(&station.ledger()).unwrap().gaps().unwrap().len() as u64, gaps);
    Some(audit)
}

/// An empty file system in a file.
fn image(station: &Station) -> Option<PathBuf> {
    let image = station.folder.path().join("image");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).output();
    made.is_ok_and(|made| made.status.success()).then_some(image)
}

/// The ledger's disk neither writes nor fails for a while, and then does. None where no such disk can be made.
pub fn hangs(_: u64) -> Option<Audit> {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::prepare_at(broker.port(), &micro(), FREE_RUN, PATIENT);
    let state = station.ledger().parent().unwrap().to_owned();
    let disk = Disk::of_blocks(&image(&station)?, &state)?;
    station.amend("ledger.sqlite3 }", "ledger.sqlite3, images: { max_gib: 0 } }");
    station.restart();
    let mut received = plant.until(|m| is_verdict(m) && seq(m) == 10);
    let frozen = disk.freeze()?;
    received
        .extend(plant.until(|m| is_state("degraded")(m) && m.payload["detail"].as_str().unwrap().contains("hangs")));
    for _ in 0..6 {
        received.extend(plant.until(is_verdict));
    }
    drop(frozen);
    received.extend(plant.until(is_state("ready")));
    received.extend(plant.until(is_live));
    received.extend(stop(&mut station, &plant));
    let audit = Audit::of(&station, &received);
    audit.expect_heard_without_gap();
    assert!(audit.missed >= 6 && audit.recorded.values().all(|r| r.acknowledged), "{audit:?}");
    Some(audit)
}

/// The ledger's disk fails while parts are judged, and can only be read from then on. What is said meanwhile is nowhere
/// but on the wire, and the ledger holds what it held. None where no such disk can be made.
pub fn turns_read_only(_: u64) -> Option<Audit> {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::prepare_at(broker.port(), &micro(), FREE_RUN, PATIENT);
    let state = station.ledger().parent().unwrap().to_owned();
    let image = image(&station)?;
    let disk = Disk::of_blocks(&image, &state)?;
    station.restart();
    let mut received = plant.until(|m| is_verdict(m) && seq(m) == 10);
    disk.fail()?;
    received.extend(degraded_by_the_ledger(&plant));
    received.extend(stop(&mut station, &plant));
    drop(disk);
    let mut again = None;
    wait_until("the disk to be mounted anew", || {
        again = Disk::of_blocks(&image, &state);
        again.is_some()
    });
    let audit = Audit::of(&station, &received);
    audit.expect_promise();
    let elsewhere = audit.received.keys().filter(|key| !audit.recorded.contains_key(*key)).count();
    assert!(elsewhere >= 6 && audit.recorded.len() >= 8, "{audit:?}");
    Some(audit)
}

/// Verdicts that a broker never received, in a run before: enough for a few hundred pages of the file.
fn owe(ledger: &Path, count: u64) -> RunId {
    let mut ledger = Ledger::open(ledger).unwrap();
    let (line, station) = (LineName::try_new("L1").unwrap(), StationName::try_new("S1").unwrap());
    let now = SystemTime::now();
    let run = ledger.start_run(&line, &station, now).unwrap();
    let series = Series { line, station, camera: CameraId::try_new("cam0").unwrap(), run: run.clone() };
    let row = |seq| Row {
        key: Key { series: series.clone(), seq },
        part: None,
        product: None,
        source: None,
        outcome: Outcome::Unjudged(Reason::Camera),
        captured: now.into(),
        judged: now.into(),
        latency: Duration::ZERO,
        deadline_ms: 200,
        origin: RowProvenance { model: [1; 32], thresholds: [2; 32], settings: [3; 32] },
        timings: Timings::NONE,
        repeat: false,
        witnesses: Vec::new(),
    };
    let rows: Vec<_> = (1..=count).map(row).collect();
    ledger.record(&rows).unwrap();
    run
}

/// The middle of the ledger's file is overwritten under a running daemon, which finds out when it reads what is owed from
/// there, or when it marks what was acknowledged. Parts that are triggered go on being judged and received, and the ledger is not called sound.
pub fn damaged(parts: u64) -> Audit {
    let gate = Gate::shut();
    let broker = Broker::start();
    let plant = listen(&broker);
    let camera = "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: mqtt } }";
    let mut station = Station::prepare_at(gate.port(), &micro(), camera, PATIENT);
    let before = owe(&station.ledger(), 5000);
    station.restart();
    wait_until("the ledger to be open", || station.log().contains("broker not reached; inspection begins"));
    let file = fs::File::options().write(true).open(station.ledger()).unwrap();
    let quarter = file.metadata().unwrap().len() / 4;
    file.write_all_at(&vec![0xa5; 2 * quarter as usize], quarter).unwrap();
    gate.open(broker.port());
    let by_the_ledger = |m: &Received| is_state("degraded")(m) && m.payload["detail"].to_string().contains("ledger");
    let mut received = plant.until(by_the_ledger);
    let mut triggered = 0;
    let of_now = |m: &Received| is_verdict(m) && m.payload["run"] != before.as_str();
    for _ in 0..parts {
        triggered += 1;
        plant.publish("factory/L1/S1/trigger", false, format!(r#"{{"part":"P-{triggered}"}}"#));
        received.extend(plant.until(of_now));
    }
    // Without a record, for there is none to wait for: a broker that gets none soon sends no more triggers.
    let acknowledged = || broker.log().iter().filter(|line| line.contains("Received PUBACK from diad:")).count() as u64;
    wait_until("the acknowledgements", || acknowledged() == triggered);
    received.extend(stop(&mut station, &plant));
    // Of the run before, what can be read is said as it was.
    let (then, now): (Vec<_>, Vec<_>) =
        received.into_iter().partition(|m| is_verdict(m) && m.payload["run"] == before.as_str());
    assert!(then.iter().all(|m| m.payload["reason"] == "camera" && m.payload["historical"] == true));
    let verify = diad().args(["ledger", "verify", "--ledger"]).arg(station.ledger()).output().unwrap();
    assert_eq!(verify.status.code(), Some(65), "{verify:?}");
    let audit = Audit::of_wire(&station, &now);
    assert_eq!((audit.parts_in(), audit.received.len() as u64), (triggered, triggered));
    audit.expect_promise();
    audit
}
