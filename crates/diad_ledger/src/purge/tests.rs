use diad_core::event::Reason;
use proptest::prelude::*;

use super::*;
use crate::reader::Reader;
use crate::row::RowId;
use crate::testing::{self, Place};

/// The moment between the parts `seq` and `seq + 1`.
fn after(seq: i64) -> Moment {
    Moment::from_micros(testing::START_MICROS + seq * 1_000_000 + 1)
}

fn kept(reader: &Reader) -> Vec<u64> {
    reader.oldest(RowId::START, 10_000).unwrap().into_iter().map(|entry| entry.unwrap().row.key.seq).collect()
}

fn ranges(reader: &Reader) -> Vec<(i64, i64)> {
    reader.all("SELECT from_seq, to_seq FROM purged", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn purge_deletes_what_is_old_and_acknowledged_oldest_first() {
    let place = Place::new();
    let mut ledger = place.open();
    let ids = testing::firsts(&ledger.record(&testing::rows(1..=10)).unwrap());
    // The broker has all but 3 and 10.
    let sent: Vec<_> = [0, 1, 3, 4, 5, 6, 7, 8].map(|at| testing::sent(ids[at])).to_vec();
    ledger.mark_sent(&sent).unwrap();
    assert_eq!(ledger.purge(after(0), 100).unwrap(), 0);
    assert_eq!(ledger.purge(after(6), 3).unwrap(), 3);
    assert_eq!(kept(ledger.read()), [3, 5, 6, 7, 8, 9, 10]);
    assert_eq!(ledger.purge(after(6), 3).unwrap(), 2);
    assert_eq!(ledger.purge(after(6), 3).unwrap(), 0);
    assert_eq!(kept(ledger.read()), [3, 7, 8, 9, 10]);
    assert_eq!(ranges(ledger.read()), [(1, 2), (4, 6)]);
    ledger.mark_sent(&[testing::sent(ids[2])]).unwrap();
    assert_eq!(ledger.purge(after(100), 100).unwrap(), 4);
    assert_eq!(ranges(ledger.read()), [(1, 9)]);
    let report = ledger.read().verify().unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((kept(ledger.read()), ledger.read().stats().unwrap().purged), (vec![10], 9));
}

#[test]
fn purge_takes_late_results_with_their_part() {
    let place = Place::new();
    let mut ledger = place.open();
    let ids = testing::firsts(&ledger.record(&testing::rows(1..=2)).unwrap());
    ledger.record(&[testing::unjudged(1, Reason::Deadline), testing::unjudged(2, Reason::Deadline)]).unwrap();
    ledger.mark_sent(&[testing::sent(ids[0])]).unwrap();
    ledger.purge(after(9), 100).unwrap();
    let late = ledger.read().late(RowId::START, 10).unwrap();
    assert_eq!(late.into_iter().map(|late| late.unwrap().row.key.seq).collect::<Vec<_>>(), [2]);
}

/// The outbox goes on from the last row it saw: a later row must never come before that.
#[test]
fn purge_of_everything_does_not_set_the_row_ids_back() {
    let place = Place::new();
    let mut ledger = place.open();
    let ids = testing::firsts(&ledger.record(&testing::rows(1..=3)).unwrap());
    ledger.mark_sent(&ids.iter().copied().map(testing::sent).collect::<Vec<_>>()).unwrap();
    assert_eq!(ledger.purge(after(9), 100).unwrap(), 3);
    drop(ledger);
    let next = testing::firsts(&place.open().record(&testing::rows(4..=4)).unwrap());
    assert!(next[0] > ids[2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However recording, acknowledging and deleting interleave: what is owed stays, nothing is counted as missing,
    /// and the ranges of what was deleted never overlap or touch.
    #[test]
    fn purge_never_loses_what_is_owed(steps in prop::collection::vec((0..3_u8, 1..30_u64, 1..20_u32), 1..25)) {
        let place = Place::new();
        let mut ledger = place.open();
        let (mut next, mut owed) = (1, Vec::new());
        for (step, number, limit) in steps {
            match step {
                0 => {
                    let rows = testing::rows(next..next + number);
                    next += number;
                    let ids = testing::firsts(&ledger.record(&rows).unwrap());
                    owed.extend(ids.into_iter().zip(rows).map(|(id, row)| (id, row.key.seq)));
                }
                1 => {
                    let every = usize::try_from(number % 3 + 1).unwrap();
                    let sent: Vec<_> = owed.iter().step_by(every).map(|(id, _)| testing::sent(*id)).collect();
                    ledger.mark_sent(&sent).unwrap();
                    owed.retain(|(id, _)| !sent.iter().any(|sent| sent.row == *id));
                }
                _ => drop(ledger.purge(after(next.cast_signed() - number.cast_signed()), limit).unwrap()),
            }
        }
        let unsent = ledger.read().unsent(RowId::START, 10_000).unwrap();
        let unsent: Vec<_> = unsent.into_iter().map(|entry| entry.unwrap()).map(|stored| (stored.id, stored.row.key.seq)).collect();
        prop_assert_eq!(unsent, owed);
        let report = ledger.read().verify().unwrap();
        prop_assert!(report.is_sound(), "{:?}", report);
        let ranges = ranges(ledger.read());
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", ranges);
        let purged: i64 = ranges.iter().map(|(from, to)| to - from + 1).sum();
        prop_assert_eq!(purged.cast_unsigned() + report.rows, next - 1);
    }
}

/// A backlog that is older than anything is kept for must not be looked through again and again.
#[test]
fn what_is_old_is_found_without_looking_at_what_is_owed() {
    let reader = testing::in_memory();
    let plan = format!("EXPLAIN QUERY PLAN {OLDEST}").replace('?', "0+");
    let plan = reader.all(&plan, [], |row| row.get::<_, String>(3)).unwrap().join("; ");
    assert!(plan.contains("parts_kept (captured_us<") && !plan.contains("TEMP B-TREE"), "{plan}");
}
