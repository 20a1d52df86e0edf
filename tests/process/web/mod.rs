//! The page of a running station: what it answers, whom it refuses, and that it is never in a verdict's way.

mod browser;
pub mod client;
mod demo;
mod layout;
pub mod load;
mod page;
mod proxy;
mod tabs;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::broker::{Broker, Received, Subscriber, wait_until};
use super::station::{Station, is_offline, micro, of};
use client::{Answer, get, post, send};

/// Thirty parts a second, which networks that mean nothing reject.
const CAMERA: &str = "  - { id: cam0, source: { kind: rendered, seed: 3, defect_rate: 0.5 }, trigger: { kind: free_run, every_ms: 33 } }";

pub fn is_verdict(message: &Received) -> bool {
    message.topic.ends_with("/verdict")
}

/// Where the page of a station is.
pub fn port(station: &Station) -> u16 {
    let mut port = None;
    wait_until("the page", || {
        let log = station.log();
        let found = log.split("dashboard at http://127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next());
        port = found.map(|port| port.parse().unwrap());
        port.is_some()
    });
    port.unwrap()
}

/// A station with a page, and some verdicts.
struct Shown {
    station: Station,
    plant: Subscriber,
    port: u16,
    _broker: Broker,
}

impl Shown {
    fn start() -> Self {
        Self::of(&micro(), CAMERA, 30)
    }

    /// The shipped model, which means what it says, on gears.
    fn judging() -> Self {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../onnx/models/diad-tiny");
        let camera = "  - { id: cam0, source: { kind: rendered, products: [gear], defect_rate: 0.5 }, trigger: { kind: free_run, every_ms: 150 } }";
        Self::of(&shipped, camera, 30)
    }

    /// A station of which `parts` have been heard.
    fn of(model: &Path, camera: &str, parts: u64) -> Self {
        let broker = Broker::start();
        let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
        plant.publish("factory/L1/S1/product", true, r#"{"product":"gear"}"#.to_owned());
        let mut station = Station::prepare_at(broker.port(), model, camera, "deadline_ms: 20000");
        // Between what the shipped model says of good gears and of bad ones.
        fs::write(station.folder.path().join("thresholds.yaml"), "default: { review: 0.045, reject: 0.06 }\n").unwrap();
        station.restart();
        let port = port(&station);
        plant.until(|m| is_verdict(m) && m.payload["seq"] == parts);
        Self { station, plant, port, _broker: broker }
    }

    fn parts(&self, query: &str) -> Vec<Value> {
        let answer = get(self.port, &format!("/api/v1/parts?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["parts"].as_array().unwrap().clone()
    }

    /// A part that was not passed, with its picture on the disk.
    fn kept(&self) -> Value {
        let mut found = None;
        wait_until("a picture", || {
            found = self.parts("limit=200").into_iter().find(|part| part["pictures"].as_array().unwrap().len() == 3);
            found.is_some()
        });
        found.unwrap()
    }
}

/// The sum of all samples of that name, which count something.
fn metric(text: &str, name: &str) -> u64 {
    let samples = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn page_tells_health_metrics_and_parts_as_the_broker_heard_them() {
    let mut shown = Shown::judging();
    assert_eq!((get(shown.port, "/healthz").status, get(shown.port, "/readyz").text()), (200, "ready\n".to_owned()));
    let kept = shown.kept();
    let key = kept["key"].as_str().unwrap();
    let one = get(shown.port, &format!("/api/v1/parts/{key}")).json();
    assert!(one["timings"]["denoise_ms"].as_f64().unwrap() > 0.0, "{one}");
    for print in ["frame", "heatmap", "overlay"] {
        let picture = get(shown.port, &format!("/api/v1/parts/{key}/{print}.png"));
        assert!(picture.status == 200 && image::load_from_memory(&picture.body).is_ok(), "{print}");
    }
    let latest = get(shown.port, "/api/v1/cameras/cam0/overlay.png");
    assert!(latest.head.contains("diad-part: ") && image::load_from_memory(&latest.body).is_ok());

    let words: Vec<Value> = shown.parts("limit=200").iter().map(|part| part["verdict"].clone()).collect();
    assert!(words.iter().any(|word| word == "PASS") && words.iter().any(|word| word == "REJECT"), "{words:?}");
    for word in ["PASS", "REVIEW", "REJECT"] {
        let found = shown.parts(&format!("limit=200&verdict={word}"));
        assert!(found.iter().all(|part| part["verdict"] == word));
        assert!(found.len() >= words.iter().filter(|said| *said == word).count());
    }
    // A page of ten, and the ten before it.
    let first = get(shown.port, "/api/v1/parts?limit=10").json();
    let second = get(shown.port, &format!("/api/v1/parts?limit=10&before={}", first["next"])).json();
    let ids =
        |page: &Value| page["parts"].as_array().unwrap().iter().map(|p| p["id"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!((ids(&first).len(), ids(&second)[0]), (10, ids(&first)[9] - 1));
    assert_eq!((&first["looked_at"], &first["newest"]), (&json!(10), &json!(ids(&first)[0])));

    shown.station.signal("TERM");
    let heard = shown.plant.until(is_offline);
    drop(heard);
    assert_eq!(shown.station.exit_code(), Some(0));
}

#[test]
fn metrics_account_for_every_part() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let folder = tempfile::tempdir().unwrap();
    for part in 1..=12 {
        image::GrayImage::from_pixel(64, 64, image::Luma([part * 20]))
            .save(folder.path().join(format!("{part:02}.png")))
            .unwrap();
    }
    let camera = |id: &str, trigger: &str, folder: &str| {
        format!("  - {{ id: {id}, source: {{ kind: replay, folder: {folder} }}, trigger: {{ kind: {trigger} }} }}")
    };
    let pictures = folder.path().display().to_string();
    // The second camera waits for triggers that never come, so that the station stays.
    let cameras = [camera("cam0", "camera", &pictures), camera("cam1", "mqtt", &pictures)].join("\n");
    let mut station = Station::start(&broker, &cameras);
    let port = port(&station);
    let heard = plant.until(|m| is_verdict(m) && m.payload["seq"] == 12);
    let mut text = String::new();
    wait_until("the acknowledgements", || {
        text = get(port, "/metrics").text();
        ["diad_verdicts_acknowledged_total", "diad_verdicts_total"].iter().all(|name| metric(&text, name) == 12)
    });
    for (name, want) in [
        ("diad_parts_entered_total", 12),
        ("diad_verdicts_total", 12),
        ("diad_verdict_latency_seconds_count", 12),
        // Every part went through each of eight stages.
        ("diad_stage_duration_seconds_count", 96),
        ("diad_thresholds_saves_total", 0),
        ("diad_parts_unaccounted", 0),
        ("diad_parts_open", 0),
        ("diad_broker_connected", 1),
        ("diad_thresholds_valid", 1),
        ("diad_state", 1),
        ("diad_info", 1),
    ] {
        assert_eq!(metric(&text, name), want, "{name}\n{text}");
    }
    // What never happened is 0 and not missing: an alert on its rise sees the first one.
    let unseen = "diad_verdicts_total{camera=\"cam1\",product=\"(none)\",verdict=\"UNJUDGED\",reason=\"camera\"} 0";
    assert!(text.lines().any(|line| line == unseen), "{text}");
    let (free, size) = (metric(&text, "diad_disk_free_bytes"), metric(&text, "diad_disk_size_bytes"));
    assert!(0 < free && free < size, "{free} of {size}");
    for verdict in of(&heard, "verdict") {
        let label = format!("verdict=\"{}\"", verdict["verdict"].as_str().unwrap());
        assert!(text.lines().any(|line| line.starts_with("diad_verdicts_total{") && line.contains(&label)), "{label}");
    }
    // A save that is refused is told here too.
    fs::write(station.folder.path().join("thresholds.yaml"), "default: { review: 2 }\n").unwrap();
    wait_until("the refusal", || {
        text = get(port, "/metrics").text();
        metric(&text, "diad_thresholds_valid") == 0
    });
    assert!(
        text.contains("diad_problem{source=\"thresholds\"} 1") && text.contains("diad_state{state=\"degraded\"} 1")
    );
    assert!(text.contains("diad_thresholds_saves_total{result=\"refused\"} 1"), "{text}");
    let status = get(port, "/api/v1/status").json();
    let detail = status["problems"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("thresholds.yaml:1:20: default.review"), "{detail}");
    assert_eq!(get(port, "/readyz").text(), "degraded\n");
    station.signal("TERM");
    assert_eq!(station.exit_code(), Some(0));
}

#[test]
fn page_refuses_what_is_foreign_large_or_nonsense_in_words() {
    let shown = Shown::start();
    let port = shown.port;
    let json = "content-type: application/json";
    let whatif = b"{\"thresholds\":{\"default\":{\"review\":0.1,\"reject\":0.2}}}";
    let large = vec![b' '; 10 << 20];
    let long = format!("/{}", "x".repeat(20 << 10));
    let unknown = "/api/v1/parts/01M86M128075X8ZMCQJH314PRJ-cam0-999999999";
    let cases: Vec<(u16, &str, Answer)> = vec![
        (403, "127.0.0.1 or localhost", send(port, "GET", "/", &["host: evil.example"], b"")),
        (403, "127.0.0.1 or localhost", send(port, "GET", "/metrics", &[], b"")),
        (
            403,
            "own page",
            send(port, "POST", "/api/v1/whatif", &["host: localhost", "origin: http://evil.example", json], whatif),
        ),
        (415, "application/json", send(port, "POST", "/api/v1/whatif", &["host: localhost"], whatif)),
        (413, "", send(port, "POST", "/api/v1/whatif", &["host: localhost", json], &large)),
        (400, "", send(port, "POST", "/api/v1/whatif", &["host: localhost", json], b"{")),
        (422, "unknown field", post(port, "/api/v1/whatif", &json!({ "threshold": {} }))),
        (
            422,
            "default.review",
            post(port, "/api/v1/whatif", &json!({ "thresholds": { "default": { "review": 2, "reject": 3 } } })),
        ),
        (
            422,
            "review 0.4 is above reject 0.2",
            post(port, "/api/v1/whatif", &json!({ "thresholds": "default: { review: 0.4, reject: 0.2 }" })),
        ),
        (
            422,
            "products.no/name",
            post(
                port,
                "/api/v1/whatif",
                &json!({ "thresholds": { "default": { "review": 0.1, "reject": 0.2 }, "products": { "no/name": {} } } }),
            ),
        ),
        (404, "the dashboard is at /", get(port, "/nothing")),
        (404, "no such part", get(port, unknown)),
        (404, "no such part", get(port, &format!("{unknown}/frame.png"))),
        (404, "no such part", post(port, &format!("{unknown}/mark"), &json!({ "mark": "true_reject" }))),
        (404, "frame.png", get(port, &format!("{unknown}/secret.png"))),
        (400, "names no part", get(port, "/api/v1/parts/..%2f..%2fetc%2fpasswd/frame.png")),
        (404, "shown nothing", get(port, "/api/v1/cameras/cam9/frame.png")),
        (400, "not one of PASS", get(port, "/api/v1/parts?verdict=GOOD")),
        (400, "limit", get(port, "/api/v1/parts?limit=many")),
        (400, "not one of true_reject", post(port, &format!("{unknown}/mark"), &json!({ "mark": "good" }))),
        (400, "either thresholds or change", post(port, "/api/v1/whatif", &json!({}))),
        (
            409,
            "somebody has changed",
            post(
                port,
                "/api/v1/whatif",
                &json!({ "change": { "product": null, "review": 0.1, "reject": 0.2, "digest": "sha256:00" } }),
            ),
        ),
        (404, "no golden parts", post(port, "/api/v1/golden", &json!({}))),
        (405, "", send(port, "DELETE", "/api/v1/parts", &["host: localhost"], b"")),
    ];
    for (status, words, answer) in &cases {
        assert_eq!(answer.status, *status, "{words}: {answer:?}");
        assert!(words.is_empty() || answer.error().contains(words), "{words}: {}", answer.text());
    }
    let refused = send(port, "GET", &long, &["host: localhost"], b"").status;
    assert!([404, 414, 431].contains(&refused), "{refused}");
    // A proposal that makes no thresholds at all is a fault like any other.
    let since = post(
        port,
        "/api/v1/whatif",
        &json!({ "thresholds": "default: { review: 0.1, reject: 0.2 }", "since": "yesterday" }),
    );
    assert!(since.status == 400 && since.error().contains("2026-01-31"), "{}", since.text());
    shown.plant.until(is_verdict);
    assert!(!shown.station.log().contains("panicked"), "{}", shown.station.log());
}

#[test]
fn word_of_a_person_is_kept_and_counts_in_a_what_if() {
    let shown = Shown::judging();
    let part = shown.kept();
    let key = part["key"].as_str().unwrap();
    let path = format!("/api/v1/parts/{key}/mark");
    let waits = || shown.parts("queue=true&limit=200").iter().any(|waiting| waiting["key"] == key);
    assert!(waits());
    assert_eq!(post(shown.port, &path, &json!({ "mark": "true_reject" })).status, 200);
    assert_eq!(get(shown.port, &format!("/api/v1/parts/{key}")).json()["mark"], "true_reject");
    assert!(!waits());
    // Thresholds that pass everything would miss it.
    let answer =
        post(shown.port, "/api/v1/whatif", &json!({ "thresholds": "default: { review: 1, reject: 1 }" })).json();
    assert_eq!(metric(&get(shown.port, "/metrics").text(), "diad_marks_total"), 1);
    assert_eq!((&answer["marked"]["bad"], &answer["marked"]["bad_that_pass"]), (&json!(1), &json!(1)), "{answer}");
    assert!(answer["rejects_removed"].as_u64() >= Some(1) && answer["rejects_added"] == 0, "{answer}");
    assert_eq!(post(shown.port, &path, &json!({ "mark": null })).status, 200);
    assert!(waits());
}

#[test]
fn thresholds_written_from_the_page_are_in_force_and_keep_the_rest_of_the_file() {
    let shown = Shown::start();
    let file = shown.station.folder.path().join("thresholds.yaml");
    let before = fs::read_to_string(&file).unwrap();
    let digest = get(shown.port, "/api/v1/status").json()["thresholds"]["digest"].clone();
    let write = |review: f64, reject: f64, digest: &Value| {
        let change = json!({ "product": "washer", "review": review, "reject": reject, "digest": digest });
        post(shown.port, "/api/v1/thresholds", &change)
    };
    for (answer, status, words) in [
        (write(0.5, 0.4, &digest), 422, "washer"),
        (write(0.5, 1.5, &digest), 422, "washer"),
        (write(0.1, 0.2, &json!("sha256:00")), 409, "somebody has changed"),
    ] {
        assert!(answer.status == status && answer.error().contains(words), "{}", answer.text());
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "a refusal writes nothing");
    }
    let written = write(0.123, 0.234, &digest);
    assert_eq!(written.status, 200, "{}", written.text());
    let now = written.json()["thresholds"].clone();
    shown.plant.until(|m| is_verdict(m) && m.payload["thresholds"] == now);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&before) && text.contains("washer: { review: 0.123, reject: 0.234 }"), "{text}");
    assert!(text.lines().last().unwrap().contains("from the page: washer: review 0.045 -> 0.123"), "{text}");
}

#[test]
fn page_beyond_its_token_tells_nothing_but_that_it_lives() {
    let broker = Broker::start();
    let mut station = Station::prepare_at(broker.port(), &micro(), CAMERA, "deadline_ms: 20000");
    let token = station.folder.path().join("token");
    fs::write(&token, "correct horse\n").unwrap();
    let settings = station.folder.path().join("diad.yaml");
    let text = fs::read_to_string(&settings).unwrap();
    // Reachable from other machines, which is refused without a token.
    let open = text.replace("\"127.0.0.1:0\"", "\"0.0.0.0:0\"");
    fs::write(&settings, &open).unwrap();
    station.restart();
    assert_eq!(station.exit_code(), Some(78));
    assert!(station.log().contains("set token_file"), "{}", station.log());
    let listen = format!("\"127.0.0.1:0\", token_file: {}", token.display());
    fs::write(&settings, text.replace("\"127.0.0.1:0\"", &listen)).unwrap();
    station.restart();
    let port = port(&station);
    wait_until("ready", || get(port, "/readyz").status == 200);
    for path in [
        "/",
        "/app.js",
        "/link.js",
        "/stream.js",
        "/metrics",
        "/api/v1/status",
        "/api/v1/events",
        "/api/v1/parts",
        "/nothing",
    ] {
        let answer = get(port, path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.head.to_lowercase().contains("www-authenticate: basic"), "{}", answer.head);
    }
    let shown = |header: &str| send(port, "GET", "/api/v1/status", &["host: station.plant", header], b"").status;
    assert_eq!(shown("authorization: Bearer correct horse"), 200);
    assert_eq!(shown("authorization: Basic b3BlcmF0b3I6Y29ycmVjdCBob3JzZQ=="), 200);
    assert_eq!(shown("authorization: Bearer wrong horse"), 401);
    assert!(!station.log().contains("correct horse"));
}

#[test]
fn clients_that_never_read_or_never_end_hold_up_no_verdict() {
    // Slow enough for a picture to be ready at every tick, whatever else this machine does.
    let shown = Shown::of(&micro(), &CAMERA.replace("33", "150"), 5);
    let connect = || TcpStream::connect(("127.0.0.1", shown.port)).unwrap();
    // Some say nothing, some never finish, some ask for everything again and again and read nothing of it.
    let mut held = Vec::new();
    for client in 0..60 {
        let mut stream = connect();
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let said: &[u8] = match client % 4 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nhost: loc",
            2 => b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
            _ => b"GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n",
        };
        let again = if client % 4 == 3 { 200 } else { 1 };
        for _ in 0..again {
            if stream.write_all(said).is_err() {
                break;
            }
        }
        held.push(stream);
    }
    let heard = shown.plant.until(|m| is_verdict(m) && m.payload["seq"].as_u64() > Some(40));
    for verdict in of(&heard, "verdict") {
        assert_ne!(verdict["verdict"], "UNJUDGED", "{verdict}");
    }
    // There is room for others meanwhile.
    assert_eq!(get(shown.port, "/healthz").status, 200);
    drop(held);
    let mut events = connect();
    events.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !(text.contains("event: parts") && text.contains("event: status")) {
        let count = events.read(&mut buffer).unwrap();
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

/// Somebody without a token may take a place, and gives it back soon: a place is what everybody else waits for.
#[test]
fn client_that_sends_or_takes_nothing_loses_its_place_within_seconds() {
    /// What a client has for its headers, for its body and to take an answer, and some time for a machine that is busy.
    const LIMIT: Duration = Duration::from_secs(10 + 8);
    let shown = Shown::start();
    let post = "POST /api/v1/whatif HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let announced = format!("{post}content-length: 200000\r\n\r\n");
    let chunked = format!("{post}transfer-encoding: chunked\r\n\r\n");
    // What is sent first, how often, and what then again and again.
    let ways: [(&str, &str, usize, &str); 7] = [
        ("nothing", "", 1, ""),
        ("half a request", "GET /healthz HT", 1, ""),
        ("a header drop by drop", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ", 1, "a"),
        ("a body that does not come", &announced, 1, ""),
        ("a body drop by drop", &announced, 1, " "),
        ("a body in chunks, drop by drop", &chunked, 1, "1\r\n \r\n"),
        ("answers that are not taken", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", 100_000, ""),
    ];
    std::thread::scope(|scope| {
        for (what, first, times, then) in ways {
            let port = shown.port;
            scope.spawn(move || {
                let begun = std::time::Instant::now();
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                for _ in 0..times {
                    if stream.write_all(first.as_bytes()).is_err() {
                        break;
                    }
                }
                let takes = times == 1;
                loop {
                    let mut buffer = [0; 4096];
                    let hung_up = match stream.write(then.as_bytes()) {
                        Err(error) if !is_timeout(&error) => true,
                        // Peeking takes nothing; an end shows only behind what has come, so it is the write that shows it.
                        _ if !takes => stream.write(first.as_bytes()).is_err_and(|error| !is_timeout(&error)),
                        _ => match stream.read(&mut buffer) {
                            Ok(count) => count == 0,
                            Err(error) => !is_timeout(&error),
                        },
                    };
                    if hung_up {
                        return;
                    }
                    assert!(begun.elapsed() < LIMIT, "{what}: still there after {:?}", begun.elapsed());
                }
            });
        }
    });
    assert_eq!(get(shown.port, "/healthz").status, 200);
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

#[test]
fn page_whose_address_is_taken_is_a_problem_of_the_page_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let mut station = Station::prepare_at(broker.port(), &micro(), CAMERA, "deadline_ms: 20000");
    let settings = station.folder.path().join("diad.yaml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("127.0.0.1:0", &address.to_string())).unwrap();
    station.restart();
    plant.until(|m| m.topic.ends_with("/state") && m.payload["detail"].as_str().unwrap().contains("http since"));
    plant.until(is_verdict);
    drop(taken);
    plant.until(|m| m.topic.ends_with("/state") && m.payload["state"] == "ready");
    assert_eq!(get(address.port(), "/healthz").status, 200);
    station.signal("TERM");
    assert_eq!(station.exit_code(), Some(0));
}
