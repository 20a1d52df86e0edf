//! The log: to standard error, for people and the journal.

use std::io::IsTerminal;

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

/// Starts the log with a filter such as `info` or `warn,diad_engine=debug`. Does nothing the second time.
///
/// # Errors
/// [`LoggingError::Filter`].
pub fn start(filter: &str) -> Result<(), LoggingError> {
    let parsed = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        // Complaints of the log about itself would panic where standard error is closed.
        .log_internal_errors(false);
    // Colours are on from the start unless NO_COLOR is set. Either fails only where a log is running already.
    let _ = if std::io::stderr().is_terminal() { log.try_init() } else { log.with_ansi(false).try_init() };
    Ok(())
}
