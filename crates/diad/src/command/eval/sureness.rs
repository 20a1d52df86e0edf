//! How sure the figures of a product are.

use diad_core::metrics::{Bootstrap, Interval, MaskedMap, OverlapBootstrap};

use super::figures::Truth;
use super::measure::Scored;

/// Data sets drawn for an interval, and what they are seeded with.
const DRAWS: usize = 1000;
const SEED: u64 = 1;
/// What the intervals hold.
pub const CONFIDENCE: f64 = 0.95;

/// Figures of data sets drawn from a product's parts; empty where the figure is not defined.
#[derive(Debug, Default)]
pub struct Sureness {
    image: Vec<f64>,
    pixel: Vec<f64>,
    overlap: Vec<f64>,
}

/// How sure the three figures are that have intervals.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Intervals {
    /// That of the image AUROC.
    pub image: Option<Interval>,
    /// That of the pixel AUROC.
    pub pixel: Option<Interval>,
    /// That of AUPRO.
    pub aupro: Option<Interval>,
}

impl Sureness {
    /// Draws parts again: their scores, and their maps of `size` (width, height) with the truth, if that is known.
    pub fn measure(parts: &[Scored], maps: Option<&[Truth]>, size: (u32, u32)) -> Self {
        let scores = parts.iter().map(|part| (part.score, part.defective));
        Self::of_scores(scores, maps, size)
    }

    /// The same for scores without their parts.
    pub fn of_scores<'a>(
        scores: impl IntoIterator<Item = (f32, bool)>,
        maps: Option<&'a [Truth]>,
        size: (u32, u32),
    ) -> Self {
        let pixels = |truth: &'a Truth| (&truth.map[..], &truth.mask[..]);
        let draws = |drawn: Result<Bootstrap, _>| drawn.map_or_else(|_| Vec::new(), |drawn| drawn.aurocs(DRAWS, SEED));
        let maps = maps.unwrap_or_default();
        let masked = maps.iter().map(|truth| MaskedMap::try_new(size.0, size.1, &truth.map, &truth.mask));
        let overlap = masked.collect::<Result<Vec<_>, _>>().and_then(|masked| OverlapBootstrap::of_maps(&masked));
        Self {
            image: draws(Bootstrap::of_scores(scores)),
            pixel: draws(Bootstrap::of_maps(maps.iter().map(pixels))),
            overlap: overlap.map_or_else(|_| Vec::new(), |drawn| drawn.aupros(DRAWS, SEED)),
        }
    }

    /// The intervals of this product.
    #[must_use]
    pub fn intervals(&self) -> Intervals {
        let of = |draws: &Vec<f64>| Interval::of(draws.clone(), CONFIDENCE);
        Intervals { image: of(&self.image), pixel: of(&self.pixel), aupro: of(&self.overlap) }
    }

    /// The same for the mean over products: their k-th data sets belong together.
    #[must_use]
    pub fn of_mean(products: &[&Self]) -> Intervals {
        let mean = |values: fn(&Self) -> &[f64]| {
            let drawn = products.iter().map(|product| values(product));
            let drawn: Vec<&[f64]> = drawn.filter(|drawn| !drawn.is_empty()).collect();
            let draws = drawn.iter().map(|drawn| drawn.len()).min().unwrap_or(0);
            let mean = |k: usize| drawn.iter().map(|drawn| drawn[k]).sum::<f64>() / drawn.len() as f64;
            Interval::of((0..draws).map(mean).collect(), CONFIDENCE)
        };
        Intervals {
            image: mean(|sureness| &sureness.image),
            pixel: mean(|sureness| &sureness.pixel),
            aupro: mean(|sureness| &sureness.overlap),
        }
    }
}
