//! Networks with a stopwatch: how long every single call takes, whatever happens around it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diad_core::foundation::{Foundation, FoundationError};
use diad_core::graphs::{GraphShapes, Graphs, LatentCall, LatentShapes};
use diad_core::join::{JoinError, Joined, Witness, WitnessKind};
use diad_core::prepare::InputSpec;
use diad_core::schedule::Step;
use diad_core::tensor::{Shape, Tensor};
use diad_engine::GraphName;

/// One call of a network.
pub(super) type Call = (GraphName, Duration);

/// Passes every call on to other networks and takes its time. What such a call does for the runtime's sake (checking
/// and copying outputs) counts as the network's.
#[derive(Debug)]
pub(super) struct Timed<G> {
    graphs: G,
    // An inspector lends its networks out read-only; the calls are taken from it through that. Foundations write here too.
    calls: Calls,
}

/// Calls in the order in which they ended.
type Calls = Arc<Mutex<Vec<Call>>>;

impl<G> Timed<G> {
    pub(super) fn new(graphs: G) -> Self {
        Self { graphs, calls: Calls::default() }
    }

    /// The calls since the last time, in order.
    pub(super) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same witnesses, with a stopwatch on their foundations.
    pub(super) fn witnesses(&self, joined: &Joined) -> Result<Joined, JoinError> {
        let mut timed: Vec<(Arc<dyn Foundation>, Arc<dyn Foundation>)> = Vec::new();
        let mut wrap = |inner: &Arc<dyn Foundation>| -> Arc<dyn Foundation> {
            if let Some((_, known)) = timed.iter().find(|(of, _)| Arc::ptr_eq(of, inner)) {
                return Arc::clone(known);
            }
            let made = Arc::new(TimedFoundation { inner: Arc::clone(inner), calls: Arc::clone(&self.calls) });
            timed.push((Arc::clone(inner), made.clone()));
            made
        };
        let witnesses = joined.witnesses().iter().map(|witness| {
            let kind = match witness.kind() {
                WitnessKind::Diad => WitnessKind::Diad,
                WitnessKind::Latent { foundation } => WitnessKind::Latent { foundation: wrap(foundation) },
                WitnessKind::Bank { foundation, bank } => {
                    WitnessKind::Bank { foundation: wrap(foundation), bank: Arc::clone(bank) }
                }
            };
            Witness::new(kind, witness.share())
        });
        Joined::try_new(witnesses.collect())
    }

    fn time<T>(&mut self, name: GraphName, call: impl FnOnce(&mut G) -> T) -> T {
        let begin = Instant::now();
        let answer = call(&mut self.graphs);
        let time = begin.elapsed();
        note(&self.calls, name, time);
        answer
    }
}

fn note(calls: &Calls, name: GraphName, time: Duration) {
    calls.lock().unwrap_or_else(PoisonError::into_inner).push((name, time));
}

/// A foundation with a stopwatch.
#[derive(Debug)]
struct TimedFoundation {
    inner: Arc<dyn Foundation>,
    calls: Calls,
}

impl Foundation for TimedFoundation {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn input(&self) -> &InputSpec {
        self.inner.input()
    }

    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn patches(&self, image: &Tensor, out: &mut Tensor) -> Result<(), FoundationError> {
        let begin = Instant::now();
        let answer = self.inner.patches(image, out);
        note(&self.calls, GraphName::Foundation, begin.elapsed());
        answer
    }
}

impl<G: Graphs> Graphs for Timed<G> {
    type Error = G::Error;

    fn shapes(&self) -> &GraphShapes {
        self.graphs.shapes()
    }

    fn encode(&mut self, image: &Tensor, moments: &mut Tensor) -> Result<(), G::Error> {
        self.time(GraphName::Encoder, |graphs| graphs.encode(image, moments))
    }

    fn hint(&mut self, image: &Tensor, hint: &mut Tensor) -> Result<(), G::Error> {
        self.time(GraphName::Hint, |graphs| graphs.hint(image, hint))
    }

    fn predict_noise(&mut self, latent: &Tensor, hint: &Tensor, t: Step, noise: &mut Tensor) -> Result<(), G::Error> {
        self.time(GraphName::Denoiser, |graphs| graphs.predict_noise(latent, hint, t, noise))
    }

    fn decode(&mut self, latent: &Tensor, reconstruction: &mut Tensor) -> Result<(), G::Error> {
        self.time(GraphName::Decoder, |graphs| graphs.decode(latent, reconstruction))
    }

    fn features(&mut self, pair: &Tensor, layers: &mut [Tensor]) -> Result<(), G::Error> {
        self.time(GraphName::Features, |graphs| graphs.features(pair, layers))
    }

    fn latent_shapes(&self) -> Option<LatentShapes> {
        self.graphs.latent_shapes()
    }

    fn run_latent(&mut self, call: LatentCall<'_>) -> Option<Result<(), G::Error>> {
        let name = match &call {
            LatentCall::Encode { .. } => GraphName::LatentEncoder,
            LatentCall::Hint { .. } => GraphName::LatentHint,
            LatentCall::PredictNoise { .. } => GraphName::LatentDenoiser,
        };
        self.time(name, |graphs| graphs.run_latent(call))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// Fills every output with the number of the call, and fails in `decode`.
    struct Counting {
        shapes: GraphShapes,
        calls: f32,
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Broken;

    impl fmt::Display for Broken {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("broken")
        }
    }

    impl std::error::Error for Broken {}

    impl Counting {
        fn fill(&mut self, out: &mut Tensor) -> Result<(), Broken> {
            self.calls += 1.0;
            out.data_mut().fill(self.calls);
            Ok(())
        }
    }

    impl Graphs for Counting {
        type Error = Broken;

        fn shapes(&self) -> &GraphShapes {
            &self.shapes
        }

        fn encode(&mut self, _: &Tensor, moments: &mut Tensor) -> Result<(), Broken> {
            self.fill(moments)
        }

        fn hint(&mut self, _: &Tensor, hint: &mut Tensor) -> Result<(), Broken> {
            self.fill(hint)
        }

        fn predict_noise(&mut self, _: &Tensor, _: &Tensor, _: Step, noise: &mut Tensor) -> Result<(), Broken> {
            self.fill(noise)
        }

        fn decode(&mut self, _: &Tensor, _: &mut Tensor) -> Result<(), Broken> {
            Err(Broken)
        }

        fn features(&mut self, _: &Tensor, layers: &mut [Tensor]) -> Result<(), Broken> {
            layers.iter_mut().try_for_each(|layer| self.fill(layer))
        }

        fn latent_shapes(&self) -> Option<LatentShapes> {
            Some(LatentShapes { latent: SHAPE, hint: SHAPE })
        }

        fn run_latent(&mut self, call: LatentCall<'_>) -> Option<Result<(), Broken>> {
            let (LatentCall::Encode { out, .. } | LatentCall::Hint { out, .. } | LatentCall::PredictNoise { out, .. }) =
                call;
            Some(self.fill(out))
        }
    }

    const SHAPE: [usize; 4] = [1, 1, 1, 1];

    fn timed() -> Timed<Counting> {
        let shapes = GraphShapes { image: SHAPE, latent: SHAPE, hint: SHAPE, features: vec![SHAPE] };
        Timed::new(Counting { shapes, calls: 0.0 })
    }

    #[test]
    fn timed_networks_answer_as_those_inside() {
        let mut graphs = timed();
        let (input, mut out) = (Tensor::zeros(SHAPE), Tensor::zeros(SHAPE));
        assert_eq!(graphs.shapes().features, [SHAPE]);
        graphs.encode(&input, &mut out).unwrap();
        assert_eq!(out.data(), [1.0]);
        graphs.hint(&input, &mut out).unwrap();
        assert_eq!(out.data(), [2.0]);
        graphs.predict_noise(&input, &input, Step::try_new(7).unwrap(), &mut out).unwrap();
        assert_eq!(out.data(), [3.0]);
        assert_eq!(graphs.decode(&input, &mut out), Err(Broken));
        graphs.features(&input, std::slice::from_mut(&mut out)).unwrap();
        assert_eq!(out.data(), [4.0]);
        let names: Vec<GraphName> = graphs.take().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, GraphName::BUNDLE, "a call that fails takes time as well");

        assert_eq!(graphs.latent_shapes(), Some(LatentShapes { latent: SHAPE, hint: SHAPE }));
        graphs.run_latent(LatentCall::Encode { patches: &input, out: &mut out }).unwrap().unwrap();
        graphs.run_latent(LatentCall::Hint { patches: &input, out: &mut out }).unwrap().unwrap();
        let (t, out) = (Step::try_new(7).unwrap(), &mut out);
        graphs.run_latent(LatentCall::PredictNoise { latent: &input, hint: &input, t, out }).unwrap().unwrap();
        assert_eq!(out.data(), [7.0]);
        let names: Vec<GraphName> = graphs.take().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [GraphName::LatentEncoder, GraphName::LatentHint, GraphName::LatentDenoiser]);
    }

    #[test]
    fn take_gives_each_call_once_and_no_longer_than_it_took() {
        let mut graphs = timed();
        let (input, mut out) = (Tensor::zeros(SHAPE), Tensor::zeros(SHAPE));
        let begin = Instant::now();
        graphs.hint(&input, &mut out).unwrap();
        graphs.hint(&input, &mut out).unwrap();
        let around = begin.elapsed();
        let calls = graphs.take();
        assert_eq!(calls.len(), 2);
        assert!(calls.iter().map(|(_, time)| *time).sum::<Duration>() <= around);
        assert!(graphs.take().is_empty());
    }
}
