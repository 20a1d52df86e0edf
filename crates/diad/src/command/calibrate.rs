//! `diad calibrate`: thresholds from good parts, with a promise about the good parts to come.

mod error;
mod parts;
mod report;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::SystemTime;

use diad_capture::read_image;
use diad_core::drift::{Look, Reference};
use diad_core::event::Outcome;
use diad_core::frame::PixelsView;
use diad_core::inspector::Subject;
use diad_core::learning::{OUTLIER_SPREADS, far_above};
use diad_core::map::Mask;
use diad_core::name::ProductName;
use diad_core::score::Score;
use diad_core::tolerance::{Cut, ToleranceBound, ToleranceError, exact_interval};
use diad_ledger::{Mark, Moment, Reader, Span};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};
use similar::TextDiff;

use crate::cli::CalibrateArgs;
use crate::command::region::{Region, RegionError};
use crate::files;
use crate::learnt::{Site, Store};
use crate::model::{Model, ModelError, ModelSpec};
use crate::output;
use crate::products::{OnUnknown, Products, hint};
use crate::settings::Variable;
use crate::thresholds::edit::{BankEdit, Cuts, reference, with_cuts, written};
use crate::thresholds::{LoadWitnesses, ThresholdSet};
use crate::yaml::text;

pub use self::error::CalibrateError;
use self::parts::{Collection, Train};

/// How many times as many good parts may be looked at as may be thrown out, unless told otherwise.
const REVIEW_FACTOR: f64 = 10.0;
/// Most good parts that may be looked at, whatever the factor says.
const REVIEW_MOST: f64 = 0.5;
/// Doubtful parts that a warning names; `--json` names them all.
const MAX_LISTED_DOUBTFUL: usize = 10;

/// The scores of one product's parts.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    /// Of good parts, with where each came from.
    good: Vec<(f32, String)>,
    /// How good parts look; empty where only scores are on record.
    looks: Vec<Look>,
    /// Of parts with a defect.
    bad: Vec<f32>,
    /// How many good parts are there that models are trained on, taken or not.
    train: usize,
    /// Pictures that are copies of others, and do not count.
    copies: usize,
    /// What lies in the folders of good parts and was not taken.
    left_out: Vec<String>,
}

/// What came out for one product.
#[derive(Debug)]
struct Calibrated {
    product: ProductName,
    good: usize,
    review: (Score, Cut),
    reject: (Score, Cut),
    /// Defective parts below `review`, all of them, and the interval of the share that will be missed.
    missed: Option<(usize, usize, (f64, f64))>,
    /// What the drift guard compares the product with.
    reference: Reference,
    /// Good parts that look like none.
    doubtful: Vec<String>,
    /// Good parts of `train/good`, taken or not.
    train: usize,
    /// Pictures that are copies of others, and do not count.
    copies: usize,
    /// What lies in the folders of good parts and was not taken.
    left_out: Vec<String>,
}

/// What was asked, for the report and for the note in the file.
struct CalibrationBound<'a> {
    reject: &'a ToleranceBound,
    review: &'a ToleranceBound,
    /// Where the parts are from.
    source: &'a str,
    train: Train,
}

impl CalibrationBound<'_> {
    /// How many pictures of `train/good` there were, if any, and what was done with them.
    fn of_train(&self, found: &[Calibrated]) -> Option<(usize, &'static str)> {
        let count = found.iter().map(|calibrated| calibrated.train).sum();
        (count > 0).then(|| (count, self.train.as_str()))
    }
}

/// Finds the cut-offs, prints them, and writes them if told to.
///
/// # Errors
/// [`CalibrateError`]; nothing is written then.
pub fn run(args: &CalibrateArgs, variables: &[Variable]) -> Result<(), CalibrateError> {
    let reject = ToleranceBound::try_new(args.max_false_reject, args.confidence)?;
    let most = args.max_review.unwrap_or((args.max_false_reject * REVIEW_FACTOR).min(REVIEW_MOST));
    let review = ToleranceBound::try_new(most.max(args.max_false_reject), args.confidence)?;
    let (scores, source) = match (&args.dataset, &args.ledger) {
        (Some(folder), _) => of_folder(folder, args, variables)?,
        (None, Some(ledger)) => (of_ledger(ledger, args)?, ledger.display().to_string()),
        // The command line takes one of them.
        (None, None) => return Err(CalibrateError::NoParts),
    };
    if scores.is_empty() {
        return Err(CalibrateError::NoParts);
    }
    let train = Train::of(args);
    let mut refused = Vec::new();
    let mut found = Vec::new();
    for (product, scores) in scores {
        match calibrate(&product, &scores, &reject, &review) {
            Ok(calibrated) => found.push(calibrated),
            Err(CalibrateError::Tolerance(source @ ToleranceError::TooFew { .. }))
                if scores.train > 0 && train == Train::LeaveOut =>
            {
                refused.push((product, CalibrateError::LeftOut { train: scores.train, source }));
            }
            Err(CalibrateError::Tolerance(source)) if scores.copies > 0 => {
                refused.push((product, CalibrateError::Copies { copies: scores.copies, source }));
            }
            Err(error) => refused.push((product, error)),
        }
    }
    if !refused.is_empty() {
        return Err(CalibrateError::Refused { products: refused });
    }
    for calibrated in &found {
        if !calibrated.doubtful.is_empty() {
            let (parts, more) = calibrated.doubtful.split_at(calibrated.doubtful.len().min(MAX_LISTED_DOUBTFUL));
            tracing::warn!(product = %calibrated.product, ?parts, more = more.len(),
                "good parts with a score far above the others: look at them, a defect among them raises the threshold");
        }
    }
    let asked = CalibrationBound { reject: &reject, review: &review, source: &source, train };
    let diff = match &args.write {
        Some(file) => Some(write(file, &found, &asked, args.dry_run)?),
        None => None,
    };
    let text = if args.json {
        report::json(&found, &asked, diff.as_deref())
    } else {
        report::text(&found, &asked, diff.as_deref())
    };
    output::print(&text)?;
    Ok(())
}

fn calibrate(
    product: &ProductName,
    scores: &Scores,
    reject: &ToleranceBound,
    review: &ToleranceBound,
) -> Result<Calibrated, CalibrateError> {
    let good: Vec<f32> = scores.good.iter().map(|(score, _)| *score).collect();
    let cut = |bound: &ToleranceBound| -> Result<(Score, Cut), CalibrateError> {
        let cut = bound.cut(&good)?;
        let score = written(cut.at).ok_or(CalibrateError::OutOfRange { score: cut.at })?;
        Ok((score, cut))
    };
    let (reject, review) = (cut(reject)?, cut(review)?);
    let below = scores.bad.iter().filter(|score| **score < review.0.get()).count();
    let missed = (!scores.bad.is_empty()).then(|| {
        let interval = exact_interval(below, scores.bad.len(), CONFIDENCE_OF_MISSES);
        (below, scores.bad.len(), interval)
    });
    Ok(Calibrated {
        product: product.clone(),
        good: good.len(),
        review,
        reject,
        missed,
        reference: reference(scores.good.iter().map(|(score, _)| *score), scores.looks.iter().copied()),
        doubtful: doubtful(&scores.good),
        train: scores.train,
        copies: scores.copies,
        left_out: scores.left_out.clone(),
    })
}

/// What the interval of the miss rate holds.
const CONFIDENCE_OF_MISSES: f64 = 0.95;

/// Good parts that look like none: far above the others.
fn doubtful(good: &[(f32, String)]) -> Vec<String> {
    let scores: Vec<f32> = good.iter().map(|(score, _)| *score).collect();
    far_above(&scores, OUTLIER_SPREADS).into_iter().map(|part| good[part].1.clone()).collect()
}

/// The same for two pictures with the same pixels: copies of one part, which a promise must not count twice.
fn fingerprint(view: &PixelsView<'_>) -> [u8; 32] {
    let head = format!("{} {} {:?}\n", view.width(), view.height(), view.format());
    Sha256::new().chain_update(head).chain_update(view.data()).finalize().into()
}

/// Scores of pictures.
fn of_folder(
    folder: &Path,
    args: &CalibrateArgs,
    variables: &[Variable],
) -> Result<(BTreeMap<ProductName, Scores>, String), CalibrateError> {
    let region = Region::of(&args.camera, variables)?;
    let collection = Collection::scan(folder, Train::of(args))?;
    // A cut-off fits only the scores that the line will compute: of the camera's region, under the masks of the file it is
    // written to.
    let set = args
        .write
        .as_deref()
        .map(ThresholdSet::load)
        .transpose()
        .map_err(|faults| CalibrateError::of_faults(&faults))?;
    let spec = ModelSpec::meant(args.model.as_deref(), args.camera.config.as_deref(), variables)
        .map_err(RegionError::Settings)?;
    let mut model = Model::load(&spec, variables)?;
    let known = Products::new(&model.bundle.manifest().products, OnUnknown::Default);
    for product in &collection.products {
        if let Some(stranger) = known.stranger(set.as_ref(), &product.name) {
            tracing::warn!("{stranger}");
        }
    }
    let set = set.map(|set| with_banks(set, &model, args, variables)).transpose()?;
    let input = *model.inspector.input();
    let bar = ProgressBar::new(collection.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} images, {eta} left") {
        bar.set_style(style);
    }
    let mut scores = BTreeMap::new();
    for product in collection.products {
        let left_out = product.left_out.iter().map(|path| path.display().to_string()).collect();
        let mut of_product = Scores { train: product.train, left_out, ..Scores::default() };
        let mut seen = HashMap::new();
        let mask = set.as_ref().map_or(Mask::EVERYTHING, |set| set.mask(Some(&product.name)));
        let joined = set.as_ref().and_then(|set| set.joined(Some(&product.name)));
        for (path, good) in product.pictures {
            let failed = |error: &dyn std::error::Error| CalibrateError::Picture {
                path: path.clone(),
                reason: crate::chain::chain(error),
            };
            let picture = read_image(&path).map_err(|error| failed(&error))?;
            let view = picture.view().map_err(|error| failed(&error))?;
            bar.inc(1);
            match seen.entry(fingerprint(&view)) {
                Entry::Vacant(first) => _ = first.insert(good),
                Entry::Occupied(first) => {
                    if *first.get() != good {
                        tracing::warn!(picture = %path.display(), "the same picture is there as good and as defective");
                    }
                    of_product.copies += 1;
                    continue;
                }
            }
            let subject = Subject { mask, joined };
            let inspected = model.inspector.inspect_as(&subject, view, region.in_picture(&view), &mut ());
            let inspection = inspected.map_err(|error| failed(&error))?;
            let score = inspection.score.get();
            match good {
                true => {
                    of_product.good.push((score, path.display().to_string()));
                    of_product.looks.push(Look::of(inspection.input, &input));
                }
                false => of_product.bad.push(score),
            }
        }
        scores.insert(product.name, of_product);
    }
    bar.finish_and_clear();
    Ok((scores, format!("model {}", model.digest)))
}

/// The thresholds with the banks that they name, which make the scores that their cut-offs are for.
fn with_banks(
    set: ThresholdSet,
    model: &Model,
    args: &CalibrateArgs,
    variables: &[Variable],
) -> Result<ThresholdSet, CalibrateError> {
    let store = match &args.camera.config {
        Some(_) => Some(Site::of(args.camera.config.as_deref(), variables)?.store().clone()),
        None => Store::of_user(variables).ok(),
    };
    let overlays = model.overlays(store).map_err(ModelError::from)?;
    let judges = overlays.judges(&set).map_err(|faults| CalibrateError::of_faults(&faults))?;
    Ok(set.with(judges))
}

/// Scores of recorded parts, all of them taken for good but those that a person called bad.
fn of_ledger(ledger: &Path, args: &CalibrateArgs) -> Result<BTreeMap<ProductName, Scores>, CalibrateError> {
    let reader = Reader::open(ledger)?;
    let set = args.write.as_deref().map(ThresholdSet::load).transpose();
    let set = set.map_err(|faults| CalibrateError::of_faults(&faults))?;
    let mut scores: BTreeMap<ProductName, Scores> = BTreeMap::new();
    let mut scales: BTreeMap<ProductName, BTreeSet<bool>> = BTreeMap::new();
    let mut models = BTreeSet::new();
    let marks = reader.marks()?;
    for entry in reader.rows(Span { since: args.since, until: args.until }) {
        let Ok(stored) = entry? else { continue };
        let (Outcome::Judged(judgement), Some(product)) = (&stored.row.outcome, &stored.row.product) else { continue };
        // Scores with and without a bank are of two scales; those of the file's are meant.
        let by_bank = !stored.row.witnesses.is_empty();
        if set.as_ref().is_some_and(|set| set.bank(Some(product)).is_some() != by_bank) {
            continue;
        }
        scales.entry(product.clone()).or_default().insert(by_bank);
        models.insert(stored.row.origin.model);
        let score = (judgement.score.get(), stored.row.key.to_string());
        let of_product = scores.entry(product.clone()).or_default();
        match marks.get(&stored.id) {
            Some(Mark::TrueReject) => of_product.bad.push(score.0),
            Some(Mark::FalseReject) | None => of_product.good.push(score),
        }
    }
    if models.len() > 1 {
        return Err(CalibrateError::Models { models: models.len() });
    }
    if let Some((product, _)) = scales.into_iter().find(|(_, scales)| scales.len() > 1) {
        return Err(CalibrateError::Scales { product });
    }
    Ok(scores)
}

/// Names the products that the file has no thresholds for yet: one that is nearly called like another may be meant by it.
fn tell_new<'a>(set: &ThresholdSet, file: &Path, products: impl Iterator<Item = &'a ProductName>) {
    for product in products.filter(|product| !set.names(product)) {
        let file = file.display();
        let hint = hint(product.as_str(), set.products().map(ProductName::as_str));
        if hint.is_empty() {
            tracing::info!("product {product} is new in {file}");
        } else {
            tracing::warn!("product {product} is new in {file}{hint}");
        }
    }
}

/// Writes the cut-offs, unless it is only to be seen what would be written. Gives the difference.
fn write(
    file: &Path,
    found: &[Calibrated],
    asked: &CalibrationBound<'_>,
    dry_run: bool,
) -> Result<String, CalibrateError> {
    let name = file.to_string_lossy();
    let before = text::load(file).map_err(|fault| CalibrateError::of_faults(&[fault]))?;
    let cuts: BTreeMap<_, _> = found
        .iter()
        .map(|c| {
            let (review, reject, reference) = (c.review.0, c.reject.0, c.reference);
            (c.product.clone(), Cuts { review, reject, reference, bank: BankEdit::Keep })
        })
        .collect();
    if let Ok(set) = ThresholdSet::read(&before, &name) {
        tell_new(&set, file, cuts.keys());
    }
    let products: Vec<String> = found.iter().map(|c| format!("{} ({} good parts)", c.product, c.good)).collect();
    let now = Moment::from(SystemTime::now()).to_string();
    let CalibrationBound { reject, source, .. } = asked;
    let train = asked.of_train(found).map_or_else(String::new, |(_, done)| format!(", train/good {done}"));
    let note = format!(
        "{} diad calibrate: at most {} of good parts rejected, confidence {}, {source}{train}: {}",
        now.get(..10).unwrap_or_default(),
        reject.rate(),
        reject.confidence(),
        products.join(", "),
    );
    let after = with_cuts(&before, &name, &cuts, &note)
        .map_err(|error| CalibrateError::Thresholds { reason: error.to_string() })?;
    if !dry_run {
        files::replace(file, &after)?;
    }
    Ok(TextDiff::from_lines(&before, &after).unified_diff().context_radius(1).header(&name, &name).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubtful_names_the_part_that_is_unlike_the_others() {
        let mut good: Vec<(f32, String)> = (0..100).map(|i| (0.01 + i as f32 * 1e-4, format!("{i}.png"))).collect();
        assert!(doubtful(&good).is_empty());
        good.push((0.5, "scratch.png".to_owned()));
        assert_eq!(doubtful(&good), ["scratch.png"]);
        assert!(doubtful(&[(0.5, String::new())]).is_empty());
    }
}
