#![no_main]

#[path = "../doors.rs"]
#[expect(dead_code, reason = "each target opens one door")]
mod doors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doors::manifest_door(bytes));
