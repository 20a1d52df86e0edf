//! The happy line, and the shapes of what it says.

use std::fs;

use serde_json::Value;

use super::broker::{Broker, Subscriber};
use super::station::{Station, diad, is_offline, micro, of, verdicts, write_parts};

const REPLAY: &str = "  - { id: cam0, source: { kind: replay, folder: FOLDER }, trigger: { kind: camera } }";

fn replay(folder: &std::path::Path) -> String {
    REPLAY.replace("FOLDER", &folder.display().to_string())
}

#[test]
fn run_over_a_folder_publishes_one_verdict_and_one_bit_for_every_file_and_ends() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let pictures = tempfile::tempdir().unwrap();
    write_parts(pictures.path(), 12);
    let mut station = Station::start(&broker, &replay(pictures.path()));

    let heard = plant.until(is_offline);

    assert_eq!(station.exit_code(), Some(0));
    let verdicts = verdicts(&heard);
    assert_eq!(verdicts.keys().copied().collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    for verdict in verdicts.values() {
        assert!(["PASS", "REVIEW", "REJECT"].contains(&verdict["verdict"].as_str().unwrap()), "{verdict}");
        assert_eq!((&verdict["camera"], &verdict["historical"]), (&"cam0".into(), &false.into()));
        assert!(verdict["score"].as_f64().unwrap().is_finite());
        assert!(verdict["model"].as_str().unwrap().starts_with("sha256:"));
    }
    let bits = of(&heard, "reject");
    assert_eq!(bits.len(), 12, "one bit a part");
    for bit in bits {
        let rejected = verdicts[&bit["seq"].as_u64().unwrap()]["verdict"] == "REJECT";
        assert_eq!(bit["reject"], u64::from(rejected), "{bit}");
    }
    let states: Vec<_> = of(&heard, "state").iter().map(|s| s["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states.first().map(String::as_str), Some("starting"));
    assert!(states.contains(&"ready".to_owned()), "{states:?}");
}

#[test]
fn run_twice_over_the_same_pictures_gives_the_same_scores_under_another_run_id() {
    let pictures = tempfile::tempdir().unwrap();
    write_parts(pictures.path(), 4);
    let mut runs = Vec::new();
    for _ in 0..2 {
        let broker = Broker::start();
        let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
        let mut station = Station::start(&broker, &replay(pictures.path()));
        let heard = verdicts(&plant.until(is_offline));
        assert_eq!(station.exit_code(), Some(0));
        let scores: Vec<_> = heard.values().map(|v| v["score"].clone()).collect();
        runs.push((scores, heard[&1]["run"].clone()));
    }
    assert_eq!(runs[0].0, runs[1].0);
    assert_ne!(runs[0].1, runs[1].1);
}

/// What was calibrated with `eval` or looked at with `inspect` holds on the line.
#[test]
fn run_inspect_and_eval_give_the_same_picture_the_same_score() {
    let set = tempfile::tempdir().unwrap();
    let pictures = set.path().join("any/test/good");
    fs::create_dir_all(&pictures).unwrap();
    write_parts(&pictures, 3);
    let said = |arguments: &[&std::ffi::OsStr]| -> Value {
        let output = diad().args(arguments).args(["--json", "--model"]).arg(micro()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let files = [0, 1, 2].map(|n| pictures.join(format!("{n:03}.png")));
    let inspected = said(&["inspect".as_ref(), files[0].as_ref(), files[1].as_ref(), files[2].as_ref()]);
    let evaluated = said(&["eval".as_ref(), set.path().as_ref()]);

    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/verdict");
    let mut station = Station::start(&broker, &replay(&pictures));
    assert_eq!(station.exit_code(), Some(0));
    let run = verdicts(&plant.until(|message| message.payload["seq"] == 3));

    for (n, file) in files.iter().enumerate() {
        let of = |list: &Value| {
            let is_file = |part: &&Value| file.ends_with(part["path"].as_str().unwrap());
            list.as_array().unwrap().iter().find(is_file).unwrap()["score"].clone()
        };
        let score = run[&(n as u64 + 1)]["score"].clone();
        assert!(score.as_f64().unwrap() > 0.0, "{score}");
        assert_eq!(
            [of(&inspected["images"]), of(&evaluated["classes"]["any"]["parts"])],
            [score.clone(), score],
            "{}",
            file.display()
        );
    }
}

#[test]
fn run_asked_to_stop_says_offline_with_every_part_accounted_for() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let cameras = "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: free_run, every_ms: 50 } }";
    let mut station = Station::start(&broker, cameras);
    let mut heard = plant.until(|m| m.topic.ends_with("/verdict") && m.payload["seq"] == 10);

    station.signal("TERM");
    heard.extend(plant.until(is_offline));

    assert_eq!(station.exit_code(), Some(0));
    let seqs: Vec<u64> = verdicts(&heard).into_keys().collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "no gap");
    let log = station.log();
    let stopped = log.lines().find(|line| line.contains("station stopped")).unwrap();
    let number = |key: &str| -> u64 {
        let value = stopped.split(key).nth(1).unwrap();
        value.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    assert_eq!(number("triggered="), number("verdicts="), "{stopped}");
    assert_eq!(number("triggered="), seqs.len() as u64, "{stopped}");
}

#[test]
fn trigger_message_takes_one_part_with_its_mark_and_the_product_in_force() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let cameras = "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: mqtt } }";
    let _station = Station::start(&broker, cameras);
    plant.until(|m| m.topic.ends_with("/state") && m.payload["state"] == "ready");

    plant.publish("factory/L1/S1/product", true, r#"{"product":"washer"}"#);
    plant.publish("factory/L1/S1/trigger", false, r#"{"part":"P-77"}"#);
    plant.publish("factory/L1/S1/trigger", false, r#"{"part":12}"#);
    plant.publish("factory/L1/S1/trigger", false, r#"{"part":"P-78","camera":"cam9"}"#);
    plant.publish("factory/L1/S1/product", true, r#"{"product":"gear"}"#);
    plant.publish("factory/L1/S1/trigger", false, r#"{"part":"P-79","camera":"cam0"}"#);

    let heard = plant.until(|m| m.topic.ends_with("/verdict") && m.payload["part"] == "P-79");
    let said: Vec<_> = heard.iter().filter(|m| m.topic.ends_with("/verdict")).map(|m| m.payload.clone()).collect();
    let find = |part: &str| said.iter().find(|v| v["part"] == part).unwrap();
    assert_eq!((&find("P-77")["product"], &find("P-77")["seq"]), (&"washer".into(), &1.into()));
    assert_eq!((&find("12")["product"], &find("12")["seq"]), (&"washer".into(), &2.into()));
    assert_eq!((&find("P-79")["product"], &find("P-79")["seq"]), (&"gear".into(), &3.into()));
    let stranger = find("P-78");
    assert_eq!((&stranger["verdict"], &stranger["reason"]), (&"UNJUDGED".into(), &"camera".into()), "{stranger}");
    assert_eq!(said.len(), 4, "one part for each trigger");
}

/// More triggers than the line can judge, and a stop in the middle of them: none is forgotten.
#[test]
fn triggers_that_a_stop_overtakes_get_their_verdict() {
    const PARTS: u64 = 200;
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let cameras = "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: mqtt } }";
    let mut station = Station::start(&broker, cameras);
    plant.until(|m| m.topic.ends_with("/state") && m.payload["state"] == "ready");

    for part in 1..=PARTS {
        plant.publish("factory/L1/S1/trigger", false, format!(r#"{{"part":"P-{part}"}}"#));
    }
    // The plant hears its own triggers: when it hears the last, the broker has handed it to the station too.
    let mut heard = plant.until(|m| m.topic.ends_with("/trigger") && m.payload["part"] == format!("P-{PARTS}"));
    station.signal("TERM");
    heard.extend(plant.until(is_offline));

    assert_eq!(station.exit_code(), Some(0));
    let mut parts: Vec<String> = of(&heard, "verdict").iter().map(|v| v["part"].as_str().unwrap().to_owned()).collect();
    parts.sort_unstable();
    let mut wanted: Vec<String> = (1..=PARTS).map(|part| format!("P-{part}")).collect();
    wanted.sort_unstable();
    assert_eq!(parts, wanted, "each part once; {}", station.log());
    assert!(of(&heard, "verdict").iter().any(|v| v["reason"] == "shutdown" || v["reason"] == "camera"));
}

#[test]
fn thresholds_saved_while_running_take_effect_and_a_bad_save_changes_nothing() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let cameras = "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: free_run, every_ms: 50 } }";
    let station = Station::start(&broker, cameras);
    let first = plant.until(|m| m.topic.ends_with("/verdict"));
    let digest = |v: &Value| v["thresholds"].clone();
    let before = digest(verdicts(&first).values().next().unwrap());
    let path = station.folder.path().join("thresholds.yaml");

    fs::write(&path, "default: { review: 0.5, reject: 0.3 }\n").unwrap();
    let refused = plant.until(|m| m.topic.ends_with("/state") && m.payload["state"] == "degraded");
    let detail = refused.last().unwrap().payload["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("thresholds.yaml:1:"), "{detail}");
    assert!(verdicts(&refused).values().all(|v| digest(v) == before));

    fs::write(&path, "default: { review: 0, reject: 0 }\n").unwrap();
    let changed = plant.until(|m| m.topic.ends_with("/verdict") && digest(&m.payload) != before);
    assert!(of(&changed, "state").iter().any(|s| s["state"] == "ready"));
    assert_eq!(changed.last().unwrap().payload["verdict"], "REJECT");
}
