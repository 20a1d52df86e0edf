//! The link against a real mosquitto on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "everything here is a test, its helpers included"
)]

mod access;
#[expect(dead_code, reason = "the faults of the whole process need more of it")]
#[path = "../broker/mod.rs"]
mod broker;
mod delivered;
mod delivery;
mod line;
mod sample;
mod scripted;
mod sparkplug;
mod station;
