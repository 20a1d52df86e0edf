//! Pixel buffers that are used again: in steady state a picture costs no allocation.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

/// A bounded store of empty pixel buffers. Clones share the store.
#[derive(Debug, Clone)]
pub struct BufferPool {
    home: Sender<Vec<u8>>,
    idle: Receiver<Vec<u8>>,
    allocations: Arc<AtomicU64>,
}

impl BufferPool {
    /// A pool that keeps at most `buffers` idle buffers (at least one). Size it by the pictures that can be on the
    /// line at once. An empty pool allocates rather than blocks, and what does not fit when it comes home is freed.
    #[must_use]
    pub fn new(buffers: usize) -> Self {
        let (home, idle) = bounded(buffers.max(1));
        Self { home, idle, allocations: Arc::default() }
    }

    /// How often a buffer was allocated or had to grow. Stands still in steady state.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.allocations.load(Ordering::Relaxed)
    }

    /// A buffer of `bytes` bytes with arbitrary content, to be overwritten whole.
    pub(crate) fn take(&self, bytes: usize) -> PooledPixels {
        let mut buffer = self.idle.try_recv().unwrap_or_default();
        if buffer.capacity() < bytes {
            self.allocations.fetch_add(1, Ordering::Relaxed);
            // A fresh zeroed buffer is cheaper than growing one, which would copy bytes nobody wants.
            buffer = vec![0; bytes];
        }
        buffer.resize(bytes, 0);
        PooledPixels { bytes: buffer, home: Some(self.home.clone()) }
    }
}

/// The bytes of a picture; the buffer goes home to its pool on drop.
pub struct PooledPixels {
    bytes: Vec<u8>,
    home: Option<Sender<Vec<u8>>>,
}

impl PooledPixels {
    /// The bytes, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl From<Vec<u8>> for PooledPixels {
    /// Bytes that belong to no pool.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, home: None }
    }
}

impl Deref for PooledPixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for PooledPixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PooledPixels({} bytes)", self.bytes.len())
    }
}

impl Drop for PooledPixels {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            // A full pool is the bound doing its work: the buffer is freed.
            let _ = home.try_send(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_after_a_buffer_came_home_allocates_nothing() {
        let pool = BufferPool::new(2);
        for _ in 0..10 {
            assert_eq!(pool.take(100).len(), 100);
        }
        assert_eq!(pool.take(40).len(), 40);
        assert_eq!(pool.allocations(), 1);
    }

    #[test]
    fn take_from_an_empty_pool_allocates_and_never_blocks() {
        let pool = BufferPool::new(2);
        let held: Vec<_> = (0..5).map(|_| pool.take(8)).collect();
        assert_eq!(pool.allocations(), 5);
        drop(held);
        assert_eq!(pool.idle.len(), 2, "what does not fit is freed");
    }

    #[test]
    fn take_of_more_than_a_buffer_holds_grows_it_and_counts() {
        let pool = BufferPool::new(1);
        drop(pool.take(10));
        assert_eq!(pool.take(20).len(), 20);
        assert_eq!(pool.allocations(), 2);
    }

    #[test]
    fn pixels_outlive_their_pool() {
        let pool = BufferPool::new(1);
        let pixels = pool.take(3);
        drop(pool);
        assert_eq!(pixels.len(), 3);
    }
}
