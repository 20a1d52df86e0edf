use std::num::NonZeroUsize;

use crossbeam_channel::{Receiver, bounded};
use diad_core::name::{LineName, PartId, StationName};
use rumqttc::{EventLoop, Publish, SubAck, SubscribeReasonCode, UnsubAck};

use super::endings::Ending;
use super::*;
use crate::arrived::Suspicion;
use crate::desk::LinkFaults;
use crate::outbox::Outbox;
use crate::settings::{BrokerUrl, LinkSettings};
use crate::topic::TopicRoot;
use crate::wire::Inbound;

/// A link that nobody polls; what it says stays in the event loop's channel.
fn link(inbound_capacity: usize) -> (Link, Session, Memory, Receiver<Arrived>, EventLoop) {
    let now = SystemTime::now();
    let outbox = Outbox::new(NonZeroUsize::new(10).unwrap());
    let shared = Arc::new(SharedLink::new(Desk::new(outbox, StateMessage::new(State::Starting, "", now), now)));
    let url = BrokerUrl::parse("mqtt://localhost").unwrap();
    let broker = Broker::open(&LinkSettings::try_new(url, None, None, None).unwrap()).unwrap();
    let topics = Topics::new(
        &TopicRoot::try_new("factory").unwrap(),
        &LineName::try_new("L1").unwrap(),
        &StationName::try_new("S1").unwrap(),
    );
    let (inbound, received) = bounded(inbound_capacity);
    let (client, events) = broker.link_client(&topics, last_will(now));
    let watch = Watch { limit: Duration::from_millis(250), asks: true };
    let link = Link::new(shared, broker, topics, inbound, watch);
    let mut memory = Memory::default();
    let session = link.session(client, &mut memory);
    (link, session, memory, received, events)
}

fn suback(codes: Vec<SubscribeReasonCode>) -> Event {
    Event::Incoming(Packet::SubAck(SubAck::new(1, codes)))
}

/// The broker accepts the connection, and the subscription is written under number 1.
fn connect(link: &Link, session: &mut Session, memory: &mut Memory) {
    let accepted = ConnAck::new(ConnectReturnCode::Success, false);
    assert!(link.take(session, memory, Event::Incoming(Packet::ConnAck(accepted))).is_none());
    link.take(session, memory, Event::Outgoing(rumqttc::Outgoing::Subscribe(1)));
}

#[test]
fn take_counts_no_answer_to_a_subscription_that_was_not_asked_for() {
    let (link, mut session, mut memory, _received, _events) = link(1);
    connect(&link, &mut session, &mut memory);
    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
    link.take(&mut session, &mut memory, Event::Incoming(Packet::SubAck(SubAck::new(7, vec![granted; 6]))));
    for _ in 0..22 {
        assert!(link.serve(&mut session, &mut memory).is_none());
        std::thread::sleep(Duration::from_millis(250));
    }
    let withheld = link.shared.desk().snapshot().faults.withheld.unwrap();
    assert!(
        withheld.starts_with("the broker has not answered the subscription of factory/L1/S1/trigger"),
        "{withheld}"
    );
    link.take(&mut session, &mut memory, suback(vec![granted; 6]));
    assert!(link.serve(&mut session, &mut memory).is_none());
    assert_eq!(link.shared.desk().snapshot().faults, LinkFaults::default());
}

#[test]
fn take_leaves_a_broker_that_answers_as_if_with_another_qos() {
    let (link, mut session, mut memory, _received, _events) = link(1);
    connect(&link, &mut session, &mut memory);
    match link.take(&mut session, &mut memory, Event::Incoming(Packet::PubRec(rumqttc::PubRec::new(1)))) {
        Some(ConnectionEnd::Lost(reason)) => assert!(reason.contains("PUBREC"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// A state that is not of this process, once the broker has taken one that is, shows who else was there.
#[test]
fn take_of_a_state_that_another_client_has_published_shows_a_twin() {
    let (link, mut session, mut memory, _received, _events) = link(1);
    let state = |detail: &str| StateMessage::new(State::Ready, detail, SystemTime::UNIX_EPOCH).to_json();
    let mut came = |payload: Vec<u8>, ours: bool| {
        if ours {
            memory.states.know(&payload);
        }
        let message = Publish::new("factory/L1/S1/state", QoS::AtMostOnce, payload);
        link.take(&mut session, &mut memory, Event::Incoming(Packet::Publish(message)));
        for _ in 0..2 {
            let at = Instant::now();
            memory.endings.note(Ending { at, reason: "closed".to_owned(), closed: true, behind: None }, 0);
        }
        connect(&link, &mut session, &mut memory);
        assert!(link.serve(&mut session, &mut memory).is_none());
        let flapping = link.shared.desk().snapshot().faults.flapping;
        flapping.filter(|fault| fault.contains("another client uses the name diad:factory:L1:S1"))
    };
    assert_eq!(came(state("of the process before"), false), None);
    assert_eq!(came(state("ours"), true), None);
    assert!(came(state("of another station"), false).is_some());
}

#[test]
fn take_reports_a_refused_subscription_and_stays_connected() {
    let (link, mut session, mut memory, _received, _events) = link(1);
    connect(&link, &mut session, &mut memory);
    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
    assert!(link.take(&mut session, &mut memory, suback(vec![granted, granted])).is_none());
    assert!(link.shared.desk().snapshot().subscribed);
    connect(&link, &mut session, &mut memory);
    assert!(link.take(&mut session, &mut memory, suback(vec![granted, SubscribeReasonCode::Failure])).is_none());
    let status = link.shared.desk().snapshot();
    assert!(status.connected && !status.subscribed);
    assert!(status.last_error.unwrap().contains("refused the trigger or product subscription"));
}

#[test]
fn serve_gives_up_a_broker_that_lives_and_acknowledges_nothing() {
    let (link, mut session, mut memory, _received, _events) = link(1);
    let accepted = ConnAck::new(ConnectReturnCode::Success, false);
    assert!(link.take(&mut session, &mut memory, Event::Incoming(Packet::ConnAck(accepted))).is_none());
    let long_ago = Instant::now() - GIVE_UP - BROKER_STALL_TIMEOUT;
    session.handover = Handover::new(long_ago);
    assert!(link.serve(&mut session, &mut memory).is_none(), "nothing is owed");
    session.handover = Handover::new(long_ago);
    session.handover.hand(Sent { slot: Slot::State, echo: None }, long_ago);
    match link.serve(&mut session, &mut memory) {
        Some(ConnectionEnd::Lost(reason)) => assert_eq!(reason, "the broker acknowledged nothing for 10 s"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn take_counts_a_message_that_nobody_made_room_for() {
    let (link, mut session, mut memory, received, _events) = link(1);
    for part in [r#"{"part":"P-1"}"#, r#"{"part":"P-2"}"#] {
        let message = Publish::new("factory/L1/S1/trigger", QoS::AtLeastOnce, part);
        link.take(&mut session, &mut memory, Event::Incoming(Packet::Publish(message)));
    }
    assert_eq!(link.shared.desk().snapshot().inbound_lost, 1);
    assert!(
        matches!(received.recv().unwrap().message, Inbound::Trigger { trigger, .. } if trigger.part == PartId::try_new("P-1").ok())
    );
}

#[test]
fn take_lets_an_empty_message_be_and_counts_one_that_is_not_certain() {
    let (link, mut session, mut memory, received, _events) = link(8);
    for (topic, payload, retained) in [
        ("factory/L1/S1/trigger", &b""[..], false),
        ("factory/L1/S1/product", b"", true),
        ("factory/L1/S1/trigger", b"{\"part\":\"ghost\"}", true),
        ("factory/L1/S1/trigger", b"\xfe\x0e{\"part\":\"P-9\"}", false),
        ("factory/L1/S1/product", b"{}", true),
    ] {
        let mut message = Publish::new(topic, QoS::AtLeastOnce, payload);
        message.retain = retained;
        link.take(&mut session, &mut memory, Event::Incoming(Packet::Publish(message)));
    }
    let received: Vec<_> = received.try_iter().map(|arrived| arrived.message).collect();
    let [Inbound::Fault(_), Inbound::UnclearTrigger { .. }, Inbound::UnclearProduct { .. }] = &received[..] else {
        panic!("{received:?}")
    };
    let status = link.shared.desk().snapshot();
    assert_eq!((status.inbound_refused, status.inbound_unread), (3, 2));
    let want = "field \"product\" is missing on factory/L1/S1/product; send for example {\"product\":\"washer\"}; \
                it begins with 7b 7d";
    assert_eq!(status.last_unread.as_deref(), Some(want));
}

#[test]
fn take_after_the_station_has_stopped_leaves_messages_with_the_broker() {
    let (link, mut session, mut memory, received, _events) = link(4);
    link.shared.desk().deaf = true;
    link.take(&mut session, &mut memory, Event::Incoming(Packet::Publish(trigger(1, QoS::AtLeastOnce))));
    assert_eq!(link.shared.desk().snapshot().inbound_lost, 0);
    assert_eq!((session.receipts.len(), session.receipts.due()), (1, None), "never acknowledged");
    link.take(&mut session, &mut memory, Event::Incoming(Packet::Publish(trigger(2, QoS::AtMostOnce))));
    assert_eq!(link.shared.desk().snapshot().inbound_lost, 1, "of that one the broker keeps nothing");
    assert!(received.try_recv().is_err());
}

fn trigger(packet: u16, qos: QoS) -> Publish {
    let mut message = Publish::new("factory/L1/S1/trigger", qos, format!(r#"{{"part":"P-{packet}"}}"#));
    message.pkid = packet;
    message
}

#[test]
fn serve_acknowledges_what_is_on_record_and_nothing_else() {
    let (link, mut session, mut memory, received, _events) = link(4);
    let accepted = ConnAck::new(ConnectReturnCode::Success, false);
    assert!(link.take(&mut session, &mut memory, Event::Incoming(Packet::ConnAck(accepted))).is_none());
    for packet in [1, 2] {
        link.take(&mut session, &mut memory, Event::Incoming(Packet::Publish(trigger(packet, QoS::AtLeastOnce))));
    }
    assert!(link.serve(&mut session, &mut memory).is_none());
    assert_eq!((session.unwritten_acks, session.receipts.len()), (0, 2), "nothing is on record");
    received.recv().unwrap().receipt.settle();
    assert!(link.serve(&mut session, &mut memory).is_none());
    assert_eq!((session.unwritten_acks, session.receipts.len()), (1, 1));
    drop(received.recv().unwrap());
    assert!(link.serve(&mut session, &mut memory).is_none());
    assert_eq!((session.unwritten_acks, session.receipts.len()), (1, 1), "the second never was");
}

#[test]
fn take_of_a_trigger_says_what_is_known_of_its_age() {
    let (link, mut session, mut memory, received, _events) = link(4);
    let accepted = ConnAck::new(ConnectReturnCode::Success, true);
    assert!(link.take(&mut session, &mut memory, Event::Incoming(Packet::ConnAck(accepted))).is_none());
    let promptness = |session: &mut Session, packet| {
        link.take(session, &mut Memory::default(), Event::Incoming(Packet::Publish(trigger(packet, QoS::AtLeastOnce))));
        let arrived = received.recv().unwrap();
        arrived.receipt.settle();
        arrived.promptness
    };
    assert_eq!(promptness(&mut session, 1), Promptness::Suspect(Suspicion::Connection));
    link.take(&mut session, &mut memory, Event::Outgoing(rumqttc::Outgoing::Subscribe(1)));
    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
    link.take(&mut session, &mut memory, suback(vec![granted, granted]));
    assert_eq!(
        promptness(&mut session, 2),
        Promptness::Suspect(Suspicion::Connection),
        "others may wait behind the first"
    );
    // Acknowledges both, and asks again.
    std::thread::sleep(Duration::from_millis(25));
    assert!(link.serve(&mut session, &mut memory).is_none());
    link.take(&mut session, &mut memory, Event::Incoming(Packet::UnsubAck(UnsubAck::new(2))));
    assert_eq!(promptness(&mut session, 3), Promptness::Prompt);
    assert!(link.serve(&mut session, &mut memory).is_none());
    assert!(link.shared.desk().status.prompt);
    std::thread::sleep(Duration::from_millis(260));
    assert!(matches!(promptness(&mut session, 4), Promptness::Suspect(Suspicion::Stall { .. })));
}

#[test]
fn chance_lies_between_zero_and_one() {
    for _ in 0..1000 {
        assert!((0.0..1.0).contains(&chance()));
    }
}

#[test]
fn describe_tells_an_operator_what_to_check() {
    for code in [ConnectReturnCode::BadUserNamePassword, ConnectReturnCode::NotAuthorized] {
        assert!(describe(&ConnectionError::ConnectionRefused(code)).contains("mqtt.password_file"));
    }
    let busy = describe(&ConnectionError::ConnectionRefused(ConnectReturnCode::ServiceUnavailable));
    assert_eq!(busy, "the broker refused the connection (ServiceUnavailable)");
}
