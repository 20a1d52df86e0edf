//! What computes the networks: the choice of an execution provider, and the proof that it works.

use std::fmt;
use std::str::FromStr;

use ort::ep::{self, ExecutionProviderDispatch};
use ort::value::TensorRef;

use crate::runtime::Runtime;
use crate::session;

/// What computes the networks, as the settings name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Provider {
    /// The fastest one that works here: TensorRT, else CUDA, else the CPU.
    #[default]
    Auto,
    /// The CPU; always works.
    Cpu,
    /// An NVIDIA GPU through CUDA and cuDNN.
    Cuda,
    /// An NVIDIA GPU through TensorRT, and through CUDA what TensorRT does not know.
    TensorRt,
}

/// A provider that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The text names no provider.
    #[error("provider {0:?} is not known, use auto, cpu, cuda or tensorrt")]
    Unknown(String),
    /// The provider does not work on this machine.
    #[error("provider {provider} does not work here")]
    Unavailable {
        /// The provider.
        provider: Provider,
        /// The library's reason.
        #[source]
        source: ort::Error,
    },
}

impl Provider {
    /// Every provider that is one: all but `auto`.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::TensorRt];

    /// The name in the settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// The providers to try first, best first, and the one that must work if none of them does.
    pub(crate) const fn candidates(self) -> (&'static [Self], Self) {
        match self {
            Self::Auto => (&[Self::TensorRt, Self::Cuda], Self::Cpu),
            named => (&[], named),
        }
    }

    /// What to register with a session. Without `error_on_failure` a provider that does not load is dropped in silence
    /// and the CPU does its work.
    pub(crate) fn registration(self) -> Vec<ExecutionProviderDispatch> {
        // The default search times the algorithms and may choose others at the next start, and TF32 rounds products to
        // ten bits: with either the same pixels would not keep their score.
        let cuda = || {
            let options = ep::CUDA::default().with_tf32(false);
            options.with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic).build().error_on_failure()
        };
        match self {
            Self::Auto | Self::Cpu => Vec::new(),
            Self::Cuda => vec![cuda()],
            Self::TensorRt => vec![ep::TensorRT::default().build().error_on_failure(), cuda()],
        }
    }

    /// Whether the provider really works here: it runs a one-layer network on it, with no way back to the CPU. (The
    /// library's own list of available providers says only which ones it was compiled with.) `Auto` works if the CPU does.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`] with the library's reason.
    pub fn probe(self, runtime: &Runtime) -> Result<(), ProviderError> {
        run_probe(runtime, self).map_err(|source| ProviderError::Unavailable { provider: self, source })
    }
}

/// One 3×3 convolution, `[N, 1, 8, 8]` to `[N, 1, 8, 8]`; made by `tests/fixtures/make_micro.py`.
const PROBE_GRAPH: &[u8] = include_bytes!("provider/probe.onnx");

fn run_probe(runtime: &Runtime, provider: Provider) -> ort::Result<()> {
    let mut builder = session::builder(runtime, provider, std::num::NonZeroUsize::MIN)?;
    if !provider.registration().is_empty() {
        builder = builder.with_disable_cpu_fallback()?;
    }
    let mut session = builder.commit_from_memory(PROBE_GRAPH)?;
    let picture = [0.5_f32; 64];
    let input = TensorRef::from_array_view(([1_usize, 1, 8, 8], &picture[..]))?;
    let outputs = session.run(ort::inputs![input])?;
    outputs[0].try_extract_tensor::<f32>().map(|_| ())
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = ProviderError;

    fn from_str(text: &str) -> Result<Self, ProviderError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "tensorrt" => Ok(Self::TensorRt),
            other => Err(ProviderError::Unknown(other.to_owned())),
        }
    }
}

/// Which provider an engine runs on, and why not on a better one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderChoice {
    /// The provider in use; never `Auto`.
    pub taken: Provider,
    /// Better providers that `Auto` tried before, each with the reason why it is not used.
    pub refused: Vec<(Provider, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_reads_what_it_prints_and_refuses_the_rest() {
        for provider in [Provider::Auto, Provider::Cpu, Provider::Cuda, Provider::TensorRt] {
            assert_eq!(provider.to_string().parse::<Provider>().unwrap(), provider);
        }
        for text in ["", "CUDA", "gpu", "cpu "] {
            assert!(matches!(text.parse::<Provider>(), Err(ProviderError::Unknown(got)) if got == text));
        }
    }
}
