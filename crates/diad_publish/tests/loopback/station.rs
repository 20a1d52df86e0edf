//! What the plant knows of the station, and what the station hears from the plant.

use diad_publish::wire::{Heartbeat, Inbound, InboundError, State};

use crate::broker::{Broker, Direction, Gate, PATIENCE, Subscriber, wait_until};
use crate::line::{HEARTBEAT, PRODUCT, STATE, TRIGGER, is_state, start, start_connected};

#[test]
fn state_is_retained_and_the_last_will_says_offline() {
    let broker = Broker::start();
    let publisher = start_connected(broker.port());
    let early = Subscriber::start(broker.port(), STATE);
    early.until(|m| is_state(m, "starting"));
    publisher.set_state(State::Ready, "diad-tiny on cpu");
    let ready = early.until(|m| is_state(m, "ready")).pop().unwrap();
    assert_eq!(ready.payload["detail"], "diad-tiny on cpu");

    let late = Subscriber::start(broker.port(), STATE);
    let retained = late.next();
    assert!(retained.retained && is_state(&retained, "ready"));

    drop(publisher);
    let will = late.next();
    assert!(is_state(&will, "offline"), "{will:?}");
    assert!(will.payload["detail"].as_str().unwrap().starts_with("connection lost"));
    let after = Subscriber::start(broker.port(), STATE).next();
    assert!(after.retained && is_state(&after, "offline"));
}

#[test]
fn state_of_a_restarted_daemon_is_not_overwritten_by_the_will_of_its_predecessor() {
    let gate = Gate::shut();
    let broker = Broker::start();
    gate.open(broker.port());
    let predecessor = start_connected(gate.port());
    predecessor.set_state(State::Ready, "predecessor");
    let subscriber = Subscriber::start(broker.port(), STATE);
    subscriber.until(|m| is_state(m, "ready"));
    // Its machine lost power: the broker does not know yet.
    gate.freeze(Direction::ToBroker);
    gate.freeze(Direction::FromBroker);
    let successor = start_connected(broker.port());
    successor.set_state(State::Ready, "successor");
    subscriber.until(|m| is_state(m, "ready") && m.payload["detail"] == "successor");
    let retained = Subscriber::start(broker.port(), STATE).next();
    assert_eq!(retained.payload["detail"], "successor");
}

#[test]
fn heartbeat_counts_on() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port(), HEARTBEAT);
    let gate = Gate::shut();
    let publisher = start(gate.port());
    let beat =
        Heartbeat { parts_in: 3, verdicts_out: 2, queue_depth: 1, owed: 0, unaccounted: 0, margin_ms: Some(120.5) };
    publisher.heartbeat(beat);
    gate.open(broker.port());
    wait_until("the connection", || publisher.status().connected);
    publisher.heartbeat(beat);
    let message = subscriber.next();
    assert_eq!(message.payload["counter"], 2, "an old heartbeat is not sent");
    assert_eq!(message.payload["parts_in"], 3);
    assert_eq!(message.payload["margin_ms"], 120.5);
}

#[test]
fn inbound_takes_triggers_and_products_and_reports_what_it_refuses() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), STATE);
    plant.publish(PRODUCT, true, r#"{"product":"washer"}"#);
    plant.publish(TRIGGER, true, r#"{"part":"ghost"}"#);
    wait_until("the retained messages", || {
        broker.log().iter().filter(|line| line.contains("Sending PUBACK to subscriber-")).count() == 2
    });
    let publisher = start(broker.port());
    let next = || publisher.inbound().recv_timeout(PATIENCE).unwrap();
    let mut first = [next(), next()];
    first.sort_by_key(|inbound| matches!(inbound, Inbound::Fault(_)));
    assert!(matches!(&first[0], Inbound::Product { product, .. } if product.product.as_str() == "washer"));
    assert!(matches!(&first[1], Inbound::Fault(InboundError::Retained { .. })));

    plant.publish(TRIGGER, false, r#"{"part":"P-77","camera":"cam1"}"#);
    plant.publish(TRIGGER, false, r#"{"part":7.5}"#);
    plant.publish(TRIGGER, false, "x".repeat(5000));
    plant.publish(PRODUCT, false, r#"["washer"]"#);
    match next() {
        Inbound::Trigger { trigger, .. } => {
            assert_eq!(trigger.part.unwrap().as_str(), "P-77");
            assert_eq!(trigger.camera.unwrap().as_str(), "cam1");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(next(), Inbound::UnclearTrigger { unclear, .. } if matches!(*unclear.error, InboundError::Kind { .. }))
    );
    assert!(
        matches!(next(), Inbound::UnclearTrigger { unclear, .. } if matches!(*unclear.error, InboundError::Size { bytes: 5000, .. }))
    );
    assert!(matches!(next(), Inbound::UnclearProduct { error: InboundError::Object { .. }, .. }));
    assert_eq!(publisher.status().inbound_refused, 4);
    assert_eq!(publisher.status().inbound_unread, 3, "all but the retained one");
    assert!(publisher.status().connected);
}

#[test]
fn inbound_is_subscribed_again_after_an_outage() {
    let gate = Gate::shut();
    let broker = Broker::start();
    gate.open(broker.port());
    let publisher = start_connected(gate.port());
    let subscriptions = || broker.log().iter().filter(|line| line.contains("Sending SUBACK to diad:")).count();
    wait_until("the first subscription", || subscriptions() == 1);
    gate.cut_and_shut();
    wait_until("the loss", || !publisher.status().connected);
    gate.open(broker.port());
    wait_until("the second subscription", || subscriptions() == 2);
    Subscriber::start(broker.port(), STATE).publish(TRIGGER, false, r#"{"part":"P-1"}"#);
    let inbound = publisher.inbound().recv_timeout(PATIENCE).unwrap();
    assert!(matches!(inbound, Inbound::Trigger { .. }), "{inbound:?}");
}
