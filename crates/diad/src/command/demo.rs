//! `diad demo`: the whole line on one machine with nothing installed.
//!
//! The stages are those of `diad run`. Only the ends differ: a camera that draws its parts and knows the truth about
//! them, and a broker inside this process.

mod broker;
mod learnt;
mod summary;

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use diad_capture::RenderedSettings;
use diad_core::event::{InspectionEvent, Outcome};
use diad_core::name::{CameraId, LineName, NameError, StationName};
use diad_engine::Engine;
use diad_publish::settings::{BrokerUrl, LinkSettings, SettingsError};
use diad_publish::topic::{TopicError, TopicRoot};
use diad_publish::wire::OnUnjudged;
use diad_scene::{DatasetSpec, Product, SceneError, write_dataset};
use serde_json::json;
use tracing::info;

use super::CommandError;
use super::run::{stop_on_signals, tell};
use crate::archive::{self, ArchiveSpec};
use crate::cli::DemoArgs;
use crate::guard::GuardSpec;
use crate::health::Source;
use crate::line::{CameraSpec, ReloadNetworks, VerdictObserver};
use crate::model::{Model, ModelError, ModelSpec, default_folder};
use crate::output;
use crate::products::{OnUnknown, Products};
use crate::settings::{Kept, Variable};
use crate::station::{self, StationSpec};
use crate::thresholds::{LiveThresholds, Watcher};
use crate::web::{Access, WebSpec};
use crate::yaml::Fault;

use broker::{Broker, BrokerError};
use summary::{Observer, Summary};

/// The thresholds that ship with the default model.
const THRESHOLDS: &str = include_str!("../../../../config/thresholds.yaml");
/// Share of rendered parts with a defect: enough of both kinds for the summary to mean something.
const DEFECT_RATE: f32 = 0.4;
/// How long verdicts are kept: longer than any demonstration.
const RETENTION_TIME: Duration = Duration::from_secs(86_400);
/// From picture to verdict; generous, because a demonstration may run on a laptop that does other things.
const DEMO_DEADLINE: Duration = Duration::from_secs(5);
/// Whose pictures the page can show.
const PICTURES: [Kept; 3] = [Kept::Review, Kept::Reject, Kept::Unjudged];
/// Room for them.
const MAX_BYTES: u64 = 256 << 20;
/// Where the page is, unless that is taken.
const PAGE_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Latencies kept for the summary.
const KEPT_LATENCIES: usize = 100_000;
/// Pictures of a data set, per product: enough to train on, and to measure with.
const DATASET: (u32, u32, u32) = (200, 25, 25);

/// A demonstration that could not be given.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A built-in name is none.
    #[error("name the station")]
    Name(#[from] NameError),
    /// The broker's address makes no link.
    #[error("point the link at the broker")]
    Link(#[from] SettingsError),
    /// The topic root is none.
    #[error("name the topics")]
    Topic(#[from] TopicError),
    /// There is no room for the record.
    #[error("make a temporary folder for the ledger")]
    Folder(#[source] std::io::Error),
    /// The embedded broker does not come up.
    #[error("start the embedded broker")]
    Broker(#[from] BrokerError),
    /// The built-in thresholds are not sound.
    #[error("read the built-in thresholds: {}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
    Thresholds(Vec<Fault>),
    /// The promise was not kept.
    #[error("{parts} parts without a verdict that the broker acknowledged")]
    Unaccounted {
        /// How many.
        parts: u64,
    },
    /// The data set cannot be written.
    #[error("write the data set")]
    Dataset(#[from] SceneError),
}

/// Renders, judges and publishes parts, prints each verdict and then the summary; or writes the parts to disk.
///
/// # Errors
/// [`CommandError`].
pub fn run(args: &DemoArgs, variables: &[Variable]) -> Result<(), CommandError> {
    if let Some(folder) = &args.write_dataset {
        return write(folder, args);
    }
    let model_spec = ModelSpec::of_folder(&default_folder());
    let model = Model::load(&model_spec, variables)?;
    let rebuild = model.rebuild(model_spec, variables.to_vec());
    let known = model.bundle.manifest().products.clone();
    // The record is the same as on a line, only that it goes with the demonstration.
    let folder = tempfile::tempdir().map_err(DemoError::Folder)?;
    let thresholds = folder.path().join("thresholds.yaml");
    let watcher = match learnt::watcher(&model, &thresholds) {
        Some(watcher) => watcher,
        None => {
            std::fs::write(&thresholds, THRESHOLDS).map_err(DemoError::Folder)?;
            let mut watcher = Watcher::open(&thresholds).map_err(DemoError::Thresholds)?;
            let overlays = model.overlays(None).map_err(ModelError::from)?;
            watcher.equip(Arc::new(overlays)).map_err(DemoError::Thresholds)?;
            watcher
        }
    };
    let address = args.mqtt.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let broker = Broker::start(address).map_err(DemoError::Broker)?;
    info!(address = %broker.address(), "embedded broker listens; try: mosquitto_sub -t 'factory/#' -v");
    let stop = stop_on_signals()?;

    let camera = RenderedSettings {
        seed: args.seed,
        products: Vec::new(),
        defect_rate: DEFECT_RATE,
        parts: (args.parts > 0).then_some(args.parts),
    };
    let (latency_ms, heard) = sync_channel(KEPT_LATENCIES);
    let ledger = folder.path().join("ledger.sqlite3");
    let listener = listener(args.json, latency_ms);
    let access = Access::open(None).map_err(|fault| DemoError::Thresholds(vec![fault]))?;
    let listen = args.http.unwrap_or_else(free_address);
    let web = WebSpec { listen, access, thresholds: thresholds.clone() };
    let mut spec =
        spec(model, rebuild, ledger, watcher.live(), &broker, camera, listener).map_err(CommandError::Demo)?;
    spec.web = Some(web);
    // The page may write thresholds, and the line takes them.
    let mut watch = None;
    let report = station::run(spec, &stop, |health| {
        let tell_health = health.clone();
        match watcher.spawn(move |change| tell(&tell_health, &thresholds, &known, change)) {
            Ok(watching) => watch = Some(watching),
            Err(error) => health.problem(Source::Thresholds, &format!("not watched: {error}")),
        }
    })?;
    drop(watch);
    let summary = Summary::of(&report, heard.try_iter().collect());
    output::print(&if args.json { summary.json() } else { summary.text() })?;
    match summary.unaccounted() {
        0 => Ok(()),
        parts => Err(DemoError::Unaccounted { parts }.into()),
    }
}

fn spec(
    model: Model,
    rebuild: ReloadNetworks<Engine>,
    ledger: PathBuf,
    thresholds: LiveThresholds,
    broker: &Broker,
    camera: RenderedSettings,
    listener: VerdictObserver,
) -> Result<StationSpec<Observer>, DemoError> {
    let url = BrokerUrl::parse(&format!("mqtt://{}", broker.address()))?;
    let products = Products::new(&model.bundle.manifest().products, OnUnknown::Unjudged);
    Ok(StationSpec {
        line: LineName::try_new("demo")?,
        station: StationName::try_new("S1")?,
        cameras: vec![CameraSpec::rendered(CameraId::try_new("cam0")?, camera)],
        model,
        rebuild,
        keep: RETENTION_TIME,
        archive: ArchiveSpec {
            folder: archive::folder_of(&ledger),
            keep: PICTURES.to_vec(),
            max_bytes: MAX_BYTES,
            age: RETENTION_TIME,
        },
        ledger,
        settings: thresholds.current().digest(),
        thresholds,
        products,
        web: None,
        deadline: DEMO_DEADLINE,
        repeat_within: Duration::ZERO,
        on_unjudged: OnUnjudged::Reject,
        link: LinkSettings::try_new(url, None, None, None)?,
        root: TopicRoot::try_new("factory")?,
        // Four in ten parts are defective on purpose: that is no drift.
        guards: GuardSpec::off(),
        witness: Observer::default(),
        listener,
    })
}

/// The usual address of the page, or another one of this machine.
fn free_address() -> SocketAddr {
    match std::net::TcpListener::bind(PAGE_ADDRESS) {
        Ok(_) => PAGE_ADDRESS,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

/// Prints each verdict, and keeps its latency.
fn listener(quiet: bool, latency_ms: SyncSender<f64>) -> VerdictObserver {
    let colour = std::io::stdout().is_terminal();
    Box::new(move |event, _| {
        if !quiet {
            // A reader that has hung up ends the pictures, not the line.
            let _ = output::print(&line_of(event, colour));
        }
        // Full: enough is known of the latency of a demonstration that does not end.
        let _ = latency_ms.try_send(event.latency().as_secs_f64() * 1000.0);
    })
}

/// One line per verdict: `PASS      washer     0.123  97 ms`.
fn line_of(event: &InspectionEvent, colour: bool) -> String {
    let word = event.verdict_word();
    let (code, score) = match &event.outcome {
        Outcome::Judged(judgement) => {
            let code = match word {
                "PASS" => "32",
                "REVIEW" => "33",
                _ => "31",
            };
            (code, format!("{:.3}", judgement.score.get()))
        }
        Outcome::Unjudged(reason) => ("35", reason.as_str().to_owned()),
    };
    let word = if colour { format!("\x1b[1;{code}m{word:<8}\x1b[0m") } else { format!("{word:<8}") };
    let product = event.meta.product.as_ref().map_or("-", |p| p.as_str());
    format!("{:>6}  {word}  {product:<10} {score:>8}  {:>4} ms\n", event.meta.key.seq, event.latency().as_millis())
}

fn write(folder: &Path, args: &DemoArgs) -> Result<(), CommandError> {
    let (train_good_per_product, test_good_per_product, test_defective_per_product) = DATASET;
    let spec =
        DatasetSpec { seed: args.seed, train_good_per_product, test_good_per_product, test_defective_per_product };
    let summary = write_dataset(folder, &spec, |progress| {
        if progress.written == progress.total {
            info!(product = %progress.product, pictures = progress.total, "written");
        }
    })
    .map_err(DemoError::Dataset)?;
    if args.json {
        let document = json!({
            "folder": folder.to_string_lossy(),
            "products": Product::ALL.len(),
            "train_good": summary.train_good,
            "test_good": summary.test_good,
            "test_defective": summary.test_defective,
        });
        return Ok(output::print(&format!("{document:#}\n"))?);
    }
    let text = format!(
        "{}: {} products, {} good parts to train on, {} good and {} defective to test with\n",
        folder.display(),
        Product::ALL.len(),
        summary.train_good,
        summary.test_good,
        summary.test_defective,
    );
    output::print(&text)?;
    Ok(())
}
