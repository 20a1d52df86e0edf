use diad_core::event::Reason;
use rusqlite::params_from_iter;
use rusqlite::types::ToSqlOutput;

use super::*;
use crate::cells::{Cells, OWN};
use crate::testing::{self, Place};
use crate::{Ledger, Mark, Reader, Recorded, Row, RowId, Span, catalogue};

/// Columns of `OWN` that version 2 had.
const OF_VERSION_2: usize = 27;

fn text(conn: &Connection, sql: &str) -> String {
    conn.query_row(sql, [], |row| row.get_ref(0).map(|value| value.as_str().map(str::to_owned))).unwrap().unwrap()
}

fn version(conn: &Connection) -> i64 {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[test]
fn migrate_runs_the_steps_that_are_missing_and_only_those() {
    let steps = ["CREATE TABLE a (x INTEGER) STRICT", "ALTER TABLE a ADD COLUMN y TEXT", "CREATE INDEX i ON a (y)"];
    let mut conn = Connection::open_in_memory().unwrap();
    for (known, from) in [(1, 0), (1, 1), (3, 1), (3, 3)] {
        migrate(&mut conn, &steps[..known], from).unwrap();
        assert_eq!(version(&conn), i64::try_from(known).unwrap());
    }
    conn.execute("INSERT INTO a (x, y) VALUES (1, 'b')", []).unwrap();
    // A database of a newer program is left as it is.
    migrate(&mut conn, &steps[..2], 3).unwrap();
    assert_eq!(version(&conn), 3);
}

#[test]
fn migrate_that_fails_half_way_leaves_the_old_version() {
    let mut conn = Connection::open_in_memory().unwrap();
    migrate(&mut conn, &["CREATE TABLE a (x INTEGER) STRICT"], 0).unwrap();
    let broken =
        ["", "ALTER TABLE a ADD COLUMN y TEXT; CREATE TABLE b (x INTEGER) STRICT", "ALTER TABLE c ADD COLUMN y"];
    migrate(&mut conn, &broken, 1).unwrap_err();
    assert_eq!(version(&conn), 1);
    assert_eq!(text(&conn, "SELECT group_concat(name) FROM sqlite_schema"), "a");
    conn.prepare("SELECT y FROM a").unwrap_err();
}

#[test]
fn open_sets_up_a_log_that_is_synced_at_every_commit() {
    let place = Place::new();
    let conn = open_writer(&place.path()).unwrap();
    assert_eq!(text(&conn, "PRAGMA journal_mode"), "wal");
    assert_eq!(conn.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    assert_eq!(version(&conn), i64::from(VERSION));
    drop(conn);
    open_writer(&place.path()).unwrap();
}

/// What version 2 wrote is read as it was written, and a repeat beside it as one.
#[test]
fn open_takes_over_the_rows_of_an_older_version() {
    let place = Place::new();
    let mut old = Connection::open(place.path()).unwrap();
    migrate(&mut old, &MIGRATIONS[..2], 0).unwrap();
    let row = testing::row(1);
    let cells = Cells::of_row(&row, None);
    let series = catalogue::series_id(&old, &row.key.series).unwrap();
    let origin = catalogue::origin_id(&old, &row.origin).unwrap();
    let names = &OWN[..OF_VERSION_2];
    let marks = vec!["?"; names.len() + 3].join(", ");
    let sql = format!("INSERT INTO parts ({}, series, origin, crc32) VALUES ({marks})", names.join(", "));
    let ids = [series, origin, i64::from(cells.checksum())].map(ToSqlOutput::from);
    old.execute(&sql, params_from_iter(cells.own().take(names.len()).chain(ids))).unwrap();
    drop(old);

    let mut ledger = place.open();
    let repeat = Row { repeat: true, ..testing::row(2) };
    ledger.record(std::slice::from_ref(&repeat)).unwrap();
    let rows: Vec<_> = ledger.read().oldest(RowId::START, 9).unwrap().into_iter().map(|r| r.unwrap().row).collect();
    assert_eq!(rows, [row, repeat]);
    assert!(ledger.read().verify().unwrap().is_sound());
    assert_eq!(text(ledger.read().connection(), "SELECT group_concat(repeat) FROM verdicts"), "0,1");
}

/// A ledger that the program wrote when version 4 was the newest, with rows in every table: nothing of it is lost, and from
/// now on all of it is sealed.
#[test]
fn open_takes_over_a_file_of_version_4_and_seals_it() {
    let place = Place::new();
    std::fs::write(place.path(), include_bytes!("version_4.sqlite3")).unwrap();
    let error = Reader::open(&place.path()).unwrap_err();
    assert!(matches!(error, LedgerError::OlderSchema { found: 4, .. }), "{error:?}");
    let mut ledger = place.open();
    let report = ledger.read().verify().unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.rows, report.late, report.unsent, report.open, report.gaps.len()), (10, 1, 6, 1, 1));
    assert_eq!(report.unjudged[Reason::LateTrigger as usize], 1);
    let rows: Vec<_> = ledger.read().rows(Span::ALL).map(|row| row.unwrap().unwrap()).collect();
    assert_eq!((&rows[0].row, rows[0].acknowledged), (&testing::row(3), Some(testing::sent(RowId(3)).at)));
    let marks = ledger.read().marks().unwrap();
    assert_eq!(marks.values().collect::<Vec<_>>(), [&Mark::TrueReject, &Mark::FalseReject]);
    let (line, station) = (testing::context().line, testing::context().station);
    let (product, _) = ledger.read().product_in_force(&line, &station).unwrap().unwrap();
    assert_eq!(product.unwrap().as_str(), "washer");

    // A row of before that is acknowledged now, and one that is made now: both times are covered.
    let owed = ledger.read().unsent(RowId::START, 1).unwrap().remove(0).unwrap().id;
    let new = testing::firsts(&ledger.record(&[testing::row(14)]).unwrap())[0];
    ledger.mark_sent(&[testing::sent(owed), testing::sent(new)]).unwrap();
    assert_eq!(ledger.close_entered(testing::sent(new).at).unwrap(), 1);
    assert!(ledger.read().verify().unwrap().is_sound());
    let shell = testing::shell(&ledger);
    for (damaged, change) in [
        (1, format!("UPDATE parts SET acknowledged_us = acknowledged_us + 1 WHERE id = {}", owed.number())),
        (2, format!("UPDATE parts SET acknowledged_us = acknowledged_us + 1 WHERE id = {}", new.number())),
        (3, "UPDATE purged SET to_seq = to_seq + 1".to_owned()),
        (4, "UPDATE marks SET mark = 'false_reject' WHERE mark = 'true_reject'".to_owned()),
        (5, "UPDATE in_force SET product = 'gear'".to_owned()),
    ] {
        shell.execute(&change, []).unwrap();
        assert_eq!(ledger.read().verify().unwrap().damaged.total, damaged, "{change}");
    }
    drop((shell, ledger));
    let error = Ledger::open(&place.path()).unwrap_err();
    assert!(error.to_string().contains("is damaged; move it aside"), "{error}");
}

#[test]
fn open_refuses_a_newer_schema_and_a_reader_an_older_one() {
    let place = Place::new();
    drop(place.open());
    let set = |version: u32| {
        Connection::open(place.path()).unwrap().pragma_update(None, "user_version", version).unwrap();
    };
    set(VERSION + 1);
    for error in [open_writer(&place.path()).unwrap_err(), open_reader(&place.path()).unwrap_err()] {
        let LedgerError::NewerSchema { found, known, path } = error else { panic!("{error:?}") };
        assert_eq!((found, known, path), (VERSION + 1, VERSION, place.path()));
    }
    set(VERSION - 1);
    let error = open_reader(&place.path()).unwrap_err();
    assert!(matches!(error, LedgerError::OlderSchema { .. }), "{error:?}");
}

#[test]
fn rows_of_the_version_before_witnesses_read_back_after_the_migration() {
    let place = Place::new();
    let row = testing::row(1);
    let mut conn = Connection::open(place.path()).unwrap();
    migrate(&mut conn, &MIGRATIONS[..2], 0).unwrap();
    let cells = Cells::of_row(&row, None);
    let series = catalogue::series_id(&conn, &row.key.series).unwrap();
    let ids = [series, catalogue::origin_id(&conn, &row.origin).unwrap(), i64::from(cells.checksum())];
    let names = OWN[..OF_VERSION_2].join(", ");
    let sql =
        format!("INSERT INTO parts ({names}, series, origin, crc32) VALUES ({})", ["?"; OF_VERSION_2 + 3].join(", "));
    conn.execute(&sql, params_from_iter(cells.own().take(OF_VERSION_2).chain(ids.map(ToSqlOutput::from)))).unwrap();
    drop(conn);

    let mut ledger = place.open();
    let read = |ledger: &Ledger| -> Vec<Row> {
        ledger.read().rows(Span::ALL).map(|stored| stored.unwrap().unwrap().row).collect()
    };
    assert_eq!(read(&ledger), std::slice::from_ref(&row));
    let joined = testing::joined_row(2);
    testing::firsts(&ledger.record(std::slice::from_ref(&joined)).unwrap());
    assert_eq!(read(&ledger), [row, joined]);
    assert!(matches!(ledger.record(&[testing::joined_row(2)]).unwrap()[..], [Recorded::Again(_)]));
}

#[test]
fn open_refuses_a_database_of_another_program() {
    for sql in ["CREATE TABLE theirs (x)", "PRAGMA application_id = 42", "PRAGMA user_version = 7"] {
        let place = Place::new();
        Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(place.path()).unwrap();
        for error in [open_writer(&place.path()).unwrap_err(), open_reader(&place.path()).unwrap_err()] {
            assert!(matches!(error, LedgerError::Foreign { .. }), "{sql}: {error:?}");
        }
        assert_eq!(std::fs::read(place.path()).unwrap(), before, "{sql}");
    }
}

#[test]
fn open_refuses_a_file_that_is_no_database() {
    let place = Place::new();
    std::fs::write(place.path(), "verdicts, in plain text. ".repeat(1000)).unwrap();
    for error in [open_writer(&place.path()).unwrap_err(), open_reader(&place.path()).unwrap_err()] {
        assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(&*place.path().to_string_lossy()) && message.contains("move it aside"), "{message}");
    }
}

#[test]
fn open_reader_makes_no_ledger() {
    let place = Place::new();
    let error = open_reader(&place.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Missing { .. }), "{error:?}");
    assert!(!place.path().exists());
}

/// One list of columns serves both tables.
#[test]
fn late_results_have_every_column_of_verdicts() {
    let ledger = testing::in_memory();
    let columns = |table| {
        let sql = format!("SELECT name, type, \"notnull\" FROM pragma_table_info('{table}')");
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?));
        ledger.all(&sql, [], read).unwrap()
    };
    let own = |name: &str| !["acknowledged_us", "first_id"].contains(&name);
    let parts: Vec<_> = columns("parts").into_iter().filter(|(name, ..)| own(name)).collect();
    let late: Vec<_> = columns("late").into_iter().filter(|(name, ..)| own(name)).collect();
    assert_eq!(parts, late);
    assert!(OWN.iter().all(|name| parts.iter().any(|(known, ..)| known == name)));
}

/// A definition that still reads, but not as it was written, would refuse or take other rows.
#[test]
fn open_refuses_a_changed_definition_and_a_reader_saves_what_it_can() {
    let place = Place::new();
    place.open().record(&testing::rows(1..=2)).unwrap();
    let bytes = std::fs::read(place.path()).unwrap();
    let mut changed = bytes.clone();
    // The definition of `parts`, and what earlier versions of it have left in free pages.
    for (at, _) in bytes.windows(8).enumerate().filter(|(_, window)| window == b"'REVIEW'") {
        changed[at + 1] = b'S';
    }
    std::fs::write(place.path(), changed).unwrap();
    let error = Ledger::open(&place.path()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(matches!(error, LedgerError::Damaged { .. }) && source.contains("the definition of table "), "{error:?}");
    let reader = Reader::open(&place.path()).unwrap();
    assert_eq!(reader.rows(Span::ALL).filter(|row| row.as_ref().is_ok_and(Result::is_ok)).count(), 2);
    let report = reader.verify().unwrap();
    assert!(!report.is_sound() && report.structure.listed[0].contains("the definition of table "), "{report:?}");
}
