//! `diad doctor`: has this machine what an inspection station needs?

mod engine;
mod machine;

use std::fmt::Write;

use serde_json::{Value, json};

use super::CommandError;
use crate::cli::DoctorArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Variable;

/// Examines the machine and prints what it found.
///
/// # Errors
/// [`CommandError::Faults`] if something is missing without which no part can be judged, [`CommandError::Output`] if
/// the findings cannot be printed.
pub fn run(args: &DoctorArgs, variables: &[Variable]) -> Result<(), CommandError> {
    let checks: Vec<Check> = engine::checks(variables).into_iter().chain(machine::checks(variables)).collect();
    output::print(&if args.json { to_json(&checks) } else { to_text(&checks) })?;
    let failures: Vec<Exit> = checks.iter().filter_map(Check::failure).collect();
    // The engine's checks come in the order in which they need each other, so the first failure is the root of all.
    match failures.first() {
        None => Ok(()),
        Some(&exit) => Err(CommandError::Faults { count: failures.len(), exit }),
    }
}

/// One thing examined.
#[derive(Debug)]
struct Check {
    name: String,
    health: Health,
    detail: String,
    remedy: Option<String>,
}

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Fine,
    /// Not as it should be, or not known; parts can be judged all the same.
    Warning,
    /// No part can be judged; the process ends with this code.
    Failed(Exit),
}

impl Check {
    fn fine(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), health: Health::Fine, detail: detail.into(), remedy: None }
    }

    fn warning(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), health: Health::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn failed(name: impl Into<String>, exit: Exit, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), health: Health::Failed(exit), detail: detail.into(), remedy: Some(remedy.into()) }
    }

    const fn failure(&self) -> Option<Exit> {
        match self.health {
            Health::Failed(exit) => Some(exit),
            Health::Fine | Health::Warning => None,
        }
    }
}

fn to_json(checks: &[Check]) -> String {
    let check = |check: &Check| {
        let ok = match check.health {
            Health::Fine => Some(true),
            Health::Warning => None,
            Health::Failed(_) => Some(false),
        };
        json!({ "check": check.name, "ok": ok, "detail": check.detail, "remedy": check.remedy })
    };
    let document = json!({
        "ok": checks.iter().all(|check| check.failure().is_none()),
        "checks": checks.iter().map(check).collect::<Vec<Value>>(),
    });
    format!("{document:#}\n")
}

fn to_text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for Check { name, health, detail, remedy } in checks {
        let mark = match health {
            Health::Fine => "ok",
            Health::Warning => "warn",
            Health::Failed(_) => "FAIL",
        };
        let mut lines = detail.lines();
        let _ = writeln!(text, "{mark:<4}  {name:<width$}  {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(text, "      {:<width$}  {line}", "");
        }
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "      {:<width$}  -> {remedy}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::fine("cpu", "2 cores"),
            Check::warning("broker", "nobody answers", "start it"),
            Check::failed("library", Exit::Unavailable, "nowhere:\nnot here\nnot there", "fetch it"),
        ]
    }

    #[test]
    fn text_aligns_details_and_puts_remedies_below() {
        let want = "\
ok    cpu      2 cores
warn  broker   nobody answers
               -> start it
FAIL  library  nowhere:
               not here
               not there
               -> fetch it
";
        assert_eq!(to_text(&checks()), want);
    }

    #[test]
    fn json_says_true_null_or_false_and_ok_only_without_failures() {
        let document: Value = serde_json::from_str(&to_json(&checks())).unwrap();
        assert_eq!(document["ok"], false);
        let oks: Vec<&Value> = document["checks"].as_array().unwrap().iter().map(|check| &check["ok"]).collect();
        assert_eq!(oks, [&Value::from(true), &Value::Null, &Value::from(false)]);
        let document: Value = serde_json::from_str(&to_json(&checks()[..2])).unwrap();
        assert_eq!(document["ok"], true, "a warning is no failure");
    }
}
