//! RFC 4180, with a line of names first.

use std::io::Write;

use super::columns::COLUMNS;
use super::{ExportError, Exported};
use crate::error::LedgerError;
use crate::reader::Entry;

/// Writes verdicts as CSV, for example [`Reader::rows`](crate::Reader::rows). Takes flat memory.
///
/// # Errors
/// [`ExportError::Ledger`] and [`ExportError::Csv`]; what was written before may be incomplete.
pub fn csv(rows: impl Iterator<Item = Result<Entry, LedgerError>>, out: impl Write) -> Result<Exported, ExportError> {
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record(COLUMNS.iter().map(|column| column.name))?;
    let mut exported = Exported::NONE;
    for entry in rows {
        match entry? {
            Ok(stored) => {
                exported.rows += 1;
                let cells = COLUMNS.iter().map(|column| (column.value)(&stored));
                writer.write_record(cells.map(|cell| cell.map_or_else(String::new, |value| value.to_string())))?;
            }
            Err(damaged) => exported.damaged.note(damaged),
        }
    }
    writer.flush().map_err(::csv::Error::from)?;
    Ok(exported)
}
