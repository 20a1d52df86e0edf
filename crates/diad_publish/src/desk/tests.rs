use std::num::NonZeroUsize;
use std::time::Duration;

use diad_core::event::{InspectionEvent, Judgement};
use diad_core::frame::{PartKey, PartMeta, Roi, Stamp};
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, RunId, StationName};
use diad_core::score::Score;

use super::*;
use crate::wire::{Digest, Digests, State, Station};

/// A good part, captured at `captured`.
fn parcel(captured: Instant, until: Instant) -> OutgoingVerdict {
    let station = Station {
        line: LineName::try_new("L1").unwrap(),
        station: StationName::try_new("S1").unwrap(),
        run: RunId::try_new("01JD").unwrap(),
    };
    let stamp = Stamp { wall: SystemTime::UNIX_EPOCH, mono: captured };
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq: 1 };
    let meta = PartMeta { key, part: None, product: None, source: None, captured: stamp };
    let zero = Score::try_new(0.0).unwrap();
    let judgement = Judgement {
        verdict: Verdict::Pass,
        score: zero,
        thresholds: Thresholds::try_new(zero, zero, 0).unwrap(),
        region: Roi { x: 0, y: 0, width: 1, height: 1 },
    };
    let digest = Digest::from_bytes([0; 32]);
    let digests = Digests { model: digest, thresholds: digest, settings: digest };
    let event = InspectionEvent::judged(meta, judgement, stamp);
    let verdict = VerdictMessage::from_event(&station, &event, &digests, 200);
    OutgoingVerdict { verdict, bit: Some(GateBit { bit: RejectBit::Keep, until }) }
}

fn desk() -> Desk {
    let now = SystemTime::UNIX_EPOCH;
    let mut desk =
        Desk::new(Outbox::new(NonZeroUsize::new(10).unwrap()), StateMessage::new(State::Ready, "", now), now);
    desk.connect(now);
    desk
}

/// What goes out for the next part at `now`: whether it is historical, and whether it has a bit.
fn sent(desk: &mut Desk, now: Instant) -> (bool, bool) {
    loop {
        if let LinkMessage::Part { verdict, reject, .. } = desk.next(now).unwrap() {
            let body: serde_json::Value = serde_json::from_slice(&verdict.unwrap()).unwrap();
            return (body["historical"].as_bool().unwrap(), reject.is_some());
        }
    }
}

#[test]
fn next_sends_a_verdict_with_its_bit_until_the_part_has_left_the_gate() {
    let begin = Instant::now();
    let until = begin + Duration::from_millis(700);
    for (now, want) in [
        (begin, (false, true)),
        (until, (false, true)),
        (until + Duration::from_nanos(1), (true, false)),
        (until + Duration::from_secs(9), (true, false)),
    ] {
        let mut desk = desk();
        desk.offer(None, parcel(begin, until));
        assert_eq!(sent(&mut desk, now), want);
        assert_eq!(desk.outbox.in_flight(), 1, "late or not, it is owed until acknowledged");
    }
}

#[test]
fn next_after_an_outage_sends_no_bit_however_young_the_part() {
    let begin = Instant::now();
    let mut desk = desk();
    desk.disconnect(SystemTime::UNIX_EPOCH, "cut".to_owned());
    desk.offer(None, parcel(begin, begin + Duration::from_secs(60)));
    desk.connect(SystemTime::UNIX_EPOCH);
    assert_eq!(sent(&mut desk, begin), (true, false));
}

#[test]
fn next_hands_the_mirror_what_goes_out_and_never_more_than_it_holds() {
    let begin = Instant::now();
    let mut desk = desk();
    let mirror = Arc::new(Mirror::new(StateMessage::new(State::Ready, "", SystemTime::UNIX_EPOCH)));
    desk.mirror = Some(Arc::clone(&mirror));
    for _ in 0..1500 {
        desk.offer(None, parcel(begin, begin));
        sent(&mut desk, begin);
    }
    assert_eq!((desk.snapshot().mirror_lost, mirror.waiting()), (1500 - 1024, 1024));
    assert_eq!(desk.outbox.in_flight(), 1500, "the verdicts themselves are owed");
}

#[test]
fn next_holds_back_what_would_end_the_connection_and_sends_the_bit() {
    let begin = Instant::now();
    let mut desk = desk();
    desk.limit = Some(300);
    desk.connect(SystemTime::UNIX_EPOCH);
    desk.set_state(StateMessage::new(State::Degraded, &"ä".repeat(190), SystemTime::UNIX_EPOCH));
    let Some(LinkMessage::State(state)) = desk.next(begin) else { panic!("no state") };
    assert!((150..160).contains(&state.len()), "{} bytes", state.len());
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    assert!(state["state"] == "degraded" && state["detail"].as_str().unwrap().ends_with("ä…"), "{state}");
    desk.offer(None, parcel(begin, begin + Duration::from_secs(1)));
    let Some(LinkMessage::Part { verdict: None, reject: Some(_), .. }) = desk.next(begin) else {
        panic!("no bit alone")
    };
    assert_eq!((desk.outbox.in_flight(), desk.outbox.queued()), (0, 1), "the verdict is owed");
    assert!(desk.next(begin).is_none(), "and waits");
}
