//! Inspecting a whole data set, product by product.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diad_capture::{Picture, read_image};
use diad_core::event::WitnessScore;
use diad_core::frame::PixelsView;
use diad_core::inspector::{Inspection, Probe, Stage, Subject};
use diad_core::join::Joined;
use diad_core::judge::{Thresholds, Verdict, judge};
use diad_core::map::Mask;
use diad_core::metrics::Ranking;
use diad_core::name::ProductName;

use super::confusion::Confusion;
use super::curves::Curves;
use super::dataset::{Dataset, Masks, ProductSet, Sample};
use super::error::EvalError;
use super::figures::{Figures, Truth};
use super::shortcut::{self, Statistic, Statistics};
use super::sides::{SideResult, Sides};
use super::sureness::Sureness;
use super::truth::MaskReader;
use crate::command::region::Region;
use crate::model::Model;
use crate::percentile::Percentiles;
use crate::products::{OnUnknown, Products};
use crate::thresholds::ThresholdSet;
use crate::timing::{StageClock, ms};

/// What came out for one product.
#[derive(Debug)]
pub struct ProductResult {
    /// The product's name.
    pub name: String,
    /// Its thresholds, if some are in force.
    pub thresholds: Option<Thresholds>,
    /// Its figures.
    pub figures: Figures,
    /// What the figures are areas of.
    pub curves: Curves,
    /// How sure the figures are.
    pub sureness: Sureness,
    /// How well each witness would do alone, in the order of the record; empty if the diffusion model judged alone.
    pub witnesses: Vec<WitnessResult>,
    /// What some of the witnesses would come to; empty unless that was asked for.
    pub sides: Vec<SideResult>,
    /// What plain picture statistics outside the defects would score, where there are good and defective parts and masks.
    pub shortcut: Option<(Statistic, f64)>,
    /// Its parts, in the order of the data set.
    pub parts: Vec<Scored>,
    /// The scores in order, if there are good and defective ones.
    pub ranking: Option<Ranking>,
}

/// How well one witness of a product would do alone.
#[derive(Debug, Clone, PartialEq)]
pub struct WitnessResult {
    /// `diad`, `latent` or `bank:<foundation>`.
    pub name: Arc<str>,
    /// Its weight in the joined map, 0 to 1.
    pub weight: f64,
    /// AUROC of its own scores, if there are good and defective parts.
    pub image_auroc: Option<f64>,
}

/// One part and its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The picture.
    pub path: PathBuf,
    /// `good`, or the kind of defect.
    pub kind: String,
    /// Whether it is truly defective.
    pub defective: bool,
    /// How unlike the good ones it is.
    pub score: f32,
    /// What its product's thresholds say, if some are in force.
    pub verdict: Option<Verdict>,
    /// What each witness says, if several judged it.
    pub witnesses: Vec<WitnessScore>,
}

/// The parts of a product pixel by pixel, in the order of the data set; only where it is known which pixels are defect.
#[derive(Debug, Default)]
pub struct Marked {
    /// Width and height of the maps, in model pixels.
    pub size: (u32, u32),
    /// Maps and masks.
    pub maps: Vec<Truth>,
    /// Statistics outside the masks, and whether the part is defective.
    pub outside: Vec<(Statistics, bool)>,
}

/// Whether a part is judged by some of its witnesses as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// By all of them joined, and no others.
    None,
    /// By the diffusion model, by the banks, and by each witness alone.
    Witnesses,
}

/// How long the inspections took, in milliseconds; reading files is not in it.
#[derive(Debug, Default)]
pub struct Latencies {
    /// In the order of [`Stage::ALL`].
    stages: [Vec<f64>; Stage::ALL.len()],
    total: Vec<f64>,
}

/// What came out for the data set.
#[derive(Debug)]
pub struct Evaluation {
    /// By name.
    pub products: Vec<ProductResult>,
    /// Over all products.
    pub latencies: Latencies,
    /// The thresholds in force, if there are some.
    pub thresholds: Option<ThresholdSet>,
    /// The part of every picture that was looked at.
    pub region: Region,
    /// Products that neither thresholds nor model name, in words.
    pub strangers: Vec<String>,
    /// The witnesses of products that have them, by product.
    pub joined: BTreeMap<String, Arc<Joined>>,
}

impl ProductResult {
    /// Works out everything about the parts of a product.
    pub fn new(
        name: String,
        thresholds: Option<Thresholds>,
        joined: Option<&Joined>,
        parts: Vec<Scored>,
        marked: Option<&Marked>,
    ) -> Self {
        let ranking = Ranking::try_new(parts.iter().map(|part| (part.score, part.defective)));
        let maps = marked.map(|marked| &marked.maps[..]);
        let (figures, curves) = Figures::measure(&ranking, maps, marked.map_or((0, 0), |marked| marked.size));
        let sureness = Sureness::measure(&parts, maps, marked.map_or((0, 0), |marked| marked.size));
        let shortcut = marked.and_then(|marked| shortcut::strongest(&marked.outside));
        let witnesses = witnesses(joined, &parts);
        let (sides, ranking) = (Vec::new(), ranking.ok());
        Self { name, thresholds, figures, curves, sureness, witnesses, sides, shortcut, parts, ranking }
    }

    /// What the thresholds in force say of its parts, if there are some.
    #[must_use]
    pub fn confusion(&self) -> Option<Confusion> {
        self.thresholds.map(|_| Confusion::of(&self.parts))
    }

    /// Number of good and of defective parts.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let defective = self.parts.iter().filter(|part| part.defective).count();
        (self.parts.len() - defective, defective)
    }

    /// The cut-off with the best F1 on these very scores, the highest if there are several: what a line with
    /// perfectly set thresholds would cut at.
    #[must_use]
    pub fn best_cut(&self) -> Option<f32> {
        let ranking = self.ranking.as_ref()?;
        let mut best = (0.0, None);
        for cut in ranking.cuts() {
            let f1 = 2.0 * cut.caught as f64 / (cut.caught + cut.mistaken + ranking.bad()) as f64;
            if f1 > best.0 {
                best = (f1, Some(cut.value));
            }
        }
        best.1
    }
}

/// What each witness would come to by its own scores.
fn witnesses(joined: Option<&Joined>, parts: &[Scored]) -> Vec<WitnessResult> {
    let witnesses = joined.iter().flat_map(|joined| joined.witnesses()).enumerate();
    let own =
        |index: usize| parts.iter().filter_map(move |part| Some((part.witnesses.get(index)?.score, part.defective)));
    witnesses
        .map(|(index, witness)| WitnessResult {
            name: Arc::clone(witness.name()),
            weight: witness.share().weight(),
            image_auroc: Ranking::try_new(own(index).map(|(score, bad)| (score.get(), bad))).ok().map(|r| r.auroc()),
        })
        .collect()
}

impl Latencies {
    fn add(&mut self, total: Duration, stages: &[(Stage, Duration)]) {
        for (stage, time) in stages {
            self.stages[*stage as usize].push(ms(*time));
        }
        self.total.push(ms(total));
    }

    /// Median of the whole inspection, in milliseconds; none without parts.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        Some(Percentiles::of(self.total.clone())?.p50)
    }

    /// `total`, then every stage in order.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, Percentiles)> {
        let stages = Stage::ALL.into_iter().zip(&self.stages).map(|(stage, times)| (stage.as_str(), times));
        let all = std::iter::once(("total", &self.total)).chain(stages);
        all.filter_map(|(name, times)| Some((name, Percentiles::of(times.clone())?)))
    }
}

impl Evaluation {
    /// Inspects every part of a data set as the line would: the same `region` of the picture, under the mask of its
    /// product, by the product's `thresholds`. `done` is called after each. A defect that the mask hides is a miss.
    /// [`Apart::Witnesses`] judges each part by some of its witnesses as well.
    ///
    /// # Errors
    /// The first picture or mask that is not usable: a data set is measured whole or not at all.
    pub fn measure(
        model: &mut Model,
        dataset: Dataset,
        thresholds: Option<ThresholdSet>,
        region: Region,
        joined: BTreeMap<String, Arc<Joined>>,
        apart: Apart,
        mut done: impl FnMut(),
    ) -> Result<Self, EvalError> {
        let input = model.inspector.input();
        let size = (input.width(), input.height());
        let mut reader = MaskReader::try_new(size.0, size.1)?;
        let settings = model.bundle.method();
        let (map, rule) = (settings.map.clone(), settings.score);
        let mut latencies = Latencies::default();
        let mut products = Vec::with_capacity(dataset.products.len());
        for ProductSet { name, samples, masks } in dataset.products {
            let own = thresholds.as_ref().map(|set| set.for_product(product_name(&name).as_ref()));
            let joined = joined.get(&name).map(|joined| &**joined);
            let look = Look { region, subject: Subject { mask: mask_of(thresholds.as_ref(), &name), joined } };
            let mut sides = match (apart, joined) {
                (Apart::Witnesses, Some(joined)) => Some(Sides::of(joined, &map, rule, size)?),
                _ => None,
            };
            let mut parts = Vec::with_capacity(samples.len());
            let mut marked = (masks == Masks::Given || !samples.iter().any(Sample::is_defective))
                .then(|| Marked { size, ..Marked::default() });
            for sample in samples {
                let picture = read_image(&sample.path)?;
                let defective = sample.is_defective();
                let truth = match (&marked, &sample.mask) {
                    (None, _) => None,
                    (Some(_), Some(mask)) => Some(reader.read(mask, &picture, region)?),
                    (Some(_), None) => Some(vec![false; size.0 as usize * size.1 as usize]),
                };
                let given = Given { path: &sample.path, picture: &picture, defective, truth: truth.as_deref() };
                let MeasuredPart { score, verdict, witnesses, map } =
                    judge_part(model, given, look, own, &mut latencies, sides.as_mut())?;
                if let (Some(marked), Some(mask)) = (&mut marked, truth) {
                    let pixels = view(&sample.path, &picture)?;
                    let outside = Statistics::outside(&pixels, region.in_picture(&pixels), &mask, size);
                    marked.outside.push((outside, defective));
                    marked.maps.push(Truth { map, mask });
                }
                parts.push(Scored { path: sample.path, kind: sample.kind, defective, score, verdict, witnesses });
                done();
            }
            let mut product = ProductResult::new(name, own, joined, parts, marked.as_ref());
            product.sides = sides.map_or_else(Vec::new, |sides| sides.results(marked.is_some(), size));
            products.push(product);
        }
        let known = Products::new(&model.bundle.manifest().products, OnUnknown::Default);
        let strangers = products
            .iter()
            .filter_map(|product: &ProductResult| match ProductName::try_new(&product.name) {
                Ok(name) => known.stranger(thresholds.as_ref(), &name),
                Err(error) => Some(format!("folder {} cannot be a product: {error}", product.name)),
            })
            .collect();
        Ok(Self { products, latencies, thresholds, region, strangers, joined })
    }

    /// How the pictures of a product were looked at.
    #[must_use]
    pub fn look(&self, product: &str) -> Look<'_> {
        let mask = mask_of(self.thresholds.as_ref(), product);
        let joined = self.joined.get(product).map(|joined| &**joined);
        Look { region: self.region, subject: Subject { mask, joined } }
    }

    /// Number of pictures.
    #[must_use]
    pub fn images(&self) -> usize {
        self.products.iter().map(|product| product.parts.len()).sum()
    }

    /// What the thresholds in force say of all parts, if there are some.
    #[must_use]
    pub fn confusion(&self) -> Option<Confusion> {
        self.products.iter().filter_map(ProductResult::confusion).reduce(|mut sum, more| {
            sum += more;
            sum
        })
    }
}

/// What came out for one part.
struct MeasuredPart {
    score: f32,
    verdict: Option<Verdict>,
    witnesses: Vec<WitnessScore>,
    map: Vec<f32>,
}

/// One part with its truth.
#[derive(Clone, Copy)]
struct Given<'a> {
    path: &'a Path,
    picture: &'a Picture,
    defective: bool,
    /// Which model pixels are defect, if that is known.
    truth: Option<&'a [bool]>,
}

fn judge_part(
    model: &mut Model,
    part: Given<'_>,
    look: Look<'_>,
    thresholds: Option<Thresholds>,
    latencies: &mut Latencies,
    sides: Option<&mut Sides>,
) -> Result<MeasuredPart, EvalError> {
    let mut clock = StageClock::default();
    let begin = Instant::now();
    let inspection = inspect(model, part.path, part.picture, look, &mut clock)?;
    let end = Instant::now();
    let stages: Vec<_> = clock.take(end).collect();
    latencies.add(end - begin, &stages);
    if let Some(sides) = sides {
        sides.judge(&inspection, look.subject.mask, part.defective, part.truth, &stages)?;
    }
    let verdict = thresholds.map(|own| judge(inspection.score, &own, |cut| inspection.area_at_least(cut)));
    Ok(MeasuredPart {
        score: inspection.score.get(),
        verdict,
        witnesses: inspection.witness_scores(),
        map: inspection.map.values().to_vec(),
    })
}

fn view<'a>(path: &Path, picture: &'a Picture) -> Result<PixelsView<'a>, EvalError> {
    picture.view().map_err(|source| EvalError::Pixels { path: path.to_owned(), source })
}

/// What of a picture is looked at, what of that counts, and who judges it.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    region: Region,
    subject: Subject<'a>,
}

fn product_name(name: &str) -> Option<ProductName> {
    ProductName::try_new(name).ok()
}

fn mask_of<'a>(thresholds: Option<&'a ThresholdSet>, product: &str) -> &'a Mask {
    thresholds.map_or(Mask::EVERYTHING, |set| set.mask(product_name(product).as_ref()))
}

/// Inspects one picture.
pub fn inspect<'a>(
    model: &'a mut Model,
    path: &Path,
    picture: &Picture,
    look: Look<'_>,
    probe: &mut impl Probe,
) -> Result<Inspection<'a>, EvalError> {
    let pixels = view(path, picture)?;
    model
        .inspector
        .inspect_as(&look.subject, pixels, look.region.in_picture(&pixels), probe)
        .map_err(|source| EvalError::Inspect { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use diad_core::metrics::Interval;

    use super::*;

    #[test]
    fn best_cut_catches_what_stands_out() {
        let part = |score, defective| Scored {
            path: PathBuf::new(),
            kind: String::new(),
            defective,
            score,
            verdict: None,
            witnesses: Vec::new(),
        };
        let parts = vec![part(0.1, false), part(0.2, false), part(0.3, true), part(0.15, false), part(0.9, true)];
        let result = ProductResult::new("a".to_owned(), None, None, parts, None);
        assert_eq!(result.best_cut(), Some(0.3));
        assert_eq!(result.counts(), (3, 2));
        let intervals = result.sureness.intervals();
        assert_eq!(intervals.image, Some(Interval { low: 1.0, high: 1.0 }));
        assert_eq!((intervals.pixel, intervals.aupro), (None, None));
    }
}
