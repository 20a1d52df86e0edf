//! A clock for inspections: the core has none, so this one listens to its stages.

use std::time::{Duration, Instant};

use diad_core::inspector::{Probe, Stage};

/// A duration in milliseconds.
#[must_use]
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Takes the time of every stage of an inspection that it watches.
#[derive(Debug, Default)]
pub struct StageClock {
    begun: Vec<(Stage, Instant)>,
}

impl StageClock {
    /// The stages of the inspection that ended at `end`, in order, each until the next one began. Stages of an
    /// inspection that failed are among them: [`reset`](Self::reset) drops those.
    pub fn take(&mut self, end: Instant) -> impl Iterator<Item = (Stage, Duration)> {
        let begun = std::mem::take(&mut self.begun);
        let ends: Vec<Instant> = begun.iter().skip(1).map(|&(_, begin)| begin).chain([end]).collect();
        begun.into_iter().zip(ends).map(|((stage, begin), end)| (stage, end.saturating_duration_since(begin)))
    }

    /// Forgets what it has seen.
    pub fn reset(&mut self) {
        self.begun.clear();
    }
}

impl Probe for StageClock {
    fn entering(&mut self, stage: Stage) {
        self.begun.push((stage, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_gives_every_stage_once_and_leaves_no_gap() {
        let mut clock = StageClock::default();
        let begin = Instant::now();
        for stage in Stage::ALL {
            clock.entering(stage);
        }
        let first = clock.begun[0].1;
        let end = begin + Duration::from_secs(60);
        let stages: Vec<_> = clock.take(end).collect();
        assert_eq!(stages.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), Stage::ALL);
        assert_eq!(stages.iter().map(|(_, time)| *time).sum::<Duration>(), end - first);
        assert_eq!(clock.take(end).count(), 0);
    }

    #[test]
    fn reset_forgets_an_inspection_that_failed() {
        let mut clock = StageClock::default();
        clock.entering(Stage::Prepare);
        clock.reset();
        assert_eq!(clock.take(Instant::now()).count(), 0);
    }

    #[test]
    fn ms_keeps_fractions() {
        assert!((ms(Duration::from_micros(1_500)) - 1.5).abs() < 1e-12);
    }
}
