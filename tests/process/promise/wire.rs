//! Between station and broker: the broker ends, hangs, refuses; the network is cut, or silent.

use std::process::Command;
use std::time::Duration;

use diad_ledger::Reader;

use super::audit::Audit;
use super::plant::{FREE_RUN, PATIENT, is_historical, is_live, is_state, is_verdict, listen, seq, stop, whole};
use crate::broker::{Broker, Direction, Gate, Received, Subscriber, wait_until};
use crate::station::{Station, micro, of};

/// What the log says when the station has noticed by itself.
const LOST: &str = "broker connection lost";

/// The broker is killed with everything it knew, and another one takes its place.
pub fn broker_killed(outages: u64) -> Audit {
    let gate = Gate::shut();
    let mut broker = Broker::start();
    let mut plant = listen(&broker);
    gate.open(broker.port());
    let mut station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    let mut received = plant.until(is_live);
    for outage in 0..outages {
        received.extend(plant.until(is_live));
        std::thread::sleep(Duration::from_millis(outage * 53 % 97));
        broker.kill();
        gate.cut_and_shut();
        received.extend(plant.rest());
        wait_until("a backlog", || {
            Reader::open(&station.ledger()).is_ok_and(|reader| reader.unsent_count().unwrap() > 5)
        });
        broker = Broker::start();
        plant = listen(&broker);
        gate.open(broker.port());
        let again = plant.until(is_live);
        expect_order(&again);
        received.extend(again);
    }
    let rest = stop(&mut station, &plant);
    expect_order(&rest);
    received.extend(rest);
    let audit = whole(&station, &received);
    let late = received.iter().filter(|m| is_historical(m)).count();
    assert!(late as u64 >= outages * 5, "{late} historical verdicts");
    audit
}

/// The broker is killed, and every other time stopped in order, and comes back with the sessions it had, on the same
/// folder and port. The plant has one of them.
pub fn broker_restarted(outages: u64) -> Audit {
    let mut broker = Broker::start_persistent();
    let attend = |broker: &Broker| Subscriber::resume(broker.port(), "factory/L1/S1/#", "plant");
    let (mut plant, known) = attend(&broker);
    assert!(!known);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(is_live);
    wait_until("its memory on the disk", || broker.folder().join("mosquitto.db").exists());
    for outage in 0..outages {
        received.extend(plant.until(is_live));
        if outage % 2 == 0 {
            broker.kill();
        } else {
            broker.stop();
        }
        received.extend(plant.rest());
        broker.restart();
        let (again, known) = attend(&broker);
        assert!(known, "the broker has its sessions still");
        plant = again;
        // The broker says again what it had not seen acknowledged.
        let last = received.iter().filter(|m| is_verdict(m)).map(seq).max().unwrap();
        received.extend(plant.until(|m| is_live(m) && seq(m) > last));
    }
    received.extend(stop(&mut station, &plant));
    whole(&station, &received)
}

/// The broker's process stands still for a while and goes on as if nothing had been. Where that takes longer than the
/// station waits, it has hung up meanwhile.
pub fn broker_stands_still(outages: u64, time: Duration) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::start(&broker, FREE_RUN);
    let mut received = plant.until(is_live);
    for _ in 0..outages {
        broker.signal("STOP");
        std::thread::sleep(time);
        broker.signal("CONT");
        received.extend(plant.until(is_live));
        expect_delivery(&station);
    }
    received.extend(stop(&mut station, &plant));
    if time > Duration::from_secs(14) {
        assert!(station.log().contains(LOST), "a broker that is silent for {time:?} is no broker");
    }
    whole(&station, &received)
}

/// Back for good: a stop while the link waits for its next attempt would leave the rest to the next start.
fn expect_delivery(station: &Station) {
    wait_until("delivery", || Reader::open(&station.ledger()).is_ok_and(|reader| reader.unsent_count().unwrap() < 10));
}

/// Over one connection: stored verdicts in their order, live ones in theirs, and no bit for a stored one. A part of the
/// clock without a picture is decided at once, ahead of the one that is being judged, so it has no place in the order.
fn expect_order(received: &[Received]) {
    for historical in [true, false] {
        let of_kind = received.iter().filter(|m| is_verdict(m) && m.payload["historical"] == historical);
        let of_kind = of_kind.filter(|m| m.payload["reason"] != "overrun");
        let seqs: Vec<u64> = of_kind.map(seq).collect();
        assert!(seqs.is_sorted(), "historical {historical}: {seqs:?}");
        if historical {
            let bits: Vec<u64> = of(received, "reject").iter().map(|bit| bit["seq"].as_u64().unwrap()).collect();
            assert!(seqs.iter().all(|seq| !bits.contains(seq)), "a bit came late");
        }
    }
}

/// A station that reaches its broker through an open gate, and what was received up to its first verdict.
fn behind_a_gate() -> (Gate, Broker, Subscriber, Station, Vec<Received>) {
    let gate = Gate::shut();
    let broker = Broker::start();
    let plant = listen(&broker);
    gate.open(broker.port());
    let station = Station::launch_at(gate.port(), &micro(), FREE_RUN, PATIENT);
    let received = plant.until(is_live);
    (gate, broker, plant, station, received)
}

/// The network is cut and mended; the broker lives on.
pub fn network_cut(outages: u64) -> Audit {
    let (gate, broker, plant, mut station, mut received) = behind_a_gate();
    for _ in 0..outages {
        gate.cut_and_shut();
        received.extend(plant.until(is_state("offline")));
        std::thread::sleep(Duration::from_millis(200));
        gate.open(broker.port());
        received.extend(plant.until(is_live));
    }
    received.extend(stop(&mut station, &plant));
    whole(&station, &received)
}

/// Connections are taken and held, and nothing comes through, not even an end: every other time for a moment, and every
/// other time until the station has found out by itself.
pub fn network_silent(outages: u64) -> Audit {
    let (gate, _broker, plant, mut station, mut received) = behind_a_gate();
    for outage in 0..outages {
        let noticed = station.log().matches(LOST).count();
        gate.hold();
        if outage % 2 == 0 {
            wait_until("the station to notice", || station.log().matches(LOST).count() > noticed);
        } else {
            std::thread::sleep(Duration::from_secs(2));
        }
        gate.release();
        received.extend(plant.until(is_live));
        expect_delivery(&station);
    }
    received.extend(stop(&mut station, &plant));
    whole(&station, &received)
}

/// A network of its own for the daemon, with one cable to this one.
struct Cable {
    namespace: String,
    here: String,
    address: String,
}

impl Cable {
    /// None where this user may not lay one.
    fn lay() -> Option<Self> {
        let process = std::process::id();
        // Of the range for tests of networks (RFC 2544): four addresses for each process.
        let net = format!("198.18.{}.", process >> 6 & 255);
        let first = (process & 63) * 4;
        let cable = Self {
            namespace: format!("diad-{process}"),
            here: format!("diad{process}"),
            address: format!("{net}{}", first + 1),
        };
        let there = format!("{}p", cable.here);
        let within = format!("-n {}", cable.namespace);
        for words in [
            format!("netns add {}", cable.namespace),
            format!("link add {} type veth peer name {there} netns {}", cable.here, cable.namespace),
            format!("addr add {}/30 dev {}", cable.address, cable.here),
            format!("link set {} up", cable.here),
            format!("{within} addr add {net}{}/30 dev {there}", first + 2),
            format!("{within} link set {there} up"),
            format!("{within} link set lo up"),
        ] {
            ip(&words).ok()?;
        }
        Some(cable)
    }

    fn set(&self, state: &str) {
        ip(&format!("link set {} {state}", self.here)).unwrap();
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The other end goes with its namespace, and with it this one.
        let _ = ip(&format!("link del {}", self.here));
        let _ = ip(&format!("netns del {}", self.namespace));
    }
}

/// Says on the terminal what could not be done.
fn ip(words: &str) -> Result<(), ()> {
    let done = Command::new("ip").args(words.split(' ')).status();
    done.is_ok_and(|status| status.success()).then_some(()).ok_or(())
}

/// The cable between the station's machine and the broker's is pulled and plugged in again: two networks of the kernel,
/// joined by one link that goes down. Every other time until the station has found out by itself. None where no
/// network can be made.
pub fn cable_pulled(outages: u64) -> Option<Audit> {
    let cable = Cable::lay()?;
    let outside = crate::broker::free_port();
    // A second listener at the cable's end; the plant listens at the first.
    let broker = Broker::start_with(|_| format!("allow_anonymous true\nlistener {outside} {}\n", cable.address));
    let plant = listen(&broker);
    let mut station = Station::prepare_at(broker.port(), &micro(), FREE_RUN, PATIENT);
    station.amend(&format!("mqtt://127.0.0.1:{}", broker.port()), &format!("mqtt://{}:{outside}", cable.address));
    station.run_within(["ip", "netns", "exec", &cable.namespace]);
    station.restart();
    let mut received = plant.until(is_live);
    for outage in 0..outages {
        let noticed = station.log().matches(LOST).count();
        cable.set("down");
        if outage % 2 == 0 {
            wait_until("the station to notice", || station.log().matches(LOST).count() > noticed);
        } else {
            std::thread::sleep(Duration::from_secs(1));
        }
        cable.set("up");
        received.extend(plant.until(is_live));
        expect_delivery(&station);
    }
    received.extend(stop(&mut station, &plant));
    Some(whole(&station, &received))
}

/// The broker stays connected and says nothing: its acknowledgements are swallowed, then all bytes.
pub fn broker_hangs(outages: u64) -> Audit {
    let (gate, broker, plant, mut station, mut received) = behind_a_gate();
    for _ in 0..outages {
        gate.freeze(Direction::FromBroker);
        std::thread::sleep(Duration::from_millis(300));
        gate.freeze(Direction::ToBroker);
        std::thread::sleep(Duration::from_millis(500));
        gate.cut_and_shut();
        gate.open(broker.port());
        received.extend(plant.until(is_historical));
        expect_delivery(&station);
    }
    received.extend(stop(&mut station, &plant));
    let audit = whole(&station, &received);
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
    let mut received = plant.until(is_live);
    received.extend(stop(&mut station, &plant));
    whole(&station, &received)
}
