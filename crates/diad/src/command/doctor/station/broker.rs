//! The broker: the way there and back, and what it lets the station read and write.

use std::fmt::Write as _;
use std::time::Duration;

use diad_publish::topic::{NodeTopics, Topics};
use diad_publish::{PublishError, Read, StateSeen, Trial, Write};

use super::super::Check;
use super::super::bounded::within;
use super::{Station, who};
use crate::chain::chain;
use crate::exit::Exit;
use crate::timing::ms;

/// Longest wait for everything; each answer is waited for at most 5 s.
const BROKER_TRIAL_TIMEOUT: Duration = Duration::from_secs(45);
/// A round trip above this eats into every deadline.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(50);

const BROKER: &str = "broker";
const THERE_AND_BACK: &str = "broker there and back";
const STATE: &str = "broker state topic";
const RULES: &str = "change the broker's access rules for the station's user";

pub(super) fn checks(station: &Station<'_>) -> Vec<Check> {
    let settings = station.settings;
    let (link, root) = (settings.mqtt().link.clone(), &settings.mqtt().root);
    let url = link.url().to_string();
    let topics = Topics::new(root, settings.line(), settings.station());
    let node = NodeTopics::new(settings.line(), settings.station());
    match within(BROKER_TRIAL_TIMEOUT, move || Trial::run(&link, &topics, &node)) {
        Err(unfinished) => {
            vec![unfinished.check(
                BROKER,
                Exit::Unavailable,
                "see whether the broker answers: mosquitto_sub -v -t 'test/#'",
            )]
        }
        Ok(Err(error)) => vec![of_files(&error)],
        Ok(Ok(trial)) => judge(&url, &trial, station.running),
    }
}

fn of_files(error: &PublishError) -> Check {
    let exit = if error.is_of_settings() { Exit::Settings } else { Exit::Bug };
    Check::failed(BROKER, exit, format!("not tried: {}", chain(error)), "correct the file; its own row tells more")
}

fn judge(url: &str, trial: &Trial, running: Option<u32>) -> Vec<Check> {
    let after = match &trial.connected {
        Ok(after) => after,
        Err(reason) => {
            let remedy =
                "see that the broker runs, that mqtt.url, user and password are right, and that no firewall is between";
            return vec![Check::failed(BROKER, Exit::Unavailable, format!("{url}: {reason}"), remedy)];
        }
    };
    let mut checks = vec![Check::fine(BROKER, format!("{url}: connected and logged in after {:.1} ms", ms(*after)))];
    checks.push(judge_round_trip(trial));
    checks.extend(judge_reads(&trial.reads));
    checks.extend(judge_writes(&trial.writes));
    checks.extend(trial.state.as_ref().and_then(|seen| judge_state(seen, running)));
    checks
}

fn judge_round_trip(trial: &Trial) -> Check {
    let topic = &trial.own_topic;
    match &trial.round_trip {
        Some(Ok(time)) => {
            let detail = format!("{topic}: a message came back after {:.2} ms", ms(*time));
            if *time > SLOW_ROUND_TRIP {
                let remedy =
                    "see to the network between station and broker: each trigger and each verdict takes half of this";
                return Check::warning(THERE_AND_BACK, detail, remedy);
            }
            Check::fine(THERE_AND_BACK, detail)
        }
        Some(Err(reason)) if trial.own_topic_denied => {
            let detail = format!("{topic}: {reason}; the access rules deny this topic, which only doctor uses");
            let remedy = format!("to have it tried, allow the station's user to read and write {topic}");
            Check::warning(THERE_AND_BACK, detail, remedy)
        }
        Some(Err(reason)) => {
            let remedy = format!(
                "{RULES}: read and write on {topic}; a broker that acknowledges and delivers nothing is broken or full"
            );
            Check::failed(THERE_AND_BACK, Exit::Unavailable, format!("{topic}: {reason}"), remedy)
        }
        None => Check::skipped(THERE_AND_BACK, "not tried", "ask again"),
    }
}

/// A row for each topic; one for all whose subscription was granted and on which no message came.
fn judge_reads(reads: &[(String, Read)]) -> Vec<Check> {
    let granted: Vec<&str> =
        reads.iter().filter(|(_, read)| *read == Read::Granted).map(|(topic, _)| topic.as_str()).collect();
    let mut checks: Vec<Check> = reads.iter().filter_map(|(topic, read)| judge_read(topic, read)).collect();
    if !granted.is_empty() {
        let detail = format!(
            "{}: subscription granted; not proven: a broker with access rules may withhold the messages all the same",
            granted.join(", ")
        );
        let remedy = "start the station: it tries each topic with a message of its own, and names one that does not \
                      deliver in its state within a minute";
        checks.push(Check::skipped("may read", detail, remedy));
    }
    checks
}

/// Topics that the station reads for the plant are needed; its own ones show it what becomes of its messages.
fn judge_read(topic: &str, read: &Read) -> Option<Check> {
    let (name, level) = (format!("may read {}", level(topic)), level(topic));
    Some(match read {
        Read::Proven => Check::fine(name, format!("{topic}: a message came")),
        Read::Granted => return None,
        Read::Refused => {
            let purpose = match level {
                "trigger" | "product" => "",
                _ => ": the station counts a message as delivered when the broker sends it back",
            };
            let remedy = format!("{RULES}: read on {topic}{purpose}");
            Check::failed(name, Exit::Unavailable, format!("{topic}: the broker refused the subscription"), remedy)
        }
        Read::Unanswered => {
            let remedy = "see the log of the broker";
            Check::failed(
                name,
                Exit::Unavailable,
                format!("{topic}: the broker did not answer the subscription"),
                remedy,
            )
        }
    })
}

/// A row for each topic; one for all where the same reason hides them all.
fn judge_writes(writes: &[(String, Write)]) -> Vec<Check> {
    if let Some((_, Write::Unknown(reason))) = writes.first()
        && writes.iter().all(|(_, write)| matches!(write, Write::Unknown(other) if other == reason))
    {
        return vec![unproven("may write", &topics_of(writes), reason)];
    }
    let each = |(topic, write): &(String, Write)| {
        let name = format!("may write {}", level(topic));
        match write {
            Write::Allowed => Check::fine(name, format!("{topic}: the broker takes messages; none was delivered")),
            Write::Denied(code) => {
                let detail = format!(
                    "{topic}: the access rules deny it (code 0x{code:02x} of MQTT 5); a station of MQTT 3.1.1 would not be told"
                );
                Check::failed(name, Exit::Unavailable, detail, format!("{RULES}: write on {topic}"))
            }
            Write::Unknown(reason) => unproven(&name, topic, reason),
        }
    };
    writes.iter().map(each).collect()
}

fn unproven(name: &str, topics: &str, reason: &str) -> Check {
    let detail = format!("{topics}: not proven: {reason}. MQTT 3.1.1 acknowledges denied messages like all others");
    let remedy = "subscribe as another user (mosquitto_sub), start the station, and see its state and heartbeat come";
    Check::skipped(name, detail, remedy)
}

fn topics_of(writes: &[(String, Write)]) -> String {
    let mut all = String::new();
    for (topic, _) in writes {
        // Writing to a `String` cannot fail.
        let _ = write!(all, "{}{topic}", if all.is_empty() { "" } else { ", " });
    }
    all
}

/// The last level of a topic; of Sparkplug's, the kind of message.
fn level(topic: &str) -> &str {
    match topic.strip_prefix("spBv1.0/") {
        Some(rest) => rest.split('/').nth(1).unwrap_or(rest),
        None => topic.rsplit('/').next().unwrap_or(topic),
    }
}

/// Another process that works under this station's name shows in the retained state.
fn judge_state(seen: &StateSeen, running: Option<u32>) -> Option<Check> {
    let StateSeen { state, detail } = seen;
    let told = if detail.is_empty() { state.clone() } else { format!("{state}: {detail}") };
    match running {
        Some(pid) => Some(Check::fine(STATE, format!("{told}; client id in use by {}", who(pid)))),
        None if state == "offline" => None,
        None => {
            let remedy = "see whether another machine has the same line and station in its settings: of two clients with one id the broker throws one out";
            let detail = format!(
                "{told}; but no station runs here: its client id is in use elsewhere, or the state is an old one"
            );
            Some(Check::warning(STATE, detail, remedy))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::CheckStatus;

    fn trial() -> Trial {
        Trial {
            connected: Ok(Duration::from_millis(3)),
            reads: vec![("f/L1/S1/trigger".to_owned(), Read::Proven)],
            own_topic: "f/L1/S1/probe/doctor".to_owned(),
            round_trip: Some(Ok(Duration::from_millis(2))),
            own_topic_denied: false,
            writes: vec![("f/L1/S1/verdict".to_owned(), Write::Allowed)],
            state: None,
        }
    }

    #[test]
    fn broker_that_lets_everything_pass_is_fine_in_every_row() {
        let checks = judge("mqtt://a:1883", &trial(), None);
        assert_eq!(checks.len(), 4);
        assert!(checks.iter().all(|check| check.health == CheckStatus::Fine), "{checks:?}");
    }

    #[test]
    fn subscriptions_that_are_only_granted_prove_nothing() {
        let read = |level: &str, read| (format!("f/L1/S1/{level}"), read);
        let reads = [read("trigger", Read::Granted), read("state", Read::Proven), read("heartbeat", Read::Granted)];
        let checks = judge_reads(&reads);
        let rows: Vec<_> = checks.iter().map(|check| (check.name.as_str(), check.health)).collect();
        assert_eq!(rows, [("may read state", CheckStatus::Fine), ("may read", CheckStatus::Skipped)]);
        let detail = &checks[1].detail;
        assert!(
            detail.starts_with("f/L1/S1/trigger, f/L1/S1/heartbeat: ") && detail.contains("not proven"),
            "{detail}"
        );
    }

    #[test]
    fn broker_that_refuses_is_one_row_with_its_reason() {
        let checks = judge("mqtt://a:1883", &Trial { connected: Err("wrong password".to_owned()), ..trial() }, None);
        assert_eq!(checks.len(), 1);
        assert!(checks[0].failure() == Some(Exit::Unavailable) && checks[0].detail == "mqtt://a:1883: wrong password");
    }

    #[test]
    fn topics_that_are_denied_are_failures_and_named() {
        let read = |topic, read| judge_read(topic, &read).unwrap();
        let check = read("f/L1/S1/trigger", Read::Refused);
        assert!(check.failure() == Some(Exit::Unavailable) && check.name == "may read trigger", "{check:?}");
        for own in ["verdict", "reject", "state", "heartbeat"] {
            let check = judge_read(&format!("f/L1/S1/{own}"), &Read::Refused).unwrap();
            assert_eq!(check.failure(), Some(Exit::Unavailable), "{check:?}");
        }
        assert_eq!(read("f/L1/S1/product", Read::Unanswered).failure(), Some(Exit::Unavailable));
        let checks = judge_writes(&[
            ("f/L1/S1/verdict".to_owned(), Write::Denied(0x87)),
            ("spBv1.0/L1/NBIRTH/S1".to_owned(), Write::Allowed),
        ]);
        assert!(checks[0].failure().is_some() && checks[0].detail.starts_with("f/L1/S1/verdict: "), "{checks:?}");
        assert_eq!(checks[1].name, "may write NBIRTH");
    }

    #[test]
    fn what_is_not_proven_is_skipped_in_one_row_with_its_reason() {
        let unknown = |topic: &str| (topic.to_owned(), Write::Unknown("no MQTT 5".to_owned()));
        let checks = judge_writes(&[unknown("f/verdict"), unknown("f/reject")]);
        assert_eq!((checks.len(), checks[0].health), (1, CheckStatus::Skipped));
        assert!(checks[0].detail.starts_with("f/verdict, f/reject: not proven: no MQTT 5"), "{}", checks[0].detail);
        let mixed = judge_writes(&[unknown("f/verdict"), ("f/reject".to_owned(), Write::Allowed)]);
        assert_eq!(
            mixed.iter().map(|check| check.health).collect::<Vec<_>>(),
            [CheckStatus::Skipped, CheckStatus::Fine]
        );
    }

    #[test]
    fn message_that_does_not_come_back_is_a_failure_unless_only_doctors_topic_is_denied() {
        let lost = || Some(Err("no answer within 5 s".to_owned()));
        let check = judge_round_trip(&Trial { round_trip: lost(), ..trial() });
        assert_eq!(check.failure(), Some(Exit::Unavailable));
        let check = judge_round_trip(&Trial { round_trip: lost(), own_topic_denied: true, ..trial() });
        assert_eq!(check.health, CheckStatus::Warning);
        let slow = Some(Ok(Duration::from_millis(80)));
        assert_eq!(judge_round_trip(&Trial { round_trip: slow, ..trial() }).health, CheckStatus::Warning);
    }

    #[test]
    fn station_of_this_name_elsewhere_is_warned_of() {
        let seen = |state: &str| StateSeen { state: state.to_owned(), detail: String::new() };
        let check = judge_state(&seen("ready"), Some(7)).unwrap();
        assert!(check.health == CheckStatus::Fine && check.detail.contains("pid 7"), "{check:?}");
        assert!(judge_state(&seen("offline"), None).is_none());
        assert_eq!(judge_state(&seen("ready"), None).unwrap().health, CheckStatus::Warning);
    }
}
