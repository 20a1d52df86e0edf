//! Where the record is kept: folder, pictures, room, and how fast the disk keeps what it is given.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access, statvfs};

use super::super::bounded::within;
use super::super::{Check, machine};
use super::Station;
use crate::archive;
use crate::command::check::places::parent;
use crate::exit::Exit;
use crate::percentile::Percentiles;
use crate::timing::ms;

/// Longest wait for the disk, for each check.
const DISK_TRIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Syncs that are timed.
const MEASURED_SYNCS: usize = 50;
/// Bytes of each: about what a round of verdicts takes.
const SYNC_BYTES: usize = 4096;
/// Between two of them: a running station shares the disk.
const SYNC_PAUSE: Duration = Duration::from_millis(10);
/// Share of the deadline that a sync may take before it is worth a warning.
const SHARE_OF_DEADLINE: f64 = 0.25;
/// Free room below this is worth a warning.
const SCARCE_BYTES: u64 = 1 << 30;

const FOLDER: &str = "ledger folder";
const SPACE: &str = "disk space";
const SPEED: &str = "disk speed";
const BROKEN: &str = "see whether the disk, or the share that is mounted there, answers: df, dmesg";

pub(super) fn checks(station: &Station<'_>) -> Vec<Check> {
    let ledger = &station.settings.ledger();
    let (path, max_bytes) = (ledger.path.clone(), u64::from(ledger.max_gib) << 30);
    let deadline_ms = ms(station.settings.deadline());
    let folder = parent(&path);
    let place = within(DISK_TRIAL_TIMEOUT, move || Place::of(&path));
    let place = match place {
        Err(unfinished) => return vec![unfinished.check(FOLDER, Exit::Disk, BROKEN)],
        Ok(place) => place,
    };
    let mut checks = vec![judge_place(&folder, &place), judge_space(&folder, &place, max_bytes)];
    checks.push(if place.folder.is_ok() {
        let of = folder.clone();
        match within(DISK_TRIAL_TIMEOUT, move || time_syncs(&of)) {
            Ok(times) => judge_speed(&folder, times, deadline_ms),
            Err(unfinished) => unfinished.check(SPEED, Exit::Disk, BROKEN),
        }
    } else {
        Check::skipped(SPEED, "not measured: the folder cannot be written", "see the row above")
    });
    checks
}

/// What the system says of the ledger's folder.
struct Place {
    /// Whether this user may write there.
    folder: Result<(), String>,
    /// Whether this user may write the files that are there.
    files: Result<(), String>,
    /// Free bytes.
    free: io::Result<u64>,
    /// Bytes of the pictures that are kept.
    pictures: u64,
}

impl Place {
    fn of(ledger: &Path) -> Self {
        let folder = parent(ledger);
        let pictures = archive::folder_of(ledger);
        let free = statvfs(&folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)).map_err(io::Error::from);
        let files = [ledger, &pictures].into_iter().filter(|path| path.exists()).try_for_each(|path| {
            access(path, Access::WRITE_OK).map_err(|error| format!("{}: {}", path.display(), io::Error::from(error)))
        });
        Self { folder: writable(&folder), files, free, pictures: bytes_below(&pictures) }
    }
}

fn writable(folder: &Path) -> Result<(), String> {
    let metadata = fs::metadata(folder).map_err(|error| error.to_string())?;
    if !metadata.is_dir() {
        return Err("it is not a folder".to_owned());
    }
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| io::Error::from(error).to_string())
}

/// Bytes of all files in a folder and in those within; what cannot be read counts nothing.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
            _ => 0,
        })
        .sum()
}

fn judge_place(folder: &Path, place: &Place) -> Check {
    let shown = folder.display();
    let remedy = format!(
        "make or mount {shown} and give it to the station's user: sudo install -d -o diad -g diad {shown}; ask as that user: \
         sudo -u diad diad doctor --config FILE"
    );
    match (&place.folder, &place.files) {
        (Err(error), _) => {
            let detail = format!("{shown}, with ledger and pictures, cannot be written by this user: {error}");
            Check::failed(FOLDER, Exit::Disk, detail, remedy)
        }
        (Ok(()), Err(error)) => {
            Check::failed(FOLDER, Exit::Disk, format!("cannot be written by this user: {error}"), remedy)
        }
        (Ok(()), Ok(())) => Check::fine(FOLDER, format!("{shown} may be written, with ledger and pictures")),
    }
}

fn judge_space(folder: &Path, place: &Place, max_bytes: u64) -> Check {
    let free = match place.free {
        Ok(free) => free,
        Err(ref error) => {
            let detail = format!("free space at {} is not known: {error}", folder.display());
            return Check::skipped(SPACE, detail, "see the row above, and `df`");
        }
    };
    let gib = machine::gib;
    let wanted = max_bytes.saturating_sub(place.pictures);
    let detail = format!(
        "{} free at {}; pictures take {} of {} that they may take",
        gib(free),
        folder.display(),
        gib(place.pictures),
        gib(max_bytes)
    );
    let reserve = archive::RESERVE_BYTES;
    if free < reserve {
        let remedy = "make room: pictures are no longer kept, and soon no verdict can be recorded";
        Check::failed(SPACE, Exit::Disk, detail, remedy)
    } else if wanted.saturating_add(reserve) > free {
        let fits = (place.pictures.saturating_add(free).saturating_sub(SCARCE_BYTES)) >> 30;
        let remedy = format!("set ledger.images.max_gib to {fits}, or make room: the pictures would fill the disk");
        Check::warning(SPACE, detail, remedy)
    } else if free < SCARCE_BYTES {
        Check::warning(SPACE, detail, "make room: 1 GiB is the least for a station that keeps records")
    } else {
        Check::fine(SPACE, detail)
    }
}

/// Times small syncs in a file without a name, which is gone with its last use.
fn time_syncs(folder: &Path) -> io::Result<Vec<f64>> {
    let mut file = tempfile::tempfile_in(folder)?;
    (0..MEASURED_SYNCS)
        .map(|_| {
            std::thread::sleep(SYNC_PAUSE);
            let began = Instant::now();
            file.write_all(&[0; SYNC_BYTES])?;
            file.sync_data()?;
            Ok(ms(began.elapsed()))
        })
        .collect()
}

fn judge_speed(folder: &Path, times: io::Result<Vec<f64>>, deadline_ms: f64) -> Check {
    let measured = match times {
        Ok(times) => Percentiles::of(times),
        Err(error) => return Check::failed(SPEED, Exit::Disk, format!("{}: {error}", folder.display()), BROKEN),
    };
    let Some(Percentiles { p50, p99, max, .. }) = measured else {
        return Check::skipped(SPEED, "nothing was measured", "ask again");
    };
    let detail = format!(
        "{MEASURED_SYNCS} syncs of {SYNC_BYTES} bytes: p50 {p50:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms; deadline {deadline_ms} ms"
    );
    let remedy = "a verdict is on the disk before it is sent: take a faster disk (SSD, not an SD card), or allow a longer deadline_ms";
    if p99 > deadline_ms {
        Check::failed(SPEED, Exit::Disk, detail, remedy)
    } else if p99 > SHARE_OF_DEADLINE * deadline_ms {
        Check::warning(SPEED, detail, remedy)
    } else {
        Check::fine(SPEED, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::CheckStatus;

    fn place(free: u64, pictures: u64) -> Place {
        Place { folder: Ok(()), files: Ok(()), free: Ok(free), pictures }
    }

    #[test]
    fn space_is_measured_against_what_the_pictures_may_take() {
        let (gib, at) = (1_u64 << 30, Path::new("/a"));
        assert_eq!(judge_space(at, &place(30 * gib, 0), 20 * gib).health, CheckStatus::Fine);
        assert_eq!(
            judge_space(at, &place(3 * gib, 19 * gib), 20 * gib).health,
            CheckStatus::Fine,
            "19 of 20 are there"
        );
        let check = judge_space(at, &place(12 * gib, 3 * gib), 20 * gib);
        assert_eq!(check.health, CheckStatus::Warning);
        assert!(check.remedy.unwrap().contains("max_gib to 14"), "3 kept + 12 free - 1");
        assert_eq!(judge_space(at, &place(gib / 2, 0), 0).health, CheckStatus::Warning);
        assert_eq!(judge_space(at, &place(gib / 8, 0), 0).failure(), Some(Exit::Disk));
    }

    #[test]
    fn speed_is_measured_against_the_deadline() {
        let times = |slowest: f64| Ok((0..50).map(|index| if index == 0 { slowest } else { 1.0 }).collect());
        let health = |slowest| judge_speed(Path::new("/a"), times(slowest), 200.0).health;
        assert_eq!(health(10.0), CheckStatus::Fine);
        assert_eq!(health(60.0), CheckStatus::Warning);
        assert_eq!(health(250.0), CheckStatus::Failed(Exit::Disk));
        let broken = judge_speed(Path::new("/a"), Err(io::Error::other("EIO")), 200.0);
        assert_eq!(broken.failure(), Some(Exit::Disk));
    }

    #[test]
    fn folder_that_is_gone_or_no_folder_is_a_failure_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for ledger in [folder.path().join("gone/ledger.sqlite3"), file.join("ledger.sqlite3")] {
            let check = judge_place(&parent(&ledger), &Place::of(&ledger));
            assert_eq!(check.failure(), Some(Exit::Disk), "{check:?}");
            assert!(check.detail.contains(&parent(&ledger).display().to_string()), "{}", check.detail);
        }
        assert_eq!(judge_place(folder.path(), &Place::of(&folder.path().join("l"))).health, CheckStatus::Fine);
    }

    #[test]
    fn syncs_leave_nothing_behind_and_pictures_are_counted_in_all_folders() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(time_syncs(folder.path()).unwrap().len(), MEASURED_SYNCS);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::create_dir(folder.path().join("day")).unwrap();
        fs::write(folder.path().join("day/a"), [0; 700]).unwrap();
        fs::write(folder.path().join("b"), [0; 50]).unwrap();
        assert_eq!(bytes_below(folder.path()), 750);
    }
}
