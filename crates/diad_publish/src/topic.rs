//! Topics of one station: `{root}/{line}/{station}/…`.

use std::fmt;

use diad_core::name::{LineName, StationName};

/// Longest accepted root, in bytes. With the longest line and station every topic stays below the 255 bytes that
/// common controllers hold.
pub const MAX_ROOT_BYTES: usize = 100;

/// Why a text is not a topic root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The text is empty or too long.
    #[error("a topic root has 1 to {MAX_ROOT_BYTES} bytes, this one has {bytes}")]
    Length {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// The text starts with `$`, which brokers keep for themselves.
    #[error("a topic root must not start with '$': brokers keep such topics for themselves")]
    Reserved,
    /// The text starts or ends with `/`, or holds `//`.
    #[error("a topic root must not start or end with '/' nor hold '//'; write for example plant/hall2")]
    EmptyLevel,
    /// The text holds a wildcard or a control character.
    #[error("character {character:?} is not allowed in a topic root")]
    Character {
        /// The first character that is not allowed.
        character: char,
    },
}

/// First levels of every topic, `mqtt.root` in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRoot(String);

impl TopicRoot {
    /// Takes one or more non-empty levels without wildcards.
    ///
    /// # Errors
    /// [`TopicError`] says which rule the text breaks.
    pub fn try_new(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() || text.len() > MAX_ROOT_BYTES {
            return Err(TopicError::Length { bytes: text.len() });
        }
        if text.starts_with('$') {
            return Err(TopicError::Reserved);
        }
        if text.split('/').any(str::is_empty) {
            return Err(TopicError::EmptyLevel);
        }
        if let Some(character) = text.chars().find(|c| matches!(c, '+' | '#') || c.is_control()) {
            return Err(TopicError::Character { character });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TopicRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every topic of one station, spelled out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Out, QoS 1: one message per part.
    pub verdict: String,
    /// Out, QoS 1: one bit per part, live only.
    pub reject: String,
    /// Out, QoS 1, retained: state of the station; also the last will.
    pub state: String,
    /// Out, QoS 0: once a second.
    pub heartbeat: String,
    /// In, QoS 1: take and judge one part.
    pub trigger: String,
    /// In, QoS 1, retained: change-over.
    pub product: String,
    /// Every topic of the station, as access rules name them.
    pub all: String,
    /// Nobody writes or reads it: the link gives up a subscription to it that it never had, to see the broker answer.
    pub probe: String,
    /// Names the connection. It has no run in it: a restarted daemon takes over from its predecessor's half-open
    /// connection, so that the predecessor's last will cannot come after the new `ready`.
    pub client_id: String,
}

impl Topics {
    /// The topics of a station.
    #[must_use]
    pub fn new(root: &TopicRoot, line: &LineName, station: &StationName) -> Self {
        let base = format!("{root}/{line}/{station}");
        Self {
            all: format!("{base}/#"),
            verdict: format!("{base}/verdict"),
            reject: format!("{base}/reject"),
            state: format!("{base}/state"),
            heartbeat: format!("{base}/heartbeat"),
            trigger: format!("{base}/trigger"),
            product: format!("{base}/product"),
            probe: format!("{base}/probe"),
            // Some brokers refuse a client id with a character of topics in it.
            client_id: format!("diad:{}", base.replace('/', ":")),
        }
    }
}

/// Topics of the station as a Sparkplug B edge node: the line is the group, the station the node. A name of either
/// holds none of the characters that Sparkplug forbids, `/`, `+` and `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTopics {
    /// Out, QoS 0: every metric, at every connection and when asked.
    pub birth: String,
    /// Out, QoS 0: metrics that have changed.
    pub data: String,
    /// The last will, QoS 1.
    pub death: String,
    /// In, QoS 1: orders.
    pub command: String,
    /// Names the connection, which is not that of the link.
    pub client_id: String,
}

impl NodeTopics {
    /// The topics of a station.
    #[must_use]
    pub fn new(line: &LineName, station: &StationName) -> Self {
        let of = |kind: &str| format!("spBv1.0/{line}/{kind}/{station}");
        Self {
            birth: of("NBIRTH"),
            data: of("NDATA"),
            death: of("NDEATH"),
            command: of("NCMD"),
            client_id: format!("diad-sparkplug:{line}:{station}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn try_new_refuses_what_would_break_or_widen_a_topic() {
        for (text, want) in [
            ("", TopicError::Length { bytes: 0 }),
            ("$SYS", TopicError::Reserved),
            ("/plant", TopicError::EmptyLevel),
            ("plant/", TopicError::EmptyLevel),
            ("plant//hall", TopicError::EmptyLevel),
            ("plant/#", TopicError::Character { character: '#' }),
            ("pl+ant", TopicError::Character { character: '+' }),
            ("pl\u{0}ant", TopicError::Character { character: '\u{0}' }),
        ] {
            assert_eq!(TopicRoot::try_new(text), Err(want), "{text:?}");
        }
        assert_eq!(TopicRoot::try_new(&"x".repeat(101)), Err(TopicError::Length { bytes: 101 }));
    }

    #[test]
    fn topics_with_the_longest_names_fit_a_controller() {
        let long = "x".repeat(64);
        let topics = Topics::new(
            &TopicRoot::try_new(&"r".repeat(MAX_ROOT_BYTES)).unwrap(),
            &LineName::try_new(&long).unwrap(),
            &StationName::try_new(&long).unwrap(),
        );
        assert!(topics.heartbeat.len() <= 255 && topics.client_id.len() <= 255);
    }

    #[test]
    fn topics_of_a_node_have_four_levels_whatever_the_names() {
        for name in ["L1", "a.b_c-d:e@f"] {
            let topics = NodeTopics::new(&LineName::try_new(name).unwrap(), &StationName::try_new(name).unwrap());
            assert_eq!(topics.death, format!("spBv1.0/{name}/NDEATH/{name}"));
            for topic in [topics.birth, topics.data, topics.death, topics.command] {
                assert_eq!(topic.split('/').count(), 4, "{topic}");
            }
        }
        for character in ['/', '+', '#'] {
            let name = format!("a{character}b");
            assert!(LineName::try_new(&name).is_err() && StationName::try_new(&name).is_err());
        }
    }

    #[test]
    fn topics_follow_root_line_station() {
        let topics = Topics::new(
            &TopicRoot::try_new("plant/hall2").unwrap(),
            &LineName::try_new("L1").unwrap(),
            &StationName::try_new("S1").unwrap(),
        );
        assert_eq!(topics.verdict, "plant/hall2/L1/S1/verdict");
        assert_eq!(topics.product, "plant/hall2/L1/S1/product");
    }
}
