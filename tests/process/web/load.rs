//! What the page takes from the line: latencies of verdicts with a browser's worth of requests and a what-if over a
//! million parts going on, beside those without, in turns in one process. A measurement, not a test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{get, post};
use super::{is_verdict, port};
use crate::broker::{Broker, Received, Subscriber};
use crate::ledger::prefill;
use crate::station::{Station, diad};

const ON_RECORD: u64 = 1_000_000;
pub const TURNS: usize = 5;
const PARTS: usize = 120;
/// Time between two parts, in times of the networks: a line that keeps up, so that a latency is no queue.
pub const PACE: f64 = 2.2;

/// Everything that a page asks for, again and again, until `stop`.
fn ask(port: u16, stop: &Arc<AtomicBool>, whatifs: &Arc<AtomicU64>) -> Vec<std::thread::JoinHandle<()>> {
    let spawn = |name: &str, work: Box<dyn Fn() + Send>| {
        let stop = Arc::clone(stop);
        let run = move || {
            while !stop.load(Ordering::Relaxed) {
                work();
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run).unwrap()
    };
    let whatifs = Arc::clone(whatifs);
    let question = json!({ "thresholds": "default: { review: 0.3, reject: 0.4 }" });
    vec![
        spawn(
            "whatif",
            Box::new(move || {
                let begun = Instant::now();
                assert_eq!(post(port, "/api/v1/whatif", &question).status, 200);
                whatifs.store(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
            }),
        ),
        spawn(
            "events",
            Box::new(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
                let mut buffer = [0; 4096];
                for _ in 0..20 {
                    let _ = stream.read(&mut buffer).unwrap();
                }
            }),
        ),
        spawn(
            "pictures",
            Box::new(move || {
                get(port, "/api/v1/cameras/cam0/overlay.png");
                get(port, "/api/v1/parts?limit=50");
                // As often as the page does.
                std::thread::sleep(Duration::from_millis(500));
            }),
        ),
    ]
}

/// Latencies of the next verdicts, in milliseconds.
pub fn latencies(plant: &Subscriber) -> Vec<f64> {
    let one = || {
        let heard: Vec<Received> = plant.until(is_verdict);
        heard.iter().rfind(|message| is_verdict(message)).unwrap().payload["latency_ms"].as_f64().unwrap()
    };
    (0..PARTS).map(|_| one()).collect()
}

/// How long the networks take for a part on this machine as it is now, in milliseconds.
pub fn part_ms() -> f64 {
    let bench = diad().args(["bench", "--seconds", "3", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&bench.stdout).unwrap();
    report["latency_ms"]["p50"].as_f64().unwrap()
}

/// The value that a share of sorted values does not exceed.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
}

#[test]
#[ignore = "minutes; make bench-page runs it"]
fn page_and_what_if_beside_the_line() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/verdict");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../onnx/models/diad-tiny");
    let every_ms = (PACE * part_ms()).ceil();
    let camera = format!(
        "  - {{ id: cam0, source: {{ kind: rendered, products: [gear] }}, trigger: {{ kind: free_run, every_ms: {every_ms} }} }}"
    );
    let mut station = Station::prepare_at(broker.port(), &shipped, &camera, "deadline_ms: 5000");
    prefill(&station.ledger(), ON_RECORD);
    station.restart();
    let port = port(&station);
    plant.until(|m| is_verdict(m) && m.payload["seq"] == 20);
    let whatif_ms = Arc::new(AtomicU64::new(0));
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        without.extend(latencies(&plant));
        let stop = Arc::new(AtomicBool::new(false));
        let asking = ask(port, &stop, &whatif_ms);
        with.extend(latencies(&plant));
        stop.store(true, Ordering::Relaxed);
        asking.into_iter().for_each(|thread| thread.join().unwrap());
    }
    println!("a part every {every_ms} ms");
    println!("| latency of a verdict, ms | p50 | p99 | parts |\n|---|---|---|---|");
    for (name, latencies) in [("without the page", &mut without), ("page and what-if", &mut with)] {
        latencies.sort_by(f64::total_cmp);
        let (p50, p99) = (percentile(latencies, 0.5), percentile(latencies, 0.99));
        println!("| {name} | {p50:.1} | {p99:.1} | {} |", latencies.len());
    }
    println!(
        "ratio of p99: {:.2}; a what-if over {ON_RECORD} parts beside the line took {:.1} s",
        percentile(&with, 0.99) / percentile(&without, 0.99),
        whatif_ms.load(Ordering::Relaxed) as f64 / 1000.0,
    );
}
