//! Retention: what is old and acknowledged leaves; what is owed stays, however old.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::moment::Moment;
use crate::seal::PURGED;

#[cfg(test)]
mod tests;

/// Acknowledged rows that were captured before a time, oldest first.
const OLDEST: &str = "SELECT id FROM parts INDEXED BY parts_kept WHERE captured_us < ?1 AND acknowledged_us IS NOT NULL \
                      ORDER BY captured_us, id LIMIT ?2";

impl Ledger {
    /// Deletes verdicts that were captured before `before` and that the broker has acknowledged, oldest first and at
    /// most `limit` of them, each with what came late for it. Returns how many; fewer than `limit` means that nothing
    /// old is left.
    ///
    /// Which numbers were deleted is kept, so that [`Reader::verify`](crate::Reader::verify) does not miss them. The
    /// file does not shrink: its free pages are used for the next rows.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing is deleted then.
    pub fn purge(&mut self, before: Moment, limit: u32) -> Result<u32, LedgerError> {
        let path = self.path().to_path_buf();
        let change = self.change()?;
        let delete = || -> rusqlite::Result<u32> {
            let mut gone = delete_oldest(&change, before, limit)?;
            gone.sort_unstable();
            // Neighbours in a series make one range.
            for range in gone.chunk_by(|a, b| a.0 == b.0 && a.1.checked_add(1) == Some(b.1)) {
                if let (Some((series, from)), Some((_, to))) = (range.first(), range.last()) {
                    keep_range(&change, *series, *from, *to)?;
                }
            }
            change.commit()?;
            Ok(u32::try_from(gone.len()).unwrap_or(limit))
        };
        delete().map_err(LedgerError::of(&path, "delete old verdicts"))
    }
}

/// Deletes and returns series and number of each row.
fn delete_oldest(change: &Connection, before: Moment, limit: u32) -> rusqlite::Result<Vec<(i64, i64)>> {
    change
        .prepare_cached(&format!("DELETE FROM parts WHERE id IN ({OLDEST}) RETURNING series, seq"))?
        .query_map(params![before.micros(), limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Notes deleted numbers, joined with the ranges that end right before and begin right after them.
fn keep_range(change: &Connection, series: i64, from: i64, to: i64) -> rusqlite::Result<()> {
    // A damaged range stays as it is, for verify to name.
    let whole = PURGED.is_whole("p");
    let before: Option<(i64, i64)> = change
        .prepare_cached(&format!(
            "SELECT from_seq, to_seq FROM purged AS p WHERE series = ?1 AND from_seq < ?2 AND {whole} \
             ORDER BY from_seq DESC LIMIT 1",
        ))?
        .query_row([series, from], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let after: Option<i64> = change
        .prepare_cached(&format!(
            "DELETE FROM purged AS p WHERE series = ?1 AND from_seq = ?2 AND {whole} RETURNING to_seq"
        ))?
        .query_row([series, to.saturating_add(1)], |row| row.get(0))
        .optional()?;
    let from = before.filter(|(_, end)| end.checked_add(1) == Some(from)).map_or(from, |(start, _)| start);
    change
        .prepare_cached(&format!("INSERT OR REPLACE INTO {} VALUES ({})", PURGED.target(), PURGED.values()))?
        .execute([series, from, after.unwrap_or(to)])
        .map(drop)
}
