//! One reader at a time for each device.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

static HELD: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
static RELEASED: Condvar = Condvar::new();

/// The right to touch a device; given back on drop.
#[derive(Debug)]
pub(super) struct Hold {
    number: u32,
}

impl Hold {
    /// Waits at most `timeout` until nobody else in this process holds the device.
    pub fn acquire(number: u32, timeout: Duration) -> Option<Self> {
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut held, _) = RELEASED
            .wait_timeout_while(held, timeout, |held| held.contains(&number))
            .unwrap_or_else(PoisonError::into_inner);
        // Lazily: a `Hold` made and dropped here would wait for the lock that is held.
        held.insert(number).then(|| Self { number })
    }

    /// The device: `N` of `/dev/videoN`.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        RELEASED.notify_all();
    }
}
