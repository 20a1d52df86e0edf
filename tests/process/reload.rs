//! SIGHUP: what `systemctl reload` asks for.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::broker::{Broker, Received, Subscriber, wait_until};
use super::station::{Station, of, verdicts};

const CAMERAS: &str =
    "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: free_run, every_ms: 50 } }";

fn digest(verdict: &Value) -> Value {
    verdict["thresholds"].clone()
}

fn is_state(message: &Received, state: &str) -> bool {
    message.topic.ends_with("/state") && message.payload["state"] == state
}

#[test]
fn hangup_takes_saved_thresholds_over_at_once_and_says_so_even_when_nothing_changed() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let station = Station::start(&broker, CAMERAS);
    let first = plant.until(|m| m.topic.ends_with("/verdict"));
    let before = digest(verdicts(&first).values().next().unwrap());

    station.signal("HUP");
    wait_until("the answer to the first signal", || {
        let log = station.log();
        log.contains("thresholds taken over") && log.contains("they are what runs")
    });

    let path = station.folder.path().join("thresholds.yaml");
    fs::write(&path, "default: { review: 0, reject: 0, ignore: [{ x: 0, y: 0, width: 8, height: 8 }] }\n").unwrap();
    station.signal("HUP");
    let changed = plant.until(|m| m.topic.ends_with("/verdict") && digest(&m.payload) != before);
    assert_eq!(changed.last().unwrap().payload["verdict"], "REJECT");
    assert!(of(&changed, "state").iter().all(|state| state["state"] != "degraded"));

    fs::write(&path, "default: { review: 0, reject: 0, ignore: 3 }\n").unwrap();
    station.signal("HUP");
    let refused = plant.until(|m| is_state(m, "degraded"));
    let detail = refused.last().unwrap().payload["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("thresholds.yaml:1:42: default.ignore: 3 is a number"), "{detail}");
}

#[test]
fn save_that_names_a_product_which_the_model_does_not_know_is_taken_and_told_without_being_a_fault() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let station = Station::start(&broker, CAMERAS);
    plant.until(|m| is_state(m, "ready"));
    let path = station.folder.path().join("thresholds.yaml");
    let detail = |message: &Received| message.payload["detail"].as_str().unwrap_or_default().to_owned();

    fs::write(&path, "default: { review: 0.2, reject: 0.4 }\nproducts: { wahser: { reject: 0.3 } }\n").unwrap();
    let told = "the model does not know product wahser, only washer, fabric";
    let heard = plant.until(|m| m.topic.ends_with("/state") && detail(m).contains(told));
    assert!(of(&heard, "state").iter().all(|state| state["state"] == "ready"), "{heard:?}");
    wait_until("the log", || station.log().contains("WARN") && station.log().contains(told));

    fs::write(&path, "default: { review: 0.2, reject: 0.4 }\nproducts: { washer: { reject: 0.3 } }\n").unwrap();
    // That the plant has named no product of those is told as well, after a while.
    let heard = plant.until(|m| m.topic.ends_with("/state") && !detail(m).contains("thresholds since"));
    assert!(of(&heard, "state").iter().all(|state| state["state"] == "ready"), "{heard:?}");
}

#[test]
fn saves_that_no_thresholds_file_can_be_change_nothing_and_are_named() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let station = Station::start(&broker, CAMERAS);
    let first = plant.until(|m| is_state(m, "ready"));
    let path = station.folder.path().join("thresholds.yaml");
    let sound = fs::read(&path).unwrap();
    let before = verdicts(&plant.until(|m| m.topic.ends_with("/verdict"))).values().next().map(digest).unwrap();
    assert!(of(&first, "state").iter().all(|state| state["state"] != "degraded"));

    let cases: [(&str, &dyn Fn(), &str); 3] = [
        (
            "10 MB",
            &|| fs::write(&path, [&sound[..], &b"# more and more\n".repeat(10 << 16)].concat()).unwrap(),
            "is too large",
        ),
        ("not UTF-8", &|| fs::write(&path, [&sound[..], b"# \xff\n"].concat()).unwrap(), "UTF-8"),
        (
            "a directory",
            &|| {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            },
            "is a folder",
        ),
    ];
    for (name, save, want) in cases {
        save();
        let heard =
            plant.until(|m| is_state(m, "degraded") && m.payload["detail"].as_str().unwrap_or_default().contains(want));
        let detail = heard.last().unwrap().payload["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("thresholds.yaml") && detail.contains("the old ones stay"), "{name}: {detail}");
        assert!(verdicts(&heard).values().all(|verdict| digest(verdict) == before), "{name}");
        let after = plant.until(|m| m.topic.ends_with("/verdict") && m.payload["verdict"] != "UNJUDGED");
        assert!(verdicts(&after).values().all(|verdict| digest(verdict) == before), "{name}");
    }
    fs::remove_dir(&path).unwrap();
    fs::write(&path, &sound).unwrap();
    plant.until(|m| is_state(m, "ready"));
}

#[test]
fn save_after_save_loses_no_part_and_judges_none_by_a_mix() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let station = Station::start(&broker, CAMERAS);
    let path = station.folder.path().join("thresholds.yaml");
    let mut heard = plant.until(|m| m.topic.ends_with("/verdict"));
    let mut digests = vec![digest(verdicts(&heard).values().next().unwrap())];
    // Every set has cut-offs of its own; by the last, all parts are rejected.
    for (review, reject) in [(0.3, 0.5), (0.1, 0.6), (0.25, 0.45), (0.0, 0.0)] {
        fs::write(&path, format!("default: {{ review: {review}, reject: {reject} }}\n")).unwrap();
        heard.extend(plant.until(|m| {
            m.topic.ends_with("/verdict")
                && m.payload["review_at"] == json!(review)
                && m.payload["reject_at"] == json!(reject)
        }));
        digests.push(digest(&heard.last().unwrap().payload));
    }
    let verdicts = verdicts(&heard);
    let (first, last) = (verdicts.keys().min().unwrap(), verdicts.keys().max().unwrap());
    assert_eq!(verdicts.len() as u64, last - first + 1, "a part is missing");
    let mut cuts = BTreeMap::new();
    for verdict in verdicts.values().filter(|verdict| verdict["verdict"] != "UNJUDGED") {
        let of_verdict = [verdict["review_at"].to_string(), verdict["reject_at"].to_string()];
        let of_digest = cuts.entry(digest(verdict).to_string()).or_insert_with(|| of_verdict.clone());
        assert_eq!(*of_digest, of_verdict, "{verdict}");
    }
    assert_eq!(cuts.len(), digests.len(), "{cuts:?}");
}

#[test]
fn hangup_with_broken_settings_is_degraded_until_they_are_mended_and_never_stops_the_line() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let station = Station::start(&broker, CAMERAS);
    let first = plant.until(|m| m.topic.ends_with("/verdict"));
    let settings = |message: &Value| message["settings"].clone();
    let running = settings(verdicts(&first).values().next().unwrap());
    let path = station.folder.path().join("diad.yaml");
    let sound = fs::read_to_string(&path).unwrap();

    fs::write(&path, sound.replace("deadline_ms: 20000", "deadline_ms: soon\nspeed: 3")).unwrap();
    station.signal("HUP");
    let refused = plant.until(|m| is_state(m, "degraded"));
    let detail = refused.last().unwrap().payload["detail"].as_str().unwrap().to_owned();
    for want in ["settings since", "diad.yaml:5:14: deadline_ms: \"soon\" is text", "diad.yaml:6:1: speed: unknown key"]
    {
        assert!(detail.contains(want), "{want}: {detail}");
    }
    for _ in 0..5 {
        plant.until(|m| m.topic.ends_with("/verdict") && m.payload["verdict"] != "UNJUDGED");
    }

    // Sound again, with a value that only a restart takes.
    fs::write(&path, sound.replace("deadline_ms: 20000", "deadline_ms: 10000")).unwrap();
    station.signal("HUP");
    plant.until(|m| is_state(m, "ready"));
    wait_until("the log", || station.log().contains("deadline_ms: 20000 → 10000: needs a restart"));
    let after = plant.until(|m| m.topic.ends_with("/verdict"));
    let last = &after.last().unwrap().payload;
    assert_eq!((settings(last), &last["deadline_ms"]), (running, &20_000.into()));
}
