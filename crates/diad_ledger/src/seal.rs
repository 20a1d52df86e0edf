//! Checksums of the tables beside the verdicts.
//!
//! Each row of these tables carries a CRC-32 over the name of its table and its other columns, in the column `crc32`. SQL
//! takes it with the function `checksum`, so that a row is sealed by the statement that writes it and compared by the
//! statement that reads it.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

/// A table whose rows are sealed, and its columns but for the id that SQLite gives and the checksum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealed {
    pub(crate) table: &'static str,
    columns: &'static [&'static str],
}

pub(crate) const RUNS: Sealed = Sealed { table: "runs", columns: &["run", "line", "station", "started_us"] };
pub(crate) const ENTERED: Sealed =
    Sealed { table: "entered", columns: &["series", "seq", "part", "product", "captured_us", "deadline_ms", "origin"] };
pub(crate) const GAPS: Sealed =
    Sealed { table: "gaps", columns: &["series", "from_seq", "to_seq", "parts", "since_us", "until_us", "cause"] };
pub(crate) const PURGED: Sealed = Sealed { table: "purged", columns: &["series", "from_seq", "to_seq"] };
pub(crate) const MARKS: Sealed = Sealed { table: "marks", columns: &["part", "mark", "at_us"] };
pub(crate) const IN_FORCE: Sealed = Sealed { table: "in_force", columns: &["line", "station", "product", "since_us"] };

impl Sealed {
    /// Every sealed table.
    pub(crate) const ALL: [Self; 6] = [RUNS, ENTERED, GAPS, PURGED, MARKS, IN_FORCE];

    /// `TABLE (COLUMNS, crc32)`, for an INSERT of [`values`](Self::values).
    pub(crate) fn target(self) -> String {
        format!("{} ({}, crc32)", self.table, self.columns.join(", "))
    }

    /// `?1, ?2, …, checksum(…)`: one parameter for each column, in their order.
    pub(crate) fn values(self) -> String {
        let marks: Vec<String> = (1..=self.columns.len()).map(|number| format!("?{number}")).collect();
        let marks = marks.join(", ");
        format!("{marks}, checksum('{}', {marks})", self.table)
    }

    /// The checksum of a row of this table, which the statement calls `alias`.
    pub(crate) fn computed(self, alias: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| format!("{alias}.{column}")).collect();
        format!("checksum('{}', {})", self.table, columns.join(", "))
    }

    /// True for a row, which the statement calls `alias`, that reads as it was written.
    pub(crate) fn is_whole(self, alias: &str) -> String {
        format!("{alias}.crc32 IS {}", self.computed(alias))
    }
}

/// Makes `checksum` known to the SQL of a connection.
pub(crate) fn register(conn: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    conn.create_scalar_function(c"checksum", -1, flags, |values: &mut Context<'_>| {
        let mut hasher = crc32fast::Hasher::new();
        (0..values.len()).for_each(|at| add(&mut hasher, values.get_raw(at)));
        Ok(i64::from(hasher.finalize()))
    })
}

/// Adds a value with its type and length, so that no two lists of values read as the same bytes.
pub(crate) fn add(hasher: &mut crc32fast::Hasher, value: ValueRef<'_>) {
    let (kind, fixed, bytes) = match value {
        ValueRef::Null => (0, 0, &[][..]),
        ValueRef::Integer(value) => (1, value.cast_unsigned(), &[][..]),
        ValueRef::Real(value) => (2, value.to_bits(), &[][..]),
        ValueRef::Text(bytes) => (3, bytes.len() as u64, bytes),
        ValueRef::Blob(bytes) => (4, bytes.len() as u64, bytes),
    };
    hasher.update(&[kind]);
    hasher.update(&fixed.to_le_bytes());
    hasher.update(bytes);
}
