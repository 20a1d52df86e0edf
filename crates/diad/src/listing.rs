//! What lies in a folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

use diad_capture::is_litter;

/// Endings of pictures, in lower case.
const IMAGE_EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// What is in a folder by name, without [litter](is_litter) such as hidden files.
///
/// # Errors
/// The folder cannot be read.
pub fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !is_litter(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Words that people call the folder of good parts by, beside `good`.
const GOOD_FOLDER_SYNONYMS: [&str; 9] = ["good", "ok", "okay", "io", "i.o.", "pass", "passed", "normal", "gut"];

/// Whether a folder seems to be that of the good parts under another name than `good`: `OK`, `Good`, `pass`. Taken for a
/// kind of defect it would make every figure wrong.
#[must_use]
pub fn is_like_good(name: &str) -> bool {
    name != "good" && GOOD_FOLDER_SYNONYMS.contains(&name.to_lowercase().as_str())
}

/// Whether it is a file with the name of a picture: PNG or JPEG.
#[must_use]
pub fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| IMAGE_EXTENSIONS.contains(&&*ending)) && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_like_good_knows_what_people_call_it() {
        assert!(["Good", "OK", "ok", "Pass", "normal", "IO", "GUT"].iter().all(|name| is_like_good(name)));
        assert!(["good", "NG", "scratch", "okra", "good_1"].iter().all(|name| !is_like_good(name)));
    }
}
