//! How connections have ended, and what that shows: a pure state machine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::echo::Own;

#[cfg(test)]
mod tests;

/// Endings that are remembered, and for how long one counts.
const MOST: usize = 64;
const WINDOW: Duration = Duration::from_secs(60);

/// So many endings within [`WINDOW`] are a fault.
const FLAPS: usize = 3;

/// So many endings in a row behind a message that is longer than all that were acknowledged show a limit of the broker.
const CUTS: usize = 2;

/// So many endings and a state of another client within [`WINDOW`] show a client that uses this one's name.
const TWIN_ENDINGS: usize = 2;

/// For so long messages above a limit of the broker are held back before one is tried again: at first, and at most. The time
/// doubles with every trial that fails.
const HELD_FIRST: Duration = Duration::from_secs(30);
const HELD_MOST: Duration = Duration::from_mins(5);

/// How one connection ended that the broker had accepted.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) at: Instant,
    pub(crate) reason: String,
    /// The broker closed it without a word.
    pub(crate) closed: bool,
    /// The longest message that was handed over and not acknowledged, if it is longer than all that were.
    pub(crate) behind: Option<(Own, usize)>,
}

/// A length at which the broker ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) own: Own,
    /// Payloads of this many bytes, or more, do not get through.
    pub(crate) bytes: usize,
    at: Instant,
    held: Duration,
}

impl Cut {
    fn holds(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < self.held
    }
}

/// What the endings show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Another client uses the name and the topics of this one.
    Twin,
    /// The broker ends the connection at messages of a length.
    Cut(Own, usize),
    /// It ends again and again, so often within the last minute; the last time for this reason. `mute`: without a word.
    Flaps { count: usize, reason: String, mute: bool },
}

/// The last endings.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    recent: VecDeque<Ending>,
    cut: Option<Cut>,
    /// For how long the next cut holds messages back, if it follows one that was tried again.
    next_held: Option<Duration>,
    /// Longest message that was ever acknowledged, in bytes.
    longest_acknowledged: usize,
    /// When the broker last held a state of this station that another client has published since.
    twin: Option<Instant>,
}

impl Endings {
    /// A connection ended, over which messages of at most so many bytes were acknowledged.
    pub(crate) fn note(&mut self, ending: Ending, longest_acknowledged: usize) {
        self.longest_acknowledged = self.longest_acknowledged.max(longest_acknowledged);
        // A connection that ended for another reason: the broker may come back with another limit.
        if ending.behind.is_none() || self.cut.is_some_and(|cut| cut.bytes <= self.longest_acknowledged) {
            (self.cut, self.next_held) = (None, None);
        }
        let now = ending.at;
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back(ending);
        let mut behind = Vec::new();
        for ending in self.within(now).rev().take(CUTS) {
            let long = ending.behind.filter(|(_, bytes)| ending.closed && *bytes > self.longest_acknowledged);
            behind.extend(long);
        }
        if behind.len() == CUTS
            && self.twin.is_none()
            && let Some((own, bytes)) = behind.into_iter().min_by_key(|(_, bytes)| *bytes)
        {
            // One that is in force was not tried again.
            let in_force = self.cut.filter(|cut| cut.holds(now)).map(|cut| cut.held);
            let held = in_force.or(self.next_held).unwrap_or(HELD_FIRST);
            self.cut = Some(Cut { own, bytes, at: now, held });
            self.next_held = Some((held * 2).min(HELD_MOST));
        }
    }

    /// The broker holds a state of this station that another client has published.
    pub(crate) const fn note_twin(&mut self, now: Instant) {
        self.twin = Some(now);
    }

    /// Payloads of this many bytes, or more, are to be held back: also those that are a little shorter than the one at which
    /// the broker ended the connection, for messages of a kind differ by a few digits.
    pub(crate) fn limit(&mut self, now: Instant) -> Option<usize> {
        self.cut = self.cut.filter(|cut| cut.holds(now));
        self.cut.map(|cut| (cut.bytes - cut.bytes / 8).max(self.longest_acknowledged + 1).min(cut.bytes))
    }

    fn within(&self, now: Instant) -> impl DoubleEndedIterator<Item = &Ending> {
        self.recent.iter().filter(move |ending| now.saturating_duration_since(ending.at) < WINDOW)
    }

    /// What is to be reported.
    pub(crate) fn pattern(&self, now: Instant) -> Option<Pattern> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < WINDOW;
        // One ending alone may be a broker that came back with what it knew some time ago.
        if self.twin.is_some_and(is_recent) && self.within(now).count() >= TWIN_ENDINGS {
            return Some(Pattern::Twin);
        }
        if let Some(cut) = self.cut {
            return Some(Pattern::Cut(cut.own, cut.bytes));
        }
        let count = self.within(now).count();
        let last = self.within(now).next_back().filter(|_| count >= FLAPS)?;
        let mute = self.within(now).all(|ending| ending.closed);
        Some(Pattern::Flaps { count, reason: last.reason.clone(), mute })
    }
}
