//! The count of parts: everything that was triggered, everything that was said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diad_core::event::{InspectionEvent, Outcome};
use diad_core::judge::Verdict;

/// Shared counters. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Account(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    triggered: AtomicU64,
    pass: AtomicU64,
    review: AtomicU64,
    reject: AtomicU64,
    unjudged: AtomicU64,
    open: AtomicU64,
    missing: AtomicU64,
    owed: AtomicU64,
    least_margin_micros: AtomicU64,
}

/// Watches that every part that was triggered is somewhere: with a verdict, or open with one to come.
#[derive(Debug, Default)]
pub struct Balance {
    before: u64,
}

impl Balance {
    /// Parts that are nowhere, now and at the last look: one that is just being handed over is not among them.
    pub fn look(&mut self, totals: &Totals) -> u64 {
        std::mem::replace(&mut self.before, totals.missing).min(totals.missing)
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
    /// Verdicts on record that the broker has not acknowledged.
    pub owed: u64,
}

impl Totals {
    /// Events recorded. On a line at rest this equals `triggered`.
    #[must_use]
    pub const fn verdicts(&self) -> u64 {
        self.pass + self.review + self.reject + self.unjudged
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

    /// A part's event is recorded.
    pub fn recorded(&self, event: &InspectionEvent, deadline: Duration) {
        let counter = match &event.outcome {
            Outcome::Judged(judgement) => match judgement.verdict {
                Verdict::Pass => &self.0.pass,
                Verdict::Review => &self.0.review,
                Verdict::Reject => &self.0.reject,
            },
            Outcome::Unjudged(_) => &self.0.unjudged,
        };
        counter.fetch_add(1, Ordering::AcqRel);
        let margin = deadline.saturating_sub(event.latency()).as_micros();
        // Stored plus one, so that zero can say "none yet".
        let margin = u64::try_from(margin).unwrap_or(u64::MAX - 1).saturating_add(1);
        let least = &self.0.least_margin_micros;
        let mut seen = least.load(Ordering::Relaxed);
        while seen == 0 || margin < seen {
            match least.compare_exchange_weak(seen, margin, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
    }

    /// How many parts the record stage has open, and how many it misses.
    pub fn set_open(&self, open: u64, missing: u64) {
        self.0.open.store(open, Ordering::Release);
        self.0.missing.store(missing, Ordering::Release);
    }

    /// How many verdicts on record the broker has not acknowledged.
    pub fn set_owed(&self, owed: u64) {
        self.0.owed.store(owed, Ordering::Release);
    }

    /// The counters. `triggered` is read last, so that it is never behind the verdicts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let c = &self.0;
        let (pass, review, reject, unjudged) = (read(&c.pass), read(&c.review), read(&c.reject), read(&c.unjudged));
        let (open, missing, owed) = (read(&c.open), read(&c.missing), read(&c.owed));
        Totals { triggered: read(&c.triggered), pass, review, reject, unjudged, open, missing, owed }
    }

    /// Smallest time left to the deadline since the last call, in milliseconds; `None` if no part came.
    #[must_use]
    pub fn take_least_margin_ms(&self) -> Option<f64> {
        match self.0.least_margin_micros.swap(0, Ordering::Relaxed) {
            0 => None,
            stored => Some((stored - 1) as f64 / 1000.0),
        }
    }
}
