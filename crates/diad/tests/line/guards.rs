//! The guards on a running line: golden parts between real ones, and a lamp that fails.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use diad::guard::{GoldenRequest, GoldenSpec, GuardSpec};
use diad::health::Health;
use diad::line::{CameraSpec, Ended, Line, Overload, Stop, start};
use diad::settings::Trigger;
use diad::thresholds::{LiveThresholds, ThresholdSet};
use diad_capture::{Camera, Capture, CaptureError, Picture, Take};
use diad_core::event::{InspectionEvent, Outcome, Reason};
use diad_core::frame::{PixelFormat, Roi, Stamp};
use diad_core::name::CameraId;
use diad_publish::wire::State;

use super::null::{self, Conduct, Place};
use super::{Heard, listener};

/// What the networks reject.
const WHITE: u8 = 255;

/// A camera that always sees the same grey, until somebody turns the lamp.
struct Lamp(Arc<AtomicU8>);

impl Camera for Lamp {
    fn describe(&self) -> String {
        "lamp".to_owned()
    }

    fn next_frame(&mut self, _: Instant, _: Duration) -> Result<Take, CaptureError> {
        let bytes = vec![self.0.load(Ordering::Relaxed); (null::SIDE * null::SIDE) as usize];
        let picture = Picture::try_new(null::SIDE, null::SIDE, PixelFormat::Mono8, bytes).unwrap();
        let stamp = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        Ok(Take::Frame(Capture { picture, stamp, source: None, truth: None }))
    }
}

/// A line with guards, its camera on a clock.
struct Guarded {
    line: Line<()>,
    health: Health,
    heard: Heard,
    stop: Stop,
    request: GoldenRequest,
    thresholds: LiveThresholds,
    _golden: Option<diad::guard::golden::Running>,
    _folder: tempfile::TempDir,
}

impl Guarded {
    fn start(lamp: &Arc<AtomicU8>, every: Duration, conduct: Conduct, golden: Option<GoldenSpec>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Nobody measures the machine here: a deadline that only a line that waits for golden parts would miss.
        let deadline = Duration::from_millis(400);
        let place = Place { ledger: folder.path().join("ledger.sqlite3"), port: 1, deadline };
        let heard = Heard::default();
        let camera = {
            let lamp = Arc::clone(lamp);
            let open = move || Ok(Box::new(Lamp(Arc::clone(&lamp))) as Box<dyn Camera>);
            CameraSpec::new(CameraId::try_new("cam0").unwrap(), Trigger::FreeRun { every }, Overload::EvictOldest, open)
        };
        let (mut spec, _publisher) = null::spec(&place, vec![camera], conduct, listener(&heard));
        spec.drain = Duration::ZERO;
        let health = spec.health.clone();
        let thresholds = spec.thresholds.clone();
        let request = GoldenRequest::default();
        let guards = GuardSpec { drift_alarm: true, golden, request: request.clone() };
        let (guards, proctor) = guards.prepare(&health);
        spec.guards = guards;
        let stop = Stop::new();
        let line = start(spec, stop.clone()).unwrap();
        let golden = proctor.and_then(|proctor| proctor.start());
        if golden.is_none() {
            health.ready();
        }
        Self { line, health, heard, stop, request, thresholds, _golden: golden, _folder: folder }
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < give_up, "waited for: {what}; {:?}", self.health.told());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn parts(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// Stops, and gives why parts were not judged.
    fn unjudged(self) -> Vec<Reason> {
        self.stop.ask(Duration::from_secs(5));
        assert!(matches!(self.line.join(Vec::new), Ended::Clean(..)), "a stage gave up");
        let heard = self.heard.lock().unwrap();
        let reason = |event: &InspectionEvent| match event.outcome {
            Outcome::Unjudged(reason) => Some(reason),
            Outcome::Judged(_) => None,
        };
        heard.iter().filter_map(reason).collect()
    }
}

fn save(folder: &Path, name: &str, grey: u8) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_pixel(null::SIDE, null::SIDE, image::Luma([grey])).save(path).unwrap();
}

#[test]
fn a_golden_part_that_comes_out_wrong_is_named_while_parts_are_judged_until_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "washer/good/grey.png", 128);
    save(folder.path(), "washer/bad/white.png", WHITE);
    save(folder.path(), "washer/bad/grey.png", 120);
    let spec = GoldenSpec { folder: folder.path().to_owned(), every: None, roi: None };
    let lamp = Arc::new(AtomicU8::new(128));
    let guarded = Guarded::start(&lamp, Duration::from_millis(5), Box::new(|_| Ok(0.0)), Some(spec));

    guarded.wait("the golden parts", |guarded| guarded.health.told().0 != State::Starting);
    let (state, detail) = guarded.health.told();
    assert_eq!(state, State::Degraded);
    let want = "1 of 3 came out wrong: washer/bad/grey.png is PASS with score 0.0000, expected REVIEW or REJECT";
    assert!(detail.ends_with(want), "{detail}");
    let before = guarded.parts();
    guarded.wait("parts all the same", |guarded| guarded.parts() > before + 5);

    std::fs::remove_file(folder.path().join("washer/bad/grey.png")).unwrap();
    guarded.request.ask();
    guarded.wait("ready", |guarded| guarded.health.told().0 == State::Ready);
    assert_eq!(guarded.unjudged(), []);
}

#[test]
fn golden_parts_are_judged_in_the_region_of_the_camera_and_under_the_mask_of_their_product() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("washer/good/frame.png");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // White beside the region, where no part is looked at, and in a corner of it.
    let white = |x: u32, y: u32| x >= null::SIDE || (x < 8 && y < 8);
    let frame = image::GrayImage::from_fn(2 * null::SIDE, null::SIDE, |x, y| {
        image::Luma([if white(x, y) { WHITE } else { 128 }])
    });
    frame.save(path).unwrap();
    let roi = Some(Roi { x: 0, y: 0, width: null::SIDE, height: null::SIDE });
    let spec = GoldenSpec { folder: folder.path().to_owned(), every: None, roi };
    let lamp = Arc::new(AtomicU8::new(128));
    let guarded = Guarded::start(&lamp, Duration::from_millis(5), Box::new(|_| Ok(0.0)), Some(spec));
    guarded.wait("the golden part", |guarded| guarded.health.told().0 != State::Starting);
    let (_, detail) = guarded.health.told();
    assert!(detail.contains("washer/good/frame.png is REJECT"), "{detail}");

    let ignored = "ignore: [{ x: 0, y: 0, width: 12, height: 12 }]";
    let masked = format!("default: {{ review: 0.2, reject: 0.4 }}\nproducts: {{ washer: {{ {ignored} }} }}\n");
    guarded.thresholds.replace(Arc::new(ThresholdSet::read(&masked, "thresholds.yaml").unwrap()));
    guarded.request.ask();
    guarded.wait("ready", |guarded| guarded.health.told().0 == State::Ready);
    assert_eq!(guarded.unjudged(), []);
}

/// Each picture takes most of the time between two parts.
#[test]
fn golden_parts_on_a_schedule_make_no_part_late() {
    let folder = tempfile::tempdir().unwrap();
    (0..20).for_each(|i| save(folder.path(), &format!("washer/good/{i}.png"), 128));
    let judged = Arc::new(AtomicUsize::new(0));
    let conduct: Conduct = {
        let judged = Arc::clone(&judged);
        Box::new(move |_| {
            std::thread::sleep(Duration::from_millis(10));
            judged.fetch_add(1, Ordering::Relaxed);
            Ok(0.0)
        })
    };
    let spec = GoldenSpec { folder: folder.path().to_owned(), every: Some(Duration::from_millis(1)), roi: None };
    let lamp = Arc::new(AtomicU8::new(128));
    let guarded = Guarded::start(&lamp, Duration::from_millis(25), conduct, Some(spec));
    guarded.wait("two rounds", |guarded| judged.load(Ordering::Relaxed) > guarded.parts() + 40);
    guarded.wait("ready", |guarded| guarded.health.told().0 == State::Ready);
    guarded.wait("parts", |guarded| guarded.parts() > 5);
    assert_eq!(guarded.unjudged(), []);
}

#[test]
fn a_lamp_that_fails_is_told_with_its_cause_and_so_is_its_return() {
    let lamp = Arc::new(AtomicU8::new(128));
    let guarded = Guarded::start(&lamp, Duration::from_millis(1), Box::new(|_| Ok(0.0)), None);
    guarded.wait("a reference", |guarded| guarded.parts() > 250);
    // These networks give every part the same score, which is told and is no fault.
    assert_eq!(guarded.health.faults(), (State::Ready, Vec::new()));
    assert!(guarded.health.told().1.contains("in every part since part 1: "), "{:?}", guarded.health.told());
    lamp.store(100, Ordering::Relaxed);
    guarded.wait("an alarm", |guarded| guarded.health.told().0 == State::Degraded);
    let (_, detail) = guarded.health.told();
    assert!(detail.contains("cam0: brightness 28.0 sd below its reference 0.502 since part "), "{detail}");
    assert!(detail.contains("lamp or exposure?"), "{detail}");
    lamp.store(128, Ordering::Relaxed);
    guarded.wait("well again", |guarded| guarded.health.told().0 == State::Ready);
    // A busy machine may not keep up with a part every millisecond, which is another matter.
    assert!(guarded.unjudged().iter().all(|reason| *reason == Reason::Overrun));
}
