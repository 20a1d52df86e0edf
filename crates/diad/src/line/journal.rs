//! The journal: the ledger of a line that goes on when the ledger cannot.
//!
//! While the ledger can be written, nothing is a verdict before it is there. While it cannot, the station says so,
//! verdicts go out without a record, and what is missed is counted; every second it is tried again, and when it works
//! the gap is put on record.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use diad_core::name::{LineName, StationName};
use diad_ledger::{Entered, Key, Ledger, LedgerError, Missed, Recorded, Row, RowId, RunContext, Sent};
use diad_publish::Publisher;
use diad_publish::outbox::Ticket;
use tracing::{error, info, warn};

use crate::chain::chain;
use crate::health::Health;

#[cfg(test)]
mod tests;

/// What the health of a station calls the ledger.
const SOURCE: &str = "ledger";
/// A ledger that failed is left alone for this long: a try may take a while, and verdicts wait for it.
const RETRY: Duration = Duration::from_secs(1);
/// How often old verdicts are looked for.
const PURGE: Duration = Duration::from_secs(60);
/// Old verdicts deleted at a time: some milliseconds.
const PURGED_AT_ONCE: u32 = 256;

/// Opens the ledger of a station, gives every part that an earlier process left without a verdict its
/// `UNJUDGED(shutdown)`, and names this run.
///
/// # Errors
/// [`LedgerError`]: the station must not start.
pub fn open(
    path: &Path,
    line: &LineName,
    station: &StationName,
    deadline_ms: u32,
) -> Result<(Ledger, RunContext), LedgerError> {
    let mut ledger = Ledger::open(path)?;
    let now = SystemTime::now();
    let left = ledger.close_entered(now.into())?;
    if left > 0 {
        warn!(parts = left, "parts of an earlier run that was killed are recorded as UNJUDGED");
    }
    let run = ledger.start_run(line, station, now)?;
    let owed = ledger.read().unsent_count()?;
    info!(ledger = %ledger.path().display(), owed, "ledger open");
    Ok((ledger, RunContext { line: line.clone(), station: station.clone(), run, deadline_ms }))
}

/// What became of a row that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is on the disk, and the verdict of its part.
    Verdict(RowId),
    /// It is on the disk beside the verdict of its part, which came first.
    Beside,
    /// It is nowhere but in memory.
    Nowhere,
}

/// The ledger of a running line.
pub struct Journal {
    /// None while its file is gone.
    ledger: Option<Ledger>,
    context: RunContext,
    path: std::path::PathBuf,
    keep: Duration,
    health: Health,
    missed: Missed,
    /// What this run has written, by series: all of it is missing from a file that is made anew.
    written: Missed,
    last: Option<Key>,
    /// When to try again, if the last try failed.
    retry: Option<Instant>,
    owed: u64,
    /// Acknowledged, and not yet marked so.
    unmarked: Vec<Sent>,
    next_purge: Instant,
}

impl Journal {
    /// Takes over an open ledger. Verdicts that were captured longer than `keep` ago, and are acknowledged, leave it.
    #[must_use]
    pub fn new(ledger: Ledger, context: RunContext, keep: Duration, health: Health) -> Self {
        Self {
            path: ledger.path().to_owned(),
            owed: ledger.read().unsent_count().unwrap_or(0),
            ledger: Some(ledger),
            context,
            keep,
            health,
            missed: Missed::new(),
            written: Missed::new(),
            last: None,
            retry: None,
            unmarked: Vec::new(),
            next_purge: Instant::now(),
        }
    }

    /// What is the same for every part of this run.
    pub(super) const fn context(&self) -> &RunContext {
        &self.context
    }

    /// Verdicts on record that the broker has not acknowledged, as far as is known.
    #[must_use]
    pub const fn owed(&self) -> u64 {
        self.owed
    }

    /// Acknowledgements that wait to be marked.
    pub(super) const fn unmarked(&self) -> usize {
        self.unmarked.len()
    }

    /// Whether a broken ledger should be tried again. [`resume`](Self::resume) does.
    pub(super) fn is_worth_a_try(&self) -> bool {
        self.retry.is_some_and(|at| Instant::now() >= at)
    }

    /// Tries a broken ledger again. `open` are the parts that are owed a verdict.
    pub(super) fn resume(&mut self, open: &[Entered]) {
        let resumed = self.try_resume(open);
        match resumed {
            Ok(()) => {
                if !self.missed.is_empty() {
                    warn!(parts = self.missed.parts(), "verdicts without a record; the gap is on record");
                    self.missed.clear();
                }
                self.retry = None;
                self.health.well(SOURCE);
            }
            Err(error) => self.failed(&error),
        }
    }

    fn try_resume(&mut self, open: &[Entered]) -> Result<(), LedgerError> {
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            None => self.ledger.insert(Ledger::open(&self.path)?),
        };
        let mut gaps = self.missed.gaps();
        let elsewhere = match &self.last {
            Some(key) => ledger.read().part(key)?.is_none(),
            None => false,
        };
        if elsewhere {
            gaps.extend(self.written.gaps());
        }
        ledger.resume(&self.context, open, &gaps)?;
        if elsewhere {
            self.written.clear();
        }
        self.owed = ledger.read().unsent_count()?;
        Ok(())
    }

    /// Writes what happened since the last time, durably, together with what was acknowledged, and says of each row
    /// what became of it.
    pub(super) fn commit(&mut self, entered: &[Entered], rows: &[Row]) -> Vec<Kept> {
        let ledger = match &mut self.ledger {
            Some(ledger) if self.retry.is_none() => ledger,
            _ => return self.miss(rows, "the ledger could not be written"),
        };
        match ledger.commit(entered, rows, &self.unmarked) {
            Ok(recorded) => {
                self.owed = self.owed.saturating_sub(self.unmarked.len() as u64);
                self.unmarked.clear();
                recorded.into_iter().zip(rows).map(|(recorded, row)| self.kept(recorded, row)).collect()
            }
            Err(error) => {
                self.failed(&error);
                self.miss(rows, &chain(&error))
            }
        }
    }

    fn kept(&mut self, recorded: Recorded, row: &Row) -> Kept {
        match recorded {
            Recorded::First(id) => {
                self.owed += 1;
                self.written.note(&row.key, row.judged, "written to a file that was taken away while the station ran");
                self.last = Some(row.key.clone());
                Kept::Verdict(id)
            }
            // A commit that failed may have reached the disk all the same.
            Recorded::Again(id) => Kept::Verdict(id),
            Recorded::Late(first) => {
                info!(part = %row.key, verdict = %first, result = row.verdict_word(), "late result kept beside the verdict");
                Kept::Beside
            }
        }
    }

    fn miss(&mut self, rows: &[Row], cause: &str) -> Vec<Kept> {
        for row in rows {
            self.missed.note(&row.key, row.judged, cause);
        }
        vec![Kept::Nowhere; rows.len()]
    }

    fn failed(&mut self, error: &LedgerError) {
        self.health.problem(SOURCE, &chain(error));
        self.retry = Some(Instant::now() + RETRY);
        if matches!(error, LedgerError::Removed { .. }) {
            // Its lock goes with it, so that a new file can be made in its place.
            self.ledger = None;
        }
    }

    /// The broker has acknowledged verdicts; marked with the next [`commit`](Self::commit).
    pub(super) fn acknowledged(&mut self, tickets: Vec<(Ticket, SystemTime)>) {
        let sent = |(Ticket(number), at): (_, SystemTime)| Sent { row: RowId::from_number(number), at: at.into() };
        self.unmarked.extend(tickets.into_iter().map(sent));
    }

    /// Verdicts after `after` that nobody has acknowledged, oldest first; at most `limit` are looked at. `None` if they
    /// cannot be read. With them comes where to go on, which is `after` at the end.
    pub(super) fn owed_after(&mut self, after: RowId, limit: u32) -> Option<(Vec<(RowId, Row)>, RowId)> {
        let page = match self.ledger.as_ref()?.read().unsent(after, limit) {
            Ok(page) => page,
            Err(error) => {
                self.failed(&error);
                return None;
            }
        };
        let mut last = after;
        let mut rows = Vec::with_capacity(page.len());
        for entry in page {
            match entry {
                Ok(stored) => {
                    last = stored.id;
                    // The mark of one of these may have failed: it is acknowledged all the same.
                    if !self.unmarked.iter().any(|sent| sent.row == stored.id) {
                        rows.push((stored.id, stored.row));
                    }
                }
                Err(damaged) => {
                    error!(error = %chain(&damaged), "a damaged verdict cannot be sent; see `diad ledger verify`");
                    last = damaged.id;
                }
            }
        }
        Some((rows, last))
    }

    /// Marks what was acknowledged since the line ended. Gives how many verdicts are owed still.
    #[must_use]
    pub fn settle(&mut self, publisher: &Publisher) -> u64 {
        self.acknowledged(publisher.delivery().acknowledged);
        self.commit(&[], &[]);
        self.owed
    }

    /// Deletes some of what is old, now and then.
    pub(super) fn purge(&mut self) {
        let now = Instant::now();
        let Some(ledger) = self.ledger.as_mut().filter(|_| self.retry.is_none() && now >= self.next_purge) else {
            return;
        };
        self.next_purge = now + PURGE;
        let Some(before) = SystemTime::now().checked_sub(self.keep) else { return };
        match ledger.purge(before.into(), PURGED_AT_ONCE) {
            Ok(PURGED_AT_ONCE..) => self.next_purge = now,
            Ok(_) => {}
            Err(error) => self.failed(&error),
        }
    }
}
