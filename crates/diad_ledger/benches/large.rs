//! A ledger of years: what a station waits for where millions of verdicts are on record, all acknowledged or all owed.
//!
//! `cargo bench -p diad_ledger --bench large -- [MILLIONS] [FOLDER]` writes the ledgers one after the other (about 0.5 GB for a
//! million verdicts), prints one table and deletes them. The last two columns are the times that one verdict took to be on the disk
//! meanwhile, written every 20 ms beside what is measured.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its table and stops at the first failure"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use diad_core::event::{Judgement, Outcome};
use diad_core::frame::Roi;
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, PartId, ProductName, RunId, StationName};
use diad_core::score::Score;
use diad_ledger::{Key, Ledger, Moment, Reader, Recorded, Row, RowId, RowProvenance, Sent, Series, Span, Timings};

/// Verdicts written in one transaction while the ledger is filled.
const FILLED_AT_ONCE: u64 = 10_000;
/// Time between two parts on record.
const PART_EVERY_MICROS: i64 = 100_000;
/// As the station does it.
const PURGED_AT_ONCE: u32 = 256;
/// As the station does it.
const BROUGHT_AT_ONCE: u32 = 20;
/// Purges whose longest is printed.
const PURGES: usize = 40;

struct Line {
    run: RunId,
    last: u64,
    first_micros: i64,
}

impl Line {
    fn row(&self, seq: u64) -> Row {
        let score = |value| Score::try_new(value).unwrap();
        let captured = Moment::from_micros(self.first_micros + seq.cast_signed() * PART_EVERY_MICROS);
        Row {
            key: Key {
                series: Series {
                    line: LineName::try_new("L1").unwrap(),
                    station: StationName::try_new("S1").unwrap(),
                    camera: CameraId::try_new("cam0").unwrap(),
                    run: self.run.clone(),
                },
                seq,
            },
            part: PartId::try_new(&format!("P-{seq}")).ok(),
            product: ProductName::try_new("washer").ok(),
            source: None,
            outcome: Outcome::Judged(Judgement {
                verdict: if seq.is_multiple_of(50) { Verdict::Reject } else { Verdict::Pass },
                score: score(if seq.is_multiple_of(50) { 0.5 } else { 0.125 }),
                thresholds: Thresholds::try_new(score(0.25), score(0.5), 0).unwrap(),
                region: Roi { x: 1, y: 2, width: 32, height: 32 },
            }),
            witnesses: Vec::new(),
            captured,
            judged: Moment::from_micros(captured.micros() + 40_000),
            latency: Duration::from_millis(40),
            deadline_ms: 300,
            origin: RowProvenance { model: [1; 32], thresholds: [2; 32], settings: [3; 32] },
            timings: Timings::NONE,
            repeat: false,
        }
    }

    fn next(&mut self) -> Row {
        self.last += 1;
        self.row(self.last)
    }
}

fn main() {
    let numbers: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let millions: u64 = numbers.first().map_or(1, |word| word.parse().unwrap());
    let folder = match numbers.get(1) {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    println!("{:<10} {:<44} {:>12} {:>12} {:>12}", "ledger", "what", "ms", "commit p99", "commit max");
    for owed in [false, true] {
        let path = folder.path().join("ledger.sqlite3");
        measure(&path, millions * 1_000_000, owed);
        for end in ["", "-wal", "-shm", ".lock", ".slip"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
    }
}

/// Prints a row with what was counted.
fn count(what: &str, number: u64) {
    println!("{:<10} {what:<44} {number:>12}", "");
}

/// Prints a row: how long `job` took, beside a writer or alone.
fn time(owed: bool, what: &str, took: Duration, mut commits: Vec<Duration>) {
    let ledger = if owed { "owed" } else { "sent" };
    commits.sort_unstable();
    let ms = |took: Option<&Duration>| {
        took.map_or_else(|| "-".to_owned(), |took| format!("{:.1}", took.as_secs_f64() * 1e3))
    };
    let p99 = ms(commits.get(commits.len() * 99 / 100));
    println!("{ledger:<10} {what:<44} {:>12.1} {p99:>12} {:>12}", took.as_secs_f64() * 1e3, ms(commits.last()));
}

fn alone<T>(owed: bool, what: &str, job: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = job();
    time(owed, what, start.elapsed(), Vec::new());
    result
}

/// Runs `job` on a reader of its own while verdicts are written.
fn beside(owed: bool, what: &str, ledger: &mut Ledger, line: &mut Line, job: impl FnOnce(&Reader) + Send) {
    let path = ledger.path().to_owned();
    let over = AtomicBool::new(false);
    let mut commits = Vec::new();
    let took = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let start = Instant::now();
            job(&Reader::open(&path).unwrap());
            over.store(true, Ordering::Release);
            start.elapsed()
        });
        while !over.load(Ordering::Acquire) {
            let row = line.next();
            let start = Instant::now();
            ledger.record(&[row]).unwrap();
            commits.push(start.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
        reading.join().unwrap()
    });
    time(owed, what, took, commits);
}

fn fill(path: &Path, parts: u64, owed: bool) -> Line {
    let mut ledger = Ledger::open(path).unwrap();
    let names = (LineName::try_new("L1").unwrap(), StationName::try_new("S1").unwrap());
    let now = SystemTime::now();
    let run = ledger.start_run(&names.0, &names.1, now).unwrap();
    let first_micros = Moment::from(now).micros() - parts.cast_signed() * PART_EVERY_MICROS;
    let mut line = Line { run, last: 0, first_micros };
    let mut sent = Vec::new();
    while line.last < parts {
        let rows: Vec<Row> = (0..FILLED_AT_ONCE).map(|_| line.next()).collect();
        let recorded = ledger.commit(&[], &rows, &[], &sent).unwrap();
        if !owed {
            let at = rows.last().map(|row| row.judged).unwrap();
            sent = recorded.iter().map(|recorded| acknowledged(*recorded, at)).collect();
        }
    }
    ledger.mark_sent(&sent).unwrap();
    line
}

fn acknowledged(recorded: Recorded, at: Moment) -> Sent {
    let (Recorded::First(row) | Recorded::Again(row) | Recorded::Late(row)) = recorded;
    Sent { row, at }
}

fn measure(path: &Path, parts: u64, owed: bool) {
    let mut line = alone(owed, "fill", || fill(path, parts, owed));
    count("MiB", std::fs::metadata(path).unwrap().len() >> 20);
    let mut ledger = alone(owed, "open", || Ledger::open(path).unwrap());
    alone(owed, "count what is owed, as each start does", || ledger.read().unsent_count().unwrap());
    alone(owed, "close parts of an earlier run", || ledger.close_entered(SystemTime::now().into()).unwrap());
    alone(owed, "20 owed verdicts from the start", || ledger.read().unsent(RowId::START, BROUGHT_AT_ONCE).unwrap());
    alone(owed, "newest 512", || ledger.read().newest(None, 512).unwrap());
    alone(owed, "one part", || ledger.read().part(&line.row(parts / 2).key).unwrap());
    // Half of what is there is old.
    let old = line.row(parts / 2).captured;
    let mut most = Duration::ZERO;
    let mut gone = 0;
    for _ in 0..PURGES {
        let start = Instant::now();
        gone += ledger.purge(old, PURGED_AT_ONCE).unwrap();
        most = most.max(start.elapsed());
    }
    time(owed, &format!("retention, the longest of {PURGES} steps"), most, Vec::new());
    count("verdicts deleted by them", gone.into());
    beside(owed, "nothing else", &mut ledger, &mut line, |_| std::thread::sleep(Duration::from_secs(10)));
    beside(owed, "20,000 newest, as the page looks at them", &mut ledger, &mut line, |reader| {
        let mut before = None;
        for _ in 0..40 {
            let page = reader.newest(before, 512).unwrap();
            before = page.last().and_then(|entry| entry.as_ref().ok()).map(|stored| stored.id);
        }
    });
    beside(owed, "stats", &mut ledger, &mut line, |reader| {
        reader.stats().unwrap();
    });
    beside(owed, "every verdict, as what-if and export read them", &mut ledger, &mut line, |reader| {
        assert!(reader.rows(Span::ALL).all(|row| row.unwrap().is_ok()));
    });
    beside(owed, "verify", &mut ledger, &mut line, |reader| {
        let report = reader.verify().unwrap();
        assert!(report.is_sound(), "{report:?}");
    });
    alone(owed, "close", || drop(ledger));
}
