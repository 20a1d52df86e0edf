//! The curves that AUROC, average precision and AUPRO are the areas of, with no more points than a drawing needs.

use crate::metrics::{Cut, Ranking};

/// A point of a curve; both coordinates are shares, `0..=1`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// What it costs, or for precision and recall what is caught.
    pub x: f64,
    /// What is gained.
    pub y: f64,
}

/// A line from left to right through at least two points. `x` never falls; where it stays, the line goes straight up or
/// down.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    points: Vec<Point>,
}

impl Curve {
    /// Receiver operating characteristic: the share of good ones caught by mistake (x) and that of bad ones caught (y) at
    /// every cut, from (0, 0) to (1, 1). Without thinning its area is [`Ranking::auroc`].
    ///
    /// It has about `most` points: those are left out that are nearer to the one before than `2 / most`, measured along
    /// the axes. `usize::MAX` leaves out none.
    #[must_use]
    pub fn roc(ranking: &Ranking, most: usize) -> Self {
        let (good, bad) = (ranking.good() as f64, ranking.bad() as f64);
        let point = |cut: Cut| Point { x: cut.mistaken as f64 / good, y: cut.caught as f64 / bad };
        Self::thinned(std::iter::once(Point::default()).chain(ranking.cuts().map(point)), 2.0 / most as f64)
    }

    /// Recall (x) and precision (y) in steps from recall 0 to 1: without interpolation, so that the area is
    /// [`Ranking::average_precision`], also with few points. It has at most `most + 2`: steps narrower than `2 / most`
    /// are joined at their mean height.
    #[must_use]
    pub fn precision_recall(ranking: &Ranking, most: usize) -> Self {
        let bad = ranking.bad();
        let least = 2.0 * bad as f64 / most as f64;
        let (mut points, mut begin, mut before, mut sum) = (Vec::new(), 0, 0, 0.0);
        for cut in ranking.cuts().filter(|cut| cut.caught > 0) {
            sum += (cut.caught - before) as f64 * cut.caught as f64 / (cut.caught + cut.mistaken) as f64;
            before = cut.caught;
            let width = (before - begin) as f64;
            if before > begin && (width >= least || before == bad) {
                points.extend([begin, before].map(|count| Point { x: count as f64 / bad as f64, y: sum / width }));
                (begin, sum) = (before, 0.0);
            }
        }
        Self { points }
    }

    /// Through these points, without those nearer to the one before than `step`; the first and the last one stay.
    pub(super) fn thinned(points: impl IntoIterator<Item = Point>, step: f64) -> Self {
        let (mut kept, mut skipped) = (Vec::<Point>::new(), None);
        for point in points {
            if kept.last().is_none_or(|last| distance(*last, point) >= step) {
                kept.push(point);
                skipped = None;
            } else {
                skipped = Some(point);
            }
        }
        kept.extend(skipped);
        Self { points: kept }
    }

    /// The mean height of curves over the same range of x; none without curves. Without thinning its area is the mean of
    /// their areas. It has about `most` points.
    #[must_use]
    pub fn mean(curves: &[&Self], most: usize) -> Option<Self> {
        if curves.is_empty() {
            return None;
        }
        let mut places: Vec<f64> = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.x)).collect();
        places.sort_unstable_by(f64::total_cmp);
        places.dedup();
        let mut points = Vec::with_capacity(2 * places.len());
        for x in places {
            let (before, after) = curves.iter().map(|curve| curve.heights(x)).fold((0.0, 0.0), |sum, heights| {
                (sum.0 + heights.0 / curves.len() as f64, sum.1 + heights.1 / curves.len() as f64)
            });
            points.extend([Point { x, y: before }, Point { x, y: after }]);
        }
        points.dedup();
        let length: f64 = points.windows(2).map(|pair| distance(pair[0], pair[1])).sum();
        Some(Self::thinned(points, length / most as f64))
    }

    /// Where the curve arrives at `x` and where it leaves from there.
    fn heights(&self, x: f64) -> (f64, f64) {
        let (from, to) = (self.points.partition_point(|p| p.x < x), self.points.partition_point(|p| p.x <= x));
        if let (Some(first), Some(last)) = (self.points[from..to].first(), self.points[from..to].last()) {
            return (first.y, last.y);
        }
        let (left, right) = (self.points[to.saturating_sub(1)], self.points[to.min(self.points.len() - 1)]);
        let width = right.x - left.x;
        let y = if width > 0.0 { left.y + (right.y - left.y) * (x - left.x) / width } else { left.y };
        (y, y)
    }

    /// Its points, from left to right.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The area below it, by the trapezoid rule.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.points.windows(2).map(|pair| (pair[1].x - pair[0].x) * f64::midpoint(pair[0].y, pair[1].y)).sum()
    }
}

/// The way between two points along the axes.
fn distance(a: Point, b: Point) -> f64 {
    (b.x - a.x).abs() + (b.y - a.y).abs()
}
