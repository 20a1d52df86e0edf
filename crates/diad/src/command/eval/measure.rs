//! Inspecting a whole data set, product by product.

use std::path::{Path, PathBuf};
use std::time::Instant;

use diad_capture::{Picture, read_image};
use diad_core::inspector::{Inspection, Probe, Stage};
use diad_core::metrics::{Bootstrap, Interval, Ranking};

use super::dataset::{Dataset, ProductSet, Sample};
use super::error::EvalError;
use super::figures::{Figures, Truth};
use super::shortcut::{self, Statistic, Statistics};
use super::truth::MaskReader;
use crate::model::Model;
use crate::percentile::Percentiles;
use crate::timing::{StageClock, ms};

/// What came out for one product.
#[derive(Debug)]
pub struct ProductResult {
    /// The product's name.
    pub name: String,
    /// Its figures.
    pub figures: Figures,
    /// How sure the AUROCs are.
    pub sureness: Sureness,
    /// What plain picture statistics outside the defects would score, where there are good and defective parts.
    pub shortcut: Option<(Statistic, f64)>,
    /// Its parts, in the order of the data set.
    pub parts: Vec<Scored>,
    /// The scores in order, if there are good and defective ones.
    pub ranking: Option<Ranking>,
}

/// AUROCs of data sets drawn from a product's parts; empty where the figure is not defined.
#[derive(Debug, Default)]
pub struct Sureness {
    image: Vec<f64>,
    pixel: Vec<f64>,
}

/// Data sets drawn for an interval, and what they are seeded with.
const DRAWS: usize = 1000;
const SEED: u64 = 1;
/// What the intervals hold.
pub const CONFIDENCE: f64 = 0.95;

impl Sureness {
    fn measure(parts: &[Scored], maps: &[Truth]) -> Self {
        let draws = |drawn: Result<Bootstrap, _>| drawn.map_or_else(|_| Vec::new(), |drawn| drawn.aurocs(DRAWS, SEED));
        Self {
            image: draws(Bootstrap::of_scores(parts.iter().map(|part| (part.score, part.defective)))),
            pixel: draws(Bootstrap::of_maps(maps.iter().map(|truth| (&truth.map[..], &truth.mask[..])))),
        }
    }

    /// The interval of the image AUROC.
    #[must_use]
    pub fn image(&self) -> Option<Interval> {
        Interval::of(self.image.clone(), CONFIDENCE)
    }

    /// The interval of the pixel AUROC.
    #[must_use]
    pub fn pixel(&self) -> Option<Interval> {
        Interval::of(self.pixel.clone(), CONFIDENCE)
    }

    /// The same for the mean over products: their k-th data sets belong together.
    #[must_use]
    pub fn of_mean(products: &[ProductResult]) -> (Option<Interval>, Option<Interval>) {
        let mean = |values: fn(&Self) -> &[f64]| {
            let drawn = products.iter().map(|product| values(&product.sureness));
            let drawn: Vec<&[f64]> = drawn.filter(|drawn| !drawn.is_empty()).collect();
            let draws = drawn.iter().map(|drawn| drawn.len()).min().unwrap_or(0);
            let mean = |k: usize| drawn.iter().map(|drawn| drawn[k]).sum::<f64>() / drawn.len() as f64;
            Interval::of((0..draws).map(mean).collect(), CONFIDENCE)
        };
        (mean(|sureness| &sureness.image), mean(|sureness| &sureness.pixel))
    }
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
}

impl ProductResult {
    /// Works out everything about the parts of a product; maps and statistics are in their order.
    pub fn new(
        name: String,
        parts: Vec<Scored>,
        maps: &[Truth],
        size: (u32, u32),
        statistics: &[(Statistics, bool)],
    ) -> Self {
        let ranking = Ranking::try_new(parts.iter().map(|part| (part.score, part.defective)));
        let figures = Figures::measure(&ranking, maps, size);
        let sureness = Sureness::measure(&parts, maps);
        Self { name, figures, sureness, shortcut: shortcut::strongest(statistics), parts, ranking: ranking.ok() }
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

impl Latencies {
    fn add(&mut self, begin: Instant, end: Instant, clock: &mut StageClock) {
        for (stage, time) in clock.take(end) {
            self.stages[stage as usize].push(ms(time));
        }
        self.total.push(ms(end - begin));
    }

    /// `total`, then every stage in order.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, Percentiles)> {
        let stages = Stage::ALL.into_iter().zip(&self.stages).map(|(stage, times)| (stage.as_str(), times));
        let all = std::iter::once(("total", &self.total)).chain(stages);
        all.filter_map(|(name, times)| Some((name, Percentiles::of(times.clone())?)))
    }
}

impl Evaluation {
    /// Inspects every part of a data set; `done` is called after each.
    ///
    /// # Errors
    /// The first picture or mask that is not usable: a data set is measured whole or not at all.
    pub fn measure(model: &mut Model, dataset: Dataset, mut done: impl FnMut()) -> Result<Self, EvalError> {
        let input = model.inspector.input();
        let size = (input.width(), input.height());
        let mut masks = MaskReader::try_new(size.0, size.1)?;
        let mut latencies = Latencies::default();
        let mut products = Vec::with_capacity(dataset.products.len());
        for ProductSet { name, samples } in dataset.products {
            let (mut parts, mut maps) = (Vec::with_capacity(samples.len()), Vec::with_capacity(samples.len()));
            let mut statistics = Vec::with_capacity(samples.len());
            for sample in samples {
                let (part, truth, outside) = measure_part(model, &mut masks, size, sample, &mut latencies)?;
                statistics.push((outside, part.defective));
                parts.push(part);
                maps.push(truth);
                done();
            }
            products.push(ProductResult::new(name, parts, &maps, size, &statistics));
        }
        Ok(Self { products, latencies })
    }

    /// Number of pictures.
    #[must_use]
    pub fn images(&self) -> usize {
        self.products.iter().map(|product| product.parts.len()).sum()
    }
}

fn measure_part(
    model: &mut Model,
    masks: &mut MaskReader,
    size: (u32, u32),
    sample: Sample,
    latencies: &mut Latencies,
) -> Result<(Scored, Truth, Statistics), EvalError> {
    let picture = read_image(&sample.path)?;
    let mut clock = StageClock::default();
    let begin = Instant::now();
    let inspection = inspect(model, &sample.path, &picture, &mut clock)?;
    latencies.add(begin, Instant::now(), &mut clock);
    let (score, map) = (inspection.score.get(), inspection.map.values().to_vec());
    let mask = match &sample.mask {
        Some(mask) => masks.read(mask, &picture)?,
        None => vec![false; map.len()],
    };
    let defective = sample.is_defective();
    let pixels = picture.view().map_err(|source| EvalError::Pixels { path: sample.path.clone(), source })?;
    let outside = Statistics::outside(&pixels, &mask, size);
    Ok((Scored { path: sample.path, kind: sample.kind, defective, score }, Truth { map, mask }, outside))
}

/// Inspects one picture whole.
pub fn inspect<'a>(
    model: &'a mut Model,
    path: &Path,
    picture: &Picture,
    probe: &mut impl Probe,
) -> Result<Inspection<'a>, EvalError> {
    let pixels = picture.view().map_err(|source| EvalError::Pixels { path: path.to_owned(), source })?;
    model
        .inspector
        .inspect(pixels, pixels.full(), probe)
        .map_err(|source| EvalError::Inspect { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_cut_catches_what_stands_out() {
        let part = |score, defective| Scored { path: PathBuf::new(), kind: String::new(), defective, score };
        let parts = vec![part(0.1, false), part(0.2, false), part(0.3, true), part(0.15, false), part(0.9, true)];
        let result = ProductResult::new("a".to_owned(), parts, &[], (1, 1), &[]);
        assert_eq!(result.best_cut(), Some(0.3));
        assert_eq!(result.counts(), (3, 2));
        assert_eq!(result.sureness.image(), Some(Interval { low: 1.0, high: 1.0 }));
        assert_eq!(result.sureness.pixel(), None);
    }
}
