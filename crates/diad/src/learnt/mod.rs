//! What a station has learnt of its products: reference banks, kept beside the ledger.
//!
//! ```text
//! <state>/products/<product>/<64 hexadecimal digits>.safetensors   one learnt overlay, named by its content
//! <state>/products/<product>/current.json                          which one is in use, and what was before it
//! ```
//!
//! `<state>` is the folder of the ledger. An overlay is never changed and never replaced: another one has another name, so
//! whoever judges by one keeps judging by it, and every step can be undone. Which one a station judges by says `bank:` in
//! its thresholds file; `current.json` says it to commands that are given no thresholds.

mod current;
pub mod overlays;
mod shelf;
mod site;
mod witnesses;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use diad_core::name::ProductName;

use crate::exit::Exit;
use crate::files::FileError;
use crate::settings::Variable;

pub use current::{Current, Cuts, State};
pub use overlays::Overlays;
pub use shelf::{Kept, Shelf};
pub use site::{Plan, Site, SiteError, Step};
pub use witnesses::{WitnessError, Witnesses};

/// Folder of all products, beside the ledger.
const PRODUCTS_DIR: &str = "products";
/// Names the state folder of those who have no station.
const STATE_DIR_VARIABLE: &str = "DIAD_STATE";

/// The folder with everything that was learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

/// What was learnt cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not known where to keep it.
    #[error("no folder to keep products in: give --config FILE for a station's, or set DIAD_STATE")]
    NoFolder,
    /// A folder or file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be taken away.
    #[error("remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// The pointer is not what a command wrote.
    #[error(
        "{} is damaged; remove it: the station does not read it, and only the cut-offs of earlier steps are lost with it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// The pointer is of a later program.
    #[error("{} has format {format}; this program knows format 1: use the program that wrote it, or a later one", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        format: u32,
    },
    /// Another process works on the same product.
    #[error("another diad learn or unlearn is at work on {product}; try again when it has ended")]
    Busy {
        /// The product.
        product: ProductName,
    },
}

impl StoreError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoFolder => Exit::Usage,
            Self::Damaged { .. } | Self::Format { .. } => Exit::BadData,
            Self::Read { .. } | Self::Remove { .. } | Self::Write(_) => Exit::Disk,
            Self::Busy { .. } => Exit::Unavailable,
        }
    }
}

impl Store {
    /// That of the station with this ledger.
    #[must_use]
    pub fn beside(ledger: &Path) -> Self {
        Self { root: ledger.with_file_name(PRODUCTS_DIR) }
    }

    /// That in a state folder.
    #[must_use]
    pub fn in_folder(state: &Path) -> Self {
        Self { root: state.join(PRODUCTS_DIR) }
    }

    /// That of a person without a station: below `DIAD_STATE`, else `XDG_STATE_HOME/diad`, else `~/.local/state/diad`.
    ///
    /// # Errors
    /// [`StoreError::NoFolder`] where none of the variables is set.
    pub fn of_user(variables: &[Variable]) -> Result<Self, StoreError> {
        let folder = |wanted: &str| {
            let (_, value) = variables.iter().find(|(name, value)| name == wanted && !value.is_empty())?;
            Some(PathBuf::from(value))
        };
        let state = folder(STATE_DIR_VARIABLE)
            .or_else(|| folder("XDG_STATE_HOME").map(|home| home.join("diad")))
            .or_else(|| folder("HOME").map(|home| home.join(".local/state/diad")))
            .ok_or(StoreError::NoFolder)?;
        Ok(Self::in_folder(&state))
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What was learnt of one product; nothing is made or read yet.
    #[must_use]
    pub fn shelf(&self, product: &ProductName) -> Shelf {
        Shelf::new(self.root.join(product.as_str()), product.clone())
    }

    /// The products of which something is kept, in alphabetical order.
    ///
    /// # Errors
    /// [`StoreError::Read`]; a folder that is not there is empty.
    pub fn products(&self) -> Result<Vec<ProductName>, StoreError> {
        let failed = |source| StoreError::Read { path: self.root.clone(), source };
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut products = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(OsStr::to_str).and_then(|name| ProductName::try_new(name).ok());
            if let Some(name) = name.filter(|_| path.is_dir()) {
                products.push(name);
            }
        }
        products.sort();
        Ok(products)
    }
}

#[cfg(test)]
mod tests;
