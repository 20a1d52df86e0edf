use std::net::TcpListener;

use diad_core::name::{LineName, StationName};

use super::*;
use crate::settings::BrokerUrl;
use crate::topic::TopicRoot;

fn names() -> (LineName, StationName) {
    (LineName::try_new("L1").unwrap(), StationName::try_new("S1").unwrap())
}

fn trial(port: u16) -> Trial {
    let (line, station) = names();
    let topics = Topics::new(&TopicRoot::try_new("factory").unwrap(), &line, &station);
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
    let settings = LinkSettings::try_new(url, None, None, None).unwrap();
    Trial::run(&settings, &topics, &NodeTopics::new(&line, &station)).unwrap()
}

#[test]
fn broker_that_is_away_is_one_reason_and_nothing_else() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let trial = trial(port);
    let reason = trial.connected.unwrap_err();
    assert!(reason.contains("refused"), "{reason}");
    assert!(trial.reads.is_empty() && trial.writes.is_empty() && trial.round_trip.is_none());
}

#[test]
fn broker_that_accepts_and_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let trial = trial(listener.local_addr().unwrap().port());
    assert!(trial.connected.is_err());
    assert!(began.elapsed() < 2 * TRIAL_ANSWER_TIMEOUT, "{:?}", began.elapsed());
}
