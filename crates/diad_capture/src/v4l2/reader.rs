//! The thread that owns a device, because reading it may block for ever.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use diad_core::frame::Stamp;

use crate::frozen::Marks;
use crate::{Frozen, FrozenWatch, LostError, OpenError};

/// A device as the reader sees it; it never leaves its thread.
pub(super) trait Device {
    /// Waits for the next picture; `None` if there is none for a while. A driver that is broken may never return.
    fn read(&mut self) -> io::Result<Option<Filled>>;
}

/// A picture as the driver gave it.
#[derive(Debug)]
pub(super) struct Filled {
    /// What the driver filled, and no more.
    pub bytes: Arc<[u8]>,
    /// The driver says that some of it is not what the camera saw.
    pub is_damaged: bool,
    /// Pictures between the one before and this that the driver had no buffer for, or threw away.
    pub dropped: u32,
    /// The driver's number of it.
    pub counter: u32,
    /// The driver's time of it, on its own clock: seconds and microseconds.
    pub clock: (i64, i64),
    /// The camera shows an old picture.
    pub frozen: Option<Frozen>,
    /// When the camera began to take it, at the earliest.
    pub stamp: Stamp,
    /// When it came, for telling a stall.
    pub received: Instant,
}

/// The near end of the thread. Holds at most the newest picture. Dropping it lets the thread end after its current
/// read, without waiting for that.
#[derive(Debug)]
pub(super) struct Reader {
    pictures: Receiver<Filled>,
    fault: Receiver<LostError>,
    superseded: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    /// Starts the thread, opens the device on it and waits at most `timeout` for that. `open` also says what it opened.
    /// `watch` looks at every picture, taken or not.
    pub fn start<D: Device, T: Send + 'static>(
        name: String,
        timeout: Duration,
        watch: Option<FrozenWatch>,
        open: impl FnOnce() -> Result<(D, T), OpenError> + Send + 'static,
    ) -> Result<(Self, T), OpenError> {
        let (opened_in, opened) = bounded(1);
        let (fault_in, fault) = bounded(1);
        let (pictures_in, pictures) = bounded(1);
        let (superseded, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let near = Self { pictures, fault, superseded, stop };
        let far = ReaderThread {
            newest: pictures_in,
            evict: near.pictures.clone(),
            superseded: Arc::clone(&near.superseded),
            stop: Arc::clone(&near.stop),
            watch,
        };
        let body = move || match open() {
            Ok((mut device, what)) => {
                // Nobody waits any more: opening took too long. The device closes here.
                if opened_in.send(Ok(what)).is_err() {
                    return;
                }
                if let Err(source) = far.run(&mut device) {
                    let _ = fault_in.send(LostError::Read(source));
                }
                // After the cause is sent, so that the near end finds it; before the device closes, which may take time.
                drop(far);
            }
            Err(error) => {
                let _ = opened_in.send(Err(error));
            }
        };
        // Never joined: it may be stuck in the driver, and then nothing in this process can wake it.
        thread::Builder::new().name(name).spawn(body).map_err(OpenError::Thread)?;
        let what = opened.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => OpenError::Silent(timeout),
            RecvTimeoutError::Disconnected => OpenError::Thread(io::ErrorKind::BrokenPipe.into()),
        })??;
        Ok((near, what))
    }

    /// The newest picture, waiting for one until `deadline`; `None` if there is none.
    pub fn newest(&self, deadline: Instant) -> Result<Option<Filled>, LostError> {
        match self.pictures.recv_deadline(deadline) {
            Ok(picture) => Ok(Some(picture)),
            // A fault waits for the next look, which finds the last picture first.
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.fault.try_recv().unwrap_or(LostError::Reader)),
        }
    }

    /// Pictures that made way for newer ones, here or in the driver, since the last time this was asked.
    pub fn superseded(&self) -> u64 {
        self.superseded.swap(0, Ordering::Relaxed)
    }

    /// Lets the picture that waits make way for none: nobody will take it.
    pub fn abandon(&self) {
        self.superseded.fetch_add(self.pictures.try_iter().count() as u64, Ordering::Relaxed);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct ReaderThread {
    newest: Sender<Filled>,
    evict: Receiver<Filled>,
    superseded: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    watch: Option<FrozenWatch>,
}

impl ReaderThread {
    /// Reads until told to stop, or until the device fails.
    fn run(&self, device: &mut impl Device) -> io::Result<()> {
        if let Some(watch) = &self.watch {
            watch.opened();
        }
        while !self.stop.load(Ordering::Relaxed) {
            let Some(mut picture) = device.read()? else {
                continue;
            };
            // What the driver marks as damaged shows nothing of the camera.
            if let Some(watch) = self.watch.as_ref().filter(|_| !picture.is_damaged) {
                let marks = Marks { bytes: &picture.bytes, counter: picture.counter, clock: picture.clock };
                picture.frozen = watch.look(&marks);
            }
            self.superseded.fetch_add(u64::from(picture.dropped), Ordering::Relaxed);
            while let Err(TrySendError::Full(back)) = self.newest.try_send(picture) {
                if self.evict.try_recv().is_ok() {
                    self.superseded.fetch_add(1, Ordering::Relaxed);
                }
                picture = back;
            }
        }
        Ok(())
    }
}
