//! The ledger on a thread of its own. A disk that fails says so; one that hangs says nothing, and must not keep verdicts
//! from going out.

use std::io;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use diad_ledger::{Ledger, LedgerError};
use tracing::warn;

/// How long an answer is waited for: a slow disk needs less, and by no more than this a disk that hangs makes a verdict late.
const LEDGER_REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// It is waited for in steps: a process that was stopped meanwhile has lost one of them, and its disk is not at fault.
const LEDGER_REPLY_STEP: Duration = Duration::from_millis(100);

type Job = Box<dyn FnOnce(&mut Option<Ledger>) + Send>;

/// The near end of the thread that has the ledger, or none while its file is gone.
pub(super) struct LedgerThread {
    path: PathBuf,
    /// None once the thread is to end.
    jobs: Option<Sender<Job>>,
    /// Jobs handed over, and those of them that are done: as long as they differ, the thread hangs in one.
    asked: u64,
    done: Arc<AtomicU64>,
    ended: Receiver<()>,
    /// None once its panic was passed on.
    thread: Option<JoinHandle<()>>,
}

impl LedgerThread {
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
        let thread = Some(Builder::new().name("ledger".to_owned()).spawn(body)?);
        Ok(Self { path, jobs: Some(jobs), asked: 0, done: Arc::default(), ended, thread })
    }

    /// Has the thread do something with what it has, and waits for the answer. An answer that comes later is dropped, and
    /// until it has come nothing else is begun. A panic of the thread is the caller's: a line without a record, and with
    /// nobody who tries again, must end.
    ///
    /// # Errors
    /// What `job` says, and [`LedgerError::Hangs`].
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        step: &'static str,
        job: impl FnOnce(&mut Option<Ledger>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let path = self.path.clone();
        let hangs = move |begun| LedgerError::Hangs { path, step, begun };
        let idle = self.done.load(Ordering::Acquire) == self.asked;
        let Some(jobs) = self.jobs.as_ref().filter(|_| idle) else {
            if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
                self.pass_on_panic();
            }
            return Err(hangs(false));
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
        // A thread that is gone shows where its answer is taken.
        let _ = jobs.send(job);
        for _ in 0..LEDGER_REPLY_TIMEOUT.as_millis() / LEDGER_REPLY_STEP.as_millis() {
            match answered.recv_timeout(LEDGER_REPLY_STEP) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.pass_on_panic();
                    break;
                }
            }
        }
        Err(hangs(true))
    }

    /// Waits for the end of a thread that has panicked.
    fn pass_on_panic(&mut self) {
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
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

impl Drop for LedgerThread {
    fn drop(&mut self) {
        self.jobs = None;
        // The next one finds the lock free, unless the disk hangs.
        if self.ended.recv_timeout(LEDGER_REPLY_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            warn!(ledger = %self.path.display(), "the ledger is left behind on a disk that hangs");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn vault(folder: &tempfile::TempDir) -> LedgerThread {
        LedgerThread::start(Ledger::open(&folder.path().join("ledger.sqlite3")).unwrap()).unwrap()
    }

    #[test]
    fn ask_passes_a_panic_on_at_once_and_after_it_was_taken_for_a_disk_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let mut at_once = vault(&folder);
        let panic = catch_unwind(AssertUnwindSafe(|| at_once.with("write", |_| -> Result<(), _> { panic!("a bug") })));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"a bug"));
        drop(at_once);

        let mut late = vault(&folder);
        let (go_on, held) = bounded::<()>(0);
        let hung = late.with("write", move |_| -> Result<(), _> {
            let _ = held.recv();
            panic!("a bug")
        });
        assert!(matches!(hung, Err(LedgerError::Hangs { begun: true, .. })));
        drop(go_on);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            while matches!(late.with("write", |_| Ok(())), Err(LedgerError::Hangs { begun: false, .. })) {
                std::thread::yield_now();
            }
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"a bug"));
    }

    #[test]
    fn drop_gives_the_lock_back_before_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..8 {
            vault(&folder).with("read", |ledger| ledger.read().unsent_count()).unwrap();
        }
    }
}
