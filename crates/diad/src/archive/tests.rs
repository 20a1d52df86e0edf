use std::sync::Arc;

use diad_core::frame::PixelFormat;
use diad_core::judge::Thresholds;
use diad_core::name::CameraId;
use diad_core::score::Score;
use image::{Rgb, RgbImage};

use super::*;
use crate::testing;

fn picture(level: u8) -> Picture {
    Picture::try_new(8, 6, PixelFormat::Rgb8, vec![level; 8 * 6 * 3]).unwrap()
}

fn seen() -> Seen {
    let map = AnomalyMap::try_new(2, 2, vec![0.0, 0.1, 0.2, 0.9]).unwrap();
    let roi = Roi { x: 2, y: 1, width: 4, height: 4 };
    let region = Roi { x: 4, y: 3, width: 2, height: 2 };
    Seen { map, scale: HeatScale::around(Score::try_new(0.4).unwrap()), roi, region: Some(region) }
}

fn meta(seq: u64) -> PartMeta {
    let captured = diad_core::frame::Stamp { wall: SystemTime::now(), mono: Instant::now() };
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
    PartMeta { key, part: None, product: None, source: None, captured }
}

fn retention() -> Retention {
    let folder = tempfile::tempdir().unwrap();
    Retention::starting(diad_ledger::Ledger::open(&folder.path().join("ledger")).unwrap().read())
}

fn keeper(folder: &Path, max_bytes: u64, reserve: u64) -> ArchiveWriter {
    let spec = ArchiveSpec {
        folder: folder.to_owned(),
        keep: vec![Kept::Pass, Kept::Reject],
        max_bytes,
        age: Duration::from_secs(86_400 * 10),
    };
    let (shelf, left_out) = (Shelf::of_folder(folder).unwrap(), Arc::default());
    ArchiveWriter { spec, retention: retention(), shelf, health: testing::health(), left_out, told: 0, reserve }
}

fn exhibit(seq: u64, verdict: &str) -> ArchiveJob {
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
    let run = RunId::try_new("01JD").unwrap();
    let captured = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400);
    let evidence = Arc::new(PartImages { picture: picture(7), seen: Some(seen()), _permit: Arc::default() });
    ArchiveJob { place: place(&run, &key, captured, verdict), evidence }
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
fn write_leaves_every_print_under_the_name_of_the_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = keeper(folder.path(), 1 << 20, 0);
    assert_eq!(keeper.write(&exhibit(12, "REJECT")).unwrap(), WriteOutcome::Kept);
    let stem = "01JD-cam0-0000000012-REJECT";
    assert_eq!(names(folder.path()), ImageKind::ALL.map(|print| format!("{stem}{}", print.ending())));
    let frame = image::open(folder.path().join("2026-01-01").join(format!("{stem}.frame.png"))).unwrap().into_rgb8();
    assert_eq!(frame, RgbImage::from_pixel(8, 6, Rgb([7; 3])));
}

#[test]
fn room_that_is_used_up_is_made_by_the_oldest_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = keeper(folder.path(), 1 << 20, 0);
    assert_eq!(keeper.write(&exhibit(1, "REJECT")).unwrap(), WriteOutcome::Kept);
    keeper.spec.max_bytes = keeper.shelf.bytes() * 5 / 2;
    for (seq, verdict) in [(2, "PASS"), (3, "PASS"), (4, "REJECT"), (5, "REJECT")] {
        assert_eq!(keeper.write(&exhibit(seq, verdict)).unwrap(), WriteOutcome::Kept);
    }
    let left = names(folder.path());
    assert!(left.iter().all(|name| name.contains("REJECT")), "{left:?}");
    assert!(left.iter().any(|name| name.contains("0000000005-REJECT.frame")), "{left:?}");
    // A part that passed makes none of them leave, and that is no fault of the archive.
    keeper.spec.max_bytes = keeper.shelf.bytes();
    keeper.take(&exhibit(6, "PASS"));
    assert_eq!((names(folder.path()), keeper.left_out.load(Ordering::Relaxed)), (left, 1));
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
    assert_eq!(keeper.write(&exhibit(1, "REJECT")).unwrap(), WriteOutcome::Kept);
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
    let (archive, running) = Archive::start(spec, retention(), &testing::health());
    let held: Vec<_> = (0..20).map_while(|_| archive.evidence(picture(1), None)).collect();
    assert_eq!(held.len(), ON_THE_WAY);
    drop(held);
    let run = RunId::try_new("01JD").unwrap();
    for (seq, verdict) in [(1, "PASS"), (2, "REJECT"), (3, "UNJUDGED")] {
        archive.keep(&run, &meta(seq), verdict, false, archive.evidence(picture(1), None).unwrap());
    }
    drop(running);
    if archive.0.left_out.load(Ordering::Relaxed) == 0 {
        assert_eq!(names(folder.path()), ["01JD-cam0-0000000002-REJECT.frame.png"]);
    }
}

#[test]
fn archive_without_room_or_verdicts_keeps_nothing() {
    let spec = ArchiveSpec { folder: PathBuf::from("/nowhere"), keep: vec![], max_bytes: 5, age: Duration::ZERO };
    let (archive, running) = Archive::start(spec, retention(), &testing::health());
    let run = RunId::try_new("01JD").unwrap();
    archive.keep(&run, &meta(1), "PASS", false, archive.evidence(picture(1), Some(seen())).unwrap());
    assert!(running.is_none() && !Path::new("/nowhere").exists());
}

#[test]
fn latest_is_the_newest_part_of_its_camera_whatever_is_kept() {
    let archive = Archive::default();
    let run = RunId::try_new("01JD").unwrap();
    let camera = meta(1).key.camera;
    assert!(archive.latest(&camera).is_none());
    for seq in [1, 3, 2] {
        let shown = (seq != 2).then(|| Seen { region: None, ..seen() });
        archive.keep(&run, &meta(seq), "PASS", false, archive.evidence(picture(seq as u8), shown).unwrap());
    }
    let latest = archive.latest(&camera).unwrap();
    assert_eq!(latest.key.seq, 3);
    let frame = image::load_from_memory(&latest.png(ImageKind::Frame).unwrap()).unwrap().into_rgb8();
    assert_eq!(frame, RgbImage::from_pixel(8, 6, Rgb([3; 3])));
    let overlay = image::load_from_memory(&latest.png(ImageKind::Overlay).unwrap()).unwrap().into_rgb8();
    // The cold corner shows the part, the worst one the heat.
    assert_eq!((overlay.dimensions(), *overlay.get_pixel(0, 0)), ((2, 2), Rgb([3; 3])));
    assert!(overlay.get_pixel(1, 1).0[0] > 100);
    let unjudged = archive.evidence(picture(1), None).unwrap();
    assert!(ImageKind::Frame.png(&unjudged).is_some() && ImageKind::Overlay.png(&unjudged).is_none());
}

#[test]
fn archive_without_a_usable_folder_keeps_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in the way");
    fs::write(&file, "").unwrap();
    let spec = ArchiveSpec { folder: file, keep: vec![Kept::Pass], max_bytes: 5, age: Duration::ZERO };
    let (archive, running) = Archive::start(spec, retention(), &testing::health());
    assert!(running.is_none() && archive.0.door.is_none());
}

#[test]
fn part_that_was_nearly_reviewed_is_kept_where_reviewed_ones_are() {
    for (keep, want) in [(Kept::Review, "01JD-cam0-0000000002-PASS.frame.png"), (Kept::Reject, "")] {
        let folder = tempfile::tempdir().unwrap();
        let age = Duration::from_secs(86_400 * 365 * 100);
        let spec = ArchiveSpec { folder: folder.path().to_owned(), keep: vec![keep], max_bytes: 1 << 20, age };
        let (archive, running) = Archive::start(spec, retention(), &testing::health());
        let run = RunId::try_new("01JD").unwrap();
        for (seq, near) in [(1, false), (2, true)] {
            archive.keep(&run, &meta(seq), "PASS", near, archive.evidence(picture(1), None).unwrap());
        }
        drop(running);
        if archive.left_out() == 0 {
            assert_eq!(names(folder.path()).concat(), want, "{keep:?}");
        }
    }
}

#[test]
fn near_is_a_pass_within_a_tenth_of_the_review_cut_off() {
    let score = |value| Score::try_new(value).unwrap();
    let judged = |verdict, value| Judgement {
        verdict,
        score: score(value),
        thresholds: Thresholds::try_new(score(0.2), score(0.4), 0).unwrap(),
        region: Roi { x: 0, y: 0, width: 1, height: 1 },
    };
    let cases = [(Verdict::Pass, 0.19, true), (Verdict::Pass, 0.17, false), (Verdict::Review, 0.21, false)];
    for (verdict, value, want) in cases {
        assert_eq!(nearly_reviewed(&judged(verdict, value)), want, "{verdict:?} {value}");
    }
}
