//! A broker that is connected and does not deliver: it drops what it acknowledges, or cuts the connection at a size.

use std::path::Path;
use std::time::Duration;

use super::audit::Audit;
use super::plant::{FREE_RUN, PATIENT, is_historical, is_live, is_state, is_verdict, listen, seq, stop, whole};
use crate::broker::{Broker, Gate, Received, wait_until};
use crate::station::{Station, micro, of};

/// Allows every user to read everything, and to publish everything but verdicts.
fn write_rules(folder: &Path, verdicts: &str) {
    let levels = ["reject", "state", "heartbeat", "trigger", "product"];
    let others: String = levels.map(|level| format!("topic readwrite factory/L1/S1/{level}\n")).concat();
    std::fs::write(folder.join("acl"), format!("{others}topic {verdicts} factory/L1/S1/verdict\n")).unwrap();
}

fn is_reported(source: &'static str) -> impl Fn(&Received) -> bool {
    move |m| is_state("degraded")(m) && m.payload["detail"].as_str().unwrap().contains(source)
}

/// The broker acknowledges verdicts and drops them for a while, bits go out all the same; then its rules are mended.
pub fn verdicts_denied(times: u64) -> Audit {
    let broker = Broker::start_with(|folder| {
        write_rules(folder, "readwrite");
        // Without a bound mosquitto 2.0.11 ends the connection of a client whose message it drops.
        let file = folder.join("acl").display().to_string();
        format!("allow_anonymous true\nmax_queued_messages 100000\nacl_file {file}\n")
    });
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(is_live);
    for _ in 0..times {
        write_rules(broker.folder(), "read");
        broker.signal("HUP");
        let denied = plant.until(is_reported("messages undelivered since "));
        let last_verdict = denied.iter().rposition(is_verdict).unwrap_or_default();
        let bits = of(&denied[last_verdict..], "reject").len();
        assert!(bits > 50, "{bits} bits without their verdicts");
        received.extend(denied);
        write_rules(broker.folder(), "readwrite");
        broker.signal("HUP");
        received.extend(plant.until(is_historical));
        received.extend(plant.until(is_state("ready")));
    }
    received.extend(stop(&mut station, &plant));
    assert!(!station.log().contains("broker connection lost"));
    whole(&station, &received)
}

/// The broker ends the connection at a packet of the size of a verdict; another one, later, does not.
pub fn verdicts_cut(_: u64) -> Audit {
    let gate = Gate::shut();
    let strict = Broker::start_with(|_| "allow_anonymous true\nmax_packet_size 300\n".to_owned());
    let narrow = listen(&strict);
    gate.open(strict.port());
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    let cut = |m: &Received| {
        m.topic.ends_with("/state") && m.payload["detail"].as_str().unwrap().contains("the broker ends the connection")
    };
    let mut received = narrow.until(cut);
    // The connection holds, and the bits get through.
    let bit = |m: &Received| m.topic.ends_with("/reject");
    for _ in 0..50 {
        received.extend(narrow.until(bit));
    }
    assert!(!received.iter().any(is_verdict), "a verdict is longer than that");
    let broker = Broker::start();
    let plant = listen(&broker);
    gate.cut_and_shut();
    gate.open(broker.port());
    received.extend(plant.until(is_historical));
    let last = received.iter().filter(|m| is_verdict(m)).map(seq).max().unwrap();
    received.extend(plant.until(|m| is_live(m) && seq(m) > last + 50));
    wait_until("delivery", || {
        let reader = diad_ledger::Reader::open(&station.ledger());
        reader.is_ok_and(|reader| reader.unsent_count().unwrap() < 10)
    });
    received.extend(stop(&mut station, &plant));
    whole(&station, &received)
}

/// A message that is far too long lies on a topic that the station reads, before and after a restart.
pub fn poison() -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(is_live);
    plant.publish("factory/L1/S1/trigger", true, format!("\"{}\"", "x".repeat(1_100_000)));
    received.extend(plant.until(is_reported("message too long since ")));
    received.extend(plant.until(is_live));
    received.extend(stop(&mut station, &plant));
    station.restart();
    received.extend(plant.until(is_reported("a retained message of 1100002 bytes came on factory/L1/S1/trigger")));
    std::thread::sleep(Duration::from_millis(500));
    received.extend(plant.until(is_live));
    received.extend(stop(&mut station, &plant));
    assert!(!station.log().contains("broker connection lost"));
    whole(&station, &received)
}
