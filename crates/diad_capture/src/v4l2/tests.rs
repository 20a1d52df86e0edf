use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use diad_core::event::Reason;
use diad_core::frame::PixelFormat;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rustix::time::Timespec;
use v4l::Timestamp;
use v4l::buffer::{Flags, Metadata};
use v4l::format::{Colorspace, Quantization};

use super::camera::REOPEN_FROZEN_AFTER;
use super::hold::Hold;
use super::reader::{Device, Filled, Reader};
use super::stream::{Agreed, Rate, age, between, filled};
use super::wire::{convert, to_picture};
use super::{Levels, V4l2Camera, V4l2Settings, WireFormat, device, path, stream};

use crate::camera::stamp_now;
use crate::{
    BufferPool, Camera, Capture, CaptureError, ErrorKind, FrozenBy, FrozenWatch, LostError, OpenError, PictureError,
    Take,
};

const LONG: Duration = Duration::from_secs(20);

/// A device that gives what the test sends it, and waits for ever in between.
struct Scripted(Receiver<io::Result<Filled>>);

impl Device for Scripted {
    fn read(&mut self) -> io::Result<Option<Filled>> {
        self.0.recv().unwrap_or_else(|_| Err(unplugged())).map(Some)
    }
}

fn unplugged() -> io::Error {
    io::Error::from_raw_os_error(19)
}

/// A 2x1 picture with this level in all bytes, received just when it is read.
fn picture(level: u8) -> Filled {
    let stamp = stamp_now();
    let bytes = vec![level; 6].into();
    Filled {
        bytes,
        is_damaged: false,
        dropped: 0,
        counter: 0,
        clock: (0, 0),
        frozen: None,
        stamp,
        received: stamp.mono,
    }
}

/// A picture that lacks its last byte.
fn short() -> Filled {
    Filled { bytes: vec![7; 5].into(), ..picture(7) }
}

fn settings(stalled_after: Option<Duration>) -> V4l2Settings {
    let device = PathBuf::from("/dev/video0");
    V4l2Settings { device, width: 2, height: 1, fps: 30, format: Some(WireFormat::Rgb3), stalled_after }
}

/// A running camera and the far end of its cable. Sending returns once the device has taken the picture, and so once the
/// picture before it has been put into the slot.
fn camera(stalled_after: Option<Duration>) -> (V4l2Camera, Sender<io::Result<Filled>>) {
    watched(stalled_after, None)
}

fn watched(stalled_after: Option<Duration>, watch: Option<FrozenWatch>) -> (V4l2Camera, Sender<io::Result<Filled>>) {
    let (cable, device) = bounded(0);
    let (reader, ()) = Reader::start("scripted".to_owned(), LONG, watch, move || Ok((Scripted(device), ()))).unwrap();
    let agreed = Agreed { format: WireFormat::Rgb3, levels: Levels::Full, interval: LONG, rate: Rate::Exact };
    (V4l2Camera::over(reader, &agreed, &settings(stalled_after), BufferPool::new(2)), cable)
}

fn take(camera: &mut V4l2Camera) -> Capture {
    match camera.next_frame(long_past(), LONG) {
        Ok(Take::Frame(capture)) => capture,
        other => panic!("{other:?}"),
    }
}

fn long_past() -> Instant {
    Instant::now().checked_sub(Duration::from_secs(60)).unwrap_or_else(Instant::now)
}

fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn next_frame_gives_the_newest_picture_and_counts_the_others() {
    let (mut camera, cable) = camera(None);
    for level in 1..=4 {
        cable.send(Ok(picture(level))).unwrap();
    }
    // A fifth is taken only after the fourth is in the slot; the fifth itself is bad, so the fourth stays the newest.
    cable.send(Err(unplugged())).unwrap();
    let capture = take(&mut camera);
    assert_eq!((capture.view().unwrap().data()[0], camera.superseded()), (4, 3));
}

#[test]
fn next_frame_counts_the_pictures_that_the_driver_dropped() {
    let (mut camera, cable) = camera(None);
    cable.send(Ok(picture(1))).unwrap();
    cable.send(Ok(Filled { dropped: 2, ..picture(2) })).unwrap();
    cable.send(Err(unplugged())).unwrap();
    let capture = take(&mut camera);
    assert_eq!((capture.view().unwrap().data()[0], camera.superseded()), (2, 3), "two in the driver, one here");
    assert!(
        [(7, 8), (7, 7), (7, 3), (0, 0), (u32::MAX, 0), (7, 1 << 30)]
            .iter()
            .all(|&(last, this)| between(last, this) == 0)
    );
    assert_eq!([between(7, 10), between(u32::MAX - 1, 1)], [2, 2]);
}

#[test]
fn next_frame_leaves_out_pictures_from_before_the_trigger() {
    let (mut camera, cable) = camera(None);
    cable.send(Ok(picture(1))).unwrap();
    assert_eq!(take(&mut camera).view().unwrap().data()[0], 1);
    cable.send(Ok(picture(2))).unwrap();
    cable.send(Ok(picture(3))).unwrap();
    let trigger = Instant::now() + Duration::from_secs(3600);
    assert!(matches!(camera.next_frame(trigger, Duration::from_millis(20)), Ok(Take::Idle)));
    cable.send(Ok(picture(4))).unwrap();
    let capture = take(&mut camera);
    assert_eq!((capture.view().unwrap().data()[0], camera.superseded()), (4, 2));
}

#[test]
fn next_frame_of_a_still_camera_is_idle_within_the_timeout() {
    let (mut camera, _cable) = camera(None);
    let before = Instant::now();
    assert!(matches!(camera.next_frame(before, Duration::from_millis(30)), Ok(Take::Idle)));
    assert!(before.elapsed() < LONG / 2);
}

#[test]
fn next_frame_of_a_stalled_camera_is_lost() {
    let after = Duration::from_millis(40);
    let (mut camera, _cable) = camera(Some(after));
    let error = camera.next_frame(Instant::now(), LONG).unwrap_err();
    assert!(matches!(error, CaptureError::Lost { source: LostError::Stalled(told), .. } if told == after));
    assert!(told(&error).contains("/dev/video0"), "{}", told(&error));
}

#[test]
fn next_frame_of_an_unplugged_camera_gives_the_last_picture_and_then_is_lost() {
    let (mut camera, cable) = camera(None);
    cable.send(Ok(picture(9))).unwrap();
    cable.send(Err(unplugged())).unwrap();
    assert_eq!(take(&mut camera).view().unwrap().data()[0], 9);
    let error = camera.next_frame(Instant::now(), LONG).unwrap_err();
    assert!(error.is_fatal() && told(&error).contains("os error 19"), "{}", told(&error));
    assert_eq!(camera.next_frame(Instant::now(), LONG).unwrap_err().kind(), ErrorKind::Lost);
}

#[test]
fn next_frame_with_a_short_buffer_is_a_bad_frame_and_the_camera_goes_on() {
    let (mut camera, cable) = camera(None);
    cable.send(Ok(short())).unwrap();
    let error = camera.next_frame(long_past(), LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Frame);
    assert!(told(&error).contains("2x1 px RGB3 take 6 bytes, the camera gave 5"), "{}", told(&error));
    cable.send(Ok(picture(8))).unwrap();
    assert_eq!(take(&mut camera).view().unwrap().data()[0], 8);
}

#[test]
fn next_frame_refuses_a_picture_that_the_driver_marks_as_damaged() {
    let (mut camera, cable) = camera(None);
    cable.send(Ok(Filled { is_damaged: true, ..picture(7) })).unwrap();
    let error = camera.next_frame(long_past(), LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Frame);
    assert!(told(&error).contains("/dev/video0: the driver says that the picture is damaged"), "{}", told(&error));
    cable.send(Ok(picture(8))).unwrap();
    assert_eq!(take(&mut camera).view().unwrap().data()[0], 8);
}

#[test]
fn next_frame_of_a_frozen_camera_is_refused_until_a_picture_is_another() {
    let watch = FrozenWatch::new(NonZeroU32::new(2).unwrap());
    let (mut camera, cable) = watched(None, Some(watch.clone()));
    let mut next = |level: u8| {
        cable.send(Ok(picture(level))).unwrap();
        camera.next_frame(long_past(), LONG)
    };
    assert!(matches!(next(7), Ok(Take::Frame(_))) && matches!(next(7), Ok(Take::Frame(_))));
    for pictures in [3, 4] {
        let error = next(7).unwrap_err();
        assert!(!error.is_fatal() && error.reason() == Reason::Camera, "{error:?}");
        let CaptureError::Frozen { frozen, .. } = &error else { panic!("{error:?}") };
        assert_eq!((frozen.by, frozen.pictures), (FrozenBy::Picture, pictures));
        assert!(error.to_string().contains("/dev/video0 is frozen"), "{error}");
    }
    assert!(matches!(next(8), Ok(Take::Frame(_))), "another picture");
    next(8).unwrap();
    next(8).unwrap_err();
    // The device is opened again and shows the same picture still.
    let (mut camera, cable) = watched(None, Some(watch));
    cable.send(Ok(picture(8))).unwrap();
    assert!(matches!(camera.next_frame(long_past(), LONG), Err(CaptureError::Frozen { .. })));
}

#[test]
fn next_frame_counts_equal_pictures_that_are_not_taken() {
    let (mut camera, cable) = watched(None, Some(FrozenWatch::new(NonZeroU32::new(3).unwrap())));
    (0..4).for_each(|_| cable.send(Ok(picture(7))).unwrap());
    cable.send(Err(unplugged())).unwrap();
    assert!(matches!(camera.next_frame(long_past(), LONG), Err(CaptureError::Frozen { .. })));
}

#[test]
fn next_frame_of_a_camera_that_stays_frozen_has_it_opened_again() {
    let (mut camera, cable) = watched(None, Some(FrozenWatch::new(NonZeroU32::MIN)));
    for _ in 0..2 {
        cable.send(Ok(picture(7))).unwrap();
        let _ = camera.next_frame(long_past(), LONG);
    }
    camera.frozen_since = Instant::now().checked_sub(REOPEN_FROZEN_AFTER);
    let error = camera.next_frame(long_past(), LONG).unwrap_err();
    assert!(matches!(error, CaptureError::Lost { source: LostError::Frozen(_), .. }), "{error:?}");
}

#[test]
fn next_frame_of_a_camera_that_sends_nothing_usable_is_lost_after_its_bad_frames() {
    let (mut camera, cable) = camera(None);
    let is_bad = |camera: &mut V4l2Camera| {
        cable.send(Ok(short())).unwrap();
        assert_eq!(camera.next_frame(long_past(), LONG).unwrap_err().kind(), ErrorKind::Frame);
    };
    is_bad(&mut camera);
    is_bad(&mut camera);
    cable.send(Ok(picture(8))).unwrap();
    assert_eq!(take(&mut camera).view().unwrap().data()[0], 8, "a glitch");
    (0..3).for_each(|_| is_bad(&mut camera));
    let error = camera.next_frame(long_past(), LONG).unwrap_err();
    assert!(matches!(error, CaptureError::Lost { source: LostError::Unusable(3), .. }), "{error:?}");
    assert!(told(&error).contains("3 unusable pictures in a row"), "{}", told(&error));
}

#[test]
fn next_frame_of_a_lost_camera_tells_the_pictures_that_nobody_got() {
    let (mut camera, cable) = camera(None);
    for _ in 0..3 {
        cable.send(Ok(picture(1))).unwrap();
    }
    cable.send(Err(unplugged())).unwrap();
    let after_all = Instant::now() + Duration::from_secs(3600);
    let error = camera.next_frame(after_all, LONG).unwrap_err();
    assert!(error.is_fatal(), "{error:?}");
    assert_eq!((camera.superseded(), camera.superseded()), (3, 0));
}

#[test]
fn reader_that_is_stuck_keeps_its_device_until_the_driver_lets_go() {
    let (cable, device) = bounded(0);
    let hold = Hold::acquire(90_001, Duration::ZERO).unwrap();
    let (entered, read_entered) = bounded(1);
    let open = move || Ok((Held { device: Scripted(device), entered, _hold: hold }, ()));
    let (reader, ()) = Reader::start("stuck".to_owned(), LONG, None, open).unwrap();
    read_entered.recv_timeout(LONG).unwrap();
    drop(reader);
    assert!(Hold::acquire(90_001, Duration::ZERO).is_none(), "the thread still waits in the driver");
    cable.send(Ok(picture(1))).unwrap();
    assert!(Hold::acquire(90_001, LONG).is_some(), "one picture later the device is free");
}

/// A device that is held, and that reports each read when it begins.
struct Held {
    device: Scripted,
    entered: Sender<()>,
    _hold: Hold,
}

impl Device for Held {
    fn read(&mut self) -> io::Result<Option<Filled>> {
        let _ = self.entered.try_send(());
        self.device.read()
    }
}

#[test]
fn reader_start_with_a_silent_driver_gives_up_after_the_timeout() {
    let (release, wait) = bounded::<()>(0);
    let open = move || {
        let _ = wait.recv();
        Err::<(Scripted, ()), _>(OpenError::Held)
    };
    let error = Reader::start("silent".to_owned(), Duration::from_millis(30), None, open).unwrap_err();
    assert!(matches!(error, OpenError::Silent(_)), "{error}");
    drop(release);
}

#[test]
fn hold_lets_one_reader_at_a_time_touch_a_device() {
    let first = Hold::acquire(90_002, Duration::ZERO).unwrap();
    assert!(Hold::acquire(90_002, Duration::ZERO).is_none());
    assert!(Hold::acquire(90_003, Duration::ZERO).is_some(), "another device");
    drop(first);
    assert!(Hold::acquire(90_002, Duration::ZERO).is_some());
}

#[test]
fn filled_takes_what_the_driver_filled() {
    for (bytesused, want) in [(3, &[1, 2, 3][..]), (0, &[]), (9, &[1, 2, 3, 4])] {
        assert_eq!(filled(&[1, 2, 3, 4], &Metadata { bytesused, ..Metadata::default() }), want);
    }
}

#[test]
fn age_of_a_picture_is_that_of_its_first_light() {
    let now = Timespec { tv_sec: 100, tv_nsec: 20_000_000 };
    let (interval, monotonic) = (Duration::from_millis(40), Flags::TIMESTAMP_MONOTONIC);
    let age = |flags: Flags, sec, usec| {
        let timestamp = Timestamp::new(sec, usec);
        age(&Metadata { flags, timestamp, ..Metadata::default() }, now, interval)
    };
    let ms = |ms| Some(Duration::from_millis(ms));
    assert_eq!(age(monotonic | Flags::MAPPED | Flags::DONE, 99, 990_000), ms(30 + 40), "stamped at its end");
    assert_eq!(age(monotonic | Flags::TSTAMP_SRC_SOE, 99, 990_000), ms(30), "at its start");
    assert_eq!(age(monotonic | Flags::TSTAMP_SRC_SOE, 40, 20_000), ms(60_000), "old is old");
    for (flags, sec, usec) in [
        (Flags::TIMESTAMP_UNKNOWN, 99, 0),
        (Flags::TIMESTAMP_COPY, 99, 0),
        (monotonic, 100, 20_001),
        (monotonic, i64::MAX, i64::MAX),
        (monotonic, -1, 0),
        (monotonic, 0, -1),
    ] {
        assert_eq!(age(flags, sec, usec), None, "{flags:?} {sec} {usec}");
    }
}

#[test]
fn open_of_a_missing_device_names_it_and_the_remedy() {
    let settings = V4l2Settings { device: PathBuf::from("/dev/video99"), ..settings(None) };
    let error = V4l2Camera::open(&settings, None, BufferPool::new(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Open);
    let told = told(&error);
    for part in ["/dev/video99", "diad cameras", "os error 2"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn device_number_follows_links_and_refuses_what_is_no_device() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("video7");
    std::fs::write(&target, "").unwrap();
    let link = folder.path().join("usb-Maker_Camera-index0");
    std::os::unix::fs::symlink("video7", &link).unwrap();
    let error = path::device_number(&link).unwrap_err();
    assert!(matches!(&error, OpenError::NotVideo { target: found, .. } if found.ends_with("video7")), "{error}");
    assert!(matches!(path::device_number(Path::new("/dev/null")), Err(OpenError::NotVideo { .. })));
    for (name, want) in [
        ("/dev/video0", Some(0)),
        ("/dev/video12", Some(12)),
        ("/dev/video", None),
        ("/dev/video+1", None),
        ("/dev/video1a", None),
        ("/dev/media0", None),
    ] {
        assert_eq!(path::video_number(Path::new(name)), want, "{name}");
    }
}

#[test]
fn devices_in_lists_video_nodes_by_number_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, sys) = (folder.path().join("dev"), folder.path().join("sys"));
    assert!(device::devices_in(&dev, &sys).is_empty(), "no folder, no devices");
    std::fs::create_dir_all(&dev).unwrap();
    for name in ["video10", "video2", "video", "videotape", "null"] {
        std::fs::write(dev.join(name), "").unwrap();
    }
    std::fs::create_dir_all(sys.join("video2")).unwrap();
    std::fs::write(sys.join("video2/name"), "Line Camera\n").unwrap();
    let devices = device::devices_in(&dev, &sys);
    let names: Vec<&str> = devices.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["Line Camera", dev.join("video10").to_str().unwrap()]);
    assert!(devices.iter().all(|d| matches!(d.formats, Err(OpenError::NotVideo { .. }))));
}

#[test]
fn wire_format_names_round_trip() {
    for format in WireFormat::ALL {
        assert_eq!(WireFormat::from_name(format.name()), Some(format));
        if let Some(other) = format.to_nokhwa() {
            assert_eq!(WireFormat::from_nokhwa(other), Some(format));
        }
        assert_eq!(format.four_cc().str().map(str::trim_end), Ok(format.name()));
    }
    assert_eq!(WireFormat::from_name("H264"), None);
    assert_eq!(WireFormat::Y10.four_cc().repr, *b"Y10 ");
    let kept = [WireFormat::Rgb3, WireFormat::Bgr3, WireFormat::Yuyv, WireFormat::Nv12, WireFormat::Mjpg];
    assert_eq!(WireFormat::ALL[..5], kept, "a camera keeps the format that it had before there were more");
}

/// Converts one buffer and gives the bytes of the picture.
fn rgb(format: WireFormat, size: (u32, u32), bytes: &[u8]) -> Result<Vec<u8>, PictureError> {
    let picture = to_picture(format, size, bytes, &BufferPool::new(1))?;
    Ok(picture.view().unwrap().data().to_vec())
}

#[test]
fn to_picture_of_yuv_gives_the_colours_of_bt_601() {
    // The 100 % colour bars of the standard, Y U V → R G B.
    for (y, u, v, want) in [
        (16, 128, 128, [0, 0, 0]),
        (235, 128, 128, [255, 255, 255]),
        (126, 128, 128, [128, 128, 128]),
        (81, 90, 240, [254, 0, 0]),
        (145, 54, 34, [0, 255, 1]),
        (41, 240, 110, [0, 0, 255]),
        (0, 128, 128, [0, 0, 0]),
        (255, 128, 128, [255, 255, 255]),
    ] {
        let pair = [want, want].concat();
        assert_eq!(rgb(WireFormat::Yuyv, (2, 1), &[y, u, y, v]).unwrap(), pair, "{y} {u} {v}");
        assert_eq!(rgb(WireFormat::Uyvy, (2, 1), &[u, y, v, y]).unwrap(), pair, "{y} {u} {v}");
        assert_eq!(rgb(WireFormat::Nv12, (2, 1), &[y, y, u, v]).unwrap(), pair, "{y} {u} {v}");
    }
}

#[test]
fn to_picture_of_yuv_is_within_one_level_of_the_formula() {
    for (y, u, v) in (0..=255_u8)
        .step_by(5)
        .flat_map(|y| (0..=255_u8).step_by(15).flat_map(move |u| (0..=255_u8).step_by(15).map(move |v| (y, u, v))))
    {
        let got = rgb(WireFormat::Yuyv, (2, 1), &[y, u, y, v]).unwrap();
        let (luma, blue, red) = (f64::from(y) - 16.0, f64::from(u) - 128.0, f64::from(v) - 128.0);
        let (kr, kb) = (0.299, 0.114);
        let kg = 1.0 - kr - kb;
        let (luma, r, b) = (luma / 219.0, red / 112.0 * (1.0 - kr), blue / 112.0 * (1.0 - kb));
        let want = [luma + r, luma - (kr * r + kb * b) / kg, luma + b];
        for (got, want) in got.iter().zip(want) {
            let want = (255.0 * want).clamp(0.0, 255.0);
            assert!((f64::from(*got) - want).abs() < 0.51, "{y} {u} {v}: {got} for {want}");
        }
    }
}

#[test]
fn to_picture_keeps_every_pixel_in_its_place() {
    let levels: Vec<u8> = (0..18).collect();
    assert_eq!(rgb(WireFormat::Rgb3, (3, 2), &levels).unwrap(), levels);
    let swapped: Vec<u8> = levels.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    assert_eq!(rgb(WireFormat::Bgr3, (3, 2), &levels).unwrap(), swapped);
    // Grey in YUV: each pixel shows its own Y; 3x3 has a half-used column and line of colour.
    let ys: [u8; 9] = [16, 31, 46, 61, 76, 91, 106, 121, 136];
    let want: Vec<u8> = ys.iter().flat_map(|y| [((f64::from(*y) - 16.0) * 255.0 / 219.0).round() as u8; 3]).collect();
    let nv12 = [&ys[..], &[128; 8]].concat();
    assert_eq!(rgb(WireFormat::Nv12, (3, 3), &nv12).unwrap(), want);
    let yuyv: Vec<u8> = ys.chunks_exact(3).flat_map(|l| [l[0], 128, l[1], 128, l[2], 128, 99, 128]).collect();
    assert_eq!(rgb(WireFormat::Yuyv, (3, 3), &yuyv).unwrap(), want);
}

#[test]
fn to_picture_refuses_a_size_without_pixels() {
    for format in [WireFormat::Rgb3, WireFormat::Bgr3, WireFormat::Yuyv, WireFormat::Nv12] {
        for size in [(0, 0), (0, 4), (4, 0)] {
            let error = to_picture(format, size, &[], &BufferPool::new(1)).unwrap_err();
            assert!(matches!(error, PictureError::Size(_)), "{format} {size:?}: {error:?}");
        }
    }
}

#[test]
fn to_picture_refuses_short_and_padded_buffers() {
    for (format, want) in [
        (WireFormat::Rgb3, 64 * 48 * 3),
        (WireFormat::Bgr3, 64 * 48 * 3),
        (WireFormat::Yuyv, 64 * 48 * 2),
        (WireFormat::Nv12, 64 * 48 * 3 / 2),
        (WireFormat::Uyvy, 64 * 48 * 2),
        (WireFormat::Rggb, 64 * 48),
    ] {
        let given = |bytes: usize| rgb(format, (64, 48), &vec![128; bytes]);
        assert!(matches!(given(want - 1), Err(PictureError::Short { .. })), "{format}");
        assert_eq!(given(want).unwrap().len(), 64 * 48 * 3, "{format}");
        assert!(given(want + 4095).is_ok(), "{format}: rounded up to a memory page");
        assert!(matches!(given(want + 4096), Err(PictureError::Padded { .. })), "{format}");
    }
}

#[test]
fn to_picture_of_mjpg_takes_a_mapped_buffer_and_refuses_torn_or_other_pictures() {
    let mut jpeg = Vec::new();
    let levels: Vec<u8> = (0..32 * 16 * 3).map(|i: u32| (i * 7 % 256) as u8).collect();
    JpegEncoder::new(&mut jpeg).write_image(&levels, 32, 16, ExtendedColorType::Rgb8).unwrap();
    let mapped = [&jpeg[..], &[0x5A; 5000]].concat();
    let picture = to_picture(WireFormat::Mjpg, (32, 16), &mapped, &BufferPool::new(1)).unwrap();
    assert_eq!(picture.format(), PixelFormat::Rgb8);
    let torn = [&jpeg[..jpeg.len() / 2], &[0; 5000]].concat();
    assert!(matches!(rgb(WireFormat::Mjpg, (32, 16), &torn), Err(PictureError::JpegFault(_))));
    assert!(matches!(rgb(WireFormat::Mjpg, (64, 16), &mapped), Err(PictureError::OtherSize { got_width: 32, .. })));
}

#[test]
fn convert_of_full_levels_is_within_one_level_of_the_formula() {
    for (y, u, v) in (0..=255_u8)
        .step_by(5)
        .flat_map(|y| (0..=255_u8).step_by(15).flat_map(move |u| (0..=255_u8).step_by(15).map(move |v| (y, u, v))))
    {
        let bytes = [y, u, y, v];
        let picture = convert(WireFormat::Yuyv, Levels::Full, (2, 1), &bytes, &BufferPool::new(1)).unwrap();
        let (luma, blue, red) = (f64::from(y), f64::from(u) - 128.0, f64::from(v) - 128.0);
        let want = [luma + 1.402 * red, luma - 0.344_136 * blue - 0.714_136 * red, luma + 1.772 * blue];
        for (got, want) in picture.view().unwrap().data().iter().zip(want) {
            assert!((f64::from(*got) - want.clamp(0.0, 255.0)).abs() < 0.51, "{y} {u} {v}: {got} for {want}");
        }
    }
}

#[test]
fn convert_of_limited_grey_and_colour_makes_16_black_and_235_white() {
    for (format, levels, want) in [
        (WireFormat::Grey, Levels::Limited, [0, 255, 128]),
        (WireFormat::Grey, Levels::Full, [16, 235, 126]),
        (WireFormat::Rgb3, Levels::Limited, [0, 255, 128]),
        (WireFormat::Rgb3, Levels::Full, [16, 235, 126]),
    ] {
        let size = if format == WireFormat::Grey { (3, 1) } else { (1, 1) };
        let picture = convert(format, levels, size, &[16, 235, 126], &BufferPool::new(1)).unwrap();
        assert_eq!(picture.view().unwrap().data(), want, "{format} {levels:?}");
    }
}

#[test]
fn levels_are_those_that_the_driver_names() {
    let levels = |format, named| stream::levels(format, named, Colorspace::SRGB);
    for (format, default) in
        [(WireFormat::Yuyv, Levels::Limited), (WireFormat::Grey, Levels::Full), (WireFormat::Rgb3, Levels::Full)]
    {
        assert_eq!(levels(format, Quantization::Default), default, "{format}");
        assert_eq!(levels(format, Quantization::FullRange), Levels::Full, "{format}");
        assert_eq!(levels(format, Quantization::LimitedRange), Levels::Limited, "{format}");
    }
    assert_eq!(stream::levels(WireFormat::Yuyv, Quantization::Default, Colorspace::JPEG), Levels::Full);
}

#[test]
fn rate_that_is_not_whole_is_taken_for_the_nearest_and_another_whole_one_is_refused() {
    for (pictures, seconds, fps, want) in [
        (30, 1, 30, Some(Rate::Exact)),
        (60, 2, 30, Some(Rate::Exact)),
        (30_000, 1001, 30, Some(Rate::Nearly(30_000, 1001))),
        (15, 2, 8, Some(Rate::Nearly(15, 2))),
        (0, 0, 30, Some(Rate::Unknown)),
        (1, 0, 30, Some(Rate::Unknown)),
        (15, 1, 14, None),
        (30_000, 1001, 25, None),
        (u32::MAX, 1, 1000, None),
    ] {
        assert_eq!(stream::rate(pictures, seconds, fps).ok(), want, "{pictures}/{seconds} for {fps}");
    }
}

#[test]
fn to_picture_of_grey_rounds_every_depth_to_the_nearest_of_256_levels() {
    for (format, most) in [(WireFormat::Y10, 1023_u16), (WireFormat::Y12, 4095), (WireFormat::Y16, 65_535)] {
        let values = [0, 1, most / 3, most / 2, most / 2 + 1, most - 1, most];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let picture = to_picture(format, (7, 1), &bytes, &BufferPool::new(1)).unwrap();
        assert_eq!(picture.format(), PixelFormat::Mono8);
        for (got, value) in picture.view().unwrap().data().iter().zip(values) {
            let want = f64::from(value) * 255.0 / f64::from(most);
            assert!((f64::from(*got) - want).abs() <= 0.5, "{format} {value}: {got}");
        }
    }
    let grey = to_picture(WireFormat::Grey, (3, 1), &[0, 9, 255], &BufferPool::new(1)).unwrap();
    assert_eq!(grey.view().unwrap().data(), [0, 9, 255]);
}

#[test]
fn to_picture_refuses_a_pixel_with_more_bits_than_the_format() {
    for (format, value) in [(WireFormat::Y10, 1024_u16), (WireFormat::Y12, 4096), (WireFormat::Rg10, 0xFFC0)] {
        let error = to_picture(format, (1, 1), &value.to_le_bytes(), &BufferPool::new(1)).unwrap_err();
        assert!(matches!(error, PictureError::Depth { .. }), "{format}: {error:?}");
        assert!(error.to_string().contains(&value.to_string()), "{error}");
    }
}

#[test]
fn to_picture_of_bayer_gives_the_colour_of_a_field() {
    // Red 40, green 100, blue 200 as each sensor sees them, in a field of 2x2 pixels.
    for (format, wide, levels) in [
        (WireFormat::Rggb, WireFormat::Rg10, [40_u8, 100, 100, 200]),
        (WireFormat::Grbg, WireFormat::Ba10, [100, 40, 200, 100]),
        (WireFormat::Gbrg, WireFormat::Gb10, [100, 200, 40, 100]),
        (WireFormat::Ba81, WireFormat::Bg10, [200, 100, 100, 40]),
    ] {
        assert_eq!(rgb(format, (2, 2), &levels).unwrap(), [40, 100, 200].repeat(4), "{format}");
        // The nearest of 1024 numbers.
        let ten = |level: &u8| (((u32::from(*level) * 341 + 42) / 85) as u16).to_le_bytes();
        let bytes: Vec<u8> = levels.iter().flat_map(ten).collect();
        assert_eq!(rgb(wide, (2, 2), &bytes).unwrap(), [40, 100, 200].repeat(4), "{wide}");
    }
}
