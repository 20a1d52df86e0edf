//! Data sets on disk.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use diad_scene::{DatasetSpec, DatasetSummary, Product, SceneError, write_dataset};

const SMALL: DatasetSpec =
    DatasetSpec { seed: 5, train_good_per_product: 2, test_good_per_product: 1, test_defective_per_product: 2 };

/// Every file below `dir`: path relative to it, and bytes.
fn files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, Box<dyn Error>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(dir)?.to_string_lossy().into_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

#[test]
fn write_dataset_lays_out_mvtec_folders_with_decodable_pictures() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut seen = Vec::new();
    let summary = write_dataset(dir.path(), &SMALL, |p| seen.push((p.written, p.total)))?;
    assert_eq!(summary, DatasetSummary { train_good: 18, test_good: 9, test_defective: 18 });
    assert_eq!(seen, (1..=45).map(|n| (n, 45)).collect::<Vec<_>>());

    let found = files(dir.path())?;
    assert_eq!(found.len(), 45 + 18);
    for product in Product::ALL {
        let mut expected = vec![
            format!("{product}/train/good/000.png"),
            format!("{product}/train/good/001.png"),
            format!("{product}/test/good/000.png"),
        ];
        for defect in &product.defects()[..2] {
            expected.push(format!("{product}/test/{defect}/000.png"));
            expected.push(format!("{product}/ground_truth/{defect}/000_mask.png"));
        }
        for path in expected {
            let picture = image::load_from_memory(found.get(&path).ok_or(path.clone())?)?;
            assert_eq!((picture.width(), picture.height()), (256, 256), "{path}");
        }
    }
    // Train and test share no picture, nor does any product repeat one.
    let pictures: HashSet<&Vec<u8>> = found.iter().filter(|(path, _)| !path.contains("mask")).map(|(_, b)| b).collect();
    assert_eq!(pictures.len(), 45);
    Ok(())
}

#[test]
fn write_dataset_twice_gives_equal_files_and_another_seed_gives_others() -> Result<(), Box<dyn Error>> {
    let spec = DatasetSpec { train_good_per_product: 1, test_defective_per_product: 1, ..SMALL };
    let (one, two, three) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    write_dataset(one.path(), &spec, |_| ())?;
    write_dataset(two.path(), &spec, |_| ())?;
    write_dataset(three.path(), &DatasetSpec { seed: 6, ..spec }, |_| ())?;
    let (one, two, three) = (files(one.path())?, files(two.path())?, files(three.path())?);
    assert_eq!(one, two);
    assert!(one.keys().eq(three.keys()));
    assert!(one.iter().all(|(path, bytes)| three.get(path) != Some(bytes)));
    Ok(())
}

#[test]
fn write_dataset_into_a_file_gives_an_error_naming_the_folder() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let blocked = dir.path().join("blocked");
    fs::write(&blocked, b"a file, not a folder")?;
    let error = write_dataset(&blocked, &SMALL, |_| ()).expect_err("a file cannot hold folders");
    assert!(matches!(&error, SceneError::CreateFolder { path, .. } if path.starts_with(&blocked)));
    assert!(error.to_string().contains("blocked"), "{error}");
    Ok(())
}

#[test]
fn write_dataset_over_a_folder_named_like_a_picture_gives_an_error_naming_the_file() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let taken = dir.path().join("washer/train/good/000.png");
    fs::create_dir_all(&taken)?;
    let error = write_dataset(dir.path(), &SMALL, |_| ()).expect_err("a folder is in the way");
    assert!(matches!(&error, SceneError::WritePicture { path, .. } if *path == taken), "{error}");
    Ok(())
}
