//! Finding good parts, and defective ones beside them.
//!
//! `<product>/good` and `<product>/test/good` are good; every other folder below `<product>/test` is a kind of defect. A
//! folder that holds one of them itself is one product. Masks are not needed. Parts that the model was trained on score
//! lower than others, and a cut-off by them would reject more than it promises: `<product>/train/good` is left out unless
//! somebody says that the model never saw it. A folder whose name is another word for good is refused; what lies in a
//! folder of good parts and is no picture is named.

use std::fs;
use std::path::{Path, PathBuf};

use diad_core::name::ProductName;

use super::error::CalibrateError;
use crate::cli::CalibrateArgs;
use crate::listing::{self, is_like_good, is_picture};

/// The pictures of all products.
#[derive(Debug)]
pub(super) struct Collection {
    pub(super) products: Vec<Product>,
}

/// The pictures of one product.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) name: ProductName,
    /// Each with whether it is good.
    pub(super) pictures: Vec<(PathBuf, bool)>,
    /// How many pictures `train/good` has, taken or not.
    pub(super) train: usize,
    /// What lies in the folders of good parts and is not taken: folders, and files that are no pictures by name.
    pub(super) left_out: Vec<PathBuf>,
}

/// What to do with the good parts that models are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Train {
    LeaveOut,
    Include,
}

impl Train {
    /// What the command line says.
    pub(super) const fn of(args: &CalibrateArgs) -> Self {
        if args.include_train { Self::Include } else { Self::LeaveOut }
    }

    /// What is done, in words that follow a number of pictures.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::LeaveOut => "left out",
            Self::Include => "included",
        }
    }
}

impl Collection {
    /// Lists a folder. Opens no picture. A product of which only what is left out is good has no pictures.
    pub(super) fn scan(root: &Path, train: Train) -> Result<Self, CalibrateError> {
        let one = ["train", "test", "good"].iter().any(|name| root.join(name).is_dir());
        let folders = if one { vec![root.to_owned()] } else { entries(root)? };
        let mut products = Vec::new();
        for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
            expect_good_is_called_so(&folder)?;
            let of_train = pictures_in(&folder.join("train/good"))?;
            let count = of_train.len();
            let mut pictures = pictures_of(&folder)?;
            if train == Train::Include {
                pictures.extend(of_train.into_iter().map(|path| (path, true)));
            }
            if !pictures.iter().any(|(_, good)| *good) {
                if count == 0 {
                    continue;
                }
                pictures.clear();
            }
            // `.` and `..` have a name only once they are resolved.
            let named = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
            let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let name =
                ProductName::try_new(&name).map_err(|source| CalibrateError::Product { folder: name, source })?;
            let left_out = [folder.join("good"), folder.join("test/good")]
                .iter()
                .map(|good| left_out_of(good))
                .collect::<Result<Vec<_>, _>>()?
                .concat();
            products.push(Product { name, pictures, train: count, left_out });
        }
        Ok(Self { products })
    }

    pub(super) fn len(&self) -> usize {
        self.products.iter().map(|product| product.pictures.len()).sum()
    }
}

fn pictures_of(product: &Path) -> Result<Vec<(PathBuf, bool)>, CalibrateError> {
    let mut folders = vec![(product.join("good"), true)];
    let test = product.join("test");
    if test.is_dir() {
        for kind in entries(&test)? {
            let good = kind.file_name().is_some_and(|name| name == "good");
            folders.push((kind, good));
        }
    }
    let mut pictures = Vec::new();
    for (folder, good) in folders {
        pictures.extend(pictures_in(&folder)?.into_iter().map(|path| (path, good)));
    }
    Ok(pictures)
}

/// Refuses a folder of a product that seems to hold good parts under another name.
fn expect_good_is_called_so(product: &Path) -> Result<(), CalibrateError> {
    let mut kinds = entries(product)?;
    let test = product.join("test");
    if test.is_dir() {
        kinds.extend(entries(&test)?);
    }
    let named = |path: &Path| is_like_good(&path.file_name().unwrap_or_default().to_string_lossy());
    // A product may be called so, if its good parts lie where they belong.
    if named(product) && !pictures_in(product)?.is_empty() {
        kinds.push(product.to_owned());
    }
    match kinds.into_iter().find(|path| named(path) && path.is_dir()) {
        Some(path) => Err(CalibrateError::LikeGood { path }),
        None => Ok(()),
    }
}

/// What lies in a folder of good parts and is no picture by name.
fn left_out_of(folder: &Path) -> Result<Vec<PathBuf>, CalibrateError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    Ok(entries(folder)?.into_iter().filter(|path| !is_picture(path)).collect())
}

/// None where there is no such folder.
fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, CalibrateError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    Ok(entries(folder)?.into_iter().filter(|path| is_picture(path)).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CalibrateError> {
    listing::entries(folder).map_err(|source| CalibrateError::Folder { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scan_tells_good_from_defective_and_leaves_masks_alone() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "cap/train/good/000.png",
            "cap/test/scratch/000.png",
            "washer/train/good/000.png",
            "washer/test/good/000.jpg",
            "washer/test/scratch/000.png",
            "washer/ground_truth/scratch/000_mask.png",
            "gear/good/a.PNG",
            "gear/good/notes.txt",
            "notes/readme.txt",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        for (train, want) in [
            (Train::LeaveOut, [("cap", 0, 0, 1), ("gear", 1, 1, 0), ("washer", 1, 2, 1)]),
            (Train::Include, [("cap", 1, 2, 1), ("gear", 1, 1, 0), ("washer", 2, 3, 1)]),
        ] {
            let found = Collection::scan(folder.path(), train).unwrap();
            let good = |product: &Product| product.pictures.iter().filter(|(_, good)| *good).count();
            let counts: Vec<_> =
                found.products.iter().map(|p| (p.name.as_str(), good(p), p.pictures.len(), p.train)).collect();
            assert_eq!(counts, want);
        }
        let one = Collection::scan(&folder.path().join("washer"), Train::Include).unwrap();
        assert_eq!((one.products.len(), one.len()), (1, 3));
        assert!(one.products[0].left_out.is_empty());
        let gear = Collection::scan(&folder.path().join("gear"), Train::Include).unwrap();
        assert_eq!(gear.products[0].left_out, [folder.path().join("gear/good/notes.txt")]);
        let nowhere = Collection::scan(Path::new("/nowhere"), Train::Include);
        assert!(matches!(nowhere, Err(CalibrateError::Folder { .. })));
    }

    #[test]
    fn scan_refuses_good_parts_under_another_name() {
        for (file, want) in [
            ("washer/test/OK/1.png", "washer/test/OK"),
            ("washer/Good/1.png", "washer/Good"),
            ("washer/pass/1.png", "washer/pass"),
            ("OK/1.png", "OK"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in [file, "gear/good/1.png"] {
                let path = folder.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            match Collection::scan(folder.path(), Train::LeaveOut) {
                Err(CalibrateError::LikeGood { path }) => assert_eq!(path, folder.path().join(want)),
                other => panic!("{file}: {other:?}"),
            }
        }
    }
}
