//! Opening, and what goes wrong with files.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};

use super::*;
use crate::testing::{self, Place};

fn copy_to(from: &Place, to: &Place) {
    for suffix in ["", "-wal"] {
        fs::copy(beside(&from.path(), suffix), beside(&to.path(), suffix)).unwrap();
    }
}

fn numbers(ledger: &Ledger) -> Vec<u64> {
    ledger.read().oldest(RowId::START, 100_000).unwrap().into_iter().map(|entry| entry.unwrap().row.key.seq).collect()
}

#[test]
fn open_again_finds_everything_that_was_recorded() {
    let place = Place::new();
    let ids = testing::firsts(&place.open().record(&testing::rows(1..=5)).unwrap());
    place.open().mark_sent(&[testing::sent(ids[0])]).unwrap();
    let ledger = place.open();
    assert_eq!(numbers(&ledger), [1, 2, 3, 4, 5]);
    assert_eq!(ledger.read().unsent_count().unwrap(), 4);
}

/// What a power cut leaves: the files as they are between two commits, closed by nobody.
#[test]
fn open_after_a_power_cut_finds_every_batch_that_was_committed() {
    let place = Place::new();
    let mut ledger = place.open();
    for batch in 0..40 {
        let first = batch * 8 + 1;
        ledger.record(&testing::rows(first..first + 8)).unwrap();
        let after = Place::new();
        copy_to(&place, &after);
        let after = after.open();
        assert_eq!(numbers(&after), (1..first + 8).collect::<Vec<_>>());
        assert!(after.read().verify().unwrap().is_sound());
    }
}

/// What a power cut in the middle of a commit leaves: a log that ends anywhere.
#[test]
fn open_with_a_log_cut_anywhere_finds_whole_batches_in_order() {
    let place = Place::new();
    let mut ledger = place.open();
    for batch in 0..12 {
        ledger.record(&testing::rows(batch * 5 + 1..batch * 5 + 6)).unwrap();
    }
    let log = fs::metadata(beside(&place.path(), "-wal")).unwrap().len();
    let mut found = Vec::new();
    for step in 0..48 {
        let after = Place::new();
        copy_to(&place, &after);
        let cut = OpenOptions::new().write(true).open(beside(&after.path(), "-wal")).unwrap();
        // Off every boundary: pages are 4,096 bytes, frames 24 more.
        cut.set_len(log * step / 48 + step % 7).unwrap();
        let after = after.open();
        let numbers = numbers(&after);
        assert_eq!(numbers.len() % 5, 0);
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        found.push(numbers.len());
    }
    assert!(found.is_sorted() && found[0] == 0 && found[47] > 40, "{found:?}");
}

#[test]
fn open_refuses_a_ledger_that_another_one_writes() {
    let place = Place::new();
    let first = place.open();
    let by_link = place.folder().join("by-link.sqlite3");
    std::os::unix::fs::symlink(place.path(), &by_link).unwrap();
    for path in [place.path(), by_link, place.folder().join("./ledger.sqlite3")] {
        let error = Ledger::open(&path).unwrap_err();
        let LedgerError::Locked { holder, .. } = error else { panic!("{error:?}") };
        assert_eq!(holder, Some(std::process::id()));
    }
    let message = Ledger::open(&place.path()).unwrap_err().to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    Reader::open(&place.path()).unwrap();
    drop(first);
    place.open();
}

#[test]
fn open_refuses_a_ledger_that_a_shell_keeps_busy() {
    let place = Place::new();
    let shell = testing::shell(&place.open());
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = Ledger::open(&place.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Busy { .. }), "{error:?}");
    drop(shell);
    place.open();
}

#[test]
fn open_refuses_a_folder_that_is_not_there_or_takes_no_files() {
    let place = Place::new();
    for path in [place.folder().join("missing/ledger.sqlite3"), PathBuf::from("/proc/ledger.sqlite3")] {
        let error = Ledger::open(&path).unwrap_err();
        assert!(matches!(error, LedgerError::Folder { .. }), "{path:?}: {error:?}");
        assert!(error.to_string().contains(&*path.to_string_lossy()));
    }
}

#[test]
fn open_refuses_what_may_not_be_written() {
    let place = Place::new();
    drop(place.open());
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&place.path(), 0o444);
    // Nothing is forbidden to root; then the ledger has to work.
    let is_root = OpenOptions::new().append(true).open(place.path()).is_ok();
    match Ledger::open(&place.path()) {
        Ok(mut ledger) => assert!(is_root && ledger.record(&testing::rows(1..=1)).is_ok()),
        Err(error) => assert!(!is_root && matches!(error, LedgerError::ReadOnly { .. }), "{error:?}"),
    }
    allow(&place.path(), 0o644);
    fs::remove_file(beside(&place.path(), ".lock")).unwrap();
    allow(&place.folder(), 0o555);
    let opened = Ledger::open(&place.path());
    allow(&place.folder(), 0o755);
    match opened {
        Ok(_) => assert!(is_root),
        Err(error) => assert!(!is_root && matches!(error, LedgerError::Folder { .. }), "{error:?}"),
    }
}

#[test]
fn open_refuses_a_file_whose_newest_rows_are_damaged() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=3)).unwrap();
    testing::shell(&ledger).execute("UPDATE parts SET score = 0.25 WHERE seq = 2", []).unwrap();
    drop(ledger);
    let error = Ledger::open(&place.path()).unwrap_err();
    assert!(matches!(&error, LedgerError::DamagedRow { source, .. } if source.id == RowId(2)), "{error:?}");
    assert!(error.to_string().contains("move it aside"));
    // A reader still gets at the others.
    let reader = Reader::open(&place.path()).unwrap();
    assert_eq!(reader.rows(crate::Span::ALL).filter(|entry| matches!(entry, Ok(Ok(_)))).count(), 2);
}

/// A disk that loses pages, at several places: either it is refused, or what it says is true.
#[test]
fn open_of_a_file_with_a_page_of_noise_never_invents_a_verdict() {
    let place = Place::new();
    let rows = testing::rows(1..=400);
    place.open().record(&rows).unwrap();
    let pages = fs::metadata(place.path()).unwrap().len() / 4096;
    let mut refused = 0;
    for page in 0..pages {
        let damaged = Place::new();
        fs::copy(place.path(), damaged.path()).unwrap();
        let file = OpenOptions::new().write(true).open(damaged.path()).unwrap();
        file.write_all_at(&[0xa5; 4096], page * 4096).unwrap();
        let error = match Ledger::open(&damaged.path()) {
            Err(error) => Some(error),
            Ok(ledger) => {
                let read = ledger.read().rows(crate::Span::ALL);
                let all = read.map_while(Result::ok).flatten().all(|stored| rows.contains(&stored.row));
                assert!(all, "page {page}");
                match ledger.read().verify() {
                    Err(error) => Some(error),
                    Ok(report) => {
                        refused += u64::from(!report.is_sound());
                        None
                    }
                }
            }
        };
        if let Some(error) = error {
            refused += 1;
            let known = matches!(
                error,
                LedgerError::Damaged { .. } | LedgerError::DamagedRow { .. } | LedgerError::Foreign { .. }
            );
            assert!(known, "page {page}: {error:?}");
        }
    }
    // Every page is in use, but for some whose content nobody needs.
    assert!(refused + 2 >= pages, "{refused} of {pages}");
}

#[test]
fn record_on_a_full_disk_leaves_nothing_and_works_again_when_there_is_space() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=10)).unwrap();
    let conn = ledger.reader.connection();
    let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let allow = |ledger: &Ledger, pages: i64| {
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        ledger.reader.connection().query_row(&format!("PRAGMA max_page_count = {pages}"), [], set).unwrap()
    };
    allow(&ledger, pages + 2);
    let batch = testing::rows(11..=200);
    for _ in 0..3 {
        let error = ledger.record(&batch).unwrap_err();
        assert!(matches!(error, LedgerError::Full { .. }), "{error:?}");
        assert_eq!(numbers(&ledger).len(), 10);
    }
    // What fits still goes in, and what is owed can still be read.
    ledger.record(&testing::rows(11..=11)).unwrap();
    assert_eq!(ledger.read().unsent_count().unwrap(), 11);
    allow(&ledger, 100_000);
    assert!(matches!(ledger.record(&batch).unwrap()[..2], [Recorded::Again(_), Recorded::First(_)]));
    assert!(ledger.read().verify().unwrap().is_sound());
}

#[test]
fn record_on_a_disk_that_turned_read_only_works_again_when_it_turns_back() {
    let place = Place::new();
    let mut ledger = place.open();
    let only_read = |ledger: &Ledger, yes: bool| {
        ledger.reader.connection().pragma_update(None, "query_only", yes).unwrap();
    };
    only_read(&ledger, true);
    let error = ledger.record(&testing::rows(1..=1)).unwrap_err();
    assert!(matches!(error, LedgerError::ReadOnly { .. }), "{error:?}");
    only_read(&ledger, false);
    testing::firsts(&ledger.record(&testing::rows(1..=1)).unwrap());
}

#[test]
fn record_beside_a_busy_shell_fails_and_works_again() {
    let place = Place::new();
    let mut ledger = place.open();
    let shell = testing::shell(&ledger);
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..2 {
        let error = ledger.record(&testing::rows(1..=1)).unwrap_err();
        assert!(matches!(error, LedgerError::Busy { .. }), "{error:?}");
    }
    shell.execute_batch("ROLLBACK").unwrap();
    testing::firsts(&ledger.record(&testing::rows(1..=1)).unwrap());
}

/// If even the way back fails, the change is still open when the next one comes.
#[test]
fn record_after_a_change_that_was_left_open_takes_that_back_first() {
    let place = Place::new();
    let mut ledger = place.open();
    let conn = ledger.reader.connection();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    record(conn, &testing::rows(1..=1)).unwrap();
    testing::firsts(&ledger.record(&testing::rows(2..=2)).unwrap());
    assert_eq!(numbers(&ledger), [2]);
}

#[test]
fn record_into_a_file_that_was_deleted_or_replaced_is_refused_until_opened_again() {
    for suffix in ["", "-wal", ".lock"] {
        let place = Place::new();
        let mut ledger = place.open();
        ledger.record(&testing::rows(1..=1)).unwrap();
        let file = beside(&place.path(), suffix);
        fs::rename(&file, place.folder().join("aside")).unwrap();
        for _ in 0..2 {
            let error = ledger.record(&testing::rows(2..=2)).unwrap_err();
            assert!(matches!(&error, LedgerError::Removed { file: gone, .. } if *gone == file), "{error:?}");
        }
        fs::copy(place.folder().join("aside"), &file).unwrap();
        let error = ledger.record(&testing::rows(2..=2)).unwrap_err();
        assert!(matches!(error, LedgerError::Removed { .. }), "{error:?}");
        drop(ledger);
        testing::firsts(&place.open().record(&testing::rows(2..=2)).unwrap());
    }
}

#[test]
fn readers_see_what_is_committed_and_never_hold_up_the_writer() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&testing::rows(1..=1)).unwrap();
    let reader = Reader::open(&place.path()).unwrap();
    let mut rows = reader.rows(crate::Span::ALL);
    rows.next().unwrap().unwrap().unwrap();
    ledger.record(&testing::rows(2..=2)).unwrap();
    assert_eq!(reader.stats().unwrap().parts, 2);
    let writes = reader.connection().execute("DELETE FROM parts", []).unwrap_err();
    assert_eq!(writes.sqlite_error_code(), Some(rusqlite::ErrorCode::ReadOnly));
}
