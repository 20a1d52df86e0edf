//! Files that a command leaves behind.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use diad_core::tensor::Shape;
use image::{ImageError, RgbImage};
use ndarray::ArrayView;
use ndarray_npy::{WriteNpyError, WriteNpyExt};

use crate::picture;

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No such folder can be made.
    #[error("make folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The picture cannot be encoded.
    #[error("encode {}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The encoder's reason.
        source: ImageError,
    },
    /// The array cannot be written.
    #[error("write array {}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// The writer's reason.
        source: WriteNpyError,
    },
}

/// Makes a folder and those above it, unless it is there.
///
/// # Errors
/// [`FileError::Folder`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError::Folder { path: path.to_owned(), source })
}

/// Writes a file, in place of one of the same name.
///
/// # Errors
/// [`FileError::Write`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    fs::write(path, bytes).map_err(|source| FileError::Write { path: path.to_owned(), source })
}

/// Drafts begun by this process.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// A file in the making, beside its place: it takes its place as a whole with [`Draft::keep`], or leaves nothing.
#[derive(Debug)]
pub struct Draft {
    /// Where it belongs.
    path: PathBuf,
    /// Where it is written.
    beside: PathBuf,
    file: File,
}

impl Draft {
    /// Begins a file that will be at `path`. It is written in the same folder, so that it can be put in place at once.
    ///
    /// # Errors
    /// [`FileError::Write`].
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Write { path: path.to_owned(), source };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        // Two that write the same file must not write into each other, nor two threads of this process.
        let turn = DRAFTS.fetch_add(1, Ordering::Relaxed);
        hidden.push(format!(".{}-{turn}.part", std::process::id()));
        let beside = path.with_file_name(hidden);
        // One that a process of the same number left when it was killed.
        let _ = fs::remove_file(&beside);
        let file = File::create_new(&beside).map_err(failed)?;
        Ok(Self { path: path.to_owned(), beside, file })
    }

    /// What to write to.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Puts the file in its place, instead of one that is there. It is on the disk before it has its name.
    ///
    /// # Errors
    /// [`FileError::Write`]; nothing is left behind then.
    pub fn keep(self) -> Result<(), FileError> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.beside, &self.path));
        kept.map_err(|source| FileError::Write { path: self.path.clone(), source })?;
        // The file is in its place already, so a folder that cannot be synced is no error.
        if let Some(Ok(folder)) = self.path.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// Puts a text in the place of a file, as a whole; of the file a link leads to, if it is one. Whose the file is, where we
/// may say so, and who may read and write it stay as they were.
///
/// # Errors
/// [`FileError::Write`]; the file is as before then.
pub fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    draft_replacement(path, text)?.keep()
}

/// Writes a text that is to [`replace`] a file, and does not put it in its place yet: [`Draft::keep`] does, when all that
/// belongs to it is on the disk too.
///
/// # Errors
/// [`FileError::Write`]; the file is as before then.
pub fn draft_replacement(path: &Path, text: &str) -> Result<Draft, FileError> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let draft = Draft::create(path)?;
    draft.file().write_all(text.as_bytes()).and_then(|()| draft.file().sync_all()).map_err(failed)?;
    if let Ok(metadata) = fs::metadata(path) {
        // First, for a change of owner takes bits away. Only root may give a file to somebody else.
        let _ = std::os::unix::fs::fchown(draft.file(), Some(metadata.uid()), Some(metadata.gid()));
        draft.file().set_permissions(metadata.permissions()).map_err(failed)?;
    }
    Ok(draft)
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Not there any more once it was kept.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Writes a picture as PNG.
///
/// # Errors
/// [`FileError`].
pub fn write_png(path: &Path, picture: &RgbImage) -> Result<(), FileError> {
    match picture::encode_png(picture) {
        Ok(bytes) => write(path, &bytes),
        Err(source) => Err(FileError::Picture { path: path.to_owned(), source }),
    }
}

/// Writes an array in NumPy's format: `float32`, C order.
///
/// # Errors
/// [`FileError`].
pub fn write_npy(path: &Path, shape: Shape, values: &[f32]) -> Result<(), FileError> {
    write_array(path, ArrayView::from_shape(shape, values))
}

/// Writes one number as an array of shape `[1]`.
///
/// # Errors
/// [`FileError`].
pub fn write_npy_number(path: &Path, value: f32) -> Result<(), FileError> {
    write_array(path, ArrayView::from_shape(1, &[value]))
}

fn write_array<D: ndarray::Dimension>(
    path: &Path,
    array: Result<ArrayView<'_, f32, D>, ndarray::ShapeError>,
) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let array = array.map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    match array.write_npy(&mut file) {
        Ok(()) => file.flush().map_err(failed),
        Err(WriteNpyError::Io(source)) => Err(failed(source)),
        Err(source) => Err(FileError::Array { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn write_npy_gives_the_bytes_that_numpy_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write_npy(&path, [1, 2, 1, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.5]).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let (header, data) = bytes[10..].split_at(length);
        let header = String::from_utf8_lossy(header);
        assert!(header.contains("'descr': '<f4'") && header.contains("'fortran_order': False"), "{header}");
        assert!(header.contains("'shape': (1, 2, 1, 3)"), "{header}");
        assert_eq!((10 + length) % 64, 0);
        assert_eq!(data.len(), 24);
        assert_eq!(data[20..], 5.5_f32.to_le_bytes());
    }

    #[test]
    fn draft_takes_its_place_as_a_whole_or_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        fs::write(&path, "old").unwrap();
        let draft = draft_replacement(&path, "new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"old".to_vec(), 2));
        drop(draft);
        let draft = Draft::create(&path).unwrap();
        draft.file().write_all(b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"old".to_vec(), 2));
        drop(draft);
        assert_eq!((fs::read(&path).unwrap(), names()), (b"old".to_vec(), 1));
        let draft = Draft::create(&path).unwrap();
        draft.file().write_all(b"new").unwrap();
        draft.keep().unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"new".to_vec(), 1));
        assert!(Draft::create(Path::new("..")).is_err());
    }

    #[test]
    fn replace_follows_a_link_and_leaves_owner_and_permissions_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("site/thresholds.yaml"), folder.path().join("thresholds.yaml"));
        fs::create_dir(folder.path().join("site")).unwrap();
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        // Only root may.
        let _ = std::os::unix::fs::chown(&file, Some(1234), None);
        let before = fs::metadata(&file).unwrap();
        std::os::unix::fs::symlink("site/thresholds.yaml", &link).unwrap();
        replace(&link, "new").unwrap();
        let after = fs::metadata(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
        assert_eq!((after.uid(), after.mode()), (before.uid(), before.mode()));
    }

    #[test]
    fn write_into_a_missing_folder_names_the_file() {
        let error = write_npy_number(Path::new("/nowhere/at/all.npy"), 1.0).unwrap_err();
        assert_eq!(error.to_string(), "write /nowhere/at/all.npy");
    }
}
