//! The record stage keeps the deadlines: it alone decides what the verdict of a part is, writes it down, and only then
//! lets it go to the broker. It brings again what the broker has not acknowledged.
//!
//! The order within one round is the promise: close what was said in time, expire what is overdue, commit both in one
//! sync, publish. The sync takes its time after the deadlines were looked at: a verdict that was decided in time and on
//! the disk too late stands, for it is on record, and the station says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use diad_core::event::{InspectionEvent, Outcome, Reason};
use diad_core::frame::{PartMeta, Stamp};
use diad_core::open_parts::{OpenParts, Ruling};
use diad_core::repeat::Repeats;
use diad_ledger::{Entered, Key, Row, RowId, RowProvenance, Series, Timings};
use diad_publish::outbox::Ticket;
use diad_publish::wire::{self, Digest, Digests, RejectBit, VerdictMessage};
use diad_publish::{Delivery, Publisher, Receipt, suspended};
use tracing::{error, info, warn};

use super::account::Account;
use super::beat::StageProgress;
use super::clock::now;
use super::desk::Said;
use super::lane::{Exit, Take};
use super::resilient::{Kept, LabelRequest, ResilientLedger};
use super::sleep::SuspensionDetector;
use crate::archive::{self, Archive, PartImages};
use crate::health::{Health, Source};
use crate::thresholds::{LiveThresholds, ThresholdSet};

#[cfg(test)]
mod tests;

/// Longest wait between two heartbeats.
const RECORD_BEAT_INTERVAL: Duration = Duration::from_millis(100);
/// Words handled with one sync of the disk.
const MAX_MESSAGES_PER_COMMIT: usize = 256;
/// Stored verdicts sent per second: far more than a line makes, and little enough that live ones never wait behind them.
const MAX_RESENT_PER_S: u32 = 2000;
/// Wait between two looks while stored verdicts are being sent, or acknowledgements are to be marked.
const RESEND_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Acknowledgements wait this long for a verdict to be written together with.
const MARK_AFTER: Duration = Duration::from_millis(50);

/// What the health of a station calls verdicts that were on the disk too late.
const DEADLINE_HEALTH: Source = Source::Deadline;
/// The disk is well again when no verdict was late for this long.
const IN_TIME: Duration = Duration::from_secs(10);

/// What is said of a part whose result came late.
const UNJUDGED: &str = "UNJUDGED";

/// Hears every verdict, and what its part took in each stage, after it was handed to the broker link.
pub type VerdictObserver = Box<dyn FnMut(&InspectionEvent, &Timings) + Send>;

/// What the record thread works with.
pub(super) struct Recording {
    pub(super) said: Exit<Said>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) journal: ResilientLedger,
    /// The marks of the parts that may be at the gate.
    pub(super) repeats: Repeats,
    /// The time in which the machine was suspended.
    pub(super) sleep: SuspensionDetector,
    pub(super) account: Account,
    pub(super) thresholds: LiveThresholds,
    pub(super) deadline: Duration,
    pub(super) model: Digest,
    pub(super) settings: Digest,
    pub(super) listener: VerdictObserver,
    pub(super) archive: Archive,
    pub(super) beat: StageProgress,
    /// How long it may take to get rid of what is owed once nothing more comes.
    pub(super) drain: Duration,
    /// What people say of verdicts.
    pub(super) marks: Receiver<LabelRequest>,
    /// The ledger works again: what it owes is to be brought from the start.
    pub(super) rescan: bool,
    /// Where a disk that costs verdicts their deadline is reported.
    pub(super) health: Health,
    /// When a verdict was last on the disk too late.
    pub(super) last_overdue: Option<Instant>,
}

/// A decided part on its way to the ledger.
struct Decision {
    event: InspectionEvent,
    digests: Digests,
    timings: Timings,
    evidence: Option<PartImages>,
    /// What the gate is told; set when it is known to be the verdict.
    bit: RejectBit,
}

/// What one round has to do.
#[derive(Default)]
struct Round {
    entered: Vec<(PartMeta, Digests)>,
    verdicts: Vec<Decision>,
    late: Vec<Decision>,
    /// Of messages whose parts this round puts on record.
    receipts: Vec<Receipt>,
    product: Option<(Option<diad_core::name::ProductName>, Stamp)>,
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

impl Decision {
    const fn new(event: InspectionEvent, digests: Digests, timings: Timings, evidence: Option<PartImages>) -> Self {
        Self { event, digests, timings, evidence, bit: RejectBit::Reject }
    }
}

/// The marks that an earlier run has decided, and that may be at the gate still: a broker delivers again what that run did
/// not come to acknowledge.
pub(super) fn recall(journal: &mut ResilientLedger, publisher: &Publisher, within: Duration) -> Repeats {
    let mut repeats = Repeats::new(within);
    let at = now();
    for row in journal.recent(within) {
        let event = row.event(at.mono);
        let ago = at.wall.duration_since(row.captured.wall()).unwrap_or_default();
        let first = at.mono.checked_sub(ago);
        // What the gate was told of a part that a kill overtook is not known.
        let overtaken = event.outcome == Outcome::Unjudged(Reason::Shutdown);
        let reject = overtaken || publisher.bit(&event) == RejectBit::Reject;
        if let (Some(part), Some(first)) = (row.part, first) {
            repeats.recall(row.key.series.camera, part, first, reject);
        }
    }
    repeats
}

impl Recording {
    /// Runs until every stage before it has ended, the lane is empty, and what is owed is delivered or its time is
    /// over. Gives the journal back, for what is acknowledged later.
    pub(super) fn run(mut self) -> ResilientLedger {
        let mut book = OpenParts::new();
        let now = Instant::now();
        let mut backlog = Backlog { connection: None, cursor: None, paid_until: now, last_mark: now };
        loop {
            let (words, closed) = self.take(&book, &backlog);
            self.round(&mut book, words, closed);
            self.deliver(&mut backlog);
            self.mark();
            self.journal.purge();
            self.tell_overdue(None, Instant::now());
            self.beat.tick();
            if closed {
                break;
            }
        }
        let give_up = Instant::now() + self.drain;
        while Instant::now() < give_up && (self.journal.owed() > 0 || !self.publisher.is_idle()) {
            std::thread::sleep(RESEND_POLL_INTERVAL);
            self.deliver(&mut backlog);
            self.beat.tick();
        }
        self.journal
    }

    /// Everything that was said, as soon as there is something or something is due.
    fn take(&self, book: &OpenParts, backlog: &Backlog) -> (Vec<Said>, bool) {
        let busy = backlog.cursor.is_some() || self.journal.unmarked() > 0;
        let patience = if busy { RESEND_POLL_INTERVAL } else { RECORD_BEAT_INTERVAL };
        let due = book.next_due().map_or(patience, |due| due.saturating_duration_since(Instant::now()));
        match self.said.take(patience.min(due)) {
            Take::Closed => (Vec::new(), true),
            Take::Idle => (Vec::new(), false),
            Take::Item(first) => {
                let words: Vec<_> =
                    std::iter::once(first).chain(self.said.waiting()).take(MAX_MESSAGES_PER_COMMIT).collect();
                let closed = words.iter().any(|said| matches!(said, Said::End));
                (words, closed)
            }
        }
    }

    /// One round: every word becomes an entry, a verdict or evidence, and all that is on the disk before it goes out. Only
    /// then are the messages acknowledged that it came of. Where the ledger cannot be written, they are acknowledged all the
    /// same: their verdicts are out, the gap will be on record, and a broker that gets no acknowledgement soon sends no more
    /// triggers.
    fn round(&mut self, book: &mut OpenParts, words: Vec<Said>, closed: bool) {
        let at = now();
        if let Some(slept) = self.sleep.look(suspended(), at.mono) {
            warn!(
                slept_ms = slept.as_millis(),
                open = book.open(),
                "the machine was suspended: deadlines went on meanwhile"
            );
            book.advance(slept);
        }
        let mut round = Round::default();
        for said in words {
            self.hear(&mut round, book, said, at);
        }
        let Round { mut entered, mut verdicts, late, receipts, product } = round;
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
            verdicts.extend(expired.into_iter().map(|event| Decision::new(event, digests, Timings::NONE, None)));
        }
        for decision in &mut verdicts {
            self.decide_bit(decision);
        }
        self.repeats.forget(at.mono);
        if self.journal.is_worth_a_try() {
            let digests = self.digests(&self.thresholds.current());
            // Those that were decided just now are on record with this round's commit and no sooner.
            let open = book.parts().chain(verdicts.iter().map(|decision| &decision.event.meta));
            let open: Vec<_> = open.map(|meta| self.entry(meta, &digests)).collect();
            self.void_tickets();
            self.journal.resume(&open);
            self.rescan = true;
        }
        // Who came and went within one round needs no note.
        entered.retain(|(meta, _)| book.is_open(&meta.key));
        let entered: Vec<_> = entered.iter().map(|(meta, digests)| self.entry(meta, digests)).collect();
        if !(entered.is_empty() && verdicts.is_empty() && late.is_empty()) {
            self.keep_and_say(&entered, &verdicts, &late);
            self.keep_pictures(verdicts, late);
        }
        if let Some((product, since)) = product {
            self.journal.keep_product(product, since.wall);
        }
        receipts.into_iter().for_each(Receipt::settle);
        self.account.set_open(book.open() as u64, book.missing(), book.entered());
    }

    /// Takes in one word.
    fn hear(&mut self, round: &mut Round, book: &mut OpenParts, said: Said, at: Stamp) {
        match said {
            Said::End => {}
            Said::Entered { meta, thresholds, late, receipt } => {
                let digests = self.digests(&thresholds);
                let from = if late { at.mono } else { meta.captured.mono };
                book.enter(meta.clone(), self.sleep.due(from, self.deadline));
                self.repeats.enter(&meta);
                round.entered.push((meta, digests));
                round.receipts.extend(receipt);
            }
            Said::Product { product, at, receipt } => {
                round.product = Some((product, at));
                round.receipts.push(receipt);
            }
            Said::Decided { event, thresholds, timings, evidence } => {
                let digests = self.digests(&thresholds);
                let (ruled, event) = match book.close(event, at.mono) {
                    Ruling::Verdict(event) => (&mut round.verdicts, event),
                    Ruling::Late(event) => (&mut round.late, event),
                };
                ruled.push(Decision::new(event, digests, timings, evidence));
            }
        }
    }

    /// What the gate is told of a part: never less than of an earlier part with its mark that may be there still.
    fn decide_bit(&mut self, decision: &mut Decision) {
        let own = self.publisher.bit(&decision.event);
        let ruling = self.repeats.decide(&decision.event.meta, own == RejectBit::Reject);
        decision.event.repeat = ruling.repeat;
        decision.bit = if ruling.reject { RejectBit::Reject } else { RejectBit::Keep };
    }

    /// After the verdicts: nobody waits for pictures. A late result shows why its part was not judged.
    fn keep_pictures(&self, verdicts: Vec<Decision>, late: Vec<Decision>) {
        for Decision { event, .. } in late.iter().filter(|late| is_result(late)) {
            info!(part = %event.meta.key, result = event.verdict_word(), "result came after the verdict of its part");
        }
        let late = late.into_iter().map(|decision| (UNJUDGED, decision));
        for (word, decision) in verdicts.into_iter().map(|d| (d.event.verdict_word(), d)).chain(late) {
            if let Some(evidence) = decision.evidence {
                let InspectionEvent { meta, outcome, .. } = &decision.event;
                let near = matches!(outcome, Outcome::Judged(judgement) if archive::nearly_reviewed(judgement));
                self.archive.keep(&self.journal.context().run, meta, word, near && word != UNJUDGED, evidence);
            }
        }
    }

    /// Writes, then speaks.
    fn keep_and_say(&mut self, entered: &[Entered], verdicts: &[Decision], late: &[Decision]) {
        let rows: Vec<Row> = verdicts.iter().map(|decision| self.row(decision)).collect();
        let late: Vec<Row> = late.iter().filter(|late| is_result(late)).map(|decision| self.row(decision)).collect();
        let kept = self.journal.commit(entered, &rows, &late);
        let recorded = Instant::now();
        let mut overdue = None;
        self.account.late(late.len() as u64);
        for (Decision { event, digests, timings, bit, .. }, kept) in verdicts.iter().zip(kept) {
            let ticket = match kept {
                Kept::Verdict(row) => Some(Ticket(row.number())),
                Kept::Nowhere => {
                    self.account.unrecorded();
                    None
                }
                Kept::Beside => {
                    error!(part = %event.meta.key, "the ledger holds another verdict of this part, which stands");
                    self.account.recorded(event, self.deadline, recorded);
                    continue;
                }
            };
            self.publisher.publish_verdict(ticket, event, digests, *bit);
            let over = self.account.recorded(event, self.deadline, recorded);
            if let Some(over) = over {
                error!(part = %event.meta.key, over_ms = over.as_secs_f64() * 1e3, "verdict on record after its deadline");
            }
            overdue = overdue.max(over);
            (self.listener)(event, timings);
        }
        self.tell_overdue(overdue, recorded);
        self.account.set_owed(self.journal.owed());
    }

    /// Says that verdicts were on record too late, until none was for a while.
    fn tell_overdue(&mut self, overdue: Option<Duration>, now: Instant) {
        if let Some(over) = overdue {
            self.last_overdue = Some(now);
            let (all, over) = (self.account.totals().overdue, over.as_millis());
            let detail = format!(
                "{all} verdicts since the start were on record only after their deadline, the last by {over} ms: the \
                 ledger's disk is too slow"
            );
            self.health.problem(DEADLINE_HEALTH, &detail);
        } else if self.last_overdue.is_some_and(|last| now >= last + IN_TIME) {
            self.last_overdue = None;
            self.health.well(DEADLINE_HEALTH);
        }
    }

    /// Keeps one word of a person: after the verdicts, and one at a time.
    fn mark(&mut self) {
        if let Ok(LabelRequest { key, mark, answer }) = self.marks.try_recv() {
            // Whoever asked may have gone.
            let _ = answer.try_send(self.journal.mark(&key, mark));
        }
    }

    /// What a ledger that was taken away has numbered is not what the next one will number so.
    fn void_tickets(&mut self) {
        if self.journal.take_void() {
            self.publisher.void_tickets();
        }
    }

    /// Marks what the broker has acknowledged, and brings what it has not.
    fn deliver(&mut self, backlog: &mut Backlog) {
        self.void_tickets();
        let Delivery { connection, acknowledged, spilled } = self.publisher.delivery();
        self.journal.acknowledged(acknowledged);
        let news = connection != backlog.connection;
        backlog.connection = connection;
        match connection {
            None if news => {
                backlog.cursor = None;
                self.publisher.set_backlog(true);
            }
            Some(_) if news || spilled || self.rescan => {
                self.rescan = false;
                backlog.cursor = Some(RowId::START);
                self.publisher.set_backlog(true);
            }
            _ => {}
        }
        let now = Instant::now();
        let bringing = backlog.cursor.is_some();
        if self.journal.unmarked() > 0 && (bringing || now >= backlog.last_mark + MARK_AFTER) {
            backlog.last_mark = now;
            self.journal.commit(&[], &[], &[]);
            self.account.set_owed(self.journal.owed());
        }
        if let Some(cursor) = backlog.cursor {
            // What a broken ledger owes is brought once it works again; until then nobody waits for it.
            let goes_on = !self.journal.is_broken();
            backlog.cursor = goes_on.then(|| self.bring(cursor, &mut backlog.paid_until)).flatten();
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
        let from = (*paid_until).max(now.checked_sub(RECORD_BEAT_INTERVAL).unwrap_or(now));
        let earned = now.saturating_duration_since(from).as_secs_f64() * f64::from(MAX_RESENT_PER_S);
        let count = self.publisher.room().min(earned as usize);
        if count == 0 {
            return Some(cursor);
        }
        let (rows, last) = self.journal.owed_after(cursor, u32::try_from(count).unwrap_or(u32::MAX))?;
        *paid_until = from + Duration::from_secs(rows.len() as u64) / MAX_RESENT_PER_S;
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

/// That somebody gave up on a part says nothing once it is decided; what was judged of it does.
const fn is_result(decision: &Decision) -> bool {
    matches!(decision.event.outcome, Outcome::Judged(_))
}

fn origin(digests: &Digests) -> RowProvenance {
    let Digests { model, thresholds, settings } = digests;
    RowProvenance { model: model.to_bytes(), thresholds: thresholds.to_bytes(), settings: settings.to_bytes() }
}

/// What a stored verdict says, byte for byte what it would have said live, apart from `historical`.
pub(crate) fn message(row: &Row, anchor: Instant) -> VerdictMessage {
    let Series { line, station, run, .. } = row.key.series.clone();
    let RowProvenance { model, thresholds, settings } = row.origin;
    let digests = Digests {
        model: Digest::from_bytes(model),
        thresholds: Digest::from_bytes(thresholds),
        settings: Digest::from_bytes(settings),
    };
    let station = wire::Station { line, station, run };
    VerdictMessage::from_event(&station, &row.event(anchor), &digests, row.deadline_ms)
}
