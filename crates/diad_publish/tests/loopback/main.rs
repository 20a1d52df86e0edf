//! The link against a real mosquitto on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "everything here is a test, its helpers included"
)]

mod access;
#[path = "../broker/mod.rs"]
mod broker;
mod delivery;
mod line;
mod station;
