//! Verdicts arrive: once, in order, and after every kind of outage.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use diad_publish::{DrainReport, Publisher};

use crate::broker::{Broker, Direction, Gate, PATIENCE, Received, Subscriber, free_port, wait_until};
use crate::line::{EVERYTHING, REJECT, VERDICT, bit, is_state, publish, settings, start, start_connected};

fn drain(publisher: &Publisher) -> DrainReport {
    publisher.drain(Instant::now() + PATIENCE)
}

/// Sequence numbers of the messages on a topic, in order of arrival.
fn numbers(messages: &[Received], topic: &str) -> Vec<u64> {
    messages.iter().filter(|m| m.topic == topic).map(|m| m.payload["seq"].as_u64().unwrap()).collect()
}

#[test]
fn publisher_delivers_every_verdict_and_bit_once_and_in_order() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port(), EVERYTHING);
    let publisher = start_connected(broker.port());
    publish(&publisher, 1..=200);
    let report = drain(&publisher);
    assert_eq!((report.acknowledged, report.remaining, report.offline_acknowledged), (200, 0, true));
    let status = publisher.status();
    assert_eq!((status.acknowledged, status.rejects_acknowledged, status.dropped), (200, 200, 0));
    assert_eq!((status.connections, status.connected, status.queued, status.in_flight), (1, false, 0, 0));

    let messages = subscriber.until(|m| is_state(m, "offline"));
    let all: Vec<u64> = (1..=200).collect();
    assert_eq!(numbers(&messages, VERDICT), all);
    assert_eq!(numbers(&messages, REJECT), all);
    for message in &messages {
        let seq = message.payload["seq"].as_u64();
        if message.topic == REJECT {
            assert_eq!(message.payload["reject"].as_u64(), seq.map(bit));
        } else if message.topic == VERDICT {
            assert_eq!(message.payload["historical"], false);
        }
    }
    let verdict_of_1 = messages.iter().position(|m| m.topic == VERDICT);
    let bit_of_1 = messages.iter().position(|m| m.topic == REJECT);
    assert!(verdict_of_1 < bit_of_1, "the bit comes after the details");
}

#[test]
fn publisher_sends_everything_again_when_a_killed_broker_comes_back_without_its_memory() {
    let gate = Gate::shut();
    let mut first = Broker::start();
    let before = Subscriber::start(first.port(), EVERYTHING);
    gate.open(first.port());
    let publisher = start_connected(gate.port());
    publish(&publisher, 1..=100);
    wait_until("100 acknowledgements", || publisher.status().acknowledged == 100);

    // The broker gets these, but we never learn it.
    gate.freeze(Direction::FromBroker);
    publish(&publisher, 101..=120);
    let mut received = before.until(|m| m.topic == VERDICT && m.payload["seq"] == 120);
    assert_eq!(publisher.status().in_flight, 20);

    first.kill();
    received.extend(before.rest());
    gate.cut_and_shut();
    wait_until("the loss", || !publisher.status().connected);
    publish(&publisher, 121..=150);
    assert_eq!(publisher.status().queued, 50);

    let second = Broker::start();
    let after = Subscriber::start(second.port(), EVERYTHING);
    gate.open(second.port());
    wait_until("all acknowledgements", || publisher.status().acknowledged == 150);
    publish(&publisher, 151..=160);
    assert_eq!(drain(&publisher).remaining, 0);
    let again = after.until(|m| is_state(m, "offline"));
    assert_eq!(numbers(&again, VERDICT), (101..=160).collect::<Vec<_>>());
    assert_eq!(numbers(&again, REJECT), (151..=160).collect::<Vec<_>>(), "a bit is never sent late");
    for message in again.iter().filter(|m| m.topic == VERDICT) {
        assert_eq!(message.payload["historical"], message.payload["seq"].as_u64() <= Some(150));
    }

    received.extend(again);
    let mut contents: BTreeMap<u64, serde_json::Value> = BTreeMap::new();
    let mut repeats = 0;
    for mut message in received.into_iter().filter(|m| m.topic == VERDICT) {
        message.payload["historical"] = serde_json::Value::Null;
        let seq = message.payload["seq"].as_u64().unwrap();
        if let Some(earlier) = contents.insert(seq, message.payload.clone()) {
            assert_eq!(earlier, message.payload, "a repeat says the same");
            repeats += 1;
        }
    }
    assert_eq!(contents.into_keys().collect::<Vec<_>>(), (1..=160).collect::<Vec<_>>());
    assert_eq!(repeats, 20);
}

#[test]
fn publisher_gives_up_a_broker_that_fell_silent_and_never_blocks_meanwhile() {
    let gate = Gate::shut();
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port(), VERDICT);
    gate.open(broker.port());
    let publisher = start_connected(gate.port());
    gate.freeze(Direction::ToBroker);
    gate.freeze(Direction::FromBroker);
    let begun = Instant::now();
    publish(&publisher, 1..=1000);
    assert!(begun.elapsed() < Duration::from_secs(1), "offering took {:?}", begun.elapsed());
    let progress = publisher.progress();
    wait_until("the loss", || !publisher.status().connected);
    assert!(publisher.progress() > progress + 20, "the watchdog's beat went on");
    gate.cut_and_shut();
    gate.open(broker.port());
    let messages = subscriber.until(|m| m.payload["seq"] == 1000);
    assert_eq!(numbers(&messages, VERDICT), (1..=1000).collect::<Vec<_>>());
}

#[test]
fn publisher_sends_no_late_bit_through_a_broker_that_hung_and_went_on() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port(), EVERYTHING);
    let mut settings = settings(broker.port());
    settings.deadline_ms = 1000;
    let publisher = Publisher::start(settings).unwrap();
    wait_until("the connection", || publisher.status().connected);
    broker.freeze();
    // What goes out before the hang is noticed cannot be called back. The first that stays behind ends it.
    let mut last = 0;
    wait_until("the hang to be noticed", || {
        last += 1;
        publish(&publisher, last..=last);
        std::thread::park_timeout(Duration::from_millis(50));
        publisher.status().queued > 0
    });
    publish(&publisher, last + 1..=last + 5);
    last += 5;
    // The last of them leaves the gate 1.5 s after its capture.
    let left = Instant::now() + Duration::from_millis(1600);
    wait_until("the parts to leave the gate", || Instant::now() > left);
    let held = publisher.status().queued as u64;
    assert!(held >= 5, "{held} held back");
    let held_from = last - held + 1;
    broker.thaw();
    wait_until("all acknowledgements", || publisher.status().acknowledged == last);
    assert_eq!(publisher.status().connections, 1, "the connection held");
    let late = last;
    let bits = publisher.status().rejects_acknowledged;
    wait_until("a live part", || {
        last += 1;
        publish(&publisher, last..=last);
        std::thread::park_timeout(Duration::from_millis(50));
        publisher.status().rejects_acknowledged > bits
    });
    assert_eq!(drain(&publisher).remaining, 0);
    let messages = subscriber.until(|m| is_state(m, "offline"));
    assert_eq!(numbers(&messages, VERDICT), (1..=last).collect::<Vec<_>>());
    for message in messages.iter().filter(|m| m.topic == VERDICT) {
        let seq = message.payload["seq"].as_u64().unwrap();
        if (held_from..=late).contains(&seq) {
            assert_eq!(message.payload["historical"], true, "{seq} of {held_from}..={late}");
            assert!(!numbers(&messages, REJECT).contains(&seq), "a late bit for {seq}");
        } else if seq < held_from {
            assert_eq!(message.payload["historical"], false, "{seq} of {held_from}..={late}");
        }
    }
}

#[test]
fn publisher_started_before_its_broker_keeps_verdicts_for_it() {
    let gate = Gate::shut();
    let publisher = start(gate.port());
    publish(&publisher, 1..=100);
    wait_until("a failed attempt", || publisher.status().last_error.is_some());
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port(), EVERYTHING);
    gate.open(broker.port());
    assert_eq!(drain(&publisher).acknowledged, 100);
    let messages = subscriber.until(|m| is_state(m, "offline"));
    assert_eq!(numbers(&messages, VERDICT), (1..=100).collect::<Vec<_>>());
    assert_eq!(numbers(&messages, REJECT), Vec::<u64>::new());
    assert!(messages.iter().filter(|m| m.topic == VERDICT).all(|m| m.payload["historical"] == true));
}

#[test]
fn outbox_without_a_broker_keeps_to_its_bound_and_counts_what_left() {
    let mut settings = settings(free_port());
    settings.outbox_capacity = NonZeroUsize::new(100).unwrap();
    let publisher = Publisher::start(settings).unwrap();
    publish(&publisher, 1..=150);
    wait_until("a refused attempt", || publisher.status().last_error.is_some_and(|e| e.contains("refused")));
    let status = publisher.status();
    assert_eq!((status.queued, status.dropped, status.connected), (100, 50, false));
    let begun = Instant::now();
    let report = publisher.drain(begun + Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_millis(1000), "{:?}", begun.elapsed());
    assert_eq!((report.remaining, report.offline_acknowledged), (100, false));
    publish(&publisher, 151..=151);
    assert_eq!(publisher.status().dropped, 51, "a verdict after the end is counted");
}
