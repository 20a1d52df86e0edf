//! From the path in the settings to the number that the driver knows.

use std::fs::OpenOptions;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::OpenError;

/// Follows links to `…/videoN`, makes sure that it can be opened, and gives `N`.
pub(super) fn device_number(path: &Path) -> Result<u32, OpenError> {
    let target = path.canonicalize().map_err(|source| OpenError::Find { path: path.to_owned(), source })?;
    let number = video_number(&target);
    let is_device = target.metadata().is_ok_and(|data| data.file_type().is_char_device());
    let Some(number) = number.filter(|_| is_device) else {
        return Err(OpenError::NotVideo { path: path.to_owned(), target });
    };
    // nokhwa's own refusal is a sentence; this one tells permission from absence.
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(&target)
        .map_err(|source| OpenError::Access { path: target.clone(), source })?;
    Ok(number)
}

/// `N` of a path that ends in `videoN`.
pub(super) fn video_number(path: &Path) -> Option<u32> {
    let digits = path.file_name()?.to_str()?.strip_prefix("video")?;
    // `parse` would take a sign.
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}
