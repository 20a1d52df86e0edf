//! The parts that a person should look at first: where the scores are most wrong.

use diad_capture::read_image;
use diad_core::score::Score;
use image::RgbImage;

use super::error::EvalError;
use super::measure::{Evaluation, Scored, inspect};
use crate::model::Model;
use crate::picture::{self, HeatScale};

/// How many parts of each sort are shown.
pub const SHOWN: usize = 6;

/// A part with its pictures.
#[derive(Debug)]
pub struct Example<'a> {
    /// Its product.
    pub product: &'a str,
    /// The part.
    pub part: &'a Scored,
    /// The best cut-off of its product.
    pub cut: f32,
    /// As the networks saw it.
    pub photo: RgbImage,
    /// With the heat map over it; the brightest colour is half as much again as the cut-off.
    pub overlay: RgbImage,
}

impl Example<'_> {
    /// True if the part is on the wrong side of the cut-off.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        (self.part.score >= self.cut) != self.part.defective
    }
}

/// A part that may be shown: its product's name, the part, and the product's best cut-off.
type Candidate<'a> = (&'a str, &'a Scored, f32);

/// The defective parts with the lowest scores.
///
/// # Errors
/// A picture that could be read a moment ago cannot be any more.
pub fn misses<'a>(evaluation: &'a Evaluation, model: &mut Model) -> Result<Vec<Example<'a>>, EvalError> {
    pictured(worst(evaluation, true), model)
}

/// The good parts with the highest scores.
///
/// # Errors
/// As [`misses`].
pub fn false_alarms<'a>(evaluation: &'a Evaluation, model: &mut Model) -> Result<Vec<Example<'a>>, EvalError> {
    pictured(worst(evaluation, false), model)
}

/// The worst first. Products are compared by the score's share of their own best cut-off; one without good parts or
/// without defects has none and is left out.
fn worst(evaluation: &Evaluation, defective: bool) -> Vec<Candidate<'_>> {
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for product in &evaluation.products {
        if let Some(cut) = product.best_cut() {
            let parts = product.parts.iter().filter(|part| part.defective == defective);
            candidates.extend(parts.map(|part| (product.name.as_str(), part, cut)));
        }
    }
    // A cut of 0 catches everything: every score is far above it.
    let share = |(_, part, cut): &Candidate<'_>| if *cut > 0.0 { part.score / cut } else { f32::MAX };
    candidates.sort_by(|a, b| share(a).total_cmp(&share(b)));
    if !defective {
        candidates.reverse();
    }
    candidates.truncate(SHOWN);
    candidates
}

/// Inspects the parts once more: cheaper than keeping the pictures of all.
fn pictured<'a>(candidates: Vec<Candidate<'a>>, model: &mut Model) -> Result<Vec<Example<'a>>, EvalError> {
    let spec = *model.inspector.input();
    let mut examples = Vec::with_capacity(candidates.len());
    for (product, part, cut) in candidates {
        let picture = read_image(&part.path)?;
        let inspection = inspect(model, &part.path, &picture, &mut ())?;
        let map = inspection.map;
        let scale = Score::try_new(cut).map_or_else(|_| HeatScale::of_map(map), HeatScale::around);
        let region = picture::region_in_model(inspection.region, &inspection.geometry, (map.width(), map.height()));
        let photo = picture::photo(inspection.input, &spec);
        let overlay = picture::overlay(&photo, map, scale, region);
        examples.push(Example { product, part, cut, photo, overlay });
    }
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::measure::{Latencies, ProductResult};
    use super::*;

    fn product(name: &str, scores: &[(f32, bool)]) -> ProductResult {
        let part = |&(score, defective): &(f32, bool)| Scored {
            path: PathBuf::from(format!("{score}")),
            kind: String::new(),
            defective,
            score,
        };
        ProductResult::new(name.to_owned(), scores.iter().map(part).collect(), &[], (1, 1), &[])
    }

    #[test]
    fn worst_compares_products_by_their_own_cut() {
        let evaluation = Evaluation {
            products: vec![
                product("low", &[(0.07, false), (0.08, false), (0.1, true), (0.1, true), (0.05, true)]),
                product("high", &[(0.1, false), (0.85, false), (1.0, true), (0.9, true)]),
                product("no goods", &[(0.001, true)]),
            ],
            latencies: Latencies::default(),
        };
        let told = |defective| {
            worst(&evaluation, defective).iter().map(|(name, part, _)| (*name, part.score)).collect::<Vec<_>>()
        };
        assert_eq!(told(true)[..2], [("low", 0.05), ("low", 0.1)]);
        assert_eq!(told(true).len(), 5);
        assert_eq!(told(false)[..2], [("high", 0.85), ("low", 0.08)]);
    }
}
