//! What SIGHUP asks for: the thresholds are read again at once, and the settings file is held against what runs.

use std::io;
use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};

use signal_hook::consts::SIGHUP;
use signal_hook::iterator::{Handle, Signals};
use tracing::{error, info, warn};

use crate::health::{Health, Source};
use crate::settings::{self, Settings, Variable};
use crate::thresholds::Watch;
use crate::yaml::Fault;

/// What the health of a station calls the settings file.
const SETTINGS_HEALTH: Source = Source::Settings;

/// Hears SIGHUP from now on: one that comes while the station starts is heeded once it runs.
pub(super) fn listen() -> io::Result<Signals> {
    Signals::new([SIGHUP])
}

/// What runs, and what it was made of.
pub(super) struct Running {
    /// The settings file.
    pub(super) file: PathBuf,
    /// The variables over it.
    pub(super) variables: Vec<Variable>,
    /// What both said at the start.
    pub(super) settings: Settings,
    /// The running watcher of the thresholds.
    pub(super) watch: Watch,
    /// Who hears of faults.
    pub(super) health: Health,
}

/// The thread, named `reload`, that waits for SIGHUP. Dropping it stops it, and the watcher with it.
pub(super) struct Reload {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Heeds every SIGHUP until the [`Reload`] is dropped.
    pub(super) fn heed(self, mut signals: Signals) -> io::Result<Reload> {
        let handle = signals.handle();
        let heed = move || {
            for _ in signals.forever() {
                info!("asked to read thresholds and settings again");
                self.watch.reread();
                self.compare();
            }
        };
        let thread = Builder::new().name("reload".to_owned()).spawn(heed)?;
        Ok(Reload { handle, thread: Some(thread) })
    }

    /// Holds the settings file against what runs. Nothing of it is taken over: that needs a restart.
    fn compare(&self) {
        let file = self.file.display();
        match settings::load(&self.file, &self.variables) {
            Ok(then) => {
                let differences = self.settings.differences(&then);
                for difference in &differences {
                    warn!(%file, "{difference}: needs a restart");
                }
                if differences.is_empty() {
                    info!(%file, "settings read again: they are what runs");
                }
                self.health.well(SETTINGS_HEALTH);
            }
            Err(faults) => {
                for fault in &faults {
                    error!("{fault}");
                }
                let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
                let detail = format!("the old ones stay, a restart would fail: {}", faults.join("; "));
                self.health.problem(SETTINGS_HEALTH, &detail);
            }
        }
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread that heeds SIGHUP panicked");
        }
    }
}
