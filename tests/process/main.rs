//! The whole process from outside: the real program, a real mosquitto, real files.
//!
//! The model is the engine's fixture (64 px, fixed pseudo-random weights): its verdicts mean nothing, and every part
//! still needs exactly one.

#[path = "../../crates/diad_publish/tests/broker/mod.rs"]
mod broker;
mod faults;
mod line;
mod station;
