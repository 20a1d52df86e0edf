//! A real driver: vivid, the kernel's camera without a camera, with faults at the push of a button.
//!
//! It takes `/dev/video0`, so these run where nothing else wants that: in the machine that `tests/camera/verify.sh` boots.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail like the test itself")]

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use diad_capture::{
    BufferPool, Camera, Capture, CaptureError, DeviceFormat, FrozenWatch, LostError, OpenError, PictureError, Take,
    V4l2Camera, V4l2Settings, WireFormat, list_devices,
};
use diad_core::frame::PixelFormat;

const DEVICE: &str = "/dev/video0";

/// Emulated processors are slow; a picture is never this late.
const LONG: Duration = Duration::from_secs(10);

fn settings() -> V4l2Settings {
    let device = PathBuf::from(DEVICE);
    let format = Some(WireFormat::Yuyv);
    V4l2Settings { device, width: 640, height: 360, fps: 15, format, stalled_after: Some(Duration::from_secs(2)) }
}

fn open(settings: &V4l2Settings) -> Result<V4l2Camera, CaptureError> {
    V4l2Camera::open(settings, None, BufferPool::new(2))
}

/// The next picture taken from now on.
fn next(camera: &mut V4l2Camera) -> Result<Capture, CaptureError> {
    match camera.next_frame(Instant::now(), LONG)? {
        Take::Frame(capture) => Ok(capture),
        other => panic!("{other:?}"),
    }
}

fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Sets one of vivid's controls, from a process of its own as a person would.
fn control(name_and_value: &str) {
    let status = Command::new("v4l2-ctl").args(["-d", DEVICE, "-c", name_and_value]).status().unwrap();
    assert!(status.success(), "v4l2-ctl -c {name_and_value}: {status}");
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn list_devices_names_the_camera_and_its_formats() {
    let devices = list_devices();
    let camera = devices.iter().find(|device| device.path.as_os_str() == DEVICE).unwrap();
    assert!(camera.name.contains("vivid"), "{camera:?}");
    let formats = camera.formats.as_ref().unwrap();
    for format in WireFormat::ALL.into_iter().filter(|format| *format != WireFormat::Mjpg) {
        let offers = |f: &DeviceFormat| (f.format, f.width, f.height, f.fps) == (format, 640, 360, 15);
        assert!(formats.iter().any(offers), "{format}: {formats:?}");
    }
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn every_uncompressed_format_shows_the_same_colours() {
    use WireFormat::{Ba10, Ba81, Bg10, Bgr3, Gb10, Gbrg, Grbg, Nv12, Rg10, Rgb3, Rggb, Uyvy, Yuyv};
    let mut shown = Vec::new();
    for format in [Rgb3, Bgr3, Yuyv, Nv12, Uyvy, Rggb, Grbg, Gbrg, Ba81, Rg10, Ba10, Gb10, Bg10] {
        let mut camera = open(&V4l2Settings { format: Some(format), ..settings() }).unwrap();
        let before = Instant::now();
        let capture = next(&mut camera).unwrap();
        assert!(capture.stamp.mono >= before && capture.stamp.mono <= Instant::now());
        let view = capture.view().unwrap();
        assert_eq!((view.width(), view.height()), (640, 360));
        // The middle of each of the eight colour bars, below the text that vivid writes over them.
        let row = &view.data()[640 * 3 * 340..];
        shown.push((format, (0..8).flat_map(|bar| row[(bar * 80 + 40) * 3..][..3].to_vec()).collect::<Vec<u8>>()));
    }
    let (_, first) = &shown[0];
    assert!(first.chunks(3).any(|bar| bar != &first[..3]), "bars: {first:?}");
    for (format, bars) in &shown {
        let far = bars.iter().zip(first).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(far <= 4, "{format} is {far} levels from RGB3: {bars:?} and {first:?}");
    }
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn every_depth_of_grey_shows_the_same_levels() {
    let mut shown = Vec::new();
    for format in [WireFormat::Grey, WireFormat::Y10, WireFormat::Y12, WireFormat::Y16] {
        let mut camera = open(&V4l2Settings { format: Some(format), ..settings() }).unwrap();
        let capture = next(&mut camera).unwrap();
        let view = capture.view().unwrap();
        assert_eq!((view.width(), view.height(), view.format()), (640, 360, PixelFormat::Mono8));
        let row = &view.data()[640 * 340..];
        shown.push((format, (0..8).map(|bar| row[bar * 80 + 40]).collect::<Vec<u8>>()));
    }
    let (_, first) = &shown[0];
    assert!(first.windows(2).all(|pair| pair[0] > pair[1]), "from white to black: {first:?}");
    for (format, bars) in &shown {
        let far = bars.iter().zip(first).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(far <= 2, "{format} is {far} levels from GREY: {bars:?} and {first:?}");
    }
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn pictures_come_at_the_rate_asked_for() {
    // Those that the driver drops are counted too: where the camera is triggered by parts, each of them was one.
    for drops in [0, 60] {
        let mut camera = open(&settings()).unwrap();
        next(&mut camera).unwrap();
        control(&format!("percentage_of_dropped_buffers={drops}"));
        next(&mut camera).unwrap();
        let before = Instant::now();
        camera.superseded();
        for _ in 0..20 {
            next(&mut camera).unwrap();
        }
        let superseded = camera.superseded();
        let rate = (20 + superseded) as f64 / before.elapsed().as_secs_f64();
        control("percentage_of_dropped_buffers=0");
        assert!((13.0..17.0).contains(&rate), "{rate} pictures a second, {drops} % dropped");
        assert!(drops == 0 || superseded > 10, "{superseded} were dropped");
    }
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn open_refuses_what_the_device_only_nearly_offers() {
    for (asked, wanted) in [
        (V4l2Settings { width: 600, ..settings() }, "YUYV (the device gives"),
        (V4l2Settings { fps: 14, ..settings() }, "YUYV (the device gives"),
        (V4l2Settings { format: Some(WireFormat::Mjpg), ..settings() }, "MJPG ("),
    ] {
        let error = open(&asked).unwrap_err();
        assert!(matches!(error, CaptureError::Open { source: OpenError::Format { .. }, .. }), "{error:?}");
        assert!(told(&error).contains(wanted), "{}", told(&error));
    }
    let any = open(&V4l2Settings { format: None, ..settings() }).unwrap();
    assert!(any.describe().contains("RGB3"), "the one that loses least: {}", any.describe());
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn open_beside_another_program_says_so() {
    struct Other(Child);
    impl Drop for Other {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let other = Command::new("v4l2-ctl").args(["-d", DEVICE, "--stream-mmap", "--stream-to=/dev/null"]).spawn();
    let other = Other(other.unwrap());
    std::thread::sleep(Duration::from_secs(2));
    let error = open(&settings()).unwrap_err();
    assert!(told(&error).contains("another program may be using the camera"), "{}", told(&error));
    drop(other);
    next(&mut open(&settings()).unwrap()).unwrap();
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn damaged_picture_is_refused_and_the_camera_goes_on() {
    let mut camera = open(&settings()).unwrap();
    next(&mut camera).unwrap();
    let opened = Instant::now();
    let mut damaged = 0;
    for _ in 0..10 {
        control("inject_v4l2_buf_flag_error=1");
        // It may make way for a newer one before anybody looks.
        for _ in 0..3 {
            match camera.next_frame(opened, LONG) {
                Err(CaptureError::Frame { source: PictureError::Damaged, .. }) => damaged += 1,
                Ok(Take::Frame(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        next(&mut camera).unwrap();
    }
    assert!(damaged > 0, "none of ten was seen");
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn camera_whose_picture_stands_still_is_frozen_until_it_moves() {
    let watch = FrozenWatch::new(NonZeroU32::new(5).unwrap());
    let mut camera = V4l2Camera::open(&settings(), Some(watch), BufferPool::new(2)).unwrap();
    // The time that vivid writes over its colour bars is all that changes.
    for _ in 0..20 {
        next(&mut camera).unwrap();
    }
    control("osd_text_mode=2");
    let error = std::iter::repeat_with(|| next(&mut camera)).take(50).find_map(Result::err).unwrap();
    assert!(matches!(error, CaptureError::Frozen { .. }), "{error:?}");
    assert!(error.to_string().contains("same, byte for byte"), "{error}");
    control("osd_text_mode=0");
    next(&mut camera).or_else(|_| next(&mut camera)).unwrap();
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn stalled_camera_is_lost_and_can_be_opened_again_at_once() {
    let mut camera = open(&settings()).unwrap();
    next(&mut camera).unwrap();
    control("percentage_of_dropped_buffers=100");
    let error = std::iter::repeat_with(|| next(&mut camera)).find_map(Result::err).unwrap();
    assert!(matches!(error, CaptureError::Lost { source: LostError::Stalled(_), .. }), "{error:?}");
    drop(camera);
    // Opened while it is still: nothing comes, and it lets go again all the same.
    for _ in 0..2 {
        let mut still = open(&V4l2Settings { stalled_after: None, ..settings() }).unwrap();
        assert!(matches!(still.next_frame(Instant::now(), Duration::from_millis(300)), Ok(Take::Idle)));
    }
    control("percentage_of_dropped_buffers=0");
    next(&mut open(&settings()).unwrap()).unwrap();
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn unplugged_camera_is_lost_and_can_be_opened_again() {
    for (fault, cause) in [("disconnect=1", "os error 19"), ("inject_fatal_streaming_error=1", "os error 5")] {
        let mut camera = open(&settings()).unwrap();
        next(&mut camera).unwrap();
        control(fault);
        let error = std::iter::repeat_with(|| next(&mut camera)).find_map(Result::err).unwrap();
        assert!(matches!(error, CaptureError::Lost { source: LostError::Read(_), .. }), "{fault}: {error:?}");
        assert!(told(&error).contains(cause), "{fault}: {}", told(&error));
        drop(camera);
        let again = std::iter::repeat_with(|| open(&settings())).take(20).find_map(|camera| {
            std::thread::sleep(Duration::from_millis(100));
            camera.ok()
        });
        next(&mut again.unwrap()).unwrap();
    }
}

#[test]
#[ignore = "needs vivid on /dev/video0: tests/camera/verify.sh"]
fn device_that_does_not_start_says_so_and_can_be_opened_again() {
    for fault in ["inject_vidioc_streamon_error=1", "inject_vidioc_reqbufs_error=1", "inject_vidioc_qbuf_error=1"] {
        control(fault);
        let error = open(&settings()).err().unwrap_or_else(|| panic!("{fault} was not seen"));
        assert!(told(&error).contains("start the picture stream"), "{fault}: {}", told(&error));
        next(&mut open(&settings()).unwrap()).unwrap();
    }
}
