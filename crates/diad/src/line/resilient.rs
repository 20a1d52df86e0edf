//! The journal: the ledger of a line that goes on when the ledger cannot.
//!
//! While the ledger can be written, nothing is a verdict before it is there. While it cannot, the station says so,
//! verdicts go out without a record, and what is missed is counted; every second it is tried again, and when it works
//! the gap is put on record. For a process that ends before that, the slip beside the ledger says which of the parts that
//! are there as entered have been decided, before their verdicts go out. On a disk that hangs the ledger cannot be written.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Sender;
use diad_core::event::{Outcome, Reason};
use diad_core::name::{LineName, ProductName, StationName};
use diad_ledger::{
    Entered, FallbackFile, Key, Ledger, LedgerError, Mark, MissedParts, Recorded, Row, RowId, RunContext, Sent,
};
use diad_publish::Publisher;
use diad_publish::outbox::Ticket;
use tracing::{error, info, warn};

use super::ledger_thread::LedgerThread;
use super::stages::LineError;
use crate::chain::chain;
use crate::health::{Health, Source};
use crate::products::InForce;
use crate::retention::Retention;

#[cfg(test)]
mod tests;

/// What the health of a station calls the ledger.
const LEDGER_HEALTH: Source = Source::Ledger;
/// What it calls stored verdicts that cannot be read.
const BACKLOG_HEALTH: Source = Source::LedgerBacklog;
/// What it calls the slip.
const FALLBACK_HEALTH: Source = Source::LedgerSlip;
/// What it calls the deletion of what is old.
const RETENTION_HEALTH: Source = Source::Retention;
/// A ledger that failed is left alone for this long: a try may take a while, and verdicts wait for it.
const LEDGER_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Verdicts that are looked through for the product of the last part.
const MAX_ROWS_FOR_PRODUCT: u32 = 256;
/// Verdicts that are looked through for marks that may be at the gate still.
const MARKS_AT_GATE: u32 = 4096;
/// How often old verdicts are looked for.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);
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
    if ledger.taken_up() > 0 {
        warn!(parts = ledger.taken_up(), "verdicts of an earlier run without a record; the gap is on record");
    }
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

/// The product that was in force last: by the change-over on record, or by the newest part of this station. Where that part
/// was not judged because nobody knew its product, nobody knows it yet.
fn last_product(ledger: &Ledger, context: &RunContext) -> InForce {
    let unclear = || InForce::Unclear("before the start, see the log of then".into());
    match ledger.read().product_in_force(&context.line, &context.station) {
        Ok(Some((Some(product), _))) => return InForce::Named(product),
        Ok(Some((None, _))) | Err(_) => return unclear(),
        Ok(None) => {}
    }
    let newest = ledger.read().newest(None, MAX_ROWS_FOR_PRODUCT).unwrap_or_default();
    // A part that was not judged for another reason, and has no product, says nothing of it.
    let says_nothing = |row: &Row| match row.outcome {
        Outcome::Unjudged(reason) => row.product.is_none() && reason != Reason::Product,
        Outcome::Judged(_) => false,
    };
    let mut rows = newest.into_iter().flatten().map(|stored| stored.row);
    match rows.find(|row| is_ours(row, context) && !says_nothing(row)) {
        Some(Row { product: Some(product), .. }) => InForce::Named(product),
        Some(Row { outcome: Outcome::Unjudged(Reason::Product), .. }) => unclear(),
        _ => InForce::Unnamed,
    }
}

fn is_ours(row: &Row, context: &RunContext) -> bool {
    (&row.key.series.line, &row.key.series.station) == (&context.line, &context.station)
}

/// What became of a verdict that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is on the disk, and the verdict of its part.
    Verdict(RowId),
    /// It is on the disk beside another verdict of its part, which came first.
    Beside,
    /// It is nowhere but in memory.
    Nowhere,
}

/// A person's word that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// The ledger has no such part.
    #[error("there is no such part")]
    Unknown,
    /// The ledger cannot be written now.
    #[error("the ledger cannot be written at the moment; try again")]
    Broken,
}

/// A person's word on a verdict, and where to say what became of it.
#[derive(Debug)]
pub struct LabelRequest {
    /// The part.
    pub key: Key,
    /// The word; `None` takes back what was said before.
    pub mark: Option<Mark>,
    /// Where to answer. Nobody waits for whoever asked.
    pub answer: Sender<Result<(), MarkError>>,
}

/// The ledger of a running line.
pub struct ResilientLedger {
    vault: LedgerThread,
    context: RunContext,
    path: std::path::PathBuf,
    keep: Duration,
    retention: Retention,
    health: Health,
    missed: MissedParts,
    /// Parts that the ledger holds as entered, without a verdict.
    noted: BTreeSet<Key>,
    /// Those of them that were decided without a record.
    decided: BTreeSet<Key>,
    /// The slip of a ledger whose file is gone: it went with it.
    slip: Option<FallbackFile>,
    /// The file was taken away, and what is open since then has not been written to yet: it may be another one.
    reopened: bool,
    /// What this run has written, by series: all of it is missing from a file that is made anew.
    written: MissedParts,
    last: Option<Key>,
    /// The product that was in force before this run.
    product: InForce,
    /// The last change-over, none for one that cannot be read, and when it came; once it is on record, it is again in a
    /// file that was made anew.
    in_force: Option<(Option<ProductName>, SystemTime)>,
    /// When to try again, if the last try failed.
    retry: Option<Instant>,
    /// It was taken up again, and what could not be written then is not written yet.
    unproven: bool,
    owed: u64,
    /// Damaged ones among those that were read since the start of the last look.
    damaged: u64,
    /// The file was taken away, and with it what every ticket names.
    void: bool,
    /// Acknowledged, and not yet marked so.
    unmarked: Vec<Sent>,
    next_purge: Instant,
}

impl ResilientLedger {
    /// Takes over an open ledger. Verdicts that were captured longer than `keep` ago, and are acknowledged, leave it.
    ///
    /// # Errors
    /// [`LineError::Thread`]: the system gives none for it.
    pub fn new(ledger: Ledger, context: RunContext, keep: Duration, health: Health) -> Result<Self, LineError> {
        Ok(Self {
            path: ledger.path().to_owned(),
            owed: ledger.read().unsent_count().unwrap_or(0),
            keep,
            retention: Retention::starting(ledger.read()),
            health,
            missed: MissedParts::new(),
            noted: BTreeSet::new(),
            decided: BTreeSet::new(),
            slip: None,
            reopened: false,
            written: MissedParts::new(),
            last: None,
            product: last_product(&ledger, &context),
            in_force: None,
            retry: None,
            unproven: false,
            damaged: 0,
            void: false,
            unmarked: Vec::new(),
            next_purge: Instant::now(),
            vault: LedgerThread::start(ledger)
                .map_err(|source| LineError::Thread { name: "ledger".to_owned(), source })?,
            context,
        })
    }

    /// What is the same for every part of this run.
    pub(super) const fn context(&self) -> &RunContext {
        &self.context
    }

    /// The product that was in force when the run before this one ended.
    pub(super) const fn product(&self) -> &InForce {
        &self.product
    }

    /// Verdicts of this station on parts with a mark that were seen no longer ago than that, newest first. None where the
    /// ledger cannot be read.
    pub(super) fn recent(&mut self, within: Duration) -> Vec<Row> {
        let newest =
            self.vault.with("read what may be at the gate", |ledger| ledger.read().newest(None, MARKS_AT_GATE));
        let newest = newest.unwrap_or_else(|error| {
            warn!(error = %chain(&error), "marks of the last run are not known: none of its parts is known for a repeat");
            Vec::new()
        });
        let since = SystemTime::now().checked_sub(within);
        let rows = newest.into_iter().flatten().map(|stored| stored.row);
        let recent = |row: &Row| since.is_none_or(|since| row.captured.wall() >= since);
        rows.filter(|row| row.part.is_some() && recent(row) && is_ours(row, &self.context)).collect()
    }

    /// A change-over, none for one that cannot be read. Where it cannot be written, it is when the ledger works again.
    pub(super) fn keep_product(&mut self, product: Option<ProductName>, since: SystemTime) {
        self.in_force = Some((product, since));
        if !self.is_broken() {
            self.write_product();
        }
    }

    fn write_product(&mut self) {
        let Some((product, since)) = self.in_force.clone() else { return };
        let RunContext { line, station, .. } = self.context.clone();
        let write = move |ledger: &mut Ledger| ledger.keep_product(&line, &station, product.as_ref(), since.into());
        if let Err(error) = self.vault.with("write the product in force", write) {
            self.failed(&error);
        }
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

    /// Whether the last try failed.
    pub(super) const fn is_broken(&self) -> bool {
        self.retry.is_some()
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
                // A damaged page may take the new rows and refuse the acknowledgements: well is what has taken both.
                self.unproven = !self.unmarked.is_empty();
                if !self.unproven {
                    self.health.well(LEDGER_HEALTH);
                }
                self.health.well(FALLBACK_HEALTH);
                self.write_product();
            }
            Err(error) => {
                // Any failure that can last for days leaves nothing there, and must not fill the memory.
                if error.leaves_doubt() {
                    self.noted.extend(open.iter().map(|part| part.key.clone()));
                }
                self.failed(&error);
                if !self.missed.is_empty() {
                    self.write_slip();
                }
            }
        }
    }

    fn try_resume(&mut self, open: &[Entered]) -> Result<(), LedgerError> {
        let (path, context, entered) = (self.path.clone(), self.context.clone(), open.to_vec());
        let (mut gaps, written) = (self.missed.gaps(), self.written.gaps());
        // In the file that it was written to, a row can only be missing because retention has deleted it.
        let last = self.last.clone().filter(|_| self.reopened);
        let (elsewhere, owed) = self.vault.ask("take up writing again", move |ledger| {
            let ledger = match ledger {
                Some(ledger) => ledger,
                None => ledger.insert(Ledger::open(&path)?),
            };
            let elsewhere = match &last {
                Some(key) => ledger.read().part(key)?.is_none(),
                None => false,
            };
            if elsewhere {
                gaps.extend(written);
            }
            ledger.resume(&context, &entered, &gaps)?;
            // What stays on it is on record: taken up by the next start, it changes nothing.
            if let Err(error) = ledger.slip().and_then(FallbackFile::clear) {
                warn!(%error, "the slip of the ledger could not be cleared");
            }
            // One page that cannot be read must not keep the others from being written.
            Ok((elsewhere, ledger.read().unsent_count().ok()))
        })?;
        if elsewhere {
            self.written.clear();
        }
        self.reopened = false;
        if let Some(mut slip) = self.slip.take().filter(|slip| !slip.lies_beside(&self.path)) {
            // The other file may come back one day; whatever it holds as entered is decided here, from now on.
            let all = self.decided.union(&self.noted).cloned().collect();
            if let Err(error) = slip.write(&self.missed.gaps(), &all) {
                warn!(%error, "the slip of the ledger that was taken away could not be written");
            }
        }
        self.noted = open.iter().map(|part| part.key.clone()).collect();
        self.decided.clear();
        self.owed = owed.unwrap_or(self.owed);
        Ok(())
    }

    /// Writes what happened since the last time, durably, together with what was acknowledged, and says of each verdict
    /// what became of it. `late` are results of parts that have a verdict.
    pub(super) fn commit(&mut self, entered: &[Entered], verdicts: &[Row], late: &[Row]) -> Vec<Kept> {
        if self.is_broken() {
            return self.miss(verdicts, "the ledger could not be written");
        }
        if entered.is_empty() && verdicts.is_empty() && late.is_empty() && self.unmarked.is_empty() {
            return Vec::new();
        }
        let (notes, rows, beside, sent) = (entered.to_vec(), verdicts.to_vec(), late.to_vec(), self.unmarked.clone());
        match self.vault.with("write verdicts", move |ledger| ledger.commit(&notes, &rows, &beside, &sent)) {
            Ok(recorded) => {
                self.owed = self.owed.saturating_sub(self.unmarked.len() as u64);
                self.unmarked.clear();
                if std::mem::take(&mut self.unproven) {
                    self.health.well(LEDGER_HEALTH);
                }
                self.noted.extend(entered.iter().map(|part| part.key.clone()));
                for row in verdicts {
                    self.noted.remove(&row.key);
                }
                recorded.into_iter().zip(verdicts).map(|(recorded, row)| self.kept(recorded, row)).collect()
            }
            Err(error) => {
                // It may have reached the disk all the same.
                self.noted.extend(entered.iter().map(|part| part.key.clone()));
                self.failed(&error);
                self.miss(verdicts, &chain(&error))
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
            Recorded::Late(_) => Kept::Beside,
        }
    }

    fn miss(&mut self, rows: &[Row], cause: &str) -> Vec<Kept> {
        let mut is_news = self.missed.is_empty() && !rows.is_empty();
        for row in rows {
            self.missed.note(&row.key, row.judged, cause);
            if let Some(key) = self.noted.take(&row.key) {
                self.decided.insert(key);
                is_news = true;
            }
        }
        // Parts that entered during the outage are nowhere: they only count, and every try to write counts them.
        if is_news {
            self.write_slip();
        }
        vec![Kept::Nowhere; rows.len()]
    }

    /// Writes down what the outage has come to, for a process that ends before the ledger works again.
    fn write_slip(&mut self) {
        let (gaps, decided) = (self.missed.gaps(), self.decided.clone());
        let written = self.vault.ask("write the slip", move |ledger| {
            Ok(ledger.as_mut().map(|ledger| ledger.slip().and_then(|slip| slip.write(&gaps, &decided))))
        });
        let written = match (written, &mut self.slip) {
            (Ok(Some(written)), _) => written,
            (Ok(None), Some(slip)) => slip.write(&self.missed.gaps(), &self.decided),
            (Ok(None), None) => Err(io::ErrorKind::NotFound.into()),
            (Err(hangs), _) => Err(io::Error::other(hangs)),
        };
        match written {
            Ok(()) => self.health.well(FALLBACK_HEALTH),
            Err(error) => self.health.problem(
                FALLBACK_HEALTH,
                &format!(
                    "what is said without a record cannot be noted either ({error}); a stop before the ledger works again \
                     forgets it, and may give parts that were on the line a second verdict"
                ),
            ),
        }
    }

    fn failed(&mut self, error: &LedgerError) {
        self.health.problem(LEDGER_HEALTH, &chain(error));
        self.retry = Some(Instant::now() + LEDGER_RETRY_INTERVAL);
        if matches!(error, LedgerError::Removed { .. }) {
            // Its lock goes with it, so that a new file can be made in its place.
            let left = self.vault.ask("close the file", |ledger| Ok(ledger.take().and_then(Ledger::into_slip)));
            self.slip = left.ok().flatten();
            self.reopened = true;
            // The next file numbers its rows anew.
            self.void = true;
            self.unmarked.clear();
            self.owed = 0;
        }
    }

    /// What is old or said afterwards could not be written: a damaged page among it must not keep verdicts off the record.
    fn failed_beside(&mut self, error: &LedgerError) {
        if matches!(error, LedgerError::Removed { .. }) {
            self.failed(error);
        }
    }

    /// Whether the tickets given until now name nothing any more. To be asked before a try to go on and before
    /// acknowledgements are handed in: [`Publisher::void_tickets`] makes the link forget them.
    pub(super) const fn take_void(&mut self) -> bool {
        std::mem::replace(&mut self.void, false)
    }

    /// The broker has acknowledged verdicts; marked with the next [`commit`](Self::commit).
    pub(super) fn acknowledged(&mut self, tickets: Vec<(Ticket, SystemTime)>) {
        let sent = |(Ticket(number), at): (_, SystemTime)| Sent { row: RowId::from_number(number), at: at.into() };
        self.unmarked.extend(tickets.into_iter().map(sent));
    }

    /// Verdicts after `after` that nobody has acknowledged, oldest first; at most `limit` are looked at. `None` if they
    /// cannot be read. With them comes where to go on, which is `after` at the end.
    pub(super) fn owed_after(&mut self, after: RowId, limit: u32) -> Option<(Vec<(RowId, Row)>, RowId)> {
        let read = move |ledger: &mut Option<Ledger>| {
            ledger.as_ref().map(|ledger| ledger.read().unsent(after, limit)).transpose()
        };
        let page = match self.vault.ask("read what is owed", read) {
            Ok(page) => page?,
            Err(error) => {
                // Writing may go on all the same; whoever writes finds out.
                let detail = "what is owed to the broker cannot be read and is not sent before the next connection";
                self.health.problem(BACKLOG_HEALTH, &format!("{detail}: {}", chain(&error)));
                return None;
            }
        };
        if after == RowId::START {
            self.damaged = 0;
        }
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
                    self.damaged += 1;
                    last = damaged.id;
                }
            }
        }
        // Damage may turn the order around: whoever goes on from here must come to an end.
        let last = last.max(after);
        match self.damaged {
            0 if last == after => self.health.well(BACKLOG_HEALTH),
            0 => {}
            damaged => self.health.problem(
                BACKLOG_HEALTH,
                &format!("{damaged} verdicts that are owed to the broker are damaged and cannot be sent; see `diad ledger verify`"),
            ),
        }
        Some((rows, last))
    }

    /// Marks what was acknowledged since the line ended. Gives how many verdicts are owed still.
    #[must_use]
    pub fn settle(&mut self, publisher: &Publisher) -> u64 {
        if self.take_void() {
            publisher.void_tickets();
        }
        self.acknowledged(publisher.delivery().acknowledged);
        if self.is_broken() {
            // The last chance to put the gap on record.
            self.resume(&[]);
        }
        self.commit(&[], &[], &[]);
        self.owed
    }

    /// Keeps what a person says of a verdict. Says why not, in words for that person.
    pub(super) fn mark(&mut self, key: &Key, mark: Option<Mark>) -> Result<(), MarkError> {
        if self.is_broken() {
            return Err(MarkError::Broken);
        }
        let (key, at) = (key.clone(), SystemTime::now().into());
        match self.vault.with("write a word", move |ledger| ledger.mark(&key, mark, at)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(MarkError::Unknown),
            Err(error) => {
                error!(error = %chain(&error), "a word on a part could not be kept");
                self.failed_beside(&error);
                Err(MarkError::Broken)
            }
        }
    }

    /// Deletes some of what is old, now and then.
    pub(super) fn purge(&mut self) {
        let now = Instant::now();
        if self.is_broken() || now < self.next_purge {
            return;
        }
        self.next_purge = now + PURGE_INTERVAL;
        let before = match self.retention.before(self.keep) {
            Ok(before) => before,
            Err(implausible) => return self.health.problem(RETENTION_HEALTH, &implausible.to_string()),
        };
        match self.vault.with("delete old parts", move |ledger| ledger.purge(before, PURGED_AT_ONCE)) {
            Ok(PURGED_AT_ONCE..) => self.next_purge = now,
            Ok(_) => self.health.well(RETENTION_HEALTH),
            Err(error) => {
                self.health.problem(RETENTION_HEALTH, &format!("old parts cannot be deleted: {}", chain(&error)));
                self.failed_beside(&error);
            }
        }
    }
}
