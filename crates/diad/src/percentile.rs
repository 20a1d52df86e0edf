//! Percentiles of measured times, shared by every command that reports some.

use serde_json::{Value, json};

/// What a set of measurements looks like. All values carry the unit of the measurements.
///
/// Percentiles are nearest-rank: the smallest measurement that at least that share of all measurements does not
/// exceed. Each is therefore a value that was really measured, and `p50 ≤ p90 ≤ p99 ≤ max` always holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

impl Percentiles {
    /// Percentiles of the measurements, in any order; none without measurements.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let max = *values.last()?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let at = |percent| values[rank(values.len(), percent)];
        Some(Self { p50: at(50), p90: at(90), p99: at(99), mean, max })
    }

    /// All five as a JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self { p50, p90, p99, mean, max } = self;
        json!({ "p50": p50, "p90": p90, "p99": p99, "mean": mean, "max": max })
    }
}

/// Index of the nearest-rank percentile among `count` sorted values, `count ≥ 1`. In whole numbers, so that 90 % of
/// ten is exactly nine.
const fn rank(count: usize, percent: usize) -> usize {
    (count * percent).div_ceil(100) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_is_none() {
        assert_eq!(Percentiles::of(Vec::new()), None);
    }

    #[test]
    fn of_one_value_is_that_value() {
        let one = Percentiles::of(vec![3.5]).unwrap();
        assert_eq!(one, Percentiles { p50: 3.5, p90: 3.5, p99: 3.5, mean: 3.5, max: 3.5 });
    }

    #[test]
    fn of_hundred_values_takes_the_nearest_rank() {
        let all = Percentiles::of((1..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!(all, Percentiles { p50: 50.0, p90: 90.0, p99: 99.0, mean: 50.5, max: 100.0 });
    }

    #[test]
    fn of_ten_values_rounds_the_rank_up() {
        let all = Percentiles::of((1..=10).map(f64::from).collect()).unwrap();
        assert_eq!(all, Percentiles { p50: 5.0, p90: 9.0, p99: 10.0, mean: 5.5, max: 10.0 });
    }
}
