//! The count of parts: everything that was triggered, everything that was said.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diad_core::event::{InspectionEvent, Outcome, Reason};
use diad_core::judge::Verdict;

/// Shared counters. Clones count together.
#[derive(Debug, Clone)]
pub struct Account(Arc<Counters>);

impl Default for Account {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self(Arc::new(Counters {
            triggered: zero(),
            pass: zero(),
            review: zero(),
            reject: zero(),
            unjudged: zero(),
            open: zero(),
            missing: zero(),
            entered: zero(),
            adrift: zero(),
            rounds: zero(),
            owed: zero(),
            overdue: zero(),
            late: zero(),
            unrecorded: zero(),
            triggers_missing: zero(),
            least_margin_micros: AtomicI64::new(NO_MARGIN),
        }))
    }
}

#[cfg(test)]
mod tests;

/// No margin was seen.
const NO_MARGIN: i64 = i64::MAX;

#[derive(Debug)]
struct Counters {
    triggered: AtomicU64,
    pass: AtomicU64,
    review: AtomicU64,
    reject: AtomicU64,
    unjudged: AtomicU64,
    open: AtomicU64,
    missing: AtomicU64,
    entered: AtomicU64,
    adrift: AtomicU64,
    rounds: AtomicU64,
    owed: AtomicU64,
    overdue: AtomicU64,
    late: AtomicU64,
    unrecorded: AtomicU64,
    triggers_missing: AtomicU64,
    least_margin_micros: AtomicI64,
}

/// Watches that every part that was triggered is somewhere: with a verdict, or open with one to come.
#[derive(Debug, Default)]
pub struct CounterCheck {
    before: Totals,
}

impl CounterCheck {
    /// Parts that are nowhere or twice, now and at the last look: one that is just being handed over is not among them.
    pub fn look(&mut self, totals: &Totals) -> u64 {
        let before = std::mem::replace(&mut self.before, *totals);
        // Nothing came in between, and the record stage has looked for what was on its way.
        let quiet = (before.triggered, before.entered) == (totals.triggered, totals.entered)
            && totals.rounds >= before.rounds + 2;
        let on_the_way = if quiet { totals.triggered.abs_diff(totals.entered) } else { 0 };
        totals.adrift + totals.missing.min(before.missing).max(on_the_way)
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Parts that entered the line.
    pub triggered: u64,
    /// Parts like the good ones.
    pub pass: u64,
    /// Parts a person should look at.
    pub review: u64,
    /// Parts unlike the good ones.
    pub reject: u64,
    /// Parts that could not be judged.
    pub unjudged: u64,
    /// Parts that the record stage has open: they are owed a verdict.
    pub open: u64,
    /// Parts that were given a number and never reached the record stage. Above zero for longer than a moment is an
    /// alarm.
    pub missing: u64,
    /// Parts that reached the record stage.
    pub entered: u64,
    /// By how much these differ from the verdicts and the open parts together: anything but 0 is an alarm.
    pub adrift: u64,
    /// Rounds of the record stage, each of which ends with the counters above.
    pub rounds: u64,
    /// Verdicts on record that the broker has not acknowledged.
    pub owed: u64,
    /// Verdicts that were decided in time and on record only after the deadline: the disk was slow.
    pub overdue: u64,
}

impl Totals {
    /// Events recorded. On a line at rest this equals `triggered`.
    #[must_use]
    pub const fn verdicts(&self) -> u64 {
        self.pass + self.review + self.reject + self.unjudged
    }

    /// Parts that are nowhere or twice, as far as one look tells.
    #[must_use]
    pub const fn unaccounted(&self) -> u64 {
        self.adrift + self.missing
    }

    /// Parts that are on the line.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.triggered.saturating_sub(self.verdicts())
    }
}

impl Account {
    /// A part has entered the line.
    pub fn triggered(&self) {
        self.0.triggered.fetch_add(1, Ordering::AcqRel);
    }

    /// A part's event is recorded since `recorded`. Says by how much a verdict that was decided in time has missed its
    /// deadline on the way to the disk.
    pub fn recorded(&self, event: &InspectionEvent, deadline: Duration, recorded: Instant) -> Option<Duration> {
        let counter = match &event.outcome {
            Outcome::Judged(judgement) => match judgement.verdict {
                Verdict::Pass => &self.0.pass,
                Verdict::Review => &self.0.review,
                Verdict::Reject => &self.0.reject,
            },
            Outcome::Unjudged(_) => &self.0.unjudged,
        };
        counter.fetch_add(1, Ordering::AcqRel);
        // Its deadline was over when it came.
        if event.outcome == Outcome::Unjudged(Reason::LateTrigger) {
            return None;
        }
        let took = recorded.saturating_duration_since(event.meta.captured.mono);
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(NO_MARGIN - 1);
        self.0.least_margin_micros.fetch_min(micros(deadline) - micros(took), Ordering::Relaxed);
        // One whose verdict is that the deadline has passed is not late on top of it.
        let over = took.checked_sub(deadline).filter(|over| !over.is_zero())?;
        if event.outcome == Outcome::Unjudged(Reason::Deadline) {
            return None;
        }
        self.0.overdue.fetch_add(1, Ordering::AcqRel);
        Some(over)
    }

    /// The end of a round: how many parts the record stage has open, how many it misses, and how many ever reached it.
    /// Nobody else gives verdicts, so these and the verdicts must add up now.
    pub fn set_open(&self, open: u64, missing: u64, entered: u64) {
        let c = &self.0;
        let verdicts = [&c.pass, &c.review, &c.reject, &c.unjudged].map(|count| count.load(Ordering::Acquire));
        c.adrift.store(entered.abs_diff(verdicts.iter().sum::<u64>() + open), Ordering::Release);
        c.open.store(open, Ordering::Release);
        c.missing.store(missing, Ordering::Release);
        c.entered.store(entered, Ordering::Release);
        c.rounds.fetch_add(1, Ordering::AcqRel);
    }

    /// How many verdicts on record the broker has not acknowledged.
    pub fn set_owed(&self, owed: u64) {
        self.0.owed.store(owed, Ordering::Release);
    }

    /// So many results came after the verdicts of their parts.
    pub fn late(&self, results: u64) {
        self.0.late.fetch_add(results, Ordering::Relaxed);
    }

    /// A verdict went out that the ledger could not take.
    pub fn unrecorded(&self) {
        self.0.unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    /// So many triggers never came since the start, by the plant's count.
    pub fn set_triggers_missing(&self, triggers: u64) {
        self.0.triggers_missing.store(triggers, Ordering::Relaxed);
    }

    /// Triggers that never came since the start, by the plant's count.
    #[must_use]
    pub fn triggers_missing(&self) -> u64 {
        self.0.triggers_missing.load(Ordering::Relaxed)
    }

    /// Late results, and verdicts without a record, since the start.
    #[must_use]
    pub fn asides(&self) -> (u64, u64) {
        (self.0.late.load(Ordering::Relaxed), self.0.unrecorded.load(Ordering::Relaxed))
    }

    /// The counters. `triggered` is read last, so that it is never behind the verdicts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let c = &self.0;
        Totals {
            rounds: read(&c.rounds),
            pass: read(&c.pass),
            review: read(&c.review),
            reject: read(&c.reject),
            unjudged: read(&c.unjudged),
            open: read(&c.open),
            missing: read(&c.missing),
            entered: read(&c.entered),
            adrift: read(&c.adrift),
            owed: read(&c.owed),
            overdue: read(&c.overdue),
            triggered: read(&c.triggered),
        }
    }

    /// Smallest time that was left to the deadline when a verdict was on record, since the last call, in milliseconds:
    /// negative where it had passed, `None` if no part came.
    #[must_use]
    pub fn take_least_margin_ms(&self) -> Option<f64> {
        match self.0.least_margin_micros.swap(NO_MARGIN, Ordering::Relaxed) {
            NO_MARGIN => None,
            micros => Some(micros as f64 / 1000.0),
        }
    }
}
