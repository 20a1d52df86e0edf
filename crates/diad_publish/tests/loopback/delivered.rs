//! A broker that acknowledges and does not deliver, ends connections, or has two stations of one name.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use diad_publish::settings::{BrokerUrl, LinkSettings};
use diad_publish::wire::{Heartbeat, State};
use diad_publish::{LinkFaults, Publisher, PublisherSettings};

use crate::broker::{Broker, Subscriber, wait_until};
use crate::line::{PRODUCT, REJECT, STATE, TRIGGER, VERDICT, publish, settings, settings_for, start_connected};

/// Longer than it takes to find out that something does not come back.
const LOOK: Duration = Duration::from_secs(9);

/// As by default: without a bound mosquitto 2.0.11 ends the connection of a client whose message it drops.
const QUEUES: &str = "max_queued_messages 1000\n";

/// Allows user `diad` what `rules` allow, and all other users everything.
fn write_rules(folder: &Path, rules: &str) {
    std::fs::write(folder.join("acl"), format!("topic readwrite #\nuser diad\n{rules}")).unwrap();
}

/// Access to these topics of the station.
fn rules_for(levels: &[&str]) -> String {
    levels.iter().map(|level| format!("topic readwrite factory/L1/S1/{level}\n")).collect()
}

fn broker_with(rules: &str) -> Broker {
    Broker::start_with(|folder| {
        let passwords = folder.join("passwords");
        let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["diad", "word"]).status();
        assert!(made.unwrap().success());
        std::fs::write(folder.join("word"), "word").unwrap();
        write_rules(folder, rules);
        let file = |name: &str| folder.join(name).display().to_string();
        format!("{QUEUES}allow_anonymous true\npassword_file {}\nacl_file {}\n", file("passwords"), file("acl"))
    })
}

/// A station under these rules, whose parts come by messages.
fn station(broker: &Broker) -> Publisher {
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{}", broker.port())).unwrap();
    let word = broker.folder().join("word");
    let link = LinkSettings::try_new(url, Some("diad".to_owned()), Some(word), None).unwrap();
    let publisher = Publisher::start(PublisherSettings { watch_triggers: true, ..settings_for(link) }).unwrap();
    wait_until("the connection", || publisher.status().connected);
    publisher
}

/// A heartbeat a second, as a station gives it, while `time` passes.
fn beat_for(publisher: &Publisher, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let owed = publisher.status().queued as u64;
        let beat = Heartbeat { parts_in: 0, verdicts_out: 0, queue_depth: 0, owed, unaccounted: 0, margin_ms: None };
        publisher.heartbeat(beat);
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn broker_that_delivers_everything_is_at_no_fault() {
    let plain = Broker::start();
    let ruled = broker_with("topic readwrite factory/L1/S1/#\n");
    let open = Publisher::start(PublisherSettings { watch_triggers: true, ..settings(plain.port()) }).unwrap();
    for publisher in [open, station(&ruled)] {
        publish(&publisher, 1..=20);
        publisher.set_state(State::Ready, "");
        beat_for(&publisher, LOOK);
        let status = publisher.status();
        assert_eq!((status.acknowledged, status.connections), (20, 1));
        assert_eq!(status.faults, LinkFaults::default());
        assert!(publisher.inbound().is_empty(), "what the station sends to itself is no message of the plant");
    }
}

#[test]
fn verdicts_that_access_rules_drop_stay_owed_until_the_rules_allow_them() {
    let rules = rules_for(&["reject", "state", "heartbeat", "trigger", "product"]);
    let broker = broker_with(&rules);
    let plant = Subscriber::start(broker.port(), VERDICT);
    let publisher = station(&broker);
    publish(&publisher, 1..=3);
    wait_until("the fault", || publisher.status().faults.undelivered.is_some());
    let status = publisher.status();
    let fault = status.faults.undelivered.unwrap();
    assert!(fault.contains("publishes on verdict and does not deliver it, and verdicts stay owed"), "{fault}");
    assert!(fault.contains("user diad, topic readwrite factory/L1/S1/verdict"), "{fault}");
    assert_eq!((status.acknowledged, status.rejects_acknowledged), (0, 3));
    assert_eq!((status.faults.withheld, status.faults.flapping), (None, None));

    write_rules(broker.folder(), &(rules + &rules_for(&["verdict"])));
    broker.signal("HUP");
    wait_until("delivery", || publisher.status().acknowledged == 3);
    let mut received: Vec<_> = (0..3).map(|_| plant.next().payload["seq"].as_u64().unwrap()).collect();
    received.sort_unstable();
    assert_eq!(received, [1, 2, 3]);
    wait_until("the end of the fault", || publisher.status().faults == LinkFaults::default());
}

#[test]
fn bits_and_everything_that_access_rules_drop_are_named() {
    let bits = broker_with(&rules_for(&["verdict", "state", "heartbeat", "trigger", "product"]));
    let nothing = broker_with("topic readwrite factory/L1/S2/#\n");
    for (broker, topics, rule) in [
        (&bits, "on reject and", "topic readwrite factory/L1/S1/reject"),
        (&nothing, "on verdict, reject, state, heartbeat and", "topic readwrite factory/L1/S1/#"),
    ] {
        let publisher = station(broker);
        publish(&publisher, 1..=3);
        beat_for(&publisher, LOOK);
        let fault = publisher.status().faults.undelivered.unwrap();
        assert!(fault.contains(topics) && fault.contains(rule), "{fault}");
    }
}

#[test]
fn messages_of_the_plant_that_access_rules_hold_back_are_named() {
    let product = broker_with(&rules_for(&["verdict", "reject", "state", "heartbeat", "trigger"]));
    let plant = Subscriber::start(product.port(), STATE);
    plant.publish(PRODUCT, true, r#"{"product":"washer"}"#);
    let publisher = station(&product);
    wait_until("the fault", || publisher.status().faults.withheld.is_some());
    let fault = publisher.status().faults.withheld.unwrap();
    assert!(fault.starts_with("the broker does not deliver factory/L1/S1/product to the station"), "{fault}");
    assert!(fault.contains("user diad, topic readwrite factory/L1/S1/product"), "{fault}");

    let both = broker_with("topic write factory/L1/S1/#\n");
    let publisher = station(&both);
    wait_until("the fault", || publisher.status().faults.withheld.is_some_and(|fault| fault.contains(TRIGGER)));
    let fault = publisher.status().faults.withheld.unwrap();
    assert!(fault.contains(" and ") && fault.contains(PRODUCT), "{fault}");
}

#[test]
fn verdicts_that_a_broker_drops_for_their_size_stay_owed() {
    let broker = Broker::start_with(|_| format!("{QUEUES}allow_anonymous true\nmessage_size_limit 300\n"));
    let publisher = start_connected(broker.port());
    publish(&publisher, 1..=3);
    wait_until("the fault", || publisher.status().faults.undelivered.is_some());
    let status = publisher.status();
    assert_eq!(status.acknowledged, 0);
    let fault = status.faults.undelivered.unwrap();
    assert!(fault.contains("the broker drops messages of ") && fault.contains("message_size_limit"), "{fault}");
}

/// Where verdicts would end the connection, they are held back: triggers, bits and the state get through.
#[test]
fn broker_that_ends_the_connection_at_a_size_gets_the_bits_and_no_verdict() {
    let broker = Broker::start_with(|_| "allow_anonymous true\nmax_packet_size 300\n".to_owned());
    let bits = Subscriber::start(broker.port(), REJECT);
    let publisher = start_connected(broker.port());
    publish(&publisher, 1..=1);
    wait_until("the fault", || publisher.status().faults.flapping.is_some_and(|f| f.contains("at a message of")));
    let fault = publisher.status().faults.flapping.unwrap();
    assert!(fault.contains(" bytes on factory/L1/S1/verdict") && fault.contains("max_packet_size"), "{fault}");
    wait_until("the connection", || publisher.status().connected);
    let connections = publisher.status().connections;
    publish(&publisher, 2..=5);
    bits.until(|bit| bit.payload["seq"] == 5);
    let status = publisher.status();
    assert_eq!((status.connections, status.acknowledged), (connections, 0), "the connection holds");
    assert_eq!(status.queued, 5, "every verdict is owed");
}

#[test]
fn stations_of_one_name_report_each_other() {
    let broker = Broker::start();
    let stations = [start_connected(broker.port()), start_connected(broker.port())];
    for station in &stations {
        wait_until("the fault", || station.status().faults.flapping.is_some_and(|f| f.contains("another client")));
        let fault = station.status().faults.flapping.unwrap();
        assert!(fault.contains("diad:factory:L1:S1") && fault.contains("must not share line and station"), "{fault}");
    }
}

/// A message that is far too long is named, and everything else goes on.
#[test]
fn message_too_long_for_a_topic_is_named_and_the_link_goes_on() {
    for topic in [TRIGGER, PRODUCT] {
        let broker = Broker::start();
        let plant = Subscriber::start(broker.port(), STATE);
        plant.publish(topic, true, "x".repeat(1_100_000));
        wait_until("the retained message", || broker.log().iter().any(|line| line.contains("Sending PUBACK")));
        let publisher = start_connected(broker.port());
        wait_until("the fault", || publisher.status().faults.oversized.is_some());
        let fault = publisher.status().faults.oversized.unwrap();
        assert!(fault.starts_with(&format!("a retained message of 1100000 bytes came on {topic}")), "{fault}");
        publish(&publisher, 1..=3);
        wait_until("verdicts", || publisher.status().acknowledged == 3);
        assert_eq!(publisher.status().connections, 1);
        plant.publish(topic, true, "");
        wait_until("the end of the fault", || publisher.status().faults.oversized.is_none());
    }
}
