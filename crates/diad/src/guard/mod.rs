//! What watches the station itself: whether parts drift away from what they were ([`drift`]), and whether known parts
//! still come out as they should ([`golden`]). Neither changes a verdict, and neither makes a part late.

pub mod drift;
pub mod golden;

pub use drift::DriftGuard;
pub use golden::{GoldenCount, GoldenQueue, GoldenRequest, GoldenRunner, GoldenSpec};

use crate::health::Health;

/// What a station is watched by.
#[derive(Debug, Clone)]
pub struct GuardSpec {
    /// Whether drift turns the state to `degraded`.
    pub drift_alarm: bool,
    /// The golden parts, if there are any.
    pub golden: Option<GoldenSpec>,
    /// Asks for them to be judged now.
    pub request: GoldenRequest,
}

impl GuardSpec {
    /// Nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { drift_alarm: false, golden: None, request: GoldenRequest::default() }
    }

    /// How to ask for the golden parts; none without any.
    #[must_use]
    pub fn request(&self) -> Option<GoldenRequest> {
        self.golden.as_ref().map(|_| self.request.clone())
    }

    /// What the infer stage gets, and who is to be [started](GoldenRunner::start) once the line runs.
    #[must_use]
    pub fn prepare(self, health: &Health) -> (Guards, Option<GoldenRunner>) {
        let drift = if self.drift_alarm { DriftGuard::new(health.clone()) } else { DriftGuard::off() };
        let (exams, proctor) = match self.golden {
            Some(golden) => {
                let (exams, proctor) = golden::proctor(golden, self.request, health.clone());
                (exams, Some(proctor))
            }
            None => (GoldenQueue::none(), None),
        };
        (Guards { drift, exams }, proctor)
    }
}

/// The guards' places in the infer stage, where the networks are.
pub struct Guards {
    /// Is shown every judged part.
    pub drift: DriftGuard,
    /// Golden parts to be judged when no part waits.
    pub exams: GoldenQueue,
}

impl Guards {
    /// Nobody watches.
    #[must_use]
    pub fn off() -> Self {
        Self { drift: DriftGuard::off(), exams: GoldenQueue::none() }
    }
}
