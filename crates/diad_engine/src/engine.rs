//! The five networks of a bundle behind the core's [`Graphs`] trait.

use std::error::Error;
use std::fmt::Write as _;
use std::num::NonZeroUsize;

use diad_core::graphs::{GraphShapes, Graphs, LatentCall, LatentShapes};
use diad_core::schedule::Step;
use diad_core::tensor::Tensor;
use ort::session::SessionInputValue;
use ort::value::TensorRef;

use crate::bundle::Bundle;
use crate::error::EngineError;
use crate::manifest::{Graph, GraphName};
use crate::provider::{Provider, ProviderChoice};
use crate::runtime::Runtime;
use crate::session::{self, Network};

/// How the networks are to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// What computes them.
    pub provider: Provider,
    /// CPU threads of each network; without a number, one per core this process may use.
    pub threads: Option<NonZeroUsize>,
}

/// The bundle's loaded networks, checked against their manifest and run once. Belongs to one thread at a time.
#[derive(Debug)]
pub struct Engine {
    networks: [Network; 5],
    /// Encoder, hint and denoiser of the representation latent, with their shapes.
    latent: Option<([Network; 3], LatentShapes)>,
    shapes: GraphShapes,
    choice: ProviderChoice,
}

impl Engine {
    /// Loads the bundle's networks, checks that they are what the manifest says and runs each once on a grey image, so
    /// that the first part is not slower than the others and no number that is not finite comes as a surprise.
    ///
    /// With [`Provider::Auto`] a provider on which this fails is passed over, and [`Engine::choice`] tells why.
    ///
    /// # Errors
    /// [`EngineError::Provider`] and [`EngineError::Refused`] if a provider asked for by name does not work here, or not
    /// for these networks; the others name their graph.
    pub fn load(runtime: &Runtime, bundle: &Bundle, options: &EngineOptions) -> Result<Self, EngineError> {
        let threads = session::threads(options.threads);
        let (better, last) = options.provider.candidates();
        let mut refused = Vec::new();
        for provider in better.iter().copied() {
            match Self::load_on(runtime, bundle, provider, threads) {
                Ok(engine) => return Ok(engine.ready(refused, bundle)),
                Err(error) => {
                    let reason = chain(&error);
                    tracing::debug!(%provider, reason, "provider passed over");
                    refused.push((provider, reason));
                }
            }
        }
        let engine = Self::load_on(runtime, bundle, last, threads).map_err(|error| error.on(last))?;
        Ok(engine.ready(refused, bundle))
    }

    fn ready(mut self, refused: Vec<(Provider, String)>, bundle: &Bundle) -> Self {
        tracing::info!(provider = %self.choice.taken, model = bundle.model_id(), "networks ready");
        self.choice.refused = refused;
        self
    }

    fn load_on(
        runtime: &Runtime,
        bundle: &Bundle,
        provider: Provider,
        threads: NonZeroUsize,
    ) -> Result<Self, EngineError> {
        provider.probe(runtime)?;
        let load = |(name, graph): (GraphName, &Graph)| {
            let builder = session::builder(runtime, provider, threads).map_err(|source| {
                let path = bundle.folder().join(graph.file.as_path());
                EngineError::Load { graph: name, path, source }
            })?;
            Network::load(name, graph, bundle.folder(), builder)
        };
        let [encoder, hint, denoiser, decoder, features] = bundle.manifest().graphs.named();
        let networks = [load(encoder)?, load(hint)?, load(denoiser)?, load(decoder)?, load(features)?];
        let latent = match (&bundle.manifest().representation, bundle.latent_shapes()) {
            (Some(representation), Some(shapes)) => {
                let [encoder, hint, denoiser] = representation.graphs.named();
                Some(([load(encoder)?, load(hint)?, load(denoiser)?], shapes))
            }
            _ => None,
        };
        let choice = ProviderChoice { taken: provider, refused: Vec::new() };
        let mut engine = Self { networks, latent, shapes: bundle.shapes().clone(), choice };
        engine
            .warm_up(bundle)
            .and_then(|()| engine.warm_up_latent(bundle))
            .map_err(|error| EngineError::WarmUp(Box::new(error)))?;
        Ok(engine)
    }

    /// The provider in use, and why no better one is.
    #[must_use]
    pub const fn choice(&self) -> &ProviderChoice {
        &self.choice
    }

    fn network(&mut self, name: GraphName) -> &mut Network {
        &mut self.networks[name as usize]
    }

    /// Sends a mid-grey image through all networks in the order in which a part passes them.
    fn warm_up(&mut self, bundle: &Bundle) -> Result<(), EngineError> {
        let shapes = self.shapes.clone();
        let method = bundle.method();
        let mut image = Tensor::zeros(shapes.image);
        let input = &bundle.manifest().input;
        let plane = image.data().len() / 3;
        for (channel, values) in image.data_mut().chunks_exact_mut(plane).enumerate() {
            values.fill((0.5 - input.mean[channel]) / input.std[channel]);
        }
        let [_, channels, height, width] = shapes.latent;
        let mut moments = Tensor::zeros([1, 2 * channels, height, width]);
        self.encode(&image, &mut moments)?;
        let mut hint = Tensor::zeros(shapes.hint);
        self.hint(&image, &mut hint)?;
        let mut latent = Tensor::zeros(shapes.latent);
        for (value, mean) in latent.data_mut().iter_mut().zip(moments.data()) {
            *value = mean * method.latent_scale;
        }
        let mut noise = Tensor::zeros(shapes.latent);
        let first = method.ddim.updates().first().map_or(method.ddim.start(), |update| update.step);
        self.predict_noise(&latent, &hint, first, &mut noise)?;
        let mut reconstruction = Tensor::zeros(shapes.image);
        self.decode(&latent, &mut reconstruction)?;
        let mut pair = Tensor::zeros([2, 3, shapes.image[2], shapes.image[3]]);
        let (first, second) = pair.data_mut().split_at_mut(image.data().len());
        first.copy_from_slice(image.data());
        second.copy_from_slice(reconstruction.data());
        let mut layers: Vec<Tensor> = shapes.features.iter().map(|shape| Tensor::zeros(*shape)).collect();
        self.features(&pair, &mut layers)
    }

    /// Sends even patches through the networks of the representation latent.
    fn warm_up_latent(&mut self, bundle: &Bundle) -> Result<(), EngineError> {
        let (Some(shapes), Some(method)) = (bundle.latent_shapes(), &bundle.method().representation) else {
            return Ok(());
        };
        let mut patches = Tensor::zeros(shapes.latent);
        patches.data_mut().fill((shapes.latent[1] as f32).sqrt().recip());
        let (mut latent, mut hint) = (Tensor::zeros(shapes.latent), Tensor::zeros(shapes.hint));
        let mut noise = Tensor::zeros(shapes.latent);
        let t = method.ddim.updates().first().map_or(method.ddim.start(), |update| update.step);
        let calls = [
            self.run_latent(LatentCall::Encode { patches: &patches, out: &mut latent }),
            self.run_latent(LatentCall::Hint { patches: &patches, out: &mut hint }),
            self.run_latent(LatentCall::PredictNoise { latent: &latent, hint: &hint, t, out: &mut noise }),
        ];
        calls.into_iter().flatten().collect()
    }
}

/// A borrowed tensor as the library takes it; no value is copied.
pub(crate) fn view(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    TensorRef::from_array_view((tensor.shape(), tensor.data())).map(Into::into)
}

/// Runs a denoiser, of pixels or of a representation.
fn predict(
    denoiser: &mut Network,
    latent: &Tensor,
    hint: &Tensor,
    t: Step,
    noise: &mut Tensor,
) -> Result<(), EngineError> {
    let step = [i64::from(t.get())];
    let inputs = || Ok([view(latent)?, view(hint)?, TensorRef::from_array_view(([1_usize], &step[..]))?.into()]);
    denoiser.run(inputs(), std::slice::from_mut(noise))
}

impl Graphs for Engine {
    type Error = EngineError;

    fn shapes(&self) -> &GraphShapes {
        &self.shapes
    }

    fn encode(&mut self, image: &Tensor, moments: &mut Tensor) -> Result<(), EngineError> {
        let inputs = view(image).map(|image| [image]);
        self.network(GraphName::Encoder).run(inputs, std::slice::from_mut(moments))
    }

    fn hint(&mut self, image: &Tensor, hint: &mut Tensor) -> Result<(), EngineError> {
        let inputs = view(image).map(|image| [image]);
        self.network(GraphName::Hint).run(inputs, std::slice::from_mut(hint))
    }

    fn predict_noise(
        &mut self,
        latent: &Tensor,
        hint: &Tensor,
        t: Step,
        noise: &mut Tensor,
    ) -> Result<(), EngineError> {
        predict(self.network(GraphName::Denoiser), latent, hint, t, noise)
    }

    fn decode(&mut self, latent: &Tensor, reconstruction: &mut Tensor) -> Result<(), EngineError> {
        let inputs = view(latent).map(|latent| [latent]);
        self.network(GraphName::Decoder).run(inputs, std::slice::from_mut(reconstruction))
    }

    fn features(&mut self, pair: &Tensor, layers: &mut [Tensor]) -> Result<(), EngineError> {
        let inputs = view(pair).map(|pair| [pair]);
        self.network(GraphName::Features).run(inputs, layers)
    }

    fn latent_shapes(&self) -> Option<LatentShapes> {
        self.latent.as_ref().map(|(_, shapes)| *shapes)
    }

    fn run_latent(&mut self, call: LatentCall<'_>) -> Option<Result<(), EngineError>> {
        let ([encoder, hinter, denoiser], _) = self.latent.as_mut()?;
        Some(match call {
            LatentCall::Encode { patches, out } => {
                encoder.run(view(patches).map(|patches| [patches]), std::slice::from_mut(out))
            }
            LatentCall::Hint { patches, out } => {
                hinter.run(view(patches).map(|patches| [patches]), std::slice::from_mut(out))
            }
            LatentCall::PredictNoise { latent, hint, t, out } => predict(denoiser, latent, hint, t, out),
        })
    }
}

/// The error and all its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
