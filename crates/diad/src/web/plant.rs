//! What the page may look at, and the few things that it may ask for.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use diad_core::name::{CameraId, LineName, RunId, StationName};
use diad_ledger::{Key, Mark, Reader, Series};
use diad_publish::Publisher;
use diad_publish::wire::Digest;
use tokio::sync::Semaphore;

use super::answer::{Answer, Refusal};
use super::live_stats::LiveStats;
use crate::archive::{self, Archive};
use crate::chain::chain;
use crate::guard::GoldenRequest;
use crate::health::Health;
use crate::line::{Account, LabelRequest};
use crate::thresholds::LiveThresholds;

/// Requests that read the ledger, draw or write at a time; the line has the rest of the machine.
pub const MAX_PARALLEL_REQUESTS: usize = 2;
/// How long a request waits for its turn.
const REQUEST_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the record stage may take to keep a mark: it looks up at least ten times a second.
const LABEL_REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// A station as the page sees it.
pub struct Plant {
    /// The line it stands on.
    pub line: LineName,
    /// Its name.
    pub station: StationName,
    /// This run.
    pub run: RunId,
    /// Its cameras.
    pub cameras: Vec<CameraId>,
    /// Time from capture to verdict, in milliseconds.
    pub deadline_ms: u32,
    /// Which model judges.
    pub model: Digest,
    /// The database file of its ledger.
    pub ledger: PathBuf,
    /// The thresholds in force.
    pub thresholds: LiveThresholds,
    /// Where they come from.
    pub thresholds_file: PathBuf,
    /// The last parts.
    pub board: LiveStats,
    /// Pictures.
    pub archive: Archive,
    /// Whether it is well.
    pub health: Health,
    /// The broker link.
    pub publisher: Arc<Publisher>,
    /// Where people's words on verdicts go.
    pub marks: Sender<LabelRequest>,
    /// How many of them were kept, since the start.
    pub marked: AtomicU64,
    /// Asks for the golden parts, if there are any.
    pub golden: Option<GoldenRequest>,
    /// The count of parts, once the line runs.
    pub account: OnceLock<Account>,
    /// Turns of requests that cost something.
    pub workers: Arc<Semaphore>,
    /// The turn of a what-if, which may take seconds.
    pub what_ifs: Arc<Semaphore>,
    /// The turn of whoever writes the thresholds: what he read is still there when he writes.
    pub writing: Mutex<()>,
}

impl Plant {
    /// The full name of a part of this station.
    ///
    /// # Errors
    /// [`Refusal`]: it is no name of a part.
    pub fn key(&self, name: &str) -> Answer<Key> {
        let (run, part) = archive::parse_name(name)
            .ok_or_else(|| Refusal::bad(format!("{name:?} names no part; a name is RUN-CAMERA-NUMBER")))?;
        let series = Series { line: self.line.clone(), station: self.station.clone(), camera: part.camera, run };
        Ok(Key { series, seq: part.seq })
    }

    /// The ledger, to be read.
    ///
    /// # Errors
    /// [`Refusal`]: it cannot be read now.
    pub fn reader(&self) -> Answer<Reader> {
        Reader::open(&self.ledger).map_err(|error| Refusal::unavailable(chain(&error)))
    }

    /// The folder of kept pictures.
    #[must_use]
    pub fn pictures(&self) -> PathBuf {
        archive::folder_of(&self.ledger)
    }

    /// Has the record stage keep a person's word. Waits for its answer.
    ///
    /// # Errors
    /// [`Refusal`]: there is no such part, or the ledger cannot be written.
    pub fn mark(&self, key: Key, mark: Option<Mark>) -> Answer<()> {
        let (answer, answered) = bounded(1);
        let busy = || Refusal::unavailable("the station is busy; try again");
        self.marks.try_send(LabelRequest { key, mark, answer }).map_err(|_| busy())?;
        match answered.recv_timeout(LABEL_REPLY_TIMEOUT).map_err(|_| busy())? {
            Ok(()) => {
                self.marked.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error @ crate::line::MarkError::Unknown) => Err(Refusal::missing(error.to_string())),
            Err(error) => Err(Refusal::unavailable(error.to_string())),
        }
    }
}

/// Does what takes time on a thread of its own, when it is its turn.
///
/// # Errors
/// What `job` says, and [`Refusal`] if its turn does not come.
pub async fn work<T: Send + 'static>(
    plant: &Arc<Plant>,
    job: impl FnOnce(&Plant) -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let turn = tokio::time::timeout(REQUEST_QUEUE_TIMEOUT, Arc::clone(&plant.workers).acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return Err(Refusal::unavailable("the page is busy; try again")) };
    let plant = Arc::clone(plant);
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        job(&plant)
    });
    done.await.unwrap_or_else(|_| Err(Refusal::unavailable("the request failed; the log of the station says why")))
}

/// A file that may be gone.
///
/// # Errors
/// [`Refusal`].
pub fn read(path: &Path) -> Answer<Vec<u8>> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::missing("no such picture is kept"),
        _ => Refusal::unavailable(format!("the picture cannot be read: {error}")),
    })
}
