//! The books after a station has run: what the plant received against what the ledger holds, and both against what entered.

use std::collections::{BTreeMap, BTreeSet};

use diad_core::event::{Outcome, Reason};
use diad_core::inspector::Stage;
use diad_ledger::{Reader, Row, RowId, Series};
use diad_publish::wire::Digest;
use serde::Serialize;
use serde_json::{Value, json};

use crate::broker::Received;
use crate::station::Station;

/// What names a part for ever.
pub type Key = (String, String, u64);

/// What came of a run, or of several over one ledger.
#[derive(Debug, Default)]
pub struct Audit {
    /// Parts that entered, by run: what the process counted and logged at its end, which neither ledger nor broker
    /// knows of. A process that was killed says nothing.
    pub entered: BTreeMap<String, Option<u64>>,
    /// Verdicts in the ledger.
    pub recorded: BTreeMap<Key, Recorded>,
    /// Verdicts that the plant received, each part once, without `historical`.
    pub received: BTreeMap<Key, Value>,
    /// Triggers that the broker has taken over from the plant, by mark. Whatever the station says it received, these are parts.
    pub triggered: BTreeMap<String, u64>,
    /// Messages that said again what was said before.
    pub repeats: u64,
    /// Parts on record as not recorded.
    pub missed: u64,
    /// Results that came after the verdict of their part.
    pub late: u64,
    /// Parts of which the plant received, or the ledger holds, something else than what was said first.
    pub differently: BTreeSet<Key>,
}

/// One verdict on record.
#[derive(Debug)]
pub struct Recorded {
    pub verdict: &'static str,
    pub acknowledged: bool,
    /// What the plant must hear of it.
    payload: Value,
    /// Every stage of a judgement was gone through.
    judged: bool,
}

fn key(verdict: &Value) -> Key {
    let text = |name: &str| verdict[name].as_str().unwrap().to_owned();
    (text("run"), text("camera"), verdict["seq"].as_u64().unwrap())
}

/// A number as it reads after a journey over the wire.
fn number(value: impl Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap()
}

/// The payload of a row, written down here once more so that the daemon's own way from row to message is held to it.
fn payload(row: &Row) -> Value {
    let Series { line, station, camera, run } = &row.key.series;
    let (judgement, reason) = match &row.outcome {
        Outcome::Judged(judgement) => (Some(judgement), None),
        Outcome::Unjudged(reason) => (None, Some(reason.as_str())),
    };
    let region = judgement.map(|judgement| judgement.region);
    let digest = |bytes| Digest::from_bytes(bytes).to_string();
    let mut payload = json!({
        "v": 1, "line": line.as_str(), "station": station.as_str(), "camera": camera.as_str(), "run": run.as_str(),
        "seq": row.key.seq,
        "part": row.part.as_ref().map(|part| part.as_str()),
        "product": row.product.as_ref().map(|product| product.as_str()),
        "verdict": row.verdict_word(), "reason": reason,
        "score": judgement.map(|j| number(j.score.get())),
        "review_at": judgement.map(|j| number(j.thresholds.review().get())),
        "reject_at": judgement.map(|j| number(j.thresholds.reject().get())),
        "x_px": region.map(|r| r.x), "y_px": region.map(|r| r.y),
        "width_px": region.map(|r| r.width), "height_px": region.map(|r| r.height),
        "captured_at": row.captured.to_string(), "judged_at": row.judged.to_string(),
        "latency_ms": number((row.latency.as_secs_f64() * 1e6).round() / 1e3),
        "deadline_ms": row.deadline_ms,
        "model": digest(row.origin.model), "thresholds": digest(row.origin.thresholds),
        "settings": digest(row.origin.settings),
        "historical": null,
    });
    if row.repeat {
        payload["repeat"] = true.into();
    }
    payload
}

/// The stages that every part goes through, whatever further witnesses judge it.
fn of_diffusion() -> impl Iterator<Item = Stage> {
    let further = [Stage::Foundation, Stage::Latent, Stage::Bank];
    Stage::ALL.into_iter().filter(move |stage| !further.contains(stage))
}

/// Whether a `PASS` names all that a judgement has: a score below the cut-offs, and the place it was found at.
fn is_whole_pass(verdict: &Value) -> bool {
    let cut = |name: &str| verdict[name].as_f64().filter(|value| value.is_finite());
    let (Some(score), Some(review), Some(reject)) = (cut("score"), cut("review_at"), cut("reject_at")) else {
        return false;
    };
    let sides = ["width_px", "height_px"].iter().all(|side| verdict[side].as_u64().is_some_and(|px| px > 0));
    score < review && review <= reject && sides && verdict["reason"].is_null()
}

impl Audit {
    /// Reads the ledger, which must be sound, and compares the messages with it and with each other: a receiver may hear
    /// a verdict again, and never another one for the same part.
    #[track_caller]
    pub fn of(station: &Station, messages: &[Received]) -> Self {
        let mut audit = Self::of_wire(station, messages);
        let reader = Reader::open(&station.ledger()).unwrap();
        let report = reader.verify().unwrap();
        assert!(report.is_sound(), "{report:?}");
        let mut after = RowId::START;
        loop {
            let page = reader.oldest(after, 512).unwrap();
            let Some(last) = page.last() else { break };
            after = last.as_ref().unwrap().id;
            for entry in page.into_iter().map(Result::unwrap) {
                let payload = payload(&entry.row);
                let key = key(&payload);
                if audit.received.get(&key).is_some_and(|received| *received != payload) {
                    eprintln!("on record: {payload}\nheard:     {}", audit.received[&key]);
                    audit.differently.insert(key.clone());
                }
                let timings = entry.row.timings;
                let recorded = Recorded {
                    verdict: entry.row.verdict_word(),
                    acknowledged: entry.acknowledged.is_some(),
                    payload,
                    judged: timings.waited.is_some() && of_diffusion().all(|s| timings.get(s).is_some()),
                };
                assert!(audit.recorded.insert(key, recorded).is_none());
            }
        }
        let is_unjudged = |recorded: &&Recorded| recorded.verdict == "UNJUDGED";
        for (reason, count) in Reason::ALL.iter().zip(report.unjudged) {
            let found = audit.recorded.values().filter(is_unjudged);
            let found = found.filter(|recorded| recorded.payload["reason"] == reason.as_str()).count() as u64;
            assert_eq!(found, count, "{reason:?}");
        }
        audit.late = reader.stats().unwrap().late;
        audit.missed = reader.gaps().unwrap().iter().map(|gap| gap.parts).sum();
        audit
    }

    /// The same where the ledger cannot be asked: what the plant received against itself and against what entered.
    pub fn of_wire(station: &Station, messages: &[Received]) -> Self {
        let mut audit = Self { entered: station.entered(), ..Self::default() };
        for trigger in messages.iter().filter(|m| m.topic.ends_with("/trigger")) {
            if let Some(part) = trigger.payload["part"].as_str() {
                *audit.triggered.entry(part.to_owned()).or_default() += 1;
            }
        }
        for message in messages.iter().filter(|m| m.topic.ends_with("/verdict")) {
            let mut verdict = message.payload.clone();
            verdict["historical"] = Value::Null;
            let key = key(&verdict);
            match audit.received.get(&key) {
                None => {
                    audit.received.insert(key, verdict);
                }
                Some(first) if *first == verdict => audit.repeats += 1,
                Some(first) => {
                    eprintln!("said first: {first}\nsaid again: {verdict}");
                    audit.differently.insert(key);
                }
            }
        }
        audit
    }

    /// Adds the books of another station.
    pub fn add(&mut self, other: Self) {
        self.entered.extend(other.entered);
        self.recorded.extend(other.recorded);
        self.received.extend(other.received);
        self.triggered.extend(other.triggered);
        self.repeats += other.repeats;
        self.missed += other.missed;
        self.late += other.late;
        self.differently.extend(other.differently);
    }

    /// What holds after every fault: every part that entered has its verdict at the plant, the same one wherever it is
    /// found, and no `PASS` is without its judgement.
    #[track_caller]
    pub fn expect_promise(&self) {
        assert!(self.differently.is_empty(), "said differently: {:?}", self.differently);
        let unfounded = self.false_pass();
        assert!(unfounded.is_empty(), "PASS without a judgement: {unfounded:?}");
        assert_eq!(self.lost(), 0, "verdicts that the plant never received; entered: {:?}", self.entered);
        for (run, entered) in &self.entered {
            let known = self.keys().filter(|key| key.0 == *run).count() as u64;
            assert!(
                entered.is_none_or(|entered| known <= entered),
                "{known} verdicts of {entered:?} parts in run {run}"
            );
        }
        for key in self.keys() {
            assert!(self.entered.contains_key(&key.0), "{key:?} is of no run of this station");
        }
    }

    /// Everything on record was received with the same verdict, is acknowledged, and nothing was received that is not there.
    #[track_caller]
    pub fn expect_all_delivered(&self) {
        self.expect_promise();
        for (key, recorded) in &self.recorded {
            assert!(recorded.acknowledged, "{key:?} is not acknowledged");
            assert!(self.received.contains_key(key), "{key:?} was not received");
        }
        for key in self.received.keys() {
            assert!(self.recorded.contains_key(key), "{key:?} was received and is not on record");
        }
    }

    /// For a ledger that could not always be written: the plant received every part all the same, what was received is what is
    /// on record, and what is not is in a gap.
    #[track_caller]
    pub fn expect_heard_without_gap(&self) {
        self.expect_promise();
        for (key, recorded) in &self.recorded {
            let received = self.received.contains_key(key);
            assert!(received || !recorded.acknowledged, "{key:?} is acknowledged and was not received");
        }
        let elsewhere = self.received.keys().filter(|key| !self.recorded.contains_key(*key)).count() as u64;
        // A commit that failed may have reached the disk all the same.
        assert!(self.missed >= elsewhere, "{} on record as missed, {elsewhere} not there", self.missed);
    }

    /// Parts with a verdict anywhere, each once.
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.recorded.keys().chain(self.received.keys().filter(|key| !self.recorded.contains_key(*key)))
    }

    /// Parts that entered in a run: as the process counted them, or, where it was killed, as far as their numbers tell.
    fn entered(&self, run: &str) -> u64 {
        if let Some(Some(entered)) = self.entered.get(run) {
            return *entered;
        }
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, camera, seq) in self.keys().filter(|key| key.0 == run) {
            let highest = last.entry(camera).or_default();
            *highest = (*highest).max(*seq);
        }
        last.values().sum()
    }

    /// Parts that entered, or that the plant has triggered, whichever are more.
    pub fn parts_in(&self) -> u64 {
        let entered: u64 = self.entered.keys().map(|run| self.entered(run)).sum();
        entered.max(self.triggered.values().sum())
    }

    /// Parts that entered and of which the plant received nothing, and triggers that the broker took over and that no verdict
    /// came of. Whatever the ledger holds, a controller has only the wire.
    pub fn lost(&self) -> u64 {
        let received = |run: &str| self.received.keys().filter(|key| key.0 == run).count() as u64;
        let entered: u64 = self.entered.keys().map(|run| self.entered(run).saturating_sub(received(run))).sum();
        let mut verdicts: BTreeMap<&str, u64> = BTreeMap::new();
        for part in self.received.values().filter_map(|verdict| verdict["part"].as_str()) {
            *verdicts.entry(part).or_default() += 1;
        }
        let of = |part: &str| verdicts.get(part).copied().unwrap_or_default();
        entered + self.triggered.iter().map(|(part, triggers)| triggers.saturating_sub(of(part))).sum::<u64>()
    }

    /// Verdicts of a kind, wherever they are.
    pub fn count(&self, verdict: &str) -> usize {
        let elsewhere = self.received.iter().filter(|(key, _)| !self.recorded.contains_key(*key));
        self.recorded.values().filter(|recorded| recorded.verdict == verdict).count()
            + elsewhere.filter(|(_, received)| received["verdict"] == verdict).count()
    }

    /// Parts that passed, on the wire or on record, without a judgement that was gone through to its end.
    pub fn false_pass(&self) -> BTreeSet<&Key> {
        let received =
            self.received.iter().filter(|(_, received)| received["verdict"] == "PASS" && !is_whole_pass(received));
        let recorded = self.recorded.iter().filter(|(_, recorded)| {
            recorded.verdict == "PASS" && !(recorded.judged && is_whole_pass(&recorded.payload))
        });
        received.map(|(key, _)| key).chain(recorded.map(|(key, _)| key)).collect()
    }

    /// Parts of each run and camera count from 1 without a gap.
    #[track_caller]
    pub fn expect_no_gap(&self) {
        let mut last: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (run, camera, seq) in self.recorded.keys() {
            let before = last.insert((run, camera), *seq).unwrap_or(0);
            assert_eq!(*seq, before + 1, "{run} {camera} has a gap");
        }
    }
}
