//! What the page shows of the parts: the last ones of every camera, and counts by hour and product. Bounded, whatever
//! the line does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded};
use diad_core::event::{InspectionEvent, Outcome, Reason};
use diad_core::inspector::Stage;
use diad_core::judge::Verdict;
use diad_core::name::CameraId;
use diad_ledger::{Moment, Timings};
use serde::Serialize;

use crate::output::decimal;

#[cfg(test)]
mod tests;

/// Parts that are remembered, of all cameras together.
const MAX_RECENT_PARTS: usize = 600;
/// Hours that are counted.
const COUNTED_HOURS: usize = 24;
/// Products that are counted apart; the plant may name any number of them.
const MAX_COUNTED_PRODUCTS: usize = 64;
/// What the products beyond that are counted as. No product can be named so.
const OTHER_PRODUCTS: &str = "(others)";
/// What parts without a product are counted as. No product can be named so.
const NO_PRODUCT: &str = "(none)";

/// Verdicts that may wait for somebody to look: seconds of a fast line, and the page looks ten times a second.
const MAX_UNSEEN_VERDICTS: usize = 4096;

/// Shared by the line, which notes, and the page, which looks. The line takes no lock: a page of low priority that holds
/// one would hold up verdicts.
#[derive(Debug, Clone)]
pub struct LiveStats {
    noted: Sender<Noted>,
    waiting: Receiver<Noted>,
    unseen: Arc<AtomicU64>,
    state: Arc<Mutex<LiveState>>,
}

/// A verdict on its way to the board, what its part took in each stage, and the time it had, in milliseconds.
type Noted = (InspectionEvent, Timings, f64);

#[derive(Debug, Default)]
struct LiveState {
    /// Parts noted so far; the number of the last one.
    noted: u64,
    parts: VecDeque<Part>,
    products: Vec<String>,
    counts: BTreeMap<(String, String), Count>,
    totals: BTreeMap<Labels, u64>,
    /// Products whose series a scrape has had already.
    scraped: BTreeSet<String>,
    latency: Latency,
    stages: [Latency; Stage::ALL.len()],
    least_margin_ms: Option<f64>,
}

/// A part as the page shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Counts from 1 over all cameras.
    pub number: u64,
    /// The camera.
    pub camera: String,
    /// Its number there.
    pub seq: u64,
    /// The plant's own mark.
    pub part: Option<String>,
    /// The product in force.
    pub product: Option<String>,
    /// `PASS`, `REVIEW`, `REJECT` or `UNJUDGED`.
    pub verdict: &'static str,
    /// Why it was not judged.
    pub reason: Option<&'static str>,
    /// Its mark came before, and that part may be at the gate still.
    pub repeat: bool,
    /// How unlike the good ones it is.
    pub score: Option<f64>,
    /// The cut-offs it was judged by.
    pub review_at: Option<f64>,
    /// The cut-offs it was judged by.
    pub reject_at: Option<f64>,
    /// When it was seen, UTC.
    pub captured_at: String,
    /// From there to its verdict, in milliseconds.
    pub latency_ms: f64,
}

/// Parts of one product in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Count {
    /// Like the good ones.
    pub pass: u64,
    /// A person should look.
    pub review: u64,
    /// Unlike the good ones.
    pub reject: u64,
    /// Not judged.
    pub unjudged: u64,
}

/// What verdicts are counted by since the start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// The camera.
    pub camera: String,
    /// The product, or a word in brackets.
    pub product: String,
    /// `PASS`, `REVIEW`, `REJECT` or `UNJUDGED`.
    pub verdict: &'static str,
    /// Why it was not judged; empty if it was.
    pub reason: &'static str,
}

/// Times from picture to verdict, or in one stage, counted by upper bound.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Latency {
    /// For each of [`Latency::BOUNDS_S`], the times up to it.
    pub counts: [u64; Latency::BOUNDS_S.len()],
    /// All of them.
    pub count: u64,
    /// Their sum, in seconds.
    pub sum_s: f64,
}

impl Latency {
    /// Upper bounds, in seconds: from a stage on a GPU to the longest deadline that makes sense.
    pub const BOUNDS_S: [f64; 16] =
        [0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0];

    fn note(&mut self, seconds: f64) {
        for (count, bound) in self.counts.iter_mut().zip(Self::BOUNDS_S) {
            *count += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.sum_s += seconds;
    }
}

impl LiveStats {
    /// A verdict went out. Never waits: the record stage calls it. One for which there is no room is counted as unseen.
    pub fn note(&self, event: &InspectionEvent, timings: &Timings, deadline_ms: f64) {
        if self.noted.try_send((event.clone(), *timings, deadline_ms)).is_err() {
            self.unseen.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes in what was noted. Every look does; the page does it also while nobody looks.
    pub fn settle(&self) {
        drop(self.lock());
    }

    /// Verdicts that the board missed, because nobody looked for long.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.unseen.load(Ordering::Relaxed)
    }

    /// The parts after number `after`, oldest first; only the newest `limit` if there are more.
    #[must_use]
    pub fn after(&self, after: u64, limit: usize) -> Vec<Part> {
        let state = self.lock();
        let new = state.parts.iter().rev().take_while(|part| part.number > after).take(limit);
        let mut parts: Vec<Part> = new.cloned().collect();
        parts.reverse();
        parts
    }

    /// The last parts of a camera, oldest first.
    #[must_use]
    pub fn of_camera(&self, camera: &CameraId, limit: usize) -> Vec<Part> {
        let state = self.lock();
        let mut parts: Vec<Part> =
            state.parts.iter().rev().filter(|part| part.camera == camera.as_str()).take(limit).cloned().collect();
        parts.reverse();
        parts
    }

    /// Counts by hour and product, oldest hour first.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, String, Count)> {
        self.lock().counts.iter().map(|((hour, product), count)| (hour.clone(), product.clone(), *count)).collect()
    }

    /// Verdicts since the start, and how long they took.
    #[must_use]
    pub fn totals(&self) -> (BTreeMap<Labels, u64>, Latency) {
        let state = self.lock();
        (state.totals.clone(), state.latency.clone())
    }

    /// [`LiveStats::totals`] for a scrape of the metrics: every verdict and every reason of every one of `cameras`, also
    /// those that did not occur yet, for parts without a product and for each product that a part had.
    ///
    /// A rate is the difference of two scrapes, so a series that began with its first count would hide that count. The
    /// series of a product are 0 in the first scrape that has them, and carry their counts from the next one on.
    #[must_use]
    pub fn scrape(&self, cameras: &[CameraId]) -> (BTreeMap<Labels, u64>, Latency) {
        let mut state = self.lock();
        let named = state.totals.keys().map(|labels| labels.product.clone());
        let products: BTreeSet<String> = named.chain([NO_PRODUCT.to_owned()]).collect();
        let mut series = BTreeMap::new();
        for (product, camera) in products.iter().flat_map(|product| cameras.iter().map(move |camera| (product, camera)))
        {
            for (verdict, reason) in outcomes() {
                let labels = Labels { camera: camera.to_string(), product: product.clone(), verdict, reason };
                let counted = state.totals.get(&labels).filter(|_| state.scraped.contains(product));
                let count = counted.copied().unwrap_or_default();
                series.insert(labels, count);
            }
        }
        state.scraped = products;
        (series, state.latency.clone())
    }

    /// What parts took in each stage since the start, in the order of the stages.
    #[must_use]
    pub fn stages(&self) -> [(Stage, Latency); Stage::ALL.len()] {
        let state = self.lock();
        Stage::ALL.map(|stage| (stage, state.stages[stage as usize].clone()))
    }

    /// The smallest time that was left before a deadline since the start, in milliseconds; negative if one was missed.
    #[must_use]
    pub fn least_margin_ms(&self) -> Option<f64> {
        self.lock().least_margin_ms
    }

    fn lock(&self) -> MutexGuard<'_, LiveState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.try_iter().for_each(|(event, timings, deadline_ms)| state.take(&event, &timings, deadline_ms));
        state
    }
}

/// Every verdict with every reason that it can have, as [`Labels`] has them.
fn outcomes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let judged = [Verdict::Pass, Verdict::Review, Verdict::Reject].map(|verdict| (verdict.as_str(), ""));
    judged.into_iter().chain(Reason::ALL.map(|reason| (InspectionEvent::UNJUDGED, reason.as_str())))
}

impl Default for LiveStats {
    fn default() -> Self {
        let (noted, waiting) = bounded(MAX_UNSEEN_VERDICTS);
        Self { noted, waiting, unseen: Arc::default(), state: Arc::default() }
    }
}

impl LiveState {
    fn take(&mut self, event: &InspectionEvent, timings: &Timings, deadline_ms: f64) {
        let latency = event.latency().as_secs_f64();
        self.noted += 1;
        let part = Part::of(self.noted, event);
        let product = self.product(part.product.as_deref());
        let hour = format!("{}:00Z", part.captured_at.get(..13).unwrap_or_default());
        self.count(hour, product.clone(), part.verdict);
        let labels = Labels {
            camera: part.camera.clone(),
            product,
            verdict: part.verdict,
            reason: part.reason.unwrap_or_default(),
        };
        *self.totals.entry(labels).or_default() += 1;
        self.latency.note(latency);
        for (stage, of_stage) in Stage::ALL.into_iter().zip(&mut self.stages) {
            if let Some(took) = timings.get(stage) {
                of_stage.note(took.as_secs_f64());
            }
        }
        let margin = deadline_ms - latency * 1000.0;
        self.least_margin_ms = Some(self.least_margin_ms.map_or(margin, |least| least.min(margin)));
        if self.parts.len() == MAX_RECENT_PARTS {
            self.parts.pop_front();
        }
        self.parts.push_back(part);
    }

    fn product(&mut self, product: Option<&str>) -> String {
        let Some(product) = product else { return NO_PRODUCT.to_owned() };
        if !self.products.iter().any(|known| known == product) {
            if self.products.len() == MAX_COUNTED_PRODUCTS {
                return OTHER_PRODUCTS.to_owned();
            }
            self.products.push(product.to_owned());
        }
        product.to_owned()
    }

    fn count(&mut self, hour: String, product: String, verdict: &str) {
        let count = self.counts.entry((hour, product)).or_default();
        match verdict {
            "PASS" => count.pass += 1,
            "REVIEW" => count.review += 1,
            "REJECT" => count.reject += 1,
            _ => count.unjudged += 1,
        }
        let hours = |counts: &BTreeMap<(String, String), Count>| {
            let mut hours: Vec<String> = counts.keys().map(|(hour, _)| hour.clone()).collect();
            hours.dedup();
            hours
        };
        // A clock that is set may bring any hour, so it is the oldest that leaves.
        if self.counts.len() > COUNTED_HOURS
            && let [oldest, rest @ ..] = hours(&self.counts).as_slice()
            && rest.len() >= COUNTED_HOURS
        {
            self.counts.retain(|(hour, _), _| hour != oldest);
        }
    }
}

impl Part {
    fn of(number: u64, event: &InspectionEvent) -> Self {
        let (judgement, reason) = match &event.outcome {
            Outcome::Judged(judgement) => (Some(judgement), None),
            Outcome::Unjudged(reason) => (None, Some(reason.as_str())),
        };
        let meta = &event.meta;
        Self {
            number,
            camera: meta.key.camera.to_string(),
            seq: meta.key.seq,
            part: meta.part.as_ref().map(ToString::to_string),
            product: meta.product.as_ref().map(ToString::to_string),
            verdict: event.verdict_word(),
            reason,
            repeat: event.repeat,
            score: judgement.map(|judgement| decimal(judgement.score.get())),
            review_at: judgement.map(|judgement| decimal(judgement.thresholds.review().get())),
            reject_at: judgement.map(|judgement| decimal(judgement.thresholds.reject().get())),
            captured_at: Moment::from(meta.captured.wall).to_string(),
            latency_ms: (event.latency().as_secs_f64() * 1e6).round() / 1e3,
        }
    }
}

/// This moment, UTC, as every message writes it.
#[must_use]
pub fn now() -> String {
    Moment::from(SystemTime::now()).to_string()
}
