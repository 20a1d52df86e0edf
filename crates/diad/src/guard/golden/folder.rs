//! The golden parts of a folder, and what is expected of them.

use std::io;
use std::path::{Path, PathBuf};

use diad_capture::{CaptureError, read_image};
use diad_core::judge::Verdict;
use diad_core::name::{NameError, ProductName};

use super::Answer;
use crate::listing::{entries, is_picture};

/// Most pictures of a folder: they are judged in the gaps between parts.
pub const MOST_PICTURES: usize = 200;

/// What is known of a golden part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It must be `PASS`.
    Good,
    /// It must be `REVIEW` or `REJECT`.
    Bad,
}

/// A golden part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// Its picture.
    pub path: PathBuf,
    /// Path within the folder, for people.
    pub name: String,
    /// Its product.
    pub product: ProductName,
    /// What is known of it.
    pub kind: Kind,
}

/// Golden parts that cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// A folder cannot be read.
    #[error("list folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A folder's name is no product's.
    #[error("folder {folder:?} cannot be a product")]
    Product {
        /// The folder.
        folder: String,
        /// Why not.
        source: NameError,
    },
    /// There is none.
    #[error("no picture in {}; lay them out as <product>/good/*.png and <product>/bad/*.png", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// There are more than the gaps between parts have room for.
    #[error("{found} pictures are too many; at most {MOST_PICTURES} are judged")]
    Many {
        /// How many.
        found: usize,
    },
    /// A picture that cannot be read.
    #[error("read {name}")]
    Picture {
        /// Path within the folder.
        name: String,
        /// Why not.
        source: CaptureError,
    },
}

/// Lists a folder: `<product>/good` and `<product>/bad`, PNG and JPEG by name, in order. Opens no picture.
///
/// # Errors
/// [`GoldenError`], but for [`GoldenError::Picture`].
pub fn list(root: &Path) -> Result<Vec<Golden>, GoldenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| GoldenError::Folder { path, source }
    };
    let mut all = Vec::new();
    for product in entries(root).map_err(failed(root))?.into_iter().filter(|path| path.is_dir()) {
        let folder = product.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (name, kind) in [("good", Kind::Good), ("bad", Kind::Bad)] {
            let inside = product.join(name);
            if !inside.is_dir() {
                continue;
            }
            let named = ProductName::try_new(&folder);
            let named = named.map_err(|source| GoldenError::Product { folder: folder.clone(), source })?;
            for path in entries(&inside).map_err(failed(&inside))?.into_iter().filter(|path| is_picture(path)) {
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                all.push(Golden { path, name, product: named.clone(), kind });
            }
        }
    }
    match all.len() {
        0 => Err(GoldenError::Empty { path: root.to_owned() }),
        found if found > MOST_PICTURES => Err(GoldenError::Many { found }),
        _ => Ok(all),
    }
}

/// Lists a folder and reads every picture: what is wrong with it, all at once.
#[must_use]
pub fn check(root: &Path) -> Vec<GoldenError> {
    match list(root) {
        Ok(all) => all
            .into_iter()
            .filter_map(|Golden { path, name, .. }| {
                Some(GoldenError::Picture { name, source: read_image(&path).err()? })
            })
            .collect(),
        Err(error) => vec![error],
    }
}

impl Golden {
    /// In words what is wrong with what came of it; none if it came out right.
    #[must_use]
    pub fn wrong(&self, answer: &Answer) -> Option<String> {
        let (right, expected) = match self.kind {
            Kind::Good => (matches!(answer, Ok((Verdict::Pass, _))), "PASS"),
            Kind::Bad => (matches!(answer, Ok((Verdict::Review | Verdict::Reject, _))), "REVIEW or REJECT"),
        };
        let name = &self.name;
        match answer {
            _ if right => None,
            Ok((verdict, score)) => {
                Some(format!("{name} is {} with score {:.4}, expected {expected}", verdict.as_str(), score.get()))
            }
            Err(reason) => Some(format!("{name} was not judged ({reason}), expected {expected}")),
        }
    }
}
