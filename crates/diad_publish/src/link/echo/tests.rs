use std::num::NonZeroUsize;

use super::*;
use crate::outbox::{Outbox, Ticket};

/// Identifiers as an outbox gives them.
fn ids(count: i64) -> Vec<MessageId> {
    let mut outbox = Outbox::new(NonZeroUsize::new(100).unwrap());
    outbox.connect();
    (0..count).for_each(|number| assert!(outbox.offer(Some(Ticket(number)), ()).is_none()));
    std::iter::from_fn(|| outbox.dispatch().map(|dispatch| dispatch.id)).collect()
}

/// A connection whose clock the test moves.
struct Bench {
    echo: Echo,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self { echo: Echo::new(now), now }
    }

    /// The thread runs for so long, and the broker sends something all the while.
    fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 50 {
            self.now += Duration::from_millis(50);
            self.echo.look(self.now);
            self.echo.note_activity();
        }
    }
}

#[test]
fn verdict_is_delivered_when_it_is_acknowledged_and_has_come_back() {
    let ids = ids(2);
    let mut echo = Bench::new().echo;
    let first = echo.sent(Own::Verdict, b"first", Some(ids[0]));
    assert_eq!(echo.acknowledged(first), None, "it has not come back");
    assert_eq!(echo.came(Own::Reject, b"first"), None, "another topic");
    assert_eq!(echo.came(Own::Verdict, b"first"), Some(ids[0]));
    assert_eq!(echo.came(Own::Verdict, b"first"), None, "once");
    let second = echo.sent(Own::Verdict, b"second", Some(ids[1]));
    assert_eq!(echo.came(Own::Verdict, b"second"), None, "it is not acknowledged");
    assert_eq!(echo.acknowledged(second), Some(ids[1]));
    assert_eq!(echo.came(Own::Verdict, b"of another station"), None);
}

#[test]
fn verdict_that_does_not_come_back_is_given_up_and_its_topic_is_silent() {
    let ids = ids(2);
    let mut bench = Bench::new();
    let id = bench.echo.sent(Own::Verdict, b"1234", Some(ids[0]));
    bench.run(2 * PATIENCE);
    assert!(bench.echo.overdue().is_empty(), "a broker that does not acknowledge is another matter");
    bench.echo.acknowledged(id);
    bench.run(PATIENCE);
    assert!(bench.echo.overdue().is_empty() && bench.echo.silent().is_empty());
    bench.run(Duration::from_millis(100));
    assert_eq!(bench.echo.overdue(), [ids[0]]);
    assert_eq!(bench.echo.silent(), [Silent { own: Own::Verdict, missing: 1, shortest: 4 }]);
    assert!(!bench.echo.verdicts_are_well());

    let id = bench.echo.sent(Own::Verdict, b"123", Some(ids[1]));
    bench.echo.acknowledged(id);
    assert_eq!(bench.echo.came(Own::Verdict, b"123"), Some(ids[1]));
    bench.echo.overdue();
    assert_eq!(bench.echo.silent().len(), 1, "a short one came back: the long one may not yet");
    bench.run(REMEMBERED);
    bench.echo.overdue();
    assert!(bench.echo.silent().is_empty() && bench.echo.verdicts_are_well());
}

#[test]
fn nothing_is_overdue_while_the_process_or_the_broker_stands_still() {
    let ids = ids(1);
    let mut bench = Bench::new();
    let id = bench.echo.sent(Own::Verdict, b"1", Some(ids[0]));
    bench.echo.acknowledged(id);
    bench.now += Duration::from_secs(60);
    bench.echo.look(bench.now);
    assert!(bench.echo.overdue().is_empty(), "the process was stopped");
    for _ in 0..200 {
        bench.now += Duration::from_millis(50);
        bench.echo.look(bench.now);
    }
    assert!(bench.echo.overdue().is_empty(), "nothing at all came from the broker");
    bench.echo.note_activity();
    assert_eq!(bench.echo.overdue(), [ids[0]]);
}

#[test]
fn single_heartbeats_may_be_missing() {
    let mut bench = Bench::new();
    for beat in 0..HEARTBEATS_MISSING {
        bench.echo.overdue();
        assert!(bench.echo.silent().is_empty(), "after {beat}");
        bench.echo.sent(Own::Heartbeat, &beat.to_le_bytes(), None);
        bench.run(PATIENCE + Duration::from_millis(100));
    }
    bench.echo.overdue();
    assert_eq!(bench.echo.silent(), [Silent { own: Own::Heartbeat, missing: 3, shortest: 8 }]);
}

#[test]
fn broker_stopped_at_the_longest_it_left_open_if_that_is_longer_than_all_it_took() {
    let mut echo = Bench::new().echo;
    let state = echo.sent(Own::State, &[0; 120], None);
    assert_eq!(echo.stopped_at(), Some((Own::State, 120)));
    echo.acknowledged(state);
    echo.sent(Own::Reject, &[0; 90], None);
    assert_eq!(echo.stopped_at(), None);
    echo.sent(Own::Verdict, &[0; 500], None);
    assert_eq!((echo.stopped_at(), echo.longest_acknowledged()), (Some((Own::Verdict, 500)), 120));
}

#[test]
fn broker_that_has_acknowledged_nothing_for_long_did_not_stop_at_a_length() {
    let mut bench = Bench::new();
    bench.echo.sent(Own::Reject, &[0; 90], None);
    bench.run(Duration::from_millis(400));
    bench.echo.sent(Own::Verdict, &[0; 500], None);
    assert_eq!(bench.echo.stopped_at(), None);

    let mut slow = Bench::new();
    let state = slow.echo.sent(Own::State, &[0; 120], None);
    slow.run(Duration::from_millis(300));
    slow.echo.acknowledged(state);
    slow.echo.sent(Own::Verdict, &[0; 500], None);
    slow.run(Duration::from_millis(400));
    assert_eq!(slow.echo.stopped_at(), Some((Own::Verdict, 500)), "a slow network");
}
