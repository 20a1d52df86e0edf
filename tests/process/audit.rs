//! The books after a station has run: what the plant heard against what the ledger holds.

use std::collections::BTreeMap;
use std::path::Path;

use diad_ledger::{Reader, RowId};
use serde_json::Value;

use super::broker::Received;

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
