//! `diad doctor --config`: every row against a real broker, real files and a real station.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::broker::{Broker, Subscriber, free_port, wait_until};
use super::station::{Station, diad, micro, write_parts};

/// What only doctor sends, and where.
const OWN_TOPIC: &str = "factory/L1/S1/probe/doctor";

/// Longest time that a run may take here: the model is tiny and the sum of what is waited for below it.
const LONGEST: Duration = Duration::from_secs(90);

/// Rows of the machine that the tests run on: what they say is not of this station.
const OF_THE_MACHINE: [&str; 6] = ["clock", "systemd", "cpu", "memory", "disk speed", "deadline"];

/// A station of one camera that replays a folder of rendered parts.
fn prepare(port: u16) -> Station {
    let pictures =
        "  - { id: cam0, source: { kind: replay, folder: PICTURES, looped: true }, trigger: { kind: mqtt } }";
    let station = Station::prepare_at(port, &micro(), pictures, "deadline_ms: 20000");
    let folder = station.folder.path().join("pictures");
    fs::create_dir(&folder).unwrap();
    write_parts(&folder, 2);
    station.amend("PICTURES", &folder.display().to_string());
    station.amend("ledger.sqlite3 }", "ledger.sqlite3, images: { max_gib: 0 } }");
    station
}

fn doctor(station: &Station, more: &[&str]) -> Output {
    let began = Instant::now();
    let output =
        diad().args(["doctor", "--config"]).arg(station.folder.path().join("diad.yaml")).args(more).output().unwrap();
    assert!(began.elapsed() < LONGEST, "{:?}", began.elapsed());
    output
}

/// The exit code and the rows.
fn rows(station: &Station) -> (i32, Vec<Value>) {
    let output = doctor(station, &["--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), document["checks"].as_array().unwrap().clone())
}

#[track_caller]
fn row<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["check"] == name).unwrap_or_else(|| panic!("no row {name} in {rows:#?}"))
}

/// Expects this row to have failed with a detail that holds `words`, and all after it to have been tried.
#[track_caller]
fn failed<'a>(rows: &'a [Value], name: &str, words: &[&str]) -> &'a Value {
    let found = row(rows, name);
    assert_eq!(found["result"], "failed", "{found:#}");
    for word in words {
        assert!(found["detail"].as_str().unwrap().contains(word), "{word:?} is not in {found:#}");
    }
    assert!(!found["remedy"].as_str().unwrap().is_empty());
    row(rows, "page");
    row(rows, "memory");
    found
}

#[test]
fn sound_station_is_well_in_every_row_and_nothing_reaches_the_plant() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/#");
    let station = prepare(broker.port());
    let (code, rows) = rows(&station);
    assert_eq!(code, 0, "{rows:#?}");
    let of_station = rows.iter().filter(|row| !OF_THE_MACHINE.contains(&row["check"].as_str().unwrap()));
    for row in of_station.filter(|row| row["check"] != "may read") {
        assert_eq!(row["result"], "ok", "{row:#}");
    }
    for name in ["verdict", "reject", "state", "heartbeat"] {
        assert_eq!(row(&rows, &format!("may write {name}"))["result"], "ok");
        let read = row(&rows, "may read");
        assert_eq!(read["result"], "skipped", "a subscription that is granted proves nothing: {read:#}");
        assert!(read["detail"].as_str().unwrap().contains(&format!("factory/L1/S1/{name}")), "{read:#}");
    }
    for (name, words) in [
        ("camera cam0", "px after"),
        ("broker there and back", OWN_TOPIC),
        ("deadline", "deadline 20000 ms"),
        ("disk speed", "p99"),
        ("provider", "cpu computes the networks"),
        ("running station", "none on this machine"),
    ] {
        assert!(row(&rows, name)["detail"].as_str().unwrap().contains(words), "{rows:#?}");
    }
    plant.publish("factory/end", false, "{}");
    let heard = plant.until(|message| message.topic == "factory/end");
    assert!(heard.len() > 1, "its own messages are seen");
    for message in &heard[..heard.len() - 1] {
        assert_eq!(message.topic, OWN_TOPIC, "{message:?}");
        assert_ne!(message.payload["doctor"], "held", "what is held is never delivered");
    }
    assert_eq!(fs::read_dir(station.folder.path().join("state")).unwrap().count(), 0, "nothing is left behind");
}

/// A broker with a user `diad` and these rules for it.
fn broker_with_rules(rules: &str) -> Broker {
    Broker::start_with(|folder| {
        let passwords = folder.join("passwords");
        let made =
            Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["diad", "right-word"]).status();
        assert!(made.unwrap().success());
        fs::write(folder.join("rules"), format!("user diad\n{rules}")).unwrap();
        format!(
            "allow_anonymous false\npassword_file {}\nacl_file {}\n",
            passwords.display(),
            folder.join("rules").display()
        )
    })
}

fn let_in(station: &Station, port: u16, password: &str) {
    let path = station.folder.path().join("password");
    fs::write(&path, password).unwrap();
    chmod(&path, "600");
    let url = format!("url: \"mqtt://127.0.0.1:{port}\"");
    station.amend(&url, &format!("{url}, username: diad, password_file: {}", path.display()));
}

fn chmod(path: &Path, mode: &str) {
    assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
}

#[test]
fn denied_topic_is_a_failure_that_names_it() {
    let rules = "topic readwrite factory/L1/S1/probe/#\ntopic readwrite factory/L1/S1/state\ntopic write factory/L1/S1/reject\n\
                 topic write factory/L1/S1/heartbeat\ntopic read factory/L1/S1/trigger\ntopic read factory/L1/S1/product\n";
    let broker = broker_with_rules(rules);
    let station = prepare(broker.port());
    let_in(&station, broker.port(), "right-word");
    let (code, rows) = rows(&station);
    assert_eq!(code, 69, "{rows:#?}");
    failed(&rows, "may write verdict", &["factory/L1/S1/verdict", "access rules deny"]);
    assert!(row(&rows, "may write verdict")["remedy"].as_str().unwrap().contains("write on factory/L1/S1/verdict"));
    for name in ["broker", "broker there and back", "may write reject", "may write state", "may write heartbeat"] {
        assert_eq!(row(&rows, name)["result"], "ok", "{rows:#?}");
    }
    assert_eq!(row(&rows, "mqtt.password_file")["result"], "ok", "{rows:#?}");
}

#[test]
fn rules_that_deny_doctors_own_topic_leave_writing_unproven_and_say_so() {
    let broker = broker_with_rules("topic write factory/L1/S1/verdict\n");
    let station = prepare(broker.port());
    let_in(&station, broker.port(), "right-word");
    let (code, rows) = rows(&station);
    assert_eq!(code, 0, "what is not known is no failure: {rows:#?}");
    let back = row(&rows, "broker there and back");
    assert!(back["result"] == "warning" && back["remedy"].as_str().unwrap().contains(OWN_TOPIC), "{back:#}");
    let writes = row(&rows, "may write");
    assert!(writes["result"] == "skipped" && writes["detail"].as_str().unwrap().contains("not proven"), "{writes:#}");
}

#[test]
fn wrong_password_and_a_password_that_everybody_reads_are_told() {
    let broker = broker_with_rules("topic readwrite factory/#\n");
    let station = prepare(broker.port());
    let_in(&station, broker.port(), "wrong-word");
    chmod(&station.folder.path().join("password"), "644");
    let (code, rows) = rows(&station);
    assert_eq!(code, 69, "{rows:#?}");
    failed(&rows, "broker", &["user name or password", "mqtt.password_file"]);
    let file = row(&rows, "mqtt.password_file");
    assert!(file["result"] == "warning" && file["detail"].as_str().unwrap().contains("mode 644"), "{file:#}");
    assert!(!format!("{rows:?}").contains("wrong-word"));
}

#[test]
fn broker_that_is_away_or_hangs_is_a_failure_in_bounded_time() {
    let station = prepare(free_port());
    let (code, rows_away) = rows(&station);
    assert_eq!(code, 69, "{rows_away:#?}");
    failed(&rows_away, "broker", &["mqtt://127.0.0.1:", "refused"]);

    let broker = Broker::start();
    let station = prepare(broker.port());
    broker.freeze();
    let (code, rows_frozen) = rows(&station);
    broker.thaw();
    assert_eq!(code, 69, "{rows_frozen:#?}");
    failed(&rows_frozen, "broker", &["did not answer in time"]);
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let broker = Broker::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let station = prepare(broker.port());
    fs::remove_dir_all(station.folder.path().join("pictures")).unwrap();
    let token = station.folder.path().join("none");
    station.amend("\"127.0.0.1:0\"", &format!("\"127.0.0.1:{port}\", token_file: {}", token.display()));
    station.amend(&format!("model: {}", micro().display()), "model: /nonexistent/model");
    let (code, rows) = rows(&station);
    assert_eq!(code, 78, "the first that failed: {rows:#?}");
    failed(&rows, "http.token_file", &["http.token_file", "cannot be read"]);
    failed(&rows, "camera cam0", &["pictures", "No such file"]);
    failed(&rows, "model", &["/nonexistent/model"]);
    failed(&rows, "page", &[&format!("127.0.0.1:{port}"), "in use"]);
    assert_eq!(row(&rows, "settings")["result"], "ok", "each is told once: {rows:#?}");
    assert_eq!(row(&rows, "broker there and back")["result"], "ok", "{rows:#?}");
    assert_eq!(row(&rows, "ledger folder")["result"], "ok");
}

#[test]
fn single_failures_end_with_the_code_of_their_kind() {
    let broker = Broker::start();
    let code_after = |change: &dyn Fn(&Station), name: &str| {
        let station = prepare(broker.port());
        change(&station);
        let (code, rows) = rows(&station);
        failed(&rows, name, &[]);
        code
    };
    let gone =
        |folder: &'static str| move |station: &Station| fs::remove_dir_all(station.folder.path().join(folder)).unwrap();
    assert_eq!(code_after(&gone("pictures"), "camera cam0"), 69);
    assert_eq!(code_after(&gone("state"), "ledger folder"), 74);
    let model =
        |station: &Station| station.amend(&format!("model: {}", micro().display()), "model: /nonexistent/model");
    assert_eq!(code_after(&model, "model"), 65);
    // Of 100 denoising steps, each takes a part of a millisecond.
    let hasty = |station: &Station| {
        station.amend("deadline_ms: 20000", "deadline_ms: 1");
        station.amend(&format!("model: {}", micro().display()), &format!("model: {}, steps: 100", micro().display()));
    };
    assert!([74, 78].contains(&code_after(&hasty, "deadline")), "a disk may take longer than 1 ms, too");
    let unknown = |station: &Station| station.amend("deadline_ms", "dead_line_ms");
    assert_eq!(code_after(&unknown, "settings"), 78);
}

#[test]
fn station_that_runs_is_named_and_left_alone() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let port = free_port();
    let mut station = prepare(broker.port());
    station.amend("\"127.0.0.1:0\"", &format!("\"127.0.0.1:{port}\""));
    station.restart();
    plant.until(|message| message.topic.ends_with("/state") && message.payload["state"] == "ready");
    wait_until("the page", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    plant.publish("factory/L1/S1/trigger", false, r#"{"part":"P-1"}"#);
    plant.until(|message| message.topic.ends_with("/verdict"));

    let (code, rows) = rows(&station);
    assert_eq!(code, 0, "{rows:#?}");
    let pid = format!("a running station (pid {})", station.pid());
    for name in ["running station", "page", "broker state topic", "deadline"] {
        assert!(row(&rows, name)["detail"].as_str().unwrap().contains(&pid), "{:#}", row(&rows, name));
    }
    assert_eq!(row(&rows, "deadline")["result"], "skipped");
    assert_eq!(row(&rows, "may read state")["result"], "ok", "its retained state came");

    plant.publish("factory/L1/S1/trigger", false, r#"{"part":"P-2"}"#);
    let since = plant.until(|message| message.topic.ends_with("/verdict"));
    assert_eq!(since.last().unwrap().payload["seq"], 2, "no part came of it");
    for message in &since {
        let own = message.topic == OWN_TOPIC || !message.topic.ends_with("/probe/doctor");
        assert!(own && !(message.topic.ends_with("/state") && message.payload["state"] != "ready"), "{message:?}");
    }
    assert!(!station.log().contains("broker connection lost"), "its client id is its own:\n{}", station.log());
    station.signal("TERM");
    assert_eq!(station.exit_code(), Some(0));
}

#[test]
fn table_keeps_to_the_width_of_the_terminal() {
    let station = prepare(free_port());
    let name = "c".repeat(64);
    station.amend("id: cam0", &format!("id: {name}"));
    for width in ["80", "160"] {
        let output = diad()
            .args(["doctor", "--config"])
            .arg(station.folder.path().join("diad.yaml"))
            .env("COLUMNS", width)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("camera {name}\n")), "{text}");
        // A path cannot be wrapped.
        let widest = text.lines().filter(|line| !line.contains('/')).map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.parse().unwrap(), "{text}");
    }
}
