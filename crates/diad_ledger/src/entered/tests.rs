use diad_core::event::Reason;

use super::*;
use crate::MissedParts;
use crate::testing::{self, Place, START_MICROS};

fn entered(seq: u64) -> Entered {
    let row = testing::row(seq);
    let Row { key, part, product, captured, deadline_ms, origin, .. } = row;
    Entered { key, part, product, captured, deadline_ms, origin }
}

#[test]
fn close_entered_gives_each_part_without_a_verdict_its_one_verdict() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.commit(&[entered(1), entered(2), entered(3)], &[], &[], &[]).unwrap();
    ledger.commit(&[entered(4)], &testing::rows([2]), &[], &[]).unwrap();
    drop(ledger);

    let mut ledger = place.open();
    let now = Moment::from_micros(START_MICROS + 60_000_000);
    assert_eq!(ledger.close_entered(now).unwrap(), 3);
    assert_eq!(ledger.close_entered(now).unwrap(), 0);
    for seq in [1, 3, 4] {
        let row = ledger.read().part(&testing::key("cam0", seq)).unwrap().unwrap().unwrap().row;
        assert_eq!(row.outcome, Outcome::Unjudged(Reason::Shutdown));
        assert_eq!((row.judged, row.latency), (now, Duration::from_secs(60 - seq)));
        assert_eq!((row.part, row.product, row.origin), (entered(seq).part, entered(seq).product, testing::origin(1)));
    }
    let second = ledger.read().part(&testing::key("cam0", 2)).unwrap().unwrap().unwrap();
    assert_eq!(second.row, testing::row(2));
    assert!(ledger.read().verify().unwrap().is_sound());
    assert_eq!(ledger.read().unsent_count().unwrap(), 4);
}

#[test]
fn commit_of_a_verdict_and_of_its_entry_in_either_order_leaves_no_entry() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.commit(&[entered(1)], &testing::rows([1]), &[], &[]).unwrap();
    ledger.commit(&[], &testing::rows([2]), &[], &[]).unwrap();
    ledger.commit(&[entered(2)], &[], &[], &[]).unwrap();
    assert_eq!(ledger.close_entered(Moment::from_micros(START_MICROS)).unwrap(), 0);
}

#[test]
fn close_entered_goes_over_many_pages_and_a_clock_that_went_back() {
    let place = Place::new();
    let mut ledger = place.open();
    let many: Vec<_> = (1..=u64::from(ROWS_PER_TRANSACTION) * 2).map(entered).collect();
    ledger.commit(&many, &[], &[], &[]).unwrap();
    assert_eq!(ledger.close_entered(Moment::from_micros(0)).unwrap(), many.len() as u64);
    let row = ledger.read().part(&testing::key("cam0", 7)).unwrap().unwrap().unwrap().row;
    assert_eq!(row.latency, Duration::ZERO);
}

#[test]
fn resume_keeps_gaps_and_forgets_who_got_a_verdict_elsewhere() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.commit(&[entered(1), entered(2), entered(3)], &[], &[], &[]).unwrap();
    // 1 and 2 got their verdicts while nothing could be written; 3 is still open.
    let mut missed = MissedParts::new();
    [1, 2].into_iter().for_each(|seq| missed.note(&testing::key("cam0", seq), Moment::from_micros(9), "no space"));
    ledger.resume(&testing::context(), &[entered(3)], &missed.gaps()).unwrap();
    assert_eq!(ledger.read().gaps().unwrap(), missed.gaps());
    assert_eq!(ledger.close_entered(Moment::from_micros(START_MICROS)).unwrap(), 1);
    assert!(ledger.read().verify().unwrap().is_sound());
    assert_eq!(ledger.read().stats().unwrap().runs, 1, "the run is known in a file that did not see it start");
}

#[test]
fn late_result_is_kept_beside_a_verdict_and_never_becomes_one() {
    let place = Place::new();
    let mut ledger = place.open();
    let late = testing::rows([1, 2]);
    ledger.commit(&[entered(2)], &[testing::unjudged(1, Reason::Deadline)], &late, &[]).unwrap();
    // The verdict of 2 could not be written; what comes late for it says nothing.
    let stats = ledger.read().stats().unwrap();
    assert_eq!((stats.parts, stats.late, stats.open, stats.unsent), (1, 1, 1, 1));
    assert!(ledger.read().part(&testing::key("cam0", 2)).unwrap().is_none());
}
