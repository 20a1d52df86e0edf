//! Parts that have entered and have no verdict yet: what a process that ends without a word leaves behind.

use std::time::Duration;

use diad_core::event::{Outcome, Reason};
use diad_core::name::{PartId, ProductName, RunId};
use rusqlite::types::Type;
use rusqlite::{Connection, params};

use crate::catalogue;
use crate::error::LedgerError;
use crate::ledger::{Ledger, Recorded, record};
use crate::moment::Moment;
use crate::row::{Key, Row, RowProvenance, Timings};
use crate::seal::ENTERED;

#[cfg(test)]
mod tests;

/// Parts that are closed in one transaction.
const ROWS_PER_TRANSACTION: u32 = 512;

/// A part that is owed a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The part.
    pub key: Key,
    /// The plant's own mark.
    pub part: Option<PartId>,
    /// The product class in force.
    pub product: Option<ProductName>,
    /// When the part was seen.
    pub captured: Moment,
    /// The deadline in force, in milliseconds.
    pub deadline_ms: u32,
    /// What its verdict would be made with.
    pub origin: RowProvenance,
}

/// Notes parts that have no verdict; one that has is not noted.
pub(crate) fn note(change: &Connection, entered: &[Entered]) -> rusqlite::Result<()> {
    let mut insert = change.prepare_cached(&format!(
        "INSERT OR IGNORE INTO {} SELECT {} WHERE NOT EXISTS (SELECT 1 FROM parts WHERE series = ?1 AND seq = ?2)",
        ENTERED.target(),
        ENTERED.values(),
    ))?;
    for part in entered {
        insert.execute(params![
            catalogue::series_id(change, &part.key.series)?,
            part.key.seq.cast_signed(),
            part.part.as_ref().map(PartId::as_str),
            part.product.as_ref().map(ProductName::as_str),
            part.captured.micros(),
            part.deadline_ms,
            catalogue::origin_id(change, &part.origin)?,
        ])?;
    }
    Ok(())
}

/// A part has its verdict.
pub(crate) fn close(change: &Connection, series: i64, seq: u64) -> rusqlite::Result<()> {
    change
        .prepare_cached("DELETE FROM entered WHERE series = ?1 AND seq = ?2")?
        .execute([series, seq.cast_signed()])
        .map(drop)
}

/// Forgets the parts of a run.
pub(crate) fn forget(change: &Connection, run: &RunId) -> rusqlite::Result<()> {
    change
        .prepare_cached("DELETE FROM entered WHERE series IN (SELECT id FROM series WHERE run = ?1)")?
        .execute([run.as_str()])
        .map(drop)
}

/// Forgets some parts of a series.
pub(crate) fn forget_range(change: &Connection, series: i64, from: u64, to: u64) -> rusqlite::Result<()> {
    change
        .prepare_cached("DELETE FROM entered WHERE series = ?1 AND seq BETWEEN ?2 AND ?3")?
        .execute([series, from.cast_signed(), to.cast_signed()])
        .map(drop)
}

impl Ledger {
    /// Records `UNJUDGED(shutdown)` for every part that an earlier process took in and never judged, because it was
    /// killed or lost its power. To be called before the first part of a run; `now` is when that is decided. Returns
    /// how many there were.
    ///
    /// # Errors
    /// [`LedgerError`]; what was recorded until then stays, and the rest is done by the next call.
    pub fn close_entered(&mut self, now: Moment) -> Result<u64, LedgerError> {
        let path = self.path().to_path_buf();
        let mut closed = 0;
        loop {
            let change = self.change()?;
            let write = || -> rusqlite::Result<u64> {
                let rows = rows_of_killed_run(&change, now)?;
                let recorded = record(&change, &rows)?;
                // A damaged book of entries must not keep the daemon from starting, over and over.
                for (row, recorded) in rows.iter().zip(&recorded) {
                    if !matches!(recorded, Recorded::First(_)) {
                        close(&change, catalogue::series_id(&change, &row.key.series)?, row.key.seq)?;
                    }
                }
                change.commit()?;
                Ok(rows.len() as u64)
            };
            let some = write().map_err(LedgerError::of(&path, "close the parts of an earlier run"))?;
            closed += some;
            if some < u64::from(ROWS_PER_TRANSACTION) {
                return Ok(closed);
            }
        }
    }
}

fn rows_of_killed_run(change: &Connection, now: Moment) -> rusqlite::Result<Vec<Row>> {
    change
        .prepare(
            "SELECT s.line, s.station, s.camera, s.run, e.seq, e.part, e.product, e.captured_us, e.deadline_ms, \
             o.model, o.thresholds, o.settings FROM entered AS e JOIN series AS s ON s.id = e.series \
             JOIN origins AS o ON o.id = e.origin ORDER BY e.captured_us, e.series, e.seq LIMIT ?1",
        )?
        .query_map([ROWS_PER_TRANSACTION], |row| {
            let captured = Moment::from_micros(row.get(7)?);
            let waited = u64::try_from(now.micros() - captured.micros()).unwrap_or(0);
            let text = |column| row.get::<_, Option<String>>(column);
            let wrong = |column, error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error);
            let part = text(5)?.map(|t| PartId::try_new(&t)).transpose().map_err(|e| wrong(5, Box::new(e)))?;
            let product = text(6)?.map(|t| ProductName::try_new(&t)).transpose().map_err(|e| wrong(6, Box::new(e)))?;
            Ok(Row {
                key: Key { series: catalogue::read_series(row, 0)?, seq: row.get::<_, i64>(4)?.cast_unsigned() },
                part,
                product,
                source: None,
                outcome: Outcome::Unjudged(Reason::Shutdown),
                captured,
                judged: now,
                latency: Duration::from_micros(waited),
                deadline_ms: row.get(8)?,
                origin: RowProvenance { model: row.get(9)?, thresholds: row.get(10)?, settings: row.get(11)? },
                timings: Timings::NONE,
                repeat: false,
                witnesses: Vec::new(),
            })
        })?
        .collect()
}
