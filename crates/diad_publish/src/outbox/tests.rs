use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn outbox(capacity: usize) -> Outbox<u32> {
    Outbox::new(NonZeroUsize::new(capacity).unwrap())
}

fn dispatched(outbox: &mut Outbox<u32>) -> Option<(Lane, u32)> {
    outbox.dispatch().map(|d| (d.lane, *d.item))
}

#[test]
fn dispatch_after_an_outage_sends_live_before_stored() {
    let mut outbox = outbox(10);
    outbox.offer(None, 1);
    outbox.offer(None, 2);
    assert_eq!(dispatched(&mut outbox), None);
    outbox.connect();
    outbox.offer(None, 3);
    assert_eq!(dispatched(&mut outbox), Some((Lane::Live, 3)));
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 1)));
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 2)));
    assert_eq!(dispatched(&mut outbox), None);
}

#[test]
fn disconnect_puts_everything_unacknowledged_back_in_order() {
    let mut outbox = outbox(10);
    for item in 1..=3 {
        outbox.offer(None, item);
    }
    outbox.connect();
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 1)));
    outbox.offer(None, 4);
    outbox.offer(None, 5);
    assert_eq!(dispatched(&mut outbox), Some((Lane::Live, 4)));
    outbox.disconnect();
    outbox.connect();
    let again: Vec<_> = std::iter::from_fn(|| dispatched(&mut outbox)).collect();
    assert_eq!(again, [1, 2, 3, 4, 5].map(|item| (Lane::Stored, item)));
}

#[test]
fn acknowledge_takes_a_message_once() {
    let mut outbox = outbox(10);
    outbox.connect();
    outbox.offer(None, 1);
    let id = outbox.dispatch().unwrap().id;
    assert_eq!(outbox.acknowledge(id, SystemTime::UNIX_EPOCH), Some(1));
    assert_eq!(outbox.acknowledge(id, SystemTime::UNIX_EPOCH), None);
    assert!(outbox.is_empty());
}

#[test]
fn offer_to_a_full_outbox_returns_the_oldest_that_waits() {
    let mut outbox = outbox(2);
    assert_eq!(outbox.offer(None, 1), None);
    assert_eq!(outbox.offer(None, 2), None);
    assert_eq!(outbox.offer(None, 3), Some(1));
    outbox.connect();
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 2)));
    assert_eq!(outbox.offer(None, 4), None, "2 is in flight, the broker may have it");
    assert_eq!(outbox.offer(None, 5), Some(3));
    assert_eq!(dispatched(&mut outbox), Some((Lane::Live, 4)));
    assert_eq!((outbox.queued(), outbox.in_flight()), (1, 2));
}

#[test]
fn messages_with_a_ticket_are_forgotten_with_the_connection_and_brought_again_over_the_next() {
    let mut outbox = outbox(10);
    assert_eq!(outbox.offer(Some(Ticket(1)), 1), None);
    assert!(outbox.is_empty(), "there is no connection, and the record has it");
    outbox.connect();
    outbox.offer(Some(Ticket(2)), 2);
    outbox.offer(None, 3);
    assert_eq!(dispatched(&mut outbox), Some((Lane::Live, 2)));
    assert!(!outbox.bring(Ticket(2), 2), "it is in flight");
    outbox.disconnect();
    assert_eq!((outbox.len(), outbox.unrecorded()), (1, 1));
    assert!(!outbox.bring(Ticket(1), 1), "there is no connection");
    outbox.set_backlog(true);
    outbox.connect();
    outbox.offer(Some(Ticket(4)), 4);
    assert_eq!(dispatched(&mut outbox), Some((Lane::Live, 4)));
    assert_eq!(dispatched(&mut outbox), None, "3 waits for the older ones");
    assert!(outbox.bring(Ticket(1), 1) && outbox.bring(Ticket(2), 2));
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 1)));
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 2)));
    outbox.set_backlog(false);
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 3)));
}

#[test]
fn messages_whose_record_is_gone_stay_and_their_tickets_name_new_ones() {
    let mut outbox = outbox(10);
    outbox.connect();
    for item in 1..=3 {
        outbox.offer(Some(Ticket(item)), item as u32);
    }
    let first = outbox.dispatch().map(|d| d.id).unwrap();
    let second = outbox.dispatch().map(|d| d.id).unwrap();
    outbox.acknowledge(first, SystemTime::UNIX_EPOCH);
    assert!(outbox.bring(Ticket(9), 9));
    outbox.void_tickets();
    assert_eq!((outbox.take_acknowledged(), outbox.unrecorded(), outbox.len()), (vec![], 3, 3));
    // The new record counts from 1 again: none of its messages is taken for one that is here.
    assert!(outbox.bring(Ticket(2), 22));
    outbox.acknowledge(second, SystemTime::UNIX_EPOCH);
    assert_eq!(outbox.take_acknowledged(), []);
    outbox.disconnect();
    outbox.connect();
    let left: Vec<_> = std::iter::from_fn(|| dispatched(&mut outbox)).map(|(_, item)| item).collect();
    assert_eq!(left, [9, 3]);
}

#[test]
fn an_acknowledged_ticket_is_held_until_it_is_taken() {
    let mut outbox = outbox(10);
    outbox.connect();
    outbox.offer(Some(Ticket(7)), 7);
    let id = outbox.dispatch().unwrap().id;
    assert_eq!(outbox.acknowledge(id, SystemTime::UNIX_EPOCH), Some(7));
    assert!(!outbox.bring(Ticket(7), 7));
    outbox.disconnect();
    outbox.connect();
    assert!(!outbox.bring(Ticket(7), 7), "the record does not know yet that it is acknowledged");
    assert_eq!(outbox.take_acknowledged(), [(Ticket(7), SystemTime::UNIX_EPOCH)]);
    assert_eq!(outbox.take_acknowledged(), []);
    assert!(outbox.bring(Ticket(7), 7));
}

#[test]
fn a_full_outbox_rather_forgets_what_the_record_has() {
    let mut outbox = outbox(2);
    outbox.offer(None, 1);
    outbox.connect();
    outbox.offer(Some(Ticket(2)), 2);
    assert_eq!(outbox.offer(None, 3), None);
    assert!(outbox.take_spilled() && !outbox.take_spilled());
    assert_eq!(outbox.room(), 0);
    assert_eq!(outbox.offer(None, 4), Some(1), "now one is lost, the oldest that waits");
}

#[test]
fn what_is_brought_keeps_to_its_room() {
    let mut outbox = outbox(10_000);
    outbox.connect();
    let taken = (0..1000).filter(|n| outbox.bring(Ticket(*n), 0)).count();
    assert_eq!((taken, outbox.room()), (ROOM, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Offer,
    OfferUnrecorded,
    Dispatch,
    Acknowledge(usize),
    /// The record marks what was acknowledged and brings what it still owes.
    Look,
    Connect,
    Disconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        prop_oneof![
            4 => Just(Step::Offer),
            2 => Just(Step::OfferUnrecorded),
            6 => Just(Step::Dispatch),
            4 => any::<usize>().prop_map(Step::Acknowledge),
            2 => Just(Step::Look),
            1 => Just(Step::Connect),
            1 => Just(Step::Disconnect),
        ],
        0..300,
    )
}

/// What an observer beside the outbox knows, and the record behind it.
#[derive(Default)]
struct Observer {
    next: u32,
    connected: bool,
    in_flight: Vec<(MessageId, u32)>,
    acknowledged: BTreeSet<u32>,
    dropped: BTreeSet<u32>,
    /// Recorded messages that are not marked as acknowledged, and where the record's look has come to.
    owed: BTreeSet<u32>,
    cursor: u32,
    offered_over_this_connection: BTreeSet<u32>,
    last_live: Option<u32>,
    last_brought: Option<u32>,
    last_kept: Option<u32>,
}

impl Observer {
    fn offer(&mut self, ticket: Option<Ticket>, outbox: &mut Outbox<u32>) -> Result<(), TestCaseError> {
        if let Some(old) = outbox.offer(ticket, self.next) {
            prop_assert!(self.dropped.insert(old), "{old} dropped twice");
            prop_assert!(!self.acknowledged.contains(&old), "{old} dropped after its acknowledgement");
        }
        if self.connected {
            self.offered_over_this_connection.insert(self.next);
        }
        self.next += 1;
        Ok(())
    }

    fn apply(&mut self, step: &Step, outbox: &mut Outbox<u32>) -> Result<(), TestCaseError> {
        match step {
            Step::Offer => {
                self.owed.insert(self.next);
                self.offer(Some(Ticket(self.next.into())), outbox)?;
            }
            Step::OfferUnrecorded => self.offer(None, outbox)?,
            Step::Dispatch => self.dispatch(outbox)?,
            Step::Acknowledge(at) => {
                if !self.in_flight.is_empty() {
                    let (id, item) = self.in_flight.remove(at % self.in_flight.len());
                    prop_assert_eq!(outbox.acknowledge(id, SystemTime::UNIX_EPOCH), Some(item));
                    prop_assert!(self.acknowledged.insert(item), "{} acknowledged twice", item);
                    prop_assert_eq!(outbox.acknowledge(id, SystemTime::UNIX_EPOCH), None);
                }
            }
            Step::Look => self.look(outbox),
            Step::Connect => {
                if !self.connected {
                    outbox.connect();
                    self.connected = true;
                    self.cursor = 0;
                    // One in flight may have been pushed out: it comes again.
                    (self.last_live, self.last_brought, self.last_kept) = (None, None, None);
                }
            }
            Step::Disconnect => {
                outbox.disconnect();
                outbox.set_backlog(true);
                self.connected = false;
                self.in_flight.clear();
                self.offered_over_this_connection.clear();
            }
        }
        Ok(())
    }

    /// As the record stage does it: mark, then bring page by page.
    fn look(&mut self, outbox: &mut Outbox<u32>) {
        for (Ticket(ticket), _) in outbox.take_acknowledged() {
            self.owed.remove(&u32::try_from(ticket).unwrap());
        }
        if !self.connected {
            return;
        }
        if outbox.take_spilled() {
            self.cursor = 0;
        }
        let page: Vec<u32> = self.owed.range(self.cursor..).copied().take(outbox.room()).collect();
        outbox.set_backlog(!page.is_empty());
        for item in page {
            outbox.bring(Ticket(item.into()), item);
            self.cursor = item + 1;
        }
    }

    fn dispatch(&mut self, outbox: &mut Outbox<u32>) -> Result<(), TestCaseError> {
        let (live_waits, stored_waits) = (!outbox.live.is_empty(), !outbox.stored.is_empty());
        let Some(Dispatch { id, lane, item }) = outbox.dispatch() else { return Ok(()) };
        prop_assert!(self.connected);
        prop_assert!(!self.acknowledged.contains(item), "{} sent after its acknowledgement", item);
        let last = match lane {
            Lane::Live => {
                prop_assert!(self.offered_over_this_connection.contains(item));
                &mut self.last_live
            }
            Lane::Stored => {
                prop_assert!(!live_waits, "stored {} before a live one", item);
                if stored_waits { &mut self.last_brought } else { &mut self.last_kept }
            }
        };
        prop_assert!(*last < Some(*item), "{:?} then {} in one queue", last, item);
        *last = Some(*item);
        self.in_flight.push((id, *item));
        Ok(())
    }
}

proptest! {
    /// Whatever happens: everything recorded is acknowledged in the end, of the rest only what the bound pushes out is
    /// not, nothing is acknowledged twice, and each queue keeps its order over one connection.
    #[test]
    fn outbox_loses_nothing_and_keeps_order(steps in steps(), capacity in prop_oneof![2..12_usize, Just(1000)]) {
        let mut outbox = outbox(capacity);
        let mut observer = Observer::default();
        let mut most_in_flight = 0;
        for step in &steps {
            observer.apply(step, &mut outbox)?;
            // What was in flight when a connection ended waits again.
            most_in_flight = most_in_flight.max(outbox.in_flight());
            prop_assert!(outbox.queued() <= capacity + most_in_flight);
            prop_assert_eq!(outbox.in_flight(), observer.in_flight.len());
            prop_assert!(outbox.unrecorded() <= outbox.len());
        }
        observer.apply(&Step::Disconnect, &mut outbox)?;
        observer.apply(&Step::Connect, &mut outbox)?;
        for _ in 0..10 * observer.next + 10 {
            observer.apply(&Step::Look, &mut outbox)?;
            observer.apply(&Step::Dispatch, &mut outbox)?;
            observer.apply(&Step::Acknowledge(0), &mut outbox)?;
        }
        observer.apply(&Step::Look, &mut outbox)?;
        prop_assert!(outbox.is_empty() && observer.owed.is_empty(), "{} left, {:?} owed", outbox.len(), observer.owed);
        let accounted: BTreeSet<u32> = observer.acknowledged.union(&observer.dropped).copied().collect();
        prop_assert_eq!(accounted, (0..observer.next).collect::<BTreeSet<_>>());
        prop_assert!(observer.acknowledged.is_disjoint(&observer.dropped));
    }
}

/// Verdicts of the caller's record that a broker drops are owed, tried one at a time, and brought again once it delivers.
#[test]
fn lose_makes_a_message_owed_again() {
    let mut outbox = outbox(10);
    outbox.connect();
    outbox.set_flow(Flow::Narrow);
    outbox.set_backlog(true);
    for item in [1, 2] {
        assert_eq!(outbox.offer(Some(Ticket(item.into())), item), None);
    }
    assert_eq!(outbox.offer(None, 3), None);
    let sent: Vec<_> = std::iter::from_fn(|| outbox.dispatch().map(|d| (d.id, *d.item))).collect();
    assert_eq!(sent.len(), 3, "live ones go out whatever the flow");
    for (id, _) in &sent {
        outbox.lose(*id);
        outbox.lose(*id);
    }
    assert_eq!((outbox.in_flight(), outbox.queued(), outbox.unrecorded()), (0, 1, 1));
    assert!(outbox.take_acknowledged().is_empty());
    assert!(!outbox.take_spilled(), "the caller has older ones to bring");

    assert_eq!(outbox.room(), 1);
    assert!(outbox.bring(Ticket(1), 1) && !outbox.bring(Ticket(2), 2));
    let again = outbox.dispatch().map(|d| (d.id, d.lane)).unwrap();
    assert_eq!((again.1, outbox.room(), outbox.dispatch().is_none()), (Lane::Stored, 0, true), "one at a time");
    outbox.lose(again.0);
    outbox.set_backlog(false);
    assert!(outbox.take_spilled() && !outbox.take_spilled(), "once all others were brought");
    let kept = outbox.dispatch().map(|d| (d.id, *d.item)).unwrap();
    assert_eq!(kept.1, 3);
    assert!(outbox.acknowledge(kept.0, SystemTime::UNIX_EPOCH).is_some());

    outbox.set_flow(Flow::Shut);
    assert_eq!((outbox.room(), outbox.dispatch().is_none()), (0, true));
    assert!(!outbox.bring(Ticket(1), 1));
    outbox.set_flow(Flow::Narrow);
    assert!(outbox.bring(Ticket(1), 1));
    let last = outbox.dispatch().unwrap().id;
    outbox.lose(last);
    outbox.set_flow(Flow::Wide);
    assert!(outbox.take_spilled() && outbox.room() > 1);
}
