//! The lane between two stages: bounded, lock-free (`crossbeam-channel`), and nothing leaves it unseen.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded, select_biased};

/// What came out of a lane.
#[derive(Debug, PartialEq, Eq)]
pub enum Take<T> {
    /// The oldest item.
    Item(T),
    /// Nothing came within the time.
    Idle,
    /// The lane is empty and nobody sends any more.
    Closed,
}

/// An item of a lane, or one that came beside it.
#[derive(Debug, PartialEq, Eq)]
pub enum Either<T, U> {
    /// Of the lane.
    Lane(T),
    /// From beside it.
    Beside(U),
}

/// The entrance of a lane; a lane may have several.
#[derive(Debug)]
pub struct LaneSender<T> {
    sender: Sender<T>,
    // A clone of the exit: how the oldest item is taken out when the lane is full.
    oldest: Receiver<T>,
}

/// The exit of a lane.
#[derive(Debug)]
pub struct Exit<T>(Receiver<T>);

/// A lane for at most `capacity` items (at least 1).
pub fn lane<T>(capacity: usize) -> (LaneSender<T>, Exit<T>) {
    let (sender, receiver) = bounded(capacity.max(1));
    (LaneSender { sender, oldest: receiver.clone() }, Exit(receiver))
}

impl<T> Clone for LaneSender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), oldest: self.oldest.clone() }
    }
}

impl<T> LaneSender<T> {
    /// Puts an item in without waiting. In a full lane the oldest item makes room and goes to `evicted`, whose
    /// duty is to account for it; where several senders race for one place, more than one may leave.
    pub fn offer(&self, item: T, mut evicted: impl FnMut(T)) {
        let mut item = item;
        // An entrance holds an exit, so a lane with an entrance is never disconnected.
        while let Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) = self.sender.try_send(item) {
            item = back;
            if let Ok(oldest) = self.oldest.try_recv() {
                evicted(oldest);
            }
        }
    }

    /// Puts an item in, waiting for room at most `patience`.
    ///
    /// # Errors
    /// The item itself, if the lane stayed full.
    pub fn send(&self, item: T, patience: Duration) -> Result<(), T> {
        self.sender.send_timeout(item, patience).map_err(SendTimeoutError::into_inner)
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.sender.len()
    }
}

impl<T> Exit<T> {
    /// Items that are there already, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = T> {
        self.0.try_iter()
    }

    /// Takes the oldest item, waiting for one at most `patience`.
    pub fn take(&self, patience: Duration) -> Take<T> {
        match self.0.recv_timeout(patience) {
            Ok(item) => Take::Item(item),
            Err(RecvTimeoutError::Timeout) => Take::Idle,
            Err(RecvTimeoutError::Disconnected) => Take::Closed,
        }
    }

    /// Takes the oldest item or, only where none waits, one from `beside`; waits for either at most `patience`. `beside`
    /// must stay connected.
    pub fn take_or<U>(&self, beside: &Receiver<U>, patience: Duration) -> Take<Either<T, U>> {
        select_biased! {
            recv(self.0) -> item => item.map_or(Take::Closed, |item| Take::Item(Either::Lane(item))),
            recv(beside) -> item => item.map_or(Take::Idle, |item| Take::Item(Either::Beside(item))),
            default(patience) => Take::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn offer_into_a_full_lane_gives_the_oldest_to_the_account() {
        let (entrance, exit) = lane(2);
        let mut left = Vec::new();
        for item in 1..=5 {
            entrance.offer(item, |old| left.push(old));
        }
        assert_eq!(left, [1, 2, 3]);
        assert_eq!((exit.take(AT_ONCE), exit.take(AT_ONCE)), (Take::Item(4), Take::Item(5)));
        assert_eq!(exit.take(AT_ONCE), Take::Idle);
    }

    #[test]
    fn take_from_a_lane_without_senders_drains_it_and_then_closes() {
        let (entrance, exit) = lane(2);
        entrance.offer(1, |_| unreachable!("there is room"));
        drop(entrance);
        assert_eq!((exit.take(AT_ONCE), exit.take(AT_ONCE)), (Take::Item(1), Take::Closed));
    }

    #[test]
    fn take_or_prefers_the_lane_and_closes_with_it() {
        let (entrance, exit) = lane(2);
        let (beside, others) = bounded(2);
        beside.send('a').unwrap();
        entrance.offer(1, |_| unreachable!("there is room"));
        let next = || exit.take_or(&others, AT_ONCE);
        assert_eq!(next(), Take::Item(Either::Lane(1)));
        assert_eq!((next(), next()), (Take::Item(Either::Beside('a')), Take::Idle));
        drop(entrance);
        beside.send('b').unwrap();
        assert_eq!(next(), Take::Closed);
    }

    #[test]
    fn send_into_a_full_lane_gives_the_item_back() {
        let (entrance, _exit) = lane(1);
        assert_eq!(entrance.send(1, AT_ONCE), Ok(()));
        assert_eq!(entrance.send(2, AT_ONCE), Err(2));
    }

    /// Several senders on a tiny lane with a slow exit: every item is either taken or evicted, none twice, none lost.
    #[test]
    fn offer_from_many_threads_accounts_for_every_item() {
        const SENDERS: u64 = 4;
        const ITEMS: u64 = 20_000;
        let (entrance, exit) = lane::<u64>(3);
        let (evicted, sum) = (AtomicU64::new(0), AtomicU64::new(0));
        let count = |item: u64| {
            evicted.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(item, Ordering::Relaxed);
        };
        let taken = std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (entrance, count) = (entrance.clone(), &count);
                scope.spawn(move || (0..ITEMS).for_each(|i| entrance.offer(sender * ITEMS + i, count)));
            }
            drop(entrance);
            let mut taken = 0;
            loop {
                match exit.take(Duration::from_secs(10)) {
                    Take::Item(item) => {
                        taken += 1;
                        sum.fetch_add(item, Ordering::Relaxed);
                    }
                    Take::Idle => unreachable!("senders are still there"),
                    Take::Closed => return taken,
                }
            }
        });
        let total = SENDERS * ITEMS;
        assert_eq!(taken + evicted.load(Ordering::Relaxed), total);
        assert_eq!(sum.load(Ordering::Relaxed), total * (total - 1) / 2);
    }
}
