//! The overlays of one product: written once, named by their content.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use diad_core::name::ProductName;
use diad_publish::wire::Digest;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::current::Current;
use crate::files::{self, Draft, FileError};

/// Ending of an overlay's file.
const OVERLAY_EXTENSION: &str = "safetensors";
/// The pointer's file.
const CURRENT_FILE: &str = "current.json";
/// Held by the one who changes something.
const LOCK_FILE: &str = ".lock";
/// What a run that is not finished has worked out.
const WORK_FOLDER: &str = ".work";

/// The folder of one product.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
    product: ProductName,
}

/// An overlay that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its name: SHA-256 of the file.
    pub digest: Digest,
    /// Size of the file.
    pub bytes: u64,
}

impl Shelf {
    pub(super) const fn new(folder: PathBuf, product: ProductName) -> Self {
        Self { folder, product }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder for what a run that is not finished has worked out; not made yet.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.join(WORK_FOLDER)
    }

    /// Where the overlay of this digest is, if it is kept.
    #[must_use]
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.{OVERLAY_EXTENSION}", digest.hex()))
    }

    /// Makes the folder and takes its lock, until the file is closed. Only who holds it may change anything here.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has it, [`StoreError::Write`].
    pub fn lock(&self) -> Result<File, StoreError> {
        self.make_folders()?;
        let path = self.folder.join(LOCK_FILE);
        let failed = |source| FileError::Write { path: path.clone(), source };
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        adopt(&file, &self.folder);
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::Busy { product: self.product.clone() }),
            Err(TryLockError::Error(source)) => Err(failed(source).into()),
        }
    }

    /// Keeps an overlay and gives its name. It is on the disk, under its name, when this returns; one that is there already
    /// is left alone.
    ///
    /// # Errors
    /// [`StoreError::Write`], where the disk is full for one; nothing is left behind then.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::from_bytes(Sha256::digest(bytes).into());
        let path = self.path(digest);
        if fs::read(&path).is_ok_and(|kept| kept == bytes) {
            return Ok(digest);
        }
        let draft = self.draft(&path, bytes)?;
        draft.keep()?;
        Ok(digest)
    }

    /// The pointer; none where there is no file.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`], [`StoreError::Format`].
    pub fn current(&self) -> Result<Option<Current>, StoreError> {
        let path = self.folder.join(CURRENT_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Read { path, source }),
        };
        match Current::read(&text) {
            Ok(Ok(current)) => Ok(Some(current)),
            Ok(Err(format)) => Err(StoreError::Format { path, format }),
            Err(source) => Err(StoreError::Damaged { path, source }),
        }
    }

    /// Another pointer, on the disk and not in its place: [`Draft::keep`] puts it there.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn draft_current(&self, current: &Current) -> Result<Draft, StoreError> {
        let path = self.folder.join(CURRENT_FILE);
        let text = current.text().map_err(|source| StoreError::Damaged { path: path.clone(), source })?;
        self.draft(&path, text.as_bytes())
    }

    /// The overlays that are kept, by name.
    ///
    /// # Errors
    /// [`StoreError::Read`]; a folder that is not there is empty.
    pub fn kept(&self) -> Result<Vec<Kept>, StoreError> {
        let failed = |source| StoreError::Read { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut kept = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let digest = path.file_stem().and_then(|stem| Digest::try_from_hex(stem.to_str()?).ok());
            if let Some(digest) = digest.filter(|_| path.extension().is_some_and(|ending| ending == OVERLAY_EXTENSION))
            {
                kept.push(Kept { digest, bytes: entry.metadata().map_err(failed)?.len() });
            }
        }
        kept.sort_by_key(|kept| kept.digest);
        Ok(kept)
    }

    /// Takes an overlay away.
    ///
    /// # Errors
    /// [`StoreError::Remove`].
    pub fn remove(&self, digest: Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        fs::remove_file(&path).map_err(|source| StoreError::Remove { path, source })
    }

    fn draft(&self, path: &Path, bytes: &[u8]) -> Result<Draft, StoreError> {
        let draft = Draft::create(path)?;
        let failed = |source| FileError::Write { path: path.to_owned(), source };
        draft.file().write_all(bytes).and_then(|()| draft.file().sync_all()).map_err(failed)?;
        adopt(draft.file(), &self.folder);
        Ok(draft)
    }

    fn make_folders(&self) -> Result<(), FileError> {
        let root = self.folder.parent().unwrap_or(&self.folder);
        for folder in [root, &self.folder] {
            if folder.is_dir() {
                continue;
            }
            files::make_folder(folder)?;
            if let (Ok(made), Some(above)) = (File::open(folder), folder.parent()) {
                adopt(&made, above);
            }
        }
        Ok(())
    }
}

/// Gives a file to the owner of a folder, so that the station's user can read what root has learnt. Only root may, and
/// where nobody can the file stays readable as it was made.
fn adopt(file: &File, folder: &Path) {
    if let Ok(metadata) = fs::metadata(folder) {
        let _ = std::os::unix::fs::fchown(file, Some(metadata.uid()), Some(metadata.gid()));
    }
}
