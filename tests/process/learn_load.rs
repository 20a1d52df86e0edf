//! What `diad learn` takes from the line that runs on the same machine: latencies of verdicts with one learning beside them,
//! and without, in turns in one process. A measurement, not a test.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diad_scene::{Line, Product, render};

use crate::broker::{Broker, Subscriber};
use crate::station::{Station, diad, foundations};
use crate::web::is_verdict;
use crate::web::load::{PACE, TURNS, latencies, part_ms, percentile};

/// Good parts that are learnt.
const GOOD: u64 = 60;
const SEED: u64 = 11;

/// The foundations that are fetched, else that of the fixtures.
fn heaviest() -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/foundation");
    if fetched.join("dinov2-s").is_dir() { fetched } else { foundations() }
}

fn learn(config: &Path, good: &Path) -> Child {
    diad()
        .args(["learn", "--product", "ring", "--dry-run", "--force", "--config"])
        .args([config, good])
        .env("DIAD_FOUNDATIONS", heaviest())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "minutes; make bench-learn runs it"]
fn learning_beside_the_line() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/verdict");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../onnx/models/diad-tiny");
    let every_ms = (PACE * part_ms()).ceil();
    let camera = format!(
        "  - {{ id: cam0, source: {{ kind: rendered, products: [gear] }}, trigger: {{ kind: free_run, every_ms: {every_ms} }} }}"
    );
    let station = Station::launch(&shipped, &broker, &camera, "deadline_ms: 5000");
    let good = station.folder.path().join("good");
    std::fs::create_dir(&good).unwrap();
    let line = Line::new(SEED, &[Product::Washer], 0.0);
    for part in 0..GOOD {
        render(&line.part(part)).image.save(good.join(format!("{part:03}.png"))).unwrap();
    }
    plant.until(|m| is_verdict(m) && m.payload["seq"] == 20);
    let config = station.folder.path().join("diad.yaml");
    let (mut without, mut with, mut learnt) = (Vec::new(), Vec::new(), 0);
    for _ in 0..TURNS {
        without.extend(latencies(&plant));
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, config, good) = (Arc::clone(&stop), config.clone(), good.clone());
        let again = move || {
            let mut done = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                let mut child = learn(&config, &good);
                while child.try_wait().unwrap().is_none() {
                    if ended.load(Ordering::Relaxed) {
                        child.kill().unwrap();
                        child.wait().unwrap();
                        return done;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                done += 1;
            }
            done
        };
        let learning = std::thread::Builder::new().name("learning".to_owned()).spawn(again).unwrap();
        with.extend(latencies(&plant));
        stop.store(true, Ordering::Relaxed);
        learnt += learning.join().unwrap();
    }
    println!("a part every {every_ms} ms; {learnt} times {GOOD} parts were learnt to the end beside the line");
    println!("| latency of a verdict, ms | p50 | p99 | parts |\n|---|---|---|---|");
    for (name, latencies) in [("nothing beside the line", &mut without), ("learning beside the line", &mut with)] {
        latencies.sort_by(f64::total_cmp);
        let (p50, p99) = (percentile(latencies, 0.5), percentile(latencies, 0.99));
        println!("| {name} | {p50:.1} | {p99:.1} | {} |", latencies.len());
    }
    println!("ratio of p99: {:.2}", percentile(&with, 0.99) / percentile(&without, 0.99));
}
