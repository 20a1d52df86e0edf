//! Which devices there are and what they offer, as nokhwa tells it; and one of them opened.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nokhwa::utils::{CameraFormat, CameraIndex, RequestedFormat, RequestedFormatType};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::video::Capture;

use super::hold::Hold;
use super::path::{device_number, video_number};
use super::reader::{Device, Filled, Reader};
use super::stream::Agreed;
use super::{V4l2Settings, WireFormat, stream};
use crate::{FrozenWatch, OpenError};

/// How long a driver may take to open a device.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a device may stay with a reader that has been told to stop: it ends with its next look for a picture.
const HOLD_TIMEOUT: Duration = Duration::from_secs(2);

/// A size and rate that a device offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceFormat {
    /// Format on the wire.
    pub format: WireFormat,
    /// Width, in pixels.
    pub width: u32,
    /// Height, in pixels.
    pub height: u32,
    /// Pictures a second, rounded; 0 where the driver lists none.
    pub fps: u32,
}

/// A video device of this machine.
#[derive(Debug)]
pub struct DeviceInfo {
    /// Where it is: `/dev/videoN`.
    pub path: PathBuf,
    /// What the driver calls it; the path if it has no name.
    pub name: String,
    /// What it offers, in order; or why that cannot be said. One camera often has a second device for metadata, which
    /// offers nothing.
    pub formats: Result<Vec<DeviceFormat>, OpenError>,
}

/// The video devices of this machine, by number; none is an empty list. Asking an idle device for its formats leaves it
/// in one of them.
#[must_use]
pub fn list_devices() -> Vec<DeviceInfo> {
    devices_in(Path::new("/dev"), Path::new("/sys/class/video4linux"))
}

/// [`list_devices`] with the two folders it looks into.
pub(super) fn devices_in(dev: &Path, sys: &Path) -> Vec<DeviceInfo> {
    // A machine without the folder has no devices.
    let entries = std::fs::read_dir(dev).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> =
        entries.filter_map(|entry| Some((video_number(&entry.path())?, entry.path()))).collect();
    found.sort();
    let describe = |(number, path): (u32, PathBuf)| {
        let name = std::fs::read_to_string(sys.join(format!("video{number}/name")));
        let name = name.map_or_else(|_| path.display().to_string(), |name| name.trim().to_owned());
        DeviceInfo { formats: formats(&path), path, name }
    };
    found.into_iter().map(describe).collect()
}

fn formats(path: &Path) -> Result<Vec<DeviceFormat>, OpenError> {
    let number = device_number(path)?;
    let hold = Hold::acquire(number, HOLD_TIMEOUT).ok_or(OpenError::Held)?;
    let ask = move || {
        let _hold = hold;
        let listed = listed(number);
        let known: Vec<_> = WireFormat::ALL.into_iter().filter_map(WireFormat::to_nokhwa).collect();
        let any = RequestedFormat::with_formats(RequestedFormatType::None, &known);
        let formats = nokhwa::Camera::new(CameraIndex::Index(number), any)
            .and_then(|mut camera| camera.compatible_camera_formats())
            .map_err(OpenError::Formats);
        // nokhwa fails where the device offers, or was left in, a format that it does not know.
        let formats = if listed.is_empty() { formats? } else { formats.unwrap_or_default() };
        Ok((OnlyAsked, (formats, listed)))
    };
    let (_, (formats, listed)) = Reader::start(format!("formats-video{number}"), OPEN_TIMEOUT, None, ask)?;
    let known = |offer: &CameraFormat| {
        let format = WireFormat::from_nokhwa(offer.format())?;
        Some(DeviceFormat { format, width: offer.width(), height: offer.height(), fps: offer.frame_rate() })
    };
    let mut formats: Vec<DeviceFormat> = formats.iter().filter_map(known).chain(listed).collect();
    formats.sort_unstable();
    formats.dedup();
    Ok(formats)
}

/// What the driver lists, in every format. A driver that answers no question lists nothing.
fn listed(number: u32) -> Vec<DeviceFormat> {
    let Ok(device) = v4l::Device::new(number as usize) else { return Vec::new() };
    let mut found = Vec::new();
    for format in WireFormat::ALL {
        let sizes = device.enum_framesizes(format.four_cc()).unwrap_or_default();
        for size in sizes.into_iter().flat_map(|size| size.size.to_discrete()) {
            let (width, height) = (size.width, size.height);
            let intervals = device.enum_frameintervals(format.four_cc(), width, height).unwrap_or_default();
            let mut rates: Vec<u32> = intervals.into_iter().filter_map(|each| whole_rate(&each.interval)).collect();
            if rates.is_empty() {
                rates.push(0);
            }
            found.extend(rates.into_iter().map(|fps| DeviceFormat { format, width, height, fps }));
        }
    }
    found
}

/// Pictures a second, rounded; of a range the fastest.
fn whole_rate(interval: &FrameIntervalEnum) -> Option<u32> {
    let fastest = match interval {
        FrameIntervalEnum::Discrete(interval) => interval,
        FrameIntervalEnum::Stepwise(range) => &range.min,
    };
    let (seconds, pictures) = (fastest.numerator, fastest.denominator);
    (seconds > 0).then(|| pictures.saturating_add(seconds / 2) / seconds)
}

/// Stands for a device that was closed again after it had been asked.
struct OnlyAsked;

impl Device for OnlyAsked {
    fn read(&mut self) -> io::Result<Option<Filled>> {
        Err(io::Error::other("the device was opened for its formats only"))
    }
}

/// Opens the device in the first of the wanted formats that it takes exactly.
pub(super) fn open(settings: &V4l2Settings, watch: Option<FrozenWatch>) -> Result<(Reader, Agreed), OpenError> {
    let number = device_number(&settings.device)?;
    let hold = Hold::acquire(number, HOLD_TIMEOUT).ok_or(OpenError::Held)?;
    let &V4l2Settings { width, height, fps, format, .. } = settings;
    Reader::start(format!("camera-video{number}"), OPEN_TIMEOUT, watch, move || {
        stream::start(hold, (width, height), fps, format)
    })
}
