//! What is measured, part by part.

use std::time::Duration;

use diad_core::inspector::Stage;
use diad_engine::GraphName;

use super::timed::Call;
use crate::percentile::Percentiles;
use crate::timing::ms;

/// Times of many parts, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Samples {
    latency: Vec<f64>,
    outside: Vec<f64>,
    /// In the order of [`Stage::ALL`].
    stages: [Vec<f64>; Stage::ALL.len()],
    /// In the order of [`GraphName::ALL`].
    graphs: [Vec<f64>; GraphName::ALL.len()],
}

impl Samples {
    /// Adds a part: how long it took, and what of that went into which stage and network.
    pub(super) fn add(&mut self, whole: Duration, stages: impl Iterator<Item = (Stage, Duration)>, calls: &[Call]) {
        for (stage, time) in stages {
            self.stages[stage as usize].push(ms(time));
        }
        for (name, time) in calls {
            self.graphs[*name as usize].push(ms(*time));
        }
        let inside = calls.iter().map(|(_, time)| *time).sum();
        self.latency.push(ms(whole));
        self.outside.push(ms(whole.saturating_sub(inside)));
    }

    /// How many parts.
    pub(super) fn parts(&self) -> usize {
        self.latency.len()
    }

    /// From the first pixel to the score.
    pub(super) fn latency(&self) -> Option<Percentiles> {
        Percentiles::of(self.latency.clone())
    }

    /// What of a part's latency is not spent in networks.
    pub(super) fn outside(&self) -> Option<Percentiles> {
        Percentiles::of(self.outside.clone())
    }

    /// Share of all time that is not spent in networks, in `0..=1`; 0 if no time has passed.
    pub(super) fn share_outside(&self) -> f64 {
        let whole: f64 = self.latency.iter().sum();
        if whole > 0.0 { self.outside.iter().sum::<f64>() / whole } else { 0.0 }
    }

    /// The stages that were entered, in order.
    pub(super) fn stages(&self) -> impl Iterator<Item = (Stage, Percentiles)> {
        let all = Stage::ALL.into_iter().zip(&self.stages);
        all.filter_map(|(stage, times)| Some((stage, Percentiles::of(times.clone())?)))
    }

    /// The networks that were called, in order, with the number of calls; times are those of one call.
    pub(super) fn graphs(&self) -> impl Iterator<Item = (GraphName, usize, Percentiles)> {
        let all = GraphName::ALL.into_iter().zip(&self.graphs);
        all.filter_map(|(name, times)| Some((name, times.len(), Percentiles::of(times.clone())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn near(got: f64, want: f64) {
        // Times pass through seconds as `f64`: far closer than any clock.
        assert!((got - want).abs() < 1e-9, "{got} is not {want}");
    }

    #[test]
    fn order_of_stages_and_networks_is_that_of_their_lists() {
        assert!(Stage::ALL.into_iter().enumerate().all(|(place, stage)| stage as usize == place));
        assert!(GraphName::ALL.into_iter().enumerate().all(|(place, name)| name as usize == place));
    }

    #[test]
    fn share_outside_is_what_networks_do_not_take() {
        let mut samples = Samples::default();
        let calls = [(GraphName::Denoiser, millis(40)), (GraphName::Denoiser, millis(50))];
        samples.add(millis(100), [(Stage::Denoise, millis(95))].into_iter(), &calls);
        samples.add(millis(300), std::iter::empty(), &[(GraphName::Encoder, millis(300))]);
        assert_eq!(samples.parts(), 2);
        near(samples.share_outside(), 10.0 / 400.0);
        near(samples.outside().unwrap().max, 10.0);
        near(samples.latency().unwrap().mean, 200.0);
        let stages: Vec<_> = samples.stages().collect();
        assert_eq!(stages.len(), 1);
        assert_eq!(stages[0].0, Stage::Denoise);
        near(stages[0].1.p50, 95.0);
        let calls: Vec<_> = samples.graphs().map(|(name, calls, _)| (name, calls)).collect();
        assert_eq!(calls, [(GraphName::Encoder, 1), (GraphName::Denoiser, 2)]);
    }

    #[test]
    fn samples_of_nothing_have_no_percentiles_and_no_share() {
        let samples = Samples::default();
        assert_eq!(samples.latency(), None);
        near(samples.share_outside(), 0.0);
    }
}
