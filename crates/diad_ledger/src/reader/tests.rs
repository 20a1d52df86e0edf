use diad_core::event::Reason;

use super::*;
use crate::testing::{self, Place};

fn seqs(entries: Vec<Entry>) -> Vec<u64> {
    entries.into_iter().map(|entry| entry.unwrap().row.key.seq).collect()
}

#[test]
fn unsent_pages_give_everything_once_in_order_while_acknowledgements_come_in() {
    let place = Place::new();
    let mut ledger = place.open();
    for batch in 0..5 {
        ledger.record(&testing::rows(batch * 1000 + 1..batch * 1000 + 1001)).unwrap();
    }
    let (mut at, mut seen) = (RowId::START, Vec::new());
    loop {
        let page = ledger.read().unsent(at, 64).unwrap();
        assert!(page.len() <= 64);
        let Some(Ok(last)) = page.last() else { break };
        at = last.id;
        // Acknowledged out of order, and some rows behind the cursor only.
        let sent: Vec<_> = page.iter().flatten().step_by(3).map(|stored| testing::sent(stored.id)).collect();
        seen.extend(seqs(page));
        ledger.mark_sent(&sent).unwrap();
    }
    assert_eq!(seen, (1..=5000).collect::<Vec<_>>());
    let rest = ledger.read().unsent_count().unwrap();
    let pages: usize = 5000_usize.div_ceil(64);
    let marked = (0..pages).map(|page| (5000 - page * 64).min(64).div_ceil(3) as u64).sum::<u64>();
    assert_eq!(rest, 5000 - marked);
    assert_eq!(ledger.read().unsent(RowId::START, 10_000).unwrap().len() as u64, rest);
}

/// The cost of a page must not grow with what is kept: each query walks an index, and sorts nothing.
#[test]
fn pages_are_read_through_an_index() {
    let reader = testing::in_memory();
    let plan = |filter: &str, from: &str| {
        // The plan is the same for every value.
        let sql = format!("EXPLAIN QUERY PLAN {}", select(from, filter)).replace('?', "0+");
        let lines = reader.all(&sql, [], |row| row.get::<_, String>(3)).unwrap();
        lines.join("; ")
    };
    for (filter, from, index) in [
        (UNSENT, "parts AS r INDEXED BY parts_owed", "parts_owed"),
        (SPAN, "parts AS r", "parts_by_time"),
        (PART, "parts AS r", "sqlite_autoindex_parts_1"),
        ("r.id > ?1 ORDER BY r.id LIMIT ?2", "parts AS r", "INTEGER PRIMARY KEY"),
        ("r.id < ?1 ORDER BY r.id DESC LIMIT ?2", "parts AS r", "INTEGER PRIMARY KEY"),
    ] {
        let plan = plan(filter, from);
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{filter}: {plan}");
    }
}

#[test]
fn part_is_found_by_its_whole_key() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=3)).unwrap();
    let found = ledger.read().part(&testing::key("cam0", 2)).unwrap().unwrap().unwrap();
    assert_eq!((found.row, found.acknowledged), (testing::row(2), None));
    assert_eq!(ledger.read().part(&testing::key("cam0", 4)).unwrap(), None);
    assert_eq!(ledger.read().part(&testing::key("cam1", 2)).unwrap(), None);
}

#[test]
fn newest_goes_back_page_by_page() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=5)).unwrap();
    let first = ledger.read().newest(None, 2).unwrap();
    let at = first[1].as_ref().unwrap().id;
    assert_eq!(seqs(first), [5, 4]);
    assert_eq!(seqs(ledger.read().newest(Some(at), 2).unwrap()), [3, 2]);
    assert_eq!(seqs(ledger.read().oldest(RowId::START, 2).unwrap()), [1, 2]);
}

#[test]
fn rows_come_in_the_order_of_capture_over_many_pages() {
    let place = Place::new();
    let mut ledger = place.open();
    // Recorded backwards, and every ten of them captured in the same moment.
    let mut rows = testing::rows((1..=1300).rev());
    for row in &mut rows {
        row.captured = Moment::from_micros(testing::START_MICROS + (row.key.seq / 10).cast_signed());
    }
    ledger.record(&rows).unwrap();
    let all = |span| ledger.read().rows(span).map(|entry| entry.unwrap().unwrap().row).collect::<Vec<_>>();
    let everything = all(Span::ALL);
    assert_eq!(everything.len(), 1300);
    assert!(everything.is_sorted_by_key(|row| row.captured));
    let at = |offset| Some(Moment::from_micros(testing::START_MICROS + offset));
    let seqs = |span| {
        let mut seqs: Vec<_> = all(span).into_iter().map(|row| row.key.seq).collect();
        seqs.sort_unstable();
        seqs
    };
    assert_eq!(seqs(Span { since: at(3), until: at(5) }), (30..50).collect::<Vec<_>>());
    assert_eq!(seqs(Span { since: None, until: at(1) }), (1..10).collect::<Vec<_>>());
    assert_eq!(seqs(Span { since: at(130), until: None }), [1300]);
    assert_eq!(seqs(Span { since: at(5), until: at(5) }), Vec::<u64>::new());
}

#[test]
fn a_damaged_row_is_named_and_hides_no_other() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=3)).unwrap();
    ledger.record(&[testing::unjudged(2, Reason::Deadline)]).unwrap();
    // The worst that a flipped bit could do.
    let shell = testing::shell(&ledger);
    shell.execute("UPDATE parts SET verdict = 'REJECT' WHERE seq = 2", []).unwrap();
    shell.execute("UPDATE late SET judged_us = judged_us + 1", []).unwrap();
    let page = ledger.read().unsent(RowId::START, 10).unwrap();
    assert_eq!(page.len(), 3);
    let damaged = page[1].as_ref().unwrap_err();
    assert_eq!((damaged.table, damaged.id), ("parts", RowId(2)));
    assert!(page[0].is_ok() && page[2].is_ok());
    let late = ledger.read().late(RowId::START, 10).unwrap();
    assert_eq!(late[0].as_ref().unwrap_err().table, "late");
}

#[test]
fn rows_whose_series_or_origin_is_gone_are_damaged_not_invisible() {
    for table in ["series", "origins"] {
        let place = Place::new();
        let mut ledger = place.open();
        ledger.record(&testing::rows(1..=3)).unwrap();
        let shell = testing::shell(&ledger);
        shell.execute_batch(&format!("PRAGMA foreign_keys = OFF; DELETE FROM {table}")).unwrap();
        let page = ledger.read().unsent(RowId::START, 10).unwrap();
        assert_eq!(page.iter().filter(|entry| entry.is_err()).count(), 3, "{table}");
        assert!(!ledger.read().verify().unwrap().is_sound());
    }
}

#[test]
fn stats_count_what_is_kept() {
    let place = Place::new();
    let mut ledger = place.open();
    assert_eq!(ledger.read().stats().unwrap().captured, None);
    let outcomes = [(0.1, 3), (0.35, 2), (0.9, 4)];
    let mut rows = Vec::new();
    for (score, count) in outcomes {
        for _ in 0..count {
            rows.push(testing::row_of("cam0", rows.len() as u64 + 1, testing::judged(score, 0.3, 0.38)));
        }
    }
    rows.extend(Reason::ALL.into_iter().zip(10..).map(|(reason, seq)| testing::unjudged(seq, reason)));
    rows.push(testing::unjudged(100, Reason::Camera));
    let parts = rows.len() as u64;
    let ids = testing::firsts(&ledger.record(&rows).unwrap());
    ledger.commit(&[], &[testing::unjudged(1, Reason::Deadline)], &[], &[testing::sent(ids[0])]).unwrap();
    let stats = ledger.read().stats().unwrap();
    assert_eq!((stats.parts, stats.pass, stats.review, stats.reject), (parts, 3, 2, 4));
    let unjudged = Reason::ALL.map(|reason| if reason == Reason::Camera { 2 } else { 1 });
    assert_eq!((stats.unjudged, stats.unjudged_total()), (unjudged, parts - 9));
    assert_eq!((stats.unsent, stats.late, stats.purged), (parts - 1, 1, 0));
    assert_eq!(stats.captured, Some((rows[0].captured, rows[rows.len() - 1].captured)));
    assert!(stats.bytes > 4096);
}

/// People read the ledger with a database shell: they see what receivers saw.
#[test]
fn view_of_verdicts_speaks_the_words_of_the_wire() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&[testing::row(1)]).unwrap();
    let sql = "SELECT line || ' ' || camera || ' ' || seq || ' ' || verdict || ' ' || captured_at || ' ' || judged_at \
               || ' ' || model FROM verdicts";
    let lines = ledger.read().all(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let digest = "01".repeat(32);
    let row = testing::row(1);
    assert_eq!(lines, [format!("L1 cam0 1 PASS {} {} sha256:{digest}", row.captured, row.judged)]);
}
