//! Rows and ledgers for tests.

use std::path::PathBuf;
use std::time::Duration;

use diad_core::event::{Judgement, Outcome, Reason, WitnessScore};
use diad_core::frame::Roi;
use diad_core::inspector::Stage;
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, PartId, ProductName, RunId, StationName};
use diad_core::score::Score;
use tempfile::TempDir;

use crate::{
    Key, Ledger, Moment, Reader, Recorded, Row, RowId, RowProvenance, RunContext, Sent, Series, Timings, schema,
};

/// 2026-01-01T08:00:00Z.
pub(crate) const START_MICROS: i64 = 1_767_254_400_000_000;

/// A folder that goes with its owner, and the path of a ledger in it.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// In memory, where the system has a folder for that: for tests that write thousands of ledgers.
    pub(crate) fn in_memory() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { folder: folder.unwrap() }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        // As the ledger names it: temporary folders may lie behind a link.
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("ledger.sqlite3")
    }

    pub(crate) fn open(&self) -> Ledger {
        Ledger::open(&self.path()).unwrap()
    }
}

/// Tables without a disk under them, for tests that need many.
pub(crate) fn in_memory() -> Reader {
    let mut conn = rusqlite::Connection::open_in_memory().unwrap();
    schema::create(&mut conn).unwrap();
    Reader::new(conn, PathBuf::from(":memory:"))
}

/// Another connection to the database of an open ledger, as a database shell would have it.
pub(crate) fn shell(ledger: &Ledger) -> rusqlite::Connection {
    let shell = rusqlite::Connection::open(ledger.path()).unwrap();
    shell.busy_timeout(Duration::ZERO).unwrap();
    shell
}

/// An acknowledgement one second after the start.
pub(crate) fn sent(row: RowId) -> Sent {
    Sent { row, at: Moment::from_micros(START_MICROS + 1_000_000) }
}

pub(crate) fn context() -> RunContext {
    RunContext {
        line: LineName::try_new("L1").unwrap(),
        station: StationName::try_new("S1").unwrap(),
        run: RunId::try_new("01JGGZ0000000000000000000A").unwrap(),
        deadline_ms: 200,
    }
}

pub(crate) fn key(camera: &str, seq: u64) -> Key {
    let RunContext { line, station, run, .. } = context();
    Key { series: Series { line, station, camera: CameraId::try_new(camera).unwrap(), run }, seq }
}

pub(crate) fn origin(byte: u8) -> RowProvenance {
    RowProvenance { model: [byte; 32], thresholds: [byte ^ 0x55; 32], settings: [byte ^ 0xaa; 32] }
}

pub(crate) fn judged(score: f32, review: f32, reject: f32) -> Outcome {
    let score_of = |value| Score::try_new(value).unwrap();
    let verdict = match score {
        score if score >= reject => Verdict::Reject,
        score if score >= review => Verdict::Review,
        _ => Verdict::Pass,
    };
    Outcome::Judged(Judgement {
        verdict,
        score: score_of(score),
        thresholds: Thresholds::try_new(score_of(review), score_of(reject), 12).unwrap(),
        region: Roi { x: 120, y: 44, width: 32, height: 20 },
    })
}

/// What two witnesses said.
pub(crate) fn witnesses() -> Vec<WitnessScore> {
    let said = |name: &str, score| WitnessScore { name: name.into(), score: Score::try_new(score).unwrap() };
    vec![said("diad", 0.1), said("bank:efficientnet-lite2", 1.25e-7)]
}

/// A row of `cam0` that several witnesses judged.
pub(crate) fn joined_row(seq: u64) -> Row {
    let mut row = row(seq);
    row.witnesses = witnesses();
    for (nanos, stage) in (1..).zip([Stage::Foundation, Stage::Latent, Stage::Bank]) {
        row.timings.set(stage, Duration::from_nanos(nanos));
    }
    row
}

/// A row of `camera`, captured `seq` seconds after the start.
pub(crate) fn row_of(camera: &str, seq: u64, outcome: Outcome) -> Row {
    let captured = Moment::from_micros(START_MICROS + seq.cast_signed() * 1_000_000);
    let mut timings = Timings { waited: Some(Duration::from_nanos(1_234_567)), ..Timings::NONE };
    timings.set(Stage::Denoise, Duration::from_nanos(20_000_001));
    Row {
        key: key(camera, seq),
        part: PartId::try_new(&format!("P-{seq}")).ok(),
        product: ProductName::try_new("washer").ok(),
        source: None,
        outcome,
        captured,
        judged: Moment::from_micros(captured.micros() + 37_556),
        latency: Duration::from_nanos(37_556_123),
        deadline_ms: 200,
        origin: origin(1),
        timings,
        repeat: false,
        witnesses: Vec::new(),
    }
}

/// A row of `cam0` that passed.
pub(crate) fn row(seq: u64) -> Row {
    row_of("cam0", seq, judged(0.125, 0.3, 0.38))
}

pub(crate) fn rows(seqs: impl IntoIterator<Item = u64>) -> Vec<Row> {
    seqs.into_iter().map(row).collect()
}

pub(crate) fn unjudged(seq: u64, reason: Reason) -> Row {
    row_of("cam0", seq, Outcome::Unjudged(reason))
}

/// The ids of rows that were all first.
pub(crate) fn firsts(recorded: &[Recorded]) -> Vec<RowId> {
    recorded
        .iter()
        .map(|recorded| match recorded {
            Recorded::First(id) => *id,
            other => panic!("not first: {other:?}"),
        })
        .collect()
}
