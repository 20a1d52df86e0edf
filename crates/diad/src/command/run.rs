//! `diad run`: a station, until systemd or Ctrl-C ends it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing::{info, warn};

use super::CommandError;
use crate::archive::ArchiveSpec;
use crate::chain::chain;
use crate::cli::RunArgs;
use crate::line::{CameraSpec, Stop};
use crate::model::{Model, ModelSpec};
use crate::settings::{self, Variable};
use crate::station::{self, StationSpec};
use crate::thresholds::{Change, Watcher};
use crate::yaml::Fault;

/// What the health of a station calls the thresholds file.
const THRESHOLDS: &str = "thresholds";

/// Loads settings, thresholds and model, starts the line and runs it until it is asked to stop.
///
/// # Errors
/// [`CommandError`]: faults of the settings (all of them, on standard error), a model that cannot be used, a camera
/// that does not open, a bug.
pub fn run(args: &RunArgs, variables: &[Variable]) -> Result<(), CommandError> {
    let settings = settings::load(&args.config, variables).map_err(|faults| print_faults(&faults))?;
    for notice in settings.notices() {
        warn!("{notice}");
    }
    let watcher = Watcher::open(settings.thresholds()).map_err(|faults| print_faults(&faults))?;
    let stop = stop_on_signals()?;
    let model_spec = ModelSpec::from_settings(settings.engine());
    let model = Model::load(&model_spec, variables)?;
    let rebuild = model.rebuild(model_spec, variables.to_vec());
    let thresholds = watcher.live();
    let keep = Duration::from_secs(u64::from(settings.ledger().keep_days) * 86_400);
    let spec = StationSpec {
        line: settings.line().clone(),
        station: settings.station().clone(),
        cameras: settings.cameras().iter().map(CameraSpec::from_settings).collect(),
        model,
        rebuild,
        thresholds: thresholds.clone(),
        deadline: settings.deadline(),
        on_unjudged: settings.on_unjudged(),
        link: settings.mqtt().link.clone(),
        root: settings.mqtt().root.clone(),
        ledger: settings.ledger().path.clone(),
        keep,
        archive: ArchiveSpec {
            // Beside the ledger, which names the parts.
            folder: settings.ledger().path.with_file_name("images"),
            keep: settings.ledger().keep.clone(),
            max_bytes: u64::from(settings.ledger().max_gib) << 30,
            age: keep,
        },
        settings: settings.digest(),
        witness: (),
        listener: Box::new(|_| {}),
    };
    let mut watch = None;
    let mut failed = None;
    let report = station::run(spec, &stop, |health| {
        let health = health.clone();
        let path = settings.thresholds().to_owned();
        match watcher.spawn(move |change| tell(&health, &path, change)) {
            Ok(running) => watch = Some(running),
            Err(error) => failed = Some(error),
        }
    });
    if let Some(error) = failed {
        warn!(error = %chain(&error), "thresholds were not watched");
    }
    drop(watch);
    report?;
    Ok(())
}

/// A save of the thresholds file is told everywhere the station speaks.
fn tell(health: &crate::health::Health, path: &Path, change: Change) {
    match change {
        Change::Taken(set) => {
            info!(file = %path.display(), digest = %set.digest(), "thresholds taken over");
            health.well(THRESHOLDS);
        }
        Change::Refused(faults) => {
            let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
            health.problem(THRESHOLDS, &format!("not taken over, the old ones stay: {}", faults.join("; ")));
        }
    }
}

/// SIGTERM and SIGINT ask for an orderly stop. SIGHUP does nothing by itself: a saved thresholds file is noticed
/// anyway, but without a handler the signal would end the process.
pub(super) fn stop_on_signals() -> Result<Stop, CommandError> {
    let stop = Stop::new();
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, stop.signal()).map_err(CommandError::Signals)?;
    }
    signal_hook::flag::register(SIGHUP, Arc::default()).map_err(CommandError::Signals)?;
    Ok(stop)
}

fn print_faults(faults: &[Fault]) -> CommandError {
    for fault in faults {
        tracing::error!("{fault}");
    }
    CommandError::Faults { count: faults.len(), exit: crate::exit::Exit::Settings }
}
