//! What was learnt of the rendered products: banks of good patches and the cut-offs that belong to them, beside the model that
//! ships. A demonstration judges by them where the foundation is at hand, and by the model alone where it is not.
//!
//! ```text
//! <model>/learnt/thresholds.yaml                        as `diad learn` wrote it
//! <model>/learnt/products/<product>/<digest>.safetensors
//! ```
//!
//! `scripts/learn_rendered.sh` makes the folder.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tracing::info;

use crate::chain::chain;
use crate::learnt::Store;
use crate::model::Model;
use crate::thresholds::Watcher;
use crate::yaml::Fault;

/// The folder, in that of the model.
const FOLDER: &str = "learnt";
/// The cut-offs, each with its bank.
const THRESHOLDS: &str = "thresholds.yaml";

/// Watches a copy, in `file`, of what was learnt with this model, every bank ready; none, with a line in the log, if nothing
/// was learnt, or a foundation or a bank cannot be used.
pub fn watcher(model: &Model, file: &Path) -> Option<Watcher> {
    let folder = model.bundle.folder().join(FOLDER);
    let alone = |reason: &str| info!(%reason, "the model judges without what was learnt of the products");
    let text = match fs::read_to_string(folder.join(THRESHOLDS)) {
        Ok(text) => text,
        Err(error) => {
            alone(&format!("{}: {error}", folder.join(THRESHOLDS).display()));
            return None;
        }
    };
    let taken = || -> Result<Watcher, String> {
        let faults = |faults: Vec<Fault>| faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut watcher = Watcher::open(file).map_err(faults)?;
        let overlays = model.overlays(Some(Store::in_folder(&folder))).map_err(|error| chain(&error))?;
        watcher.equip(Arc::new(overlays)).map_err(faults)?;
        Ok(watcher)
    };
    match taken() {
        Ok(watcher) => {
            info!(folder = %folder.display(), "products are judged by what was learnt of them");
            Some(watcher)
        }
        Err(reason) => {
            alone(&reason);
            None
        }
    }
}
