//! A station to test with, and the parts it judges.

use std::time::{Instant, SystemTime};

use diad_core::event::{InspectionEvent, Judgement, Reason};
use diad_core::frame::{PartKey, PartMeta, Roi, Stamp};
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, PartId, RunId, StationName};
use diad_core::score::Score;
use diad_publish::settings::{BrokerUrl, LinkSettings};
use diad_publish::topic::TopicRoot;
use diad_publish::wire::{Digest, Digests, OnUnjudged, Station};
use diad_publish::{Publisher, PublisherSettings};

use crate::broker::{Received, wait_until};

/// Every topic of the station under test.
pub const EVERYTHING: &str = "factory/L1/S1/#";
pub const VERDICT: &str = "factory/L1/S1/verdict";
pub const REJECT: &str = "factory/L1/S1/reject";
pub const STATE: &str = "factory/L1/S1/state";
pub const HEARTBEAT: &str = "factory/L1/S1/heartbeat";
pub const TRIGGER: &str = "factory/L1/S1/trigger";
pub const PRODUCT: &str = "factory/L1/S1/product";

pub const DIGESTS: Digests = Digests {
    model: Digest::from_bytes([1; 32]),
    thresholds: Digest::from_bytes([2; 32]),
    settings: Digest::from_bytes([3; 32]),
};

/// Settings of a station that talks to a plain broker on loopback.
pub fn settings(port: u16) -> PublisherSettings {
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
    settings_for(LinkSettings::try_new(url, None, None, None).unwrap())
}

pub fn settings_for(link: LinkSettings) -> PublisherSettings {
    PublisherSettings {
        link,
        root: TopicRoot::try_new("factory").unwrap(),
        station: Station {
            line: LineName::try_new("L1").unwrap(),
            station: StationName::try_new("S1").unwrap(),
            run: RunId::try_new("01JD").unwrap(),
        },
        on_unjudged: OnUnjudged::Reject,
        // Long, so that a part is live on a machine of any speed.
        deadline_ms: 60_000,
        watch_triggers: false,
        outbox_capacity: PublisherSettings::OUTBOX_CAPACITY,
    }
}

fn meta(seq: u64) -> PartMeta {
    PartMeta {
        key: PartKey { camera: CameraId::try_new("cam0").unwrap(), seq },
        part: PartId::try_new(&format!("P-{seq}")).ok(),
        product: None,
        source: None,
        captured: Stamp { wall: SystemTime::now(), mono: Instant::now() },
    }
}

/// Part `seq` of the line: every third is bad, every tenth could not be judged.
pub fn event(seq: u64) -> InspectionEvent {
    let meta = meta(seq);
    let judged = Stamp { wall: SystemTime::now(), mono: Instant::now() };
    if seq.is_multiple_of(10) {
        return InspectionEvent::unjudged(meta, Reason::Deadline, judged);
    }
    let score = |value| Score::try_new(value).unwrap();
    let (verdict, value) = if seq.is_multiple_of(3) { (Verdict::Reject, 0.7) } else { (Verdict::Pass, 0.1) };
    let thresholds = Thresholds::try_new(score(0.3), score(0.38), 0).unwrap();
    let region = Roi { x: 1, y: 2, width: 3, height: 4 };
    InspectionEvent::judged(meta, Judgement { verdict, score: score(value), thresholds, region }, judged)
}

/// The bit that part `seq` must get.
pub const fn bit(seq: u64) -> u64 {
    (seq.is_multiple_of(10) || seq.is_multiple_of(3)) as u64
}

pub fn publish(publisher: &Publisher, parts: std::ops::RangeInclusive<u64>) {
    for seq in parts {
        let event = event(seq);
        publisher.publish_verdict(None, &event, &DIGESTS, publisher.bit(&event));
    }
}

pub fn start(port: u16) -> Publisher {
    Publisher::start(settings(port)).unwrap()
}

pub fn start_connected(port: u16) -> Publisher {
    let publisher = start(port);
    wait_until("the connection", || publisher.status().connected);
    publisher
}

pub fn is_state(message: &Received, state: &str) -> bool {
    message.topic == STATE && message.payload["state"] == state
}
