//! A broker that is connected and does not deliver: it drops what it acknowledges, withholds what the station reads, cuts the
//! connection at a size, or lets a second station take the name of the first.

use std::path::Path;
use std::time::Duration;

use super::audit::Audit;
use super::plant::{FREE_RUN, PATIENT, is_historical, is_live, is_state, is_verdict, listen, seq, stop, whole};
use crate::broker::{Broker, Gate, Received, wait_until};
use crate::station::{Station, micro, of};

/// Allows every user to read and publish everything, but only `access` on the topic `level`.
fn write_rules(folder: &Path, level: &str, access: &str) {
    let levels = ["verdict", "reject", "state", "heartbeat", "trigger", "product"];
    let rule = |name| format!("topic {} factory/L1/S1/{name}\n", if name == level { access } else { "readwrite" });
    std::fs::write(folder.join("acl"), levels.map(rule).concat()).unwrap();
}

/// A mosquitto with the rules of [`write_rules`].
fn with_rules(level: &str, access: &str) -> Broker {
    Broker::start_with(|folder| {
        write_rules(folder, level, access);
        // Without a bound mosquitto 2.0.11 ends the connection of a client whose message it drops.
        let file = folder.join("acl").display().to_string();
        format!("allow_anonymous true\nmax_queued_messages 100000\nacl_file {file}\n")
    })
}

fn is_reported(source: &'static str) -> impl Fn(&Received) -> bool {
    move |m| is_state("degraded")(m) && m.payload["detail"].as_str().unwrap().contains(source)
}

/// The broker acknowledges verdicts and drops them for a while, bits go out all the same; then its rules are mended.
pub fn verdicts_denied(times: u64) -> Audit {
    let broker = with_rules("verdict", "readwrite");
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(is_live);
    for _ in 0..times {
        write_rules(broker.folder(), "verdict", "read");
        broker.signal("HUP");
        let denied = plant.until(is_reported("messages undelivered since "));
        let last_verdict = denied.iter().rposition(is_verdict).unwrap_or_default();
        let bits = of(&denied[last_verdict..], "reject").len();
        assert!(bits > 50, "{bits} bits without their verdicts");
        received.extend(denied);
        write_rules(broker.folder(), "verdict", "readwrite");
        broker.signal("HUP");
        received.extend(plant.until(is_historical));
        received.extend(plant.until(is_state("ready")));
    }
    received.extend(stop(&mut station, &plant));
    assert!(!station.log().contains("broker connection lost"));
    whole(&station, &received)
}

/// The broker grants the subscription to `product` and delivers nothing on it; then its rules are mended.
pub fn product_withheld() -> Audit {
    let broker = with_rules("product", "write");
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(is_reported("messages withheld since "));
    write_rules(broker.folder(), "product", "readwrite");
    broker.signal("HUP");
    received.extend(plant.until(is_state("ready")));
    received.extend(stop(&mut station, &plant));
    assert!(!station.log().contains("broker connection lost"));
    whole(&station, &received)
}

/// A second station with the same line and name at the same broker, each with a ledger of its own. When the first has
/// stopped, the second has the broker for itself.
pub fn twins() -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut first = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(is_live);
    let mut second = Station::start(&broker, FREE_RUN);
    let named = |station: &Station| station.log().contains("another client uses the name");
    wait_until("both name the other client", || named(&first) && named(&second));
    received.extend(plant.waiting());
    first.signal("TERM");
    assert_eq!(first.exit_code(), Some(0), "{}", first.log());
    received.extend(plant.until(is_state("ready")));
    received.extend(stop(&mut second, &plant));
    // What the first could not send, it sends at its next start.
    first.restart();
    received.extend(plant.until(is_live));
    received.extend(stop(&mut first, &plant));
    let books = [&first, &second].map(|station| {
        let runs = station.entered();
        let own = |m: &&Received| is_verdict(m) && runs.contains_key(m.payload["run"].as_str().unwrap_or_default());
        whole(station, &received.iter().filter(own).cloned().collect::<Vec<_>>())
    });
    let [mut books, others] = books;
    books.add(others);
    assert_eq!(received.iter().filter(|m| is_verdict(m)).count() as u64, books.received.len() as u64 + books.repeats);
    books
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
