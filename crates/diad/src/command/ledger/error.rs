//! Why `diad ledger` did not do its work, or found that a ledger is not sound.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use diad_ledger::LedgerError;
use diad_ledger::export::ExportError;

use super::counted;
use crate::exit::Exit;
use crate::files::FileError;

/// A ledger could not be read, written elsewhere, or trusted.
#[derive(Debug, thiserror::Error)]
pub enum LedgerCommandError {
    /// The settings that should say where the ledger is have faults; they have been printed.
    #[error("{} in the settings", counted(*.count as u64, "fault"))]
    Settings {
        /// How many.
        count: usize,
    },
    /// What was named is a folder, a pipe or a device.
    #[error("{} is not a file; name the database file of the ledger, such as ledger.sqlite3", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// It cannot be seen whether there is a ledger.
    #[error("look for ledger {}; its folder may be closed to this user: try as the user that diad runs as", path.display())]
    Look {
        /// The database file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The command line asks for what cannot be.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The export cannot be written to its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The export broke off; nothing was left behind.
    #[error("export to {to}")]
    Export {
        /// The file, or standard output.
        to: String,
        /// Why.
        source: Box<ExportError>,
    },
    /// Sound rows were exported, but not all rows are sound; the others have been named.
    #[error("{} left out of the export; see `diad ledger verify`", counted(*.rows, "damaged row"))]
    DamagedRows {
        /// How many are not.
        rows: u64,
    },
    /// A damaged part of the ledger ended the export; what was read before it was exported.
    #[error("export ends early, after {}: what comes later cannot be read", counted(*.rows, "verdict"))]
    EndsEarly {
        /// Verdicts exported.
        rows: u64,
        /// What stands in the way.
        source: LedgerError,
    },
    /// The ledger is not sound; the findings have been printed.
    #[error("ledger {} is not sound", path.display())]
    NotSound {
        /// The database file.
        path: PathBuf,
    },
    /// The result cannot be written to standard output.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

/// A command line that no export can come of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nothing says what to write.
    #[error("{} ends in neither .csv nor .parquet; say which with --format", path.display())]
    Format {
        /// The file to write.
        path: PathBuf,
    },
    /// Parquet needs a file.
    #[error("Parquet goes to a file; name it with --out")]
    ParquetToStdout,
    /// Standard output cannot hold both.
    #[error("--json tells of an export to a file; name it with --out")]
    JsonToStdout,
    /// A stretch of time that ends before it begins.
    #[error("--until must lie after --since")]
    Span,
    /// The export would take the place of the ledger.
    #[error("{} belongs to the ledger itself; name another file", path.display())]
    Itself {
        /// The file to write.
        path: PathBuf,
    },
    /// A file is in the way.
    #[error("{} is there already; --force replaces it", path.display())]
    Exists {
        /// The file to write.
        path: PathBuf,
    },
    /// What is in the way is no file.
    #[error("{} is not a file and cannot be replaced by one", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
}

impl LedgerCommandError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Settings { .. } => Exit::Settings,
            Self::Request(_) => Exit::Usage,
            Self::Ledger(error) | Self::EndsEarly { source: error, .. } => error.into(),
            Self::Export { source, .. } => match &**source {
                ExportError::Ledger(error) => error.into(),
                ExportError::Parquet(error) if !is_of_the_disk(error) => Exit::Bug,
                ExportError::Parquet(_) | ExportError::Csv(_) => Exit::Disk,
            },
            Self::NotAFile { .. } | Self::DamagedRows { .. } | Self::NotSound { .. } => Exit::BadData,
            Self::Look { .. } | Self::File(_) | Self::Output(_) => Exit::Disk,
        }
    }
}

/// True if the system refused to write; else it is the encoder that could not.
fn is_of_the_disk(error: &(dyn Error + 'static)) -> bool {
    error.is::<io::Error>() || error.source().is_some_and(is_of_the_disk)
}
