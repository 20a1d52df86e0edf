//! Reads a settings file whole: a regular file of at most 1 MiB of UTF-8.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::fault::{Fault, Mark, Place};

/// Largest settings file, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads the file's text.
///
/// # Errors
/// One [`Fault`] if the file is missing, unreadable, not a regular file (reading a pipe could wait for
/// ever), larger than [`MAX_FILE_BYTES`], or not UTF-8 (with the place of the first bad byte).
pub fn load(path: &Path) -> Result<String, Fault> {
    let file: Arc<str> = path.to_string_lossy().into();
    let fault = |message: String, allowed: Option<&str>| Fault {
        place: Place::File { file: Arc::clone(&file), mark: None },
        path: String::new(),
        message,
        allowed: allowed.map(str::to_owned),
    };
    let unreadable = |e: std::io::Error| fault(format!("cannot be read: {e}"), None);
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(fault("is a folder".to_owned(), Some("a regular file")));
    }
    if !metadata.is_file() {
        return Err(fault("is not a regular file".to_owned(), Some("a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|f| f.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(fault("is too large".to_owned(), Some("at most 1 MiB")));
    }
    decode(bytes, &file)
}

/// Takes bytes as UTF-8.
///
/// # Errors
/// One [`Fault`] with the place of the first byte that is none.
pub fn decode(bytes: Vec<u8>, file: &Arc<str>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let good = String::from_utf8_lossy(&e.as_bytes()[..at]);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        Fault {
            place: Place::File { file: Arc::clone(file), mark: Some(Mark { line, column }) },
            path: String::new(),
            message: format!("byte 0x{:02x} is not UTF-8", e.as_bytes().get(at).copied().unwrap_or_default()),
            allowed: Some("UTF-8 text".to_owned()),
        }
    })
}
