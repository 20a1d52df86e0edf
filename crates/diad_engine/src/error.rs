//! What can go wrong between the method and the networks.

use std::path::PathBuf;

use diad_core::tensor::Shape;

use crate::manifest::GraphName;
use crate::provider::{Provider, ProviderError};

/// A network that cannot be loaded, or whose answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The provider asked for does not work here.
    #[error("choose a provider")]
    Provider(#[from] ProviderError),
    /// A provider asked for by name works here, but not for these networks: another process may have its memory.
    #[error("provider {provider} does not run these networks here")]
    Refused {
        /// The provider.
        provider: Provider,
        /// What it says.
        #[source]
        source: Box<EngineError>,
    },
    /// The library does not take the graph.
    #[error("graph {graph}: load {path}", path = .path.display())]
    Load {
        /// The graph.
        graph: GraphName,
        /// Its file.
        path: PathBuf,
        /// The library's reason.
        #[source]
        source: ort::Error,
    },
    /// The graph's inputs or outputs have other names than the manifest says.
    #[error("graph {graph}: {side} are {got}, manifest says {want}; export the bundle again")]
    Names {
        /// The graph.
        graph: GraphName,
        /// `inputs` or `outputs`.
        side: &'static str,
        /// Names in the graph.
        got: String,
        /// Names in the manifest.
        want: String,
    },
    /// An input or output of the graph has another type or shape than the manifest says.
    #[error("graph {graph}: {tensor:?} is {got}, manifest says {want}; export the bundle again")]
    Contract {
        /// The graph.
        graph: GraphName,
        /// Name of the input or output.
        tensor: String,
        /// Type and shape in the graph.
        got: String,
        /// Type and shape in the manifest.
        want: String,
    },
    /// The first run, on a grey image, failed.
    #[error("warm up the networks")]
    WarmUp(#[source] Box<EngineError>),
    /// A run failed inside the library.
    #[error("graph {graph}: run")]
    Run {
        /// The graph.
        graph: GraphName,
        /// The library's reason.
        #[source]
        source: ort::Error,
    },
    /// The caller has room for another number of outputs than the graph has.
    #[error("graph {graph} has {want} outputs, room was given for {got}")]
    Outputs {
        /// The graph.
        graph: GraphName,
        /// Tensors given.
        got: usize,
        /// Outputs of the graph.
        want: usize,
    },
    /// An output came in another shape than the method has room for.
    #[error("graph {graph}: output {output:?} has shape {got:?}, expected {want:?}")]
    Shape {
        /// The graph.
        graph: GraphName,
        /// Name of the output.
        output: String,
        /// Shape expected.
        want: Shape,
        /// Shape that came.
        got: Vec<i64>,
    },
    /// An output holds NaN or an infinity.
    #[error("graph {graph}: output {output:?} is {value} at value {index}")]
    NonFinite {
        /// The graph.
        graph: GraphName,
        /// Name of the output.
        output: String,
        /// Flat index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
}

impl EngineError {
    /// Faults of the library on a provider that is not the CPU are the machine's, which may pass: its memory is full, a
    /// driver is missing. On the CPU they are the bundle's.
    pub(crate) fn on(self, provider: Provider) -> Self {
        let is_library = match &self {
            Self::Load { .. } => true,
            Self::WarmUp(error) => matches!(**error, Self::Run { .. }),
            _ => false,
        };
        match provider {
            Provider::Cuda | Provider::TensorRt if is_library => Self::Refused { provider, source: Box::new(self) },
            _ => self,
        }
    }

    pub(crate) fn names(graph: GraphName, side: &'static str, got: &[&str], want: &[&str]) -> Self {
        Self::Names { graph, side, got: got.join(", "), want: want.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_gpu_the_librarys_faults_are_the_machines_and_the_bundles_stay_the_bundles() {
        // Its errors are the library's own.
        crate::runtime::Runtime::load(&[]).unwrap();
        let run =
            || EngineError::Run { graph: GraphName::Decoder, source: ort::Error::new("CUDA failure 2: out of memory") };
        let warm_up = |error| EngineError::WarmUp(Box::new(error));
        let names = || EngineError::names(GraphName::Decoder, "inputs", &["a"], &["b"]);
        assert!(matches!(warm_up(run()).on(Provider::Cuda), EngineError::Refused { provider: Provider::Cuda, .. }));
        assert!(matches!(warm_up(run()).on(Provider::Cpu), EngineError::WarmUp(_)));
        assert!(matches!(warm_up(names()).on(Provider::TensorRt), EngineError::WarmUp(_)));
        assert!(matches!(names().on(Provider::Cuda), EngineError::Names { .. }));
    }
}
