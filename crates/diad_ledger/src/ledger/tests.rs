use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diad_core::event::{Judgement, Outcome, Reason, WitnessScore};
use diad_core::frame::Roi;
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, PartId, ProductName};
use diad_core::score::Score;
use proptest::prelude::*;

use super::*;
use crate::gap::MissedParts;
use crate::row::{Key, RowProvenance, Timings};
use crate::testing::{self, Place};

fn stored(reader: &Reader, key: &Key) -> Row {
    reader.part(key).unwrap().unwrap().unwrap().row
}

fn unsent(reader: &Reader) -> Vec<u64> {
    reader.unsent(RowId::START, 10_000).unwrap().into_iter().map(|entry| entry.unwrap().row.key.seq).collect()
}

#[test]
fn record_keeps_the_first_verdict_and_what_comes_late_beside_it() {
    let place = Place::new();
    let mut ledger = place.open();
    let first = testing::unjudged(7, Reason::Deadline);
    let late = testing::row(7);
    let [id] = testing::firsts(&ledger.record(std::slice::from_ref(&first)).unwrap())[..] else { panic!() };
    assert_eq!(ledger.record(std::slice::from_ref(&late)).unwrap(), [Recorded::Late(id)]);
    assert_eq!(ledger.record(std::slice::from_ref(&first)).unwrap(), [Recorded::Again(id)]);
    assert_eq!(stored(ledger.read(), &first.key), first);
    let [Ok(kept)] = &ledger.read().late(RowId::START, 10).unwrap()[..] else { panic!() };
    assert_eq!((kept.first, &kept.row), (id, &late));
    assert_eq!(unsent(ledger.read()), [7]);
}

#[test]
fn record_decides_within_one_batch_by_order() {
    let place = Place::new();
    let mut ledger = place.open();
    let rows = [testing::row(1), testing::unjudged(1, Reason::Deadline), testing::row(1), testing::row(2)];
    let recorded = ledger.record(&rows).unwrap();
    let Recorded::First(id) = recorded[0] else { panic!("{recorded:?}") };
    assert_eq!(recorded[1..3], [Recorded::Late(id), Recorded::Again(id)]);
    assert!(matches!(recorded[3], Recorded::First(_)));
}

#[test]
fn record_takes_the_same_number_of_another_camera_or_run_for_another_part() {
    let place = Place::new();
    let mut ledger = place.open();
    let mut rows = vec![testing::row(1), testing::row(1), testing::row(1), testing::row(1)];
    rows[1].key.series.camera = CameraId::try_new("cam1").unwrap();
    rows[2].key.series.run = diad_core::name::RunId::try_new("01JGGZ0000000000000000000B").unwrap();
    rows[3].key.series.station = diad_core::name::StationName::try_new("S2").unwrap();
    let ids: BTreeSet<_> = testing::firsts(&ledger.record(&rows).unwrap()).into_iter().collect();
    assert_eq!(ids.len(), 4);
    for row in &rows {
        assert_eq!(stored(ledger.read(), &row.key), *row);
    }
}

#[test]
fn commit_records_and_marks_at_once() {
    let place = Place::new();
    let mut ledger = place.open();
    let ids = testing::firsts(&ledger.record(&testing::rows(1..=3)).unwrap());
    ledger.commit(&[], &testing::rows(4..=4), &[], &[testing::sent(ids[0]), testing::sent(ids[2])]).unwrap();
    assert_eq!(unsent(ledger.read()), [2, 4]);
    assert_eq!(ledger.read().unsent_count().unwrap(), 2);
    assert_eq!(ledger.commit(&[], &[], &[], &[]).unwrap(), []);
}

#[test]
fn mark_sent_keeps_the_first_time_and_lets_be_what_is_not_there() {
    let place = Place::new();
    let mut ledger = place.open();
    let ids = testing::firsts(&ledger.record(&testing::rows(1..=1)).unwrap());
    let first = testing::sent(ids[0]);
    let second = Sent { at: Moment::from_micros(first.at.micros() + 1), ..first };
    ledger.mark_sent(&[first, second, testing::sent(RowId(4711))]).unwrap();
    ledger.mark_sent(&[second]).unwrap();
    let kept = ledger.read().part(&testing::key("cam0", 1)).unwrap().unwrap().unwrap();
    assert_eq!(kept.acknowledged, Some(first.at));
}

#[test]
fn record_gaps_keeps_what_could_not_be_recorded() {
    let place = Place::new();
    let mut missed = MissedParts::new();
    let at = Moment::from_micros(testing::START_MICROS);
    missed.note(&testing::key("cam0", 5), at, "no space");
    missed.note(&testing::key("cam1", 9), at, "no space");
    let mut ledger = place.open();
    let shell = testing::shell(&ledger);
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    ledger.record_gaps(&missed.gaps()).unwrap_err();
    drop(shell);
    ledger.record_gaps(&missed.gaps()).unwrap();
    ledger.record_gaps(&[]).unwrap();
    assert_eq!(ledger.read().gaps().unwrap(), missed.gaps());
    let stats = ledger.read().stats().unwrap();
    assert_eq!((stats.gaps, stats.missed), (2, 2));
}

fn names() -> impl Strategy<Value = String> {
    "[A-Za-zäß0-9._:@-]{1,32}".prop_filter("not a folder", |name| name != "." && name != "..")
}

fn scores() -> impl Strategy<Value = Score> {
    use prop::num::f32::{NORMAL, POSITIVE, SUBNORMAL, ZERO};
    (POSITIVE | NORMAL | SUBNORMAL | ZERO).prop_map(|value| Score::try_new(value).unwrap())
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let verdict = prop::sample::select(vec![Verdict::Pass, Verdict::Review, Verdict::Reject]);
    let judged = (verdict, scores(), scores(), scores(), any::<u32>(), any::<[u32; 4]>()).prop_map(
        |(verdict, score, one, other, area, [x, y, width, height])| {
            let thresholds = Thresholds::try_new(one.min(other), one.max(other), area).unwrap();
            Outcome::Judged(Judgement { verdict, score, thresholds, region: Roi { x, y, width, height } })
        },
    );
    prop_oneof![judged, prop::sample::select(Reason::ALL.to_vec()).prop_map(Outcome::Unjudged)]
}

fn durations() -> impl Strategy<Value = Duration> {
    (0..=i64::MAX.unsigned_abs()).prop_map(Duration::from_nanos)
}

prop_compose! {
    fn any_row()(
        (camera, seq, part, product) in (names(), any::<u64>(), prop::option::of("[^\0]{1,32}"), prop::option::of(names())),
        source in prop::option::of(".{0,40}"),
        outcome in outcomes(),
        (captured, judged) in (any::<i64>(), any::<i64>()),
        (latency, waited, deadline_ms) in (durations(), prop::option::of(durations()), any::<u32>()),
        stages in prop::array::uniform11(prop::option::of(durations())),
        witnesses in prop::collection::vec(("[a-z:0-9-]{1,20}", scores()), 0..4),
        (model, thresholds, settings) in any::<([u8; 32], [u8; 32], [u8; 32])>(),
        repeat in any::<bool>(),
    ) -> Row {
        Row {
            key: testing::key(&camera, seq),
            part: part.map(|mark| PartId::try_new(&mark).unwrap()),
            product: product.map(|name| ProductName::try_new(&name).unwrap()),
            source: source.map(Into::into),
            outcome,
            captured: Moment::from_micros(captured),
            judged: Moment::from_micros(judged),
            latency,
            deadline_ms,
            origin: RowProvenance { model, thresholds, settings },
            timings: Timings { waited, stages },
            repeat,
            witnesses: witnesses.into_iter().map(|(name, score)| WitnessScore { name: name.into(), score }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn row_reads_back_bit_for_bit(row in any_row()) {
        let reader = testing::in_memory();
        record(reader.connection(), std::slice::from_ref(&row)).unwrap();
        prop_assert_eq!(stored(&reader, &row.key), row);
    }

    /// Whatever comes in whatever order and in whatever batches: the first result of a part is its verdict, each
    /// other one is late or a repeat, and nothing else is kept.
    #[test]
    fn first_verdict_wins_under_any_order(
        results in prop::collection::vec((0..3_u64, 1..8_u64, 0..4_usize), 1..60),
        cuts in prop::collection::vec(1..8_usize, 1..20),
    ) {
        let reader = testing::in_memory();
        let variant = |number: usize| match number {
            0 => Outcome::Unjudged(Reason::Deadline),
            1 => testing::judged(0.1, 0.3, 0.4),
            2 => testing::judged(0.35, 0.3, 0.4),
            _ => testing::judged(0.9, 0.3, 0.4),
        };
        let rows: Vec<Row> = results
            .iter()
            .map(|(camera, seq, number)| testing::row_of(&format!("cam{camera}"), *seq, variant(*number)))
            .collect();
        let mut recorded = Vec::new();
        let mut rest = &rows[..];
        for cut in cuts.iter().cycle() {
            let (batch, more) = rest.split_at((*cut).min(rest.len()));
            recorded.extend(record(reader.connection(), batch).unwrap());
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        let mut verdicts: BTreeMap<&Key, (&Row, RowId)> = BTreeMap::new();
        let mut late = Vec::new();
        for (row, recorded) in rows.iter().zip(&recorded) {
            match (verdicts.get(&row.key), recorded) {
                (None, Recorded::First(id)) => drop(verdicts.insert(&row.key, (row, *id))),
                (Some((first, id)), Recorded::Again(again)) => prop_assert_eq!((*first, id), (row, again)),
                (Some((first, id)), Recorded::Late(of)) => {
                    prop_assert_ne!(*first, row);
                    prop_assert_eq!(id, of);
                    late.push(row.clone());
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        for (key, (row, _)) in &verdicts {
            prop_assert_eq!(&&stored(&reader, key), row);
        }
        let kept: Vec<Row> = reader.late(RowId::START, 1000).unwrap().into_iter().map(|late| late.unwrap().row).collect();
        prop_assert_eq!(kept, late);
        let report = reader.verify().unwrap();
        prop_assert_eq!(report.rows, verdicts.len() as u64);
        prop_assert_eq!(report.damaged.total + report.doubles.total + report.structure.total, 0);
    }
}
