use image::{Rgb, RgbImage};

use super::*;
use crate::ErrorKind;

fn write_picture(path: &Path, level: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(8, 6, Rgb([level; 3])).save(path).unwrap();
}

fn open(folder: &Path, replay: Replay) -> ReplayCamera {
    ReplayCamera::open(folder, replay, BufferPool::new(2)).unwrap()
}

fn next(camera: &mut ReplayCamera) -> Result<Take, CaptureError> {
    camera.next_frame(Instant::now(), Duration::ZERO)
}

fn level(take: Take) -> u8 {
    let Take::Frame(capture) = take else { panic!("{take:?}") };
    capture.view().unwrap().data()[0]
}

#[test]
fn next_frame_hands_over_all_folders_in_order_of_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    for (name, level) in [("b/2.png", 20), ("a.PNG", 5), ("b/10.png", 10), ("c/deep/er/1.png", 30)] {
        write_picture(&folder.path().join(name), level);
    }
    let mut camera = open(folder.path(), Replay::Once);
    assert!(camera.describe().contains("4 pictures, once"), "{}", camera.describe());
    let levels: Vec<u8> = (0..4).map(|_| level(next(&mut camera).unwrap())).collect();
    assert_eq!(levels, [5, 10, 20, 30]);
    for _ in 0..2 {
        assert!(matches!(next(&mut camera), Ok(Take::Ended)));
    }
}

#[test]
fn next_frame_looped_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    write_picture(&folder.path().join("1.png"), 1);
    write_picture(&folder.path().join("2.png"), 2);
    let mut camera = open(folder.path(), Replay::Looped);
    let levels: Vec<u8> = (0..5).map(|_| level(next(&mut camera).unwrap())).collect();
    assert_eq!(levels, [1, 2, 1, 2, 1]);
    assert_eq!(camera.pool.allocations(), 1, "one buffer serves them all");
}

#[test]
fn next_frame_with_bad_files_between_reports_each_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_picture(&path("1.png"), 1);
    std::fs::write(path("2.png"), "").unwrap();
    write_picture(&path("3.jpg"), 200);
    let jpeg = std::fs::read(path("3.jpg")).unwrap();
    std::fs::write(path("3.jpg"), &jpeg[..jpeg.len() - 10]).unwrap();
    write_picture(&path("4.png"), 4);
    write_picture(&path("5.png"), 5);
    let mut camera = open(folder.path(), Replay::Once);
    std::fs::remove_file(path("4.png")).unwrap();

    assert_eq!(level(next(&mut camera).unwrap()), 1);
    for bad in ["2.png", "3.jpg", "4.png"] {
        let error = next(&mut camera).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Frame);
        assert!(error.to_string().contains(bad), "{error}");
    }
    let Take::Frame(last) = next(&mut camera).unwrap() else { panic!("one more picture") };
    assert_eq!(last.source.as_deref(), path("5.png").to_str());
    assert!(matches!(next(&mut camera), Ok(Take::Ended)));
}

#[test]
fn open_leaves_out_what_no_camera_took_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let litter =
        ["._1.png", "__MACOSX/1.png", ".DS_Store.png", "~$1.png", "@eaDir/1.png/SYNO.jpg", ".Trash-1000/files/2.png"];
    for name in ["1.png", "a/2.png"].into_iter().chain(litter) {
        write_picture(&folder.path().join(name), 1);
    }
    let camera = open(folder.path(), Replay::Once);
    let names = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string()).collect()
    };
    assert_eq!(names(camera.files()), ["1.png", "a/2.png"]);
    assert_eq!(names(camera.left_out()), [".DS_Store.png", ".Trash-1000", "._1.png", "@eaDir", "__MACOSX", "~$1.png"]);
}

#[test]
fn open_counts_files_that_are_no_pictures_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write_picture(&folder.path().join("1.jpeg"), 1);
    for name in ["notes.txt", "no_extension", "2.bmp"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let camera = open(folder.path(), Replay::Once);
    assert_eq!((camera.files().len(), camera.left_out().len()), (1, 3));
}

#[test]
fn open_of_nothing_to_replay_is_an_error_that_names_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("readme.md"), "x").unwrap();
    for path in [folder.path().to_owned(), folder.path().join("missing"), folder.path().join("readme.md")] {
        let error = ReplayCamera::open(&path, Replay::Once, BufferPool::new(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Open);
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    }
}

#[test]
fn open_of_a_folder_that_links_to_itself_ends() {
    let folder = tempfile::tempdir().unwrap();
    write_picture(&folder.path().join("1.png"), 1);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
    assert_eq!(open(folder.path(), Replay::Once).files().len(), 1);
}
