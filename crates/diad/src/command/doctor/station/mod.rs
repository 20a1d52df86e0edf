//! Everything that `diad run` would open, tried for real. A check that fails stops none of those after it, and each is given
//! up after a time of its own.
//!
//! A station may be running by the same settings. It is known by the lock on its ledger, and then nothing is done that it
//! could feel: no live camera is opened, no model is loaded, its port is not taken, and nothing is written but a file without
//! a name for the speed of the disk.

mod broker;
mod camera;
mod disk;
mod files;
mod model;
mod page;
mod settings;

use std::path::Path;

use diad_ledger::writer;

use super::{Check, machine};
use crate::exit::Exit;
use crate::settings::{self as station_settings, Examined, Settings, Variable};
use crate::yaml::{Fault, text};

/// What the settings say, and what else the checks go by.
struct Station<'a> {
    settings: &'a Settings,
    variables: &'a [Variable],
    /// The process that runs the station now.
    running: Option<u32>,
    /// Every fault of the settings, and of the files that they name.
    faults: &'a [Fault],
}

pub(super) fn checks(config: &Path, variables: &[Variable]) -> Vec<Check> {
    let text = match text::load(config) {
        Ok(text) => text,
        Err(fault) => return unreadable(&[fault], variables),
    };
    let examine = || station_settings::examine(&text, &config.to_string_lossy(), variables);
    let Examined { draft, settings, .. } = examine();
    let Some(draft) = draft else { return unreadable(&settings.err().unwrap_or_default(), variables) };
    let findings = settings::examine(examine(), variables);
    let faults = findings.as_ref().map(|findings| findings.faults().cloned().collect()).unwrap_or_default();
    let faults: Vec<Fault> = faults;
    let station = Station { settings: &draft, variables, running: writer(&draft.ledger().path), faults: &faults };
    let mut checks = match findings {
        Ok(findings) => settings::judge(&findings, draft.thresholds()),
        Err(unfinished) => {
            vec![unfinished.check(
                "settings",
                Exit::Disk,
                "look whether the disk of the model and of the golden parts answers",
            )]
        }
    };
    checks.push(running(&station));
    checks.extend(files::checks(&station));
    checks.extend(disk::checks(&station));
    checks.push(machine::clock_now());
    let (cameras, picture) = camera::checks(&station);
    checks.extend(cameras);
    checks.extend(model::checks(&station, picture));
    checks.extend(broker::checks(&station));
    checks.push(page::check(&station));
    checks.extend(machine::surroundings(variables));
    checks
}

/// Nothing is known of the station: what is left is the machine.
fn unreadable(faults: &[Fault], variables: &[Variable]) -> Vec<Check> {
    let mut checks = vec![settings::faulty("settings", faults)];
    let left_out = |name: &str| {
        Check::skipped(name, "not tried: the settings cannot be read", "correct the settings, then ask again")
    };
    checks.extend(["files", "disk", "cameras", "model", "broker", "page"].map(left_out));
    checks.push(machine::clock_now());
    checks.extend(machine::surroundings(variables));
    checks
}

fn running(station: &Station<'_>) -> Check {
    let ledger = station.settings.ledger().path.display();
    match station.running {
        None => Check::fine("running station", format!("none on this machine: nobody writes {ledger}")),
        Some(pid) => Check::fine(
            "running station",
            format!("{} writes {ledger}; live cameras, model and port are left to it", who(pid)),
        ),
    }
}

/// The running station, by its process.
fn who(pid: u32) -> String {
    if pid == 0 { "a running station".to_owned() } else { format!("a running station (pid {pid})") }
}
