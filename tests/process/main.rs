//! The whole process from outside: the real program, a real mosquitto, real files.
//!
//! The model is the engine's fixture (64 px, fixed pseudo-random weights): its verdicts mean nothing, and every part
//! still needs exactly one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the helpers of a test fail, and speak, like the test itself"
)]

#[expect(dead_code, reason = "not every test of a broker needs all of it")]
#[path = "../../crates/diad_publish/tests/broker/mod.rs"]
mod broker;
mod calibration;
mod doctor;
mod faults;
mod golden;
mod learn;
mod learn_load;
mod ledger;
mod line;
mod messages;
mod notify;
mod promise;
mod reload;
mod station;
mod web;
