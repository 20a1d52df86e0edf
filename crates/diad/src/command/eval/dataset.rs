//! Finding a data set's pictures, in the layout of MVTec-AD.
//!
//! `<product>/test/<kind>/<stem>.png` (or `.jpg`, `.jpeg`) are the pictures; the kind `good` is good, all others are
//! defects. `<product>/ground_truth/<kind>/<stem>_mask.png` (or `<stem>.png`) marks each defect; a product without the
//! folder `ground_truth` has no masks, and then no figures of pixels. A folder that holds `test` itself is a data set of
//! one product. Whatever else is below `test` is an error, so that no picture is left
//! out unseen; hidden names and other litter are not looked at, nor are other files and folders beside `test`. A kind whose
//! name is another word for good, such as `OK`, is an error: its parts would count as missed defects.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use diad_capture::is_litter;

use crate::listing::is_like_good;

/// The kind that is no defect.
const GOOD: &str = "good";

/// The folder of a product's masks.
const MASKS: &str = "ground_truth";

/// Endings of pictures, in lower case.
const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];

/// All products of a data set, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// At least one, each with at least one picture.
    pub products: Vec<ProductSet>,
}

/// The test pictures of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductSet {
    /// Its folder's name.
    pub name: String,
    /// Its pictures, by kind and name.
    pub samples: Vec<Sample>,
    /// Whether it is known which pixels are defect.
    pub masks: Masks,
}

/// Whether a product's defects are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masks {
    /// Every defective part has a mask.
    Given,
    /// There is no folder of masks.
    Missing,
}

/// One picture and the truth about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The picture.
    pub path: PathBuf,
    /// Its kind: `good`, or the name of a defect.
    pub kind: String,
    /// Which pixels are defect; none for a good part, nor for any part of a product without masks.
    pub mask: Option<PathBuf>,
}

/// A folder that is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A folder is missing or cannot be read.
    #[error("list folder {}; a data set is laid out as <product>/test/<kind>/<picture>", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A product's folder without pictures to test on.
    #[error("no folder test in {}; a data set is laid out as <product>/test/<kind>/<picture>", path.display())]
    NoTest {
        /// The product's folder.
        path: PathBuf,
    },
    /// A folder without what it is for.
    #[error("no {missing} in {}", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
        /// What belongs there.
        missing: &'static str,
    },
    /// Something that does not belong where it is.
    #[error("unexpected {}; only {expected} belong there", path.display())]
    Stray {
        /// The file or folder.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// A folder that seems to hold good parts, and would be taken for a kind of defect.
    #[error("{} would be a kind of defect: are its parts good? Then they belong into a folder called good", path.display())]
    LikeGood {
        /// The folder.
        path: PathBuf,
    },
    /// A defective part whose defect nobody marked, among others that are marked.
    #[error("no mask for {}: expected {}", picture.display(), mask.display())]
    NoMask {
        /// The picture.
        picture: PathBuf,
        /// The mask that was looked for first.
        mask: PathBuf,
    },
}

impl Dataset {
    /// Lists a data set. Opens no picture.
    ///
    /// # Errors
    /// [`DatasetError`], naming the file or folder.
    pub fn scan(root: &Path) -> Result<Self, DatasetError> {
        if root.join("test").is_dir() {
            // `.` and `..` have a name only once they are resolved.
            let named = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
            let name = named.file_name().map_or_else(|| ".".to_owned(), |name| name.to_string_lossy().into_owned());
            return Ok(Self { products: vec![ProductSet::scan(root, name)?] });
        }
        let folders: Vec<_> = entries(root)?.into_iter().filter(|(_, path)| path.is_dir()).collect();
        if folders.is_empty() {
            return Err(DatasetError::Empty { path: root.to_owned(), missing: "product folders" });
        }
        let products = folders.into_iter().map(|(name, folder)| ProductSet::scan(&folder, name));
        Ok(Self { products: products.collect::<Result<_, _>>()? })
    }

    /// Number of pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.products.iter().map(|product| product.samples.len()).sum()
    }
}

impl ProductSet {
    fn scan(folder: &Path, name: String) -> Result<Self, DatasetError> {
        let test = folder.join("test");
        if !test.is_dir() {
            return Err(DatasetError::NoTest { path: folder.to_owned() });
        }
        let masks = if folder.join(MASKS).is_dir() { Masks::Given } else { Masks::Missing };
        let mut samples = Vec::new();
        let kinds = entries(&test)?;
        if let Some((_, path)) = kinds.iter().find(|(kind, path)| is_like_good(kind) && path.is_dir()) {
            return Err(DatasetError::LikeGood { path: path.clone() });
        }
        for (kind, path) in kinds {
            if !path.is_dir() {
                return Err(DatasetError::Stray { path, expected: "folders, one a kind of defect," });
            }
            let before = samples.len();
            for (_, picture) in entries(&path)? {
                samples.push(Sample::new(picture, &kind, folder, masks)?);
            }
            if samples.len() == before {
                return Err(DatasetError::Empty { path, missing: "pictures" });
            }
        }
        if samples.is_empty() {
            return Err(DatasetError::Empty { path: test, missing: "folders with pictures" });
        }
        Ok(Self { name, samples, masks })
    }
}

impl Sample {
    fn new(path: PathBuf, kind: &str, product: &Path, masks: Masks) -> Result<Self, DatasetError> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let is_picture = ending.is_some_and(|ending| PICTURES.contains(&&*ending)) && path.is_file();
        let (true, Some(stem)) = (is_picture, path.file_stem()) else {
            return Err(DatasetError::Stray { path, expected: "PNG and JPEG files" });
        };
        let mask = if kind == GOOD || masks == Masks::Missing {
            None
        } else {
            let folder = product.join(MASKS).join(kind);
            let named = |end: &str| {
                let mut name = stem.to_owned();
                name.push(end);
                folder.join(name)
            };
            let places = [named("_mask.png"), named(".png")];
            match places.iter().find(|place| place.is_file()) {
                Some(found) => Some(found.clone()),
                None => {
                    let [mask, _] = places;
                    return Err(DatasetError::NoMask { picture: path, mask });
                }
            }
        };
        Ok(Self { path, kind: kind.to_owned(), mask })
    }

    /// True if the part is not good.
    #[must_use]
    pub fn is_defective(&self) -> bool {
        self.kind != GOOD
    }
}

/// What is in a folder, by name, without litter.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, DatasetError> {
    let failed = |source| DatasetError::Folder { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_litter(&entry.path()) {
            entries.push((name, entry.path()));
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A folder with these (empty) files; a name that ends in `/` is a folder.
    fn tree(files: &[&str]) -> TempDir {
        let root = TempDir::new().unwrap();
        for file in files {
            let path = root.path().join(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, b"").unwrap();
            }
        }
        root
    }

    #[test]
    fn scan_finds_products_kinds_and_masks_in_order() {
        let root = tree(&[
            "b/test/good/1.png",
            "b/train/good/7.png",
            "b/readme.txt",
            "a/test/scratch/001.jpg",
            "a/test/good/000.JPEG",
            "a/test/scratch/000.png",
            "a/test/scratch/.hidden",
            "a/ground_truth/scratch/000.png",
            "a/ground_truth/scratch/001_mask.png",
            "manifest.csv",
            ".cache/x",
        ]);
        let set = Dataset::scan(root.path()).unwrap();
        let found: Vec<_> = set.products.iter().map(|p| (p.name.as_str(), p.samples.len())).collect();
        assert_eq!(found, [("a", 3), ("b", 1)]);
        assert_eq!(set.len(), 4);
        let at = |path: &str| root.path().join(path);
        let samples: Vec<_> = set.products[0].samples.iter().map(|s| (s.path.clone(), s.mask.clone())).collect();
        assert_eq!(
            samples,
            [
                (at("a/test/good/000.JPEG"), None),
                (at("a/test/scratch/000.png"), Some(at("a/ground_truth/scratch/000.png"))),
                (at("a/test/scratch/001.jpg"), Some(at("a/ground_truth/scratch/001_mask.png"))),
            ]
        );
    }

    #[test]
    fn scan_of_one_product_takes_the_folders_name() {
        let root = tree(&["washer/test/good/0.png"]);
        let set = Dataset::scan(&root.path().join("washer")).unwrap();
        assert_eq!(set.products[0].name, "washer");
    }

    #[test]
    fn scan_of_a_product_without_any_mask_takes_it_without() {
        let root = tree(&["a/test/dent/0.png", "a/test/good/0.png"]);
        let set = Dataset::scan(root.path()).unwrap();
        let ProductSet { samples, masks, .. } = &set.products[0];
        let found: Vec<_> = samples.iter().map(|s| (s.is_defective(), s.mask.is_some())).collect();
        assert_eq!((found, *masks), (vec![(true, false), (false, false)], Masks::Missing));
    }

    #[test]
    fn scan_of_what_is_no_data_set_names_the_place() {
        for (files, place, want) in [
            (&["a/"][..], "a", "no folder test"),
            (&[][..], "", "no product folders"),
            (&["picture.png"], "", "no product folders"),
            (&["a/test/"], "a/test", "no folders with pictures"),
            (&["a/test/good/"], "a/test/good", "no pictures"),
            (&["a/test/good/0.png", "b/train/good/0.png"], "b", "no folder test"),
            (&["a/test/good/0.png", "a/test/0.png"], "a/test/0.png", "unexpected"),
            (&["a/test/good/0.png", "a/test/good/Thumbs.db"], "a/test/good/Thumbs.db", "only PNG and JPEG"),
            (&["a/test/good/0.png", "a/test/good/x.png/0.png"], "a/test/good/x.png", "only PNG and JPEG"),
            (&["a/test/dent/0.png", "a/ground_truth/"], "a/ground_truth/dent/0_mask.png", "no mask for"),
            (&["a/test/OK/0.png", "a/test/NG/0.png"], "a/test/OK", "would be a kind of defect: are its parts good?"),
            (&["a/test/good/0.png", "a/test/Good/0.png", "a/test/dent/0.png"], "a/test/Good", "are its parts good?"),
            (&["a/test/ok/0.png", "a/test/ko/0.png", "a/ground_truth/"], "a/test/ok", "are its parts good?"),
        ] {
            let root = tree(files);
            let told = Dataset::scan(root.path()).unwrap_err().to_string();
            let place = if place.is_empty() { root.path().to_owned() } else { root.path().join(place) };
            assert!(told.contains(want) && told.contains(&*place.to_string_lossy()), "{files:?}: {told}");
        }
        let missing = Dataset::scan(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(matches!(missing, DatasetError::Folder { .. }), "{missing}");
    }
}
