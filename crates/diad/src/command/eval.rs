//! `diad eval`: measures a model on a data set in the layout of MVTec-AD.

mod comparison;
mod confusion;
mod curves;
mod dataset;
mod document;
mod error;
mod examples;
mod figures;
mod json;
mod measure;
mod plot;
mod report;
mod shortcut;
mod sides;
mod sureness;
mod truth;

use std::collections::BTreeMap;
use std::sync::Arc;

use diad_core::join::Joined;
use diad_core::name::ProductName;
use indicatif::{ProgressBar, ProgressStyle};

use self::comparison::{Comparison, Measured};
use self::dataset::Dataset;
pub use self::dataset::DatasetError;
pub use self::error::EvalError;
use self::measure::{Apart, Evaluation};
use crate::cli::EvalArgs;
use crate::command::region::{Region, RegionError};
use crate::files;
use crate::learnt::{WitnessError, Witnesses};
use crate::model::{Model, ModelSpec};
use crate::output;
use crate::settings::Variable;
use crate::thresholds::ThresholdSet;

/// Measures the model, writes the report if one is asked for, and prints the figures.
///
/// # Errors
/// [`EvalError`]. A picture that cannot be read ends it: figures of the others would be figures of another data set.
pub fn run(args: &EvalArgs, variables: &[Variable]) -> Result<(), EvalError> {
    let thresholds = args.thresholds.as_deref().map(ThresholdSet::load).transpose().map_err(EvalError::Thresholds)?;
    let region = Region::of(&args.camera, variables)?;
    let dataset = Dataset::scan(&args.dataset)?;
    if let Some(folder) = &args.out {
        files::make_folder(folder)?;
    }
    let spec = ModelSpec::meant(args.model.as_deref(), args.camera.config.as_deref(), variables)
        .map_err(RegionError::Settings)?;
    let compares = args.witnesses || !args.compare.is_empty();
    let ground = Ground {
        args,
        variables,
        region,
        thresholds: thresholds.as_ref(),
        apart: if compares { Apart::Witnesses } else { Apart::None },
    };
    let (mut model, evaluation) = ground.measure(&spec, dataset, thresholds.as_ref())?;
    let digest = model.digest.to_string();
    let mut measured = vec![Measured { folder: spec.folder.display().to_string(), digest: digest.clone(), evaluation }];
    for folder in &args.compare {
        let spec = ModelSpec { folder: folder.clone(), steps: None, ..spec.clone() };
        let failed = |source| EvalError::Compared { folder: folder.clone(), source: Box::new(source) };
        // Thresholds name banks that were learnt with another model.
        let (other, evaluation) = ground.measure(&spec, Dataset::scan(&args.dataset)?, None).map_err(failed)?;
        let (folder, digest) = (folder.display().to_string(), other.digest.to_string());
        measured.push(Measured { folder, digest, evaluation });
    }
    let comparison = compares.then(|| Comparison::of(&measured));
    let Some(Measured { evaluation, .. }) = measured.first() else { return Ok(()) };
    let document = json::document(evaluation, args, &digest, comparison.as_ref());
    if let Some(folder) = &args.out {
        let page = report::render(evaluation, args, &mut model, comparison.as_ref())?;
        files::write(&folder.join("report.html"), page.as_bytes())?;
        files::write(&folder.join("report.json"), document.as_bytes())?;
    }
    output::print(&if args.json { document } else { document::text(evaluation, comparison.as_ref()) })?;
    Ok(())
}

/// What every model of a run is measured with.
struct Ground<'a> {
    args: &'a EvalArgs,
    variables: &'a [Variable],
    region: Region,
    thresholds: Option<&'a ThresholdSet>,
    apart: Apart,
}

impl Ground<'_> {
    /// Measures a model; a product is judged by the bank that `banks` names for it, without them as it was learnt on this machine.
    fn measure(
        &self,
        spec: &ModelSpec,
        dataset: Dataset,
        banks: Option<&ThresholdSet>,
    ) -> Result<(Model, Evaluation), EvalError> {
        let mut model = Model::load(spec, self.variables)?;
        let of_model = (&model.bundle, &model.foundations, model.digest);
        let witnesses = Witnesses::of(of_model, self.args.camera.config.as_deref(), banks, self.variables)?;
        let joined = joined(&witnesses, &dataset)?;
        // Drawn on standard error, and only if that is a terminal.
        let bar = ProgressBar::new(dataset.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} images, {eta} left") {
            bar.set_style(style);
        }
        let (thresholds, region) = (self.thresholds.cloned(), self.region);
        let evaluation =
            Evaluation::measure(&mut model, dataset, thresholds, region, joined, self.apart, || bar.inc(1))?;
        bar.finish_and_clear();
        Ok((model, evaluation))
    }
}

/// The witnesses of every product of the data set that has some.
fn joined(witnesses: &Witnesses<'_>, dataset: &Dataset) -> Result<BTreeMap<String, Arc<Joined>>, WitnessError> {
    let mut joined = BTreeMap::new();
    for product in &dataset.products {
        let name = ProductName::try_new(&product.name).ok();
        joined.extend(witnesses.of_product(name.as_ref())?.map(|own| (product.name.clone(), own)));
    }
    Ok(joined)
}
