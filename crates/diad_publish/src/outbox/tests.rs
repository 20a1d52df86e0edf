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
    outbox.offer(1);
    outbox.offer(2);
    assert_eq!(dispatched(&mut outbox), None);
    outbox.connect();
    outbox.offer(3);
    assert_eq!(dispatched(&mut outbox), Some((Lane::Live, 3)));
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 1)));
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 2)));
    assert_eq!(dispatched(&mut outbox), None);
}

#[test]
fn disconnect_puts_everything_unacknowledged_back_in_order() {
    let mut outbox = outbox(10);
    for item in 1..=3 {
        outbox.offer(item);
    }
    outbox.connect();
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 1)));
    outbox.offer(4);
    outbox.offer(5);
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
    outbox.offer(1);
    let id = outbox.dispatch().unwrap().id;
    assert_eq!(outbox.acknowledge(id), Some(1));
    assert_eq!(outbox.acknowledge(id), None);
    assert!(outbox.is_empty());
}

#[test]
fn offer_to_a_full_outbox_returns_the_oldest_that_waits() {
    let mut outbox = outbox(2);
    assert_eq!(outbox.offer(1), None);
    assert_eq!(outbox.offer(2), None);
    assert_eq!(outbox.offer(3), Some(1));
    outbox.connect();
    assert_eq!(dispatched(&mut outbox), Some((Lane::Stored, 2)));
    assert_eq!(outbox.offer(4), Some(3), "2 is in flight, the broker may have it");
    assert_eq!(dispatched(&mut outbox), Some((Lane::Live, 4)));
    assert_eq!(outbox.offer(5), Some(2), "nothing waits");
    assert_eq!(outbox.len(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    Offer,
    Dispatch,
    Acknowledge(usize),
    Connect,
    Disconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        prop_oneof![
            4 => Just(Step::Offer),
            4 => Just(Step::Dispatch),
            3 => any::<usize>().prop_map(Step::Acknowledge),
            1 => Just(Step::Connect),
            1 => Just(Step::Disconnect),
        ],
        0..300,
    )
}

/// What an observer beside the outbox knows.
#[derive(Default)]
struct Observer {
    next: u32,
    connected: bool,
    in_flight: Vec<(MessageId, u32)>,
    acknowledged: BTreeSet<u32>,
    evicted: BTreeSet<u32>,
    offered_over_this_connection: BTreeSet<u32>,
    last_live: Option<u32>,
    last_stored: Option<u32>,
}

impl Observer {
    fn apply(&mut self, step: &Step, outbox: &mut Outbox<u32>) -> Result<(), TestCaseError> {
        match step {
            Step::Offer => {
                if let Some(old) = outbox.offer(self.next) {
                    prop_assert!(self.evicted.insert(old), "{old} evicted twice");
                    prop_assert!(!self.acknowledged.contains(&old), "{old} evicted after its acknowledgement");
                    self.in_flight.retain(|(_, item)| *item != old);
                }
                if self.connected {
                    self.offered_over_this_connection.insert(self.next);
                }
                self.next += 1;
            }
            Step::Dispatch => self.dispatch(outbox)?,
            Step::Acknowledge(at) => {
                if !self.in_flight.is_empty() {
                    let (id, item) = self.in_flight.remove(at % self.in_flight.len());
                    prop_assert_eq!(outbox.acknowledge(id), Some(item));
                    prop_assert!(self.acknowledged.insert(item), "{} acknowledged twice", item);
                    prop_assert_eq!(outbox.acknowledge(id), None);
                }
            }
            Step::Connect => {
                if !self.connected {
                    outbox.connect();
                    self.connected = true;
                    (self.last_live, self.last_stored) = (None, None);
                }
            }
            Step::Disconnect => {
                outbox.disconnect();
                self.connected = false;
                self.in_flight.clear();
                self.offered_over_this_connection.clear();
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, outbox: &mut Outbox<u32>) -> Result<(), TestCaseError> {
        let live_waits = !outbox.live.is_empty();
        let Some(Dispatch { id, lane, item }) = outbox.dispatch() else {
            prop_assert!(!self.connected || outbox.queued() == 0);
            return Ok(());
        };
        prop_assert!(self.connected);
        prop_assert!(!self.acknowledged.contains(item), "{} sent after its acknowledgement", item);
        let last = match lane {
            Lane::Live => &mut self.last_live,
            Lane::Stored => {
                prop_assert!(!live_waits, "stored {} before a live one", item);
                &mut self.last_stored
            }
        };
        prop_assert_eq!(lane == Lane::Live, self.offered_over_this_connection.contains(item));
        prop_assert!(*last < Some(*item), "{:?} then {} in one lane", last, item);
        *last = Some(*item);
        self.in_flight.push((id, *item));
        Ok(())
    }
}

proptest! {
    /// Whatever happens: nothing is lost but what the bound evicts, nothing is acknowledged twice, and each lane
    /// keeps its order over one connection.
    #[test]
    fn outbox_loses_nothing_and_keeps_order(steps in steps(), capacity in prop_oneof![1..12_usize, Just(1000)]) {
        let mut outbox = outbox(capacity);
        let mut observer = Observer::default();
        for step in &steps {
            observer.apply(step, &mut outbox)?;
            prop_assert!(outbox.len() <= capacity);
            prop_assert_eq!(outbox.in_flight(), observer.in_flight.len());
        }
        observer.apply(&Step::Disconnect, &mut outbox)?;
        observer.apply(&Step::Connect, &mut outbox)?;
        while outbox.queued() > 0 {
            observer.apply(&Step::Dispatch, &mut outbox)?;
        }
        while !outbox.is_empty() {
            observer.apply(&Step::Acknowledge(0), &mut outbox)?;
        }
        let accounted: BTreeSet<u32> = observer.acknowledged.union(&observer.evicted).copied().collect();
        prop_assert_eq!(accounted, (0..observer.next).collect::<BTreeSet<_>>());
        prop_assert!(observer.acknowledged.is_disjoint(&observer.evicted));
    }
}
