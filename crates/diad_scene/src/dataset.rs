//! Parts on disk, in the layout of MVTec-AD.

use std::fs;
use std::path::{Path, PathBuf};

use image::{ImageError, ImageFormat};

use crate::dice::derive;
use crate::{Defect, PartSpec, Product, SceneError, render};

const TRAIN: u64 = 0x7472_6169_6E00;
const TEST: u64 = 0x7465_7374_0000;

/// How many parts of each product a data set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetSpec {
    /// Seed of the whole set; sets of different seeds share no part, and train and test of one set share none.
    pub seed: u64,
    /// Good parts to learn from.
    pub train_good_per_product: u32,
    /// Good parts to be judged.
    pub test_good_per_product: u32,
    /// Defective parts to be judged, spread evenly over the kinds which make sense for the product.
    pub test_defective_per_product: u32,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatasetSummary {
    /// Good pictures under `train`.
    pub train_good: u32,
    /// Good pictures under `test`.
    pub test_good: u32,
    /// Defective pictures under `test`; as many masks under `ground_truth`.
    pub test_defective: u32,
}

/// How far the writing has come, in parts of all products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The product being written.
    pub product: Product,
    /// Parts written so far.
    pub written: u32,
    /// Parts the set will have.
    pub total: u32,
}

/// Writes a data set under `dir` (made if absent; files of the same name are replaced) and calls `progress` after
/// every part. Equal specifications write equal files.
///
/// Layout: `<product>/train/good/000.png`, `<product>/test/good/000.png`, `<product>/test/<defect>/000.png` and
/// `<product>/ground_truth/<defect>/000_mask.png`.
///
/// # Errors
///
/// [`SceneError::CreateFolder`] and [`SceneError::WritePicture`] with the path that failed.
pub fn write_dataset(
    dir: &Path,
    spec: &DatasetSpec,
    mut progress: impl FnMut(Progress),
) -> Result<DatasetSummary, SceneError> {
    let per_product = [spec.test_good_per_product, spec.test_defective_per_product]
        .into_iter()
        .fold(spec.train_good_per_product, u32::saturating_add);
    let total = per_product.saturating_mul(u32::try_from(Product::ALL.len()).unwrap_or(u32::MAX));
    let mut summary = DatasetSummary::default();
    for (rank, product) in (0_u64..).zip(Product::ALL) {
        let writer = Writer { root: dir.join(product.name()), product };
        let written = |s: &DatasetSummary| s.train_good + s.test_good + s.test_defective;
        let (train, test) = (derive(derive(spec.seed, TRAIN), rank), derive(derive(spec.seed, TEST), rank));
        for n in 0..spec.train_good_per_product {
            writer.good("train", n, derive(train, u64::from(n)))?;
            summary.train_good += 1;
            progress(Progress { product, written: written(&summary), total });
        }
        for n in 0..spec.test_good_per_product {
            writer.good("test", n, derive(test, u64::from(n)))?;
            summary.test_good += 1;
            progress(Progress { product, written: written(&summary), total });
        }
        let kinds = product.defects();
        let defective = derive(test, u64::MAX);
        for n in 0..spec.test_defective_per_product {
            let turn = n as usize;
            let number = u32::try_from(turn / kinds.len()).unwrap_or(u32::MAX);
            writer.defective(kinds[turn % kinds.len()], number, derive(defective, u64::from(n)))?;
            summary.test_defective += 1;
            progress(Progress { product, written: written(&summary), total });
        }
    }
    Ok(summary)
}

struct Writer {
    root: PathBuf,
    product: Product,
}

impl Writer {
    fn good(&self, split: &str, number: u32, seed: u64) -> Result<(), SceneError> {
        let folder = self.folder(&[split, "good"])?;
        let part = render(&PartSpec { product: self.product, seed, defect: None });
        let path = folder.join(format!("{number:03}.png"));
        stored(part.image.save_with_format(&path, ImageFormat::Png), path)
    }

    fn defective(&self, defect: Defect, number: u32, seed: u64) -> Result<(), SceneError> {
        let pictures = self.folder(&["test", defect.name()])?;
        let masks = self.folder(&["ground_truth", defect.name()])?;
        let part = render(&PartSpec { product: self.product, seed, defect: Some(defect) });
        let path = pictures.join(format!("{number:03}.png"));
        stored(part.image.save_with_format(&path, ImageFormat::Png), path)?;
        let path = masks.join(format!("{number:03}_mask.png"));
        stored(part.mask.save_with_format(&path, ImageFormat::Png), path)
    }

    fn folder(&self, below: &[&str]) -> Result<PathBuf, SceneError> {
        let path = below.iter().fold(self.root.clone(), |path, name| path.join(name));
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(SceneError::CreateFolder { path, source }),
        }
    }
}

fn stored(result: Result<(), ImageError>, path: PathBuf) -> Result<(), SceneError> {
    result.map_err(|source| SceneError::WritePicture { path, source })
}
