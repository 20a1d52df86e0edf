//! What the link does to know that messages are delivered: it subscribes to what it writes, and reports what does not come
//! back and what does not come in.

use std::time::{Duration, Instant};

use rumqttc::{ClientError, Publish, QoS, SubAck, SubscribeFilter, SubscribeReasonCode};

use super::echo::{Own, PATIENCE, Silent};
use super::endings::{Ending, Pattern};
use super::inputs::Input;
use super::memory::Memory;
use super::subscriptions::Kind;
use super::transit::Question;
use super::{ConnectionEnd, Link, Sent, Session, ShutdownPhase, Slot};
use crate::clock::since_boot;
use crate::desk::{Desk, LinkFaults};
use crate::outbox::Flow;
use crate::topic::Topics;
use crate::wire::MAX_INBOUND_BYTES;

/// Topics that are read, which come first in a subscription.
const INPUTS: usize = 2;

/// How long a message that is too long is reported, if it is not retained.
const OVERSIZED_FOR: Duration = Duration::from_secs(60);

impl Topics {
    /// The topic of what the station writes.
    pub(super) fn own(&self, own: Own) -> &str {
        match own {
            Own::Verdict => &self.verdict,
            Own::Reject => &self.reject,
            Own::State => &self.state,
            Own::Heartbeat => &self.heartbeat,
        }
    }

    fn input(&self, input: Input) -> &str {
        match input {
            Input::Trigger => &self.trigger,
            Input::Product => &self.product,
        }
    }
}

impl Link {
    /// What a connection begins with: what the plant writes, and what the station itself does. The latter with QoS 0, so that it
    /// neither takes room among the plant's messages nor lies with the broker while the station is away.
    pub(super) fn subscriptions(&self) -> Vec<SubscribeFilter> {
        let inputs = [&self.topics.product, &self.topics.trigger].map(|topic| (topic.as_str(), QoS::AtLeastOnce));
        let own = Own::ALL.map(|own| (self.topics.own(own), QoS::AtMostOnce));
        let filter = |(topic, qos): (&str, _)| SubscribeFilter { path: topic.to_owned(), qos };
        inputs.into_iter().chain(own).map(filter).collect()
    }

    /// What of the station's own a topic is.
    pub(super) fn own(&self, topic: &str) -> Option<Own> {
        Own::ALL.into_iter().find(|own| self.topics.own(*own) == topic)
    }

    /// Which topic that the station reads a topic is.
    pub(super) fn input(&self, topic: &str) -> Option<Input> {
        [Input::Trigger, Input::Product].into_iter().find(|input| self.topics.input(*input) == topic)
    }

    /// A message came in on a topic that the station reads.
    pub(super) fn note_size(&self, topic: &str, bytes: usize, retained: bool) {
        let mut desk = self.shared.desk();
        if bytes > MAX_INBOUND_BYTES {
            let kind = if retained { "retained message" } else { "message" };
            let sentence = format!(
                "a {kind} of {bytes} bytes came on {topic}, where at most {MAX_INBOUND_BYTES} are read; if it is retained, \
                 clear it with an empty retained message: mosquitto_pub -t {topic} -r -n"
            );
            desk.oversized = Some((topic.to_owned(), retained, Instant::now()));
            desk.status.faults.oversized = Some(sentence);
        } else if (bytes == 0 || topic == self.topics.product)
            && desk.oversized.as_ref().is_some_and(|(at_fault, ..)| at_fault == topic)
        {
            // It was taken back, or another one lies there.
            desk.oversized = None;
            desk.status.faults.oversized = None;
        }
    }

    /// The broker answered a subscription.
    pub(super) fn subscribed(&self, session: &mut Session, ack: &SubAck) {
        let Some(kind) = session.subscriptions.answered(ack.pkid) else {
            tracing::warn!(packet = ack.pkid, "the broker grants a subscription that was not asked for");
            return;
        };
        session.transit.answered(Question::Subscribe, since_boot());
        session.receipts.answered(Question::Subscribe);
        if kind == Kind::All {
            session.inputs.granted(session.echo.active());
        }
        let refused = |code: &SubscribeReasonCode| *code == SubscribeReasonCode::Failure;
        if !ack.return_codes.iter().take(INPUTS).any(refused) {
            return;
        }
        let reason = "the broker refused the trigger or product subscription; check its access rules";
        tracing::error!(broker = %self.broker.url(), "{reason}");
        let mut desk = self.shared.desk();
        desk.status.subscribed = false;
        desk.status.last_error = Some(reason.to_owned());
    }

    /// A message on a topic that the station writes.
    pub(super) fn came_back(&self, session: &mut Session, memory: &mut Memory, own: Own, message: &Publish) {
        if message.qos != QoS::AtMostOnce
            && let Some(receipt) = session.receipts.take(message, false, &self.shared)
        {
            // More than was asked for.
            receipt.settle();
        }
        if own == Own::State {
            if memory.states.is_known(&message.payload) {
                memory.state_is_stored = true;
            } else if memory.state_is_stored {
                // Before, it may be of the process before this one.
                tracing::warn!(topic = message.topic, "another client has published a state of this station");
                memory.endings.note_twin(Instant::now());
            }
        }
        if let Some(verdict) = session.echo.came(own, &message.payload) {
            self.shared.desk().acknowledge(verdict);
        }
    }

    /// Publishes an empty message on a topic on which nothing comes, so that one does.
    pub(super) fn try_inputs(&self, session: &mut Session) -> Result<(), ClientError> {
        let now = session.echo.active();
        if session.farewell != ShutdownPhase::NotYet {
            return Ok(());
        }
        while let Some(input) = session.inputs.due(now) {
            session.client.try_publish(self.topics.input(input), QoS::AtMostOnce, false, Vec::new())?;
            session.handover.hand(Sent { slot: Slot::Trial, echo: None }, Instant::now());
            session.inputs.tried(input, now);
        }
        Ok(())
    }

    /// Takes stock of what came back and what did not.
    pub(super) fn look_at_delivery(&self, desk: &mut Desk, session: &mut Session, memory: &mut Memory) {
        for verdict in session.echo.overdue() {
            desk.outbox.lose(verdict);
        }
        let now = Instant::now();
        desk.limit = memory.endings.limit(now);
        desk.outbox.set_flow(match desk.limit {
            Some(_) => Flow::Shut,
            None if session.echo.verdicts_are_well() => Flow::Wide,
            None => Flow::Narrow,
        });
        session.inputs.look(session.echo.active(), session.echo.last_activity());
        let is_over = |(_, retained, at): &(String, bool, Instant)| !retained && now >= *at + OVERSIZED_FOR;
        if desk.oversized.take_if(|oversized| is_over(oversized)).is_some() {
            desk.status.faults.oversized = None;
        }
        let faults = &mut desk.status.faults;
        faults.flapping = memory.endings.pattern(now).map(|pattern| self.flapping(&pattern));
        faults.undelivered = self.undelivered(&session.echo.silent());
        faults.withheld = self.withheld(session, memory);
        if session.echo.active() > PATIENCE && !session.inputs.are_granted() {
            let waited = PATIENCE.as_secs();
            let sentence = format!(
                "the broker has not answered the subscription of {} and {} for {waited} s: triggers and change-overs do not \
                 come in",
                self.topics.trigger, self.topics.product
            );
            desk.status.faults.withheld = Some(sentence);
        }
    }

    /// Keeps of a connection that ended what the next one needs.
    pub(super) fn remember(&self, session: Session, memory: &mut Memory, end: &ConnectionEnd) {
        let now = Instant::now();
        let (reason, closed) = match end {
            ConnectionEnd::Lost(reason) => (reason, false),
            ConnectionEnd::Closed(reason) => (reason, true),
            ConnectionEnd::Ordered { .. } => return,
        };
        if session.accepted.is_some() {
            if closed && session.inputs.is_open(session.echo.active()) {
                memory.trials_end_connections = true;
            }
            let behind = session.echo.stopped_at();
            let ending = Ending { at: now, reason: reason.clone(), closed, behind };
            memory.endings.note(ending, session.echo.longest_acknowledged());
        }
        memory.receipts = session.receipts;
        let mut desk = self.shared.desk();
        desk.limit = memory.endings.limit(now);
        let flapping = memory.endings.pattern(now).map(|pattern| self.flapping(&pattern));
        // What is known of delivery is known of a connection. A message that lies on a topic comes over the next one again.
        desk.oversized = None;
        desk.status.faults = LinkFaults { flapping, ..LinkFaults::default() };
    }

    /// What the endings show, while there is no connection.
    pub(super) fn look_at_endings(&self, desk: &mut Desk, memory: &Memory) {
        desk.status.faults.flapping = memory.endings.pattern(Instant::now()).map(|pattern| self.flapping(&pattern));
    }

    fn flapping(&self, pattern: &Pattern) -> String {
        let id = &self.topics.client_id;
        match pattern {
            Pattern::Twin => {
                format!(
                    "another client uses the name {id} and its topics; two stations must not share line and station"
                )
            }
            Pattern::Cut(own, bytes) => format!(
                "the broker ends the connection at a message of {bytes} bytes on {}; raise its limit (mosquitto: \
                 max_packet_size) to 2000 or more. Until then verdicts are held back, and stay owed",
                self.topics.own(*own)
            ),
            Pattern::Flaps { count, reason, mute } => {
                let hint = match mute {
                    true => format!("; see its log. Another client with the name {id} does that, and so does a limit"),
                    false => String::new(),
                };
                format!("the broker connection was lost {count} times within a minute, the last time: {reason}{hint}")
            }
        }
    }

    fn undelivered(&self, silent: &[Silent]) -> Option<String> {
        let first = silent.first()?;
        let levels: Vec<_> = silent.iter().map(|silent| last_level(self.topics.own(silent.own))).collect();
        let rule = if silent.len() == 1 { self.topics.own(first.own) } else { self.topics.all.as_str() };
        let owed = if first.own == Own::Verdict { ", and verdicts stay owed" } else { "" };
        Some(format!(
            "the broker acknowledges what the station publishes on {} and does not deliver it{owed}: it lacks access (mosquitto \
             acl_file: {}topic readwrite {rule}), or the broker drops messages of {} bytes (message_size_limit)",
            levels.join(", "),
            self.rule_of_user(),
            first.shortest,
        ))
    }

    fn withheld(&self, session: &Session, memory: &Memory) -> Option<String> {
        let withheld = session.inputs.withheld();
        let topics: Vec<_> = withheld.iter().map(|input| self.topics.input(*input)).collect();
        let rule = if let [topic] = topics[..] { topic } else { self.topics.all.as_str() };
        if memory.trials_end_connections && session.inputs.is_silent() {
            return Some(format!(
                "the broker ended the connection when the station published an empty message on {} or {}: it lacks access \
                 (mosquitto acl_file: {}topic readwrite {}). Whether triggers and change-overs come in is not known",
                self.topics.trigger,
                self.topics.product,
                self.rule_of_user(),
                self.topics.all
            ));
        }
        (!topics.is_empty()).then(|| {
            format!(
                "the broker does not deliver {} to the station, not even an empty message of its own: it lacks access (mosquitto \
                 acl_file: {}topic readwrite {rule})",
                topics.join(" and "),
                self.rule_of_user()
            )
        })
    }

    /// The line above a rule.
    fn rule_of_user(&self) -> String {
        self.broker.user().map(|user| format!("user {user}, ")).unwrap_or_default()
    }
}

fn last_level(topic: &str) -> &str {
    topic.rsplit('/').next().unwrap_or(topic)
}
