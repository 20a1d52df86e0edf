//! What the plant knows of the station, and what the station hears from the plant.

use diad_publish::wire::{Heartbeat, Inbound, InboundError, State};
use diad_publish::{Promptness, Publisher, PublisherSettings, Suspicion};

use crate::broker::{Broker, Direction, Gate, PATIENCE, Subscriber, wait_until};
use crate::line::{HEARTBEAT, PRODUCT, STATE, TRIGGER, is_state, settings, start, start_connected};

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
    let next = || {
        let arrived = publisher.inbound().recv_timeout(PATIENCE).unwrap();
        arrived.receipt.settle();
        arrived.message
    };
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
    let inbound = publisher.inbound().recv_timeout(PATIENCE).unwrap().message;
    assert!(matches!(inbound, Inbound::Trigger { .. }), "{inbound:?}");
}

/// What was not acknowledged when a process ended is delivered to the next one, and what was is not.
#[test]
fn inbound_that_is_not_settled_comes_again_to_the_next_process() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), STATE);
    let watched = || Publisher::start(PublisherSettings { watch_triggers: true, ..settings(broker.port()) }).unwrap();
    let expect_prompt = |publisher: &Publisher| wait_until("a prompt link", || publisher.status().prompt);
    let next = |publisher: &Publisher| {
        let arrived = publisher.inbound().recv_timeout(PATIENCE).unwrap();
        let Inbound::Trigger { trigger, .. } = arrived.message else { panic!("{:?}", arrived.message) };
        (trigger.part.unwrap().as_str().to_owned(), arrived.promptness, arrived.receipt)
    };
    let publisher = watched();
    expect_prompt(&publisher);
    for part in 1..=3 {
        plant.publish(TRIGGER, false, format!(r#"{{"part":"P-{part}"}}"#));
    }
    let (first, second, third) = (next(&publisher), next(&publisher), next(&publisher));
    assert_eq!((first.0.as_str(), first.1), ("P-1", Promptness::Prompt));
    first.2.settle();
    // Settled before the one ahead of it.
    third.2.settle();
    wait_until("the acknowledgement", || broker.log().iter().any(|line| line.contains("Received PUBACK from diad:")));
    drop(second.2);
    drop(publisher);
    let lines = |what: &str| broker.log().iter().filter(|line| line.contains(what)).count();
    wait_until("the end of the first process", || lines("Client diad:factory:L1:S1 ") > 0);
    plant.publish(TRIGGER, false, r#"{"part":"P-4"}"#);
    wait_until("the fourth trigger", || lines("Sending PUBACK to subscriber-") == 4);

    let publisher = watched();
    let again: Vec<_> = (2..=4).map(|_| next(&publisher)).collect();
    assert_eq!(again.iter().map(|(part, ..)| part.as_str()).collect::<Vec<_>>(), ["P-2", "P-3", "P-4"]);
    assert_eq!(again[0].1, Promptness::Suspect(Suspicion::Redelivered));
    assert!(again.iter().all(|(_, promptness, _)| *promptness != Promptness::Prompt), "{again:?}");
    again.into_iter().for_each(|(.., receipt)| receipt.settle());
    expect_prompt(&publisher);
    plant.publish(TRIGGER, false, r#"{"part":"P-5"}"#);
    let (part, promptness, _) = next(&publisher);
    assert_eq!((part.as_str(), promptness), ("P-5", Promptness::Prompt));
}

/// A connection that is lost before the acknowledgement makes no second part of a message.
#[test]
fn inbound_that_comes_again_over_a_new_connection_is_the_same_message() {
    let gate = Gate::shut();
    let broker = Broker::start();
    gate.open(broker.port());
    let plant = Subscriber::start(broker.port(), STATE);
    let publisher = Publisher::start(PublisherSettings { watch_triggers: true, ..settings(gate.port()) }).unwrap();
    wait_until("a prompt link", || publisher.status().prompt);
    plant.publish(TRIGGER, false, r#"{"part":"P-1"}"#);
    let held = publisher.inbound().recv_timeout(PATIENCE).unwrap();
    gate.cut_and_shut();
    wait_until("the loss", || !publisher.status().connected);
    gate.open(broker.port());
    wait_until("the connection", || publisher.status().connected);
    held.receipt.settle();
    wait_until("the acknowledgement", || broker.log().iter().any(|line| line.contains("Received PUBACK from diad:")));
    wait_until("a prompt link", || publisher.status().prompt);
    plant.publish(TRIGGER, false, r#"{"part":"P-2"}"#);
    let next = publisher.inbound().recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(&next.message, Inbound::Trigger { trigger, .. } if trigger.part.as_ref().unwrap().as_str() == "P-2"),
        "{next:?}"
    );
    assert_eq!(next.promptness, Promptness::Prompt);
}

/// A network that stands still: what waited in it is suspect, and what comes after is not for long.
#[test]
fn inbound_that_a_network_held_back_is_suspect() {
    let gate = Gate::shut();
    let broker = Broker::start();
    gate.open(broker.port());
    let plant = Subscriber::start(broker.port(), STATE);
    let publisher = Publisher::start(PublisherSettings { watch_triggers: true, ..settings(gate.port()) }).unwrap();
    wait_until("a prompt link", || publisher.status().prompt);
    gate.hold();
    plant.publish(TRIGGER, false, r#"{"part":"P-1"}"#);
    wait_until("the stall to be seen", || !publisher.status().prompt);
    gate.release();
    let held = publisher.inbound().recv_timeout(PATIENCE).unwrap();
    assert!(matches!(held.promptness, Promptness::Suspect(Suspicion::Stall { .. })), "{held:?}");
    held.receipt.settle();
    wait_until("a prompt link", || publisher.status().prompt);
    plant.publish(TRIGGER, false, r#"{"part":"P-2"}"#);
    assert_eq!(publisher.inbound().recv_timeout(PATIENCE).unwrap().promptness, Promptness::Prompt);
    assert_eq!(publisher.status().connections, 1);
}
