//! What every fault needs: a line of fifty parts a second, the plant that listens, and the end of it all.

use super::audit::Audit;
use crate::broker::{Broker, Received, Subscriber};
use crate::station::{Station, is_offline};

/// Fifty parts a second.
pub const FREE_RUN: &str =
    "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: free_run, every_ms: 20 } }";
pub const PATIENT: &str = "deadline_ms: 20000";

pub fn is_verdict(message: &Received) -> bool {
    message.topic.ends_with("/verdict")
}

pub fn is_live(message: &Received) -> bool {
    is_verdict(message) && message.payload["historical"] == false
}

pub fn seq(message: &Received) -> u64 {
    message.payload["seq"].as_u64().unwrap()
}

pub fn is_state(state: &'static str) -> impl Fn(&Received) -> bool {
    move |message| message.topic.ends_with("/state") && message.payload["state"] == state
}

pub fn is_historical(message: &Received) -> bool {
    is_verdict(message) && message.payload["historical"] == true
}

pub fn is_stopped(message: &Received) -> bool {
    is_offline(message) && message.payload["detail"] == "stopped"
}

pub fn listen(broker: &Broker) -> Subscriber {
    Subscriber::start(broker.port(), "factory/L1/S1/#")
}

/// Asks the station to stop, and hears it out.
pub fn stop(station: &mut Station, plant: &Subscriber) -> Vec<Received> {
    station.signal("TERM");
    let received = plant.until(is_stopped);
    assert_eq!(station.exit_code(), Some(0), "{}", station.log());
    received
}

/// The books of a station whose ledger could be written all the while.
#[track_caller]
pub fn whole(station: &Station, received: &[Received]) -> Audit {
    let audit = Audit::of(station, received);
    audit.expect_all_delivered();
    audit.expect_no_gap();
    audit
}
