//! How long a message may have been on its way from the broker: what a trigger proves of its age by coming in.
//!
//! A connection is a queue. What is read after the answer to a question was sent by the broker after it had read the
//! question: so the age of a message is at most the time since the last answered question was put. The link asks all the
//! time, and while it stands still, for whatever reason, there is no answer: a network that holds bytes back, a broker
//! that hangs, a process that is stopped, a machine that is suspended. All times are of the clock that counts a suspension.
//!
//! A broker may hold messages back behind a window of unacknowledged ones, whose size it tells nobody. What is unacknowledged
//! here when the answer comes was so there when it was given, at the least. So an answer counts only if that is nothing, or
//! less than this broker has delivered without an acknowledgement before: then its window was not full, and nothing waited.

use std::time::Duration;

use crate::arrived::{Promptness, Suspicion};

#[cfg(test)]
mod tests;

/// How often the link asks, at most.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// How soon it asks again after an answer that does not count.
const PROBE_RETRY_DELAY: Duration = Duration::from_millis(20);

/// Bounds of [`limit`].
const LEAST_LIMIT: Duration = Duration::from_millis(250);
const MOST_LIMIT: Duration = Duration::from_millis(500);

/// After a broker or a network stood still, and after a connection was lost, triggers are suspect for this long: the plant's
/// own messages may wait at the broker's door behind our questions.
const SUSPECT_AFTER_STALL: Duration = Duration::from_secs(1);

/// A question that is not answered for so long by a broker that is there is put in another way.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A message that may have been on its way for longer is suspect, by the deadline of the station.
pub(crate) fn limit(deadline: Duration) -> Duration {
    deadline.clamp(LEAST_LIMIT, MOST_LIMIT)
}

/// What is asked. Both are answered by every broker that keeps to MQTT, whatever its access rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Gives up a subscription that there is not: nothing comes of it but the answer.
    Unsubscribe,
    /// Asks for the triggers again. For brokers that leave the other one unanswered.
    Subscribe,
}

#[derive(Debug, Clone, Copy)]
struct ProbeSent {
    at: Duration,
    question: Question,
    /// Messages that the broker may have counted as unacknowledged when it answered.
    unacknowledged: usize,
    /// Longest time since then in which this thread did not run.
    still: Duration,
}

/// What one connection has proved so far.
#[derive(Debug)]
pub(crate) struct LinkDelay {
    limit: Duration,
    question: Question,
    asked: Option<ProbeSent>,
    /// When to ask next.
    next: Duration,
    /// Messages that the broker has delivered without an acknowledgement, at most.
    window: usize,
    /// Whatever is read now, the broker has sent after this.
    sent_after: Option<Duration>,
    /// Triggers are suspect until then.
    settled_at: Duration,
    /// There was a connection before.
    again: bool,
    looked: Duration,
}

impl LinkDelay {
    /// A connection that has proved nothing. `again`: another one was lost before it.
    pub(crate) const fn new(limit: Duration, again: bool, now: Duration) -> Self {
        Self {
            limit,
            question: Question::Unsubscribe,
            asked: None,
            next: Duration::ZERO,
            window: 1,
            sent_after: None,
            settled_at: Duration::ZERO,
            again,
            looked: now,
        }
    }

    /// The thread runs. To be called whenever it does, before anything else.
    pub(crate) fn look(&mut self, now: Duration) {
        let still = now.saturating_sub(std::mem::replace(&mut self.looked, now));
        if let Some(asked) = &mut self.asked {
            asked.still = asked.still.max(still);
        }
    }

    /// The question to put now, if one is due whose answer would count with so many messages unacknowledged.
    pub(crate) fn question(&mut self, unacknowledged: usize, now: Duration) -> Option<Question> {
        if self.asked.is_some_and(|asked| {
            asked.question == Question::Unsubscribe && now.saturating_sub(asked.at) > PROBE_TIMEOUT
        }) {
            self.question = Question::Subscribe;
            self.asked = None;
        }
        let due = now >= self.next && unacknowledged < self.window;
        (due && self.asked.is_none()).then_some(self.question)
    }

    /// A question was put, with so many messages unacknowledged.
    pub(crate) fn asked(&mut self, question: Question, unacknowledged: usize, now: Duration) {
        self.next = now + PROBE_INTERVAL;
        self.asked = Some(ProbeSent { at: now, question, unacknowledged, still: Duration::ZERO });
    }

    /// A message came in that is to be acknowledged; `unacknowledged` are, with it.
    pub(crate) fn received(&mut self, unacknowledged: usize) {
        self.window = self.window.max(unacknowledged);
        if let Some(asked) = &mut self.asked {
            asked.unacknowledged += 1;
        }
    }

    /// A question was answered.
    pub(crate) fn answered(&mut self, question: Question, now: Duration) {
        if question == Question::Unsubscribe {
            self.question = question;
        }
        let Some(asked) = self.asked.take_if(|asked| asked.question == question) else { return };
        // The time in which nobody here could read the answer is not the broker's.
        let stood_still = now.saturating_sub(asked.at).saturating_sub(asked.still) > self.limit;
        if asked.unacknowledged < self.window {
            let first = self.sent_after.replace(asked.at).is_none();
            if first && self.again {
                self.settled_at = now + SUSPECT_AFTER_STALL;
            }
        } else {
            self.next = asked.at + PROBE_RETRY_DELAY;
        }
        if stood_still {
            self.settled_at = now + SUSPECT_AFTER_STALL;
        }
    }

    /// What a message proves that is read now. `redelivered`: the broker has delivered it before.
    pub(crate) fn promptness(&self, redelivered: bool, now: Duration) -> Promptness {
        if redelivered {
            return Promptness::Suspect(Suspicion::Redelivered);
        }
        match self.sent_after.map(|sent| now.saturating_sub(sent)) {
            None => Promptness::Suspect(Suspicion::Connection),
            Some(most) if most > self.limit => Promptness::Suspect(Suspicion::Stall { most }),
            Some(_) if now < self.settled_at => Promptness::Suspect(Suspicion::Settling),
            Some(_) => Promptness::Prompt,
        }
    }
}
