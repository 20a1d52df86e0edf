//! `diad bench`: how long does a part take on this machine, and where does the time go?

mod random;
mod report;
mod samples;
mod timed;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use diad_core::frame::{FrameError, PixelFormat, PixelsView};
use diad_core::graphs::Graphs;
use diad_core::inspector::{InspectError, Inspector, Subject};
use diad_core::join::JoinError;
use diad_engine::{EngineError, FoundationLoadError};
use diad_scene::{Line, Product, render};
use tracing::info;

use self::random::RandomError;
use self::report::{Report, Setup};
use self::samples::Samples;
use self::timed::Timed;
use super::CommandError;
use crate::cli::BenchArgs;
use crate::exit::Exit;
use crate::learnt::{WitnessError, Witnesses};
use crate::model::{ModelError, ModelSpec, Parts};
use crate::output;
use crate::settings::Variable;
use crate::timing::StageClock;

/// Seed of the line that the parts come from.
const SEED: u64 = 1;

/// Parts that are rendered: one of every product, over and over.
const PICTURES: u64 = Product::ALL.len() as u64;

/// Share of them that is defective.
const DEFECT_RATE: f32 = 0.25;

/// Parts that are inspected before the clock starts, so that buffers and caches are as on a running line.
const WARM_UP_PARTS: usize = 3;

/// A model that cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The renderer gave a picture that is none.
    #[error("take the rendered part")]
    Frame(#[from] FrameError),
    /// The product cannot be judged as it was learnt.
    #[error(transparent)]
    Witnesses(#[from] WitnessError),
    /// A foundation for --rows cannot be used, or none is at hand.
    #[error("make a random bank")]
    Random(#[from] RandomError),
    /// The witnesses cannot be joined.
    #[error("join the witnesses")]
    Join(#[from] JoinError),
    /// An inspection failed.
    #[error("inspect a rendered part")]
    Inspect(#[from] InspectError<EngineError>),
}

impl BenchError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            // Where the number is the command line's.
            Self::Model(ModelError::Steps { .. }) => Exit::Usage,
            Self::Model(error) => error.exit(),
            Self::Witnesses(error) => error.exit(),
            Self::Random(RandomError::None { .. } | RandomError::Foundation(FoundationLoadError::Missing { .. })) => {
                Exit::Unavailable
            }
            Self::Random(_) => Exit::BadData,
            Self::Frame(_) | Self::Join(_) => Exit::Bug,
            Self::Inspect(_) => Exit::BadData,
        }
    }
}

/// Measures a model and prints what came out.
///
/// # Errors
/// [`CommandError::Bench`], or [`CommandError::Output`] if the result cannot be printed.
pub fn run(args: &BenchArgs, variables: &[Variable]) -> Result<(), CommandError> {
    let report = measure(args, variables)?;
    output::print(&if args.json { report.json() } else { report.text() })?;
    Ok(())
}

fn measure(args: &BenchArgs, variables: &[Variable]) -> Result<Report, BenchError> {
    let threads = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let BenchArgs { ref model, provider, steps, seconds, .. } = *args;
    let spec = ModelSpec { provider, steps, threads: Some(threads), ..ModelSpec::of_folder(model) };
    let Parts { runtime, bundle, digest, engine, method, foundations } = Parts::load(&spec, variables)?;
    let joined = match args.rows {
        Some(rows) => Some(Arc::new(random::witnesses(&bundle, &foundations, rows as usize)?)),
        None => {
            let witnesses = Witnesses::of((&bundle, &foundations, digest), None, None, variables)?;
            witnesses.of_product(args.product.as_ref())?
        }
    };
    let setup = Setup {
        model: digest.to_string(),
        name: bundle.manifest().name.clone(),
        provider: engine.choice().taken,
        threads,
        library: runtime.path().to_owned(),
        onnxruntime: runtime.version().map(str::to_owned),
        steps: method.ddim.updates().len(),
        witnesses: joined.iter().flat_map(|joined| joined.witnesses()).map(|it| it.name().to_string()).collect(),
    };
    let graphs = Timed::new(engine);
    let joined = joined.map(|joined| graphs.witnesses(&joined)).transpose()?;
    let subject = Subject { joined: joined.as_ref(), ..Subject::PLAIN };
    let mut inspector = Inspector::try_new(graphs, method).map_err(ModelError::from)?;
    let line = Line::new(SEED, &[], DEFECT_RATE);
    let pictures: Vec<_> = (0..PICTURES).map(|index| render(&line.part(index)).image).collect();
    let pictures = pictures
        .iter()
        .map(|image| PixelsView::try_new(image.width(), image.height(), PixelFormat::Rgb8, image.as_raw()))
        .collect::<Result<Vec<_>, _>>()?;
    info!(seconds, "measuring");
    let (samples, elapsed) = time_parts(&mut inspector, &subject, &pictures, Duration::from_secs(seconds))?;
    Ok(Report { setup, samples, elapsed })
}

/// Inspects the pictures over and over for as long as `limit`, at least one.
fn time_parts<G: Graphs>(
    inspector: &mut Inspector<Timed<G>>,
    subject: &Subject<'_>,
    pictures: &[PixelsView<'_>],
    limit: Duration,
) -> Result<(Samples, Duration), InspectError<G::Error>> {
    let mut clock = StageClock::default();
    for &picture in pictures.iter().cycle().take(WARM_UP_PARTS) {
        inspector.inspect_as(subject, picture, picture.full(), &mut clock)?;
    }
    clock.reset();
    inspector.graphs().take();

    let mut samples = Samples::default();
    let started = Instant::now();
    let mut elapsed = Duration::ZERO;
    for &picture in pictures.iter().cycle() {
        let begin = Instant::now();
        inspector.inspect_as(subject, picture, picture.full(), &mut clock)?;
        let end = Instant::now();
        samples.add(end - begin, clock.take(end), &inspector.graphs().take());
        elapsed = end - started;
        if elapsed >= limit {
            break;
        }
    }
    Ok((samples, elapsed))
}
