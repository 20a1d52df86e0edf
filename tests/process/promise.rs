//! The one promise under faults: every part exactly one verdict by its deadline, and no verdict lost.

use std::time::Duration;

use super::audit::Audit;
use super::broker::{Broker, Gate, Received, Subscriber};
use super::station::{Station, is_offline, micro, of};

const FREE_RUN: &str =
    "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: free_run, every_ms: 20 } }";

fn is_verdict(message: &Received) -> bool {
    message.topic.ends_with("/verdict")
}

fn is_ready(message: &Received) -> bool {
    message.topic.ends_with("/state") && message.payload["state"] == "ready"
}

#[test]
fn every_verdict_is_on_record_with_its_stage_times_and_marked_when_acknowledged() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let mut station = Station::start(&broker, FREE_RUN);
    let mut heard = plant.until(|m| is_verdict(m) && m.payload["seq"] == 20);
    station.signal("TERM");
    heard.extend(plant.until(is_offline));
    assert_eq!(station.exit_code(), Some(0));

    let audit = Audit::of(&station.ledger(), &heard);
    audit.expect_all_delivered();
    audit.expect_no_gap();
    assert!(audit.recorded.len() >= 20 && audit.missed == 0);
    let beat = of(&heard, "heartbeat").pop().cloned();
    if let Some(beat) = beat {
        assert_eq!(beat["unaccounted"], 0, "{beat}");
    }
}

/// Killed at arbitrary moments, again and again over one ledger: nothing that was committed is lost, and what the plant
/// hears again is what it heard before.
#[test]
fn killed_daemon_loses_no_verdict_and_says_none_differently() {
    kill_again_and_again(6);
}

pub fn kill_again_and_again(kills: u32) -> Audit {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let mut station = Station::start(&broker, FREE_RUN);
    let mut heard = Vec::new();
    for kill in 0..kills {
        heard.extend(plant.until(is_verdict));
        // Seeded: some die in the first part, some in the middle of a batch, some long after.
        std::thread::sleep(Duration::from_millis(u64::from(kill * 37 % 101)));
        station.kill();
        station.restart();
    }
    heard.extend(plant.until(is_ready));
    heard.extend(plant.until(|m| is_verdict(m) && m.payload["seq"] == 5));
    station.signal("TERM");
    heard.extend(plant.until(|m| is_offline(m) && m.payload["detail"] == "stopped"));
    assert_eq!(station.exit_code(), Some(0));
    let audit = Audit::of(&station.ledger(), &heard);
    audit.expect_all_delivered();
    audit.expect_no_gap();
    let runs: std::collections::BTreeSet<_> = audit.recorded.keys().map(|(run, ..)| run).collect();
    assert!(runs.len() > 1, "some were killed after their first part");
    audit
}

/// A broker that dies with everything it knew, and another in its place: what it had not acknowledged comes again as
/// historical, behind what is live, and the bits do not.
#[test]
fn outage_of_the_broker_delays_verdicts_and_loses_none() {
    let gate = Gate::shut();
    let mut first = Broker::start();
    let before = Subscriber::start(first.port(), "factory/L1/S1/#");
    gate.open(first.port());
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, "deadline_ms: 20000");
    let mut heard = before.until(|m| is_verdict(m) && m.payload["seq"] == 10);
    first.kill();
    gate.cut_and_shut();
    heard.extend(before.rest());
    std::thread::sleep(Duration::from_millis(800));

    let second = Broker::start();
    let after = Subscriber::start(second.port(), "factory/L1/S1/#");
    gate.open(second.port());
    let again =
        after.until(|m| is_verdict(m) && m.payload["historical"] == false && m.payload["seq"].as_u64() > Some(80));
    station.signal("TERM");
    let mut rest = again;
    rest.extend(after.until(is_offline));
    assert_eq!(station.exit_code(), Some(0));

    let historical = |m: &&Received| is_verdict(m) && m.payload["historical"] == true;
    let stored: Vec<u64> = rest.iter().filter(historical).map(|m| m.payload["seq"].as_u64().unwrap()).collect();
    assert!(stored.len() >= 20, "the outage was long: {stored:?}");
    assert!(stored.is_sorted(), "stored verdicts keep their order: {stored:?}");
    let bits: Vec<_> = of(&rest, "reject").into_iter().map(|bit| bit["seq"].as_u64().unwrap()).collect();
    assert!(stored.iter().all(|seq| !bits.contains(seq)), "a bit is never late");
    heard.extend(rest);
    let audit = Audit::of(&station.ledger(), &heard);
    audit.expect_all_delivered();
    audit.expect_no_gap();
}

/// Stopped while there is no broker: what is owed waits in the ledger and is said by the next process.
#[test]
fn what_one_process_owes_the_next_one_says() {
    let gate = Gate::shut();
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, "deadline_ms: 20000");
    super::broker::wait_until("parts", || station.log().contains("broker not reached; inspection begins"));
    std::thread::sleep(Duration::from_millis(400));
    station.signal("TERM");
    assert_eq!(station.exit_code(), Some(0));
    let owed = Audit::of(&station.ledger(), &[]);
    assert!(owed.recorded.len() > 5 && owed.recorded.values().all(|r| !r.acknowledged), "{owed:?}");

    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    gate.open(broker.port());
    station.restart();
    let mut heard = plant.until(|m| is_verdict(m) && m.payload["historical"] == false && m.payload["seq"] == 3);
    station.signal("TERM");
    heard.extend(plant.until(is_offline));
    assert_eq!(station.exit_code(), Some(0));
    let audit = Audit::of(&station.ledger(), &heard);
    audit.expect_all_delivered();
    for key in owed.recorded.keys() {
        assert!(audit.heard.contains_key(key), "{key:?}");
    }
}

/// The ledger's file is taken away while parts are judged: verdicts still arrive, the state says so, and in the new file
/// the gap is on record.
#[test]
fn removed_ledger_degrades_the_station_and_the_gap_is_on_record() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let mut station = Station::start(&broker, FREE_RUN);
    let mut heard = plant.until(|m| is_verdict(m) && m.payload["seq"] == 10);
    let state = station.ledger().parent().unwrap().to_owned();
    let aside = station.folder.path().join("aside");
    std::fs::rename(&state, &aside).unwrap();
    let degraded = |m: &Received| m.topic.ends_with("/state") && m.payload["state"] == "degraded";
    heard.extend(plant.until(degraded));
    let detail = heard.last().unwrap().payload["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("ledger"), "{detail}");
    let missed_from = heard.iter().filter(|m| is_verdict(m)).map(|m| m.payload["seq"].as_u64().unwrap()).max().unwrap();
    heard.extend(plant.until(|m| is_verdict(m) && m.payload["seq"].as_u64() > Some(missed_from + 5)));
    std::fs::create_dir(&state).unwrap();
    heard.extend(plant.until(is_ready));
    heard.extend(plant.until(is_verdict));
    station.signal("TERM");
    heard.extend(plant.until(is_offline));
    assert_eq!(station.exit_code(), Some(0));

    let seqs: Vec<u64> = super::station::verdicts(&heard).into_keys().collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "the plant heard every part");
    let after = Audit::of(&station.ledger(), &heard);
    after.expect_consistent();
    assert!(after.missed >= 5, "{after:?}");
    assert!(after.recorded.values().all(|r| r.acknowledged), "{after:?}");
}

/// A ledger that cannot be used keeps the daemon from starting, with a reason and what to do.
#[test]
fn unusable_ledger_is_refused_at_the_start() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let mut station = Station::start(&broker, FREE_RUN);
    plant.until(is_verdict);
    let second = diad_ledger::Ledger::open(&station.ledger());
    assert!(second.is_err(), "one writer");
    station.signal("TERM");
    plant.until(is_offline);
    assert_eq!(station.exit_code(), Some(0));

    let ledger = station.ledger();
    let held = diad_ledger::Ledger::open(&ledger).unwrap();
    station.restart();
    assert_eq!(station.exit_code(), Some(69), "{}", station.log());
    assert!(station.log().contains("one station has one daemon"), "{}", station.log());
    drop(held);

    std::fs::write(&ledger, "this is no database at all, and quite long enough to be looked at as one").unwrap();
    let _ = std::fs::remove_file(ledger.with_extension("sqlite3-wal"));
    station.restart();
    assert_eq!(station.exit_code(), Some(65), "{}", station.log());
    assert!(station.log().contains("ledger.sqlite3"), "{}", station.log());

    std::fs::remove_dir_all(ledger.parent().unwrap()).unwrap();
    station.restart();
    assert_eq!(station.exit_code(), Some(74), "{}", station.log());
}
