//! How the process ends, in the numbers that systemd and scripts act on (`sysexits.h`).

use std::process::ExitCode;

use diad_ledger::LedgerError;

/// Why the process ended. A clean stop on a signal is [`Done`](Self::Done).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The work is done.
    Done = 0,
    /// The command line makes no sense.
    Usage = 64,
    /// Input is bad: an image, a data set, a model bundle.
    BadData = 65,
    /// A device or service is not there: camera, broker, a provider asked for by name.
    Unavailable = 69,
    /// The program is wrong.
    Bug = 70,
    /// The disk is full or broken.
    Disk = 74,
    /// Settings or thresholds are wrong.
    Settings = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&LedgerError> for Exit {
    fn from(error: &LedgerError) -> Self {
        match error {
            LedgerError::Missing { .. }
            | LedgerError::Foreign { .. }
            | LedgerError::OlderSchema { .. }
            | LedgerError::NewerSchema { .. }
            | LedgerError::Damaged { .. }
            | LedgerError::DamagedRow { .. }
            | LedgerError::Run { .. } => Self::BadData,
            LedgerError::Locked { .. } | LedgerError::Busy { .. } => Self::Unavailable,
            LedgerError::Folder { .. }
            | LedgerError::ReadOnly { .. }
            | LedgerError::Full { .. }
            | LedgerError::NoLog { .. }
            | LedgerError::Removed { .. }
            | LedgerError::Disk { .. }
            | LedgerError::Hangs { .. } => Self::Disk,
            LedgerError::Step { .. } => Self::Bug,
        }
    }
}
