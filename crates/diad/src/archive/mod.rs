//! Pictures of parts, for people: what the camera saw, and the anomaly map. Never in the way of a verdict.
//!
//! One thread, `archive`, writes them. It is handed pictures without waiting; what it cannot take or write is counted and
//! left out. `<folder>/<day>/<run>-<camera>-<number>-<verdict>.frame.png`, `.heatmap.png` and `.overlay.png` are there whole
//! or not at all. When the room is used up the oldest `PASS` leaves first, then the oldest of the others; a `PASS` makes none
//! of the others leave.

mod image_kind;
mod shelf;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use diad_capture::Picture;
use diad_core::event::Judgement;
use diad_core::frame::{PartKey, PartMeta, Roi};
use diad_core::judge::Verdict;
use diad_core::map::AnomalyMap;
use diad_core::name::{CameraId, RunId};
use diad_ledger::{Key, Moment, Row};
use tracing::{debug, info, warn};

use crate::chain::chain;
use crate::files::{Draft, FileError};
use crate::health::{Health, Source};
use crate::picture::HeatScale;
use crate::retention::Retention;
use crate::settings::Kept;
use shelf::Shelf;

pub use image_kind::ImageKind;

/// What the health of a station calls the pictures.
const IMAGES_HEALTH: Source = Source::Images;
/// A part that passed with more than this share of the review cut-off was near it.
const NEAR_REVIEW_SHARE: f32 = 0.9;
/// Pictures that may be on their way to the disk: bounds memory, however slow the disk is.
const ON_THE_WAY: usize = 8;
/// Room that is left on the disk whatever the settings say: the ledger may lie on the same one.
pub(crate) const RESERVE_BYTES: u64 = 256 << 20;
/// How often the thread looks at its clock.
const ARCHIVE_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often old pictures are looked for, and left-out ones are counted in the log.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);
/// How long the last pictures may take at the end.
const ARCHIVE_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Whose pictures are kept, where, and for how long.
#[derive(Debug, Clone)]
pub struct ArchiveSpec {
    /// The folder; made if need be.
    pub folder: PathBuf,
    /// Verdicts whose pictures are kept.
    pub keep: Vec<Kept>,
    /// Room for all of them, in bytes. 0 keeps none.
    pub max_bytes: u64,
    /// How long.
    pub age: Duration,
}

/// What there is to see of a part. Only a few exist at a time.
#[derive(Debug)]
pub struct PartImages {
    picture: Picture,
    seen: Option<Seen>,
    _permit: Arc<()>,
}

/// What the networks made of a picture.
#[derive(Debug)]
pub struct Seen {
    /// The anomaly map.
    pub map: AnomalyMap,
    /// Its colours.
    pub scale: HeatScale,
    /// Where they looked, in frame pixels.
    pub roi: Roi,
    /// Where the part is most unlike the good ones, in frame pixels; none on a part that passed.
    pub region: Option<Roi>,
}

/// A part whose verdict is on record, and its pictures.
struct ArchiveJob {
    place: PathBuf,
    evidence: Arc<PartImages>,
}

/// The way to the archive. Clones share it. The default keeps nothing but the last part of each camera, in memory.
#[derive(Debug, Clone, Default)]
pub struct Archive(Arc<ArchiveShared>);

#[derive(Debug, Default)]
struct ArchiveShared {
    door: Option<ArchiveSender>,
    permit: Arc<()>,
    /// Since the start.
    left_out: Arc<AtomicU64>,
    latest: Mutex<BTreeMap<CameraId, Latest>>,
}

/// The way to the archive's thread.
#[derive(Debug)]
struct ArchiveSender {
    exhibits: Sender<ArchiveJob>,
    keep: Vec<Kept>,
}

/// The last part of a camera, with its pictures.
#[derive(Debug, Clone)]
pub struct Latest {
    /// The part.
    pub key: PartKey,
    evidence: Arc<PartImages>,
}

impl Latest {
    /// One of its pictures as PNG; `None` if there is nothing to see.
    #[must_use]
    pub fn png(&self, print: ImageKind) -> Option<Vec<u8>> {
        print.png(&self.evidence)
    }
}

/// The archive's thread; dropped, it is given a moment for the last pictures.
#[derive(Debug)]
pub struct Running {
    thread: Option<JoinHandle<()>>,
    stop: Sender<()>,
}

/// The folder of pictures that goes with a ledger, which names the parts.
#[must_use]
pub fn folder_of(ledger: &Path) -> PathBuf {
    ledger.with_file_name("images")
}

/// Whether a part passed so near the review cut-off that a person may want to look.
#[must_use]
pub fn nearly_reviewed(Judgement { verdict, score, thresholds, .. }: &Judgement) -> bool {
    *verdict == Verdict::Pass && score.get() >= NEAR_REVIEW_SHARE * thresholds.review().get()
}

/// The name of a part of one station: `<run>-<camera>-<number>`.
#[must_use]
pub fn name(key: &Key) -> String {
    format!("{}-{}-{}", key.series.run, key.series.camera, key.seq)
}

/// Run, camera and number of a [`name`].
#[must_use]
pub fn parse_name(name: &str) -> Option<(RunId, PartKey)> {
    let (run, rest) = name.split_once('-')?;
    let (camera, seq) = rest.rsplit_once('-')?;
    let (run, camera) = (RunId::try_new(run).ok()?, CameraId::try_new(camera).ok()?);
    Some((run, PartKey { camera, seq: seq.parse().ok()? }))
}

/// Where a picture of a recorded part lies within the folder, if it was kept.
#[must_use]
pub fn file_of(row: &Row, print: ImageKind) -> PathBuf {
    let Key { series, seq } = &row.key;
    let key = PartKey { camera: series.camera.clone(), seq: *seq };
    let mut name = place(&series.run, &key, row.captured.wall(), row.verdict_word()).into_os_string();
    name.push(print.ending());
    name.into()
}

/// Where the pictures of a part lie within the folder, without their [ending](Print::ending).
fn place(run: &RunId, key: &PartKey, captured: SystemTime, verdict: &str) -> PathBuf {
    let day = Moment::from(captured).to_string();
    let day = day.get(..10).unwrap_or_default();
    PathBuf::from(format!("{day}/{run}-{}-{:010}-{verdict}", key.camera, key.seq))
}

impl Archive {
    /// Opens the folder and starts the thread. An archive that keeps nothing has neither, nor has one whose folder cannot
    /// be used: `health` says so, and the station goes on without pictures on the disk.
    #[must_use]
    pub fn start(spec: ArchiveSpec, retention: Retention, health: &Health) -> (Self, Option<Running>) {
        if spec.max_bytes == 0 || spec.keep.is_empty() {
            return (Self::default(), None);
        }
        let folder = spec.folder.clone();
        match Self::open(spec, retention, health.clone()) {
            Ok((archive, running)) => (archive, Some(running)),
            Err(error) => {
                health.problem(IMAGES_HEALTH, &format!("no pictures are kept: {}: {error}", folder.display()));
                (Self::default(), None)
            }
        }
    }

    fn open(spec: ArchiveSpec, retention: Retention, health: Health) -> io::Result<(Self, Running)> {
        fs::create_dir_all(&spec.folder)?;
        let shelf = Shelf::of_folder(&spec.folder)?;
        info!(folder = %spec.folder.display(), pictures = shelf.len(), bytes = shelf.bytes(), "archive open");
        let (exhibits, taken) = bounded(ON_THE_WAY);
        let (stop, stopped) = bounded(0);
        let left_out = Arc::new(AtomicU64::new(0));
        let keep = spec.keep.clone();
        let keeper = ArchiveWriter {
            spec,
            retention,
            shelf,
            health,
            left_out: Arc::clone(&left_out),
            told: 0,
            reserve: RESERVE_BYTES,
        };
        let thread =
            std::thread::Builder::new().name("archive".to_owned()).spawn(move || keeper.run(&taken, &stopped))?;
        let inner =
            ArchiveShared { door: Some(ArchiveSender { exhibits, keep }), left_out, ..ArchiveShared::default() };
        Ok((Self(Arc::new(inner)), Running { thread: Some(thread), stop }))
    }

    /// Takes what there is to see of a part, until it is known what is said of it. None if too much is on its way to the
    /// disk.
    #[must_use]
    pub fn evidence(&self, picture: Picture, seen: Option<Seen>) -> Option<PartImages> {
        let ArchiveShared { permit, left_out, .. } = &*self.0;
        // One is our own, and one is shown for each camera.
        if Arc::strong_count(permit) > ON_THE_WAY + self.latest_of_all().len() {
            left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(PartImages { picture, seen, _permit: Arc::clone(permit) })
    }

    /// Shows the pictures of a part whose verdict is known, and keeps them if they are asked for: those of a part that was
    /// [nearly reviewed](nearly_reviewed) where those of `REVIEW` are. Never waits.
    pub fn keep(&self, run: &RunId, meta: &PartMeta, verdict: &str, near: bool, evidence: PartImages) {
        let PartMeta { key, captured, .. } = meta;
        let evidence = Arc::new(evidence);
        let latest = Latest { key: key.clone(), evidence: Arc::clone(&evidence) };
        {
            let mut shown = self.latest_of_all();
            if shown.get(&key.camera).is_none_or(|before| before.key.seq < key.seq) {
                shown.insert(key.camera.clone(), latest);
            }
        }
        let Some(door) = &self.0.door else { return };
        if !door.keep.iter().any(|kept| kept.word() == verdict || (near && *kept == Kept::Review)) {
            return;
        }
        if door.exhibits.try_send(ArchiveJob { place: place(run, key, captured.wall, verdict), evidence }).is_err() {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Parts whose pictures could not be shown or kept, since the start.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.0.left_out.load(Ordering::Relaxed)
    }

    /// The last part of a camera.
    #[must_use]
    pub fn latest(&self, camera: &CameraId) -> Option<Latest> {
        self.latest_of_all().get(camera).cloned()
    }

    fn latest_of_all(&self) -> MutexGuard<'_, BTreeMap<CameraId, Latest>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The one message is that the sender is gone.
        let (sender, _) = bounded(0);
        self.stop = sender;
        let give_up = Instant::now() + ARCHIVE_DRAIN_TIMEOUT + ARCHIVE_POLL_INTERVAL;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() && thread.join().is_err() {
            tracing::error!("thread \"archive\" had panicked");
        }
    }
}

/// What became of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteOutcome {
    Kept,
    /// What the settings have room for is taken by pictures that are worth more.
    NoRoom,
    DiskFull,
}

/// What the thread works with.
struct ArchiveWriter {
    spec: ArchiveSpec,
    retention: Retention,
    shelf: Shelf,
    health: Health,
    left_out: Arc<AtomicU64>,
    /// How many of these the log has told.
    told: u64,
    reserve: u64,
}

impl ArchiveWriter {
    fn run(mut self, exhibits: &Receiver<ArchiveJob>, stopped: &Receiver<()>) {
        let mut next_tidy = Instant::now();
        let mut give_up = None;
        loop {
            match exhibits.recv_timeout(ARCHIVE_POLL_INTERVAL) {
                Ok(exhibit) => self.take(&exhibit),
                Err(RecvTimeoutError::Timeout) if give_up.is_some() => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected)
                && now >= *give_up.get_or_insert(now + ARCHIVE_DRAIN_TIMEOUT)
            {
                return;
            }
            if now >= next_tidy {
                next_tidy = now + CLEANUP_INTERVAL;
                self.tidy();
            }
        }
    }

    fn take(&mut self, exhibit: &ArchiveJob) {
        match self.write(exhibit) {
            Ok(WriteOutcome::Kept) => self.health.well(IMAGES_HEALTH),
            // As the settings want it: nothing is wrong with the archive.
            Ok(WriteOutcome::NoRoom) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                self.health.well(IMAGES_HEALTH);
            }
            Ok(WriteOutcome::DiskFull) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                self.health.problem(IMAGES_HEALTH, "the disk is nearly full; pictures are left out");
            }
            Err(error) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                self.health.problem(IMAGES_HEALTH, &chain(&error));
            }
        }
    }

    fn write(&mut self, ArchiveJob { place, evidence }: &ArchiveJob) -> Result<WriteOutcome, FileError> {
        for print in ImageKind::ALL {
            let Some(bytes) = print.png(evidence) else { continue };
            let mut name = place.as_os_str().to_owned();
            name.push(print.ending());
            match self.put(Path::new(&name), &bytes)? {
                WriteOutcome::Kept => {}
                left_out => return Ok(left_out),
            }
        }
        Ok(WriteOutcome::Kept)
    }

    /// Puts one file on the shelf, and takes down what has to make room for it.
    fn put(&mut self, name: &Path, bytes: &[u8]) -> Result<WriteOutcome, FileError> {
        let size = bytes.len() as u64;
        let Some(room) = self.spec.max_bytes.checked_sub(size) else { return Ok(WriteOutcome::NoRoom) };
        let Some(down) = self.shelf.make_room(room, name) else { return Ok(WriteOutcome::NoRoom) };
        for old in down {
            self.take_down(&old);
        }
        if self.free_bytes().is_some_and(|free| free < self.reserve + size) {
            return Ok(WriteOutcome::DiskFull);
        }
        let path = self.spec.folder.join(name);
        if let Some(folder) = path.parent() {
            crate::files::make_folder(folder)?;
        }
        let draft = Draft::create(&path)?;
        draft.file().write_all(bytes).map_err(|source| FileError::Write { path: path.clone(), source })?;
        draft.keep()?;
        self.shelf.put(name.to_owned(), size, SystemTime::now());
        Ok(WriteOutcome::Kept)
    }

    fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.spec.folder).ok()?;
        Some(disk.f_bavail * disk.f_frsize)
    }

    fn take_down(&mut self, name: &Path) {
        let path = self.spec.folder.join(name);
        match fs::remove_file(&path) {
            Ok(()) => debug!(picture = %path.display(), "old picture removed"),
            // Somebody else has tidied up.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(picture = %path.display(), %error, "old picture not removed"),
        }
        // The day's folder, if that was its last picture.
        if let Some(folder) = path.parent().filter(|folder| *folder != self.spec.folder) {
            let _ = fs::remove_dir(folder);
        }
    }

    fn tidy(&mut self) {
        let left_out = self.left_out.load(Ordering::Relaxed);
        let new = left_out.saturating_sub(std::mem::replace(&mut self.told, left_out));
        if new > 0 {
            warn!(pictures = new, "pictures left out: the disk is slow or full, or max_gib is");
        }
        // The journal says why, where it may not.
        let Ok(before) = self.retention.before(self.spec.age) else { return };
        let day = before.to_string();
        for old in self.shelf.older_than(day.get(..10).unwrap_or_default()) {
            self.take_down(&old);
        }
    }
}

#[cfg(test)]
mod tests;
