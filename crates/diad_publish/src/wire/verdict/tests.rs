use std::time::{Duration, Instant, SystemTime};

use diad_core::event::{Judgement, Reason};
use diad_core::frame::{PartKey, PartMeta, Roi, Stamp};
use diad_core::judge::{Thresholds, Verdict};
use diad_core::score::Score;
use proptest::prelude::*;

use super::*;
use crate::wire::{MAX_PAYLOAD_BYTES, OnUnjudged, RejectBit, RejectMessage};

fn station(line: &str, station: &str, run: &str) -> Station {
    Station {
        line: LineName::try_new(line).unwrap(),
        station: StationName::try_new(station).unwrap(),
        run: RunId::try_new(run).unwrap(),
    }
}

fn digests() -> Digests {
    Digests {
        model: Digest::from_bytes([0x9f; 32]),
        thresholds: Digest::from_bytes([0x77; 32]),
        settings: Digest::from_bytes([0x0b; 32]),
    }
}

/// Captured at 2026-01-01T08:00:00.123456Z, decided 37.556 ms later.
fn stamps() -> (Stamp, Stamp) {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_254_400_123_456);
    let mono = Instant::now();
    let took = Duration::from_micros(37_556);
    (Stamp { wall, mono }, Stamp { wall: wall + took, mono: mono + took })
}

fn meta(name: &str, seq: u64, mark: Option<(&str, &str)>, captured: Stamp) -> PartMeta {
    PartMeta {
        key: PartKey { camera: CameraId::try_new(name).unwrap(), seq },
        part: mark.map(|(part, _)| PartId::try_new(part).unwrap()),
        product: mark.map(|(_, product)| ProductName::try_new(product).unwrap()),
        source: None,
        captured,
    }
}

fn judgement(score: f32, review: f32, reject: f32, region: Roi) -> Judgement {
    let score_of = |value| Score::try_new(value).unwrap();
    Judgement {
        verdict: Verdict::Reject,
        score: score_of(score),
        thresholds: Thresholds::try_new(score_of(review), score_of(reject), 0).unwrap(),
        region,
    }
}

fn json(message: &VerdictMessage, lane: Lane) -> String {
    String::from_utf8(message.to_json(lane)).unwrap()
}

#[test]
fn verdict_of_a_judged_part_reads_as_documented() {
    let (captured, judged) = stamps();
    let event = InspectionEvent::judged(
        meta("cam0", 1234, Some(("P-77", "washer")), captured),
        judgement(0.731, 0.3, 0.38, Roi { x: 120, y: 44, width: 32, height: 20 }),
        judged,
    );
    let message = VerdictMessage::from_event(&station("L1", "S1", "01JD"), &event, &digests(), 200);
    let want = concat!(
        r#"{"v":1,"line":"L1","station":"S1","camera":"cam0","run":"01JD","seq":1234,"part":"P-77","product":"washer","#,
        r#""verdict":"REJECT","reason":null,"score":0.731,"review_at":0.3,"reject_at":0.38,"#,
        r#""x_px":120,"y_px":44,"width_px":32,"height_px":20,"#,
        r#""captured_at":"2026-01-01T08:00:00.123456Z","judged_at":"2026-01-01T08:00:00.161012Z","#,
        r#""latency_ms":37.556,"deadline_ms":200,"model":"sha256:9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f","#,
        r#""thresholds":"sha256:77777777777777777777777777777777","#,
        r#""settings":"sha256:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b","historical":false}"#
    );
    assert_eq!(json(&message, Lane::Live), want);
    assert_eq!(json(&message, Lane::Stored), want.replace("\"historical\":false", "\"historical\":true"));
}

#[test]
fn verdict_of_a_repeat_says_so() {
    let (captured, judged) = stamps();
    let mut event = InspectionEvent::unjudged(meta("cam0", 7, None, captured), Reason::Deadline, judged);
    let of =
        |event: &_| json(&VerdictMessage::from_event(&station("L1", "S1", "01JD"), event, &digests(), 200), Lane::Live);
    assert!(!of(&event).contains("repeat"));
    event.repeat = true;
    assert!(of(&event).ends_with(r#","historical":false,"repeat":true}"#), "{}", of(&event));
}

#[test]
fn verdict_of_an_unjudged_part_has_a_reason_and_no_numbers() {
    let (captured, judged) = stamps();
    for reason in Reason::ALL {
        let event = InspectionEvent::unjudged(meta("cam0", 7, None, captured), reason, judged);
        let message = VerdictMessage::from_event(&station("L1", "S1", "01JD"), &event, &digests(), 200);
        let want = format!(
            concat!(
                r#""seq":7,"part":null,"product":null,"verdict":"UNJUDGED","reason":"{}","score":null,"#,
                r#""review_at":null,"reject_at":null,"x_px":null,"y_px":null,"width_px":null,"height_px":null,"#
            ),
            reason.as_str()
        );
        assert!(json(&message, Lane::Live).contains(&want), "{}", json(&message, Lane::Live));
    }
}

fn said(name: &str, score: f32) -> WitnessScore {
    WitnessScore { name: name.into(), score: Score::try_new(score).unwrap() }
}

#[test]
fn verdict_of_several_witnesses_says_what_each_said() {
    let (captured, judged) = stamps();
    let region = Roi { x: 1, y: 2, width: 3, height: 4 };
    let event = InspectionEvent::judged(meta("cam0", 1, None, captured), judgement(0.5, 0.1, 0.2, region), judged)
        .with_witnesses(vec![said("diad", 0.123_456), said("bank:efficientnet-lite2", 12.0), said("latent", 0.0)]);
    let message = VerdictMessage::from_event(&station("L1", "S1", "01JD"), &event, &digests(), 200);
    let want = r#""historical":false,"witnesses":{"diad":0.1235,"bank:efficientnet-lite2":12.0,"latent":0.0}}"#;
    assert!(json(&message, Lane::Live).ends_with(want), "{}", json(&message, Lane::Live));
    assert!(json(&message, Lane::Stored).ends_with(&want.replacen("false", "true", 1)));
}

#[test]
fn verdict_leaves_the_witnesses_out_rather_than_pass_the_limit() {
    let long = "x".repeat(64);
    let (captured, judged) = stamps();
    let region = Roi { x: 1, y: 2, width: 3, height: 4 };
    let plain = InspectionEvent::judged(
        meta(&long, u64::MAX, Some((&long, &long)), captured),
        judgement(0.5, 0.1, 0.2, region),
        judged,
    );
    let witnesses = (0..8).map(|i| said(&format!("bank:{}{i}", "f".repeat(31)), 1.2345e-20)).collect();
    let event = plain.clone().with_witnesses(witnesses);
    let message = |event| VerdictMessage::from_event(&station(&long, &long, &long), event, &digests(), 200);
    for lane in [Lane::Live, Lane::Stored] {
        assert_eq!(json(&message(&event), lane), json(&message(&plain), lane));
    }
}

#[test]
fn verdict_with_the_longest_names_and_numbers_fits_the_limit() {
    let long = "x".repeat(64);
    let (captured, _) = stamps();
    let late = Duration::from_secs(3_600_000);
    let judged = Stamp { wall: captured.wall + late, mono: captured.mono + late };
    let mut event = InspectionEvent::judged(
        meta(&long, u64::MAX, Some((&long, &long)), captured),
        judgement(
            1.234_567_8e-38,
            1.234_567_8e-38,
            1.234_567_9e-38,
            Roi { x: u32::MAX, y: u32::MAX, width: u32::MAX, height: u32::MAX },
        ),
        judged,
    );
    event.repeat = true;
    // A run is a ULID, and no other name has a fixed length.
    let message = VerdictMessage::from_event(&station(&long, &long, &"Z".repeat(26)), &event, &digests(), u32::MAX);
    let bytes = message.to_json(Lane::Live).len();
    assert!(bytes <= MAX_PAYLOAD_BYTES, "{bytes}");
    let reject = RejectMessage::new(&message, RejectBit::of(&event, OnUnjudged::Reject)).to_json().len();
    assert!(reject <= MAX_PAYLOAD_BYTES, "{reject}");
}

/// Names of this length and this mark, as the verdict and the bit of one part have them.
fn with_mark(name: &str, mark: &str) -> (String, String) {
    let (captured, judged) = stamps();
    let region = Roi { x: 16_383, y: 16_383, width: 16_384, height: 16_384 };
    let event = InspectionEvent::judged(
        meta(name, u64::MAX, Some((mark, name)), captured),
        judgement(0.012_345_678, 0.3, 0.38, region),
        judged,
    );
    let verdict = VerdictMessage::from_event(&station(name, name, name), &event, &digests(), 60_000);
    let reject = RejectMessage::new(&verdict, RejectBit::of(&event, OnUnjudged::Reject)).to_json();
    (json(&verdict, Lane::Stored), String::from_utf8(reject).unwrap())
}

fn mark_in(payload: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(payload).unwrap()["part"].as_str().map(str::to_owned)
}

#[test]
fn verdict_has_a_long_mark_whole_beside_names_as_plants_have_them() {
    for mark in ["x".repeat(128), "\u{e4}".repeat(64), format!("{}{}", "\u{1d}".repeat(20), "x".repeat(108))] {
        let (verdict, reject) = with_mark("cam0", &mark);
        assert_eq!((mark_in(&verdict), mark_in(&reject)), (Some(mark.clone()), Some(mark)));
        assert!(verdict.len() <= MAX_PAYLOAD_BYTES, "{}", verdict.len());
    }
}

#[test]
fn verdict_with_any_mark_fits_the_limit_beside_the_longest_names() {
    let long = "x".repeat(64);
    for mark in ["x".repeat(128), "\u{1d}".repeat(128), "\"".repeat(128), "\u{e4}".repeat(64), "\u{1}".to_owned()] {
        let (verdict, reject) = with_mark(&long, &mark);
        assert!(verdict.len() <= MAX_PAYLOAD_BYTES && reject.len() <= MAX_PAYLOAD_BYTES, "{}", verdict.len());
        assert_eq!(mark_in(&reject).as_ref(), Some(&mark), "the bit has it whole");
        let told = mark_in(&verdict).unwrap();
        let kept = told.strip_suffix('…').unwrap_or(&told);
        assert!(mark.starts_with(kept) && (told == mark || told.ends_with('…')), "{told:?}");
    }
}

proptest! {
    #[test]
    fn verdict_numbers_are_finite_and_read_back(score in 0.0..f32::MAX, micros in 0..u64::MAX / 4) {
        let (captured, _) = stamps();
        let judged = Stamp { wall: captured.wall, mono: captured.mono + Duration::from_micros(micros % (1 << 50)) };
        let event = InspectionEvent::judged(meta("cam0", 1, None, captured), judgement(score, 0.0, score, Roi { x: 0, y: 0, width: 1, height: 1 }), judged);
        let payload = VerdictMessage::from_event(&station("L1", "S1", "01JD"), &event, &digests(), 200).to_json(Lane::Live);
        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        prop_assert_eq!(value["score"].as_f64().map(|s| s as f32), Some(score));
        prop_assert!(value["latency_ms"].as_f64().is_some_and(f64::is_finite));
        prop_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
    }
}
