//! The log: to standard error, for people and the journal, by a thread of its own. Who reads it may stand still, and no part
//! waits for that: lines beyond what the thread can hold are left out.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is none.
    #[error("log filter {filter:?} is not valid, use a level such as info, or target=level pairs")]
    Filter {
        /// The filter given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
}

/// Lines that wait for their reader at most.
const WAITING_LINES: usize = 16_384;

/// Starts the log with a filter such as `info` or `warn,diad_engine=debug`; the first of a process is the one. What waits is
/// written when the guard is dropped, or given up after a second.
///
/// # Errors
/// [`LoggingError::Filter`].
pub fn start(filter: &str) -> Result<WorkerGuard, LoggingError> {
    let parsed = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(writer)
        // Complaints of the log about itself would panic where standard error is closed.
        .log_internal_errors(false);
    // Colours are on from the start unless NO_COLOR is set. Either fails only where a log is running already.
    let _ = if std::io::stderr().is_terminal() { log.try_init() } else { log.with_ansi(false).try_init() };
    Ok(guard)
}
