//! The parts that a person should look at first: where the scores are most wrong.

use diad_capture::read_image;
use diad_core::judge::Verdict;
use diad_core::score::Score;
use image::RgbImage;

use super::error::EvalError;
use super::measure::{Evaluation, ProductResult, Scored, inspect};
use crate::model::Model;
use crate::picture::{self, HeatScale};

/// How many parts of each sort are shown.
pub const SHOWN: usize = 6;

/// Which mistakes are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// A defective part that passes.
    Miss,
    /// A good part that is thrown out.
    FalseReject,
}

/// What a score is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// The score it lies at.
    pub at: f32,
}

/// A part with its pictures, all of the model's size.
#[derive(Debug)]
pub struct Example<'a> {
    /// Its product.
    pub product: &'a str,
    /// The part.
    pub part: &'a Scored,
    /// The line that decides about it.
    pub line: Line,
    /// Whether it is on the wrong side of the line.
    pub wrong: bool,
    /// As the networks saw it.
    pub photo: RgbImage,
    /// What the networks made of it.
    pub reconstruction: RgbImage,
    /// Its anomaly map; the brightest colour is half as much again as the reject line, or the line if there is none.
    pub heat_map: RgbImage,
    /// The map over the photograph.
    pub overlay: RgbImage,
}

impl Mistake {
    /// True if such a part is defective in truth.
    const fn is_defective(self) -> bool {
        matches!(self, Self::Miss)
    }

    /// The line of a product that decides whether a part is such a mistake: a threshold in force, else the cut-off with
    /// the best F1, which a product without good parts or without defects does not have.
    pub fn line(self, product: &ProductResult) -> Option<Line> {
        match (&product.thresholds, self) {
            (Some(own), Self::Miss) => Some(Line { name: "review line", at: own.review().get() }),
            (Some(own), Self::FalseReject) => Some(Line { name: "reject line", at: own.reject().get() }),
            (None, _) => product.best_cut().map(|at| Line { name: "best cut-off", at }),
        }
    }

    /// True if the part, which has the truth in question, is such a mistake.
    fn is_made(self, part: &Scored, line: Line) -> bool {
        match (part.verdict, self) {
            (Some(verdict), Self::Miss) => verdict == Verdict::Pass,
            (Some(verdict), Self::FalseReject) => verdict == Verdict::Reject,
            (None, Self::Miss) => part.score < line.at,
            (None, Self::FalseReject) => part.score >= line.at,
        }
    }
}

/// A part that may be shown.
type Candidate<'a> = (&'a ProductResult, &'a Scored, Line);

/// The parts that are nearest to a mistake or farthest into it, at most [`SHOWN`], with their pictures.
///
/// # Errors
/// A picture that could be read a moment ago cannot be any more.
pub fn worst<'a>(
    evaluation: &'a Evaluation,
    mistake: Mistake,
    model: &mut Model,
) -> Result<Vec<Example<'a>>, EvalError> {
    let spec = *model.inspector.input();
    let mut examples = Vec::with_capacity(SHOWN);
    // Inspected once more: cheaper than keeping the pictures of all.
    for (product, part, line) in candidates(evaluation, mistake) {
        let picture = read_image(&part.path)?;
        let inspection = inspect(model, &part.path, &picture, evaluation.look(&product.name), &mut ())?;
        let map = inspection.map;
        let scale = match &product.thresholds {
            Some(own) => HeatScale::of_thresholds(own),
            None => Score::try_new(line.at).map_or_else(|_| HeatScale::of_map(map), HeatScale::around),
        };
        let region = picture::region_in_model(inspection.region, &inspection.geometry, (map.width(), map.height()));
        let photo = picture::photo(inspection.input, &spec);
        examples.push(Example {
            product: &product.name,
            part,
            line,
            wrong: mistake.is_made(part, line),
            reconstruction: picture::photo(inspection.reconstruction, &spec),
            heat_map: picture::heat_map(map, scale),
            overlay: picture::overlay(&photo, map, scale, region),
            photo,
        });
    }
    Ok(examples)
}

/// How many mistakes there are in all.
#[must_use]
pub fn count(evaluation: &Evaluation, mistake: Mistake) -> usize {
    all(evaluation, mistake).filter(|(_, part, line)| mistake.is_made(part, *line)).count()
}

/// The parts of the truth in question of every product that has a line.
fn all(evaluation: &Evaluation, mistake: Mistake) -> impl Iterator<Item = Candidate<'_>> {
    evaluation.products.iter().filter_map(move |product| Some((product, mistake.line(product)?))).flat_map(
        move |(product, line)| {
            let parts = product.parts.iter().filter(move |part| part.defective == mistake.is_defective());
            parts.map(move |part| (product, part, line))
        },
    )
}

/// The worst first: mistakes before others, then by the score's share of the line, so that products can be compared.
fn candidates(evaluation: &Evaluation, mistake: Mistake) -> Vec<Candidate<'_>> {
    let mut candidates: Vec<Candidate<'_>> = all(evaluation, mistake).collect();
    // A line at 0 catches everything: every score is far above it.
    let share = |part: &Scored, line: Line| if line.at > 0.0 { part.score / line.at } else { f32::MAX };
    candidates.sort_by(|(_, a, to_a), (_, b, to_b)| {
        let rising = share(a, *to_a).total_cmp(&share(b, *to_b));
        let worse = if mistake.is_defective() { rising } else { rising.reverse() };
        mistake.is_made(b, *to_b).cmp(&mistake.is_made(a, *to_a)).then(worse)
    });
    candidates.truncate(SHOWN);
    candidates
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use diad_core::judge::{Thresholds, judge};

    use super::super::measure::Latencies;
    use super::*;
    use crate::command::region::Region;

    fn score(value: f32) -> Score {
        Score::try_new(value).unwrap()
    }

    fn product(name: &str, cuts: Option<(f32, f32)>, scores: &[(f32, bool)]) -> ProductResult {
        let thresholds = cuts.map(|(review, reject)| Thresholds::try_new(score(review), score(reject), 0).unwrap());
        let part = |&(value, defective): &(f32, bool)| Scored {
            path: PathBuf::from(format!("{value}")),
            kind: String::new(),
            defective,
            score: value,
            verdict: thresholds.map(|own| judge(score(value), &own, |_| 0.0)),
            witnesses: Vec::new(),
        };
        ProductResult::new(name.to_owned(), thresholds, None, scores.iter().map(part).collect(), None)
    }

    fn evaluation(products: Vec<ProductResult>) -> Evaluation {
        Evaluation {
            products,
            latencies: Latencies::default(),
            thresholds: None,
            region: Region::WHOLE,
            strangers: Vec::new(),
            joined: BTreeMap::new(),
        }
    }

    fn told(evaluation: &Evaluation, mistake: Mistake) -> Vec<(&str, f32)> {
        candidates(evaluation, mistake).iter().map(|(product, part, _)| (&*product.name, part.score)).collect()
    }

    #[test]
    fn candidates_without_thresholds_are_compared_by_their_products_own_cut() {
        let evaluation = evaluation(vec![
            product("low", None, &[(0.07, false), (0.08, false), (0.1, true), (0.1, true), (0.05, true)]),
            product("high", None, &[(0.1, false), (0.85, false), (1.0, true), (0.9, true)]),
            product("no goods", None, &[(0.001, true)]),
        ]);
        let misses = told(&evaluation, Mistake::Miss);
        assert_eq!(misses[..2], [("low", 0.05), ("low", 0.1)]);
        assert_eq!((misses.len(), count(&evaluation, Mistake::Miss)), (5, 1));
        assert_eq!(told(&evaluation, Mistake::FalseReject)[..2], [("high", 0.85), ("low", 0.08)]);
        assert_eq!(count(&evaluation, Mistake::FalseReject), 0);
    }

    #[test]
    fn candidates_with_thresholds_are_held_against_review_and_reject() {
        let evaluation = evaluation(vec![
            product("strict", Some((0.1, 0.2)), &[(0.15, false), (0.25, false), (0.05, true), (0.12, true)]),
            product("lax", Some((0.6, 0.9)), &[(0.3, false), (0.5, true)]),
            product("good only", Some((0.1, 0.2)), &[(0.4, false)]),
        ]);
        assert_eq!(told(&evaluation, Mistake::Miss), [("strict", 0.05), ("lax", 0.5), ("strict", 0.12)]);
        assert_eq!(count(&evaluation, Mistake::Miss), 2);
        assert_eq!(
            told(&evaluation, Mistake::FalseReject),
            [("good only", 0.4), ("strict", 0.25), ("strict", 0.15), ("lax", 0.3)]
        );
        assert_eq!(count(&evaluation, Mistake::FalseReject), 2);
    }
}
