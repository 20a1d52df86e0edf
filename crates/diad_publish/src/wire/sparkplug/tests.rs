use std::time::{Duration, Instant};

use diad_core::event::{InspectionEvent, Judgement, Reason};
use diad_core::frame::{PartKey, PartMeta, Roi, Stamp};
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, PartId, RunId, StationName};
use diad_core::score::Score;
use prost::Message as _;

use super::*;
use crate::wire::{Digest, Digests, State, Station};

/// 2026-01-01T08:00:00.123Z.
const CAPTURED: u64 = 1_767_254_400_123;

fn verdict(bad: bool) -> VerdictMessage {
    let station = Station {
        line: LineName::try_new("L1").unwrap(),
        station: StationName::try_new("S1").unwrap(),
        run: RunId::try_new("01JD").unwrap(),
    };
    let mono = Instant::now();
    let captured = Stamp { wall: SystemTime::UNIX_EPOCH + Duration::from_millis(CAPTURED), mono };
    let later = Duration::from_millis(40);
    let judged = Stamp { wall: captured.wall + later, mono: mono + later };
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq: u64::MAX };
    let meta = PartMeta { key, part: PartId::try_new("P-77").ok(), product: None, source: None, captured };
    let score = |value| Score::try_new(value).unwrap();
    let event = if bad {
        InspectionEvent::unjudged(meta, Reason::Deadline, judged)
    } else {
        let thresholds = Thresholds::try_new(score(0.25), score(0.5), 0).unwrap();
        let region = Roi { x: 1, y: 2, width: 3, height: 4 };
        let judgement = Judgement { verdict: Verdict::Pass, score: score(0.125), thresholds, region };
        InspectionEvent::judged(meta, judgement, judged)
    };
    let digest = Digest::from_bytes([9; 32]);
    let digests = Digests { model: digest, thresholds: digest, settings: digest };
    VerdictMessage::from_event(&station, &event, &digests, 200)
}

fn of<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    metrics.iter().find(|m| m.name.as_deref() == Some(name)).unwrap()
}

#[test]
fn payload_is_written_in_the_fields_of_the_published_definition() {
    let metric = |value, datatype: DataType| Metric {
        name: Some("n".to_owned()),
        alias: None,
        timestamp: Some(3),
        datatype: Some(datatype as u32),
        is_historical: Some(true),
        is_null: None,
        value: Some(value),
    };
    let payload =
        |value, datatype| Payload { timestamp: Some(300), metrics: vec![metric(value, datatype)], seq: Some(0) };
    // Written by hand from sparkplug_b.proto: timestamp 1, metrics 2, seq 3; name 1, timestamp 3, datatype 4,
    // is_historical 5, and the value under 11 to 15.
    let head = [0x0a, 1, b'n', 0x18, 3, 0x20];
    for (value, datatype, body) in [
        (Value::Long(300), DataType::UInt64, vec![0x58, 0xac, 0x02]),
        (Value::Float(1.0), DataType::Float, vec![0x65, 0, 0, 0x80, 0x3f]),
        (Value::Double(1.0), DataType::Double, vec![0x69, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
        (Value::Boolean(true), DataType::Boolean, vec![0x70, 1]),
        (Value::Text("t".to_owned()), DataType::String, vec![0x7a, 1, b't']),
    ] {
        let inner = [&head[..], &[datatype as u8, 0x28, 1], &body].concat();
        let length = u8::try_from(inner.len()).unwrap();
        let want = [&[0x08, 0xac, 0x02, 0x12, length], &inner[..], &[0x18, 0]].concat();
        let written = payload(value.clone(), datatype).encode_to_vec();
        assert_eq!(written, want, "{value:?}");
        assert_eq!(Payload::decode(written.as_slice()), Ok(payload(value, datatype)));
    }
}

#[test]
fn of_camera_says_a_live_part_as_its_verdict_does() {
    let metrics = of_camera("cam0", Some((&verdict(false), Some(RejectBit::Keep))), SystemTime::now());
    for (name, datatype, value) in [
        ("Run", DataType::String, Value::Text("01JD".to_owned())),
        ("Seq", DataType::UInt64, Value::Long(u64::MAX)),
        ("Part", DataType::String, Value::Text("P-77".to_owned())),
        ("Verdict", DataType::String, Value::Text("PASS".to_owned())),
        ("Score", DataType::Float, Value::Float(0.125)),
        ("Review At", DataType::Float, Value::Float(0.25)),
        ("Reject At", DataType::Float, Value::Float(0.5)),
        ("Reject", DataType::Boolean, Value::Boolean(false)),
        ("Captured At", DataType::DateTime, Value::Long(CAPTURED)),
        ("Latency ms", DataType::Double, Value::Double(40.0)),
    ] {
        let metric = of(&metrics, &format!("Camera/cam0/{name}"));
        assert_eq!((metric.datatype, metric.value.as_ref()), (Some(datatype as u32), Some(&value)), "{name}");
        assert_eq!((metric.timestamp, metric.is_historical), (Some(CAPTURED + 40), None), "{name}");
    }
    let product = of(&metrics, "Camera/cam0/Product");
    assert_eq!((product.is_null, product.value.as_ref()), (Some(true), None));
}

#[test]
fn of_camera_never_says_a_bit_or_a_score_that_there_is_not() {
    let stored = of_camera("cam0", Some((&verdict(false), None)), SystemTime::now());
    assert!(stored.iter().all(|m| m.is_historical == Some(true) && m.timestamp == Some(CAPTURED + 40)));
    assert_eq!(of(&stored, "Camera/cam0/Reject").is_null, Some(true));

    let unjudged = of_camera("cam0", Some((&verdict(true), Some(RejectBit::Reject))), SystemTime::now());
    assert_eq!(of(&unjudged, "Camera/cam0/Reject").value, Some(Value::Boolean(true)));
    assert_eq!(of(&unjudged, "Camera/cam0/Verdict").value, Some(Value::Text("UNJUDGED".to_owned())));
    assert_eq!(of(&unjudged, "Camera/cam0/Score").is_null, Some(true));

    let nothing_yet = of_camera("cam0", None, SystemTime::now());
    assert!(nothing_yet.iter().all(|m| m.is_null == Some(true) && m.is_historical.is_none()));
    let names = |metrics: &[Metric]| metrics.iter().map(|m| (m.name.clone(), m.datatype)).collect::<Vec<_>>();
    assert_eq!(names(&nothing_yet), names(&stored), "a birth names all that data will");
}

#[test]
fn of_health_says_the_state_and_the_counts() {
    let state = StateMessage::new(State::Degraded, "why", SystemTime::UNIX_EPOCH + Duration::from_secs(7));
    let beat = Heartbeat { parts_in: 3, verdicts_out: 2, queue_depth: 1, owed: 0, unaccounted: 0, margin_ms: None };
    let metrics = of_health(&Health { state, beat: Some(beat), lost: 5 }, SystemTime::now());
    assert_eq!(of(&metrics, "State").value, Some(Value::Text("degraded".to_owned())));
    assert_eq!(of(&metrics, "State").timestamp, Some(7000));
    assert_eq!(of(&metrics, "Detail").value, Some(Value::Text("why".to_owned())));
    for (name, want) in [("Parts In", 3), ("Verdicts Out", 2), ("Mirror Lost", 5)] {
        assert_eq!(of(&metrics, name).value, Some(Value::Long(want)));
    }
}
