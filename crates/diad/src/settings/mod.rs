//! Settings of a station: `config/diad.yaml`, read at start.
//!
//! Lowest first: built-in defaults (`config/default.yaml`, compiled in), the file, and environment
//! variables `DIAD__SECTION__KEY`. `layers.rs` puts them together, the other modules read one section
//! each. A [`Settings`] comes only out of [`load`] or [`examine`], so whoever holds one holds checked values.
//! Defaults inside a list (there is only `cameras`) cannot be layered and stand in `camera.rs`.
//!
//! Reading opens no camera and no socket, but does read the files with secrets and certificates.

mod broker;
mod camera;
mod difference;
mod engine;
mod guard;
mod http;
mod layers;
mod ledger;
mod named_file;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::Value;
use diad_core::name::{LineName, StationName};
use diad_publish::wire::{Digest, OnUnjudged};

use crate::products::OnUnknown;
use crate::yaml::{Fault, Item, Place, Report, text};

pub use broker::Mqtt;
pub use camera::{Camera, Source, Trigger};
pub use difference::Difference;
pub use engine::Engine;
pub use guard::Golden;
pub use http::{Http, PublicUrl};
pub use ledger::{Kept, Ledger};

/// An environment variable: name and value.
pub type Variable = (OsString, OsString);

/// Everything the integrator set for this station.
#[derive(Debug, Clone)]
pub struct Settings {
    line: LineName,
    station: StationName,
    cameras: Vec<Camera>,
    deadline: Duration,
    repeat_within: Duration,
    on_unjudged: OnUnjudged,
    on_unknown_product: OnUnknown,
    engine: Engine,
    mqtt: Mqtt,
    ledger: Ledger,
    http: Http,
    drift_alarm: bool,
    golden: Golden,
    thresholds: PathBuf,
    digest: Digest,
    /// What the digest is over: every value, by its path.
    effective: BTreeMap<String, String>,
}

/// What a text says: settings or faults, and the other files it names even where something else is wrong.
#[derive(Debug)]
pub struct Examined {
    /// The settings, or every [`Fault`] in the order of the file; at least one.
    pub settings: Result<Settings, Vec<Fault>>,
    /// The settings for a person who looks for what is wrong: there as well where every value could be read and a file that
    /// one of them names is at fault. No station may run by them.
    pub draft: Option<Settings>,
    /// The thresholds file, if that setting can be read.
    pub thresholds: Option<Named>,
    /// The model bundle, if that setting can be read.
    pub model: Option<Named>,
    /// The folder of golden parts, if there is one.
    pub golden: Option<Named>,
    /// The ledger's database file, if that setting can be read.
    pub ledger: Option<Named>,
    /// The folders of replayed pictures that can be read from the settings.
    pub replays: Vec<Named>,
    /// The runtime library, if one is named.
    pub library: Option<Named>,
    /// The folder of all foundations, if one is named.
    pub foundations: Option<Named>,
    /// Whether anybody says what becomes of parts of an unknown product; if not, the built-in default does.
    pub says_unknown_product: bool,
    /// The denoising steps, if they are set: only the bundle tells whether there can be as many.
    pub steps: Option<(u32, Place)>,
}

/// A file or folder that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Where it is.
    pub path: PathBuf,
    /// Where that is set.
    pub place: Place,
    /// The setting's path, such as `engine.model`.
    pub key: Cow<'static, str>,
}

impl Named {
    /// A fault of what is named, at the place that names it.
    #[must_use]
    pub fn fault(&self, message: String) -> Fault {
        Fault { place: self.place.clone(), path: self.key.to_string(), message, allowed: None }
    }
}

/// Reads the file and the variables over it. Only variables that begin with `DIAD__` count.
///
/// # Errors
/// Every [`Fault`] that was found, in the order of the file; at least one.
pub fn load(path: &Path, variables: &[Variable]) -> Result<Settings, Vec<Fault>> {
    let text = text::load(path).map_err(|fault| vec![fault])?;
    examine(&text, &path.to_string_lossy(), variables).settings
}

/// Where a ledger is when nobody says otherwise: the built-in default, or the variable over it.
///
/// # Errors
/// Every [`Fault`] of the variables, if that setting cannot be read; at least one.
pub fn default_ledger(variables: &[Variable]) -> Result<PathBuf, Vec<Fault>> {
    let place = Place::File { file: Arc::from("settings"), mark: None };
    let merged = layers::merge("", &place, variables)?;
    let report = Report::new(&merged.places, merged.faults);
    let root = report.root(&merged.value).mapping();
    let path = root.and_then(|keys| keys.get("ledger").mapping()?.get("path").file_path());
    path.ok_or_else(|| report.into_faults())
}

/// Reads a text and the variables over it; `file` is the name that faults give.
#[must_use]
pub fn examine(text: &str, file: &str, variables: &[Variable]) -> Examined {
    let place = Place::File { file: Arc::from(file), mark: None };
    let merged = match layers::merge(text, &place, variables) {
        Ok(merged) => merged,
        Err(faults) => {
            return Examined {
                settings: Err(faults),
                draft: None,
                thresholds: None,
                model: None,
                golden: None,
                ledger: None,
                replays: Vec::new(),
                library: None,
                foundations: None,
                says_unknown_product: false,
                steps: None,
            };
        }
    };
    let unreported = Report::new(&merged.places, Vec::new());
    let item =
        |key: &str| key.split('.').try_fold(unreported.root(&merged.value), |item, key| Some(item.mapping()?.get(key)));
    let place = |key: &str| merged.places.of_value(key);
    let named = |key: &'static str| {
        let path = item(key)?.file_path()?;
        Some(Named { path, place: place(key), key: Cow::Borrowed(key) })
    };
    let (thresholds, model, golden) = (named("thresholds"), named("engine.model"), named("golden.folder"));
    let (ledger, library, foundations) = (named("ledger.path"), named("engine.library"), named("engine.foundations"));
    let replays = item("cameras").and_then(|cameras| cameras.list()).unwrap_or_default().into_iter().filter_map(replay);
    let replays = replays.map(|(path, key)| Named { path, place: place(&key), key: Cow::Owned(key) }).collect();
    let steps = item("engine.steps").and_then(|item| item.whole(1..=engine::MAX_STEPS));
    let steps = steps.map(|steps| (steps, merged.places.of_value("engine.steps")));
    let says_unknown_product = merged.places.exact("on_unknown_product").is_some();
    let report = Report::new(&merged.places, merged.faults);
    let (draft, faults) = (section(&report, &merged.value), report.into_faults());
    let settings = match &draft {
        Some(settings) if faults.is_empty() => Ok(settings.clone()),
        _ => Err(faults),
    };
    Examined {
        settings,
        draft,
        thresholds,
        model,
        golden,
        ledger,
        replays,
        library,
        foundations,
        says_unknown_product,
        steps,
    }
}

/// The folder of a camera that replays one, and the setting's path.
fn replay(camera: Item<'_>) -> Option<(PathBuf, String)> {
    let source = camera.mapping()?.get("source").mapping()?;
    if !source.get("kind").is_text("replay") {
        return None;
    }
    let folder = source.get("folder");
    Some((folder.file_path()?, folder.path().to_owned()))
}

fn section(report: &Report<'_>, root: &Value) -> Option<Settings> {
    let keys = report.root(root).mapping()?.only(&[
        "line",
        "station",
        "cameras",
        "deadline_ms",
        "repeat_within_ms",
        "on_unjudged",
        "on_unknown_product",
        "engine",
        "mqtt",
        "ledger",
        "http",
        "drift",
        "golden",
        "thresholds",
    ]);
    let line = keys.get("line").parsed(LineName::try_new, None);
    let station = keys.get("station").parsed(StationName::try_new, None);
    let cameras = camera::list(&keys.get("cameras"));
    let deadline_ms = keys.get("deadline_ms").whole(1..=60_000_u64);
    let repeat_within_ms = keys.get("repeat_within_ms").whole(0..=3_600_000_u64);
    let on_unjudged = keys.get("on_unjudged").choice(&[
        ("reject", OnUnjudged::Reject),
        ("hold", OnUnjudged::Hold),
        ("pass", OnUnjudged::Pass),
    ]);
    let on_unknown_product =
        keys.get("on_unknown_product").choice(&[("unjudged", OnUnknown::Unjudged), ("default", OnUnknown::Default)]);
    let engine = engine::section(keys.get("engine"));
    let mqtt = broker::section(keys.get("mqtt"));
    let ledger = ledger::section(keys.get("ledger"));
    let http = http::section(keys.get("http"));
    let drift_alarm = guard::drift(keys.get("drift"));
    let golden = guard::golden(keys.get("golden"));
    let thresholds = keys.get("thresholds").file_path();
    Some(Settings {
        line: line?,
        station: station?,
        cameras: cameras?,
        deadline: Duration::from_millis(deadline_ms?),
        repeat_within: Duration::from_millis(repeat_within_ms?),
        on_unjudged: on_unjudged?,
        on_unknown_product: on_unknown_product?,
        engine: engine?,
        mqtt: mqtt?,
        ledger: ledger?,
        http: http?,
        drift_alarm: drift_alarm?,
        golden: golden?,
        thresholds: thresholds?,
        digest: report.digest(),
        effective: report.effective(),
    })
}

impl Settings {
    /// The line.
    #[must_use]
    pub const fn line(&self) -> &LineName {
        &self.line
    }

    /// The station on the line.
    #[must_use]
    pub const fn station(&self) -> &StationName {
        &self.station
    }

    /// The cameras: at least one, no two with the same id.
    #[must_use]
    pub fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    /// Time from the trigger of a part to its verdict: 1 ms to 60 s.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How long after its deadline a part may be at the gate: 0 to 1 h. A mark that comes again by then is a repeat.
    #[must_use]
    pub const fn repeat_within(&self) -> Duration {
        self.repeat_within
    }

    /// What the reject line does with a part that was not judged.
    #[must_use]
    pub const fn on_unjudged(&self) -> OnUnjudged {
        self.on_unjudged
    }

    /// What a part is whose product neither thresholds nor model name.
    #[must_use]
    pub const fn on_unknown_product(&self) -> OnUnknown {
        self.on_unknown_product
    }

    /// The networks and what computes them.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The broker.
    #[must_use]
    pub const fn mqtt(&self) -> &Mqtt {
        &self.mqtt
    }

    /// The part ledger.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The web page.
    #[must_use]
    pub const fn http(&self) -> &Http {
        &self.http
    }

    /// Whether drift turns the state to `degraded`.
    #[must_use]
    pub const fn drift_alarm(&self) -> bool {
        self.drift_alarm
    }

    /// The golden parts.
    #[must_use]
    pub const fn golden(&self) -> &Golden {
        &self.golden
    }

    /// The thresholds file.
    #[must_use]
    pub fn thresholds(&self) -> &Path {
        &self.thresholds
    }

    /// Over the effective settings, whatever layer they came from; secrets do not count, their paths do.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// What these settings say otherwise than `self`, by path: what a restart would change. None where the digests are
    /// equal.
    #[must_use]
    pub fn differences(&self, then: &Self) -> Vec<Difference> {
        difference::between(&self.effective, &then.effective)
    }
}
