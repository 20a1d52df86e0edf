use super::*;
use crate::testing::{self, Place};

#[test]
fn mark_keeps_the_last_word_and_takes_it_back() {
    let place = Place::new();
    let mut ledger = place.open();
    let ids = testing::firsts(&ledger.record(&testing::rows(1..=3)).unwrap());
    let now = Moment::from_micros(testing::START_MICROS);
    for mark in [Some(Mark::TrueReject), Some(Mark::FalseReject)] {
        assert!(ledger.mark(&testing::row(2).key, mark, now).unwrap());
        assert_eq!(ledger.read().mark(ids[1]).unwrap(), mark);
    }
    assert!(ledger.mark(&testing::row(3).key, Some(Mark::TrueReject), now).unwrap());
    assert_eq!(
        ledger.read().marks().unwrap(),
        [(ids[1], Mark::FalseReject), (ids[2], Mark::TrueReject)].into_iter().collect()
    );
    assert!(ledger.mark(&testing::row(2).key, None, now).unwrap());
    assert_eq!(ledger.read().mark(ids[1]).unwrap(), None);
    assert!(!ledger.mark(&testing::row(9).key, Some(Mark::TrueReject), now).unwrap(), "no such part");
    assert!(ledger.read().verify().unwrap().is_sound());
}

#[test]
fn mark_leaves_with_its_part() {
    let place = Place::new();
    let mut ledger = place.open();
    let ids = testing::firsts(&ledger.record(&testing::rows(1..=2)).unwrap());
    let now = Moment::from_micros(testing::START_MICROS);
    ledger.mark(&testing::row(1).key, Some(Mark::FalseReject), now).unwrap();
    ledger.mark_sent(&[testing::sent(ids[0])]).unwrap();
    assert_eq!(ledger.purge(Moment::from_micros(i64::MAX), 10).unwrap(), 1);
    assert!(ledger.read().marks().unwrap().is_empty());
}
