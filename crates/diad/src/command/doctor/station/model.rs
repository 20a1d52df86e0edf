//! The model as the station would load it: library, networks, provider, and the time for a part against the deadline.

use std::path::Path;
use std::time::{Duration, Instant};

use diad_capture::Picture;
use diad_core::frame::{PixelFormat, Roi};
use diad_core::inspector::Subject;
use diad_core::map::Mask;
use diad_engine::{Bundle, Provider};

use super::super::Check;
use super::super::bounded::within;
use super::{Station, who};
use crate::chain::chain;
use crate::exit::Exit;
use crate::learnt::Store;
use crate::model::{Model, ModelError, ModelSpec};
use crate::settings::Variable;
use crate::thresholds::{LoadWitnesses, ThresholdSet};
use crate::timing::ms;

/// Longest wait for library, networks and warm-up on the CPU or through CUDA.
const MODEL_TRIAL_TIMEOUT: Duration = Duration::from_secs(180);
/// TensorRT builds its engines, as it does at every start of the station.
const TENSORRT_TRIAL_TIMEOUT: Duration = Duration::from_secs(900);
/// Parts that are judged for each product.
const TRIAL_PARTS: usize = 5;
/// Share of the deadline that a part may take before it is worth a warning.
const SHARE_OF_DEADLINE: f64 = 0.7;
/// The NVIDIA driver makes this device.
const NVIDIA: &str = "/dev/nvidia0";

const MODEL: &str = "model";
const PROVIDER: &str = "provider";
const DEADLINE: &str = "deadline";

/// A model that was loaded and judged a few parts.
struct Loaded {
    /// Name and digest.
    name: String,
    /// Version and path of the library.
    library: String,
    /// From nothing to warmed-up networks.
    load: Duration,
    taken: Provider,
    refused: Vec<(Provider, String)>,
    /// The longest of a few parts for each way of judging, or what went wrong.
    parts: Vec<(String, Result<Duration, String>)>,
}

/// A part to judge, and what of it is looked at.
type TrialPart = Option<(Picture, Option<Roi>)>;

pub(super) fn checks(station: &Station<'_>, part: TrialPart) -> Vec<Check> {
    let engine = station.settings.engine();
    if let Some(pid) = station.running {
        return vec![of_folder(&engine.model), left_to(pid)];
    }
    let asked = engine.provider;
    let limit =
        if asked == Provider::Cpu || asked == Provider::Cuda { MODEL_TRIAL_TIMEOUT } else { TENSORRT_TRIAL_TIMEOUT };
    let (spec, variables) = (ModelSpec::from_settings(engine), station.variables.to_vec());
    let (thresholds, ledger) = (station.settings.thresholds().to_owned(), station.settings.ledger().path.clone());
    let store = Store::beside(&ledger);
    let loaded = within(limit, move || load(&spec, &variables, &thresholds, store, part));
    match loaded {
        Err(unfinished) => {
            vec![unfinished.check(
                MODEL,
                Exit::Unavailable,
                "see whether the disk and the GPU answer: nvidia-smi, dmesg",
            )]
        }
        Ok(Err(error)) => vec![refused(&error)],
        Ok(Ok(loaded)) => {
            let deadline = station.settings.deadline();
            let cameras = station.settings.cameras().len();
            let gpu = Path::new(NVIDIA).exists();
            vec![judge_load(&loaded), judge_provider(asked, &loaded, gpu), judge_time(&loaded.parts, deadline, cameras)]
        }
    }
}

/// The bundle alone: nothing that the running station's networks could feel.
fn of_folder(folder: &Path) -> Check {
    match Bundle::open(folder) {
        Ok(bundle) => Check::fine(MODEL, format!("{} at {}", bundle.manifest().name, folder.display())),
        Err(error) => Check::failed(MODEL, Exit::BadData, chain(&error), REPAIR),
    }
}

fn left_to(pid: u32) -> Check {
    let detail =
        format!("not loaded: {} has the model in use, and a second one would take its time and memory", who(pid));
    Check::skipped(DEADLINE, detail, "see `margin_ms` of its heartbeat, or stop the station and ask again")
}

const REPAIR: &str = "put the bundle back as it was, or export it again";

fn refused(error: &ModelError) -> Check {
    let remedy = match error {
        ModelError::Runtime(_) => "run `make setup`, which fetches ONNX Runtime, or name the file with engine.library",
        ModelError::Engine(_) => {
            "set engine.provider to one that works here (diad doctor lists them), or see to driver and library"
        }
        ModelError::Steps { .. } => "correct engine.steps",
        ModelError::Overlay(_) => "run `make setup-foundation`, or name the folder with engine.foundations",
        ModelError::Bundle(_) | ModelError::Digest(_) | ModelError::Method(_) => REPAIR,
    };
    Check::failed(MODEL, error.exit(), chain(error), remedy)
}

fn load(
    spec: &ModelSpec,
    variables: &[Variable],
    thresholds: &Path,
    store: Store,
    part: TrialPart,
) -> Result<Loaded, ModelError> {
    let began = Instant::now();
    let mut model = Model::load(spec, variables)?;
    let load = began.elapsed();
    let runtime = crate::model::load_runtime(spec.library.as_deref(), variables)?;
    let library =
        format!("ONNX Runtime {}: {}", runtime.version().unwrap_or("of unknown version"), runtime.path().display());
    let choice = model.inspector.graphs().choice().clone();
    let name = format!("{} ({})", model.bundle.manifest().name, model.digest);
    let overlays = model.overlays(Some(store))?;
    // Faults of thresholds and banks have rows of their own.
    let set = ThresholdSet::load(thresholds).ok();
    let judges = set.as_ref().and_then(|set| overlays.judges(set).ok());
    let mut subjects = vec![("the diffusion model".to_owned(), Subject::PLAIN)];
    for product in set.iter().flat_map(ThresholdSet::products) {
        let joined = judges.as_ref().and_then(|judges| judges.of(Some(product)));
        if let Some(joined) = joined {
            let subject = Subject { mask: Mask::EVERYTHING, joined: Some(joined) };
            subjects.push((format!("product {product}"), subject));
        }
    }
    let (picture, roi) = part.or_else(grey).unzip();
    let parts = subjects
        .into_iter()
        .map(|(name, subject)| (name, time(&mut model, &subject, picture.as_ref(), roi.flatten())))
        .collect();
    Ok(Loaded { name, library, load, taken: choice.taken, refused: choice.refused, parts })
}

/// A part where no camera gave one.
fn grey() -> TrialPart {
    const WIDTH: u32 = 640;
    const HEIGHT: u32 = 480;
    let picture = Picture::try_new(WIDTH, HEIGHT, PixelFormat::Mono8, vec![128; (WIDTH * HEIGHT) as usize]).ok()?;
    Some((picture, None))
}

/// The longest of a few parts; one before them, which makes the buffers, does not count.
fn time(
    model: &mut Model,
    subject: &Subject<'_>,
    part: Option<&Picture>,
    roi: Option<Roi>,
) -> Result<Duration, String> {
    let view = part.ok_or("no picture")?.view().map_err(|error| error.to_string())?;
    let mut longest = Duration::ZERO;
    for index in 0..=TRIAL_PARTS {
        let began = Instant::now();
        let judged = model.inspector.inspect_as(subject, view, roi.unwrap_or(view.full()), &mut ());
        judged.map_err(|error| chain(&error))?;
        if index > 0 {
            longest = longest.max(began.elapsed());
        }
    }
    Ok(longest)
}

fn judge_load(loaded: &Loaded) -> Check {
    let detail =
        format!("{}, loaded and warmed up in {:.1} s\n{}", loaded.name, loaded.load.as_secs_f64(), loaded.library);
    Check::fine(MODEL, detail)
}

fn judge_provider(asked: Provider, loaded: &Loaded, gpu: bool) -> Check {
    let Loaded { taken, refused, .. } = loaded;
    let mut detail = format!("{taken} computes the networks; the settings ask for {asked}");
    for (provider, reason) in refused {
        detail.push_str(&format!("\n{provider} was passed over: {reason}"));
    }
    if *taken == Provider::Cpu && asked == Provider::Auto && gpu {
        let remedy = "this machine has an NVIDIA GPU: name a GPU build of ONNX Runtime with engine.library, and allow /dev/nvidia* in the unit";
        return Check::warning(PROVIDER, detail, remedy);
    }
    Check::fine(PROVIDER, detail)
}

fn judge_time(parts: &[(String, Result<Duration, String>)], deadline: Duration, cameras: usize) -> Check {
    let told: Vec<String> = parts
        .iter()
        .map(|(name, time)| match time {
            Ok(time) => format!("{name}: {:.1} ms", ms(*time)),
            Err(error) => format!("{name}: {error}"),
        })
        .collect();
    let detail =
        format!("the longest of {TRIAL_PARTS} parts by {}; deadline {} ms", told.join(", by "), deadline.as_millis());
    if let Some((name, _)) = parts.iter().find(|(_, time)| time.is_err()) {
        let remedy = format!("a part of {name} could not be judged: see the reason beside it");
        return Check::failed(DEADLINE, Exit::BadData, detail, remedy);
    }
    let longest = parts.iter().filter_map(|(_, time)| time.as_ref().ok()).max().copied().unwrap_or_default();
    let all = longest.saturating_mul(u32::try_from(cameras).unwrap_or(u32::MAX));
    let least_ms = (ms(longest) / SHARE_OF_DEADLINE).ceil();
    if longest > deadline {
        let remedy =
            format!("set deadline_ms to {least_ms} or more, take a GPU, fewer engine.steps or a smaller model");
        Check::failed(DEADLINE, Exit::Settings, detail, remedy)
    } else if longest > deadline.mul_f64(SHARE_OF_DEADLINE) {
        let remedy = format!(
            "little time is left for camera and disk: set deadline_ms to {least_ms} or more, or compute faster"
        );
        Check::warning(DEADLINE, detail, remedy)
    } else if all > deadline {
        let remedy =
            format!("where all {cameras} cameras are triggered at once, the last part waits {:.0} ms", ms(all));
        Check::warning(DEADLINE, detail, remedy)
    } else {
        Check::fine(DEADLINE, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::CheckStatus;

    fn loaded(taken: Provider) -> Loaded {
        let refused = vec![(Provider::Cuda, "no driver".to_owned())];
        let (name, library) = ("m".to_owned(), "l".to_owned());
        Loaded { name, library, load: Duration::from_secs(2), taken, refused, parts: Vec::new() }
    }

    #[test]
    fn time_is_measured_against_the_deadline_for_one_part_and_for_all_cameras() {
        let health = |milliseconds: u64, cameras| {
            let parts = [
                ("m".to_owned(), Ok(Duration::from_millis(1))),
                ("p".to_owned(), Ok(Duration::from_millis(milliseconds))),
            ];
            judge_time(&parts, Duration::from_millis(200), cameras).health
        };
        assert_eq!(health(100, 1), CheckStatus::Fine);
        assert_eq!(health(150, 1), CheckStatus::Warning);
        assert_eq!(health(100, 3), CheckStatus::Warning);
        assert_eq!(health(201, 1), CheckStatus::Failed(Exit::Settings));
        let broken = judge_time(&[("p".to_owned(), Err("no foundation".to_owned()))], Duration::from_secs(1), 1);
        assert_eq!(broken.failure(), Some(Exit::BadData));
        assert!(broken.detail.contains("no foundation"), "{}", broken.detail);
    }

    #[test]
    fn deadline_that_is_too_short_is_told_with_one_that_would_do() {
        let check = judge_time(&[("m".to_owned(), Ok(Duration::from_millis(70)))], Duration::from_millis(50), 1);
        assert!(check.remedy.unwrap().contains("deadline_ms to 100 or more"));
        assert!(check.detail.contains("70.0 ms") && check.detail.contains("deadline 50 ms"), "{}", check.detail);
    }

    #[test]
    fn cpu_beside_a_gpu_is_warned_of_unless_it_was_asked_for() {
        let of = |asked, taken, gpu| judge_provider(asked, &loaded(taken), gpu).health;
        assert_eq!(of(Provider::Auto, Provider::Cpu, true), CheckStatus::Warning);
        assert_eq!(of(Provider::Auto, Provider::Cpu, false), CheckStatus::Fine);
        assert_eq!(of(Provider::Cpu, Provider::Cpu, true), CheckStatus::Fine);
        let check = judge_provider(Provider::Auto, &loaded(Provider::Cpu), false);
        assert!(check.detail.contains("cuda was passed over: no driver"), "{}", check.detail);
    }

    #[test]
    fn folder_without_a_bundle_is_bad_data() {
        assert_eq!(of_folder(Path::new("/nonexistent/model")).failure(), Some(Exit::BadData));
        assert_eq!(left_to(7).health, CheckStatus::Skipped);
    }
}
