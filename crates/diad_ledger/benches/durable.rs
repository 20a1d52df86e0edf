//! Durable records per second, and what a page of the outbox costs beside a large backlog.
//!
//! The disk is the one under the target folder: a commit costs what its sync costs there.

#![expect(clippy::expect_used, reason = "a bench that cannot run says why and ends")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, Throughput};
use diad_core::event::{Judgement, Outcome};
use diad_core::frame::Roi;
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, PartId, ProductName, StationName};
use diad_core::score::Score;
use diad_ledger::{Key, Ledger, Recorded, Row, RowId, RowProvenance, Sent, Series, Timings};
use tempfile::TempDir;

/// Verdicts that wait for a broker after a long outage.
const BACKLOG: u64 = 200_000;

struct Bench {
    ledger: Ledger,
    series: Series,
    seq: u64,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a folder");
        let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite3")).expect("a ledger");
        let line = LineName::try_new("L1").expect("a name");
        let station = StationName::try_new("S1").expect("a name");
        let run = ledger.start_run(&line, &station, SystemTime::now()).expect("a run");
        let series = Series { line, station, camera: CameraId::try_new("cam0").expect("a name"), run };
        Self { ledger, series, seq: 0, _folder: folder }
    }

    fn rows(&mut self, count: u64) -> Vec<Row> {
        (0..count).map(|_| self.row()).collect()
    }

    fn row(&mut self) -> Row {
        self.seq += 1;
        let score = |value| Score::try_new(value).expect("a score");
        let now = SystemTime::now().into();
        Row {
            key: Key { series: self.series.clone(), seq: self.seq },
            part: PartId::try_new("P-77").ok(),
            product: ProductName::try_new("washer").ok(),
            source: None,
            outcome: Outcome::Judged(Judgement {
                verdict: Verdict::Pass,
                score: score(0.1),
                thresholds: Thresholds::try_new(score(0.3), score(0.38), 0).expect("thresholds"),
                region: Roi { x: 120, y: 44, width: 32, height: 20 },
            }),
            captured: now,
            judged: now,
            latency: Duration::from_micros(37_556),
            deadline_ms: 200,
            origin: RowProvenance { model: [1; 32], thresholds: [2; 32], settings: [3; 32] },
            timings: Timings::NONE,
            repeat: false,
            witnesses: Vec::new(),
        }
    }
}

fn sent(recorded: &[Recorded]) -> Vec<Sent> {
    let at = SystemTime::now().into();
    recorded
        .iter()
        .map(|recorded| match recorded {
            Recorded::First(row) | Recorded::Again(row) | Recorded::Late(row) => Sent { row: *row, at },
        })
        .collect()
}

fn durable(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("durable");
    for batch in [1, 64] {
        group.throughput(Throughput::Elements(batch));
        let mut bench = Bench::new();
        group.bench_function(format!("record/{batch}"), |bencher| {
            bencher.iter(|| {
                let rows = bench.rows(batch);
                bench.ledger.record(&rows).expect("recorded")
            });
        });
        // The whole way of a verdict: recorded now, and the batch before it acknowledged in the same commit.
        let mut bench = Bench::new();
        let mut before = Vec::new();
        group.bench_function(format!("record_and_mark/{batch}"), |bencher| {
            bencher.iter(|| {
                let rows = bench.rows(batch);
                before = sent(&bench.ledger.commit(&[], &rows, &[], &before).expect("recorded"));
            });
        });
    }
    group.finish();
}

fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    let mut bench = Bench::new();
    for _ in 0..BACKLOG / 4000 {
        let rows = bench.rows(4000);
        bench.ledger.record(&rows).expect("recorded");
    }
    let page = bench.ledger.read().newest(None, 1000).expect("a page");
    let late = page.last().and_then(|entry| entry.as_ref().ok()).map_or(RowId::START, |stored| stored.id);
    for (name, after) in [("first_page", RowId::START), ("last_page", late)] {
        group.throughput(Throughput::Elements(64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(bench.ledger.read().unsent(after, 64).expect("a page")));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    durable(&mut criterion);
    outbox(&mut criterion);
    criterion.final_summary();
}
