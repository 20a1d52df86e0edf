//! What a station reports of its link: a broker that is away, connections that end, messages that are not delivered.

use std::time::{Duration, SystemTime};

use diad_publish::LinkStatus;

use crate::health::{Health, Source};

/// What the health of a station calls a broker that is away.
const AWAY: Source = Source::Broker;
/// What it calls connections that end again and again.
const FLAPPING: Source = Source::BrokerConnection;
/// What it calls topics on which the broker delivers nothing of what the station publishes.
const UNDELIVERED: Source = Source::MessagesUndelivered;
/// What it calls topics on which nothing reaches the station.
const WITHHELD: Source = Source::MessagesWithheld;
/// What it calls a message that is too long to be read.
const OVERSIZED: Source = Source::MessageTooLong;
/// How long a broker may be away before that is reported: its restart takes less.
const AWAY_FOR: Duration = Duration::from_secs(5);

/// What is to be reported of the link.
#[derive(Debug)]
pub(super) struct LinkWatch {
    /// Every camera takes parts on messages, so that without a broker there is none.
    messages_alone: bool,
}

impl LinkWatch {
    /// `messages_alone`: every camera takes parts on messages.
    pub(super) const fn new(messages_alone: bool) -> Self {
        Self { messages_alone }
    }

    /// Reports what is at fault at `now`, and takes back what no longer is.
    pub(super) fn report(&self, health: &Health, link: &LinkStatus, now: SystemTime) {
        let faults = &link.faults;
        for (source, fault) in [
            (AWAY, self.away(link, now).as_ref()),
            (FLAPPING, faults.flapping.as_ref()),
            (UNDELIVERED, faults.undelivered.as_ref()),
            (WITHHELD, faults.withheld.as_ref()),
            (OVERSIZED, faults.oversized.as_ref()),
        ] {
            match fault {
                Some(detail) => health.problem(source, detail),
                None => health.well(source),
            }
        }
    }

    /// Without a broker the gate gets no verdict. Where parts come otherwise, they are judged all the same.
    fn away(&self, link: &LinkStatus, now: SystemTime) -> Option<String> {
        let away = now.duration_since(link.since).unwrap_or_default() >= AWAY_FOR;
        let reason = link.last_error.as_deref().unwrap_or("no answer");
        let effect = if self.messages_alone {
            "no broker: triggers do not come in, and no part is judged"
        } else {
            "no broker: the gate gets no verdict; parts are judged, and their verdicts wait in the ledger"
        };
        (!link.connected && away).then(|| format!("{effect}; {reason}; check the broker, the network and mqtt.url"))
    }
}

#[cfg(test)]
mod tests {
    use diad_publish::LinkFaults;

    use super::*;
    use crate::testing;

    #[test]
    fn broker_that_is_away_is_a_fault_however_parts_come() {
        let health = testing::health();
        let status = testing::publisher().status();
        let link = LinkStatus { connected: false, last_error: Some("refused".to_owned()), ..status };
        let at = |seconds| link.since + Duration::from_secs(seconds);
        for (messages_alone, effect) in [
            (true, "no part is judged; refused; check the broker"),
            (false, "wait in the ledger; refused; check the broker"),
        ] {
            let watch = LinkWatch::new(messages_alone);
            watch.report(&health, &link, at(4));
            assert!(health.look().1.is_empty());
            watch.report(&health, &link, at(5));
            let (_, problems) = health.look();
            assert!(problems[0].0 == AWAY && problems[0].1.contains(effect), "{problems:?}");
            assert_eq!(health.faults().1, [AWAY]);
            watch.report(&health, &LinkStatus { connected: true, ..link.clone() }, at(6));
            assert!(health.look().1.is_empty());
        }
    }

    #[test]
    fn each_fault_of_the_link_degrades_the_station_until_it_is_gone() {
        let health = testing::health();
        let status = testing::publisher().status();
        let text = |what: &str| Some(what.to_owned());
        let faults =
            LinkFaults { flapping: text("f"), undelivered: text("u"), withheld: text("w"), oversized: text("o") };
        let watch = LinkWatch::new(false);
        watch.report(&health, &LinkStatus { faults, ..status.clone() }, SystemTime::now());
        assert_eq!(health.faults().1, [FLAPPING, OVERSIZED, UNDELIVERED, WITHHELD]);
        watch.report(&health, &status, SystemTime::now());
        assert!(health.look().1.is_empty());
    }
}
