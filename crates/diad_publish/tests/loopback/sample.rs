//! The Rust subscriber of the samples, on the messages that the samples in other languages are tried on.

use std::time::{Duration, Instant};

use serde_json::Value;

use subscriber::{Gate, Way};

#[expect(dead_code, reason = "its main is for a person")]
#[path = "../../examples/subscriber.rs"]
mod subscriber;

const MESSAGES: &str = include_str!("../../../../tests/plc/messages.json");

#[test]
fn subscriber_sends_on_what_a_watched_station_passed_live_and_nothing_else() {
    let now = Instant::now();
    let mut gate = Gate::default();
    for (level, message, want) in serde_json::from_str::<Vec<(String, Value, Value)>>(MESSAGES).unwrap() {
        let way = gate.receive(&level, message.to_string().as_bytes(), now).map(|(_, way)| way);
        let want = match want {
            Value::Null => None,
            Value::String(_) => Some(Way::Record),
            bit => Some(if bit == 0 { Way::On } else { Way::Off }),
        };
        assert_eq!(way, want, "{message}");
    }
}

#[test]
fn subscriber_takes_silence_for_reject_and_nonsense_for_nothing() {
    let begin = Instant::now();
    let mut gate = Gate::default();
    gate.receive("state", br#"{"v":1,"state":"ready"}"#, begin);
    gate.receive("heartbeat", br#"{"v":1}"#, begin);
    let mut seq = 0;
    let mut pass_after = |millis| {
        seq += 1;
        let body = format!(r#"{{"v":1,"seq":{seq},"verdict":"PASS","historical":false}}"#);
        gate.receive("verdict", body.as_bytes(), begin + Duration::from_millis(millis)).unwrap().1
    };
    assert_eq!((pass_after(3000), pass_after(3001)), (Way::On, Way::Off));
    for nonsense in [&b""[..], b"[]", b"{", b"7", b"\xff", br#"{"v":2,"verdict":"PASS"}"#] {
        assert!(gate.receive("verdict", nonsense, begin).is_none());
    }
}
