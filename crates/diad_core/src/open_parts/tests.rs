//! Who decides, checked over every order in which things can happen to a few parts, and at random over many.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::event::{Judgement, Outcome};
use crate::frame::Roi;
use crate::judge::{Thresholds, Verdict};
use crate::score::Score;

/// A clock that only the test moves.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn at(self, tick: u64) -> Stamp {
        let since = Duration::from_millis(tick);
        Stamp { wall: SystemTime::UNIX_EPOCH + since, mono: self.0 + since }
    }
}

fn meta(seq: u64, captured: Stamp) -> PartMeta {
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
    PartMeta { key, part: None, product: None, source: None, captured }
}

fn pass(meta: PartMeta, at: Stamp) -> InspectionEvent {
    let score = |value| Score::try_new(value).unwrap();
    let thresholds = Thresholds::try_new(score(0.3), score(0.4), 0).unwrap();
    let region = Roi { x: 0, y: 0, width: 1, height: 1 };
    let judgement = Judgement { verdict: Verdict::Pass, score: score(0.1), thresholds, region };
    InspectionEvent::judged(meta, judgement, at)
}

/// Time from capture to deadline, in ticks.
const DEADLINE: u64 = 3;

/// What can happen to one part. Its steps happen in this order; those of other parts, and time, come in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Enter(u64),
    Result(u64),
    SecondResult(u64),
    Tick,
    Expire,
}

/// One history of a book, and everything it said.
struct History {
    clock: Clock,
    tick: u64,
    book: OpenParts,
    entered: BTreeMap<u64, u64>,
    verdicts: BTreeMap<u64, Vec<InspectionEvent>>,
    results: BTreeMap<u64, Vec<u64>>,
}

impl History {
    fn new() -> Self {
        Self {
            clock: Clock(Instant::now()),
            tick: 0,
            book: OpenParts::new(),
            entered: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            results: BTreeMap::new(),
        }
    }

    fn decided(&mut self, event: InspectionEvent) {
        self.verdicts.entry(event.meta.key.seq).or_default().push(event);
    }

    fn apply(&mut self, step: Step) {
        let now = self.clock.at(self.tick);
        match step {
            Step::Tick => self.tick += 1,
            Step::Enter(seq) => {
                self.entered.insert(seq, self.tick);
                self.book.enter(meta(seq, now), self.clock.at(self.tick + DEADLINE).mono);
            }
            Step::Result(seq) | Step::SecondResult(seq) => {
                self.results.entry(seq).or_default().push(self.tick);
                let captured = self.clock.at(self.entered[&seq]);
                if let Ruling::Verdict(event) = self.book.close(pass(meta(seq, captured), now), now.mono) {
                    self.decided(event);
                }
            }
            Step::Expire => {
                for event in self.book.expire(now) {
                    self.decided(event);
                }
            }
        }
    }

    /// The promise, for a history that is over.
    fn check(mut self) {
        let end = self.clock.at(self.tick);
        for event in self.book.finish(end) {
            self.decided(event);
        }
        assert_eq!(self.book.open(), 0);
        assert_eq!(self.book.next_due(), None);
        assert_eq!(self.book.entered(), self.entered.len() as u64);
        assert_eq!(self.verdicts.keys().collect::<Vec<_>>(), self.entered.keys().collect::<Vec<_>>());
        for (seq, events) in &self.verdicts {
            assert_eq!(events.len(), 1, "part {seq} has {} verdicts", events.len());
            let due = self.entered[seq] + DEADLINE;
            let first = self.results.get(seq).and_then(|at| at.first());
            match &events[0].outcome {
                Outcome::Judged(_) => {
                    assert!(first.is_some_and(|at| *at <= due), "part {seq} judged without a result in time");
                }
                Outcome::Unjudged(Reason::Deadline) => {
                    assert!(first.is_none_or(|at| *at > due), "part {seq} expired over a result in time");
                    assert!(self.tick > due, "part {seq} expired early");
                }
                Outcome::Unjudged(reason) => {
                    assert_eq!(*reason, Reason::Shutdown);
                    assert!(first.is_none_or(|at| *at > due), "part {seq} given up over a result in time");
                }
            }
        }
    }
}

/// Every order in which the steps of several lists can happen, each list in its own order.
fn interleavings(lists: &mut [Vec<Step>], so_far: &mut Vec<Step>, visit: &mut impl FnMut(&[Step])) {
    let mut over = true;
    for at in 0..lists.len() {
        let Some(step) = lists[at].pop() else { continue };
        over = false;
        so_far.push(step);
        interleavings(lists, so_far, visit);
        so_far.pop();
        lists[at].push(step);
    }
    if over {
        visit(so_far);
    }
}

/// Two parts, two results each, and time: every order of the keeper's looks and the stages' words.
#[test]
fn every_interleaving_gives_each_part_one_verdict() {
    let part = |seq| vec![Step::SecondResult(seq), Step::Result(seq), Step::Enter(seq)];
    let time = vec![Step::Expire, Step::Tick, Step::Tick, Step::Tick, Step::Tick];
    // Time is one list: a look after each tick would only be one more of the orders that the lists give anyway.
    let mut lists = [part(1), part(2), time, vec![Step::Expire]];
    let mut histories = 0_u64;
    interleavings(&mut lists, &mut Vec::new(), &mut |steps| {
        let mut history = History::new();
        steps.iter().for_each(|step| history.apply(*step));
        history.check();
        histories += 1;
    });
    // 12! / (3! 3! 5! 1!)
    assert_eq!(histories, 110_880);
}

fn step() -> impl Strategy<Value = (u8, u64)> {
    (0..4_u8, 1..12_u64)
}

proptest! {
    /// Many parts, many results, any order: exactly one verdict each, and no judgement without a result in time.
    #[test]
    fn any_history_gives_each_part_one_verdict(steps in proptest::collection::vec(step(), 0..200)) {
        let mut history = History::new();
        for (kind, seq) in steps {
            let known = history.entered.contains_key(&seq);
            history.apply(match (kind, known) {
                (0, false) => Step::Enter(seq),
                (1, true) => Step::Result(seq),
                (2, _) => Step::Expire,
                _ => Step::Tick,
            });
            prop_assert_eq!(history.book.open() as u64 + history.verdicts.len() as u64, history.book.entered());
        }
        history.check();
    }
}

#[test]
fn a_result_at_the_deadline_counts_and_one_after_it_is_late() {
    let clock = Clock(Instant::now());
    for (tick, counts) in [(DEADLINE, true), (DEADLINE + 1, false)] {
        let mut book = OpenParts::new();
        book.enter(meta(1, clock.at(0)), clock.at(DEADLINE).mono);
        let now = clock.at(tick);
        let ruling = book.close(pass(meta(1, clock.at(0)), now), now.mono);
        assert_eq!(matches!(ruling, Ruling::Verdict(_)), counts);
        assert_eq!(book.expire(now).len(), usize::from(!counts));
    }
}

#[test]
fn expire_goes_by_deadline_and_next_due_says_when() {
    let clock = Clock(Instant::now());
    let mut book = OpenParts::new();
    for (seq, due) in [(1, 5), (2, 3), (3, 9)] {
        book.enter(meta(seq, clock.at(0)), clock.at(due).mono);
    }
    assert_eq!(book.next_due(), Some(clock.at(3).mono));
    let expired: Vec<u64> = book.expire(clock.at(6)).iter().map(|event| event.meta.key.seq).collect();
    assert_eq!(expired, [2, 1]);
    assert!(book.is_open(&meta(3, clock.at(0)).key));
    assert_eq!(book.next_due(), Some(clock.at(9).mono));
}

#[test]
fn a_number_that_never_entered_is_missing() {
    let clock = Clock(Instant::now());
    let mut book = OpenParts::new();
    book.enter(meta(1, clock.at(0)), clock.at(1).mono);
    book.enter(meta(3, clock.at(0)), clock.at(1).mono);
    assert_eq!(book.missing(), 1);
    book.enter(meta(2, clock.at(0)), clock.at(1).mono);
    assert_eq!((book.missing(), book.entered(), book.open()), (0, 3, 3));
}

#[test]
fn a_result_of_a_part_that_never_entered_is_no_verdict() {
    let clock = Clock(Instant::now());
    let now = clock.at(0);
    assert!(matches!(OpenParts::new().close(pass(meta(1, now), now), now.mono), Ruling::Late(_)));
}

#[test]
fn advance_expires_what_was_due_while_the_clock_stood_still() {
    let clock = Clock(Instant::now());
    let mut book = OpenParts::new();
    book.enter(meta(1, clock.at(0)), clock.at(10).mono);
    book.enter(meta(2, clock.at(8)), clock.at(18).mono);
    book.advance(Duration::from_millis(5));
    assert_eq!(book.next_due(), Some(clock.at(5).mono));
    let ruling = book.close(pass(meta(1, clock.at(0)), clock.at(9)), clock.at(9).mono);
    assert!(matches!(ruling, Ruling::Late(_)), "{ruling:?}");
    let expired = book.expire(clock.at(9));
    assert_eq!(expired.iter().map(|event| event.meta.key.seq).collect::<Vec<_>>(), [1]);
    let ruling = book.close(pass(meta(2, clock.at(8)), clock.at(9)), clock.at(9).mono);
    assert!(matches!(ruling, Ruling::Verdict(_)), "{ruling:?}");
}
