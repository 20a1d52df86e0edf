//! Golden parts of a running daemon.

use std::fs;

use diad_scene::{Line, render};
use serde_json::json;

use super::broker::{Broker, Received, Subscriber};
use super::station::{Station, micro, of};
use super::web::client::post;
use super::web::port;

/// Settings and thresholds by which every part is rejected.
fn station(broker: &Broker, golden: &std::path::Path) -> Station {
    let cameras = "  - { id: cam0, source: { kind: rendered }, trigger: { kind: free_run, every_ms: 100 } }";
    let more = format!("deadline_ms: 20000\ngolden: {{ folder: {} }}", golden.display());
    let mut station = Station::prepare_at(broker.port(), &micro(), cameras, &more);
    fs::write(station.folder.path().join("thresholds.yaml"), "default: { review: 0, reject: 0 }\n").unwrap();
    station.restart();
    station
}

fn is_state(state: &str) -> impl Fn(&Received) -> bool {
    move |message| message.topic.ends_with("/state") && message.payload["state"] == state
}

#[test]
fn daemon_is_ready_only_after_its_golden_parts_came_out_right_and_judges_all_the_while() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["good", "bad"] {
        fs::create_dir_all(folder.path().join("washer").join(kind)).unwrap();
    }
    let (good, bad) = (folder.path().join("washer/good/a.png"), folder.path().join("washer/bad/a.png"));
    render(&Line::new(3, &[], 0.0).part(0)).image.save(&good).unwrap();
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let station = station(&broker, folder.path());

    let heard = plant.until(is_state("degraded"));
    assert!(heard.iter().all(|message| !is_state("ready")(message)), "{heard:?}");
    let detail = heard.last().unwrap().payload["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("washer/good/a.png is REJECT with score "), "{detail}");
    plant.until(|message| message.topic.ends_with("/verdict"));

    fs::rename(&good, &bad).unwrap();
    station.signal("USR1");
    let heard = plant.until(is_state("ready"));
    assert_eq!(of(&heard, "state").len(), 1, "{heard:?}");

    // Other thresholds: the golden parts are judged anew.
    fs::write(
        station.folder.path().join("thresholds.yaml"),
        "default: { review: 1, reject: 1 }\nproducts: { washer: { min_area_px: 1000000 } }\n",
    )
    .unwrap();
    let heard = plant.until(is_state("degraded"));
    let detail = heard.last().unwrap().payload["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("washer/bad/a.png is PASS with score "), "{detail}");

    // And when the page asks for it.
    fs::rename(&bad, &good).unwrap();
    assert_eq!(post(port(&station), "/api/v1/golden", &json!({})).status, 200);
    plant.until(is_state("ready"));
}
