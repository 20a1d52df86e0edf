//! Hears the verdicts of one station and says of each part whether it may go on: `subscriber HOST ROOT/LINE/STATION`.
//! What is not known for good is rejected.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a sample speaks to whoever tries it")]

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

const HEARTBEAT: Duration = Duration::from_secs(3);
/// Parts that are remembered; a repeat comes soon after its first or not at all.
const REMEMBERED: usize = 100_000;

/// What is known of the station.
#[derive(Default)]
pub struct Gate {
    heard: Option<Instant>,
    judging: bool,
    seen: HashSet<String>,
    /// Whether the last part with a mark went on.
    opened: HashMap<String, bool>,
}

/// What to do with a part.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// It may go on.
    On,
    /// Off the line.
    Off,
    /// It left the gate long ago: for the record only.
    Record,
}

impl Gate {
    /// Takes the message of a topic's last level. Gives a verdict that is new, and None for everything else.
    pub fn receive(&mut self, level: &str, payload: &[u8], now: Instant) -> Option<(Value, Way)> {
        let body = serde_json::from_slice::<Value>(payload).ok().filter(|body| body["v"] == 1)?;
        match level {
            "heartbeat" => self.heard = Some(now),
            "state" => self.judging = body["state"] == "ready" || body["state"] == "degraded",
            "verdict" => {
                let key = ["line", "station", "camera", "run", "seq"].map(|field| body[field].to_string()).join("/");
                if self.seen.len() == REMEMBERED {
                    self.seen.clear();
                }
                if !self.seen.insert(key) {
                    return None;
                }
                let watched = self.judging && self.heard.is_some_and(|at| now - at <= HEARTBEAT);
                let way = match (body["historical"].as_bool(), body["verdict"].as_str()) {
                    (Some(true), _) => return Some((body, Way::Record)),
                    (Some(false), Some("PASS" | "REVIEW")) if watched => Way::On,
                    _ => Way::Off,
                };
                let on = self.keep_strict(&body, way == Way::On);
                return Some((body, if on { Way::On } else { Way::Off }));
            }
            _ => {}
        }
        None
    }

    /// A repeat of a mark goes on only if the one before it did.
    fn keep_strict(&mut self, body: &Value, on: bool) -> bool {
        let mark = format!("{} {}", body["camera"], body["part"]);
        let on = on && (body["repeat"] != true || self.opened.get(&mark) == Some(&true));
        if self.opened.len() == REMEMBERED {
            self.opened.clear();
        }
        self.opened.insert(mark, on);
        on
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(host), Some(station)) = (words.next(), words.next()) else {
        return Err("usage: subscriber HOST ROOT/LINE/STATION".into());
    };
    let mut options = MqttOptions::new("diad-subscriber", host, 1883);
    options.set_keep_alive(Duration::from_secs(15));
    let (client, mut connection) = Client::new(options, 16);
    let mut gate = Gate::default();
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                // Subscriptions do not outlive a connection.
                for level in ["verdict", "state", "heartbeat"] {
                    client.subscribe(format!("{station}/{level}"), QoS::AtLeastOnce)?;
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                let level = message.topic.rsplit('/').next().unwrap_or_default();
                if let Some((body, way)) = gate.receive(level, &message.payload, Instant::now()) {
                    println!("{way:?} {} {} {}", body["camera"], body["seq"], body["verdict"]);
                }
            }
            Ok(_) => {}
            Err(error) => {
                eprintln!("off: no broker: {error}");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
    Ok(())
}
