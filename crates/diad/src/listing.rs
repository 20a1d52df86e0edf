//! What lies in a folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Endings of pictures, in lower case.
const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];

/// What is in a folder and not hidden, by name.
///
/// # Errors
/// The folder cannot be read.
pub fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether it is a file with the name of a picture: PNG or JPEG.
#[must_use]
pub fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| PICTURES.contains(&&*ending)) && path.is_file()
}
