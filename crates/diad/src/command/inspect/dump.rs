//! The arrays of one inspection as files.

use std::path::PathBuf;

use diad_core::inspector::{ArrayName, Probe};
use diad_core::score::Score;
use diad_core::tensor::Shape;

use crate::files::{self, FileError};

/// Writes every array as `<name>.npy` into a folder as it is made; without a folder, nothing.
#[derive(Debug)]
pub struct Dump {
    folder: Option<PathBuf>,
    /// The first write that failed. The method goes on; the caller asks afterwards.
    failed: Option<FileError>,
}

impl Dump {
    /// Dumps into `folder`, which is made.
    pub fn new(folder: Option<PathBuf>) -> Result<Self, FileError> {
        if let Some(folder) = &folder {
            files::make_folder(folder)?;
        }
        Ok(Self { folder, failed: None })
    }

    /// Ends the dump with the score, if there is one.
    pub fn finish(self, score: Option<Score>) -> Result<(), FileError> {
        match (self.failed, self.folder, score) {
            (Some(error), ..) => Err(error),
            (None, Some(folder), Some(score)) => files::write_npy_number(&folder.join("score.npy"), score.get()),
            _ => Ok(()),
        }
    }
}

impl Probe for Dump {
    fn array(&mut self, name: ArrayName, shape: Shape, values: &[f32]) {
        if let (Some(folder), None) = (&self.folder, &self.failed) {
            self.failed = files::write_npy(&folder.join(format!("{name}.npy")), shape, values).err();
        }
    }
}
