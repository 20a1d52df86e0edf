//! The golden parts of a folder, and what is expected of them.

use std::collections::BTreeSet;
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
    /// Something that would not be looked at: a folder that is neither `good` nor `bad`, or a picture outside of them.
    #[error("{name} is neither good nor bad; lay pictures out as <product>/good/*.png and <product>/bad/*.png")]
    Stray {
        /// Path within the folder.
        name: String,
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

/// Endings of pictures that are not read, in lower case: one among golden parts is meant to be one.
const OTHER_PICTURES: [&str; 5] = ["bmp", "tif", "tiff", "gif", "webp"];

/// Lists a folder: `<product>/good` and `<product>/bad`, PNG and JPEG by name, in order. Opens no picture. Files that are
/// no pictures by name are let be.
///
/// # Errors
/// [`GoldenError`], but for [`GoldenError::Picture`].
pub fn list(root: &Path) -> Result<Vec<Golden>, GoldenError> {
    let mut all = Vec::new();
    for product in within(root)? {
        if !product.is_dir() {
            expect_no_part(root, &product)?;
            continue;
        }
        let folder = product.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for inside in within(&product)? {
            let kind = match inside.file_name().and_then(|name| name.to_str()) {
                Some("good") if inside.is_dir() => Kind::Good,
                Some("bad") if inside.is_dir() => Kind::Bad,
                _ => {
                    expect_no_part(root, &inside)?;
                    continue;
                }
            };
            let named = ProductName::try_new(&folder);
            let named = named.map_err(|source| GoldenError::Product { folder: folder.clone(), source })?;
            for path in within(&inside)? {
                if is_picture(&path) {
                    all.push(Golden { name: name_within(root, &path), path, product: named.clone(), kind });
                } else {
                    expect_no_part(root, &path)?;
                }
            }
        }
    }
    let place = |golden: &Golden| (golden.product.clone(), golden.kind as u8, golden.name.clone());
    all.sort_by_cached_key(place);
    match all.len() {
        0 => Err(GoldenError::Empty { path: root.to_owned() }),
        found if found > MOST_PICTURES => Err(GoldenError::Many { found }),
        _ => Ok(all),
    }
}

fn within(folder: &Path) -> Result<Vec<PathBuf>, GoldenError> {
    entries(folder).map_err(|source| GoldenError::Folder { path: folder.to_owned(), source })
}

fn name_within(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Refuses a folder, or a picture of any kind, where it would not be looked at: somebody believes that it is.
fn expect_no_part(root: &Path, path: &Path) -> Result<(), GoldenError> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let is_other = ending.is_some_and(|ending| OTHER_PICTURES.contains(&&*ending));
    if path.is_dir() || is_picture(path) || is_other {
        return Err(GoldenError::Stray { name: name_within(root, path) });
    }
    Ok(())
}

/// The products without a bad part, in words; none if every product has one. Such a guard cannot see a station that passes
/// everything.
#[must_use]
pub fn without_bad(all: &[Golden]) -> Option<String> {
    let of = |kind| all.iter().filter(move |golden| golden.kind == kind).map(|golden| golden.product.as_str());
    let bad: BTreeSet<&str> = of(Kind::Bad).collect();
    let missing: BTreeSet<&str> = of(Kind::Good).filter(|product| !bad.contains(product)).collect();
    let missing: Vec<&str> = missing.into_iter().collect();
    (!missing.is_empty())
        .then(|| format!("no bad part of {}: a station that passes everything would not be seen", missing.join(", ")))
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
