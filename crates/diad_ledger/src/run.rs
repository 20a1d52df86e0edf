//! Run ids that never repeat.

use std::time::SystemTime;

use diad_core::name::{LineName, RunId, StationName};
use rusqlite::{Connection, params};
use ulid::Ulid;

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::moment::Moment;
use crate::row::RunContext;
use crate::seal::RUNS;

#[cfg(test)]
mod tests;

impl Ledger {
    /// Names a new run of the daemon and keeps the name, durably, before it returns it.
    ///
    /// The id is a ULID greater than every one before it in this ledger, also where the clock went back: ids sort in
    /// the order of the starts. Ledgers apart from each other are told apart by its 80 random bits.
    ///
    /// # Errors
    /// [`LedgerError`]; no name is kept then.
    pub fn start_run(&mut self, line: &LineName, station: &StationName, now: SystemTime) -> Result<RunId, LedgerError> {
        let path = self.path().to_path_buf();
        let change = self.change()?;
        let failed = || LedgerError::of(&path, "name a run");
        let last: Option<String> =
            change.query_row("SELECT max(run) FROM runs", [], |row| row.get(0)).map_err(failed())?;
        let started = Moment::from(now);
        let name = after(last.as_deref(), Ulid::from_datetime(started.wall()));
        let name = name.ok_or_else(|| LedgerError::Run { path: path.clone(), last: last.unwrap_or_default() })?;
        change
            .execute(
                &format!("INSERT INTO {} VALUES ({})", RUNS.target(), RUNS.values()),
                params![name.as_str(), line.as_str(), station.as_str(), started.micros()],
            )
            .map_err(failed())?;
        change.commit().map_err(failed())?;
        Ok(name)
    }
}

/// Keeps the name of a run that began in another file.
pub(crate) fn know(change: &Connection, context: &RunContext) -> rusqlite::Result<()> {
    let RunContext { line, station, run, .. } = context;
    let started = Ulid::from_string(run.as_str()).map_or(0, |id| id.timestamp_ms().cast_signed() * 1000);
    change
        .prepare_cached(&format!("INSERT OR IGNORE INTO {} VALUES ({})", RUNS.target(), RUNS.values()))?
        .execute(params![run.as_str(), line.as_str(), station.as_str(), started])
        .map(drop)
}

/// A name greater than the last one: the fresh one if the clock went on, else the one right after the last. None if
/// the last is no ULID, or the greatest of all.
fn after(last: Option<&str>, fresh: Ulid) -> Option<RunId> {
    let next = match last {
        None => fresh,
        Some(last) => {
            let last = Ulid::from_string(last).ok()?;
            // Into the next millisecond if need be: only the order matters.
            let following = u128::from(last).checked_add(1)?;
            fresh.max(Ulid::from(following))
        }
    };
    RunId::try_new(&next.to_string()).ok()
}
