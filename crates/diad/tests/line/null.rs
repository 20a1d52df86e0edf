//! A line without networks: everything else is real.

use std::sync::Arc;
use std::time::Duration;

use diad::archive::Archive;
use diad::guard::Guards;
use diad::health::Health;
use diad::line::{CameraSpec, LineSpec, ResilientLedger, VerdictObserver, open_journal};
use diad::products::{OnUnknown, Products};
use diad::thresholds::{LiveThresholds, ThresholdSet};
use diad_core::graphs::{GraphShapes, Graphs};
use diad_core::inspector::{Inspector, Method, Posterior};
use diad_core::map::MapSettings;
use diad_core::name::{LineName, StationName};
use diad_core::prepare::InputSpec;
use diad_core::schedule::{Ddim, Schedule, Step};
use diad_core::score::ScoreRule;
use diad_core::tensor::Tensor;
use diad_publish::settings::{BrokerUrl, LinkSettings};
use diad_publish::topic::TopicRoot;
use diad_publish::wire::{Digest, OnUnjudged, Station};
use diad_publish::{Publisher, PublisherSettings};

/// Side of the model's input, in pixels.
pub const SIDE: u32 = 16;

/// Networks that failed because they were told to.
#[derive(Debug, thiserror::Error)]
#[error("told to fail")]
pub struct Told;

/// What networks do with a part, by its mean in the model's input: mid-grey is 0, white is 1.
pub type Conduct = Box<dyn FnMut(f32) -> Result<f32, Told> + Send>;

/// Networks that find nothing but white. `conduct` is asked once for each part, and gives what the latent is filled with.
pub struct Null {
    shapes: GraphShapes,
    conduct: Conduct,
}

impl Null {
    pub fn new(conduct: Conduct) -> Self {
        let side = SIDE as usize;
        let shapes = GraphShapes {
            image: [1, 3, side, side],
            latent: [1, 1, 2, 2],
            hint: [1, 1, 2, 2],
            features: vec![[2, 2, 4, 4]],
        };
        Self { shapes, conduct }
    }
}

impl Graphs for Null {
    type Error = Told;

    fn shapes(&self) -> &GraphShapes {
        &self.shapes
    }

    fn encode(&mut self, image: &Tensor, moments: &mut Tensor) -> Result<(), Told> {
        let mean = image.data().iter().sum::<f32>() / image.data().len() as f32;
        moments.data_mut().fill((self.conduct)(mean)?);
        Ok(())
    }

    fn hint(&mut self, _: &Tensor, hint: &mut Tensor) -> Result<(), Told> {
        hint.data_mut().fill(0.0);
        Ok(())
    }

    fn predict_noise(&mut self, _: &Tensor, _: &Tensor, _: Step, noise: &mut Tensor) -> Result<(), Told> {
        noise.data_mut().fill(0.0);
        Ok(())
    }

    fn decode(&mut self, _: &Tensor, reconstruction: &mut Tensor) -> Result<(), Told> {
        reconstruction.data_mut().fill(0.0);
        Ok(())
    }

    fn features(&mut self, pair: &Tensor, layers: &mut [Tensor]) -> Result<(), Told> {
        let side = SIDE as usize;
        for layer in layers {
            let [_, _, height, width] = layer.shape();
            let cells = layer.data_mut();
            cells.fill(1.0);
            for cell in 0..height * width {
                let (y, x) =
                    ((cell / width * 2 + 1) * side / (2 * height), (cell % width * 2 + 1) * side / (2 * width));
                if pair.data()[y * side + x] >= 1.0 {
                    // Another direction than in the reconstruction.
                    cells[height * width + cell] = -1.0;
                }
            }
        }
        Ok(())
    }
}

/// The method around such networks.
pub fn inspector(conduct: Conduct) -> Inspector<Null> {
    let schedule = Schedule::scaled_linear(0.000_85, 0.012).unwrap();
    let step = |step| Step::try_new(step).unwrap();
    let method = Method {
        input: InputSpec::try_new(SIDE, SIDE, [0.5; 3], [0.5; 3]).unwrap(),
        latent_scale: 1.0,
        posterior: Posterior::Mean,
        ddim: Ddim::try_new(&schedule, step(1), &[step(1)], step(0)).unwrap(),
        start_noise: Tensor::zeros([1, 1, 2, 2]),
        map: MapSettings::try_new(vec![1.0], 1.0, 4.0).unwrap(),
        score: ScoreRule::try_new(2, 2).unwrap(),
        representation: None,
    };
    Inspector::try_new(Null::new(conduct), method).unwrap()
}

/// Where a line under test keeps its record and finds its broker.
pub struct Place {
    pub ledger: std::path::PathBuf,
    pub port: u16,
    pub deadline: Duration,
}

/// Everything but cameras and networks.
pub fn spec(
    place: &Place,
    cameras: Vec<CameraSpec>,
    conduct: Conduct,
    listener: VerdictObserver,
) -> (LineSpec<Null, ()>, Arc<Publisher>) {
    let (line, station) = (LineName::try_new("L1").unwrap(), StationName::try_new("S1").unwrap());
    let deadline_ms = u32::try_from(place.deadline.as_millis()).unwrap();
    let (ledger, context) = open_journal(&place.ledger, &line, &station, deadline_ms).unwrap();
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{}", place.port)).unwrap();
    let publisher = Arc::new(
        Publisher::start(PublisherSettings {
            link: LinkSettings::try_new(url, None, None, None).unwrap(),
            root: TopicRoot::try_new("factory").unwrap(),
            station: Station { line, station, run: context.run.clone() },
            on_unjudged: OnUnjudged::Reject,
            deadline_ms,
            watch_triggers: false,
            outbox_capacity: PublisherSettings::OUTBOX_CAPACITY,
        })
        .unwrap(),
    );
    let health = Health::new(Arc::clone(&publisher));
    let thresholds = ThresholdSet::read("default: { review: 0.2, reject: 0.4 }\n", "thresholds.yaml").unwrap();
    let spec = LineSpec {
        cameras,
        inspector: inspector(conduct),
        rebuild: Box::new(|| Ok(inspector(Box::new(|_| Ok(0.0))))),
        thresholds: LiveThresholds::new(thresholds),
        products: Products::new(&[], OnUnknown::Unjudged),
        deadline: place.deadline,
        repeat_within: Duration::ZERO,
        publisher: Arc::clone(&publisher),
        journal: ResilientLedger::new(ledger, context, Duration::from_secs(86_400), health.clone()).unwrap(),
        drain: Duration::from_secs(120),
        model: Digest::from_bytes([1; 32]),
        settings: Digest::from_bytes([2; 32]),
        witness: (),
        listener,
        archive: Archive::default(),
        marks: crossbeam_channel::never(),
        guards: Guards::off(),
        health,
    };
    (spec, publisher)
}
