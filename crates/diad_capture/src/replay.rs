//! A folder of pictures as a camera.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::camera::stamp_now;
use crate::litter::is_litter;
use crate::picture::read_into;
use crate::{BufferPool, Camera, Capture, CaptureError, OpenError, Take};

/// What comes after the last picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// The end.
    Once,
    /// The first one again.
    Looped,
}

/// Hands over the pictures of a folder, in order of their paths, each when it is asked for.
///
/// Every file called `.png`, `.jpg` or `.jpeg` is a part, in folders within the folder too: one that cannot be decoded
/// is an error for that part, never skipped. What is [litter](is_litter) by its name, or lies in a folder that is, is none.
/// The folder is listed once, at the start.
#[derive(Debug)]
pub struct ReplayCamera {
    folder: PathBuf,
    files: Vec<PathBuf>,
    left_out: Vec<PathBuf>,
    next: usize,
    replay: Replay,
    pool: BufferPool,
    /// Bytes of the current file; kept because it is used again.
    file: Vec<u8>,
}

impl ReplayCamera {
    /// Lists the pictures under `folder`.
    ///
    /// # Errors
    /// [`CaptureError::Open`] if a folder cannot be listed, or if there is no picture.
    pub fn open(folder: &Path, replay: Replay, pool: BufferPool) -> Result<Self, CaptureError> {
        let opened = list(folder).and_then(|(files, left_out)| {
            if files.is_empty() {
                return Err(OpenError::NoPictures { path: folder.to_owned(), others: left_out.len() });
            }
            Ok((files, left_out))
        });
        let (files, left_out) =
            opened.map_err(|source| CaptureError::Open { camera: Arc::from(folder.to_string_lossy()), source })?;
        info!(folder = %folder.display(), pictures = files.len(), "replay opened");
        if !left_out.is_empty() {
            warn!(files = left_out.len(), list = ?left_out, "litter, or not PNG or JPEG by name; left out of the replay");
        }
        Ok(Self { folder: folder.to_owned(), files, left_out, next: 0, replay, pool, file: Vec::new() })
    }

    /// The pictures of one round, in order.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What is not replayed because of its name: files that are no pictures, and litter, a whole folder of it once.
    #[must_use]
    pub fn left_out(&self) -> &[PathBuf] {
        &self.left_out
    }
}

impl Camera for ReplayCamera {
    fn describe(&self) -> String {
        let then = match self.replay {
            Replay::Once => "once",
            Replay::Looped => "looped",
        };
        format!("replay of {} ({} pictures, {then})", self.folder.display(), self.files.len())
    }

    fn next_frame(&mut self, _not_before: Instant, _timeout: Duration) -> Result<Take, CaptureError> {
        if self.is_over() {
            return Ok(Take::Ended);
        }
        if self.next == self.files.len() {
            self.next = 0;
        }
        let path = &self.files[self.next];
        // Counted before reading: a bad file is one part's failure and must not come again for ever.
        self.next += 1;
        let stamp = stamp_now();
        let picture = read_into(path, &mut self.file, &self.pool)?;
        let source = Some(Arc::from(path.to_string_lossy()));
        Ok(Take::Frame(Capture { picture, stamp, source, truth: None }))
    }

    fn is_over(&self) -> bool {
        self.replay == Replay::Once && self.next == self.files.len()
    }
}

/// Files under `folder`: pictures by name, and what is left out; both in order.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), OpenError> {
    let (mut pictures, mut others) = (Vec::new(), Vec::new());
    let mut open = vec![folder.to_owned()];
    // Links may lead in circles: each real folder is listed once.
    let mut listed = HashSet::new();
    while let Some(path) = open.pop() {
        let failed = |source| OpenError::Folder { path: path.clone(), source };
        if !listed.insert(path.canonicalize().map_err(failed)?) {
            continue;
        }
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?.path();
            if is_litter(&entry) {
                others.push(entry);
            } else if entry.is_dir() {
                open.push(entry);
            } else if is_picture_name(&entry) {
                pictures.push(entry);
            } else {
                others.push(entry);
            }
        }
    }
    pictures.sort();
    others.sort();
    Ok((pictures, others))
}

fn is_picture_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    matches!(extension.as_str(), "png" | "jpg" | "jpeg")
}
