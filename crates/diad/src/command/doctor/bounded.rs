//! Work that ends in time, whatever it waits for.

use std::thread::Builder;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::Check;
use crate::exit::Exit;

/// Work without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// It took longer than this. Its thread is left behind and ends with the process.
    Late(Duration),
    /// It panicked, or had no thread.
    Broken,
}

/// Runs `work` on a thread of its own and waits for it, at most for `limit`.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let (done, result) = bounded(1);
    let run = move || {
        let _ = done.send(work());
    };
    Builder::new().name("doctor".to_owned()).spawn(run).map_err(|_| Unfinished::Broken)?;
    result.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => Unfinished::Late(limit),
        RecvTimeoutError::Disconnected => Unfinished::Broken,
    })
}

impl Unfinished {
    /// The check that it was; `exit` and `remedy` are for one that took too long.
    pub(super) fn check(self, name: &str, exit: Exit, remedy: &str) -> Check {
        match self {
            Self::Late(limit) => {
                Check::failed(name, exit, format!("not done within {} s, given up", limit.as_secs_f64()), remedy)
            }
            Self::Broken => Check::failed(name, Exit::Bug, "the check ended by a bug", "report it, with the log above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_given_up_and_is_a_failure_with_its_bound() {
        let (_hold, wait) = bounded::<()>(0);
        let limit = Duration::from_millis(50);
        let result = within(limit, move || wait.recv());
        assert_eq!(result, Err(Unfinished::Late(limit)));
        let check = Unfinished::Late(limit).check("camera a", Exit::Unavailable, "plug it in");
        assert_eq!(check.failure(), Some(Exit::Unavailable));
        assert!(check.detail.contains("0.05 s"), "{}", check.detail);
    }

    #[test]
    fn work_in_time_gives_its_result_and_a_panic_is_a_bug() {
        assert_eq!(within(Duration::from_secs(60), || 7), Ok(7));
        let broken = within(Duration::from_secs(60), || -> u8 { panic!("on purpose") });
        assert_eq!(broken, Err(Unfinished::Broken));
        assert_eq!(Unfinished::Broken.check("a", Exit::Disk, "b").failure(), Some(Exit::Bug));
    }
}
