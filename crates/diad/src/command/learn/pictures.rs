//! The pictures of a folder: listed, decoded and compared before anything is learnt from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diad_capture::read_image;
use sha2::{Digest as _, Sha256};

use super::error::{LearnError, Listed};
use crate::chain::chain;
use crate::listing::{self, is_picture};

/// Where pictures may lie within the folder that is named.
const IMAGE_SUBFOLDERS: [&str; 3] = ["", "good", "train/good"];

/// A picture that can be learnt from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// Its file.
    pub(super) path: PathBuf,
    /// SHA-256 of size, layout and pixels: two files with the same picture have the same.
    pub(super) pixels: [u8; 32],
    /// Width and height in pixels.
    size: (u32, u32),
}

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Collection {
    /// Every picture once, by name.
    pub(super) pictures: Vec<Picture>,
    /// Copies that were left out, each with the picture that it is a copy of.
    pub(super) copies: Vec<(PathBuf, PathBuf)>,
}

impl Picture {
    /// Width and height in pixels.
    pub(super) const fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Reads and decodes a picture.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let picture = read_image(path).map_err(|error| chain(&error))?;
        let view = picture.view().map_err(|error| chain(&error))?;
        let mut hash = Sha256::new();
        hash.update(format!("{}x{} {:?}\n", view.width(), view.height(), view.format()));
        hash.update(view.data());
        Ok(Self { path: path.to_owned(), pixels: hash.finalize().into(), size: (view.width(), view.height()) })
    }
}

impl Collection {
    /// Lists and decodes every picture; `seen` is told after each.
    ///
    /// # Errors
    /// [`LearnError::Folder`], [`LearnError::NoPictures`]; [`LearnError::Pictures`] names all that cannot be decoded.
    pub(super) fn of(folder: &Path, mut seen: impl FnMut()) -> Result<Self, LearnError> {
        let mut paths = Vec::new();
        for below in IMAGE_SUBFOLDERS {
            let place = folder.join(below);
            if !below.is_empty() && !place.is_dir() {
                continue;
            }
            let entries = listing::entries(&place);
            let entries = entries.map_err(|source| LearnError::Folder { path: place, source })?;
            paths.extend(entries.into_iter().filter(|path| is_picture(path)));
        }
        if paths.is_empty() {
            return Err(LearnError::NoPictures { folder: folder.to_owned() });
        }
        let mut pictures = Vec::new();
        let mut bad = Vec::new();
        for path in paths {
            match Picture::read(&path) {
                Ok(picture) => pictures.push(picture),
                Err(reason) => bad.push(format!("{}: {reason}", path.display())),
            }
            seen();
        }
        if !bad.is_empty() {
            return Err(LearnError::Pictures { bad: Listed(bad) });
        }
        Ok(Self::each_once(pictures))
    }

    fn each_once(pictures: Vec<Picture>) -> Self {
        let mut first: BTreeMap<[u8; 32], PathBuf> = BTreeMap::new();
        let (mut once, mut copies) = (Vec::new(), Vec::new());
        for picture in pictures {
            match first.get(&picture.pixels) {
                Some(original) => copies.push((picture.path, original.clone())),
                None => {
                    first.insert(picture.pixels, picture.path.clone());
                    once.push(picture);
                }
            }
        }
        Self { pictures: once, copies }
    }

    /// Pictures of another size than most: no camera gives them.
    pub(super) fn of_other_size(&self) -> Option<LearnError> {
        let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        self.pictures.iter().for_each(|picture| *counts.entry(picture.size).or_default() += 1);
        let (&size, _) = counts.iter().max_by_key(|(_, count)| **count)?;
        let others: Vec<String> = self
            .pictures
            .iter()
            .filter(|picture| picture.size != size)
            .map(|Picture { path, size: (width, height), .. }| format!("{} ({width}x{height})", path.display()))
            .collect();
        let parts = self.pictures.len();
        (!others.is_empty()).then(|| LearnError::Sizes { parts, size, others: Listed(others) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::RgbImage;

    use super::*;

    fn save(path: &Path, width: u32, red: u8) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(width, 4, image::Rgb([red, 0, 0])).save(path).unwrap();
    }

    #[test]
    fn collection_has_every_picture_once_and_names_copies_and_other_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        save(&at("a.png"), 4, 1);
        save(&at("good/b.png"), 4, 2);
        save(&at("train/good/c.png"), 4, 1);
        save(&at("test/good/d.png"), 4, 3);
        fs::write(at("notes.txt"), "x").unwrap();
        let mut seen = 0;
        let found = Collection::of(folder.path(), || seen += 1).unwrap();
        let names = |pictures: &[Picture]| pictures.iter().map(|p| p.path.clone()).collect::<Vec<_>>();
        assert_eq!((names(&found.pictures), seen), (vec![at("a.png"), at("good/b.png")], 3));
        assert_eq!(found.copies, [(at("train/good/c.png"), at("a.png"))]);
        assert!(found.of_other_size().is_none());

        save(&at("e.png"), 5, 9);
        let error = Collection::of(folder.path(), || {}).unwrap().of_other_size().unwrap().to_string();
        assert!(error.contains("1 of 3") && error.contains("4x4") && error.contains("e.png (5x4)"), "{error}");
    }

    #[test]
    fn collection_names_everything_that_is_no_picture() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Collection::of(folder.path(), || {}), Err(LearnError::NoPictures { .. })));
        assert!(matches!(Collection::of(Path::new("/nowhere"), || {}), Err(LearnError::Folder { .. })));
        save(&folder.path().join("a.png"), 4, 1);
        for name in ["b.png", "c.jpg"] {
            fs::write(folder.path().join(name), "no picture").unwrap();
        }
        let error = Collection::of(folder.path(), || {}).unwrap_err().to_string();
        assert!(error.contains("b.png: ") && error.contains("c.jpg: ") && !error.contains("a.png"), "{error}");
    }
}
