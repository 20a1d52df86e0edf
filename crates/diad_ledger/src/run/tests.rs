use std::time::Duration;

use super::*;
use crate::row::RunContext;
use crate::testing::{self, Place};

fn start(ledger: &mut Ledger, now: SystemTime) -> RunId {
    let RunContext { line, station, .. } = testing::context();
    ledger.start_run(&line, &station, now).unwrap()
}

#[test]
fn start_run_gives_a_greater_id_whatever_the_clock_says() {
    let place = Place::new();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400);
    let year = Duration::from_secs(31_557_600);
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
    let before = SystemTime::UNIX_EPOCH - year;
    let mut ids = Vec::new();
    // Each start is one of a process: the ledger is all that they share.
    for now in [now, now, now - year, now + year, now, before, far, far, now] {
        ids.push(start(&mut place.open(), now));
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(place.open().read().stats().unwrap().runs, 9);
}

#[test]
fn start_run_shows_the_time_of_the_start_if_the_clock_is_right() {
    let place = Place::new();
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_254_400_123);
    let id = start(&mut place.open(), now);
    assert_eq!(Ulid::from_string(id.as_str()).unwrap().timestamp_ms(), 1_767_254_400_123);
}

#[test]
fn start_run_of_two_ledgers_differs() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400);
    assert_ne!(start(&mut Place::new().open(), now), start(&mut Place::new().open(), now));
}

#[test]
fn start_run_after_an_id_that_is_none_of_ours_is_refused() {
    for last in ["not-a-ulid", "zzz", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
        let place = Place::new();
        let mut ledger = place.open();
        let sql = "INSERT INTO runs (run, line, station, started_us) VALUES (?1, 'L1', 'S1', 0)";
        testing::shell(&ledger).execute(sql, [last]).unwrap();
        let RunContext { line, station, .. } = testing::context();
        let error = ledger.start_run(&line, &station, SystemTime::UNIX_EPOCH).unwrap_err();
        assert!(matches!(&error, LedgerError::Run { last: named, .. } if named == last), "{error:?}");
    }
}

#[test]
fn start_run_that_cannot_be_kept_gives_no_id() {
    let place = Place::new();
    let mut ledger = place.open();
    let shell = testing::shell(&ledger);
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let RunContext { line, station, .. } = testing::context();
    let error = ledger.start_run(&line, &station, SystemTime::UNIX_EPOCH).unwrap_err();
    assert!(matches!(error, LedgerError::Busy { .. }), "{error:?}");
    drop(shell);
    start(&mut ledger, SystemTime::UNIX_EPOCH);
    assert_eq!(ledger.read().stats().unwrap().runs, 1);
}
