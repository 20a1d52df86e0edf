//! Brokers that do not keep to MQTT: none of them may look like one that delivers.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::BytesMut;
use diad_publish::{LinkFaults, LinkStatus, Publisher, PublisherSettings};
use rumqttc::mqttbytes::v4::{
    ConnAck, ConnectReturnCode, Packet, PubAck, PubRec, Publish, SubAck, SubscribeReasonCode, UnsubAck,
};
use rumqttc::mqttbytes::{Error, QoS};

use crate::broker::wait_until;
use crate::line::{publish, settings};

/// What a broker does otherwise than MQTT asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Nothing: it keeps to MQTT, for one client.
    None,
    LeavesSubscriptionsUnanswered,
    GrantsAnotherSubscription,
    RefusesSubscriptions,
    AnswersAsWithAnotherQos,
    LeavesMessagesUnacknowledged,
    AcknowledgesOtherMessages,
    DeliversNothing,
    LeavesPingsAndQuestionsUnanswered,
}

/// A broker for one client, on a port of its own; it ends with the test's process.
fn broker(habit: Habit) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let accept = move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread("client", move || serve(&stream, habit));
        }
    };
    thread("broker", accept);
    port
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name(format!("scripted {name}")).spawn(work).unwrap();
}

fn serve(mut stream: &TcpStream, habit: Habit) {
    let (mut subscribed, mut bytes, mut read) = (BTreeSet::new(), BytesMut::new(), [0; 4096]);
    loop {
        match Packet::read(&mut bytes, 1 << 20) {
            Ok(packet) => {
                let mut answers = BytesMut::new();
                for answer in answer(packet, habit, &mut subscribed) {
                    answer.write(&mut answers, usize::MAX).unwrap();
                }
                if stream.write_all(&answers).is_err() {
                    return;
                }
            }
            Err(Error::InsufficientBytes(_)) => match stream.read(&mut read) {
                Ok(count @ 1..) => bytes.extend_from_slice(&read[..count]),
                _ => return,
            },
            Err(error) => panic!("the station does not keep to MQTT: {error}"),
        }
    }
}

fn answer(packet: Packet, habit: Habit, subscribed: &mut BTreeSet<String>) -> Vec<Packet> {
    match packet {
        Packet::Connect(_) => vec![Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false))],
        Packet::Subscribe(asked) => {
            let code = match habit {
                Habit::LeavesSubscriptionsUnanswered => return Vec::new(),
                Habit::RefusesSubscriptions => SubscribeReasonCode::Failure,
                _ => SubscribeReasonCode::Success(QoS::AtLeastOnce),
            };
            let other = u16::from(habit == Habit::GrantsAnotherSubscription) * 1000;
            let codes = vec![code; asked.filters.len()];
            if other == 0 && code != SubscribeReasonCode::Failure {
                subscribed.extend(asked.filters.into_iter().map(|filter| filter.path));
            }
            vec![Packet::SubAck(SubAck::new(asked.pkid + other, codes))]
        }
        Packet::Publish(message) => {
            let mut answers = Vec::new();
            if message.qos == QoS::AtLeastOnce {
                answers.extend(match habit {
                    Habit::AnswersAsWithAnotherQos => Some(Packet::PubRec(PubRec::new(message.pkid))),
                    Habit::LeavesMessagesUnacknowledged => None,
                    Habit::AcknowledgesOtherMessages => Some(Packet::PubAck(PubAck::new(message.pkid + 50))),
                    _ => Some(Packet::PubAck(PubAck::new(message.pkid))),
                });
            }
            if subscribed.contains(&message.topic) && habit != Habit::DeliversNothing {
                let copy = Publish::new(message.topic.clone(), QoS::AtMostOnce, message.payload.to_vec());
                answers.push(Packet::Publish(copy));
            }
            answers
        }
        Packet::Unsubscribe(_) | Packet::PingReq if habit == Habit::LeavesPingsAndQuestionsUnanswered => Vec::new(),
        Packet::Unsubscribe(asked) => vec![Packet::UnsubAck(UnsubAck::new(asked.pkid))],
        Packet::PingReq => vec![Packet::PingResp],
        _ => Vec::new(),
    }
}

/// A station that sends three verdicts to such a broker.
fn station(habit: Habit) -> Publisher {
    let publisher = Publisher::start(PublisherSettings { watch_triggers: true, ..settings(broker(habit)) }).unwrap();
    wait_until("the connection", || publisher.status().connections > 0);
    publish(&publisher, 1..=3);
    publisher
}

/// Waits until the station reports this, and expects that no verdict counts as delivered by then nor later.
#[track_caller]
fn expect_fault(habit: Habit, fault: impl Fn(&LinkStatus) -> Option<String>, text: &str) {
    let publisher = station(habit);
    wait_until(text, || fault(&publisher.status()).is_some_and(|fault| fault.contains(text)));
    let status = publisher.status();
    assert_eq!(status.acknowledged, 0, "{habit:?}: {status:?}");
}

#[test]
fn broker_that_keeps_to_mqtt_has_every_verdict_and_no_fault() {
    let publisher = station(Habit::None);
    wait_until("delivery", || publisher.status().acknowledged == 3);
    // Longer than all that is waited for by the link.
    std::thread::sleep(std::time::Duration::from_secs(7));
    let status = publisher.status();
    assert_eq!((status.connections, status.faults, status.queued), (1, LinkFaults::default(), 0));
}

#[test]
fn subscriptions_without_their_answer_are_a_fault() {
    for habit in [Habit::LeavesSubscriptionsUnanswered, Habit::GrantsAnotherSubscription] {
        expect_fault(habit, |status| status.faults.withheld.clone(), "has not answered the subscription");
    }
    let refused = "refused the trigger or product subscription";
    expect_fault(Habit::RefusesSubscriptions, |status| status.last_error.clone(), refused);
}

#[test]
fn acknowledgements_that_are_none_end_the_connection() {
    for (habit, reason) in [
        (Habit::AnswersAsWithAnotherQos, "PUBREC"),
        (Habit::AcknowledgesOtherMessages, ""),
        (Habit::LeavesMessagesUnacknowledged, "acknowledged nothing for 10 s"),
    ] {
        expect_fault(habit, |status| status.last_error.clone(), reason);
    }
}

#[test]
fn verdicts_that_are_acknowledged_and_delivered_to_no_one_stay_owed() {
    let habit = Habit::DeliversNothing;
    expect_fault(habit, |status| status.faults.undelivered.clone(), "publishes on verdict, reject");
}

#[test]
fn broker_that_answers_no_ping_is_left_and_what_it_took_stays_taken() {
    let publisher = station(Habit::LeavesPingsAndQuestionsUnanswered);
    wait_until("delivery", || publisher.status().acknowledged == 3);
    assert_eq!(publisher.status().queued, 0);
}
