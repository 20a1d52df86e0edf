use std::time::SystemTime;

use diad_core::frame::{PartKey, PartMeta, Stamp};
use diad_core::name::CameraId;

use super::*;

const DEADLINE: Duration = Duration::from_millis(200);

fn unjudged(reason: Reason, captured: Instant) -> InspectionEvent {
    let at = Stamp { wall: SystemTime::now(), mono: captured };
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq: 1 };
    InspectionEvent::unjudged(PartMeta { key, part: None, product: None, source: None, captured: at }, reason, at)
}

#[test]
fn margin_counts_to_the_record_and_is_negative_where_the_deadline_had_passed() {
    let account = Account::default();
    assert_eq!(account.take_least_margin_ms(), None);
    let captured = Instant::now();
    for (took_ms, over_ms, margin) in [(50, None, 150.0), (200, None, 0.0), (1700, Some(1500), -1500.0)] {
        let recorded = captured + Duration::from_millis(took_ms);
        let over = account.recorded(&unjudged(Reason::Engine, captured), DEADLINE, recorded);
        assert_eq!(over, over_ms.map(Duration::from_millis), "{took_ms} ms");
        assert_eq!(account.take_least_margin_ms(), Some(margin), "{took_ms} ms");
        assert_eq!(account.take_least_margin_ms(), None);
    }
    assert_eq!((account.totals().overdue, account.totals().unjudged), (1, 3));
}

#[test]
fn verdict_that_says_that_its_deadline_has_passed_is_not_overdue_itself() {
    let account = Account::default();
    let captured = Instant::now();
    assert_eq!(account.recorded(&unjudged(Reason::Deadline, captured), DEADLINE, captured + DEADLINE * 2), None);
    assert_eq!((account.totals().overdue, account.take_least_margin_ms()), (0, Some(-200.0)));
}

#[test]
fn balance_finds_a_part_that_is_counted_and_has_neither_verdict_nor_is_open() {
    let account = Account::default();
    (0..3).for_each(|_| account.triggered());
    let mut balance = CounterCheck::default();
    let captured = Instant::now();
    account.recorded(&unjudged(Reason::Engine, captured), DEADLINE, captured);
    account.set_open(2, 0, 3);
    assert_eq!(balance.look(&account.totals()), 0);
    // One is no longer open, and there is no verdict.
    account.set_open(1, 0, 3);
    assert_eq!((balance.look(&account.totals()), account.totals().unaccounted()), (1, 1));
    // Two verdicts for one part.
    for _ in 0..3 {
        account.recorded(&unjudged(Reason::Engine, captured), DEADLINE, captured);
    }
    account.set_open(0, 0, 3);
    assert_eq!(balance.look(&account.totals()), 1);
}

#[test]
fn balance_waits_for_a_part_on_its_way_and_finds_one_that_never_comes() {
    let account = Account::default();
    let mut balance = CounterCheck::default();
    let rounds = || (0..2).for_each(|_| account.set_open(0, 0, 0));
    account.triggered();
    assert_eq!(balance.look(&account.totals()), 0, "it was just triggered");
    assert_eq!(balance.look(&account.totals()), 0, "the record stage has not looked since");
    rounds();
    account.triggered();
    assert_eq!(balance.look(&account.totals()), 0, "another one came");
    rounds();
    assert_eq!(balance.look(&account.totals()), 2);
    // A number that was skipped: in a lane for a moment, or lost.
    account.set_open(1, 1, 1);
    assert_eq!(balance.look(&account.totals()), 0);
    account.set_open(1, 1, 1);
    assert_eq!(balance.look(&account.totals()), 1);
}
