//! Whether the files of an open ledger are still the ones at their paths.
//!
//! A deleted file can be written for as long as it is open, and is gone when it is closed. A ledger that went on so
//! would say "durable" of rows that nobody will ever read.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The path of a file that belongs to the database at `path`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Files as they were when the ledger was opened.
#[derive(Debug)]
pub(crate) struct Watch(Vec<(PathBuf, Identity)>);

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Watch {
    pub(crate) fn over(paths: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        paths.into_iter().map(|path| Ok((path.clone(), identity(&path)?))).collect::<io::Result<_>>().map(Self)
    }

    /// The first file that is not what it was.
    pub(crate) fn missing(&self) -> Option<&Path> {
        let changed = |(path, seen): &&(PathBuf, Identity)| identity(path).ok().as_ref() != Some(seen);
        self.0.iter().find(changed).map(|(path, _)| path.as_path())
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let meta = fs::metadata(path)?;
    Ok(Identity { device: meta.dev(), inode: meta.ino() })
}
