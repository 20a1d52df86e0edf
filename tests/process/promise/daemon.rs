//! The process: killed, stopped, started again, with what it was told to run with.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use diad_ledger::Reader;

use super::audit::Audit;
use super::plant::{FREE_RUN, PATIENT, is_historical, is_live, is_verdict, listen, seq, stop, whole};
use crate::broker::{Broker, Gate, wait_until};
use crate::station::{Station, micro, of};

/// Nothing goes wrong.
pub fn nothing(parts: u64) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(|m| is_verdict(m) && seq(m) == parts);
    received.extend(stop(&mut station, &plant));
    for beat in of(&received, "heartbeat") {
        assert_eq!(beat["unaccounted"], 0, "{beat}");
    }
    let audit = whole(&station, &received);
    assert!(audit.recorded.len() as u64 >= parts && audit.repeats == 0 && audit.missed == 0);
    audit
}

/// Longest life of a daemon that is killed: long enough to have its networks loaded, a few dozen parts behind it and
/// a heartbeat or two.
const LIFE: Duration = Duration::from_secs(2);

/// Instants at random. `DIAD_FAULT_SEED` gives the ones of an earlier run, which are printed when it fails.
struct Instants {
    seed: u64,
    state: u64,
}

impl Instants {
    fn new() -> Self {
        let given = std::env::var("DIAD_FAULT_SEED").ok();
        let seed = given.map_or_else(|| RandomState::new().hash_one(0), |seed| seed.parse().expect("a number"));
        Self { seed, state: seed }
    }

    /// A time up to `most`, each as likely as any other.
    fn up_to(&mut self, most: Duration) -> Duration {
        // SplitMix64 (Steele, Lea and Flood 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        most.mul_f64(((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

impl Drop for Instants {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the instants of this run: DIAD_FAULT_SEED={}", self.seed);
        }
    }
}

/// The daemon is killed again and again over one ledger: every other time as it comes, and every other time without a
/// broker, with verdicts that it owes.
pub fn killed(kills: u64) -> Audit {
    let gate = Gate::shut();
    let broker = Broker::start();
    let plant = listen(&broker);
    gate.open(broker.port());
    let mut instants = Instants::new();
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    let (mut received, mut logged) = (Vec::new(), 0);
    for kill in 0..kills {
        if kill % 2 == 1 {
            // Of this process: what the ones before it owe comes as historical.
            received.extend(plant.until(is_live));
            std::thread::sleep(instants.up_to(LIFE / 4));
            gate.cut_and_shut();
            let owed = || Reader::open(&station.ledger()).and_then(|reader| reader.unsent_count()).unwrap();
            let before = owed();
            wait_until("a backlog", || owed() > before);
        }
        std::thread::sleep(instants.up_to(LIFE));
        station.kill();
        gate.open(broker.port());
        logged = station.log().len();
        station.restart();
    }
    // Of the last process, by its name: the plant has received many.
    let last = || station.log().split_off(logged);
    wait_until("the last start", || last().contains("camera open"));
    let run = last().split(" run=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    received.extend(plant.until(|m| is_live(m) && m.payload["run"] == run && seq(m) >= 5));
    received.extend(stop(&mut station, &plant));
    let stored = received.iter().filter(|m| is_historical(m)).count() as u64;
    assert!(stored >= kills / 2, "{stored} verdicts were owed over {kills} kills");
    whole(&station, &received)
}

/// Stopped while there is no broker; what it owes is said by the next process. Between them, somebody breaks the settings.
pub fn settings_broken_on_restart(_: u64) -> Audit {
    let gate = Gate::shut();
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    wait_until("parts", || Reader::open(&station.ledger()).is_ok_and(|reader| reader.unsent_count().unwrap() > 5));
    station.signal("TERM");
    assert_eq!(station.exit_code(), Some(0));
    let owed = Audit::of(&station, &[]);
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
    let mut received = plant.until(|m| is_live(m) && seq(m) >= 3);
    received.extend(stop(&mut station, &plant));
    let audit = whole(&station, &received);
    assert!(owed.recorded.keys().all(|key| audit.received.contains_key(key)));
    audit
}
