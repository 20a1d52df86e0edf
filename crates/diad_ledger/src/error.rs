//! What can go wrong with a ledger, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

use crate::schema;

/// A ledger that cannot be opened, read or written. Every message names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The folder cannot be used.
    #[error("use the folder of ledger {path}; create it and give it to the user that diad runs as")]
    Folder {
        /// The database file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no ledger to read.
    #[error("no ledger at {path}; name the file with --ledger, or let diad run once")]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// Another process writes this ledger.
    #[error("ledger {path} belongs to {holder}; one station has one daemon: stop that one first", holder = Holder(*.holder))]
    Locked {
        /// The database file.
        path: PathBuf,
        /// That process, if it said so.
        holder: Option<u32>,
    },
    /// A program that is no daemon keeps the file to itself, a database shell for example.
    #[error("ledger {path} is kept busy by another program; end what has it open for writing")]
    Busy {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The file or its folder may not be written.
    #[error("ledger {path} or its folder may not be written; give both to the user that diad runs as")]
    ReadOnly {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is not a database, or not all of it makes sense.
    #[error(
        "ledger {path} is damaged; move it aside together with {path}-wal and {path}-shm, start again, and save what \
         can be read with `diad ledger export`"
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// A row among the newest is not what was written, so the end of the file cannot be trusted.
    #[error(
        "ledger {path} is damaged; move it aside together with {path}-wal and {path}-shm, start again, and save what \
         can be read with `diad ledger export`"
    )]
    DamagedRow {
        /// The database file.
        path: PathBuf,
        /// The row.
        #[source]
        source: crate::DamagedRow,
    },
    /// The disk is full.
    #[error("no space for ledger {path}; free some on its disk")]
    Full {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer version of this program wrote the ledger.
    #[error(
        "ledger {path} has schema {found}, this version knows up to {known}; run the newer diad, or name another file"
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Newest version known.
        known: u32,
    },
    /// An older version of this program wrote the ledger, and a reader may not bring it up to date.
    #[error(
        "ledger {path} has schema {found}, this version reads {known}; start the daemon once to bring it up to date"
    )]
    OlderSchema {
        /// The database file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Version needed.
        known: u32,
    },
    /// The file is a database of another program.
    #[error("{path} is a database of another program; name another file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file system has no shared memory, which the write-ahead log needs: most network shares.
    #[error("ledger {path} lies on a file system without a write-ahead log; name a file on a local disk")]
    NoLog {
        /// The database file.
        path: PathBuf,
    },
    /// A file of the open ledger was deleted or replaced: what is written would be lost.
    #[error("{file} was deleted or replaced while the ledger {path} was open; open it again")]
    Removed {
        /// The database file.
        path: PathBuf,
        /// The file that is no longer there.
        file: PathBuf,
    },
    /// The disk failed.
    #[error("{step} of ledger {path}; check the disk and the space on it")]
    Disk {
        /// The database file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The disk neither answers nor fails. Said by whoever waits for a ledger on a thread of its own.
    #[error("{step} of ledger {path} does not come to an end: its disk hangs; check the disk")]
    Hangs {
        /// The database file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// Whether it was begun; if not, an earlier step hangs still.
        begun: bool,
    },
    /// The last run id that is kept is none of ours, or no greater one exists.
    #[error("name a run after {last:?}, the last one in ledger {path}; move the ledger aside and start again")]
    Run {
        /// The database file.
        path: PathBuf,
        /// The last run id.
        last: String,
    },
    /// SQLite refused a step for a reason that has no variant of its own and that damage does not explain: a bug.
    #[error("{step} of ledger {path}")]
    Step {
        /// The database file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

impl LedgerError {
    /// Sorts SQLite's error of a step by what the operator can do about it.
    pub(crate) fn of(path: &Path, step: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.sqlite_error_code() {
            _ if is_damage(&source) => Self::Damaged { path, source },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Self::Busy { path, source }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { path, source }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path, source },
            Some(ErrorCode::SystemIoFailure) => Self::Disk { path, step, source },
            _ => Self::Step { path, step, source },
        }
    }

    /// Whether what was to be written may be on the disk all the same: the disk failed to say that it is.
    #[must_use]
    pub const fn leaves_doubt(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::Hangs { begun: true, .. })
    }

    /// Something is wrong with it that SQLite itself does not see.
    pub(crate) fn damaged(path: &Path, what: &str) -> Self {
        let corrupt = ffi::Error::new(ffi::SQLITE_CORRUPT);
        let source = rusqlite::Error::SqliteFailure(corrupt, Some(what.to_owned()));
        Self::Damaged { path: path.to_path_buf(), source }
    }

    /// Rows do not come in the order that they are kept in: whoever goes on after the last one would never come to an end.
    pub(crate) fn out_of_order(path: &Path) -> Self {
        Self::damaged(path, "rows are out of order")
    }

    pub(crate) fn newer(path: &Path, found: u32) -> Self {
        Self::NewerSchema { path: path.to_path_buf(), found, known: schema::VERSION }
    }
}

/// Whether a sound ledger cannot be the reason. Every statement of this crate is fixed and tested: one that a ledger refuses,
/// or answers with values of another kind, has met a schema or values that are not what was written. A value that breaks a
/// CHECK is one of the program's own.
fn is_damage(source: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    match source {
        Error::SqliteFailure(error, _) | Error::SqlInputError { error, .. } => match error.code {
            ErrorCode::ConstraintViolation => error.extended_code != ffi::SQLITE_CONSTRAINT_CHECK,
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::SchemaChanged
            | ErrorCode::TooBig
            | ErrorCode::TypeMismatch
            | ErrorCode::Unknown => true,
            _ => false,
        },
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::NulError(..)
        | Error::InvalidColumnType(..)
        | Error::InvalidColumnName(..)
        | Error::InvalidColumnIndex(..)
        | Error::QueryReturnedNoRows => true,
        _ => false,
    }
}

/// Who holds a lock, in words.
struct Holder(Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(process) => write!(f, "process {process}"),
            None => f.write_str("another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn doubt_is_left_by_a_disk_that_fails_and_not_by_one_that_is_full() {
        for (code, doubt) in [(ffi::SQLITE_IOERR_FSYNC, true), (ffi::SQLITE_FULL, false), (ffi::SQLITE_BUSY, false)] {
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(LedgerError::of(Path::new("l"), "go on")(source).leaves_doubt(), doubt, "{code}");
        }
    }
}
