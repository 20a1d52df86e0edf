//! Golden parts: pictures of parts that are known to be good or bad, judged by the networks and thresholds in force.
//!
//! One thread, `golden`, reads them and hands them to the infer stage one at a time; that judges one only when no part
//! waits and its deadline leaves room for both. They are no parts: no number, no verdict, no row. One that comes out wrong
//! turns the state to `degraded`, and the station is not `ready` before all have come out right; parts are judged all the
//! while.

mod folder;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use diad_capture::{Picture, read_image};
use diad_core::frame::Roi;
use diad_core::judge::Verdict;
use diad_core::name::ProductName;
use diad_core::score::Score;
use tracing::{info, warn};

use crate::chain::chain;
use crate::health::{Health, Source};

pub use folder::{Golden, GoldenError, Kind, check, list, without_bad};

/// What the health of a station calls golden parts.
const GOLDEN_HEALTH: Source = Source::Golden;
/// How often the thread looks whether it has been asked.
const GOLDEN_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a picture waits for its turn. Parts that come without a gap for that long leave no time for golden ones.
const GOLDEN_TURN_TIMEOUT: Duration = Duration::from_secs(60);
/// Wrong ones in words; more are counted. The state has room for 400 bytes.
const MAX_WRONG_IN_DETAIL: usize = 2;

/// Where the golden parts are and how often they are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenSpec {
    /// The folder: `<product>/good` and `<product>/bad` in it hold pictures.
    pub folder: PathBuf,
    /// None: at the start and when asked.
    pub every: Option<Duration>,
    /// The part of the pictures to look at, as the camera that took them has it; none is the whole picture.
    pub roi: Option<Roi>,
}

/// Asks for the golden parts to be judged, and tells how many were. Clones ask the same station.
#[derive(Debug, Clone, Default)]
pub struct GoldenRequest {
    asked: Arc<AtomicBool>,
    right: Arc<AtomicU64>,
    wrong: Arc<AtomicU64>,
}

/// Golden parts that were judged since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoldenCount {
    /// As they should.
    pub right: u64,
    /// Otherwise, or not at all.
    pub wrong: u64,
}

impl GoldenRequest {
    /// As soon as parts leave time for it. Asked again during a run, another run follows.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// A flag that a signal handler may raise: the same as [`ask`](Self::ask).
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    fn take(&self) -> bool {
        self.asked.swap(false, Ordering::AcqRel)
    }

    /// How many came out right and wrong.
    #[must_use]
    pub fn judged(&self) -> GoldenCount {
        GoldenCount { right: self.right.load(Ordering::Relaxed), wrong: self.wrong.load(Ordering::Relaxed) }
    }
}

/// What came of a golden part: verdict and score, or why there are none.
pub type Answer = Result<(Verdict, Score), String>;

/// A golden part on its way to the networks.
#[derive(Debug)]
pub struct GoldenJob {
    /// Its picture.
    pub picture: Picture,
    /// The part of it to look at; none is the whole picture.
    pub roi: Option<Roi>,
    /// By whose thresholds it is judged.
    pub product: ProductName,
    answer: Sender<Answer>,
}

impl GoldenJob {
    /// Says what came of it.
    pub fn answer(self, answer: Answer) {
        // Nobody listens any more: the station stops, or the run was given up.
        let _ = self.answer.try_send(answer);
    }
}

/// Where the infer stage finds golden parts.
#[derive(Debug)]
pub struct GoldenQueue {
    pub(crate) waiting: Receiver<GoldenJob>,
    // The other end: what is held here is never disconnected, and the infer stage never wakes for nothing.
    _held: Sender<GoldenJob>,
}

impl GoldenQueue {
    /// There are none.
    #[must_use]
    pub fn none() -> Self {
        let (held, waiting) = bounded(0);
        Self { waiting, _held: held }
    }
}

/// Who sees to it that golden parts are judged.
pub struct GoldenRunner {
    spec: GoldenSpec,
    request: GoldenRequest,
    health: Health,
    exams: Sender<GoldenJob>,
    turn: Duration,
}

/// A started proctor. Dropped, it says nothing more; its thread ends as soon as the disk lets it.
#[derive(Debug)]
pub struct Running {
    _stop: Sender<()>,
}

/// A proctor, and where the infer stage finds what it wants judged.
pub fn proctor(spec: GoldenSpec, request: GoldenRequest, health: Health) -> (GoldenQueue, GoldenRunner) {
    let (exams, waiting) = bounded(1);
    let proctor = GoldenRunner { spec, request, health, exams: exams.clone(), turn: GOLDEN_TURN_TIMEOUT };
    (GoldenQueue { waiting, _held: exams }, proctor)
}

/// All came out right.
struct GoldenCorrect {
    parts: usize,
    /// What they cannot show.
    notice: Option<String>,
}

/// What a picture may come to.
enum GoldenOutcome {
    Answer(Answer),
    NoTime,
    Stopped,
}

impl GoldenRunner {
    /// Starts the thread. The golden parts are judged at once; only then the station's health says `ready`.
    pub fn start(self) -> Option<Running> {
        let (stop, stopped) = bounded(0);
        let health = self.health.clone();
        match Builder::new().name("golden".to_owned()).spawn(move || self.run(&stopped)) {
            Ok(_) => Some(Running { _stop: stop }),
            Err(error) => {
                health.problem(GOLDEN_HEALTH, &format!("not judged: {error}"));
                health.ready();
                None
            }
        }
    }

    fn run(&self, stopped: &Receiver<()>) {
        let mut next = Some(Instant::now());
        loop {
            // The request first: one that is due as well is one run.
            if self.request.take() || next.is_some_and(|next| Instant::now() >= next) {
                let Some(outcome) = self.judge_all(stopped) else { return };
                match outcome {
                    Ok(right) => {
                        info!(parts = right.parts, "golden parts came out right");
                        match &right.notice {
                            Some(notice) => self.health.notice(GOLDEN_HEALTH, notice),
                            None => self.health.well(GOLDEN_HEALTH),
                        }
                    }
                    Err(wrong) => self.health.problem(GOLDEN_HEALTH, &wrong),
                }
                self.health.ready();
                next = self.spec.every.and_then(|every| Instant::now().checked_add(every));
            }
            if stopped.recv_timeout(GOLDEN_POLL_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// How many came out right, or in words what did not. None if the station stops meanwhile.
    fn judge_all(&self, stopped: &Receiver<()>) -> Option<Result<GoldenCorrect, String>> {
        let all = match list(&self.spec.folder) {
            Ok(all) => all,
            Err(error) => return Some(Err(format!("not judged: {}", chain(&error)))),
        };
        let mut wrong = Vec::new();
        for (done, golden) in all.iter().enumerate() {
            let answer = match read_image(&golden.path) {
                Ok(picture) => match self.judge(picture, &golden.product, stopped) {
                    GoldenOutcome::Answer(answer) => answer,
                    GoldenOutcome::Stopped => return None,
                    GoldenOutcome::NoTime => {
                        let turn = self.turn.as_secs();
                        return Some(Err(format!("parts left no time for {turn} s: {done} of {} judged", all.len())));
                    }
                },
                Err(error) => Err(chain(&error)),
            };
            if let Some(words) = golden.wrong(&answer) {
                warn!("golden part {words}");
                self.request.wrong.fetch_add(1, Ordering::Relaxed);
                wrong.push(words);
            } else {
                self.request.right.fetch_add(1, Ordering::Relaxed);
            }
        }
        if wrong.is_empty() {
            return Some(Ok(GoldenCorrect { parts: all.len(), notice: without_bad(&all) }));
        }
        let count = wrong.len();
        wrong.truncate(MAX_WRONG_IN_DETAIL);
        if count > MAX_WRONG_IN_DETAIL {
            wrong.push(format!("and {} more", count - MAX_WRONG_IN_DETAIL));
        }
        Some(Err(format!("{count} of {} came out wrong: {}", all.len(), wrong.join("; "))))
    }

    fn judge(&self, picture: Picture, product: &ProductName, stopped: &Receiver<()>) -> GoldenOutcome {
        let (answer, came) = bounded(1);
        let exam = GoldenJob { picture, roi: self.spec.roi, product: product.clone(), answer };
        select! {
            send(self.exams, exam) -> sent => if sent.is_err() { return GoldenOutcome::Stopped },
            recv(stopped) -> _ => return GoldenOutcome::Stopped,
            default(self.turn) => return GoldenOutcome::NoTime,
        }
        select! {
            recv(came) -> answer => answer.map_or(GoldenOutcome::Stopped, GoldenOutcome::Answer),
            recv(stopped) -> _ => GoldenOutcome::Stopped,
            default(self.turn) => GoldenOutcome::NoTime,
        }
    }
}
