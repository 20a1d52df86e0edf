//! What can go wrong between the method and the networks.

use std::path::PathBuf;

use diad_core::tensor::Shape;

use crate::manifest::GraphName;
use crate::provider::ProviderError;

/// A network that cannot be loaded, or whose answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The provider asked for does not work here.
    #[error("choose a provider")]
    Provider(#[from] ProviderError),
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
    pub(crate) fn names(graph: GraphName, side: &'static str, got: &[&str], want: &[&str]) -> Self {
        Self::Names { graph, side, got: got.join(", "), want: want.join(", ") }
    }
}
