//! The station as a Sparkplug edge node.

use std::time::Instant;

use diad_publish::Publisher;
use diad_publish::settings::{BrokerUrl, LinkSettings, PayloadKind};
use diad_publish::wire::State;
use diad_publish::wire::sparkplug::{BD_SEQ, Metric, Payload, REBIRTH, Value};
use prost::Message as _;

use crate::broker::{Broker, Gate, PATIENCE, Received, Subscriber, wait_until};
use crate::line::{VERDICT, publish, settings_for};

const NODE: &str = "spBv1.0/L1/+/S1";
const BIRTH: &str = "spBv1.0/L1/NBIRTH/S1";
const DATA: &str = "spBv1.0/L1/NDATA/S1";
const DEATH: &str = "spBv1.0/L1/NDEATH/S1";
const COMMAND: &str = "spBv1.0/L1/NCMD/S1";

fn start(port: u16) -> Publisher {
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
    let link = LinkSettings::try_new(url, None, None, None).unwrap().with_payload(PayloadKind::SparkplugB);
    Publisher::start(settings_for(link)).unwrap()
}

fn payload(message: &Received) -> Payload {
    Payload::decode(message.bytes.as_slice()).unwrap()
}

fn metric(message: &Received, name: &str) -> Option<Metric> {
    payload(message).metrics.into_iter().find(|m| m.name.as_deref() == Some(name))
}

fn value(message: &Received, name: &str) -> Option<Value> {
    metric(message, name)?.value
}

fn part(message: &Received) -> Option<u64> {
    match value(message, "Camera/cam0/Seq") {
        Some(Value::Long(seq)) if message.topic == DATA => Some(seq),
        _ => None,
    }
}

/// Every message after the first counts on from the one before, and a birth begins anew.
fn assert_numbered(messages: &[Received]) {
    let mut last = None;
    for message in messages.iter().filter(|m| m.topic == BIRTH || m.topic == DATA) {
        let want = if message.topic == BIRTH { 0 } else { (last.expect("a birth comes first") + 1) % 256 };
        assert_eq!(payload(message).seq, Some(want), "{}", message.topic);
        last = Some(want);
        assert!(!message.retained);
    }
}

/// Every metric of the data was born.
fn assert_born(messages: &[Received]) {
    let mut born = Vec::new();
    for message in messages {
        for metric in payload(message).metrics {
            let name = (metric.name, metric.datatype);
            if message.topic == BIRTH {
                born.push(name);
            } else if message.topic == DATA {
                assert!(born.contains(&name), "{name:?}");
            }
        }
    }
}

#[test]
fn node_is_born_before_its_data_and_mirrors_every_verdict() {
    let broker = Broker::start();
    let host = Subscriber::start(broker.port(), NODE);
    let json = Subscriber::start(broker.port(), VERDICT);
    let publisher = start(broker.port());
    let birth = host.next();
    assert_eq!(birth.topic, BIRTH);
    assert_eq!(value(&birth, REBIRTH), Some(Value::Boolean(false)));
    publisher.set_state(State::Ready, "");
    publish(&publisher, 1..=300);
    let mut messages = vec![birth];
    messages.extend(host.until(|m| part(m) == Some(300)));
    assert_numbered(&messages);
    assert_born(&messages);
    assert_eq!(messages.iter().filter_map(part).collect::<Vec<_>>(), (1..=300).collect::<Vec<_>>());
    for message in messages.iter().filter(|m| part(m).is_some()) {
        let said = json.next().payload;
        assert_eq!(part(message), said["seq"].as_u64());
        let word = said["verdict"].as_str().unwrap().to_owned();
        assert_eq!(value(message, "Camera/cam0/Verdict"), Some(Value::Text(word)));
        assert_eq!(metric(message, "Camera/cam0/Verdict").unwrap().is_historical, None);
    }

    let report = publisher.drain(Instant::now() + PATIENCE);
    assert!(report.offline_acknowledged && report.remaining == 0, "{report:?}");
    let death = host.until(|m| m.topic == DEATH).pop().unwrap();
    assert_eq!(value(&death, BD_SEQ), value(&messages[0], BD_SEQ));
}

#[test]
fn node_that_is_gone_without_a_word_dies_by_the_will_of_its_connection() {
    let broker = Broker::start();
    let host = Subscriber::start(broker.port(), NODE);
    let publisher = start(broker.port());
    let birth = host.until(|m| m.topic == BIRTH).pop().unwrap();
    assert!(value(&birth, BD_SEQ).is_some());
    drop(publisher);
    let death = host.until(|m| m.topic == DEATH).pop().unwrap();
    assert_eq!(value(&death, BD_SEQ), value(&birth, BD_SEQ));
    assert_eq!(payload(&death).seq, None);
}

#[test]
fn node_says_everything_again_when_it_is_asked_to() {
    let broker = Broker::start();
    let host = Subscriber::start(broker.port(), NODE);
    let publisher = start(broker.port());
    let first = host.until(|m| m.topic == BIRTH).pop().unwrap();
    publish(&publisher, 1..=1);
    host.until(|m| part(m) == Some(1));
    let order = |value| {
        let name = Some(REBIRTH.to_owned());
        let metric = Metric { name, datatype: Some(11), value: Some(Value::Boolean(value)), ..Metric::default() };
        Payload { timestamp: Some(1), metrics: vec![metric], seq: None }.encode_to_vec()
    };
    // Nonsense, and an order that is none, change nothing.
    host.publish(COMMAND, false, "not a payload");
    host.publish(COMMAND, false, order(false));
    host.until(|m| m.bytes == order(false));
    publish(&publisher, 2..=2);
    assert!(host.until(|m| part(m) == Some(2)).iter().all(|m| m.topic != BIRTH));
    host.publish(COMMAND, false, order(true));
    let again = host.until(|m| m.topic == BIRTH).pop().unwrap();
    assert_eq!((value(&again, BD_SEQ), payload(&again).seq), (value(&first, BD_SEQ), Some(0)));
    assert_eq!(value(&again, "Camera/cam0/Seq"), Some(Value::Long(2)), "with the values of now");
}

#[test]
fn node_after_an_outage_is_born_again_and_says_what_waited_as_historical() {
    let gate = Gate::shut();
    let broker = Broker::start();
    let host = Subscriber::start(broker.port(), NODE);
    gate.open(broker.port());
    let publisher = start(gate.port());
    let first = host.until(|m| m.topic == BIRTH).pop().unwrap();
    publish(&publisher, 1..=10);
    let mut messages = host.until(|m| part(m) == Some(10));
    gate.cut_and_shut();
    wait_until("the loss", || !publisher.status().connected);
    messages.extend(host.until(|m| m.topic == DEATH));
    assert_eq!(value(messages.last().unwrap(), BD_SEQ), value(&first, BD_SEQ));
    publish(&publisher, 11..=20);
    gate.open(broker.port());
    let after = host.until(|m| part(m) == Some(20));
    assert_eq!(after[0].topic, BIRTH);
    assert_ne!(value(&after[0], BD_SEQ), value(&first, BD_SEQ));
    assert_numbered(&after);
    assert_born(&after);
    for message in after.iter().filter(|m| part(m) >= Some(11)) {
        assert!(payload(message).metrics.iter().all(|m| m.is_historical == Some(true)), "{message:?}");
        assert_eq!(value(message, "Camera/cam0/Reject"), None);
    }
    publish(&publisher, 21..=21);
    let live = host.until(|m| part(m) == Some(21)).pop().unwrap();
    assert_eq!(metric(&live, "Camera/cam0/Verdict").unwrap().is_historical, None);
}
