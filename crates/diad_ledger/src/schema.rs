//! Tables, their versions, and how a database is opened.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, OpenFlags, TransactionBehavior, ffi};

use crate::error::LedgerError;
use crate::seal;

#[cfg(test)]
mod tests;

/// Step `n` turns version `n` into `n + 1`. Released steps are never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/v1.sql"),
    include_str!("schema/v2.sql"),
    include_str!("schema/v3.sql"),
    include_str!("schema/v4.sql"),
    include_str!("schema/v5.sql"),
];

/// The version that this program writes.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// "DiAD", in the header of every ledger: nobody else's database is ever touched.
const APPLICATION: i32 = i32::from_be_bytes(*b"DiAD");

/// Where the header names the format for writing, and the formats that there are.
const WRITE_FORMAT: usize = 18;
const WRITE_FORMATS: [u8; 2] = [1, 2];

/// How long a step waits for a program that keeps the database busy. A part's verdict waits no longer than this.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);

/// The log is cut back to this size after it has grown, for example beside a slow reader.
const LOG_LIMIT_BYTES: i64 = 64 << 20;

/// Opens the database for writing, creates it if there is none, and brings it up to date.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, LedgerError> {
    // One connection is used by one thread at a time, so SQLite need not lock around it. The path is a path, not a URI.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = connect(path, flags)?;
    let found = expect_ours(&conn, path)?;
    // SQLite opens a file that may not be written as one to be read, and says so only at the first row.
    if conn.is_readonly(MAIN_DB).map_err(LedgerError::of(path, "open"))? {
        if !names_a_known_format(path) {
            return Err(LedgerError::damaged(path, "its header names a format that is not SQLite's"));
        }
        let source = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None);
        return Err(LedgerError::ReadOnly { path: path.to_path_buf(), source });
    }
    configure(&conn, path)?;
    migrate(&mut conn, MIGRATIONS, found).map_err(LedgerError::of(path, "bring up to date the schema"))?;
    let differences = differences(&conn).map_err(LedgerError::of(path, "read the schema"))?;
    // A view is for people; nothing of the program reads it.
    match differences.into_iter().find(|object| object.kind != "view") {
        Some(object) => Err(LedgerError::damaged(path, &object.to_string())),
        None => Ok(conn),
    }
}

/// Opens the database for reading, beside a writer or without one.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    if !path.exists() {
        return Err(LedgerError::Missing { path: path.to_path_buf() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = connect(path, flags)?;
    let found = expect_ours(&conn, path)?;
    if found < VERSION {
        return Err(LedgerError::OlderSchema { path: path.to_path_buf(), found, known: VERSION });
    }
    Ok(conn)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, LedgerError> {
    let connect = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        seal::register(&conn)?;
        Ok(conn)
    };
    connect().map_err(LedgerError::of(path, "open"))
}

/// The schema version of a database that is ours or empty.
fn expect_ours(conn: &Connection, path: &Path) -> Result<u32, LedgerError> {
    let number =
        |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(LedgerError::of(path, "read the header"));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let ours = application == i64::from(APPLICATION);
    if !ours && (application != 0 || version != 0 || tables != 0) {
        return Err(LedgerError::Foreign { path: path.to_path_buf() });
    }
    // The header keeps 32 bits, which SQLite reads as signed; ours only ever counts up.
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    if version > VERSION { Err(LedgerError::newer(path, version)) } else { Ok(version) }
}

/// Whether the header names a format that SQLite writes; a file of another one counts as one that may not be written. True
/// where the header cannot be read: the reason is another one then.
fn names_a_known_format(path: &Path) -> bool {
    let mut header = [0; WRITE_FORMAT + 1];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_err() || WRITE_FORMATS.contains(&header[WRITE_FORMAT])
}

fn configure(conn: &Connection, path: &Path) -> Result<(), LedgerError> {
    let failed = || LedgerError::of(path, "set up the log");
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed())?;
    if mode != "wal" {
        return Err(LedgerError::NoLog { path: path.to_path_buf() });
    }
    // Every commit is on the disk before it returns.
    conn.pragma_update(None, "synchronous", "FULL").map_err(failed())?;
    conn.pragma_update(None, "foreign_keys", true).map_err(failed())?;
    conn.pragma_update_and_check(None, "journal_size_limit", LOG_LIMIT_BYTES, |_| Ok(())).map_err(failed())
}

/// Makes the tables of the newest version.
pub(crate) fn create(conn: &mut Connection) -> rusqlite::Result<()> {
    seal::register(conn)?;
    migrate(conn, MIGRATIONS, 0)
}

/// A table, index or view, as SQLite keeps its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    kind: String,
    name: String,
    table: String,
    sql: Option<String>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the definition of {} {} is missing or is not what was written", self.kind, self.name)
    }
}

/// What a ledger of the newest version has, and this one has not, or differently. What somebody has added is none of it.
pub(crate) fn differences(conn: &Connection) -> rusqlite::Result<Vec<Object>> {
    static NEWEST: OnceLock<Vec<Object>> = OnceLock::new();
    let newest = match NEWEST.get() {
        Some(newest) => newest,
        None => {
            let mut conn = Connection::open_in_memory()?;
            create(&mut conn)?;
            let newest = objects(&conn)?;
            NEWEST.get_or_init(|| newest)
        }
    };
    let found = objects(conn)?;
    Ok(newest.iter().filter(|object| !found.contains(object)).cloned().collect())
}

fn objects(conn: &Connection) -> rusqlite::Result<Vec<Object>> {
    conn.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?
        .query_map([], |row| Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? }))?
        .collect()
}

/// Runs the steps that a database of version `from` lacks, all in one transaction: a failure leaves the old version.
/// Begins the transaction also if there is no step, which shows whether a shell keeps the database busy.
fn migrate(conn: &mut Connection, steps: &[&str], from: u32) -> rusqlite::Result<()> {
    let change = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let missing = steps.get(from as usize..).unwrap_or_default();
    for step in missing {
        change.execute_batch(step)?;
    }
    if !missing.is_empty() {
        change.pragma_update(None, "application_id", APPLICATION)?;
        change.pragma_update(None, "user_version", steps.len() as i64)?;
    }
    change.commit()
}
