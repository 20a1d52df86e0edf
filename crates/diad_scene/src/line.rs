//! An endless line of parts.

use crate::dice::{Dice, derive};
use crate::{Defect, PartSpec, Product};

const DOMAIN: u64 = 0x4C49_4E45;

/// A seeded sequence of parts which can be asked for any index at once.
///
/// Products come in turn. Each index gets its own seed derived from the line's seed, so index `n` of seed `s` is
/// always the same part, and lines with different seeds share none.
#[derive(Debug, Clone)]
pub struct Line {
    seed: u64,
    products: Vec<Product>,
    defect_rate: f32,
}

impl Line {
    /// A line over `products` (all of them if the list is empty). `defect_rate` is the share of defective parts, in
    /// `0..=1`; values outside, and NaN, count as the nearest bound (NaN as 0).
    #[must_use]
    pub fn new(seed: u64, products: &[Product], defect_rate: f32) -> Self {
        let products = if products.is_empty() { Product::ALL.to_vec() } else { products.to_vec() };
        let defect_rate = if defect_rate.is_nan() { 0.0 } else { defect_rate.clamp(0.0, 1.0) };
        Self { seed, products, defect_rate }
    }

    /// The part at `index`, in constant time.
    #[must_use]
    pub fn part(&self, index: u64) -> PartSpec {
        let turn = usize::try_from(index % self.products.len() as u64).unwrap_or(0);
        let product = self.products[turn];
        let seed = derive(derive(self.seed, DOMAIN), index);
        let mut dice = Dice::new(derive(seed, DOMAIN));
        let defect: Option<Defect> = dice.chance(self.defect_rate).then(|| {
            let kinds = product.defects();
            kinds[dice.below(kinds.len())]
        });
        PartSpec { product, seed, defect }
    }

    /// The parts from `index` on, without end.
    pub fn parts_from(&self, index: u64) -> impl Iterator<Item = PartSpec> + '_ {
        (index..).map(|i| self.part(i))
    }
}
