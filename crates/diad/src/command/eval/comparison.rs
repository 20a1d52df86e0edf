//! Several models, and the witnesses of each, on one data set: what each reaches, and what it costs.

use std::collections::BTreeSet;

use diad_core::metrics::{Curve, Interval};
use serde_json::{Map, Value, json};

use super::curves::{CurveKind, Curves};
use super::figures::{Figure, Figures, mean};
use super::json::{curve, intervals};
use super::measure::Evaluation;
use super::sides::Side;
use super::sureness::{Intervals, Sureness};
use crate::percentile::Percentiles;

/// What is compared.
pub const COMPARED: [Figure; 3] = [Figure::ImageAuroc, Figure::PixelAuroc, Figure::Aupro];
/// ROC points are given for these.
const CURVES: [CurveKind; 2] = [CurveKind::ImageRoc, CurveKind::PixelRoc];

/// A model that was measured.
pub struct Measured {
    /// Its folder, as it was named.
    pub folder: String,
    /// Its digest, `sha256:…`.
    pub digest: String,
    /// What came out.
    pub evaluation: Evaluation,
}

/// One product as one candidate judges it.
struct Row<'a> {
    product: &'a str,
    figures: &'a Figures,
    curves: &'a Curves,
    sureness: &'a Sureness,
}

/// A model with all its witnesses, or with some.
pub struct Candidate<'a> {
    model: &'a Measured,
    side: Side,
    rows: Vec<Row<'a>>,
    /// Median of a part, in milliseconds, on this machine in this run.
    ms: Option<f64>,
}

/// All candidates of a run, in the order in which they were named.
pub struct Comparison<'a> {
    candidates: Vec<Candidate<'a>>,
}

impl<'a> Comparison<'a> {
    /// Compares what was measured: each model as a whole, then some of its witnesses where products have several.
    #[must_use]
    pub fn of(models: &'a [Measured]) -> Self {
        let mut candidates = Vec::new();
        for model in models {
            let products = &model.evaluation.products;
            let whole = products.iter().map(|product| Row {
                product: &product.name,
                figures: &product.figures,
                curves: &product.curves,
                sureness: &product.sureness,
            });
            let (rows, ms) = (whole.collect(), model.evaluation.latencies.median());
            candidates.push(Candidate { model, side: Side::All, rows, ms });
            let sides: BTreeSet<&Side> = products.iter().flat_map(|p| &p.sides).map(|own| &own.side).collect();
            for side in sides {
                let own = || products.iter().flat_map(|p| p.sides.iter().map(move |own| (p, own)));
                let own = || own().filter(|(_, own)| own.side == *side);
                let rows = own().map(|(product, own)| Row {
                    product: &product.name,
                    figures: &own.figures,
                    curves: &own.curves,
                    sureness: &own.sureness,
                });
                let ms = Percentiles::of(own().flat_map(|(_, own)| own.ms.iter().copied()).collect());
                candidates.push(Candidate { model, side: side.clone(), rows: rows.collect(), ms: ms.map(|ms| ms.p50) });
            }
        }
        Self { candidates }
    }

    /// The candidates.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate<'a>] {
        &self.candidates
    }

    /// Which candidates no other one beats in time and in the mean of a figure: the Pareto front. Those take part whose time
    /// is known and that have the figure for as many products as any.
    #[must_use]
    pub fn front(&self, figure: Figure) -> Vec<bool> {
        let most = self.candidates.iter().map(|candidate| candidate.count(figure)).max().unwrap_or(0);
        let point = |candidate: &Candidate<'_>| {
            let complete = most > 0 && candidate.count(figure) == most;
            complete.then(|| Some((candidate.ms?, candidate.mean(figure)?))).flatten()
        };
        front(&self.candidates.iter().map(point).collect::<Vec<_>>())
    }

    /// Cells: a candidate a row, with the means, their intervals, the time of a part, and on which fronts it is.
    #[must_use]
    pub fn table(&self) -> Vec<Vec<String>> {
        let fronts = COMPARED.map(|figure| (figure, self.front(figure)));
        let heading =
            ["", "candidate", "classes"].into_iter().chain(COMPARED.map(Figure::title)).chain(["ms a part", "front"]);
        let mut rows = vec![heading.map(str::to_owned).collect::<Vec<_>>()];
        for (number, candidate) in self.candidates.iter().enumerate() {
            let mut row = vec![mark(number), candidate.name(), candidate.rows.len().to_string()];
            let Intervals { image, pixel, aupro } = candidate.intervals();
            let with_interval = |(figure, interval)| cell(candidate.mean(figure), interval);
            row.extend(
                [(Figure::ImageAuroc, image), (Figure::PixelAuroc, pixel), (Figure::Aupro, aupro)].map(with_interval),
            );
            row.push(candidate.ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}")));
            let on: Vec<&str> =
                fronts.iter().filter(|(_, front)| front[number]).map(|(figure, _)| figure.title()).collect();
            row.push(on.join(", "));
            rows.push(row);
        }
        rows
    }

    /// Cells of one figure: a product a row, a candidate a column.
    #[must_use]
    pub fn by_product(&self, figure: Figure) -> Vec<Vec<String>> {
        let mut products: Vec<&str> = Vec::new();
        for row in self.candidates.iter().flat_map(|candidate| &candidate.rows) {
            if !products.contains(&row.product) {
                products.push(row.product);
            }
        }
        let heading = std::iter::once(figure.title().to_owned()).chain((0..self.candidates.len()).map(mark));
        let mut rows = vec![heading.collect::<Vec<_>>()];
        for product in products {
            let own = self.candidates.iter().map(|candidate| {
                let row = candidate.rows.iter().find(|row| row.product == product);
                cell(row.and_then(|row| row.figures.get(figure).ok()), None)
            });
            rows.push(std::iter::once(product.to_owned()).chain(own).collect());
        }
        let means = self.candidates.iter().map(|candidate| cell(candidate.mean(figure), None));
        rows.push(std::iter::once("mean".to_owned()).chain(means).collect());
        rows
    }

    /// Every candidate for programs, and the fronts by figure, as places in the list of candidates.
    #[must_use]
    pub fn json(&self) -> Value {
        let fronts = COMPARED.map(|figure| {
            let on = self.front(figure).into_iter().enumerate().filter(|(_, on)| *on).map(|(place, _)| place);
            (figure.key().to_owned(), json!(on.collect::<Vec<_>>()))
        });
        json!({
            "candidates": self.candidates.iter().map(Candidate::json).collect::<Vec<_>>(),
            "pareto": fronts.into_iter().collect::<Map<_, _>>(),
        })
    }
}

impl Candidate<'_> {
    /// For people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}, {}", self.model.folder, self.side)
    }

    /// The mean of a figure over the products that have it.
    #[must_use]
    pub fn mean(&self, figure: Figure) -> Option<f64> {
        mean(self.rows.iter().map(|row| row.figures), figure)
    }

    /// The mean of a curve over the products that have it.
    #[must_use]
    pub fn curve(&self, kind: CurveKind) -> Option<Curve> {
        Curves::mean(self.rows.iter().map(|row| row.curves), kind)
    }

    /// How sure the means are.
    fn intervals(&self) -> Intervals {
        Sureness::of_mean(&self.rows.iter().map(|row| row.sureness).collect::<Vec<_>>())
    }

    /// How many products have a figure.
    fn count(&self, figure: Figure) -> usize {
        self.rows.iter().filter(|row| row.figures.get(figure).is_ok()).count()
    }

    fn json(&self) -> Value {
        let figures = |value: &dyn Fn(Figure) -> Option<f64>, sure: Intervals| -> Map<String, Value> {
            COMPARED
                .map(|figure| (figure.key().to_owned(), json!(value(figure))))
                .into_iter()
                .chain(intervals(sure))
                .collect()
        };
        let classes: Map<String, Value> = self
            .rows
            .iter()
            .map(|row| {
                let own = figures(&|figure| row.figures.get(figure).ok(), row.sureness.intervals());
                (row.product.to_owned(), own.into())
            })
            .collect();
        let mut means = figures(&|figure| self.mean(figure), self.intervals());
        let curves: Map<String, Value> =
            CURVES.map(|kind| (kind.key().to_owned(), curve(self.curve(kind).as_ref()))).into_iter().collect();
        means.insert("curves".to_owned(), curves.into());
        json!({
            "model": self.model.digest,
            "folder": self.model.folder,
            "judge": self.side.key(),
            "ms_p50": self.ms,
            "mean": means,
            "classes": classes,
        })
    }
}

/// How a candidate is marked in tables.
fn mark(number: usize) -> String {
    format!("[{}]", number + 1)
}

fn cell(value: Option<f64>, interval: Option<Interval>) -> String {
    match (value, interval) {
        (None, _) => "-".to_owned(),
        (Some(value), None) => format!("{value:.3}"),
        (Some(value), Some(Interval { low, high })) => format!("{value:.3} ({low:.3} to {high:.3})"),
    }
}

/// Which points, of time (less is better) and figure (more is better), no other point beats in one without being worse in the
/// other. A place without a point is on no front.
fn front(points: &[Option<(f64, f64)>]) -> Vec<bool> {
    let beaten = |(ms, value): (f64, f64)| {
        points
            .iter()
            .flatten()
            .any(|&(other_ms, other)| other_ms <= ms && other >= value && (other_ms < ms || other > value))
    };
    points.iter().map(|point| point.is_some_and(|point| !beaten(point))).collect()
}

/// Points of a plot: time, figure, and whether it is on the front; with the place of the candidate.
pub type Dot = (usize, f64, f64, bool);

impl Comparison<'_> {
    /// The candidates whose time and mean figure are known, for a plot.
    #[must_use]
    pub fn dots(&self, figure: Figure) -> Vec<Dot> {
        let front = self.front(figure);
        let dot = |(place, candidate): (usize, &Candidate<'_>)| {
            Some((place, candidate.ms?, candidate.mean(figure)?, front[place]))
        };
        self.candidates.iter().enumerate().filter_map(dot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_holds_what_nothing_beats_in_time_and_figure() {
        let points = [(100.0, 0.90), (50.0, 0.85), (60.0, 0.85), (120.0, 0.90), (200.0, 0.95), (40.0, 0.2)];
        let mut points: Vec<_> = points.map(Some).to_vec();
        points.push(None);
        assert_eq!(front(&points), [true, true, false, false, true, true, false]);
        // Two that are alike beat neither each other.
        assert_eq!(front(&[Some((1.0, 0.5)), Some((1.0, 0.5))]), [true, true]);
        assert_eq!(front(&[]), [false; 0]);
    }

    #[test]
    fn cell_has_the_interval_where_there_is_one() {
        assert_eq!(cell(None, None), "-");
        assert_eq!(cell(Some(0.5), Some(Interval { low: 0.25, high: 0.75 })), "0.500 (0.250 to 0.750)");
    }
}
