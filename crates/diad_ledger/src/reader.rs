//! What can be asked of a ledger.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, params};

use crate::catalogue;
use crate::cells::{self, Cells, DamagedRow, JOINS, RowFault};
use crate::error::LedgerError;
use crate::gap::Gap;
use crate::moment::Moment;
use crate::row::{Key, Row, RowId, Series};
use crate::schema;
use crate::seal::{ENTERED, GAPS, IN_FORCE, Sealed};

#[cfg(test)]
mod tests;

/// Rows that [`Rows`] reads at a time: a reader never stands in the writer's way for longer than one such page.
const ROWS_PER_PAGE: u32 = 512;

/// What is owed.
const UNSENT: &str = "r.acknowledged_us IS NULL AND r.id > ?1 ORDER BY r.id LIMIT ?2";

/// One part.
const PART: &str = "r.series = (SELECT id FROM series WHERE line = ?1 AND station = ?2 AND camera = ?3 AND run = ?4) \
                    AND r.seq = ?5";

/// A stretch of time, from the last row read on.
const SPAN: &str = "(r.captured_us, r.id) > (?1, ?2) AND r.captured_us < ?3 ORDER BY r.captured_us, r.id LIMIT ?4";

/// A verdict as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// Its place.
    pub id: RowId,
    /// What it says.
    pub row: Row,
    /// When the broker acknowledged it; `None` while it is owed.
    pub acknowledged: Option<Moment>,
}

/// A result that came after the verdict of its part.
#[derive(Debug, Clone, PartialEq)]
pub struct LateRow {
    /// Its place among the late ones.
    pub id: RowId,
    /// The verdict that stands.
    pub first: RowId,
    /// What came late.
    pub row: Row,
}

/// One row of a page: a verdict, or why what is kept there cannot be trusted. A damaged row never hides the others.
pub type Entry = Result<StoredRow, DamagedRow>;

/// A stretch of time by capture: from `since` on, before `until`. `None` is without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first moment that belongs to it.
    pub since: Option<Moment>,
    /// The first moment that does not.
    pub until: Option<Moment>,
}

impl Span {
    /// All time.
    pub const ALL: Self = Self { since: None, until: None };
}

/// An open ledger that is only read. It needs no lock and keeps none: a daemon may write beside it.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the ledger at `path` for reading.
    ///
    /// # Errors
    /// [`LedgerError::Missing`], [`LedgerError::OlderSchema`], [`LedgerError::NewerSchema`], [`LedgerError::Foreign`],
    /// [`LedgerError::Damaged`], [`LedgerError::Busy`], and [`LedgerError::ReadOnly`] where the user may not read the
    /// file, or no daemon runs and the user may not write to the folder, where the log has to be.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Ok(Self { conn: schema::open_reader(path)?, path: path.to_path_buf() })
    }

    pub(crate) const fn new(conn: Connection, path: PathBuf) -> Self {
        Self { conn, path }
    }

    /// Where the ledger is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.conn
    }

    pub(crate) const fn connection_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }

    /// Verdicts that the broker has not acknowledged, in the order of recording: at most `limit`, all after `after`.
    /// Start with [`RowId::START`] and go on from the last one seen. The cost is that of the rows returned, however
    /// many are kept or owed.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn unsent(&self, after: RowId, limit: u32) -> Result<Vec<Entry>, LedgerError> {
        // Named, for the planner may take a walk over all rows for cheaper.
        let from = "parts AS r INDEXED BY parts_owed";
        self.page(&select(from, UNSENT), params![after.0, limit])
    }

    /// How many verdicts the broker has not acknowledged.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn unsent_count(&self) -> Result<u64, LedgerError> {
        self.count("SELECT count(*) FROM parts INDEXED BY parts_owed WHERE acknowledged_us IS NULL")
    }

    /// The verdict of one part; `None` if it is not kept.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn part(&self, key: &Key) -> Result<Option<Entry>, LedgerError> {
        let Series { line, station, camera, run } = &key.series;
        let seq = key.seq.cast_signed();
        let values = params![line.as_str(), station.as_str(), camera.as_str(), run.as_str(), seq];
        Ok(self.page(&select("parts AS r", PART), values)?.pop())
    }

    /// The newest verdicts, newest first: at most `limit`, all before `before` if that is given.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn newest(&self, before: Option<RowId>, limit: u32) -> Result<Vec<Entry>, LedgerError> {
        let before = before.map_or(i64::MAX, |id| id.0);
        self.page(&select("parts AS r", "r.id < ?1 ORDER BY r.id DESC LIMIT ?2"), params![before, limit])
    }

    /// Verdicts in the order of recording: at most `limit`, all after `after`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn oldest(&self, after: RowId, limit: u32) -> Result<Vec<Entry>, LedgerError> {
        self.page(&select("parts AS r", "r.id > ?1 ORDER BY r.id LIMIT ?2"), params![after.0, limit])
    }

    /// The verdicts of a stretch of time, in the order of capture. Reads a page at a time, so it takes flat memory
    /// and never holds up a writer; a row recorded meanwhile may or may not be among them.
    #[must_use]
    pub fn rows(&self, span: Span) -> Rows<'_> {
        let since = span.since.map_or(0, Moment::micros);
        Rows { reader: self, at: (since, 0), until: span.until, page: VecDeque::new(), more: true }
    }

    /// Results that came late, in the order of recording: at most `limit`, all after `after`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn late(&self, after: RowId, limit: u32) -> Result<Vec<Result<LateRow, DamagedRow>>, LedgerError> {
        let columns = cells::columns();
        let sql = format!(
            "SELECT r.id, r.crc32, r.first_id, {columns} FROM late AS r {JOINS} WHERE r.id > ?1 ORDER BY r.id LIMIT ?2"
        );
        let read = |row: &rusqlite::Row<'_>| {
            // Where it is not a number, the row is damaged.
            let first = RowId(cells::beside(row.get_ref(2)?).ok().flatten().unwrap_or_default());
            let checked = checked(row, "late")?;
            Ok(checked.map(|(id, row)| LateRow { id, first, row }))
        };
        self.all(&sql, params![after.0, limit], read)
    }

    /// The gaps on record, oldest first. One that does not read as it was written is left out; [`Reader::verify`] names it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn gaps(&self) -> Result<Vec<Gap>, LedgerError> {
        let sql = format!(
            "SELECT s.line, s.station, s.camera, s.run, g.from_seq, g.to_seq, g.parts, g.since_us, g.until_us, g.cause \
             FROM gaps AS g JOIN series AS s ON s.id = g.series WHERE {} ORDER BY g.id",
            GAPS.is_whole("g")
        );
        self.all(&sql, [], |row| {
            let number = |column| row.get::<_, i64>(column);
            Ok(Gap {
                series: catalogue::read_series(row, 0)?,
                from: number(4)?.cast_unsigned(),
                to: number(5)?.cast_unsigned(),
                parts: number(6)?.cast_unsigned(),
                since: Moment::from_micros(number(7)?),
                until: Moment::from_micros(number(8)?),
                cause: row.get(9)?,
            })
        })
    }

    /// Reads what a start goes by, the newest `count` rows among it, and refuses a ledger where that is damaged.
    pub(crate) fn expect_sound_start(&self, count: u32) -> Result<(), LedgerError> {
        [ENTERED, IN_FORCE].into_iter().try_for_each(|table| self.expect_sealed(table))?;
        let newest = self.newest(None, count)?;
        newest.into_iter().try_for_each(|entry| match entry {
            Ok(_) => Ok(()),
            Err(source) => Err(LedgerError::DamagedRow { path: self.path.clone(), source }),
        })
    }

    /// Refuses a table with a row that does not read as it was written.
    pub(crate) fn expect_sealed(&self, table: Sealed) -> Result<(), LedgerError> {
        match self.unsealed(table)?.into_iter().next() {
            None => Ok(()),
            Some(source) => Err(LedgerError::DamagedRow { path: self.path.clone(), source }),
        }
    }

    /// The rows of a table that do not read as they were written, each by its place.
    pub(crate) fn unsealed(&self, sealed: Sealed) -> Result<Vec<DamagedRow>, LedgerError> {
        let (table, computed) = (sealed.table, sealed.computed("t"));
        let sql = format!(
            "SELECT place, stored, computed FROM (SELECT row_number() OVER () AS place, t.crc32 AS stored, \
             {computed} AS computed FROM {table} AS t) WHERE stored IS NOT computed"
        );
        self.all(&sql, [], |row| {
            let computed = row.get(2)?;
            let fault = match i64::column_result(row.get_ref(1)?) {
                Ok(stored) => RowFault::Checksum { stored, computed },
                Err(source) => RowFault::Value { column: "crc32", source },
            };
            Ok(DamagedRow { table, id: RowId(row.get(0)?), fault })
        })
    }

    fn page(&self, sql: &str, values: impl Params) -> Result<Vec<Entry>, LedgerError> {
        self.all(sql, values, entry)
    }

    pub(crate) fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let rows = || -> rusqlite::Result<Vec<T>> { self.conn.prepare_cached(sql)?.query_map(values, read)?.collect() };
        rows().map_err(LedgerError::of(&self.path, "read"))
    }

    pub(crate) fn count(&self, sql: &str) -> Result<u64, LedgerError> {
        let count = || self.conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
        count().map(i64::cast_unsigned).map_err(LedgerError::of(&self.path, "count"))
    }
}

/// The columns of a verdict: id, checksum, acknowledgement, and from [`VALUES`] on its cells.
fn select(from: &str, filter: &str) -> String {
    format!("SELECT r.id, r.crc32, r.acknowledged_us, {} FROM {from} {JOINS} WHERE {filter}", cells::columns())
}

/// Where the cells begin in every query of rows.
const VALUES: usize = 3;

/// Reads id (column 0), checksum (column 1), the number beside the cells (column 2) and the cells, and compares them.
fn checked(row: &rusqlite::Row<'_>, table: &'static str) -> rusqlite::Result<Result<(RowId, Row), DamagedRow>> {
    let id = RowId(row.get(0)?);
    let read = Cells::of_columns(row, VALUES)?.row(row.get_ref(1)?, row.get_ref(2)?);
    Ok(read.map(|row| (id, row)).map_err(|fault| DamagedRow { table, id, fault }))
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    // Where it is not a number, the row is damaged.
    let acknowledged = cells::beside(row.get_ref(2)?).ok().flatten().map(Moment::from_micros);
    Ok(checked(row, "parts")?.map(|(id, row)| StoredRow { id, row, acknowledged }))
}

/// The verdicts of a stretch of time; see [`Reader::rows`]. Ends after an error of the database.
#[derive(Debug)]
pub struct Rows<'a> {
    reader: &'a Reader,
    /// Capture time and id of the last row read.
    at: (i64, i64),
    until: Option<Moment>,
    page: VecDeque<Entry>,
    more: bool,
}

impl Rows<'_> {
    fn turn_page(&mut self) -> Result<(), LedgerError> {
        let until = self.until.map_or(i64::MAX, Moment::micros);
        let (captured, id) = self.at;
        let page =
            self.reader.all(&select("parts AS r", SPAN), params![captured, id, until, ROWS_PER_PAGE], |row| {
                self.at = (row.get("captured_us")?, row.get(0)?);
                entry(row)
            })?;
        if !page.is_empty() && self.at <= (captured, id) {
            return Err(LedgerError::out_of_order(self.reader.path()));
        }
        self.more = page.len() == ROWS_PER_PAGE as usize;
        self.page = page.into();
        Ok(())
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Entry, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty()
            && self.more
            && let Err(error) = self.turn_page()
        {
            self.more = false;
            return Some(Err(error));
        }
        self.page.pop_front().map(Ok)
    }
}
