//! The one writer.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Transaction, TransactionBehavior, params, params_from_iter};

use crate::catalogue;
use crate::cells::{self, Cells, JOINS};
use crate::entered::{self, Entered};
use crate::error::LedgerError;
use crate::fallback::{self, FallbackFile, FallbackState};
use crate::gap::Gap;
use crate::lock::WriterLock;
use crate::moment::Moment;
use crate::reader::Reader;
use crate::row::{Row, RowId, RunContext};
use crate::run;
use crate::schema;
use crate::seal::GAPS;
use crate::watch::{Watch, beside};

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
pub(crate) mod flip_tests;
#[cfg(test)]
mod tests;

/// Rows at the end of the ledger that are read when it is opened: a torn end shows there first.
const TAIL_ROWS_CHECKED: u32 = 256;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is the verdict of its part, and unsent.
    First(RowId),
    /// It was already the verdict of its part, equal in everything: handed in again, and nothing was written.
    Again(RowId),
    /// Its part had a verdict, the row named here. What came late is kept beside it.
    Late(RowId),
}

/// A verdict that the broker has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The verdict.
    pub row: RowId,
    /// When it was acknowledged.
    pub at: Moment,
}

/// An open ledger. Nobody else writes it while this lives.
///
/// Every method that writes is one transaction: it is done when the method returns, or it left no trace. After an
/// error the ledger can be used as before, with one exception: [`LedgerError::Removed`].
#[derive(Debug)]
pub struct Ledger {
    reader: Reader,
    watch: Watch,
    /// None where the disk had no room for one.
    slip: Option<FallbackFile>,
    /// Parts that a process before this one said without a record.
    taken_up: u64,
    /// Given back last: SQLite must be done with the files before the next writer comes.
    _lock: WriterLock,
}

impl Ledger {
    /// Opens the ledger at `path` and brings its schema up to date; creates it if there is none, but not its folder.
    ///
    /// Checks the header, the schema and the newest 256 rows. [`Reader::verify`] checks everything.
    ///
    /// # Errors
    /// [`LedgerError`]: every variant but [`LedgerError::Missing`], [`LedgerError::OlderSchema`] and
    /// [`LedgerError::Removed`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let folder = |source| LedgerError::Folder { path: path.to_path_buf(), source };
        let path = resolved(path).map_err(folder)?;
        let lock = WriterLock::take(&path)?;
        let conn = schema::open_writer(&path)?;
        let reader = Reader::new(conn, path);
        reader.expect_sound_start(TAIL_ROWS_CHECKED)?;
        let path = reader.path();
        // A new file is on the disk only when its name is.
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all()).map_err(folder)?;
        let files = [path.to_path_buf(), beside(path, "-wal"), lock.path().to_path_buf()];
        let watch = Watch::over(files).map_err(folder)?;
        let (slip, outage) = match FallbackFile::open(path) {
            Ok((slip, outage)) => (Some(slip), outage),
            // A full disk must not keep a station from starting; its first outage says what is missing.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => (None, FallbackState::default()),
            Err(error) => return Err(folder(error)),
        };
        let mut ledger = Self { reader, watch, slip, taken_up: 0, _lock: lock };
        ledger.take_up(&outage)?;
        Ok(ledger)
    }

    /// Puts on record what a process left on the slip that ended before it could.
    fn take_up(&mut self, outage: &FallbackState) -> Result<(), LedgerError> {
        if outage.gaps.is_empty() && outage.decided.is_empty() {
            return Ok(());
        }
        let path = self.path().to_path_buf();
        let change = self.change()?;
        let write = || -> rusqlite::Result<()> {
            keep_gaps(&change, &outage.gaps)?;
            fallback::forget_decided(&change, outage)?;
            change.commit()
        };
        write().map_err(LedgerError::of(&path, "take up an earlier outage"))?;
        self.taken_up = outage.gaps.iter().map(|gap| gap.parts).sum();
        // What stays there is on record: taken up again, it changes nothing.
        let _ = self.slip.as_mut().map(FallbackFile::clear);
        Ok(())
    }

    /// How many parts an earlier process said without a record, which is on record since [`Ledger::open`].
    #[must_use]
    pub const fn taken_up(&self) -> u64 {
        self.taken_up
    }

    /// Where to write down what is said while the ledger cannot be written.
    ///
    /// # Errors
    /// What the system says, if there was no room for one at the start and there is none now.
    pub fn slip(&mut self) -> io::Result<&mut FallbackFile> {
        match self.slip {
            Some(ref mut slip) => Ok(slip),
            None => Ok(self.slip.insert(FallbackFile::open(self.reader.path())?.0)),
        }
    }

    /// Gives the ledger up, because its files are not where they were, and keeps its slip: it goes with the file.
    #[must_use]
    pub fn into_slip(self) -> Option<FallbackFile> {
        self.slip
    }

    /// Where the ledger is, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// Everything that can be asked of a ledger.
    #[must_use]
    pub const fn read(&self) -> &Reader {
        &self.reader
    }

    /// Records results, durably: [`Ledger::commit`] without acknowledgements.
    ///
    /// # Errors
    /// [`LedgerError`]; no row of the batch is recorded then.
    pub fn record(&mut self, rows: &[Row]) -> Result<Vec<Recorded>, LedgerError> {
        self.commit(&[], rows, &[], &[])
    }

    /// Marks verdicts as acknowledged: [`Ledger::commit`] without results.
    ///
    /// # Errors
    /// [`LedgerError`]; no verdict of the batch is marked then.
    pub fn mark_sent(&mut self, sent: &[Sent]) -> Result<(), LedgerError> {
        self.commit(&[], &[], &[], sent).map(drop)
    }

    /// Notes parts that entered, records results and marks verdicts as acknowledged, in one transaction and with one
    /// sync of the disk. Says of each row, in order, what became of it. Of two rows for one part the first stands, also
    /// within one batch. A part that entered and got its verdict leaves no note.
    ///
    /// `late` are results of parts whose verdict the caller knows to be another one: each is kept beside the verdict that
    /// is here, and left out where none is, because that verdict could not be written or lies in another file. It never
    /// becomes one.
    ///
    /// Marking one twice keeps the first time; marking one that is not there does nothing.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing of the batch is kept then.
    pub fn commit(
        &mut self,
        entered: &[Entered],
        rows: &[Row],
        late: &[Row],
        sent: &[Sent],
    ) -> Result<Vec<Recorded>, LedgerError> {
        if entered.is_empty() && rows.is_empty() && late.is_empty() && sent.is_empty() {
            return Ok(Vec::new());
        }
        let path = self.path().to_path_buf();
        let change = self.change()?;
        let write = || -> rusqlite::Result<Vec<Recorded>> {
            entered::note(&change, entered)?;
            let recorded = record(&change, rows)?;
            keep_late(&change, late)?;
            mark(&change, sent)?;
            change.commit()?;
            Ok(recorded)
        };
        write().map_err(LedgerError::of(&path, "write verdicts"))
    }

    /// Keeps for ever that parts got a verdict while the ledger could not be written; see
    /// [`MissedParts`](crate::MissedParts) for how to know them.
    ///
    /// # Errors
    /// [`LedgerError`]; no gap is kept then.
    pub fn record_gaps(&mut self, gaps: &[Gap]) -> Result<(), LedgerError> {
        if gaps.is_empty() {
            return Ok(());
        }
        let path = self.path().to_path_buf();
        let change = self.change()?;
        let write = || -> rusqlite::Result<()> {
            keep_gaps(&change, gaps)?;
            change.commit()
        };
        write().map_err(LedgerError::of(&path, "write gaps"))
    }

    /// Takes up writing again in the middle of a run, after verdicts could not be written or the file had to be made
    /// anew: knows the run, keeps the gaps, and forgets every part of the run that entered except those in `open`. The
    /// others got a verdict that is not here; without this they would get a second one from [`Ledger::close_entered`].
    ///
    /// # Errors
    /// [`LedgerError`]; nothing is changed then.
    pub fn resume(&mut self, context: &RunContext, open: &[Entered], gaps: &[Gap]) -> Result<(), LedgerError> {
        let path = self.path().to_path_buf();
        let change = self.change()?;
        let write = || -> rusqlite::Result<()> {
            run::know(&change, context)?;
            entered::forget(&change, &context.run)?;
            entered::note(&change, open)?;
            keep_gaps(&change, gaps)?;
            change.commit()
        };
        write().map_err(LedgerError::of(&path, "take up writing again"))
    }

    /// Begins a change, unless the files are not where they were. What is not committed leaves no trace.
    pub(crate) fn change(&mut self) -> Result<Transaction<'_>, LedgerError> {
        let path = self.reader.path().to_path_buf();
        if let Some(file) = self.watch.missing() {
            return Err(LedgerError::Removed { path, file: file.to_path_buf() });
        }
        let conn = self.reader.connection_mut();
        let failed = || LedgerError::of(&path, "begin a change");
        // A change that failed may have been left open, if the disk would not even take it back.
        if !conn.is_autocommit() {
            conn.execute_batch("ROLLBACK").map_err(failed())?;
        }
        conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed())
    }
}

/// The database file without links, so that two paths to one ledger meet at one lock.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().ok_or(error)?;
            Ok(fs::canonicalize(folder)?.join(name))
        }
        other => other,
    }
}

pub(crate) fn record(change: &Connection, rows: &[Row]) -> rusqlite::Result<Vec<Recorded>> {
    let sql = cells::insert("parts", &["series", "origin", "crc32"]) + " ON CONFLICT (series, seq) DO NOTHING";
    let mut first = change.prepare_cached(&sql)?;
    rows.iter()
        .map(|row| {
            let witnesses = cells::witnesses(row);
            let cells = Cells::of_row(row, witnesses.as_deref());
            let series = catalogue::series_id(change, &row.key.series)?;
            let ids = [series, catalogue::origin_id(change, &row.origin)?, cells.seal()];
            match first.execute(params_from_iter(cells.own().chain(ids.map(ToSqlOutput::from))))? {
                0 => record_beside(change, &cells, ids),
                _ => {
                    let id = RowId(change.last_insert_rowid());
                    entered::close(change, series, row.key.seq)?;
                    Ok(Recorded::First(id))
                }
            }
        })
        .collect()
}

/// A gap that was kept before it had ended makes room for what it came to; one that began at another time stands.
fn keep_gaps(change: &Connection, gaps: &[Gap]) -> rusqlite::Result<()> {
    let mut earlier = change.prepare_cached("DELETE FROM gaps WHERE series = ?1 AND since_us = ?2 AND parts <= ?3")?;
    let mut insert = change.prepare_cached(&format!(
        "INSERT INTO {} SELECT {} WHERE NOT EXISTS (SELECT 1 FROM gaps WHERE series = ?1 AND since_us = ?5)",
        GAPS.target(),
        GAPS.values(),
    ))?;
    for gap in gaps {
        let series = catalogue::series_id(change, &gap.series)?;
        earlier.execute(params![series, gap.since.micros(), gap.parts.cast_signed()])?;
        insert.execute(params![
            series,
            gap.from.cast_signed(),
            gap.to.cast_signed(),
            gap.parts.cast_signed(),
            gap.since.micros(),
            gap.until.micros(),
            gap.cause,
        ])?;
    }
    Ok(())
}

/// Keeps results beside the verdicts of their parts; one whose part has none here is left out.
fn keep_late(change: &Connection, late: &[Row]) -> rusqlite::Result<()> {
    for row in late {
        let witnesses = cells::witnesses(row);
        let cells = Cells::of_row(row, witnesses.as_deref());
        let series = catalogue::series_id(change, &row.key.series)?;
        let ids = [series, catalogue::origin_id(change, &row.origin)?, cells.seal()];
        match record_beside(change, &cells, ids) {
            Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Records a result whose part has a verdict. `ids` are series, origin and checksum.
fn record_beside(change: &Connection, cells: &Cells<'_>, ids: [i64; 3]) -> rusqlite::Result<Recorded> {
    let sql = format!("SELECT r.id, {} FROM parts AS r {JOINS} WHERE r.series = ?1 AND r.seq = ?2", cells::columns());
    let (first, equal): (i64, bool) =
        change.prepare_cached(&sql)?.query_row(params_from_iter(cells.key(ids[0])), |row| {
            Ok((row.get(0)?, Cells::of_columns(row, 1)? == *cells))
        })?;
    if equal {
        return Ok(Recorded::Again(RowId(first)));
    }
    let [series, origin, seal] = ids;
    let ids = [series, origin, seal ^ i64::from(cells::seal_of(first)), first];
    let values = cells.own().chain(ids.map(ToSqlOutput::from));
    change
        .prepare_cached(&cells::insert("late", &["series", "origin", "crc32", "first_id"]))?
        .execute(params_from_iter(values))?;
    Ok(Recorded::Late(RowId(first)))
}

fn mark(change: &Connection, sent: &[Sent]) -> rusqlite::Result<()> {
    // SQLite has no exclusive or: what either has, without what both have.
    let mut mark = change.prepare_cached(
        "UPDATE parts SET acknowledged_us = ?2, crc32 = (crc32 | ?3) - (crc32 & ?3) \
         WHERE id = ?1 AND acknowledged_us IS NULL",
    )?;
    sent.iter().try_for_each(|sent| {
        let at = sent.at.micros();
        mark.execute([sent.row.0, at, i64::from(cells::seal_of(at))]).map(drop)
    })
}
