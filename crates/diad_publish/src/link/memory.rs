//! What the link keeps from one connection to the next.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use rumqttc::{ConnectionError, StateError, mqttbytes};

use super::endings::Endings;
use crate::receipt::Receipts;

/// States and last wills that are remembered.
const STATES: usize = 256;

/// What the link keeps from one connection to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) receipts: Receipts,
    pub(crate) endings: Endings,
    pub(crate) states: KnownStates,
    /// The broker has taken a state of this process.
    pub(crate) state_is_stored: bool,
    /// The broker has ended a connection behind an empty message on a topic that the station reads.
    pub(crate) trials_end_connections: bool,
}

/// States of this station that this process has published or left as its last will.
#[derive(Debug, Default)]
pub(crate) struct KnownStates(VecDeque<u64>);

impl KnownStates {
    /// This process has published it, or left it as its last will.
    pub(crate) fn know(&mut self, payload: &[u8]) {
        if !self.is_known(payload) {
            if self.0.len() == STATES {
                self.0.pop_front();
            }
            self.0.push_back(print(payload));
        }
    }

    pub(crate) fn is_known(&self, payload: &[u8]) -> bool {
        self.0.contains(&print(payload))
    }
}

fn print(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

/// Whether the other side has ended the connection without a word.
pub(crate) fn is_closed_by_peer(error: &ConnectionError) -> bool {
    let closed = |kind| {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    };
    match error {
        ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)),
        )
        | ConnectionError::Io(error) => closed(error.kind()),
        _ => false,
    }
}
