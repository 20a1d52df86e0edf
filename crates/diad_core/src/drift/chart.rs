//! The charts of one product.

use super::{
    ALARM_SD, CLAMP_SD, ConstantScore, LEARNED_PARTS, Look, Reference, RunningMoments, SLACK_SD, Signal, Spread,
};
use crate::judge::Verdict;
use crate::score::Score;

/// To which side of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Larger values.
    Above,
    /// Smaller values.
    Below,
}

/// An alarm: a signal has left its reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Which.
    pub signal: Signal,
    /// To which side.
    pub side: Side,
    /// How far, in standard deviations of the reference: the mean from `since` to the alarm.
    pub shift_sd: f64,
    /// What it is compared with.
    pub reference: Spread,
    /// The part that it probably began with: the first after the sum was last zero (Montgomery, section 9.1.3).
    pub since: u64,
}

/// The charts of one product. See the [module](super).
#[derive(Debug, Clone)]
pub struct Charts {
    reference: Reference,
    charts: [Chart; 3],
    standing: Option<ConstantScore>,
}

impl Charts {
    /// Charts that begin at the reference, or learn it.
    #[must_use]
    pub fn new(reference: Reference) -> Self {
        let charts = Signal::ALL.map(|signal| Chart::new(signal, reference.get(signal)));
        Self { reference, charts, standing: None }
    }

    /// The reference that they were given; what they learned is not in it.
    #[must_use]
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Takes a judged part: its number, for [`Drift::since`], and what is known of it. A `REJECT` counts like any other
    /// part, and is never learned from. Gives whether an alarm was raised or is over.
    pub fn add(&mut self, part: u64, verdict: Verdict, score: Score, look: Look) -> bool {
        let values = [f64::from(score.get()), look.brightness, look.sharpness];
        self.standing = Some(ConstantScore::with(self.standing, part, score));
        let mut changed = false;
        for (chart, value) in self.charts.iter_mut().zip(values) {
            let before = chart.drift.is_some();
            chart.add(part, verdict, value);
            changed |= before != chart.drift.is_some();
        }
        changed
    }

    /// The alarms.
    pub fn drifts(&self) -> impl Iterator<Item = &Drift> {
        self.charts.iter().filter_map(|chart| chart.drift.as_ref())
    }

    /// The score that stands still, if it does for long enough.
    #[must_use]
    pub fn standing(&self) -> Option<ConstantScore> {
        self.standing.filter(ConstantScore::is_long)
    }

    /// Forgets alarms and sums, and keeps what was learned.
    pub fn restart(&mut self) {
        self.standing = None;
        for chart in &mut self.charts {
            chart.sums = Default::default();
            chart.drift = None;
        }
    }
}

#[derive(Debug, Clone)]
struct Chart {
    signal: Signal,
    /// None while it is learned.
    reference: Option<Spread>,
    learned: RunningMoments,
    sums: [Sum; 2],
    drift: Option<Drift>,
}

/// One side of a chart.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    value: f64,
    /// Since the sum was zero: first part, number of parts, sum of their deviations as they are.
    since: u64,
    parts: u64,
    deviations: f64,
}

impl Chart {
    fn new(signal: Signal, reference: Option<Spread>) -> Self {
        Self { signal, reference, learned: RunningMoments::default(), sums: Default::default(), drift: None }
    }

    fn add(&mut self, part: u64, verdict: Verdict, value: f64) {
        let Some(reference) = self.reference else { return self.learn(verdict, value) };
        let z = (value - reference.mean()) / reference.sd().max(self.signal.least_sd(reference.mean()));
        let [above, below] = &mut self.sums;
        above.add(part, z);
        below.add(part, -z);
        match self.drift {
            None => {
                self.drift = [(above, Side::Above), (below, Side::Below)].into_iter().find_map(|(sum, side)| {
                    let shift_sd = sum.deviations / sum.parts.max(1) as f64;
                    (sum.value > ALARM_SD).then_some(Drift {
                        signal: self.signal,
                        side,
                        shift_sd,
                        reference,
                        since: sum.since,
                    })
                });
            }
            Some(_) if above.value.max(below.value) < ALARM_SD / 2.0 => self.drift = None,
            Some(_) => {}
        }
    }

    fn learn(&mut self, verdict: Verdict, value: f64) {
        if verdict == Verdict::Reject {
            return;
        }
        self.learned.add(value);
        if self.learned.count >= LEARNED_PARTS {
            self.reference = self.learned.spread();
        }
    }
}

impl Sum {
    fn add(&mut self, part: u64, z: f64) {
        // No higher than twice the alarm: however long it lasted, values that are back end it within some 36 parts.
        self.value = (self.value + z.clamp(-CLAMP_SD, CLAMP_SD) - SLACK_SD).min(2.0 * ALARM_SD);
        if self.value <= 0.0 {
            *self = Self::default();
            return;
        }
        if self.parts == 0 {
            self.since = part;
        }
        self.parts += 1;
        self.deviations += z;
    }
}
