//! One ledger, one writing process.
//!
//! SQLite keeps writers from mixing their transactions, but it would let two daemons take turns. So the writer holds
//! a lock on a file beside the database: the system gives it back when the process ends, however it ends. The file
//! stays: whoever deleted it while another waits for it would let both in.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt as _;
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

/// Which process writes the ledger at `path` now; none if nobody does, or the system does not tell. Takes no lock, not for
/// a moment: a station that starts meanwhile would be refused. The process number is 0 where the system hides it.
#[must_use]
pub fn writer(path: &Path) -> Option<u32> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let inode = std::fs::metadata(beside(&path, ".lock")).ok()?.ino();
    locked_by(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Who holds a lock on a whole file, by the text of `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 710 fe:00:131074 0 EOF`. A
/// line with `->` is of a process that waits.
fn locked_by(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", process, file, ..] = words[..] else { return None };
        let held = file.rsplit(':').next()?.parse::<u64>().ok()? == inode;
        held.then(|| process.parse().unwrap_or(0))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writer_is_the_process_that_holds_the_lock_and_asking_takes_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite3");
        assert_eq!(writer(&path), None, "there is no lock file, and none is made");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let lock = WriterLock::take(&path).unwrap();
        assert_eq!(writer(&path), Some(std::process::id()));
        drop(lock);
        assert_eq!(writer(&path), None);
    }

    #[test]
    fn locks_of_other_files_other_kinds_and_waiting_processes_do_not_count() {
        let locks = "1: POSIX  ADVISORY  WRITE 5 08:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 6 08:01:78 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 7 08:01:79 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 8 08:01:77 0 EOF\nnonsense\n";
        assert_eq!(locked_by(locks, 77), None);
        assert_eq!(locked_by(locks, 79), Some(7));
    }
}
