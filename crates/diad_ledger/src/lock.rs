//! One ledger, one writing process.
//!
//! SQLite keeps writers from mixing their transactions, but it would let two daemons take turns. So the writer holds
//! a lock on a file beside the database: the system gives it back when the process ends, however it ends. The file
//! stays: whoever deleted it while another waits for it would let both in.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::LedgerError;
use crate::watch::beside;

/// The right to write one ledger, for as long as this lives.
#[derive(Debug)]
pub(crate) struct WriterLock {
    path: PathBuf,
    _file: File,
}

impl WriterLock {
    /// Takes the lock of the ledger at `path`, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, LedgerError> {
        let lock = beside(path, ".lock");
        let folder = |source| LedgerError::Folder { path: path.to_path_buf(), source };
        let open = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&lock);
        let mut file = open.map_err(folder)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Locked { path: path.to_path_buf(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(folder(source)),
        }
        // For the message above. A full disk must not keep a station from starting, so nothing depends on it.
        let _ = sign(&mut file);
        Ok(Self { path: lock, _file: file })
    }

    /// The file that is locked.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
