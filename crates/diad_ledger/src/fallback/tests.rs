use std::fs;

use super::*;
use crate::MissedParts;
use crate::testing::{self, Place, START_MICROS};
use crate::{Entered, Row};

fn entered(seq: u64) -> Entered {
    let Row { key, part, product, captured, deadline_ms, origin, .. } = testing::row(seq);
    Entered { key, part, product, captured, deadline_ms, origin }
}

fn missed(seqs: impl IntoIterator<Item = u64>) -> MissedParts {
    let mut missed = MissedParts::new();
    seqs.into_iter().for_each(|seq| missed.note(&testing::key("cam0", seq), Moment::from_micros(9), "no\tspace"));
    missed
}

fn keys(seqs: impl IntoIterator<Item = u64>) -> BTreeSet<Key> {
    seqs.into_iter().map(|seq| testing::key("cam0", seq)).collect()
}

#[test]
fn part_that_was_decided_without_a_record_gets_no_second_verdict_from_the_next_start() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.commit(&[entered(1), entered(2), entered(3)], &[], &[], &[]).unwrap();
    ledger.slip().unwrap().write(&missed([1, 3, 4]).gaps(), &keys([1, 3])).unwrap();
    drop(ledger);

    let mut ledger = place.open();
    assert_eq!(ledger.taken_up(), 3);
    assert_eq!(ledger.close_entered(Moment::from_micros(START_MICROS)).unwrap(), 1, "only the one without a verdict");
    assert!(ledger.read().part(&testing::key("cam0", 2)).unwrap().is_some());
    let gaps = ledger.read().gaps().unwrap();
    assert_eq!((gaps[0].from, gaps[0].to, gaps[0].parts, &*gaps[0].cause), (1, 4, 3, "no space"));
    assert!(ledger.read().verify().unwrap().is_sound());
    drop(ledger);
    let ledger = place.open();
    assert_eq!((ledger.taken_up(), ledger.read().gaps().unwrap().len()), (0, 1), "once");
}

/// Killed between the record of an outage and the clearing of its slip, or the other way about.
#[test]
fn outage_that_is_on_record_already_is_taken_up_without_a_trace() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.commit(&[entered(1)], &[], &[], &[]).unwrap();
    ledger.slip().unwrap().write(&missed([1]).gaps(), &keys([1])).unwrap();
    let longer = missed([1, 2]).gaps();
    ledger.resume(&testing::context(), &[], &longer).unwrap();
    ledger.record_gaps(&missed([1]).gaps()).unwrap();
    drop(ledger);
    let ledger = place.open();
    assert_eq!(ledger.read().gaps().unwrap().iter().map(|gap| gap.parts).collect::<Vec<_>>(), [2]);
}

#[test]
fn slip_whose_last_writing_was_cut_says_what_the_one_before_said() {
    let place = Place::new();
    let mut ledger = place.open();
    let slip = ledger.slip().unwrap();
    let gaps = [missed([1]).gaps(), missed([1, 2]).gaps(), missed([1, 2, 3]).gaps()];
    for gaps in &gaps {
        slip.write(gaps, &BTreeSet::new()).unwrap();
    }
    let half = (slip.counter % 2) as usize * HALF_BYTES;
    drop(ledger);
    let path = beside(&place.path(), ".slip");
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), 2 * HALF_BYTES);
    for cut in [0, 9, HALF_HEADER_BYTES - 1, HALF_HEADER_BYTES + 20] {
        let mut torn = whole.clone();
        torn[half + cut] ^= 0x20;
        fs::write(&path, &torn).unwrap();
        let (_, outage) = FallbackFile::open(&place.path()).unwrap();
        assert_eq!(outage.gaps[0].parts, 2, "at {cut}");
    }
}

#[test]
fn slip_is_written_over_in_place_and_never_grows() {
    let place = Place::new();
    let mut ledger = place.open();
    // More stretches than there is room for: one stretch takes their place.
    let scattered = keys((0..40_000).map(|number| number * 3 + 1));
    ledger.slip().unwrap().write(&missed([1]).gaps(), &scattered).unwrap();
    assert_eq!(fs::metadata(beside(&place.path(), ".slip")).unwrap().len(), 2 * HALF_BYTES as u64);
    let (_, outage) = FallbackFile::open(&place.path()).unwrap();
    let series = testing::key("cam0", 1).series;
    assert_eq!(outage.decided, [(series, 1, 119_998)]);
    ledger.slip().unwrap().clear().unwrap();
    assert_eq!(FallbackFile::open(&place.path()).unwrap().1, FallbackState::default());
}
