//! Births, data and deaths, and how they are numbered: pure.

use std::collections::BTreeMap;
use std::time::SystemTime;

use diad_core::name::CameraId;

use super::mirror::Said;
use crate::wire::sparkplug::{Health, Metric, Payload, bd_seq, millis, of_camera, of_health, rebirth};

/// A message and its kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    Birth(Payload),
    Data(Payload),
}

/// What the node has said.
pub(super) struct Node {
    bd_seq: u8,
    seq: u8,
    /// Every camera that was born, and the last live part of it.
    cameras: BTreeMap<CameraId, Option<Said>>,
}

impl Node {
    /// `first` is the number of the first connection: not always the same, so that a late death of the run before
    /// does not end the birth of this one.
    pub(super) const fn new(first: u8) -> Self {
        Self { bd_seq: first.wrapping_sub(1), seq: 0, cameras: BTreeMap::new() }
    }

    /// Begins a connection: a new number, and the death to leave with the broker.
    pub(super) fn connect(&mut self, now: SystemTime) -> Payload {
        self.bd_seq = self.bd_seq.wrapping_add(1);
        self.death(now)
    }

    pub(super) fn death(&self, now: SystemTime) -> Payload {
        Payload { timestamp: Some(millis(now)), metrics: vec![bd_seq(self.bd_seq, now)], seq: None }
    }

    /// Every metric there is, with its value.
    pub(super) fn birth(&mut self, health: &Health, now: SystemTime) -> Message {
        self.seq = 0;
        let mut metrics = vec![bd_seq(self.bd_seq, now), rebirth(now)];
        metrics.extend(of_health(health, now));
        for (camera, last) in &self.cameras {
            let part = last.as_ref().map(|said| (&said.verdict, said.bit));
            metrics.extend(of_camera(camera.as_str(), part, now));
        }
        Message::Birth(Payload { timestamp: Some(millis(now)), metrics, seq: Some(0) })
    }

    pub(super) fn health(&mut self, health: &Health, now: SystemTime) -> Message {
        self.data(of_health(health, now), now)
    }

    /// Whether the camera of this verdict is yet to be born: then a birth goes before it.
    pub(super) fn meets(&mut self, said: &Said) -> bool {
        let camera = &said.verdict.camera;
        let new = !self.cameras.contains_key(camera);
        if new {
            self.cameras.insert(camera.clone(), None);
        }
        new
    }

    pub(super) fn verdict(&mut self, said: Said, now: SystemTime) -> Message {
        let metrics = of_camera(said.verdict.camera.as_str(), Some((&said.verdict, said.bit)), now);
        if said.bit.is_some() {
            self.cameras.insert(said.verdict.camera.clone(), Some(said));
        }
        self.data(metrics, now)
    }

    fn data(&mut self, metrics: Vec<Metric>, now: SystemTime) -> Message {
        self.seq = self.seq.wrapping_add(1);
        Message::Data(Payload { timestamp: Some(millis(now)), metrics, seq: Some(self.seq.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sparkplug::{BD_SEQ, Value};
    use crate::wire::{State, StateMessage};

    fn health() -> Health {
        Health { state: StateMessage::new(State::Ready, "", SystemTime::UNIX_EPOCH), beat: None, lost: 0 }
    }

    fn number(payload: &Payload) -> Option<&Value> {
        payload.metrics.iter().find(|m| m.name.as_deref() == Some(BD_SEQ)).and_then(|m| m.value.as_ref())
    }

    #[test]
    fn birth_and_death_of_a_connection_share_its_number() {
        let now = SystemTime::UNIX_EPOCH;
        let mut node = Node::new(254);
        for want in [254, 255, 0, 1] {
            let will = node.connect(now);
            let Message::Birth(birth) = node.birth(&health(), now) else { panic!("a birth") };
            let Message::Birth(again) = node.birth(&health(), now) else { panic!("a birth") };
            for payload in [&will, &birth, &again, &node.death(now)] {
                assert_eq!(number(payload), Some(&Value::Long(want)));
            }
            assert_eq!((will.seq, birth.seq, again.seq), (None, Some(0), Some(0)));
        }
    }

    #[test]
    fn data_counts_from_one_to_255_and_around_and_a_birth_begins_anew() {
        let now = SystemTime::UNIX_EPOCH;
        let mut node = Node::new(0);
        node.birth(&health(), now);
        let mut seqs = Vec::new();
        for _ in 0..300 {
            let Message::Data(data) = node.health(&health(), now) else { panic!("data") };
            seqs.push(data.seq.unwrap());
        }
        assert_eq!(seqs, (1..=300).map(|n| n % 256).collect::<Vec<u64>>());
        let Message::Birth(birth) = node.birth(&health(), now) else { panic!("a birth") };
        assert_eq!(birth.seq, Some(0));
    }
}
