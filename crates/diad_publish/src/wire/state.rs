//! How the station is: the retained state and the heartbeat.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;

use super::moment::Moment;
use super::{SCHEMA, encode, schema};

/// Longest `detail`, in bytes before escaping; longer text is cut.
pub const MAX_DETAIL_BYTES: usize = 400;

/// What the station can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// Not judging yet.
    Starting,
    /// Judging every part.
    Ready,
    /// Judging, with a fault that a person should look at.
    Degraded,
    /// Not judging: stopped, or gone (then the broker publishes the last will).
    Offline,
}

impl State {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Degraded, Self::Offline];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Offline => "offline",
        }
    }
}

/// Payload of `…/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "state", deny_unknown_fields)]
pub struct StateMessage {
    /// Version of the payload.
    #[schemars(schema_with = "schema::version")]
    v: u8,
    /// What the station can do now.
    pub(crate) state: State,
    /// What is wrong and since when; empty if nothing is.
    #[schemars(length(max = 400))]
    pub(super) detail: String,
    /// Time of this state, UTC; in the last will, the time of the connection.
    pub(super) at: Moment,
}

impl StateMessage {
    /// A state and why. Control characters in `detail` become spaces; text past [`MAX_DETAIL_BYTES`] is cut, and an
    /// ellipsis says so.
    #[must_use]
    pub fn new(state: State, detail: &str, at: SystemTime) -> Self {
        const MORE: &str = "…";
        let (kept, more) = match detail.len() {
            0..=MAX_DETAIL_BYTES => (detail, ""),
            _ => (&detail[..detail.floor_char_boundary(MAX_DETAIL_BYTES - MORE.len())], MORE),
        };
        let detail = kept.chars().map(|c| if c.is_control() { ' ' } else { c }).chain(more.chars()).collect();
        Self { v: SCHEMA, state, detail, at: at.into() }
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        encode(self)
    }

    /// The payload in less than `limit` bytes, with as much of the detail as fits; without any where even that is too long.
    #[must_use]
    pub(crate) fn to_json_below(&self, limit: usize) -> Vec<u8> {
        let mut shorter = self.clone();
        loop {
            let json = encode(&shorter);
            if json.len() < limit || shorter.detail.is_empty() {
                return json;
            }
            let over = json.len() - limit + 1 + "…".len();
            let keep = shorter.detail.floor_char_boundary(shorter.detail.len().saturating_sub(over));
            shorter.detail.truncate(keep);
            if keep > 0 {
                shorter.detail.push('…');
            }
        }
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
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "heartbeat", deny_unknown_fields)]
pub struct HeartbeatMessage {
    /// Version of the payload.
    #[schemars(schema_with = "schema::version")]
    v: u8,
    /// Rises by one with every heartbeat, sent or not.
    counter: u64,
    /// The state, as on the topic `state`.
    state: State,
    /// Parts that entered since the start.
    parts_in: u64,
    /// Verdicts decided since the start.
    verdicts_out: u64,
    /// Parts that entered and have no verdict yet.
    queue_depth: u64,
    /// Verdicts that the broker has not acknowledged.
    outbox_depth: u64,
    /// Parts that were counted and cannot be found again: anything but 0 is an alarm.
    unaccounted: u64,
    /// Smallest time left before a deadline since the last heartbeat, in milliseconds; null if no part came.
    margin_ms: Option<f64>,
}

impl HeartbeatMessage {
    /// `counter` grows by one per heartbeat, sent or not; `unrecorded` verdicts wait in memory only, because the record
    /// could not be written. `outbox_depth` counts all verdicts without acknowledgement.
    /// A margin that is not finite is sent as `null`.
    #[must_use]
    pub fn new(counter: u64, state: State, beat: &Heartbeat, unrecorded: u64) -> Self {
        Self {
            v: SCHEMA,
            counter,
            state,
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
    fn state_reads_as_documented() {
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
        let of = |detail: &str| StateMessage::new(State::Degraded, detail, SystemTime::UNIX_EPOCH).detail;
        let whole = "a".repeat(MAX_DETAIL_BYTES);
        assert_eq!(of(&whole), whole);
        let cut = of(&format!("{whole}b"));
        assert!(cut.ends_with("a…") && cut.len() == MAX_DETAIL_BYTES, "{cut}");
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
            r#"{"v":1,"counter":3,"state":"degraded","parts_in":7,"verdicts_out":6,"queue_depth":1,"#,
            r#""outbox_depth":7,"unaccounted":0,"margin_ms":-12.346}"#
        );
        assert_eq!(json(HeartbeatMessage::new(3, State::Degraded, &beat, 2).to_json()), want);
    }

    #[test]
    fn heartbeat_with_a_margin_that_is_no_number_says_null() {
        for margin_ms in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            let beat = Heartbeat { parts_in: 0, verdicts_out: 0, queue_depth: 0, owed: 0, unaccounted: 0, margin_ms };
            assert!(json(HeartbeatMessage::new(1, State::Ready, &beat, 0).to_json()).ends_with(r#""margin_ms":null}"#));
        }
    }
}
