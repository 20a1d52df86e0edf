//! Ledgers of which one byte was changed, byte after byte.

use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime};

use diad_core::event::Reason;
use diad_core::name::ProductName;

use super::*;
use crate::testing::{self, Place};
use crate::{Mark, MissedParts, Span, export};

/// Every so many bytes one is changed, unless this variable asks for every byte.
const SAMPLED: usize = 83;
const EVERY: &str = "DIAD_LEDGER_FLIP_EVERY";

/// A ledger with rows in every table, on small pages: most of its bytes mean something.
fn filled(place: &Place) {
    {
        let conn = Connection::open(place.path()).unwrap();
        conn.execute_batch("PRAGMA page_size = 512").unwrap();
        schema::create(&mut { conn }).unwrap();
    }
    let mut ledger = place.open();
    fill(&mut ledger);
    // Without the pages that the deleted rows have left free.
    testing::shell(&ledger).execute_batch("VACUUM").unwrap();
}

/// Puts rows into every table.
pub(crate) fn fill(ledger: &mut Ledger) {
    let RunContext { line, station, .. } = testing::context();
    ledger.start_run(&line, &station, SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    let mut rows = testing::rows(1..=9);
    rows.push(testing::unjudged(10, Reason::LateTrigger));
    rows.push(testing::joined_row(11));
    rows.push(Row { repeat: true, ..testing::row(12) });
    let ids = testing::firsts(&ledger.record(&rows).unwrap());
    ledger.record(&[testing::unjudged(5, Reason::Deadline)]).unwrap();
    ledger.mark_sent(&ids[..6].iter().map(|id| testing::sent(*id)).collect::<Vec<_>>()).unwrap();
    for (seq, mark) in [(7, Mark::TrueReject), (8, Mark::FalseReject)] {
        ledger.mark(&testing::key("cam0", seq), Some(mark), moment(seq)).unwrap();
    }
    ledger.keep_product(&line, &station, ProductName::try_new("washer").ok().as_ref(), moment(1)).unwrap();
    let mut missed = MissedParts::new();
    missed.note(&testing::key("cam1", 3), moment(2), "no space");
    ledger.record_gaps(&missed.gaps()).unwrap();
    let Row { part, product, captured, deadline_ms, origin, .. } = testing::row(13);
    let entered = Entered { key: testing::key("cam0", 13), part, product, captured, deadline_ms, origin };
    ledger.commit(&[entered], &[], &[], &[]).unwrap();
    ledger.purge(moment(3_000_000), 9).unwrap();
}

fn moment(micros: u64) -> Moment {
    Moment::from_micros(testing::START_MICROS + micros.cast_signed())
}

/// Everything that a ledger can be asked, as text; or the first error.
fn read(path: &Path) -> Result<String, LedgerError> {
    let reader = Reader::open(path)?;
    let mut text = format!("{:?}", reader.rows(Span::ALL).collect::<Result<Vec<_>, _>>()?);
    let mut put = |part: String| {
        text.push_str(&part);
    };
    put(format!("{:?}", reader.newest(None, 99)?));
    put(format!("{:?}", reader.oldest(RowId::START, 99)?));
    put(format!("{:?}", reader.unsent(RowId::START, 99)?));
    put(format!("{:?}", reader.late(RowId::START, 99)?));
    put(format!("{:?}", reader.part(&testing::key("cam0", 7))?));
    put(format!("{:?}", reader.gaps()?));
    put(format!("{:?}", reader.marks()?));
    put(format!("{:?}", reader.mark(RowId(7))?));
    let RunContext { line, station, .. } = testing::context();
    put(format!("{:?}", reader.product_in_force(&line, &station)?));
    put(format!("{:?}", reader.stats()?));
    // What only the next start reads, and people in a database shell.
    for (table, column) in [
        ("runs", "run || line || station || started_at"),
        ("entered", "series || seq || ifnull(part, 0) || ifnull(product, 0) || captured_us || deadline_ms || origin"),
        ("purged", "series || from_seq || to_seq"),
        ("marks", "part || mark || at_us"),
        ("gaps", "series || from_seq || to_seq || parts || since_us || until_us || cause"),
        ("in_force", "line || station || product || since_us"),
    ] {
        let sql = format!("SELECT CAST({column} AS BLOB) FROM {table}");
        put(format!("{:?}", reader.all(&sql, [], |row| row.get::<_, Vec<u8>>(0))?));
    }
    let mut csv = Vec::new();
    let exported = export::csv(reader.rows(Span::ALL), &mut csv);
    match exported {
        Ok(_) | Err(export::ExportError::Ledger(_)) => {}
        Err(other) => panic!("{other:?}"),
    }
    Ok(text)
}

/// What a station does before it takes its first part.
fn start(path: &Path) -> Result<(), LedgerError> {
    let mut ledger = Ledger::open(path)?;
    ledger.close_entered(moment(20_000_000))?;
    let RunContext { line, station, .. } = testing::context();
    ledger.start_run(&line, &station, SystemTime::UNIX_EPOCH + Duration::from_secs(2))?;
    ledger.read().unsent_count()?;
    ledger.read().product_in_force(&line, &station)?;
    Ok(())
}

/// Whether an error is one that the process ends with 65 for, and says what to do.
fn is_damage(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::Damaged { .. }
            | LedgerError::DamagedRow { .. }
            | LedgerError::Foreign { .. }
            | LedgerError::NewerSchema { .. }
            | LedgerError::OlderSchema { .. }
            | LedgerError::Run { .. }
    )
}

/// Bytes to change, each with the bits that are turned over.
fn flips(length: usize) -> impl Iterator<Item = (usize, u8)> {
    let step = if std::env::var_os(EVERY).is_some() { 1 } else { SAMPLED };
    // Any bits do; these are others at each byte, and the same in each run.
    (0..length).step_by(step).map(|at| (at, (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0].max(1)))
}

#[test]
fn a_changed_byte_is_named_by_verify_or_changes_nothing_that_is_read() {
    let place = Place::in_memory();
    filled(&place);
    let sound = fs::read(place.path()).unwrap();
    let whole = read(&place.path()).unwrap();
    assert!(Reader::open(&place.path()).unwrap().verify().unwrap().is_sound());
    let (mut named, mut same) = (0, 0);
    for (at, bits) in flips(sound.len()) {
        let file = File::options().write(true).open(place.path()).unwrap();
        file.write_all_at(&[sound[at] ^ bits], at as u64).unwrap();
        let changed = match read(&place.path()) {
            Ok(text) => text != whole,
            Err(error) => {
                assert!(is_damage(&error), "byte {at} ^ {bits:02x}, read: {error:?}");
                true
            }
        };
        let is_sound = match Reader::open(&place.path()).and_then(|reader| reader.verify()) {
            Ok(report) => report.is_sound(),
            Err(error) => {
                assert!(is_damage(&error), "byte {at} ^ {bits:02x}, verify: {error:?}");
                false
            }
        };
        assert!(!(changed && is_sound), "byte {at} ^ {bits:02x} reads differently, and verify calls that sound");
        if is_sound {
            same += 1;
        } else {
            named += 1;
        }
        file.write_all_at(&sound[at..=at], at as u64).unwrap();
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&place.path(), end));
        }
    }
    println!("{} bytes: {named} changes named, {same} without a meaning", sound.len());
    assert!(named > same / 2, "{named} named, {same} not: many bytes of this ledger mean something");
}

#[test]
fn a_start_on_a_changed_byte_works_or_says_what_to_do() {
    let place = Place::in_memory();
    filled(&place);
    let sound = fs::read(place.path()).unwrap();
    let (mut started, mut refused) = (0, 0);
    for (at, bits) in flips(sound.len()) {
        let mut bytes = sound.clone();
        bytes[at] ^= bits;
        for end in ["-wal", "-shm", ".slip"] {
            let _ = fs::remove_file(beside(&place.path(), end));
        }
        fs::write(place.path(), bytes).unwrap();
        match start(&place.path()) {
            Ok(()) => started += 1,
            Err(error) => {
                assert!(is_damage(&error), "byte {at} ^ {bits:02x}: {error:?}");
                refused += 1;
            }
        }
    }
    println!("{} bytes: {started} starts, {refused} refused", sound.len());
    assert!(started > 0 && refused > 0, "{started} {refused}");
}
