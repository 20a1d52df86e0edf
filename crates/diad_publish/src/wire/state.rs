//! How the station is: the retained state and the heartbeat.

use std::time::SystemTime;

use serde::Serialize;

use super::moment::Moment;
use super::{SCHEMA, encode};

/// Longest `detail`, in bytes before escaping; longer text is cut.
pub const MAX_DETAIL_BYTES: usize = 400;

/// What the station can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not judging yet.
    Starting,
    /// Judging every part.
    Ready,
    /// Judging, with a fault that a person should look at.
    Degraded,
    /// Not judging: stopped, or gone without a word (then the broker says so, by the last will).
    Offline,
}

/// Payload of `…/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateMessage {
    v: u8,
    state: State,
    detail: String,
    at: Moment,
}

impl StateMessage {
    /// A state and why. Control characters in `detail` become spaces, and text past [`MAX_DETAIL_BYTES`] is cut.
    #[must_use]
    pub fn new(state: State, detail: &str, at: SystemTime) -> Self {
        let cut = detail.floor_char_boundary(MAX_DETAIL_BYTES);
        let detail = detail[..cut].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { v: SCHEMA, state, detail, at: at.into() }
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        encode(self)
    }
}

/// What the process knows for a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heartbeat {
    /// Parts that entered since the start.
    pub parts_in: u64,
    /// Verdicts decided since the start.
    pub verdicts_out: u64,
    /// Parts that entered and have no verdict yet.
    pub queue_depth: u64,
    /// Recorded verdicts that the broker has not acknowledged.
    pub owed: u64,
    /// Parts that were counted and cannot be found again. Anything but 0 is an alarm.
    pub unaccounted: u64,
    /// Smallest time left before a deadline since the last heartbeat, in milliseconds; negative when one was
    /// missed, `None` when no part came.
    pub margin_ms: Option<f64>,
}

/// Payload of `…/heartbeat`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeartbeatMessage {
    v: u8,
    counter: u64,
    parts_in: u64,
    verdicts_out: u64,
    queue_depth: u64,
    outbox_depth: u64,
    unaccounted: u64,
    margin_ms: Option<f64>,
}

impl HeartbeatMessage {
    /// `counter` grows by one per heartbeat, sent or not; `unrecorded` verdicts wait in memory only, because the record
    /// could not be written. `outbox_depth` counts all verdicts without acknowledgement.
    /// A margin that is not finite is sent as `null`.
    #[must_use]
    pub fn new(counter: u64, beat: &Heartbeat, unrecorded: u64) -> Self {
        Self {
            v: SCHEMA,
            counter,
            parts_in: beat.parts_in,
            verdicts_out: beat.verdicts_out,
            queue_depth: beat.queue_depth,
            outbox_depth: beat.owed + unrecorded,
            unaccounted: beat.unaccounted,
            margin_ms: beat.margin_ms.filter(|m| m.is_finite()).map(|m| (m * 1e3).round() / 1e3),
        }
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        encode(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MAX_PAYLOAD_BYTES;

    fn json(payload: Vec<u8>) -> String {
        String::from_utf8(payload).unwrap()
    }

    #[test]
    fn state_reads_as_the_contract_says() {
        for (state, word) in [
            (State::Starting, "starting"),
            (State::Ready, "ready"),
            (State::Degraded, "degraded"),
            (State::Offline, "offline"),
        ] {
            let want = format!(r#"{{"v":1,"state":"{word}","detail":"why","at":"1970-01-01T00:00:00.000000Z"}}"#);
            assert_eq!(json(StateMessage::new(state, "why", SystemTime::UNIX_EPOCH).to_json()), want);
        }
    }

    #[test]
    fn state_with_a_detail_of_any_length_and_kind_fits_the_limit() {
        for detail in ["\u{1}", "\"", "\\", "ä", "𝔸", "a\n"].map(|text| text.repeat(5000)) {
            let bytes = StateMessage::new(State::Degraded, &detail, SystemTime::UNIX_EPOCH).to_json();
            assert!(bytes.len() <= MAX_PAYLOAD_BYTES, "{}", bytes.len());
        }
    }

    #[test]
    fn heartbeat_has_flat_numbers() {
        let beat = Heartbeat {
            parts_in: 7,
            verdicts_out: 6,
            queue_depth: 1,
            owed: 5,
            unaccounted: 0,
            margin_ms: Some(-12.345_678),
        };
        let want = concat!(
            r#"{"v":1,"counter":3,"parts_in":7,"verdicts_out":6,"queue_depth":1,"#,
            r#""outbox_depth":7,"unaccounted":0,"margin_ms":-12.346}"#
        );
        assert_eq!(json(HeartbeatMessage::new(3, &beat, 2).to_json()), want);
    }

    #[test]
    fn heartbeat_with_a_margin_that_is_no_number_says_null() {
        for margin_ms in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            let beat = Heartbeat { parts_in: 0, verdicts_out: 0, queue_depth: 0, owed: 0, unaccounted: 0, margin_ms };
            assert!(json(HeartbeatMessage::new(1, &beat, 0).to_json()).ends_with(r#""margin_ms":null}"#));
        }
    }
}
