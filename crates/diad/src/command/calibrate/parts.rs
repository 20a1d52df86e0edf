//! Finding good parts, and defective ones beside them.
//!
//! `<product>/train/good`, `<product>/test/good` and `<product>/good` are good; every other folder below `<product>/test`
//! is a kind of defect. A folder that holds one of them itself is one product. Masks are not needed. Parts that the model
//! was trained on score lower than others, so give it parts that it never saw.

use std::fs;
use std::path::{Path, PathBuf};

use diad_core::name::ProductName;

use super::error::CalibrateError;

/// Endings of pictures, in lower case.
const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];

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
}

impl Collection {
    /// Lists a folder. Opens no picture.
    pub(super) fn scan(root: &Path) -> Result<Self, CalibrateError> {
        let one = ["train", "test", "good"].iter().any(|name| root.join(name).is_dir());
        let folders = if one { vec![root.to_owned()] } else { entries(root)? };
        let mut products = Vec::new();
        for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
            let pictures = pictures_of(&folder)?;
            if !pictures.iter().any(|(_, good)| *good) {
                continue;
            }
            // `.` and `..` have a name only once they are resolved.
            let named = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
            let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let name =
                ProductName::try_new(&name).map_err(|source| CalibrateError::Product { folder: name, source })?;
            products.push(Product { name, pictures });
        }
        Ok(Self { products })
    }

    pub(super) fn len(&self) -> usize {
        self.products.iter().map(|product| product.pictures.len()).sum()
    }
}

fn pictures_of(product: &Path) -> Result<Vec<(PathBuf, bool)>, CalibrateError> {
    let mut folders = vec![(product.join("good"), true), (product.join("train/good"), true)];
    let test = product.join("test");
    if test.is_dir() {
        for kind in entries(&test)? {
            let good = kind.file_name().is_some_and(|name| name == "good");
            folders.push((kind, good));
        }
    }
    let mut pictures = Vec::new();
    for (folder, good) in folders.into_iter().filter(|(folder, _)| folder.is_dir()) {
        let files = entries(&folder)?.into_iter().filter(|path| is_picture(path));
        pictures.extend(files.map(|path| (path, good)));
    }
    Ok(pictures)
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| PICTURES.contains(&&*ending)) && path.is_file()
}

/// What is in a folder and not hidden, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CalibrateError> {
    let failed = |source| CalibrateError::Folder { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scan_tells_good_from_defective_and_leaves_masks_alone() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
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
        let found = Collection::scan(folder.path()).unwrap();
        let counts: Vec<_> = found
            .products
            .iter()
            .map(|p| (p.name.as_str(), p.pictures.iter().filter(|(_, good)| *good).count(), p.pictures.len()))
            .collect();
        assert_eq!(counts, [("gear", 1, 1), ("washer", 2, 3)]);
        let one = Collection::scan(&folder.path().join("washer")).unwrap();
        assert_eq!((one.products.len(), one.len()), (1, 3));
        assert!(matches!(Collection::scan(Path::new("/nowhere")), Err(CalibrateError::Folder { .. })));
    }
}
