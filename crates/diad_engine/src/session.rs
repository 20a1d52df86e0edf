//! One network, loaded and held to the manifest.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use diad_core::tensor::Tensor;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::error::EngineError;
use crate::manifest::{Dim, Dtype, Graph, GraphName, TensorSpec};
use crate::provider::Provider;
use crate::runtime::Runtime;

/// The number asked for, else one per core that this process may use.
pub(crate) fn threads(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// A session builder with the settings that all networks share.
pub(crate) fn builder(runtime: &Runtime, provider: Provider, threads: NonZeroUsize) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_parallel_execution(false)?
        .with_inter_threads(1)?
        .with_intra_threads(threads.get())?
        // Five sessions take turns on the same cores: threads that spin while they wait take them from the next session.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_deterministic_compute(true)?
        .with_execution_providers(provider.registration())?;
    Ok(builder)
}

/// A loaded network whose inputs and outputs are the manifest's.
#[derive(Debug)]
pub(crate) struct Network {
    name: GraphName,
    session: Session,
    /// Place of each of the manifest's outputs among the session's, and its name.
    outputs: Vec<(usize, String)>,
}

impl Network {
    /// Loads a graph and refuses it unless its inputs and outputs are those of the manifest.
    pub(crate) fn load(
        name: GraphName,
        graph: &Graph,
        folder: &Path,
        mut builder: SessionBuilder,
    ) -> Result<Self, EngineError> {
        let path: PathBuf = folder.join(graph.file.as_path());
        let session =
            builder.commit_from_file(&path).map_err(|source| EngineError::Load { graph: name, path, source })?;
        // Inputs are passed by place, so their order counts; outputs are looked up by name, once, here.
        let inputs = names(session.inputs());
        let wanted: Vec<&str> = graph.inputs.iter().map(|spec| spec.name.as_str()).collect();
        if inputs != wanted {
            return Err(EngineError::names(name, "inputs", &inputs, &wanted));
        }
        for (outlet, spec) in session.inputs().iter().zip(&graph.inputs) {
            check_outlet(name, outlet, spec)?;
        }
        let found = names(session.outputs());
        let mut outputs = Vec::with_capacity(graph.outputs.len());
        for spec in &graph.outputs {
            let Some(place) = found.iter().position(|name| *name == spec.name) else {
                let wanted: Vec<&str> = graph.outputs.iter().map(|spec| spec.name.as_str()).collect();
                return Err(EngineError::names(name, "outputs", &found, &wanted));
            };
            check_outlet(name, &session.outputs()[place], spec)?;
            outputs.push((place, spec.name.clone()));
        }
        Ok(Self { name, session, outputs })
    }

    /// Runs the network on `inputs`, in the manifest's order, and writes its outputs over `outs`.
    pub(crate) fn run<'a, const N: usize>(
        &mut self,
        inputs: ort::Result<[SessionInputValue<'a>; N]>,
        outs: &mut [Tensor],
    ) -> Result<(), EngineError> {
        let graph = self.name;
        let run = |source| EngineError::Run { graph, source };
        if outs.len() != self.outputs.len() {
            return Err(EngineError::Outputs { graph, got: outs.len(), want: self.outputs.len() });
        }
        let values = self.session.run(inputs.map_err(run)?).map_err(run)?;
        for ((place, name), out) in self.outputs.iter().zip(outs) {
            copy(graph, &values, *place, name, out)?;
        }
        Ok(())
    }
}

/// Copies one output, once, refusing another shape and numbers that are not finite.
fn copy(
    graph: GraphName,
    values: &SessionOutputs<'_>,
    place: usize,
    name: &str,
    out: &mut Tensor,
) -> Result<(), EngineError> {
    let (shape, data) =
        values[place].try_extract_tensor::<f32>().map_err(|source| EngineError::Run { graph, source })?;
    let want = out.shape();
    if !shape.iter().copied().eq(want.iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX))) {
        return Err(EngineError::Shape { graph, output: name.to_owned(), want, got: shape.to_vec() });
    }
    if let Some(index) = data.iter().position(|value| !value.is_finite()) {
        return Err(EngineError::NonFinite { graph, output: name.to_owned(), index, value: data[index] });
    }
    out.data_mut().copy_from_slice(data);
    Ok(())
}

fn names(outlets: &[Outlet]) -> Vec<&str> {
    outlets.iter().map(Outlet::name).collect()
}

/// Refuses an input or output of another type or shape than the manifest says. An extent that the graph leaves open is
/// taken on trust here: every run checks it.
fn check_outlet(graph: GraphName, outlet: &Outlet, spec: &TensorSpec) -> Result<(), EngineError> {
    let element = match spec.dtype {
        Dtype::Float32 => TensorElementType::Float32,
        Dtype::Int64 => TensorElementType::Int64,
    };
    let agrees = |(extent, dim): (&i64, &Dim)| match dim {
        Dim::Batch => *extent == -1,
        Dim::Fixed(want) => *extent == -1 || usize::try_from(*extent) == Ok(*want),
    };
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. }
            if *ty == element && shape.len() == spec.shape.0.len() && shape.iter().zip(&spec.shape.0).all(agrees) =>
        {
            Ok(())
        }
        other => Err(EngineError::Contract {
            graph,
            tensor: spec.name.clone(),
            got: other.to_string(),
            want: format!("{:?} {}", spec.dtype, spec.shape),
        }),
    }
}
