use std::sync::Arc;

use diad_core::name::CameraId;
use diad_core::score::Score;
use image::{Rgb, RgbImage};

use super::*;
use crate::testing;

fn picture(level: u8) -> Picture {
    Picture::try_new(8, 6, PixelFormat::Rgb8, vec![level; 8 * 6 * 3]).unwrap()
}

fn map() -> (AnomalyMap, HeatScale) {
    let map = AnomalyMap::try_new(2, 2, vec![0.0, 0.1, 0.2, 0.9]).unwrap();
    (map, HeatScale::around(Score::try_new(0.4).unwrap()))
}

fn keeper(folder: &Path, max_bytes: u64, reserve: u64) -> Keeper {
    let spec = ArchiveSpec {
        folder: folder.to_owned(),
        keep: vec![Kept::Pass, Kept::Reject],
        max_bytes,
        age: Duration::from_secs(86_400 * 10),
    };
    let (shelf, left_out) = (Shelf::of_folder(folder).unwrap(), Arc::default());
    Keeper { spec, shelf, health: testing::health(), left_out, reserve }
}

fn exhibit(seq: u64, verdict: &str) -> Exhibit {
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
    let run = RunId::try_new("01JD").unwrap();
    let captured = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400);
    let evidence = Evidence { picture: picture(7), map: Some(map()), _permit: Arc::default() };
    Exhibit { place: place(&run, &key, captured, verdict), evidence }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for day in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(day.unwrap().path()).unwrap() {
            names.push(file.unwrap().file_name().into_string().unwrap());
        }
    }
    names.sort();
    names
}

#[test]
fn write_leaves_frame_and_heat_map_under_the_name_of_the_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = keeper(folder.path(), 1 << 20, 0);
    assert!(keeper.write(&exhibit(12, "REJECT")).unwrap());
    let stem = "01JD-cam0-0000000012-REJECT";
    assert_eq!(names(folder.path()), [format!("{stem}.frame.png"), format!("{stem}.heatmap.png")]);
    let frame = image::open(folder.path().join("2026-01-01").join(format!("{stem}.frame.png"))).unwrap().into_rgb8();
    assert_eq!(frame, RgbImage::from_pixel(8, 6, Rgb([7; 3])));
}

#[test]
fn room_that_is_used_up_is_made_by_the_oldest_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = keeper(folder.path(), 1 << 20, 0);
    assert!(keeper.write(&exhibit(1, "REJECT")).unwrap());
    keeper.spec.max_bytes = keeper.shelf.bytes() * 5 / 2;
    for (seq, verdict) in [(2, "PASS"), (3, "PASS"), (4, "REJECT"), (5, "REJECT")] {
        assert!(keeper.write(&exhibit(seq, verdict)).unwrap());
    }
    let left = names(folder.path());
    assert!(left.iter().all(|name| name.contains("REJECT")), "{left:?}");
    assert!(left.iter().any(|name| name.contains("0000000005-REJECT.frame")), "{left:?}");
    assert!(keeper.shelf.bytes() <= keeper.spec.max_bytes);
}

#[test]
fn nearly_full_disk_and_one_that_cannot_be_written_leave_pictures_out_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = keeper(folder.path(), 1 << 20, u64::MAX >> 1);
    keeper.take(&exhibit(1, "REJECT"));
    assert_eq!(names(folder.path()), [""; 0]);
    assert_eq!(keeper.left_out.load(Ordering::Relaxed), 1);
    keeper.reserve = 0;
    // A file stands where the day's folder should.
    fs::write(folder.path().join("2026-01-01"), "in the way").unwrap();
    assert!(matches!(keeper.write(&exhibit(2, "REJECT")), Err(FileError::Folder { .. })));
}

#[test]
fn tidy_removes_what_is_too_old_with_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = keeper(folder.path(), 1 << 20, 0);
    assert!(keeper.write(&exhibit(1, "REJECT")).unwrap());
    keeper.tidy();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn archive_never_holds_more_than_its_bound_and_writes_only_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let spec = ArchiveSpec {
        folder: folder.path().to_owned(),
        keep: vec![Kept::Reject],
        max_bytes: 1 << 20,
        age: Duration::from_secs(86_400 * 365 * 100),
    };
    let (archive, running) = Archive::start(spec, testing::health()).unwrap();
    let held: Vec<_> = (0..20).map_while(|_| archive.evidence(picture(1), None)).collect();
    assert_eq!(held.len(), ON_THE_WAY);
    drop(held);
    let (run, now) = (RunId::try_new("01JD").unwrap(), SystemTime::now());
    for (seq, verdict) in [(1, "PASS"), (2, "REJECT"), (3, "UNJUDGED")] {
        let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
        archive.keep(&run, &key, now, verdict, archive.evidence(picture(1), None).unwrap());
    }
    drop(running);
    if archive.0.as_ref().unwrap().left_out.load(Ordering::Relaxed) == 0 {
        assert_eq!(names(folder.path()), ["01JD-cam0-0000000002-REJECT.frame.png"]);
    }
}

#[test]
fn archive_without_room_or_verdicts_keeps_nothing() {
    let spec = ArchiveSpec { folder: PathBuf::from("/nowhere"), keep: vec![], max_bytes: 5, age: Duration::ZERO };
    let (archive, running) = Archive::start(spec, testing::health()).unwrap();
    assert!(running.is_none() && archive.evidence(picture(1), None).is_none());
}
