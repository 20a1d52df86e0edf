//! The ledger on a thread of its own. A disk that fails says so; one that hangs says nothing, and must not keep verdicts
//! from going out.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Builder;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use diad_ledger::{Ledger, LedgerError};
use tracing::warn;

/// How long an answer is waited for: a slow disk needs less, and by no more than this a disk that hangs makes a verdict late.
const PATIENCE: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce(&mut Option<Ledger>) + Send>;

/// The near end of the thread that has the ledger, or none while its file is gone.
pub(super) struct Vault {
    path: PathBuf,
    /// None once the thread is to end.
    jobs: Option<Sender<Job>>,
    /// Jobs handed over, and those of them that are done: as long as they differ, the thread hangs in one.
    asked: u64,
    done: Arc<AtomicU64>,
    ended: Receiver<()>,
}

impl Vault {
    /// Puts an open ledger on a thread named `ledger`.
    pub(super) fn start(ledger: Ledger) -> io::Result<Self> {
        let path = ledger.path().to_owned();
        let (jobs, orders) = bounded::<Job>(1);
        let (ending, ended) = bounded::<()>(0);
        let body = move || {
            let mut ledger = Some(ledger);
            for job in orders {
                job(&mut ledger);
            }
            // Given back before anybody hears of the end.
            drop(ledger);
            drop(ending);
        };
        // Never joined: it may be stuck in the disk.
        Builder::new().name("ledger".to_owned()).spawn(body)?;
        Ok(Self { path, jobs: Some(jobs), asked: 0, done: Arc::default(), ended })
    }

    /// Has the thread do something with what it has, and waits for the answer. An answer that comes later is dropped, and
    /// until it has come nothing else is begun.
    ///
    /// # Errors
    /// What `job` says, and [`LedgerError::Hangs`].
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        step: &'static str,
        job: impl FnOnce(&mut Option<Ledger>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let hangs = |path: &PathBuf, begun| LedgerError::Hangs { path: path.clone(), step, begun };
        let idle = self.done.load(Ordering::Acquire) == self.asked;
        let Some(jobs) = self.jobs.as_ref().filter(|_| idle) else {
            return Err(hangs(&self.path, false));
        };
        let (answer, answered) = bounded(1);
        let done = Arc::clone(&self.done);
        self.asked += 1;
        let job: Job = Box::new(move |ledger| {
            let result = job(ledger);
            // First: whoever has the answer may ask again.
            done.fetch_add(1, Ordering::Release);
            let _ = answer.send(result);
        });
        // A thread that is gone, by a bug, answers nothing ever.
        let _ = jobs.send(job);
        answered.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(hangs(&self.path, true)))
    }

    /// The same with the ledger, where there is one.
    ///
    /// # Errors
    /// What `job` says, [`LedgerError::Hangs`], and [`LedgerError::Missing`].
    pub(super) fn with<T: Send + 'static>(
        &mut self,
        step: &'static str,
        job: impl FnOnce(&mut Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let path = self.path.clone();
        self.ask(step, move |ledger| job(ledger.as_mut().ok_or(LedgerError::Missing { path })?))
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        self.jobs = None;
        // The next one finds the lock free, unless the disk hangs.
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            warn!(ledger = %self.path.display(), "the ledger is left behind on a disk that hangs");
        }
    }
}
