//! `diad doctor`: has this machine what an inspection station needs? With settings: does everything work that a station
//! would open?

mod bounded;
mod engine;
mod machine;
mod station;
mod table;

use super::CommandError;
use crate::cli::DoctorArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Variable;

/// Examines the machine, or what a station would open, and prints what it found.
///
/// # Errors
/// [`CommandError::Faults`] if something is missing without which no part can be judged, [`CommandError::Output`] if
/// the findings cannot be printed.
pub fn run(args: &DoctorArgs, variables: &[Variable]) -> Result<(), CommandError> {
    let checks: Vec<Check> = match &args.config {
        Some(config) => station::checks(config, variables),
        None => engine::checks(variables).into_iter().chain(machine::checks(variables)).collect(),
    };
    output::print(&if args.json { table::json(&checks) } else { table::text(&checks, table::width(variables)) })?;
    let failures: Vec<Exit> = checks.iter().filter_map(Check::failure).collect();
    // The checks come in the order in which they need each other, so the first failure is the root of all.
    match failures.first() {
        None => Ok(()),
        Some(&exit) => Err(CommandError::Faults { count: failures.len(), exit }),
    }
}

/// One thing examined.
#[derive(Debug)]
struct Check {
    name: String,
    health: CheckStatus,
    detail: String,
    remedy: Option<String>,
}

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CheckStatus {
    Fine,
    /// Not as it should be; parts can be judged all the same.
    Warning,
    /// The station would not work as its settings say; the process ends with this code.
    Failed(Exit),
    /// Not known: it was left out, or cannot be found out.
    Skipped,
}

impl CheckStatus {
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Check {
    fn fine(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), health: CheckStatus::Fine, detail: detail.into(), remedy: None }
    }

    fn warning(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), health: CheckStatus::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn failed(name: impl Into<String>, exit: Exit, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            health: CheckStatus::Failed(exit),
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// `remedy` is how it can be found out.
    fn skipped(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), health: CheckStatus::Skipped, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    const fn failure(&self) -> Option<Exit> {
        match self.health {
            CheckStatus::Failed(exit) => Some(exit),
            CheckStatus::Fine | CheckStatus::Warning | CheckStatus::Skipped => None,
        }
    }
}
