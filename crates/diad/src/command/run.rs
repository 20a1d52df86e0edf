//! `diad run`: a station, until systemd or Ctrl-C ends it.

mod reload;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use tracing::{error, info};

use super::{CommandError, check};
use crate::archive::{self, ArchiveSpec};
use crate::cli::RunArgs;
use crate::guard::{GoldenRequest, GoldenSpec, GuardSpec};
use crate::health::{Health, Source};
use crate::learnt::Store;
use crate::line::{CameraSpec, Stop};
use crate::model::{Model, ModelError, ModelSpec};
use crate::products::Products;
use crate::settings::{self, Settings, Variable};
use crate::station::{self, StationSpec};
use crate::thresholds::{Change, ThresholdSet, Watcher};
use crate::web::{Access, WebSpec};
use crate::yaml::Fault;

/// What the health of a station calls the thresholds file.
const THRESHOLDS_HEALTH: Source = Source::Thresholds;

/// Loads settings, thresholds and model, starts the line and runs it until it is asked to stop.
///
/// # Errors
/// [`CommandError`]: faults of settings, thresholds and bundle (all of them, on standard error), a model that cannot be
/// used, a camera that does not open, a bug.
pub fn run(args: &RunArgs, variables: &[Variable]) -> Result<(), CommandError> {
    let all = |found: Vec<Fault>| all_faults(args, variables).unwrap_or_else(|| print_faults(&found));
    let settings = settings::load(&args.config, variables).map_err(all)?;
    let mut watcher = Watcher::open(settings.thresholds()).map_err(all)?;
    let http = settings.http();
    let access = Access::open(http.token_file.as_deref()).map_err(|fault| all(vec![fault]))?;
    let access = access.known_as(http.public_url.clone());
    let stop = stop_on_signals()?;
    let request = GoldenRequest::default();
    signal_hook::flag::register(SIGUSR1, request.flag()).map_err(CommandError::Signals)?;
    let hangups = reload::listen().map_err(CommandError::Signals)?;
    let model_spec = ModelSpec::from_settings(settings.engine());
    let model = Model::load(&model_spec, variables).map_err(|error| match error {
        ModelError::Bundle(_) | ModelError::Steps { .. } => all_faults(args, variables).unwrap_or(error.into()),
        _ => error.into(),
    })?;
    let store = Store::beside(&settings.ledger().path);
    let overlays = model.overlays(Some(store)).map_err(ModelError::from)?;
    watcher.equip(Arc::new(overlays)).map_err(all)?;
    let rebuild = model.rebuild(model_spec, variables.to_vec());
    let known = model.bundle.manifest().products.clone();
    let products = Products::new(&known, settings.on_unknown_product());
    let thresholds = watcher.live();
    let keep = Duration::from_secs(u64::from(settings.ledger().keep_days) * 86_400);
    let spec = StationSpec {
        line: settings.line().clone(),
        station: settings.station().clone(),
        cameras: settings.cameras().iter().map(CameraSpec::from_settings).collect(),
        model,
        rebuild,
        thresholds: thresholds.clone(),
        products,
        deadline: settings.deadline(),
        repeat_within: settings.repeat_within(),
        on_unjudged: settings.on_unjudged(),
        link: settings.mqtt().link.clone(),
        root: settings.mqtt().root.clone(),
        ledger: settings.ledger().path.clone(),
        keep,
        archive: ArchiveSpec {
            folder: archive::folder_of(&settings.ledger().path),
            keep: settings.ledger().keep.clone(),
            max_bytes: u64::from(settings.ledger().max_gib) << 30,
            age: keep,
        },
        settings: settings.digest(),
        web: Some(WebSpec { listen: http.listen, access, thresholds: settings.thresholds().to_owned() }),
        guards: GuardSpec { drift_alarm: settings.drift_alarm(), golden: golden(&settings), request: request.clone() },
        witness: (),
        listener: Box::new(|_, _| {}),
    };
    let mut reload = None;
    let report = station::run(spec, &stop, |health| {
        let (tell_health, path) = (health.clone(), settings.thresholds().to_owned());
        tell_strangers(health, &thresholds.current(), &known);
        let on_change = move |change| {
            // What is good and bad by other thresholds must still come out right.
            if matches!(change, Change::Taken(_)) {
                request.ask();
            }
            tell(&tell_health, &path, &known, change);
        };
        let heeded = watcher.spawn(on_change).and_then(|watch| {
            let (file, variables) = (args.config.clone(), variables.to_vec());
            reload::Running { file, variables, settings, watch, health: health.clone() }.heed(hangups)
        });
        match heeded {
            Ok(running) => reload = Some(running),
            Err(error) => {
                health.problem(THRESHOLDS_HEALTH, &format!("not watched, saves do nothing: {error}; restart diad"));
            }
        }
    });
    drop(reload);
    report?;
    Ok(())
}

/// Golden pictures are whole ones of the first camera.
fn golden(settings: &Settings) -> Option<GoldenSpec> {
    let settings::Golden { folder, every } = settings.golden();
    let roi = settings.cameras().first().and_then(|camera| camera.roi);
    Some(GoldenSpec { folder: folder.clone()?, every: *every, roi })
}

/// A save of the thresholds file is told everywhere the station speaks.
pub(super) fn tell(health: &Health, path: &Path, known: &[String], change: Change) {
    match change {
        Change::Taken(set) => {
            info!(file = %path.display(), digest = %set.digest(), "thresholds taken over");
            health.well(THRESHOLDS_HEALTH);
            tell_strangers(health, &set, known);
        }
        Change::Refused(faults) => {
            for fault in &faults {
                error!("{fault}");
            }
            let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
            health.problem(THRESHOLDS_HEALTH, &format!("not taken over, the old ones stay: {}", faults.join("; ")));
        }
        Change::Unwatched => {
            health.problem(THRESHOLDS_HEALTH, "no longer watched by a bug, saves do nothing; restart diad");
        }
    }
}

/// A mistyped product leaves the real one to the default: no fault, for a model may come later, and nothing to keep quiet.
fn tell_strangers(health: &Health, set: &ThresholdSet, known: &[String]) {
    let strangers = set.strangers(known);
    if !strangers.is_empty() {
        health.notice(THRESHOLDS_HEALTH, &strangers.join("; "));
    }
}

/// SIGTERM and SIGINT ask for an orderly stop. SIGHUP must not end the process; what [`run`] does at it is `reload`'s.
pub(super) fn stop_on_signals() -> Result<Stop, CommandError> {
    let stop = Stop::new();
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, stop.signal()).map_err(CommandError::Signals)?;
    }
    signal_hook::flag::register(SIGHUP, Arc::default()).map_err(CommandError::Signals)?;
    Ok(stop)
}

/// The station does not start: whoever mends it shall see everything that is to be mended, as `diad check` does.
fn all_faults(args: &RunArgs, variables: &[Variable]) -> Option<CommandError> {
    let (faults, error) = check::faults(&args.config, variables)?;
    print_faults(&faults);
    Some(error)
}

/// Past the log, whose filter must not hide them.
fn print_faults(faults: &[Fault]) -> CommandError {
    for fault in faults {
        // Where standard error is closed, the exit code must do.
        let _ = writeln!(std::io::stderr(), "{fault}");
    }
    CommandError::Faults { count: faults.len(), exit: crate::exit::Exit::Settings }
}
