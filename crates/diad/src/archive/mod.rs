//! Pictures of parts, for people: what the camera saw, and the anomaly map. Never in the way of a verdict.
//!
//! One thread, `archive`, writes them. It is handed pictures without waiting; what it cannot take or write is counted and
//! left out. `<folder>/<day>/<run>-<camera>-<number>-<verdict>.frame.png` and `.heatmap.png` are there whole or not at all.
//! When the room is used up the oldest `PASS` leaves first, then the oldest of the others.

mod shelf;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use diad_capture::Picture;
use diad_core::frame::{PartKey, PixelFormat};
use diad_core::map::AnomalyMap;
use diad_core::name::RunId;
use diad_ledger::Moment;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use tracing::{debug, info, warn};

use crate::chain::chain;
use crate::files::{Draft, FileError};
use crate::health::Health;
use crate::picture::{HeatScale, heat_map};
use crate::settings::Kept;
use shelf::Shelf;

/// What the health of a station calls the pictures.
const SOURCE: &str = "images";
/// Pictures that may be on their way to the disk: bounds memory, however slow the disk is.
const ON_THE_WAY: usize = 8;
/// Room that is left on the disk whatever the settings say: the ledger may lie on the same one.
const RESERVE_BYTES: u64 = 256 << 20;
/// How often the thread looks at its clock.
const LOOK: Duration = Duration::from_millis(200);
/// How often old pictures are looked for, and left-out ones are counted in the log.
const TIDY: Duration = Duration::from_secs(60);
/// How long the last pictures may take at the end.
const DRAIN: Duration = Duration::from_secs(1);

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
pub struct Evidence {
    picture: Picture,
    map: Option<(AnomalyMap, HeatScale)>,
    _permit: Arc<()>,
}

/// A part whose verdict is on record, and its pictures.
struct Exhibit {
    place: PathBuf,
    evidence: Evidence,
}

/// The way to the archive. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Archive(Option<Arc<Door>>);

#[derive(Debug)]
struct Door {
    exhibits: Sender<Exhibit>,
    permit: Arc<()>,
    keep: Vec<Kept>,
    left_out: Arc<AtomicU64>,
}

/// The archive's thread; dropped, it is given a moment for the last pictures.
#[derive(Debug)]
pub struct Running {
    thread: Option<JoinHandle<()>>,
    stop: Sender<()>,
}

/// The file name of a picture within the folder, without its last part: `.frame.png` or `.heatmap.png`.
#[must_use]
pub fn place(run: &RunId, key: &PartKey, captured: SystemTime, verdict: &str) -> PathBuf {
    let day = Moment::from(captured).to_string();
    let day = day.get(..10).unwrap_or_default();
    PathBuf::from(format!("{day}/{run}-{}-{:010}-{verdict}", key.camera, key.seq))
}

impl Archive {
    /// Opens the folder and starts the thread. An archive that keeps nothing has neither.
    ///
    /// # Errors
    /// The folder cannot be made or read, or there is no thread.
    pub fn start(spec: ArchiveSpec, health: Health) -> io::Result<(Self, Option<Running>)> {
        if spec.max_bytes == 0 || spec.keep.is_empty() {
            return Ok((Self(None), None));
        }
        fs::create_dir_all(&spec.folder)?;
        let shelf = Shelf::of_folder(&spec.folder)?;
        info!(folder = %spec.folder.display(), pictures = shelf.len(), bytes = shelf.bytes(), "archive open");
        let (exhibits, taken) = bounded(ON_THE_WAY);
        let (stop, stopped) = bounded(0);
        let left_out = Arc::new(AtomicU64::new(0));
        let keep = spec.keep.clone();
        let keeper = Keeper { spec, shelf, health, left_out: Arc::clone(&left_out), reserve: RESERVE_BYTES };
        let thread =
            std::thread::Builder::new().name("archive".to_owned()).spawn(move || keeper.run(&taken, &stopped))?;
        let door = Door { exhibits, permit: Arc::new(()), keep, left_out };
        Ok((Self(Some(Arc::new(door))), Some(Running { thread: Some(thread), stop })))
    }

    /// Takes what there is to see of a part, until it is known what is said of it. None if nothing is kept anyway or
    /// too much is on its way to the disk.
    #[must_use]
    pub fn evidence(&self, picture: Picture, map: Option<(AnomalyMap, HeatScale)>) -> Option<Evidence> {
        let door = self.0.as_ref()?;
        // One is the door's own.
        if Arc::strong_count(&door.permit) > ON_THE_WAY {
            door.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Evidence { picture, map, _permit: Arc::clone(&door.permit) })
    }

    /// Keeps the pictures of a part whose verdict is known. Never waits.
    pub fn keep(&self, run: &RunId, key: &PartKey, captured: SystemTime, verdict: &str, evidence: Evidence) {
        let Some(door) = &self.0 else { return };
        if !door.keep.iter().any(|kept| kept.word() == verdict) {
            return;
        }
        if door.exhibits.try_send(Exhibit { place: place(run, key, captured, verdict), evidence }).is_err() {
            door.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The one message is that the sender is gone.
        let (sender, _) = bounded(0);
        self.stop = sender;
        let give_up = Instant::now() + DRAIN + LOOK;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() && thread.join().is_err() {
            tracing::error!("thread \"archive\" had panicked");
        }
    }
}

/// What the thread works with.
struct Keeper {
    spec: ArchiveSpec,
    shelf: Shelf,
    health: Health,
    left_out: Arc<AtomicU64>,
    reserve: u64,
}

impl Keeper {
    fn run(mut self, exhibits: &Receiver<Exhibit>, stopped: &Receiver<()>) {
        let mut next_tidy = Instant::now();
        let mut give_up = None;
        loop {
            match exhibits.recv_timeout(LOOK) {
                Ok(exhibit) => self.take(&exhibit),
                Err(RecvTimeoutError::Timeout) if give_up.is_some() => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected)
                && now >= *give_up.get_or_insert(now + DRAIN)
            {
                return;
            }
            if now >= next_tidy {
                next_tidy = now + TIDY;
                self.tidy();
            }
        }
    }

    fn take(&mut self, exhibit: &Exhibit) {
        match self.write(exhibit) {
            Ok(true) => self.health.well(SOURCE),
            Ok(false) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                self.health.problem(SOURCE, "the disk is nearly full; pictures are left out");
            }
            Err(error) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                self.health.problem(SOURCE, &chain(&error));
            }
        }
    }

    /// False if there is no room on the disk.
    fn write(&mut self, Exhibit { place, evidence }: &Exhibit) -> Result<bool, FileError> {
        let frame = encode(&evidence.picture);
        let heat = evidence.map.as_ref().map(|(map, scale)| {
            let picture = heat_map(map, *scale);
            png(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        });
        for (kind, bytes) in [("frame", frame), ("heatmap", heat.flatten())] {
            let Some(bytes) = bytes else { continue };
            let mut name = place.as_os_str().to_owned();
            name.push(format!(".{kind}.png"));
            if !self.put(Path::new(&name), &bytes)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts one file on the shelf, and takes down what has to make room for it.
    fn put(&mut self, name: &Path, bytes: &[u8]) -> Result<bool, FileError> {
        let size = bytes.len() as u64;
        for old in self.shelf.make_room(self.spec.max_bytes.saturating_sub(size)) {
            self.take_down(&old);
        }
        if size > self.spec.max_bytes || self.free_bytes().is_some_and(|free| free < self.reserve + size) {
            return Ok(false);
        }
        let path = self.spec.folder.join(name);
        if let Some(folder) = path.parent() {
            crate::files::make_folder(folder)?;
        }
        let draft = Draft::create(&path)?;
        draft.file().write_all(bytes).map_err(|source| FileError::Write { path: path.clone(), source })?;
        draft.keep()?;
        self.shelf.put(name.to_owned(), size);
        Ok(true)
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
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            warn!(pictures = left_out, "pictures left out: the disk is slow or full");
        }
        let Some(since) = SystemTime::now().checked_sub(self.spec.age) else { return };
        let day = Moment::from(since).to_string();
        for old in self.shelf.older_than(day.get(..10).unwrap_or_default()) {
            self.take_down(&old);
        }
    }
}

/// None for a picture that is not what it says it is: a torn frame has nothing to show.
fn encode(picture: &Picture) -> Option<Vec<u8>> {
    let view = picture.view().ok()?;
    let colour = match view.format() {
        PixelFormat::Rgb8 => ExtendedColorType::Rgb8,
        PixelFormat::Mono8 => ExtendedColorType::L8,
    };
    png(view.data(), view.width(), view.height(), colour)
}

fn png(pixels: &[u8], width: u32, height: u32, colour: ExtendedColorType) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // Losslessly, and quickly rather than small.
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    encoder.write_image(pixels, width, height, colour).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
