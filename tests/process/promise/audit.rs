//! The books after a station has run: what the plant heard against what the ledger holds.

use std::collections::BTreeMap;
use std::path::Path;

use diad_ledger::{Reader, RowId};
use serde_json::Value;

use crate::broker::Received;

/// What names a part for ever.
pub type Key = (String, String, u64);

/// What came of a run, or of several over one ledger.
#[derive(Debug, Default)]
pub struct Audit {
    /// Verdicts in the ledger.
    pub recorded: BTreeMap<Key, Recorded>,
    /// Verdicts that the plant heard, each part once.
    pub heard: BTreeMap<Key, Value>,
    /// Messages that said again what was said before.
    pub repeats: u64,
    /// Parts on record as not recorded.
    pub missed: u64,
    /// Results that came after the verdict of their part.
    pub late: u64,
    /// Parts of which the plant heard two verdicts that differ. Never anything but 0: it fails first.
    pub differently: u64,
}

/// One verdict on record.
#[derive(Debug)]
pub struct Recorded {
    pub verdict: &'static str,
    pub acknowledged: bool,
}

fn key(verdict: &Value) -> Key {
    let text = |name: &str| verdict[name].as_str().unwrap().to_owned();
    (text("run"), text("camera"), verdict["seq"].as_u64().unwrap())
}

impl Audit {
    /// Reads the ledger, which must be sound, and compares the messages with each other: a receiver may hear a verdict
    /// again, and never another one for the same part.
    pub fn of(ledger: &Path, messages: &[Received]) -> Self {
        let mut audit = Self::default();
        let reader = Reader::open(ledger).unwrap();
        let report = reader.verify().unwrap();
        assert!(report.is_sound(), "{report:?}");
        let mut after = RowId::START;
        loop {
            let page = reader.oldest(after, 512).unwrap();
            let Some(last) = page.last() else { break };
            after = last.as_ref().unwrap().id;
            for entry in page.into_iter().map(Result::unwrap) {
                let series = &entry.row.key.series;
                let key = (series.run.to_string(), series.camera.to_string(), entry.row.key.seq);
                let recorded =
                    Recorded { verdict: entry.row.verdict_word(), acknowledged: entry.acknowledged.is_some() };
                assert!(audit.recorded.insert(key, recorded).is_none());
            }
        }
        audit.late = reader.stats().unwrap().late;
        audit.missed = reader.gaps().unwrap().iter().map(|gap| gap.parts).sum();
        for message in messages.iter().filter(|m| m.topic.ends_with("/verdict")) {
            let mut verdict = message.payload.clone();
            verdict["historical"] = Value::Null;
            let key = key(&verdict);
            if let Some(before) = audit.heard.insert(key.clone(), verdict.clone()) {
                assert_eq!(before, verdict, "{key:?} was said twice, and not the same");
                audit.repeats += 1;
            }
        }
        audit
    }

    /// Everything on record was heard with the same verdict, is acknowledged, and nothing was heard that is not there.
    #[track_caller]
    pub fn expect_all_delivered(&self) {
        self.expect_consistent();
        for (key, recorded) in &self.recorded {
            assert!(recorded.acknowledged, "{key:?} is not acknowledged");
            assert!(self.heard.contains_key(key), "{key:?} was not heard");
        }
        for key in self.heard.keys() {
            assert!(self.recorded.contains_key(key), "{key:?} was heard and is not on record");
        }
    }

    /// What is acknowledged was heard, and what was heard is what is on record.
    #[track_caller]
    pub fn expect_consistent(&self) {
        for (key, recorded) in &self.recorded {
            match self.heard.get(key) {
                Some(heard) => assert_eq!(heard["verdict"], recorded.verdict, "{key:?}"),
                None => assert!(!recorded.acknowledged, "{key:?} is acknowledged and was not heard"),
            }
        }
    }

    /// For a ledger that could not always be written: the plant heard every part all the same, what was heard is what is
    /// on record, and what is not is in a gap.
    #[track_caller]
    pub fn expect_heard_without_gap(&self) {
        self.expect_consistent();
        assert_eq!(self.lost(), 0);
        let elsewhere = self.heard.keys().filter(|key| !self.recorded.contains_key(*key)).count() as u64;
        // A commit that failed may have reached the disk all the same.
        assert!(self.missed >= elsewhere, "{} on record as missed, {elsewhere} not there", self.missed);
    }

    /// Parts that entered, as far as their numbers tell.
    pub fn parts_in(&self) -> u64 {
        let mut last: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (run, camera, seq) in self.recorded.keys().chain(self.heard.keys()) {
            let highest = last.entry((run, camera)).or_default();
            *highest = (*highest).max(*seq);
        }
        last.values().sum()
    }

    /// Parts that entered and have a verdict neither on record nor at the plant.
    pub fn lost(&self) -> u64 {
        let mut known: std::collections::BTreeSet<&Key> = self.recorded.keys().collect();
        known.extend(self.heard.keys());
        self.parts_in() - known.len() as u64
    }

    /// Verdicts of a kind, wherever they are.
    pub fn count(&self, verdict: &str) -> usize {
        let elsewhere = self.heard.iter().filter(|(key, _)| !self.recorded.contains_key(*key));
        self.recorded.values().filter(|recorded| recorded.verdict == verdict).count()
            + elsewhere.filter(|(_, heard)| heard["verdict"] == verdict).count()
    }

    /// `PASS` without a score below the cut-off that it names, which no unfinished judgement has.
    pub fn false_pass(&self) -> usize {
        let passes = self.heard.values().filter(|heard| heard["verdict"] == "PASS");
        passes
            .filter(|heard| !(heard["score"].as_f64() < heard["review_at"].as_f64() && heard["score"].is_number()))
            .count()
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
