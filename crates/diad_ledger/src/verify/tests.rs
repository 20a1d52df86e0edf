use diad_core::event::Reason;

use super::*;
use crate::ledger::flip_tests;
use crate::testing::{self, Place};
use crate::{Entered, MissedParts, Moment, Row};

fn missing(report: &Report) -> Vec<(u64, u64, u64)> {
    report.missing.listed.iter().map(|missing| (missing.from, missing.to, missing.parts)).collect()
}

#[test]
fn verify_finds_a_whole_ledger_sound() {
    let place = Place::new();
    let mut ledger = place.open();
    let ids = testing::firsts(&ledger.record(&testing::rows((1..=2500).rev())).unwrap());
    ledger.record(&[testing::unjudged(3, Reason::Deadline)]).unwrap();
    ledger.mark_sent(&[testing::sent(ids[0])]).unwrap();
    let report = ledger.read().verify().unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.rows, report.late, report.unsent), (2500, 1, 2499));
}

#[test]
fn verify_names_the_parts_that_are_missing() {
    let place = Place::new();
    let mut ledger = place.open();
    let other = testing::row_of("cam1", 1, testing::judged(0.1, 0.3, 0.4));
    ledger.record(&testing::rows([3, 4, 8, 2000])).unwrap();
    ledger.record(&[other]).unwrap();
    let report = ledger.read().verify().unwrap();
    assert!(!report.is_sound());
    assert_eq!(missing(&report), [(1, 2, 2), (5, 7, 3), (9, 1999, 1991)]);
    assert!(report.missing.listed.iter().all(|missing| missing.series == testing::key("cam0", 1).series));
}

#[test]
fn verify_beside_a_daemon_takes_open_parts_as_what_they_are() {
    let place = Place::new();
    let mut ledger = place.open();
    let Row { key, part, product, captured, deadline_ms, origin, .. } = testing::row(2);
    let entered = Entered { key, part, product, captured, deadline_ms, origin };
    ledger.commit(&[entered], &testing::rows([1, 3, 5]), &[], &[]).unwrap();
    let report = ledger.read().verify().unwrap();
    assert_eq!((missing(&report), report.open), (vec![(4, 4, 1)], 1));
    assert_eq!(ledger.read().stats().unwrap().open, 1);
    ledger.record(&testing::rows([2, 4])).unwrap();
    let report = ledger.read().verify().unwrap();
    assert!(report.is_sound() && report.open == 0, "{report:?}");
}

#[test]
fn verify_lists_the_first_findings_and_counts_all() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows((1..=3000).map(|half| half * 2))).unwrap();
    let report = ledger.read().verify().unwrap();
    assert_eq!((report.missing.total, report.missing.listed.len()), (3000, MAX_LISTED_FAULTS));
}

#[test]
fn verify_takes_parts_of_a_gap_on_record_as_explained_each_once() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows([1, 2, 6, 9, 12])).unwrap();
    let at = Moment::from_micros(testing::START_MICROS);
    let mut missed = MissedParts::new();
    // 3 to 5 and 7 to 8 are missing in the range, but only four are on record.
    [3, 4, 5, 8].into_iter().for_each(|seq| missed.note(&testing::key("cam0", seq), at, "no space"));
    ledger.record_gaps(&missed.gaps()).unwrap();
    let report = ledger.read().verify().unwrap();
    assert_eq!(missing(&report), [(7, 8, 1), (10, 11, 2)]);
    assert_eq!(report.gaps, missed.gaps());
    ledger.record(&testing::rows([7, 10, 11])).unwrap();
    assert!(ledger.read().verify().unwrap().is_sound());
}

#[test]
fn verify_names_damaged_rows_of_both_tables() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=9)).unwrap();
    ledger.record(&[testing::unjudged(3, Reason::Deadline), testing::unjudged(4, Reason::Deadline)]).unwrap();
    let shell = testing::shell(&ledger);
    for (sql, faults) in [
        ("UPDATE parts SET score = 0.9 WHERE seq = 5", 1),
        ("UPDATE parts SET crc32 = crc32 + 1 WHERE seq = 6", 2),
        ("UPDATE late SET reason = 'camera' WHERE seq = 4", 3),
        ("UPDATE parts SET acknowledged_us = 1 WHERE seq = 7", 4),
        ("UPDATE series SET station = 'S2'", 11),
    ] {
        shell.execute(sql, []).unwrap();
        let report = ledger.read().verify().unwrap();
        assert_eq!(report.damaged.total, faults, "{sql}");
        assert!(!report.is_sound());
    }
}

/// A value that is changed together with its indexes, so that the database finds nothing wrong with itself.
#[test]
fn verify_sees_a_change_of_every_column_of_every_table() {
    let place = Place::new();
    let ids = {
        let mut ledger = place.open();
        flip_tests::fill(&mut ledger);
        ledger.read().oldest(RowId::START, 99).unwrap().len()
    };
    assert!(ids > 5);
    let sound = std::fs::read(place.path()).unwrap();
    let columns = "SELECT t.name, c.name, c.type, c.hidden FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c \
                   WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'";
    let columns: Vec<(String, String, String, i64)> = Reader::open(&place.path())
        .unwrap()
        .all(columns, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap();
    assert!(columns.len() > 100, "{columns:?}");
    for (table, column, kind, hidden) in columns {
        // Numbers that SQLite gives: the indexes hold them as well. A generated column is not kept.
        if column == "id" || hidden != 0 {
            continue;
        }
        std::fs::write(place.path(), &sound).unwrap();
        let shell = rusqlite::Connection::open(place.path()).unwrap();
        let other = match kind.as_str() {
            "TEXT" => format!("ifnull({column}, '') || 'x'"),
            "REAL" => format!("ifnull({column}, 0) + 0.5"),
            "BLOB" => "randomblob(32)".to_owned(),
            _ => format!("ifnull({column}, 0) + 1000"),
        };
        let row = format!("SELECT {column} FROM {table} ORDER BY {column} LIMIT 1");
        shell
            .execute_batch(&format!(
                "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF; \
                 UPDATE {table} SET {column} = {other} WHERE {column} IS ({row})"
            ))
            .unwrap();
        drop(shell);
        let report = Reader::open(&place.path()).unwrap().verify().unwrap();
        assert!(report.damaged.total > 0, "{table}.{column}: {report:?}");
    }
}

#[test]
fn verify_says_what_the_database_says_of_itself() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=9)).unwrap();
    let shell = testing::shell(&ledger);
    shell
        .execute_batch("PRAGMA ignore_check_constraints = ON; UPDATE parts SET verdict = 'FINE' WHERE seq = 5")
        .unwrap();
    let report = ledger.read().verify().unwrap();
    assert!(report.structure.listed[0].contains("CHECK"), "{:?}", report.structure);
    assert_eq!(report.damaged.total, 1);
}

/// The key is unique in every ledger of ours; in one that lost that rule, doubles are found.
#[test]
fn verify_names_a_part_with_two_verdicts() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=3)).unwrap();
    let shell = testing::shell(&ledger);
    let columns = "series, seq, verdict, score, review_at, reject_at, min_area_px, x_px, y_px, width_px, height_px, \
                   captured_us, judged_us, latency_ns, deadline_ms, origin, crc32";
    shell
        .execute_batch(&format!(
            "PRAGMA foreign_keys = OFF; DROP VIEW verdicts; CREATE TABLE copy AS SELECT * FROM parts; DROP TABLE parts; \
             ALTER TABLE copy RENAME TO parts; \
             CREATE INDEX parts_owed ON parts (id) WHERE acknowledged_us IS NULL; \
             INSERT INTO parts (id, {columns}) SELECT 9, {columns} FROM parts WHERE seq = 2;"
        ))
        .unwrap();
    drop((shell, ledger));
    let report = Reader::open(&place.path()).unwrap().verify().unwrap();
    assert_eq!((report.doubles.total, &report.doubles.listed[..]), (1, &[testing::key("cam0", 2)][..]));
}
