//! Verdicts for other programs: CSV for people and spreadsheets, Parquet for notebooks and warehouses.
//!
//! Both have the same columns, in the words of the wire where it has them, with empty cells for what a part has not.
//! Times are UTC; `_ms` are milliseconds to the microsecond, as a verdict shows its latency; digests are in full.

mod columns;
mod csv;
mod parquet;

#[cfg(test)]
mod tests;

pub use csv::csv;
pub use parquet::parquet;

use crate::cells::DamagedRow;
use crate::error::LedgerError;
use crate::verify::Findings;

/// What was written.
#[derive(Debug, PartialEq)]
pub struct Exported {
    /// Verdicts.
    pub rows: u64,
    /// Rows that were left out because they cannot be trusted.
    pub damaged: Findings<DamagedRow>,
}

impl Exported {
    const NONE: Self = Self { rows: 0, damaged: Findings::NONE };
}

/// An export that was broken off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger could not be read on.
    #[error("read the verdicts")]
    Ledger(#[from] LedgerError),
    /// The file could not be written.
    #[error("write CSV")]
    Csv(#[from] ::csv::Error),
    /// The file could not be written.
    #[error("write Parquet")]
    Parquet(#[from] ::parquet::errors::ParquetError),
}
