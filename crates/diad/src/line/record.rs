//! The record stage keeps the deadlines: it alone decides what the verdict of a part is, writes it down, and only then
//! lets it go to the broker. It brings again what the broker has not acknowledged.
//!
//! The order within one round is the promise: close what was said in time, expire what is overdue, commit both in one
//! sync, publish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diad_core::book::{Book, Ruling};
use diad_core::event::InspectionEvent;
use diad_core::frame::PartMeta;
use diad_ledger::{Entered, Key, Origin, Row, RowId, Series, Timings};
use diad_publish::outbox::Ticket;
use diad_publish::wire::{self, Digest, Digests, VerdictMessage};
use diad_publish::{Delivery, Publisher};
use tracing::error;

use super::account::Account;
use super::beat::Beat;
use super::clock::now;
use super::desk::Said;
use super::journal::{Journal, Kept};
use super::lane::{Exit, Take};
use crate::archive::{Archive, Evidence};
use crate::thresholds::{LiveThresholds, ThresholdSet};

/// Longest wait between two heartbeats.
const PATIENCE: Duration = Duration::from_millis(100);
/// Words handled with one sync of the disk.
const BATCH: usize = 256;
/// Stored verdicts sent per second: far more than a line makes, and little enough that live ones never wait behind them.
const BROUGHT_PER_S: u32 = 2000;
/// Wait between two looks while stored verdicts are being sent, or acknowledgements are to be marked.
const SHORT: Duration = Duration::from_millis(10);
/// Acknowledgements wait this long for a verdict to be written together with.
const MARK_AFTER: Duration = Duration::from_millis(50);

/// What is said of a part whose result came late.
const UNJUDGED: &str = "UNJUDGED";

/// Hears every verdict after it was handed to the broker link.
pub type Listener = Box<dyn FnMut(&InspectionEvent) + Send>;

/// What the record thread works with.
pub(super) struct Recording {
    pub(super) said: Exit<Said>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) journal: Journal,
    pub(super) account: Account,
    pub(super) thresholds: LiveThresholds,
    pub(super) deadline: Duration,
    pub(super) model: Digest,
    pub(super) settings: Digest,
    pub(super) listener: Listener,
    pub(super) archive: Archive,
    pub(super) beat: Beat,
    /// How long it may take to get rid of what is owed once nothing more comes.
    pub(super) drain: Duration,
}

/// A decided part on its way to the ledger.
struct Decision {
    event: InspectionEvent,
    digests: Digests,
    timings: Timings,
    evidence: Option<Evidence>,
}

/// Where the bringing of stored verdicts has come to.
struct Backlog {
    connection: Option<u64>,
    /// Everything up to here has been brought over this connection; None when there is nothing more.
    cursor: Option<RowId>,
    /// Stored verdicts may be sent as if the last one went at this time.
    paid_until: Instant,
    last_mark: Instant,
}

impl Recording {
    /// Runs until every stage before it has ended, the lane is empty, and what is owed is delivered or its time is
    /// over. Gives the journal back, for what is acknowledged later.
    pub(super) fn run(mut self) -> Journal {
        let mut book = Book::new();
        let now = Instant::now();
        let mut backlog = Backlog { connection: None, cursor: None, paid_until: now, last_mark: now };
        loop {
            let (words, closed) = self.take(&book, &backlog);
            self.round(&mut book, words, closed);
            self.deliver(&mut backlog);
            self.journal.purge();
            self.beat.tick();
            if closed {
                break;
            }
        }
        let give_up = Instant::now() + self.drain;
        while Instant::now() < give_up && (self.journal.owed() > 0 || !self.publisher.is_idle()) {
            std::thread::sleep(SHORT);
            self.deliver(&mut backlog);
            self.beat.tick();
        }
        self.journal
    }

    /// Everything that was said, as soon as there is something or something is due.
    fn take(&self, book: &Book, backlog: &Backlog) -> (Vec<Said>, bool) {
        let busy = backlog.cursor.is_some() || self.journal.unmarked() > 0;
        let patience = if busy { SHORT } else { PATIENCE };
        let due = book.next_due().map_or(patience, |due| due.saturating_duration_since(Instant::now()));
        match self.said.take(patience.min(due)) {
            Take::Closed => (Vec::new(), true),
            Take::Idle => (Vec::new(), false),
            Take::Item(first) => {
                let words: Vec<_> = std::iter::once(first).chain(self.said.waiting()).take(BATCH).collect();
                let closed = words.iter().any(|said| matches!(said, Said::End));
                (words, closed)
            }
        }
    }

    /// One round: every word becomes an entry, a verdict or evidence, and all that is on the disk before it goes out.
    fn round(&mut self, book: &mut Book, words: Vec<Said>, closed: bool) {
        let at = now();
        let (mut entered, mut verdicts, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for said in words {
            match said {
                Said::End => {}
                Said::Entered { meta, thresholds } => {
                    let digests = self.digests(&thresholds);
                    book.enter(meta.clone(), meta.captured.mono + self.deadline);
                    entered.push((meta, digests));
                }
                Said::Decided { event, thresholds, timings, evidence } => {
                    let digests = self.digests(&thresholds);
                    let (ruled, event) = match book.close(event, at.mono) {
                        Ruling::Verdict(event) => (&mut verdicts, event),
                        Ruling::Late(event) => (&mut late, event),
                    };
                    ruled.push(Decision { event, digests, timings, evidence });
                }
            }
        }
        let mut expired = book.expire(at);
        for event in &expired {
            error!(part = %event.meta.key, "deadline passed without a verdict");
        }
        if closed {
            // Whoever took these in is gone without a word: a stage has panicked.
            expired.extend(book.finish(at));
        }
        if !expired.is_empty() {
            let digests = self.digests(&self.thresholds.current());
            let undecided = |event| Decision { event, digests, timings: Timings::NONE, evidence: None };
            verdicts.extend(expired.into_iter().map(undecided));
        }
        if self.journal.is_worth_a_try() {
            let digests = self.digests(&self.thresholds.current());
            let open: Vec<_> = book.parts().map(|meta| self.entry(meta, &digests)).collect();
            self.journal.resume(&open);
        }
        // Who came and went within one round needs no note.
        entered.retain(|(meta, _)| book.is_open(&meta.key));
        let entered: Vec<_> = entered.iter().map(|(meta, digests)| self.entry(meta, digests)).collect();
        if !(entered.is_empty() && verdicts.is_empty() && late.is_empty()) {
            self.keep_and_say(&entered, &verdicts, &late);
            // After the verdicts: nobody waits for pictures. A late result shows why its part was not judged.
            let late = late.into_iter().map(|decision| (UNJUDGED, decision));
            for (word, decision) in verdicts.into_iter().map(|d| (d.event.verdict_word(), d)).chain(late) {
                let PartMeta { key, captured, .. } = &decision.event.meta;
                if let Some(evidence) = decision.evidence {
                    self.archive.keep(&self.journal.context().run, key, captured.wall, word, evidence);
                }
            }
        }
        self.account.set_open(book.open() as u64, book.missing());
    }

    /// Writes, then speaks.
    fn keep_and_say(&mut self, entered: &[Entered], verdicts: &[Decision], late: &[Decision]) {
        let rows: Vec<Row> = verdicts.iter().chain(late).map(|decision| self.row(decision)).collect();
        let kept = self.journal.commit(entered, &rows);
        for (Decision { event, digests, .. }, kept) in verdicts.iter().zip(kept) {
            let ticket = match kept {
                Kept::Verdict(row) => Some(Ticket(row.number())),
                Kept::Nowhere => None,
                Kept::Beside => {
                    error!(part = %event.meta.key, "the ledger holds another verdict of this part, which stands");
                    self.account.recorded(event, self.deadline);
                    continue;
                }
            };
            self.publisher.publish_verdict(ticket, event, digests);
            self.account.recorded(event, self.deadline);
            (self.listener)(event);
        }
        self.account.set_owed(self.journal.owed());
    }

    /// Marks what the broker has acknowledged, and brings what it has not.
    fn deliver(&mut self, backlog: &mut Backlog) {
        let Delivery { connection, acknowledged, spilled } = self.publisher.delivery();
        self.journal.acknowledged(acknowledged);
        let news = connection != backlog.connection;
        backlog.connection = connection;
        match connection {
            None if news => {
                backlog.cursor = None;
                self.publisher.set_backlog(true);
            }
            Some(_) if news || spilled => {
                backlog.cursor = Some(RowId::START);
                self.publisher.set_backlog(true);
            }
            _ => {}
        }
        let now = Instant::now();
        let bringing = backlog.cursor.is_some();
        if self.journal.unmarked() > 0 && (bringing || now >= backlog.last_mark + MARK_AFTER) {
            backlog.last_mark = now;
            self.journal.commit(&[], &[]);
            self.account.set_owed(self.journal.owed());
        }
        if let Some(cursor) = backlog.cursor {
            backlog.cursor = self.bring(cursor, &mut backlog.paid_until);
            if backlog.cursor.is_none() {
                self.publisher.set_backlog(false);
            }
        }
    }

    /// Brings the next stored verdicts, as many as rate and room allow. Gives where to go on; None at the end, or if
    /// the ledger cannot be read.
    fn bring(&mut self, cursor: RowId, paid_until: &mut Instant) -> Option<RowId> {
        let now = Instant::now();
        // What was not used is not saved up, except for one look's worth.
        let from = (*paid_until).max(now.checked_sub(PATIENCE).unwrap_or(now));
        let earned = now.saturating_duration_since(from).as_secs_f64() * f64::from(BROUGHT_PER_S);
        let count = self.publisher.room().min(earned as usize);
        if count == 0 {
            return Some(cursor);
        }
        let (rows, last) = self.journal.owed_after(cursor, u32::try_from(count).unwrap_or(u32::MAX))?;
        *paid_until = from + Duration::from_secs(rows.len() as u64) / BROUGHT_PER_S;
        self.publisher.bring(rows.into_iter().map(|(id, row)| (Ticket(id.number()), message(&row, now))));
        (last != cursor).then_some(last)
    }

    fn digests(&self, thresholds: &ThresholdSet) -> Digests {
        Digests { model: self.model, thresholds: thresholds.digest(), settings: self.settings }
    }

    fn row(&self, Decision { event, digests, timings, .. }: &Decision) -> Row {
        Row::of_event(self.journal.context(), event, origin(digests), *timings)
    }

    fn entry(&self, meta: &PartMeta, digests: &Digests) -> Entered {
        let context = self.journal.context().clone();
        let series =
            Series { line: context.line, station: context.station, camera: meta.key.camera.clone(), run: context.run };
        Entered {
            key: Key { series, seq: meta.key.seq },
            part: meta.part.clone(),
            product: meta.product.clone(),
            captured: meta.captured.wall.into(),
            deadline_ms: context.deadline_ms,
            origin: origin(digests),
        }
    }
}

fn origin(digests: &Digests) -> Origin {
    let Digests { model, thresholds, settings } = digests;
    Origin { model: model.to_bytes(), thresholds: thresholds.to_bytes(), settings: settings.to_bytes() }
}

/// What a stored verdict says, byte for byte what it would have said live, apart from `historical`.
fn message(row: &Row, anchor: Instant) -> VerdictMessage {
    let Series { line, station, run, .. } = row.key.series.clone();
    let Origin { model, thresholds, settings } = row.origin;
    let digests = Digests {
        model: Digest::from_bytes(model),
        thresholds: Digest::from_bytes(thresholds),
        settings: Digest::from_bytes(settings),
    };
    let station = wire::Station { line, station, run };
    VerdictMessage::from_event(&station, &row.event(anchor), &digests, row.deadline_ms)
}
