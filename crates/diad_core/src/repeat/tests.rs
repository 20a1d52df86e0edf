use std::time::SystemTime;

use super::*;
use crate::frame::Stamp;

const WITHIN: Duration = Duration::from_secs(5);

struct Gate {
    begin: Instant,
    repeats: Repeats,
}

impl Gate {
    fn new() -> Self {
        Self { begin: Instant::now(), repeats: Repeats::new(WITHIN) }
    }

    fn meta(&self, camera: &str, seq: u64, part: Option<&str>, at_ms: u64) -> PartMeta {
        PartMeta {
            key: PartKey { camera: CameraId::try_new(camera).unwrap(), seq },
            part: part.map(|part| PartId::try_new(part).unwrap()),
            product: None,
            source: None,
            captured: Stamp { wall: SystemTime::UNIX_EPOCH, mono: self.begin + Duration::from_millis(at_ms) },
        }
    }

    fn enter(&mut self, seq: u64, part: &str, at_ms: u64) -> PartMeta {
        let meta = self.meta("cam0", seq, Some(part), at_ms);
        self.repeats.enter(&meta);
        meta
    }

    fn decide(&mut self, meta: &PartMeta, reject: bool) -> (bool, bool) {
        let Ruling { repeat, reject } = self.repeats.decide(meta, reject);
        (repeat, reject)
    }
}

#[test]
fn decide_never_loosens_the_bit_of_a_mark_within_the_time() {
    let mut gate = Gate::new();
    let first = gate.enter(1, "P-77", 0);
    assert_eq!(gate.decide(&first, true), (false, true));
    let again = gate.enter(2, "P-77", 200);
    assert_eq!(gate.decide(&again, false), (true, true), "the first was taken off");
    let other = gate.enter(3, "P-78", 300);
    assert_eq!(gate.decide(&other, false), (false, false));
    let good_twice = gate.enter(4, "P-78", 400);
    assert_eq!(gate.decide(&good_twice, false), (true, false), "both were good");
    let bad_after_good = gate.enter(5, "P-78", 500);
    assert_eq!(gate.decide(&bad_after_good, true), (true, true));
}

#[test]
fn decide_of_a_repeat_before_its_first_part_takes_both_off() {
    let mut gate = Gate::new();
    let (first, again) = (gate.enter(1, "P-77", 0), gate.enter(2, "P-77", 10));
    assert_eq!(gate.decide(&again, false), (true, true), "nobody knows what the first will be");
    assert_eq!(gate.decide(&first, false), (false, true), "its bit would be the last, and looser");
}

#[test]
fn enter_after_the_time_is_a_part_of_its_own() {
    let mut gate = Gate::new();
    let first = gate.enter(1, "carrier-3", 0);
    assert_eq!(gate.decide(&first, true), (false, true));
    let in_time = gate.enter(2, "carrier-3", 5000);
    assert_eq!(gate.decide(&in_time, false), (true, true));
    // From the first part, not from its repeats.
    let later = gate.enter(3, "carrier-3", 5001);
    assert_eq!(gate.decide(&later, false), (false, false));
}

#[test]
fn decide_keeps_cameras_and_parts_without_a_mark_apart() {
    let mut gate = Gate::new();
    let first = gate.enter(1, "P-77", 0);
    assert_eq!(gate.decide(&first, true), (false, true));
    for (camera, part) in [("cam1", Some("P-77")), ("cam0", None), ("cam0", None)] {
        let meta = gate.meta(camera, 9, part, 10);
        gate.repeats.enter(&meta);
        assert_eq!(gate.decide(&meta, false), (false, false), "{camera} {part:?}");
    }
}

#[test]
fn recall_makes_the_first_part_of_a_run_a_repeat_of_the_last_run() {
    let mut gate = Gate::new();
    let (camera, part) = (CameraId::try_new("cam0").unwrap(), PartId::try_new("P-77").unwrap());
    gate.repeats.recall(camera.clone(), part.clone(), gate.begin, false);
    gate.repeats.recall(camera, part, gate.begin + Duration::from_millis(50), true);
    let again = gate.enter(1, "P-77", 3000);
    assert_eq!(gate.decide(&again, false), (true, true));
}

#[test]
fn forget_bounds_what_is_remembered() {
    let mut gate = Gate::new();
    for seq in 1..=MARKS as u64 + 10 {
        gate.enter(seq, &format!("P-{seq}"), 0);
    }
    gate.repeats.forget(gate.begin);
    assert_eq!((gate.repeats.marks.len(), gate.repeats.order.len()), (MARKS, MARKS));
    let late = gate.enter(1_000_000, "P-late", 3000);
    gate.repeats.forget(gate.begin + WITHIN + Duration::from_millis(1));
    assert_eq!((gate.repeats.marks.len(), gate.repeats.order.len()), (1, 1));
    assert_eq!(gate.decide(&late, false), (false, false));
}
