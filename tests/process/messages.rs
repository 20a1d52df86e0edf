//! Messages as controllers really send them: every trigger is one part with one verdict, and what cannot be read opens no
//! gate.

use std::fs;
use std::path::Path;

use diad_core::event::Reason;
use serde_json::Value;

use super::broker::{Broker, Received, Subscriber, wait_until};
use super::station::{Station, diad, micro, verdicts, write_parts};
use super::web::client::get;
use super::web::port;

const TRIGGER: &str = "factory/L1/S1/trigger";
const PRODUCT: &str = "factory/L1/S1/product";
/// Every score is below these, so that a part passes by them; of the washer's none is.
const THRESHOLDS: &str = "default: { review: 1, reject: 1, min_area_px: 1000000 }\nproducts: { washer: { review: 0, reject: 0, min_area_px: 0 } }\n";

/// A station whose parts come by messages, from a folder without an end.
fn station(broker: &Broker, pictures: &Path, more: &str) -> Station {
    let folder = pictures.display();
    let cameras = format!(
        "  - {{ id: cam0, source: {{ kind: replay, folder: {folder}, looped: true }}, trigger: {{ kind: mqtt }} }}"
    );
    let mut station = Station::prepare_at(broker.port(), &micro(), &cameras, &format!("deadline_ms: 20000\n{more}"));
    fs::write(station.folder.path().join("thresholds.yaml"), THRESHOLDS).unwrap();
    station.restart();
    station
}

/// What the plant hears: one topic each, for some of what it says itself is no JSON.
struct Plant {
    verdicts: Subscriber,
    states: Subscriber,
}

impl Plant {
    fn listen(broker: &Broker) -> Self {
        let to = |level| Subscriber::start(broker.port(), &format!("factory/L1/S1/{level}"));
        Self { verdicts: to("verdict"), states: to("state") }
    }

    fn publish(&self, topic: &str, retain: bool, payload: impl Into<Vec<u8>>) {
        self.verdicts.publish(topic, retain, payload);
    }

    /// The verdicts up to that of this part.
    fn until(&self, seq: u64) -> Vec<Received> {
        self.verdicts.until(|message| message.payload["seq"] == seq)
    }

    /// The detail of the next such state.
    fn state(&self, state: &str) -> String {
        let heard = self.states.until(|message| message.payload["state"] == state);
        heard.last().unwrap().payload["detail"].as_str().unwrap().to_owned()
    }
}

fn pictures() -> tempfile::TempDir {
    let pictures = tempfile::tempdir().unwrap();
    write_parts(pictures.path(), 1);
    pictures
}

fn told(verdict: &Value) -> [&str; 3] {
    ["part", "verdict", "reason"].map(|field| verdict[field].as_str().unwrap_or("-"))
}

#[test]
fn every_trigger_is_one_part_whatever_a_controller_puts_around_it() {
    let (broker, pictures) = (Broker::start(), pictures());
    let plant = Plant::listen(&broker);
    let bits = Subscriber::start(broker.port(), "factory/L1/S1/reject");
    let station = station(&broker, pictures.path(), "");
    plant.state("ready");
    let long = "x".repeat(128);
    let whole = format!(r#"{{"part":"{long}"}}"#);
    let sent: [(&[u8], [&str; 3]); 12] = [
        (b"{\"part\":\"P-1\"}\0\"P-0\"}", ["P-1", "PASS", "-"]),
        (b"\xef\xbb\xbf{\"part\":\"P-2\"}", ["P-2", "PASS", "-"]),
        (br#"{"part":77}"#, ["77", "PASS", "-"]),
        (b"{}", ["-", "PASS", "-"]),
        (b"{\"part\":\"(01)0950(21)1 A/B+%\x1d10\"}", ["(01)0950(21)1 A/B+%\u{1d}10", "PASS", "-"]),
        ("{\"part\":\"Geha\u{308}use\"}".as_bytes(), ["Geha\u{308}use", "PASS", "-"]),
        (whole.as_bytes(), [&long, "PASS", "-"]),
        (br#"{"Part":"P-8"}"#, ["-", "UNJUDGED", "trigger"]),
        (br#"{"part":"P-9","weight":1,5}"#, ["-", "UNJUDGED", "trigger"]),
        (b"\xfe\x0e{\"part\":\"P-9\"}", ["-", "UNJUDGED", "trigger"]),
        (b"{\"part\":\"Geh\xe4use\"}", ["Geh\u{fffd}use", "UNJUDGED", "trigger"]),
        (b"P-12", ["-", "UNJUDGED", "trigger"]),
    ];
    // Nobody's part, and no fault.
    plant.publish(TRIGGER, true, "");
    plant.publish(PRODUCT, true, "");
    // One at a time: a burst is shed, which is another test's business.
    let mut heard = Vec::new();
    for (number, (payload, _)) in sent.iter().enumerate() {
        plant.publish(TRIGGER, false, *payload);
        while verdicts(&heard).len() <= number {
            heard.push(plant.verdicts.next());
        }
    }
    let detail = plant.state("degraded");
    assert!(detail.contains("messages unread since ") && detail.contains("it begins with "), "{detail}");
    let bits: Vec<_> = (0..sent.len()).map(|_| bits.next().payload).collect();
    let verdicts = verdicts(&heard);
    assert_eq!(verdicts.len(), 12, "one for each, and none for an empty message");
    let mut want: Vec<_> = sent.iter().map(|(_, want)| *want).collect();
    let mut found: Vec<_> = verdicts.values().map(told).collect();
    want.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, want);
    for bit in bits {
        let verdict = &verdicts[&bit["seq"].as_u64().unwrap()];
        let unjudged = u64::from(verdict["verdict"] == "UNJUDGED");
        assert_eq!((&bit["part"], &bit["reject"]), (&verdict["part"], &unjudged.into()));
    }
    expect_counts_to_agree(&station, 12, &[("trigger", 5)]);
}

/// The ledger, as verify counts it, has the `UNJUDGED` parts that the station has counted since its start, by reason.
fn expect_counts_to_agree(station: &Station, parts: u64, reasons: &[(&str, u64)]) {
    let output = diad().args(["ledger", "verify", "--json", "--ledger"]).arg(station.ledger()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let port = port(station);
    let mut metrics = String::new();
    let counted_in = |metrics: &str, label: &str| -> u64 {
        let lines = metrics.lines().filter(|line| line.starts_with("diad_verdicts_total{") && line.contains(label));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    wait_until("the counts", || {
        metrics = get(port, "/metrics").text();
        counted_in(&metrics, "verdict=") == parts
    });
    let counted = |label: &str| counted_in(&metrics, label);
    assert_eq!(report["rows"].as_u64(), Some(parts), "{report}");
    assert_eq!(report["unjudged"]["total"], counted("verdict=\"UNJUDGED\""));
    for reason in Reason::ALL.map(Reason::as_str) {
        let want = reasons.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count);
        assert_eq!(report["unjudged"]["reasons"][reason], want, "{report}");
        assert_eq!(counted(&format!("reason=\"{reason}\"")), want, "{metrics}");
    }
}

#[test]
fn parts_of_a_product_that_nobody_knows_or_that_cannot_be_read_are_not_judged() {
    let (broker, pictures) = (Broker::start(), pictures());
    let plant = Plant::listen(&broker);
    let mut station = station(&broker, pictures.path(), "");
    plant.state("ready");
    let mut seq = 0;
    let mut judged = |plant: &Plant, product: Option<&[u8]>| -> [String; 3] {
        if let Some(product) = product {
            plant.publish(PRODUCT, true, product);
        }
        seq += 1;
        plant.publish(TRIGGER, false, format!(r#"{{"part":"P-{seq}"}}"#));
        let heard = plant.until(seq);
        let verdict = heard.last().unwrap().payload.clone();
        ["product", "verdict", "reason"].map(|field| verdict[field].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(judged(&plant, None), ["-", "PASS", "-"], "without a product the default judges");
    assert_eq!(judged(&plant, Some(br#"{"product":"fabric"}"#)), ["fabric", "PASS", "-"], "the model knows it");
    assert_eq!(judged(&plant, Some(b"{\"product\":\"washer  \"}\0")), ["washer", "REJECT", "-"]);
    assert_eq!(judged(&plant, Some(br#"{"product":"Washer"}"#)), ["Washer", "UNJUDGED", "product"]);
    let detail = plant.state("degraded");
    assert!(detail.contains("did you mean washer? They differ in case alone"), "{detail}");
    assert_eq!(judged(&plant, Some(br#"{"product":"big washer"}"#)), ["-", "UNJUDGED", "product"]);
    assert_eq!(judged(&plant, None), ["-", "UNJUDGED", "product"], "until one comes that can be read");

    // A restart finds the retained message, which still cannot be read; and so it does where it is taken back.
    for retained in [true, false] {
        station.kill();
        if !retained {
            plant.publish(PRODUCT, true, "");
        }
        station.restart();
        plant.state("degraded");
        seq = 0;
        let mut again = |product: Option<&[u8]>| {
            if let Some(product) = product {
                plant.publish(PRODUCT, true, product);
            }
            seq += 1;
            plant.publish(TRIGGER, false, format!(r#"{{"part":"again-{seq}"}}"#));
            let heard = plant.verdicts.until(|m| m.payload["part"] == format!("again-{seq}"));
            told(&heard.last().unwrap().payload).map(str::to_owned)
        };
        assert_eq!(again(None)[1..], ["UNJUDGED", "product"], "{retained}");
        if !retained {
            assert_eq!(again(Some(br#"{"product":"washer"}"#))[1..], ["REJECT", "-"]);
            // The broker keeps the session: it may have delivered the unreadable one again, which is told for a minute.
            plant.states.until(|m| !m.payload["detail"].as_str().unwrap().contains("product since"));
        }
    }
}

#[test]
fn parts_of_an_unknown_product_are_judged_by_the_default_where_the_settings_say_so() {
    let (broker, pictures) = (Broker::start(), pictures());
    let plant = Plant::listen(&broker);
    let _station = station(&broker, pictures.path(), "on_unknown_product: default");
    plant.state("ready");
    plant.publish(PRODUCT, true, r#"{"product":"wascher"}"#);
    plant.publish(TRIGGER, false, r#"{"part":"P-1"}"#);
    let heard = plant.until(1);
    assert_eq!(told(&heard.last().unwrap().payload), ["P-1", "PASS", "-"]);
    while !plant.state("ready").contains("did you mean washer?") {}
}
