//! Settings, thresholds and learnt products, as `diad check` reads them.

use std::path::Path;
use std::time::Duration;

use super::super::Check;
use super::super::bounded::{Unfinished, within};
use crate::command::check::Findings;
use crate::exit::Exit;
use crate::settings::{Examined, Variable};
use crate::yaml::{Fault, Place, lines};

/// Time for reading every file that the settings name, the model's networks and the golden pictures among them.
const SETTINGS_TRIAL_TIMEOUT: Duration = Duration::from_secs(120);

/// Where faults of learnt products stand.
const BANK: &str = ".bank";

pub(super) fn examine(examined: Examined, variables: &[Variable]) -> Result<Findings, Unfinished> {
    let variables = variables.to_vec();
    within(SETTINGS_TRIAL_TIMEOUT, move || Findings::of_examined(examined, &variables))
}

/// What has a row of its own is left to that row.
pub(super) fn judge(findings: &Findings, thresholds: &Path) -> Vec<Check> {
    let of_thresholds = |fault: &&Fault| {
        let file = matches!(&fault.place, Place::File { file, .. } if **file == *thresholds.to_string_lossy());
        file || fault.path == "thresholds"
    };
    let all: Vec<&Fault> = findings.faults().collect();
    let pick =
        |wanted: &dyn Fn(&&Fault) -> bool| -> Vec<Fault> { all.iter().copied().filter(wanted).cloned().collect() };
    let banks = pick(&|fault| of_thresholds(fault) && fault.path.ends_with(BANK));
    let cuts = pick(&|fault| of_thresholds(fault) && !fault.path.ends_with(BANK));
    let own = pick(&|fault| !of_thresholds(fault) && !has_own_row(&fault.path));
    let settings = if !own.is_empty() {
        faulty("settings", &own)
    } else if findings.notices.is_empty() {
        Check::fine("settings", "every key and value can be used")
    } else {
        Check::warning("settings", findings.notices.join("\n"), "see that each of these is meant so")
    };
    let thresholds = thresholds.display();
    let cuts = if cuts.is_empty() {
        Check::fine("thresholds", format!("{thresholds} can be used"))
    } else {
        faulty("thresholds", &cuts)
    };
    let banks = if banks.is_empty() {
        Check::fine(
            "learnt products",
            "every bank that the thresholds name is there, of this model, with its foundations",
        )
    } else {
        faulty("learnt products", &banks)
    };
    vec![settings, cuts, banks]
}

pub(super) fn faulty(name: &str, faults: &[Fault]) -> Check {
    Check::failed(name, Exit::Settings, lines(faults), "correct each line; `diad check` tests the same")
}

/// Whether another row tells of this setting.
fn has_own_row(path: &str) -> bool {
    let of_camera = path.starts_with("cameras[") && path.ends_with(".source.folder");
    of_camera || ["ledger.path", "engine.model", "engine.library"].contains(&path) || super::files::KEYS.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_a_row_of_their_own_are_left_to_it() {
        for path in ["cameras[3].source.folder", "ledger.path", "http.token_file", "mqtt.password_file", "engine.model"]
        {
            assert!(has_own_row(path), "{path}");
        }
        for path in ["cameras[3].source.kind", "mqtt.url", "engine.foundations", "golden.folder", "deadline_ms"] {
            assert!(!has_own_row(path), "{path}");
        }
    }
}
