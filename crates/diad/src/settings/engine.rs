//! The `engine` section.

use std::path::PathBuf;

use diad_engine::Provider;

use crate::yaml::Item;

/// Most denoising steps that may be asked for; how many there can be, the bundle says.
pub(super) const MAX_STEPS: u32 = 1000;

/// The networks and what computes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Folder of the model bundle.
    pub model: PathBuf,
    /// What computes the networks.
    pub provider: Provider,
    /// Denoising steps, 1 to 1000; none takes the bundle's own list.
    pub steps: Option<u32>,
    /// Threads of the CPU provider, 1 to 256; none takes one per core.
    pub threads: Option<u32>,
    /// Path of `libonnxruntime.so`; none searches for it.
    pub library: Option<PathBuf>,
    /// Folder of all foundations; none searches for it.
    pub foundations: Option<PathBuf>,
}

pub(super) fn section(item: Item<'_>) -> Option<Engine> {
    let keys = item.mapping()?.only(&["model", "provider", "steps", "threads", "library", "foundations"]);
    let model = keys.get("model").file_path();
    let provider = keys
        .get("provider")
        .choice(&[Provider::Auto, Provider::Cpu, Provider::Cuda, Provider::TensorRt].map(|p| (p.as_str(), p)));
    let steps = keys.get("steps").nullable(|item| item.whole(1..=MAX_STEPS));
    let threads = keys.get("threads").nullable(|item| item.whole(1..=256));
    let library = keys.get("library").nullable(|item| item.file_path());
    let foundations = keys.get("foundations").nullable(|item| item.file_path());
    Some(Engine {
        model: model?,
        provider: provider?,
        steps: steps?,
        threads: threads?,
        library: library?,
        foundations: foundations?,
    })
}
