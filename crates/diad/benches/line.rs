//! What the line costs beside the networks: a real ledger, a real broker, real threads, and networks that compute nothing.
//!
//! `cargo bench -p diad --bench line -- [SECONDS [QUEUED [SECONDS_OF_MEMORY]]]`: every measurement takes about SECONDS
//! (default 10); QUEUED verdicts wait for the broker (default 100,000); memory is watched for SECONDS_OF_MEMORY (default
//! six times SECONDS). The last column is the measured over its aim.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot run says why and ends; its numbers are its purpose"
)]

#[expect(dead_code, unused_imports, reason = "the bench needs a broker and no more")]
#[path = "../../diad_publish/tests/broker/mod.rs"]
mod broker;
#[path = "../tests/line/null.rs"]
mod null;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use broker::Broker;
use diad::line::{CameraSpec, Ended, Line, Overload, Stop, start};
use diad::settings::Trigger;
use diad_capture::{Camera, Capture, CaptureError, Picture, Take};
use diad_core::event::{InspectionEvent, Reason};
use diad_core::frame::{PartKey, PartMeta, PixelFormat, Stamp};
use diad_core::name::{CameraId, LineName, StationName};
use diad_ledger::{Ledger, Reader, Row, RowId, RowProvenance, RunContext, Timings};
use diad_publish::Publisher;
use null::Place;

/// Longest time from capture to acknowledgement that all but one part in a hundred may take beside the networks.
const P99_MS: f64 = 10.0;
/// Verdicts a second that must go through.
const PER_S: f64 = 1000.0;

/// Gives a grey picture whenever it is asked, and costs next to nothing.
struct Grey;

impl Camera for Grey {
    fn describe(&self) -> String {
        "grey".to_owned()
    }

    fn next_frame(&mut self, _: Instant, _: Duration) -> Result<Take, CaptureError> {
        let bytes = vec![128; (null::SIDE * null::SIDE) as usize];
        let picture = Picture::try_new(null::SIDE, null::SIDE, PixelFormat::Mono8, bytes).unwrap();
        let stamp = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        Ok(Take::Frame(Capture { picture, stamp, source: None, truth: None }))
    }
}

fn camera(name: &str, trigger: Trigger, overload: Overload) -> CameraSpec {
    CameraSpec::new(CameraId::try_new(name).unwrap(), trigger, overload, || Ok(Box::new(Grey)))
}

/// One camera on the clock.
fn clock(every: Duration) -> Vec<CameraSpec> {
    vec![camera("cam0", Trigger::FreeRun { every }, Overload::EvictOldest)]
}

/// A line under measurement, with its folder on the disk under the target folder.
struct Bench {
    place: Place,
    _folder: tempfile::TempDir,
    _broker: Broker,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let broker = Broker::start();
        let ledger = folder.path().join("ledger.sqlite3");
        let place = Place { ledger, port: broker.port(), deadline: Duration::from_secs(10) };
        Self { place, _folder: folder, _broker: broker }
    }

    fn start(&self, cameras: Vec<CameraSpec>) -> (Line<()>, Arc<Publisher>, Stop) {
        let (spec, publisher) = null::spec(&self.place, cameras, Box::new(|_| Ok(0.0)), Box::new(|_, _| {}));
        let give_up = Instant::now() + Duration::from_secs(10);
        while !publisher.status().connected {
            assert!(Instant::now() < give_up, "no broker");
            std::thread::sleep(Duration::from_millis(1));
        }
        let stop = Stop::new();
        (start(spec, stop.clone()).unwrap(), publisher, stop)
    }

    /// From capture to the broker's acknowledgement, in milliseconds, sorted.
    fn delivered_ms(&self) -> Vec<f64> {
        let reader = Reader::open(&self.place.ledger).unwrap();
        let (mut after, mut all) = (RowId::START, Vec::new());
        loop {
            let page = reader.oldest(after, 4096).unwrap();
            let Some(Ok(last)) = page.last() else { break };
            after = last.id;
            for row in page.into_iter().flatten() {
                let acknowledged = row.acknowledged.unwrap();
                all.push((acknowledged.micros() - row.row.captured.micros()) as f64 / 1e3);
            }
        }
        all.sort_by(f64::total_cmp);
        all
    }
}

fn end(line: Line<()>, stop: &Stop) {
    stop.ask(Duration::from_secs(5));
    assert!(matches!(line.join(Vec::new), Ended::Clean(..)));
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// Resident memory of this process, in MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Capture to acknowledgement at a steady rate.
fn overhead(seconds: u64) {
    for per_s in [20, 100] {
        let bench = Bench::new();
        let every = Duration::from_millis(1000 / per_s);
        let (line, _publisher, stop) = bench.start(clock(every));
        std::thread::sleep(Duration::from_secs(seconds));
        end(line, &stop);
        let ms = bench.delivered_ms();
        println!(
            "| capture to PUBACK, {per_s} parts/s, networks that take no time | {} parts | p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms | \
             p99 at most {P99_MS} ms | {:.2} |",
            ms.len(),
            percentile(&ms, 0.5),
            percentile(&ms, 0.99),
            percentile(&ms, 1.0),
            percentile(&ms, 0.99) / P99_MS,
        );
    }
}

/// As many parts as go through.
fn throughput(seconds: u64) {
    let bench = Bench::new();
    let cameras = ["cam0", "cam1", "cam2"].map(|name| camera(name, Trigger::Camera, Overload::Wait)).into();
    let begun = Instant::now();
    let (line, _publisher, stop) = bench.start(cameras);
    let account = line.account().clone();
    std::thread::sleep(Duration::from_secs(seconds));
    let rate = account.totals().verdicts() as f64 / begun.elapsed().as_secs_f64();
    end(line, &stop);
    let totals = account.totals();
    assert_eq!((totals.triggered, totals.unjudged), (totals.verdicts(), 0), "{totals:?}");
    let delivered = bench.delivered_ms().len() as f64 / begun.elapsed().as_secs_f64();
    println!(
        "| sustained, three cameras as fast as they go | {} parts | {rate:.0} verdicts/s on record, {delivered:.0}/s acknowledged | \
         at least {PER_S}/s | {:.2} |",
        totals.triggered,
        rate / PER_S,
    );
}

/// Memory at 100 parts a second, five times on the way.
fn memory(seconds: u64) {
    let bench = Bench::new();
    let (line, _publisher, stop) = bench.start(clock(Duration::from_millis(10)));
    let mib: Vec<f64> = (0..5)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(seconds * 200));
            resident_mib()
        })
        .collect();
    let said: Vec<String> = mib.iter().map(|mib| format!("{mib:.1}")).collect();
    let parts = line.account().totals().verdicts();
    end(line, &stop);
    println!(
        "| memory at 100 parts/s over {seconds} s | {parts} parts | {} MiB, at every fifth of the time | \
         flat: the last over the first is 1 | {:.2} |",
        said.join(", "),
        mib[4] / mib[0],
    );
}

/// Verdicts that wait in the ledger for a broker that is back.
fn drain(count: u64) {
    let bench = Bench::new();
    let mut ledger = Ledger::open(&bench.place.ledger).unwrap();
    let (line, station) = (LineName::try_new("L1").unwrap(), StationName::try_new("S1").unwrap());
    let run = ledger.start_run(&line, &station, SystemTime::now()).unwrap();
    let context = RunContext { line, station, run, deadline_ms: 200 };
    let origin = RowProvenance { model: [1; 32], thresholds: [2; 32], settings: [3; 32] };
    let at = Stamp { wall: SystemTime::now(), mono: Instant::now() };
    let row = |seq| {
        let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
        let meta = PartMeta { key, part: None, product: None, source: None, captured: at };
        Row::of_event(&context, &InspectionEvent::unjudged(meta, Reason::Camera, at), origin, Timings::NONE)
    };
    for first in (1..=count).step_by(5000) {
        let rows: Vec<_> = (first..(first + 5000).min(count + 1)).map(row).collect();
        ledger.record(&rows).unwrap();
    }
    drop(ledger);
    let before = resident_mib();
    let every = Duration::from_millis(10);
    let (line, publisher, stop) = bench.start(clock(every));
    let begun = Instant::now();
    let mut most = 0;
    while line.account().totals().owed > 16 || begun.elapsed() < Duration::from_secs(1) {
        most = most.max(publisher.status().queued + publisher.status().in_flight);
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begun.elapsed().as_secs_f64();
    let after = resident_mib();
    end(line, &stop);
    println!(
        "| backlog of {count} beside 100 live parts/s | drained in {took:.1} s, {:.0}/s | at most {most} in memory, {:+.1} MiB | \
         flat: after over before is 1 | {:.2} |",
        count as f64 / took,
        after - before,
        after / before,
    );
}

fn main() {
    let given: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let seconds = given.first().copied().unwrap_or(10);
    println!("| what | how much | result | aim | of the aim |\n|---|---|---|---|---|");
    overhead(seconds);
    throughput(seconds);
    drain(given.get(1).copied().unwrap_or(100_000));
    memory(given.get(2).copied().unwrap_or(seconds * 6));
}
