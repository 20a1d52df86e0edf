//! A device that runs: agreed on its format, pictures out of its buffers.

use std::io;
use std::time::{Duration, Instant};

use diad_core::frame::Stamp;
use rustix::time::{ClockId, Timespec, clock_gettime};
use v4l::Timestamp;
use v4l::buffer::{Flags, Metadata, Type};
use v4l::format::{Colorspace, FieldOrder, Quantization};
use v4l::io::mmap::Stream as Buffers;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::video::capture::Parameters;

use super::hold::Hold;
use super::reader::{Device, Filled};
use super::{Levels, WireFormat};
use crate::camera::stamp_now;
use crate::{OpenError, Refusal};

/// Buffers asked for; a driver may give fewer or more. One is in our hands, and some drivers start with no fewer than four
/// in theirs.
const DRIVER_BUFFERS: u32 = 6;

/// Buffers that a driver may give (`VIDEO_MAX_FRAME`).
const MOST_BUFFERS: usize = 32;

/// Farther apart two pictures cannot be: a device that gives none for seconds is lost.
const MAX_FRAME_INTERVAL: u32 = 1000;

/// How long one look for a picture may take: so long a reader that was told to stop goes on.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// `POLLIN`, the same on every Linux.
const READABLE: i16 = 1;

/// A device whose stream is running.
pub(super) struct Running {
    buffers: Buffers<'static>,
    /// The driver's number of the last picture.
    last: Option<u32>,
    /// When no picture was ready last: whatever is ready was finished later.
    empty: Instant,
    /// From one picture to the next.
    interval: Duration,
    /// After the buffers: the device is free only once they are given back.
    _hold: Hold,
}

/// What the device and we have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    pub format: WireFormat,
    pub levels: Levels,
    /// From one picture to the next.
    pub interval: Duration,
    /// How the driver took the rate.
    pub rate: Rate,
}

/// How a device takes the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    /// As asked.
    Exact,
    /// So many pictures in so many seconds, which is the rate asked for when rounded.
    Nearly(u32, u32),
    /// The driver has no rate to set.
    Unknown,
}

/// Opens the device in the first of the wanted formats that it takes exactly, and starts it.
pub(super) fn start(
    hold: Hold,
    (width, height): (u32, u32),
    fps: u32,
    format: Option<WireFormat>,
) -> Result<(Running, Agreed), OpenError> {
    let device = v4l::Device::new(hold.number() as usize).map_err(OpenError::Stream)?;
    let mut tried = Vec::new();
    for format in WireFormat::ALL.into_iter().filter(|f| format.is_none_or(|wanted| wanted == *f)) {
        match agree(&device, format, (width, height), fps) {
            Ok(agreed) => return Ok((run(&device, hold, agreed.interval).map_err(OpenError::Stream)?, agreed)),
            Err(Refusal::Driver(error)) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(OpenError::Stream(error));
            }
            Err(refusal) => tried.push((format, refusal)),
        }
    }
    Err(OpenError::Format { width, height, fps, tried })
}

/// Asks for exactly this. A driver takes what is nearest and says so in its answer, which is not trusted to be what was
/// asked for.
fn agree(device: &v4l::Device, format: WireFormat, (width, height): (u32, u32), fps: u32) -> Result<Agreed, Refusal> {
    let asked = v4l::Format::new(width, height, format.four_cc());
    let given = device.set_format(&asked).map_err(Refusal::Driver)?;
    if (given.width, given.height, given.fourcc) != (width, height, asked.fourcc) {
        return Err(Refusal::Size { width: given.width, height: given.height, format: given.fourcc.to_string() });
    }
    if !matches!(given.field_order, FieldOrder::Any | FieldOrder::Progressive) {
        return Err(Refusal::Interlaced);
    }
    // Zero: the driver leaves it open, and compressed formats have no lines.
    if let Some(line) = format.line_bytes(width).filter(|line| given.stride != 0 && u64::from(given.stride) != *line) {
        return Err(Refusal::Padded { line, given: given.stride });
    }
    let rate = match device.set_params(&Parameters::with_fps(fps)) {
        Ok(given) => rate(given.interval.denominator, given.interval.numerator, fps)?,
        Err(error) if NO_RATE.contains(&error.raw_os_error()) => Rate::Unknown,
        Err(error) => return Err(Refusal::Driver(error)),
    };
    let interval = match rate {
        Rate::Nearly(pictures, seconds) => Duration::from_secs(u64::from(seconds)) / pictures.max(1),
        Rate::Exact | Rate::Unknown => Duration::from_secs(1) / fps.max(1),
    };
    let levels = levels(format, given.quantization, given.colorspace);
    Ok(Agreed { format, levels, interval, rate })
}

/// What a driver answers that has no rate to set: `EINVAL` and `ENOTTY`.
const NO_RATE: [Option<i32>; 2] = [Some(22), Some(25)];

/// A rate that is not whole is taken for the next whole ones; a whole one must be what was asked for.
pub(super) fn rate(pictures: u32, seconds: u32, fps: u32) -> Result<Rate, Refusal> {
    if pictures == 0 || seconds == 0 {
        return Ok(Rate::Unknown);
    }
    if u64::from(pictures) == u64::from(seconds) * u64::from(fps) {
        return Ok(Rate::Exact);
    }
    let is_fraction = !pictures.is_multiple_of(seconds);
    if is_fraction && (f64::from(pictures) / f64::from(seconds) - f64::from(fps)).abs() <= 0.5 {
        return Ok(Rate::Nearly(pictures, seconds));
    }
    Err(Refusal::Rate { pictures, seconds })
}

/// The levels that a driver names, or those that it means by the kernel's documentation.
pub(super) fn levels(format: WireFormat, named: Quantization, colours: Colorspace) -> Levels {
    match (named, colours) {
        (Quantization::FullRange, _) | (Quantization::Default, Colorspace::JPEG) => Levels::Full,
        (Quantization::LimitedRange, _) => Levels::Limited,
        (Quantization::Default, _) => format.default_levels(),
    }
}

fn run(device: &v4l::Device, hold: Hold, interval: Duration) -> io::Result<Running> {
    let mut buffers = Buffers::with_buffers(device, Type::VideoCapture, DRIVER_BUFFERS)?;
    // The first stays with us: `next` gives back the buffer it handed out last, and before it has handed out any it takes
    // that to be the first one. Giving back all of them and starting is what `next` would do by itself; but it would wait
    // for the first picture for ever.
    for index in 1..MOST_BUFFERS {
        match CaptureStream::queue(&mut buffers, index) {
            Err(error) if index > 1 && error.kind() == io::ErrorKind::InvalidInput => break,
            other => other?,
        }
    }
    buffers.start()?;
    Ok(Running { buffers, last: None, empty: Instant::now(), interval, _hold: hold })
}

impl Running {
    /// Waits for a picture; waited for here and not in `next`, which cannot go on after a signal or a time-out.
    fn is_ready(&self, patience: Duration) -> io::Result<bool> {
        match self.buffers.handle().poll(READABLE, patience.as_millis() as i32) {
            Ok(ready) => Ok(ready > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Device for Running {
    fn read(&mut self) -> io::Result<Option<Filled>> {
        if !self.is_ready(Duration::ZERO)? {
            self.empty = Instant::now();
            if !self.is_ready(POLL_TIMEOUT)? {
                return Ok(None);
            }
        }
        let (mapped, about) = self.buffers.next()?;
        // Side by side, and before the copy: the driver's time is carried from one clock to the other.
        let (received, clock) = (stamp_now(), clock_gettime(ClockId::Monotonic));
        // Given back without a picture in it: the driver has begun anew, and what it lost is a gap in its count.
        if about.bytesused == 0 && about.flags.contains(Flags::ERROR) {
            return Ok(None);
        }
        let dropped = self.last.map_or(0, |last| between(last, about.sequence));
        self.last = Some(about.sequence);
        let age = age(about, clock, self.interval).unwrap_or_else(|| self.interval.max(received.mono - self.empty));
        Ok(Some(Filled {
            bytes: filled(mapped, about).into(),
            is_damaged: about.flags.contains(Flags::ERROR),
            dropped,
            counter: about.sequence,
            clock: (about.timestamp.sec, about.timestamp.usec),
            frozen: None,
            stamp: back(received, age),
            received: received.mono,
        }))
    }
}

/// How many pictures lie between two by the driver's count, which wraps around. A count that stands still, runs back or
/// leaps is none: not every driver counts.
pub(super) fn between(last: u32, this: u32) -> u32 {
    let apart = this.wrapping_sub(last);
    if apart > MAX_FRAME_INTERVAL { 0 } else { apart.saturating_sub(1) }
}

/// The part of a mapped buffer that the driver filled. What lies behind it is an older picture.
pub(super) fn filled<'m>(mapped: &'m [u8], about: &Metadata) -> &'m [u8] {
    &mapped[..mapped.len().min(about.bytesused as usize)]
}

/// How long ago the camera began to take a picture, at most; `None` if the driver does not say, or says the future. Drivers
/// stamp a picture's start, or its end, which is an interval later.
pub(super) fn age(about: &Metadata, now: Timespec, interval: Duration) -> Option<Duration> {
    if about.flags & Flags::TIMESTAMP_MASK != Flags::TIMESTAMP_MONOTONIC {
        return None;
    }
    let Timestamp { sec, usec } = about.timestamp;
    let then =
        Duration::from_secs(u64::try_from(sec).ok()?).checked_add(Duration::from_micros(u64::try_from(usec).ok()?))?;
    let since = Duration::try_from(now).ok()?.checked_sub(then)?;
    let is_start = about.flags & Flags::TSTAMP_SRC_MASK == Flags::TSTAMP_SRC_SOE;
    Some(since + if is_start { Duration::ZERO } else { interval })
}

/// That long before.
fn back(stamp: Stamp, age: Duration) -> Stamp {
    let earlier = || Some(Stamp { wall: stamp.wall.checked_sub(age)?, mono: stamp.mono.checked_sub(age)? });
    earlier().unwrap_or(stamp)
}
