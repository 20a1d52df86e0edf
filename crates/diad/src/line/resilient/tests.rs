use std::collections::BTreeMap;

use diad_core::event::{InspectionEvent, Outcome, Reason};
use diad_core::frame::{PartKey, PartMeta, Stamp};
use diad_core::name::{CameraId, ProductName};
use diad_core::open_parts::{OpenParts, Ruling};
use diad_ledger::{Gap, Reader, RowProvenance, Timings};
use proptest::prelude::*;

use super::*;
use crate::testing;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        Self { folder }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("state/ledger.sqlite3")
    }

    fn open(&self) -> ResilientLedger {
        self.open_under(testing::health())
    }

    fn open_under(&self, health: Health) -> ResilientLedger {
        let (line, station) = (LineName::try_new("L1").unwrap(), StationName::try_new("S1").unwrap());
        let (ledger, context) = open(&self.path(), &line, &station, 200).unwrap();
        ResilientLedger::new(ledger, context, Duration::from_secs(60), health).unwrap()
    }

    fn lock(&self) -> std::path::PathBuf {
        self.folder.path().join("state/ledger.sqlite3.lock")
    }

    /// Lets nothing be written into the ledger, and nobody open it, until [`mend`](Self::mend).
    fn break_writing(&self) {
        std::fs::rename(self.lock(), self.folder.path().join("lock")).unwrap();
        std::fs::create_dir(self.lock()).unwrap();
    }

    fn mend(&self) {
        std::fs::remove_dir(self.lock()).unwrap();
        std::fs::rename(self.folder.path().join("lock"), self.lock()).unwrap();
    }

    /// Takes the ledger away, and lets a new one be made.
    fn take_away(&self) {
        std::fs::rename(self.folder.path().join("state"), self.folder.path().join("aside")).unwrap();
        std::fs::create_dir(self.folder.path().join("state")).unwrap();
    }
}

fn row(journal: &ResilientLedger, seq: u64) -> Row {
    let at = Stamp { wall: SystemTime::now(), mono: Instant::now() };
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
    let meta = PartMeta { key, part: None, product: None, source: None, captured: at };
    let event = InspectionEvent::unjudged(meta, Reason::Deadline, at);
    let origin = RowProvenance { model: [1; 32], thresholds: [2; 32], settings: [3; 32] };
    Row::of_event(journal.context(), &event, origin, Timings::NONE)
}

fn entry(row: &Row) -> Entered {
    let Row { key, part, product, captured, deadline_ms, origin, .. } = row.clone();
    Entered { key, part, product, captured, deadline_ms, origin }
}

/// The process ends while the ledger cannot be written, with and without a last word.
#[test]
fn a_verdict_without_a_record_stays_the_only_one_over_a_stop_and_a_kill() {
    for stopped in [true, false] {
        let place = Place::new();
        let health = testing::health();
        let mut journal = place.open_under(health.clone());
        let rows: Vec<_> = (1..=4).map(|seq| row(&journal, seq)).collect();
        let entries: Vec<_> = rows.iter().map(entry).collect();
        assert_eq!(journal.commit(&entries[..2], &[], &[]), []);
        place.break_writing();
        assert_eq!(journal.commit(&entries[2..3], &[], &[]), []);
        assert_eq!(journal.commit(&[], &rows[1..2], &[]), [Kept::Nowhere]);
        assert_eq!(journal.commit(&[], &rows[3..], &[]), [Kept::Nowhere]);
        if stopped {
            assert_eq!(journal.settle(&testing::publisher()), 0);
        }
        drop(journal);
        place.mend();

        let mut journal = place.open_under(health.clone());
        let (owed, _) = journal.owed_after(RowId::START, 10).unwrap();
        let owed: Vec<_> = owed.into_iter().map(|(_, row)| (row.key.seq, row.outcome)).collect();
        // Without the slip part 2 would be said a second time, and differently.
        assert_eq!(owed, [(1, Outcome::Unjudged(Reason::Shutdown))]);
        let gaps = Reader::open(&place.path()).unwrap().gaps().unwrap();
        let (to, parts) = if stopped { (4, 2) } else { (2, 1) };
        assert_eq!(gaps.iter().map(|gap| (gap.from, gap.to, gap.parts)).collect::<Vec<_>>(), [(2, to, parts)]);
    }
}

/// The file is away, a try to go on fails, the process is killed: what the file holds as entered is owed a word still.
#[test]
fn a_part_of_a_file_that_comes_back_after_a_kill_is_not_forgotten() {
    let place = Place::new();
    let mut journal = place.open();
    let rows: Vec<_> = (1..=2).map(|seq| row(&journal, seq)).collect();
    let entries: Vec<_> = rows.iter().map(entry).collect();
    journal.commit(&entries[..1], &[], &[]);
    place.break_writing();
    journal.commit(&entries[1..], &[], &[]);
    journal.resume(&entries);
    assert!(journal.is_broken());
    drop(journal);
    place.mend();
    let (owed, _) = place.open().owed_after(RowId::START, 10).unwrap();
    let owed: Vec<_> = owed.into_iter().map(|(_, row)| (row.key.seq, row.outcome)).collect();
    assert_eq!(owed, [(1, Outcome::Unjudged(Reason::Shutdown))]);
}

/// The ledger's folder is taken away and put back at a later start, when another file has taken its place.
#[test]
fn a_file_that_comes_back_says_nothing_of_parts_that_were_decided_without_it() {
    let place = Place::new();
    let mut journal = place.open();
    let row = row(&journal, 1);
    journal.commit(&[entry(&row)], &[], &[]);
    place.take_away();
    journal.commit(&[], &[], std::slice::from_ref(&row));
    assert!(journal.is_broken());
    journal.resume(&[entry(&row)]);
    assert!(matches!(journal.commit(&[], &[row], &[])[..], [Kept::Verdict(_)]));
    drop(journal);
    std::fs::remove_dir_all(place.folder.path().join("state")).unwrap();
    std::fs::rename(place.folder.path().join("aside"), place.folder.path().join("state")).unwrap();
    assert!(place.open().owed_after(RowId::START, 10).unwrap().0.is_empty());
}

#[test]
fn a_verdict_without_a_record_stays_the_verdict_whatever_comes_late() {
    let place = Place::new();
    let mut journal = place.open();
    let first = row(&journal, 1);
    assert!(matches!(journal.commit(&[], &[first], &[])[..], [Kept::Verdict(_)]));
    place.take_away();
    let second = row(&journal, 2);
    assert_eq!(journal.commit(&[], std::slice::from_ref(&second), &[]), [Kept::Nowhere]);
    assert!(journal.is_broken() && !journal.is_worth_a_try());
    // A late result while nothing can be written is nobody's verdict, and no part that is missed.
    assert_eq!(journal.commit(&[], &[], std::slice::from_ref(&second)), []);
    journal.resume(&[]);
    assert!(!journal.is_broken());

    let late = Row { latency: Duration::from_secs(9), ..second };
    assert_eq!(journal.commit(&[], &[], &[late]), []);
    assert_eq!(journal.owed(), 0, "a late result is never sent");
    drop(journal);
    let reader = Reader::open(&place.path()).unwrap();
    let gaps: Vec<_> = reader.gaps().unwrap().iter().map(|gap| (gap.from, gap.to, gap.parts)).collect();
    assert_eq!(gaps, [(2, 2, 1), (1, 1, 1)], "the one missed, and the one in the other file");
    assert_eq!(reader.stats().unwrap().parts, 0);
}

#[test]
fn what_is_owed_is_read_in_order_without_what_waits_to_be_marked() {
    let place = Place::new();
    let mut journal = place.open();
    let rows: Vec<_> = (1..=3).map(|seq| row(&journal, seq)).collect();
    let kept = journal.commit(&[], &rows, &[]);
    let ids: Vec<RowId> =
        kept.iter().filter_map(|kept| if let Kept::Verdict(id) = kept { Some(*id) } else { None }).collect();
    journal.acknowledged(vec![(Ticket(ids[1].number()), SystemTime::now())]);
    let (owed, last) = journal.owed_after(RowId::START, 10).unwrap();
    assert_eq!(owed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    assert_eq!((last, journal.owed()), (ids[2], 3));
    journal.commit(&[], &[], &[]);
    assert_eq!((journal.owed(), journal.unmarked()), (2, 0));
    assert!(journal.owed_after(last, 10).unwrap().0.is_empty());
}

#[test]
fn product_of_the_last_part_is_known_to_the_next_run() {
    let place = Place::new();
    let health = testing::health();
    let mut journal = place.open_under(health.clone());
    assert_eq!(*journal.product(), InForce::Unnamed);
    let product = |name| ProductName::try_new(name).ok();
    // In the order of recording; one of another station that shares the ledger comes last.
    let mut rows: Vec<_> = (1..=3).map(|seq| row(&journal, seq)).collect();
    for (row, name) in rows.iter_mut().zip(["gear", "washer", "cap"]) {
        row.product = product(name);
    }
    rows[2].key.series.station = StationName::try_new("S2").unwrap();
    journal.commit(&[], &rows, &[]);
    drop(journal);
    let mut journal = place.open_under(health.clone());
    assert_eq!(journal.product().product(), product("washer").as_ref());
    // A part that was not judged because its product was not known: it still is not.
    let mut unclear = row(&journal, 1);
    (unclear.product, unclear.outcome) = (None, Outcome::Unjudged(Reason::Product));
    journal.commit(&[], &[unclear], &[]);
    drop(journal);
    assert!(matches!(place.open_under(health).product(), InForce::Unclear(_)));
}

#[test]
fn acknowledgements_of_a_file_that_was_taken_away_mark_nothing_in_the_next_one() {
    let place = Place::new();
    let mut journal = place.open();
    let first = row(&journal, 1);
    let [Kept::Verdict(id)] = journal.commit(&[], &[first], &[])[..] else { panic!("not kept") };
    journal.acknowledged(vec![(Ticket(id.number()), SystemTime::now())]);
    assert!(!journal.take_void());
    place.take_away();
    journal.commit(&[], &[], &[]);
    assert!(journal.take_void() && !journal.take_void());
    assert_eq!((journal.unmarked(), journal.owed()), (0, 0));
    journal.resume(&[]);
    let second = row(&journal, 2);
    assert_eq!(journal.commit(&[], &[second], &[]), [Kept::Verdict(id)], "the new file counts anew");
    journal.commit(&[], &[], &[]);
    assert_eq!((journal.owed(), journal.owed_after(RowId::START, 10).unwrap().0.len()), (1, 1));
}

/// A page in the middle of the backlog is lost while the ledger is open.
#[test]
fn damaged_page_in_the_backlog_is_told_and_leaves_the_writer_alone() {
    use std::os::unix::fs::FileExt;

    const PAGE: usize = 4096;
    let place = Place::new();
    let health = testing::health();
    let mut journal = place.open_under(health.clone());
    let mut rows: Vec<_> = (1..=2000).map(|seq| row(&journal, seq)).collect();
    rows[300].part = diad_core::name::PartId::try_new("HERE-IT-IS").ok();
    journal.commit(&[], &rows, &[]);
    drop(journal);
    // Opening looks at the newest rows only.
    let mut journal = place.open_under(health.clone());
    let bytes = std::fs::read(place.path()).unwrap();
    let at = bytes.windows(10).position(|window| window == b"HERE-IT-IS").unwrap() / PAGE * PAGE;
    let file = std::fs::OpenOptions::new().write(true).open(place.path()).unwrap();
    file.write_all_at(&[0xa5; PAGE], at as u64).unwrap();

    let mut after = RowId::START;
    let stuck = loop {
        match journal.owed_after(after, 100) {
            Some((_, last)) if last == after => break false,
            Some((_, last)) => after = last,
            None => break true,
        }
    };
    let told = |health: &Health| health.look().1.iter().any(|(source, ..)| *source == BACKLOG_HEALTH);
    assert!(stuck && told(&health), "{:?}", health.look());
    assert!(!journal.is_broken());
    let next = row(&journal, 1);
    assert!(matches!(journal.commit(&[], &[next], &[])[..], [Kept::Verdict(_)]));

    // Back as it was, the next look to the end finds it well.
    file.write_all_at(&bytes[at..at + PAGE], at as u64).unwrap();
    drop(journal);
    let mut journal = place.open_under(health.clone());
    let mut after = RowId::START;
    while let Some((_, last)) = journal.owed_after(after, 500)
        && last != after
    {
        after = last;
    }
    assert!(!told(&health));
}

/// A sync that does not come back, and then does.
#[test]
fn a_disk_that_hangs_costs_the_record_and_no_verdict() {
    let place = Place::new();
    let health = testing::health();
    let mut journal = place.open_under(health.clone());
    let rows: Vec<_> = (1..=4).map(|seq| row(&journal, seq)).collect();
    assert!(matches!(journal.commit(&[entry(&rows[1])], &rows[..1], &[])[..], [Kept::Verdict(_)]));
    let (comes_back, sync) = crossbeam_channel::bounded::<()>(0);
    let hung = journal.vault.with("sync", move |_| {
        let _ = sync.recv();
        Ok(())
    });
    assert!(matches!(hung, Err(LedgerError::Hangs { begun: true, .. })));
    assert_eq!(journal.commit(&[], &rows[1..2], &[]), [Kept::Nowhere]);
    assert_eq!(journal.commit(&[], &rows[2..3], &[]), [Kept::Nowhere]);
    assert_eq!(journal.mark(&rows[0].key, None), Err(MarkError::Broken));
    journal.resume(&[]);
    assert!(journal.is_broken());
    assert_eq!(health.faults().1, [LEDGER_HEALTH, FALLBACK_HEALTH]);

    drop(comes_back);
    while journal.is_broken() {
        journal.resume(&[]);
        std::thread::yield_now();
    }
    assert!(health.faults().1.is_empty());
    assert!(matches!(journal.commit(&[], &rows[3..], &[])[..], [Kept::Verdict(_)]));
    let (owed, _) = journal.owed_after(RowId::START, 10).unwrap();
    assert_eq!(owed.iter().map(|(_, row)| row.key.seq).collect::<Vec<_>>(), [1, 4]);
    drop(journal);
    let gaps = Reader::open(&place.path()).unwrap().gaps().unwrap();
    assert_eq!(gaps.iter().map(|gap| (gap.from, gap.to, gap.parts)).collect::<Vec<_>>(), [(2, 3, 2)]);
}

/// What can happen to a line and its ledger, as the record stage meets it.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A part enters.
    Enter,
    /// An open part gets a result, or one that is decided gets another.
    Result(u64),
    /// Every open part has passed its deadline.
    Expire,
    /// What happened since the last commit is committed, and said.
    Round,
    /// The ledger cannot be written any more.
    Break,
    /// It can be written again, and that is noticed.
    Mend,
    /// It is tried again, whether it can be written or not.
    Resume,
    /// The process is killed: before its verdicts are written, or between that and saying them.
    Kill { written: bool },
    /// The process is asked to stop.
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Enter),
        3 => (0..12_u64).prop_map(Step::Result),
        1 => Just(Step::Expire),
        6 => Just(Step::Round),
        2 => Just(Step::Break),
        1 => Just(Step::Mend),
        1 => Just(Step::Resume),
        1 => any::<bool>().prop_map(|written| Step::Kill { written }),
        1 => Just(Step::Stop),
    ]
}

/// A line over one real ledger, and everything that the plant has heard.
struct Life {
    place: Place,
    health: Health,
    journal: Option<ResilientLedger>,
    broken: bool,
    book: OpenParts,
    /// Parts of this process.
    parts: u64,
    entered: Vec<PartMeta>,
    verdicts: Vec<InspectionEvent>,
    late: Vec<InspectionEvent>,
    /// Every verdict that was heard, also twice.
    heard: BTreeMap<Key, Vec<Outcome>>,
    /// Every part that was on record as entered at some time.
    noted: BTreeSet<Key>,
}

impl Life {
    fn new(health: &Health) -> Self {
        let place = Place::new();
        let journal = Some(place.open_under(health.clone()));
        let health = health.clone();
        let (book, heard, noted) = (OpenParts::new(), BTreeMap::new(), BTreeSet::new());
        let (entered, verdicts, late) = (Vec::new(), Vec::new(), Vec::new());
        Self { place, health, journal, broken: false, book, parts: 0, entered, verdicts, late, heard, noted }
    }

    fn journal(&mut self) -> &mut ResilientLedger {
        self.journal.as_mut().unwrap()
    }

    fn row(&self, event: &InspectionEvent) -> Row {
        let origin = RowProvenance { model: [1; 32], thresholds: [2; 32], settings: [3; 32] };
        Row::of_event(self.journal.as_ref().unwrap().context(), event, origin, Timings::NONE)
    }

    fn entry(&self, meta: &PartMeta) -> Entered {
        entry(&self.row(&InspectionEvent::unjudged(meta.clone(), Reason::Shutdown, meta.captured)))
    }

    fn apply(&mut self, step: Step) {
        let at = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        match step {
            Step::Enter => {
                self.parts += 1;
                let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq: self.parts };
                let meta = PartMeta { key, part: None, product: None, source: None, captured: at };
                self.book.enter(meta.clone(), at.mono + Duration::from_secs(3600));
                self.entered.push(meta);
            }
            Step::Result(number) if self.parts > 0 => {
                let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq: number % self.parts + 1 };
                let meta = PartMeta { key, part: None, product: None, source: None, captured: at };
                match self.book.close(InspectionEvent::unjudged(meta, Reason::Engine, at), at.mono) {
                    Ruling::Verdict(event) => self.verdicts.push(event),
                    Ruling::Late(event) => self.late.push(event),
                }
            }
            Step::Result(_) => {}
            Step::Expire => {
                let mono = at.mono + Duration::from_secs(7200);
                self.verdicts.extend(self.book.expire(Stamp { mono, ..at }));
            }
            Step::Round => self.round(true),
            Step::Break if !self.broken => {
                self.place.break_writing();
                self.broken = true;
            }
            Step::Break => {}
            Step::Mend => {
                self.mend();
                self.resume();
            }
            Step::Resume => self.resume(),
            Step::Kill { written } => {
                if written {
                    self.round(false);
                }
                self.restart();
            }
            Step::Stop => {
                let left = self.book.finish(at);
                self.verdicts.extend(left);
                self.round(true);
                let _ = self.journal().settle(&testing::publisher());
                self.restart();
            }
        }
    }

    /// As the record stage does it.
    fn round(&mut self, said: bool) {
        let entered: Vec<_> = self.entered.drain(..).filter(|meta| self.book.is_open(&meta.key)).collect();
        let entered: Vec<_> = entered.iter().map(|meta| self.entry(meta)).collect();
        let rows: Vec<_> = self.verdicts.iter().map(|event| self.row(event)).collect();
        let late: Vec<_> = self.late.iter().map(|event| self.row(event)).collect();
        self.verdicts.clear();
        self.late.clear();
        let kept = self.journal().commit(&entered, &rows, &late);
        if !self.journal().is_broken() {
            self.noted.extend(entered.into_iter().map(|part| part.key));
        }
        for (row, kept) in rows.into_iter().zip(kept) {
            if said && kept != Kept::Beside {
                self.heard.entry(row.key).or_default().push(row.outcome);
            }
        }
    }

    fn mend(&mut self) {
        if std::mem::take(&mut self.broken) {
            self.place.mend();
        }
    }

    fn resume(&mut self) {
        if self.journal().is_broken() {
            let decided = self.verdicts.iter().map(|event| &event.meta);
            let open: Vec<_> = self.book.parts().chain(decided).map(|meta| self.entry(meta)).collect();
            self.journal().resume(&open);
            if !self.journal().is_broken() {
                self.noted.extend(open.into_iter().map(|part| part.key));
            }
        }
    }

    /// The next process, on a ledger that can be used; it says what is owed.
    fn restart(&mut self) {
        self.journal = None;
        self.mend();
        let mut journal = self.place.open_under(self.health.clone());
        for (_, row) in journal.owed_after(RowId::START, 10_000).unwrap().0 {
            self.heard.entry(row.key).or_default().push(row.outcome);
        }
        self.journal = Some(journal);
        self.book = OpenParts::new();
        self.parts = 0;
        self.entered.clear();
        self.verdicts.clear();
        self.late.clear();
    }

    fn check(mut self) {
        self.apply(Step::Stop);
        for (key, outcomes) in &self.heard {
            assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{key} was said as {outcomes:?}");
        }
        let reader = Reader::open(&self.place.path()).unwrap();
        assert!(reader.verify().unwrap().is_sound());
        let gaps = reader.gaps().unwrap();
        let in_gap = |key: &Key, gap: &Gap| gap.series == key.series && (gap.from..=gap.to).contains(&key.seq);
        for key in &self.noted {
            let lost = !self.heard.contains_key(key) && !gaps.iter().any(|gap| in_gap(key, gap));
            assert!(!lost, "{key} entered, and there is no word of it");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Outages, kills and stops in any order: no part is ever said in two ways, and none that was on record as entered is
    /// without a verdict or a gap that names it.
    #[test]
    fn no_history_of_outages_and_ends_gives_a_part_two_verdicts(steps in proptest::collection::vec(step(), 0..60)) {
        let mut life = Life::new(&testing::health());
        steps.into_iter().for_each(|step| life.apply(step));
        life.check();
    }
}
