//! Whether the station is well, as the retained `state` topic says it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use diad_publish::Publisher;
use diad_publish::wire::{Moment, State};
use tracing::{error, info, warn};

/// What is wrong at the moment, by source. Clones share it; every change is published.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    publisher: Arc<Publisher>,
    state: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    ready: bool,
    problems: BTreeMap<String, Problem>,
}

/// What is wrong with one source, and since when anything has been.
#[derive(Clone, PartialEq)]
struct Problem {
    weight: Weight,
    detail: String,
    since: SystemTime,
}

/// What a problem does to the state.
#[derive(Clone, Copy, PartialEq)]
enum Weight {
    /// It is `degraded`.
    Fault,
    /// Nothing: it is said beside it.
    Notice,
}

impl Known {
    fn state(&self) -> State {
        let well = self.problems.values().all(|problem| problem.weight == Weight::Notice);
        match (self.ready, well) {
            (false, _) => State::Starting,
            (true, true) => State::Ready,
            (true, false) => State::Degraded,
        }
    }
}

impl Health {
    /// A station that is starting.
    #[must_use]
    pub fn new(publisher: Arc<Publisher>) -> Self {
        publisher.set_state(State::Starting, "");
        Self(Arc::new(Inner { publisher, state: Mutex::default() }))
    }

    /// The station judges parts from now on.
    pub fn ready(&self) {
        self.change(|known| known.ready = true);
    }

    /// Something is wrong with `source`; inspection goes on as far as it can.
    pub fn problem(&self, source: &str, detail: &str) {
        self.tell(source, detail, Weight::Fault);
    }

    /// Something about `source` that a person should look at, and that leaves the state as it is.
    pub fn notice(&self, source: &str, detail: &str) {
        self.tell(source, detail, Weight::Notice);
    }

    fn tell(&self, source: &str, detail: &str, weight: Weight) {
        self.change(|known| {
            let before = known.problems.get(source);
            if before.is_none_or(|before| (before.weight, before.detail.as_str()) != (weight, detail)) {
                match weight {
                    Weight::Fault => error!(source, detail, "degraded"),
                    Weight::Notice => warn!(source, detail, "notice"),
                }
            }
            let since = before.map_or_else(SystemTime::now, |before| before.since);
            known.problems.insert(source.to_owned(), Problem { weight, detail: detail.to_owned(), since });
        });
    }

    /// `source` is well again.
    pub fn well(&self, source: &str) {
        self.change(|known| {
            if known.problems.remove(source).is_some() {
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
        let faults = known.problems.iter().filter(|(_, problem)| problem.weight == Weight::Fault);
        (known.state(), faults.map(|(source, _)| source.clone()).collect())
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (known.ready, known.problems.clone());
        change(&mut known);
        if before == (known.ready, known.problems.clone()) {
            return;
        }
        let (state, detail) = known.told();
        self.0.publisher.set_state(state, &detail);
    }

    /// What the `state` topic says: the state, and what is wrong.
    #[must_use]
    pub fn told(&self) -> (State, String) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).told()
    }
}

impl Known {
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
        (self.state(), detail.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing;

    #[test]
    fn notice_is_told_and_is_no_fault() {
        let health = testing::health();
        health.ready();
        health.notice("thresholds", "product nut is not one of the model's");
        assert_eq!(health.faults(), (State::Ready, Vec::new()));
        assert!(health.told().1.starts_with("thresholds since "), "{:?}", health.told());
        health.problem("thresholds", "not taken over");
        assert_eq!(health.faults(), (State::Degraded, vec!["thresholds".to_owned()]));
    }

    #[test]
    fn newest_problem_is_told_first() {
        let health = testing::health();
        health.problem("camera cam0", "gone");
        std::thread::sleep(Duration::from_millis(2));
        health.problem("thresholds", "not taken over");
        let (_, detail) = health.told();
        assert!(detail.starts_with("thresholds since ") && detail.contains("; camera cam0 since "), "{detail}");
    }
}
