//! `diad inspect`: judges single images.
//!
//! An image that cannot be judged is reported with its reason and the others are judged all the same; the exit code
//! tells that there was one.

mod dump;
mod error;
mod finding;
mod names;

use std::io;
use std::path::Path;

use diad_capture::read_image;
use diad_core::inspector::{Inspection, Subject};
use diad_core::judge::{Thresholds, judge};
use diad_core::map::Mask;
use diad_core::prepare::InputSpec;
use serde::Serialize;

use self::dump::Dump;
pub use self::error::InspectionError;
use self::finding::{Fault, Finding};
use crate::cli::InspectArgs;
use crate::files::{self, FileError};
use crate::learnt::Witnesses;
use crate::model::{Model, ModelSpec};
use crate::output;
use crate::picture::{self, HeatScale};
use crate::settings::Variable;
use crate::thresholds::ThresholdSet;

/// Judges every image, by the thresholds and mask of the product, else the default ones, of the file if one is given;
/// without one there is a score of the whole picture and no verdict.
///
/// # Errors
/// [`InspectionError::Images`] if an image could not be judged; all others before the first image, or because a file
/// cannot be written.
pub fn run(args: &InspectArgs, variables: &[Variable]) -> Result<(), InspectionError> {
    let thresholds =
        args.thresholds.as_deref().map(ThresholdSet::load).transpose().map_err(InspectionError::Thresholds)?;
    for folder in args.out.iter().chain(&args.dump) {
        files::make_folder(folder)?;
    }
    let mut model = Model::load(&ModelSpec::of_folder(&args.model), variables)?;
    let of_model = (&model.bundle, &model.foundations, model.digest);
    let product = args.product.as_ref();
    let joined = Witnesses::of(of_model, None, thresholds.as_ref(), variables)?.of_product(product)?;
    let mask = thresholds.as_ref().map_or(Mask::EVERYTHING, |set| set.mask(product));
    let subject = Subject { mask, joined: joined.as_deref() };
    let cuts = thresholds.as_ref().map(|set| set.for_product(product));
    let width = args.images.iter().map(|path| path.to_string_lossy().chars().count()).max().unwrap_or(0);
    let mut findings = Vec::with_capacity(args.images.len());
    for (path, name) in args.images.iter().zip(names::distinct(&args.images)) {
        let finding = inspect(&mut model, path, &name, (&subject, cuts), args)?;
        if !args.json {
            output::print(&finding.line(width))?;
        }
        findings.push(finding);
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    if args.json {
        let document = InspectDocument { model: model.digest.to_string(), images: &findings, errors };
        let text = serde_json::to_string_pretty(&document).map_err(io::Error::from)?;
        output::print(&format!("{text}\n"))?;
    }
    if errors == 0 { Ok(()) } else { Err(InspectionError::Images { errors, images: findings.len() }) }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct InspectDocument<'a> {
    model: String,
    images: &'a [Finding],
    errors: usize,
}

/// Judges one image and writes what was asked for.
fn inspect(
    model: &mut Model,
    path: &Path,
    name: &str,
    (subject, thresholds): (&Subject<'_>, Option<Thresholds>),
    args: &InspectArgs,
) -> Result<Finding, FileError> {
    let unjudged = |fault: &Fault| Ok(Finding::unjudged(path, fault, thresholds));
    let image = match read_image(path) {
        Ok(image) => image,
        Err(error) => return unjudged(&Fault::Read(error)),
    };
    let pixels = match image.view() {
        Ok(pixels) => pixels,
        Err(error) => return unjudged(&Fault::Pixels(error)),
    };
    let alone = args.images.len() == 1;
    let mut dump = Dump::new(args.dump.as_ref().map(|dir| if alone { dir.clone() } else { dir.join(name) }))?;
    let spec = *model.inspector.input();
    let inspected = model.inspector.inspect_as(subject, pixels, pixels.full(), &mut dump);
    dump.finish(inspected.as_ref().ok().map(|inspection| inspection.score))?;
    let inspection = match inspected {
        Ok(inspection) => inspection,
        Err(error) => return unjudged(&Fault::Inspect(error)),
    };
    if let Some(dir) = &args.out {
        write_pictures(dir, name, &inspection, &spec, thresholds)?;
    }
    let judged = thresholds
        .map(|thresholds| (judge(inspection.score, &thresholds, |cut| inspection.area_at_least(cut)), thresholds));
    let witnesses = inspection.witness_scores();
    Ok(Finding::scored(path, inspection.score, inspection.region, judged).with_witnesses(&witnesses))
}

fn write_pictures(
    dir: &Path,
    name: &str,
    inspection: &Inspection<'_>,
    spec: &InputSpec,
    thresholds: Option<Thresholds>,
) -> Result<(), FileError> {
    let Inspection { map, geometry, region, .. } = inspection;
    let scale = match &thresholds {
        Some(thresholds) => HeatScale::of_thresholds(thresholds),
        None => HeatScale::of_map(map),
    };
    let region = picture::region_in_model(*region, geometry, (map.width(), map.height()));
    let input = picture::photo(inspection.input, spec);
    let file = |what: &str| dir.join(format!("{name}_{what}.png"));
    files::write_png(&file("reconstruction"), &picture::photo(inspection.reconstruction, spec))?;
    files::write_png(&file("heatmap"), &picture::heat_map(map, scale))?;
    files::write_png(&file("overlay"), &picture::overlay(&input, map, scale, region))
}
