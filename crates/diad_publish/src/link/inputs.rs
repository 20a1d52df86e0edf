//! Whether the broker delivers what the plant publishes: a pure state machine.
//!
//! A broker may grant a subscription and deliver nothing, because its access rules keep the messages back. What the plant
//! publishes shows that a topic is delivered. Where it publishes nothing, the station publishes an empty message there, which
//! means nothing by the rules of both topics, is not retained, and must come back.

use std::time::Duration;

use super::echo::PATIENCE;

#[cfg(test)]
mod tests;

/// So long after the subscription the plant's own messages may come first: a retained product, triggers.
const FIRST: Duration = Duration::from_secs(2);
/// How often a topic is tried on which nothing comes.
const EVERY: Duration = Duration::from_mins(1);
/// How often one is tried that does not deliver.
const AGAIN: Duration = Duration::from_secs(10);

/// A topic that the station reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Trigger,
    Product,
}

/// What is known of one topic. All times are those in which this thread ran over this connection.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// When a message last came in.
    received: Option<Duration>,
    /// When the station last published one.
    tried: Option<Duration>,
    withheld: bool,
}

/// What one connection delivers.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// When the broker granted the subscriptions.
    granted: Option<Duration>,
    /// Which topics are tried.
    tries: [bool; 2],
    known: [Known; 2],
}

impl Inputs {
    /// Of a connection that has delivered nothing.
    pub(crate) const fn new(trigger: bool, product: bool) -> Self {
        let known = Known { received: None, tried: None, withheld: false };
        Self { granted: None, tries: [trigger, product], known: [known; 2] }
    }

    /// The broker granted the subscriptions.
    pub(crate) fn granted(&mut self, now: Duration) {
        self.granted.get_or_insert(now);
    }

    /// Whether it has.
    pub(crate) const fn are_granted(&self) -> bool {
        self.granted.is_some()
    }

    /// A message came in. True if it may be our own.
    pub(crate) fn received(&mut self, input: Input, now: Duration) -> bool {
        let known = &mut self.known[input as usize];
        let was_open = known.tried.is_some_and(|tried| known.received.is_none_or(|received| received < tried));
        known.received = Some(now);
        known.withheld = false;
        was_open
    }

    /// The topic on which an empty message is to be published now.
    pub(crate) fn due(&self, now: Duration) -> Option<Input> {
        let since = self.granted?;
        [Input::Trigger, Input::Product].into_iter().find(|input| {
            let known = self.known[*input as usize];
            let wait = match (known.withheld, known.received.max(known.tried)) {
                (true, _) => AGAIN,
                (false, None) => FIRST,
                (false, Some(_)) => EVERY,
            };
            let last = known.received.max(known.tried).unwrap_or(since);
            self.tries[*input as usize] && now.saturating_sub(last) >= wait
        })
    }

    /// One was.
    pub(crate) const fn tried(&mut self, input: Input, now: Duration) {
        self.known[input as usize].tried = Some(now);
    }

    /// Whether nothing has come in on any topic.
    pub(crate) fn is_silent(&self) -> bool {
        self.known.iter().all(|known| known.received.is_none())
    }

    /// Whether one has been published a moment ago, and has not come back.
    pub(crate) fn is_open(&self, now: Duration) -> bool {
        self.known.iter().any(|known| {
            let open = known.tried.filter(|tried| known.received.is_none_or(|received| received < *tried));
            open.is_some_and(|tried| now.saturating_sub(tried) <= PATIENCE)
        })
    }

    /// Looks which topics deliver nothing although the broker goes on; `activity` is when it last sent anything.
    pub(crate) fn look(&mut self, now: Duration, activity: Duration) {
        for known in &mut self.known {
            let open = known.tried.filter(|tried| known.received.is_none_or(|received| received < *tried));
            known.withheld |= open.is_some_and(|tried| now.saturating_sub(tried) > PATIENCE && activity > tried);
        }
    }

    /// The topics that deliver nothing.
    pub(crate) fn withheld(&self) -> Vec<Input> {
        [Input::Trigger, Input::Product].into_iter().filter(|input| self.known[*input as usize].withheld).collect()
    }
}
