//! Whether the station is well, as the retained `state` topic says it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use diad_publish::Publisher;
use diad_publish::wire::{Moment, State};
use tracing::{error, info};

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
    detail: String,
    since: SystemTime,
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
        self.change(|known| {
            let before = known.problems.get(source);
            if before.is_none_or(|before| before.detail != detail) {
                error!(source, detail, "degraded");
            }
            let since = before.map_or_else(SystemTime::now, |before| before.since);
            known.problems.insert(source.to_owned(), Problem { detail: detail.to_owned(), since });
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

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (known.ready, known.problems.clone());
        change(&mut known);
        if before == (known.ready, known.problems.clone()) {
            return;
        }
        let detail: Vec<_> = known
            .problems
            .iter()
            .map(|(source, Problem { detail, since })| {
                // To the second: a person reads it.
                let since = Moment::from(*since).to_string();
                format!("{source} since {}Z: {detail}", since.get(11..19).unwrap_or_default())
            })
            .collect();
        let state = match (known.ready, detail.is_empty()) {
            (false, _) => State::Starting,
            (true, true) => State::Ready,
            (true, false) => State::Degraded,
        };
        self.0.publisher.set_state(state, &detail.join("; "));
    }
}
