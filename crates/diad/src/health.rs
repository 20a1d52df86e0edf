//! How the station is: one state machine, of which the `state` topic, the heartbeat, `/readyz`, systemd and the metrics each
//! show a part. `docs/design/states.md` has it as a table.

mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use diad_publish::Publisher;
use diad_publish::wire::{Moment, State};
use tracing::{error, info, warn};

pub use source::{Effect, Source, SourceFacts};

/// Longest status text for systemd, in bytes; its message has room for 4096.
const MAX_STATUS_BYTES: usize = 400;

/// What is wrong at the moment, by source. Clones share it; every change is published.
#[derive(Clone)]
pub struct Health(Arc<HealthShared>);

struct HealthShared {
    publisher: Arc<Publisher>,
    state: Mutex<HealthState>,
}

#[derive(Default)]
struct HealthState {
    ready: bool,
    end: End,
    problems: BTreeMap<String, Problem>,
}

/// How far the end has come; it never goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Nobody has asked for it.
    #[default]
    None,
    /// Parts on the line get their verdicts; the plant's next ones wait at the broker for the next start.
    Stopping,
    /// The line is over.
    Stopped,
}

/// How a station is at a moment: all that its interfaces say of it comes from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The word on the `state` topic, in the heartbeat and in the metric `diad_state`.
    pub state: State,
    /// What is wrong and since when, the newest first.
    pub detail: String,
    stopping: bool,
}

impl Condition {
    /// Whether `/readyz` answers 200, and the word that it answers. While the station stops, the state stays as it is, for
    /// the gate must still go by the verdicts of parts on the line; who asks here wants to know about the next part.
    #[must_use]
    pub const fn readyz(&self) -> (bool, &'static str) {
        match self.state {
            _ if self.stopping => (false, "stopping"),
            State::Ready | State::Degraded => (true, self.state.as_str()),
            State::Starting | State::Offline => (false, self.state.as_str()),
        }
    }

    /// One line for `systemctl status`: the word of `/readyz`, and the detail.
    #[must_use]
    pub fn systemd_status(&self) -> String {
        let (_, word) = self.readyz();
        // The detail of a station that stops begins with the word itself.
        let detail = self.detail.strip_prefix(word).map_or(&*self.detail, |rest| rest.trim_start_matches("; "));
        let text = if detail.is_empty() { word.to_owned() } else { format!("{word}: {detail}") };
        // A line break would begin another message to systemd.
        let kept = text[..text.floor_char_boundary(MAX_STATUS_BYTES)].chars();
        kept.map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// What is wrong with one source, and since when anything has been.
#[derive(Clone, PartialEq)]
struct Problem {
    weight: Severity,
    detail: String,
    since: SystemTime,
}

/// What a problem does to the state.
#[derive(Clone, Copy, PartialEq)]
enum Severity {
    /// It is `degraded`.
    Fault,
    /// Nothing: it is said beside it.
    Notice,
}

impl HealthState {
    fn state(&self) -> State {
        let well = self.problems.values().all(|problem| problem.weight == Severity::Notice);
        match (self.end, self.ready, well) {
            (End::Stopped, ..) => State::Offline,
            (_, false, _) => State::Starting,
            (_, true, true) => State::Ready,
            (_, true, false) => State::Degraded,
        }
    }
}

impl Health {
    /// A station that is starting.
    #[must_use]
    pub fn new(publisher: Arc<Publisher>) -> Self {
        publisher.set_state(State::Starting, "");
        Self(Arc::new(HealthShared { publisher, state: Mutex::default() }))
    }

    /// The station judges parts from now on.
    pub fn ready(&self) {
        self.change(|known| known.ready = true);
    }

    /// A stop was asked for: from now on only what is on the line gets a verdict.
    pub fn stopping(&self) {
        self.change(|known| known.end = known.end.max(End::Stopping));
    }

    /// The line is over. The link says so to the broker, behind the last verdict.
    pub fn stopped(&self) {
        self.change(|known| known.end = End::Stopped);
    }

    /// Something is wrong with `source`; inspection goes on as far as it can.
    pub fn problem(&self, source: Source, detail: &str) {
        self.tell(&String::from(source), detail, Severity::Fault);
    }

    /// Something about `source` that a person should look at, and that leaves the state as it is.
    pub fn notice(&self, source: Source, detail: &str) {
        self.tell(&String::from(source), detail, Severity::Notice);
    }

    fn tell(&self, source: &str, detail: &str, weight: Severity) {
        self.change(|known| {
            let before = known.problems.get(source);
            if before.is_none_or(|before| (before.weight, before.detail.as_str()) != (weight, detail)) {
                match weight {
                    Severity::Fault => error!(source, detail, "degraded"),
                    Severity::Notice => warn!(source, detail, "notice"),
                }
            }
            let since = before.map_or_else(SystemTime::now, |before| before.since);
            known.problems.insert(source.to_owned(), Problem { weight, detail: detail.to_owned(), since });
        });
    }

    /// `source` is well again.
    pub fn well(&self, source: Source) {
        let source = String::from(source);
        self.change(|known| {
            if known.problems.remove(&source).is_some() {
                info!(source, "well again");
            }
        });
    }

    /// The state, and what is to be said, faults and notices: source, detail, since when.
    #[must_use]
    pub fn look(&self) -> (State, Vec<(String, String, SystemTime)>) {
        let known = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let problems = known.problems.iter().map(|(source, p)| (source.clone(), p.detail.clone(), p.since)).collect();
        (known.state(), problems)
    }

    /// The state, and the sources that are at fault; one with nothing but a notice is well.
    #[must_use]
    pub fn faults(&self) -> (State, Vec<String>) {
        let known = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = known.problems.iter().filter(|(_, problem)| problem.weight == Severity::Fault);
        (known.state(), faults.map(|(source, _)| source.clone()).collect())
    }

    fn change(&self, change: impl FnOnce(&mut HealthState)) {
        let mut known = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (known.ready, known.end, known.problems.clone());
        change(&mut known);
        // The link says itself that a station is gone, behind the last verdict.
        if before == (known.ready, known.end, known.problems.clone()) || known.end == End::Stopped {
            return;
        }
        let (state, detail) = known.told();
        self.0.publisher.set_state(state, &detail);
    }

    /// How the station is now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let known = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, detail) = known.told();
        Condition { state, detail, stopping: known.end == End::Stopping }
    }

    /// What the `state` topic says: the state, and what is wrong.
    #[must_use]
    pub fn told(&self) -> (State, String) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).told()
    }
}

impl HealthState {
    fn told(&self) -> (State, String) {
        // The newest first: what a message has no room for is what has been told for longest.
        let mut problems: Vec<_> = self.problems.iter().collect();
        problems.sort_by_key(|(_, problem)| std::cmp::Reverse(problem.since));
        let detail: Vec<_> = problems
            .into_iter()
            .map(|(source, Problem { detail, since, .. })| {
                // To the second: a person reads it.
                let since = Moment::from(*since).to_string();
                format!("{source} since {}Z: {detail}", since.get(11..19).unwrap_or_default())
            })
            .collect();
        let stopping = (self.end == End::Stopping).then(|| "stopping".to_owned());
        let detail: Vec<_> = stopping.into_iter().chain(detail).collect();
        (self.state(), detail.join("; "))
    }
}
