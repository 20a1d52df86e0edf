//! The stages on real threads, with cameras and networks that misbehave at random: the promise holds, and the ledger
//! says so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "everything here is a test, its helpers included")]

mod cameras;
mod engine;
mod guards;
#[expect(unreachable_pub, reason = "shared with the bench")]
mod null;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use diad::line::{CameraSpec, Ended, Overload, Stop, VerdictObserver, start};
use diad::settings::Trigger;
use diad::thresholds::ThresholdSet;
use diad_capture::{Camera, Capture, CaptureError, LostError, Picture, PictureError, Take};
use diad_core::event::{InspectionEvent, Outcome, Reason};
use diad_core::frame::{PartKey, PixelFormat, Stamp};
use diad_core::name::CameraId;
use diad_ledger::{Reader, RowId};
use diad_publish::Arrived;
use diad_publish::wire::{Inbound, TriggerMessage};
use null::{Place, Told};

const DEADLINE: Duration = Duration::from_millis(25);

/// A generator that is good enough to misbehave with, and the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What the networks do with a picture, by its grey.
const SOUND: u8 = 128;
const NAN: u8 = 160;
const ERROR: u8 = 200;
const SLOW: u8 = 240;

fn conduct(mean: f32) -> Result<f32, Told> {
    let is = |grey: u8| (mean - (f32::from(grey) / 127.5 - 1.0)).abs() < 0.02;
    if is(NAN) {
        return Ok(f32::NAN);
    }
    if is(ERROR) {
        return Err(Told);
    }
    if is(SLOW) {
        std::thread::sleep(DEADLINE * 2);
    }
    Ok(0.0)
}

/// A camera of many moods.
struct Moody {
    dice: Dice,
    superseded: u64,
}

fn name_of(grey: u8) -> Arc<str> {
    grey.to_string().into()
}

impl Camera for Moody {
    fn describe(&self) -> String {
        "moody".to_owned()
    }

    fn next_frame(&mut self, _: Instant, timeout: Duration) -> Result<Take, CaptureError> {
        self.superseded += u64::from(self.dice.roll(50) == 0);
        let grey = match self.dice.roll(40) {
            0 => {
                return Err(CaptureError::Lost { camera: "moody".into(), source: LostError::Reader });
            }
            1 | 2 => {
                let source = PictureError::Read(std::io::ErrorKind::InvalidData.into());
                return Err(CaptureError::Frame { origin: "moody".into(), source });
            }
            3 => {
                std::thread::sleep(timeout.min(DEADLINE));
                return Ok(Take::Idle);
            }
            4 => {
                // Nobody can interrupt a driver.
                std::thread::sleep(DEADLINE * 2);
                SOUND
            }
            5 => SLOW,
            6 => NAN,
            7 => ERROR,
            _ => SOUND,
        };
        let side = null::SIDE;
        let bytes = vec![grey; (side * side) as usize];
        let picture = Picture::try_new(side, side, PixelFormat::Mono8, bytes).unwrap();
        let stamp = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        Ok(Take::Frame(Capture { picture, stamp, source: Some(name_of(grey)), truth: None }))
    }

    fn superseded(&mut self) -> u64 {
        std::mem::take(&mut self.superseded)
    }
}

fn moody(name: &str, seed: u64, trigger: Trigger) -> CameraSpec {
    let mut seed = seed;
    CameraSpec::new(CameraId::try_new(name).unwrap(), trigger, Overload::EvictOldest, move || {
        seed += 1;
        Ok(Box::new(Moody { dice: Dice(seed), superseded: 0 }))
    })
}

fn trigger(part: u64, camera: Option<&str>) -> Arrived {
    let camera = camera.map_or(String::new(), |camera| format!(r#","camera":"{camera}""#));
    let json = format!(r#"{{"part":"P-{part}"{camera}}}"#);
    let trigger = TriggerMessage::parse("factory/L1/S1/trigger", json.as_bytes()).unwrap();
    Arrived::prompt(Inbound::Trigger { trigger, at: Stamp { wall: SystemTime::now(), mono: Instant::now() } })
}

type Heard = Arc<Mutex<Vec<InspectionEvent>>>;

fn listener(heard: &Heard) -> VerdictObserver {
    let heard = Arc::clone(heard);
    Box::new(move |event, _| heard.lock().unwrap().push(event.clone()))
}

/// Each part once, on the wire and in the ledger, and nothing judged that was not.
fn expect_promise(place: &Place, heard: &[InspectionEvent], triggered: u64) {
    let mut once: BTreeMap<PartKey, &InspectionEvent> = BTreeMap::new();
    for event in heard {
        assert!(once.insert(event.meta.key.clone(), event).is_none(), "{} was said twice", event.meta.key);
    }
    assert_eq!(once.len() as u64, triggered);
    let reader = Reader::open(&place.ledger).unwrap();
    let report = reader.verify().unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(reader.stats().unwrap().parts, triggered);
    let mut after = RowId::START;
    loop {
        let page = reader.oldest(after, 512).unwrap();
        for row in page.into_iter().map(Result::unwrap) {
            after = row.id;
            let key = PartKey { camera: row.row.key.series.camera.clone(), seq: row.row.key.seq };
            assert_eq!(row.row.outcome, once.remove(&key).unwrap().outcome, "{key}");
        }
        if once.is_empty() {
            break;
        }
    }
    for event in heard {
        if let Outcome::Judged(_) = event.outcome {
            assert!(event.latency() <= DEADLINE, "{} was judged after its deadline", event.meta.key);
            let source = event.meta.source.clone().unwrap();
            assert!(source == name_of(SOUND) || source == name_of(SLOW), "{} was judged: {source}", event.meta.key);
        }
    }
}

#[test]
fn misbehaving_cameras_and_networks_leave_no_part_without_its_one_verdict() {
    for seed in [1, 2, 3] {
        let folder = tempfile::tempdir().unwrap();
        // Nothing listens on port 1: what is said stays in the ledger.
        let place = Place { ledger: folder.path().join("ledger.sqlite3"), port: 1, deadline: DEADLINE };
        let heard = Heard::default();
        let listener = listener(&heard);
        let every = Duration::from_millis(3);
        let cameras = vec![
            moody("clock", seed * 1000, Trigger::FreeRun { every }),
            moody("message", seed * 2000, Trigger::Mqtt),
            moody("self", seed * 3000, Trigger::Camera),
        ];
        let (mut spec, _publisher) = null::spec(&place, cameras, Box::new(conduct), listener);
        spec.drain = Duration::ZERO;
        spec.rebuild = Box::new(|| Ok(null::inspector(Box::new(conduct))));
        let stop = Stop::new();
        let line = start(spec, stop.clone()).unwrap();
        let mut dice = Dice(seed);
        for part in 0..150 {
            let camera = [None, Some("message"), Some("nobody")][dice.roll(3) as usize];
            line.route(trigger(part % 100, camera));
            std::thread::sleep(Duration::from_millis(dice.roll(8)));
        }
        let account = line.account().clone();
        stop.ask(Duration::from_millis(200));
        let Ended::Clean((), journal) = line.join(|| vec![trigger(200, None)]) else { panic!("a stage gave up") };
        drop(journal);
        let totals = account.totals();
        assert_eq!((totals.triggered, totals.missing, totals.open), (totals.verdicts(), 0, 0), "{totals:?}");
        assert!(totals.pass > 10 && totals.unjudged > 10, "{totals:?}");
        expect_promise(&place, &heard.lock().unwrap(), totals.triggered);
    }
}

/// Gives one picture, and then never comes back.
struct Hung(bool);

impl Camera for Hung {
    fn describe(&self) -> String {
        "hung".to_owned()
    }

    fn next_frame(&mut self, _: Instant, _: Duration) -> Result<Take, CaptureError> {
        if self.0 {
            loop {
                std::thread::park();
            }
        }
        self.0 = true;
        let picture = Picture::try_new(1, 1, PixelFormat::Mono8, vec![SOUND]).unwrap();
        let stamp = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        Ok(Take::Frame(Capture { picture, stamp, source: None, truth: None }))
    }
}

#[test]
fn camera_that_never_comes_back_holds_up_neither_its_parts_nor_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { ledger: folder.path().join("ledger.sqlite3"), port: 1, deadline: DEADLINE };
    let heard = Heard::default();
    let listener = listener(&heard);
    let camera = CameraSpec::new(CameraId::try_new("cam0").unwrap(), Trigger::Mqtt, Overload::EvictOldest, || {
        Ok(Box::new(Hung(false)))
    });
    let (mut spec, _publisher) = null::spec(&place, vec![camera], Box::new(|_| Ok(0.0)), listener);
    spec.drain = Duration::ZERO;
    let stop = Stop::new();
    let mut line = start(spec, stop.clone()).unwrap();
    for part in 1..=5 {
        line.route(trigger(part, None));
    }
    let give_up = Instant::now() + Duration::from_secs(20);
    while heard.lock().unwrap().len() < 5 {
        assert!(Instant::now() < give_up, "{:?}", heard.lock().unwrap());
        std::thread::sleep(Duration::from_millis(2));
    }
    line.still();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(line.still(), ["capture-cam0"], "the watchdog is not fed for a stage that hangs, and only for that");
    stop.ask(Duration::ZERO);
    let Ended::Clean((), _) = line.join(Vec::new) else { panic!("a stage gave up") };
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 5);
    assert!(
        heard.iter().filter(|event| event.meta.key.seq > 1).all(|e| e.outcome == Outcome::Unjudged(Reason::Deadline))
    );
}

/// Gives its pictures, and then nothing. Each was taken so long ago, by its driver's time.
struct Pictures(Vec<Vec<u8>>, Duration);

impl Camera for Pictures {
    fn describe(&self) -> String {
        "pictures".to_owned()
    }

    fn next_frame(&mut self, _: Instant, timeout: Duration) -> Result<Take, CaptureError> {
        let Some(bytes) = self.0.pop() else {
            std::thread::sleep(timeout.min(DEADLINE));
            return Ok(Take::Idle);
        };
        let picture = Picture::try_new(null::SIDE, null::SIDE, PixelFormat::Mono8, bytes).unwrap();
        let stamp = Stamp { wall: SystemTime::now() - self.1, mono: Instant::now() - self.1 };
        Ok(Take::Frame(Capture { picture, stamp, source: None, truth: None }))
    }
}

/// What the line says, under these thresholds, of a part with one white spot of 4 x 4 px.
fn said_of_spot(spot: (u32, u32), thresholds: &str) -> String {
    said_of_picture(spot, Duration::ZERO, thresholds)
}

/// The same of a picture that was taken so long ago.
fn said_of_picture((left, top): (u32, u32), age: Duration, thresholds: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { ledger: folder.path().join("ledger.sqlite3"), port: 1, deadline: Duration::from_secs(20) };
    let heard = Heard::default();
    let listener = listener(&heard);
    let camera = CameraSpec::new(CameraId::try_new("cam0").unwrap(), Trigger::Camera, Overload::Wait, move || {
        let white = |x: u32, y: u32| (left..left + 4).contains(&x) && (top..top + 4).contains(&y);
        let side = null::SIDE;
        let bytes = (0..side * side).map(|i| if white(i % side, i / side) { 255 } else { SOUND }).collect();
        Ok(Box::new(Pictures(vec![bytes], age)))
    });
    let (mut spec, _publisher) = null::spec(&place, vec![camera], Box::new(|_| Ok(0.0)), listener);
    spec.drain = Duration::ZERO;
    spec.thresholds.replace(Arc::new(ThresholdSet::read(thresholds, "thresholds.yaml").unwrap()));
    let stop = Stop::new();
    let line = start(spec, stop.clone()).unwrap();
    let give_up = Instant::now() + Duration::from_secs(20);
    while heard.lock().unwrap().is_empty() {
        assert!(Instant::now() < give_up, "nothing was said");
        std::thread::sleep(Duration::from_millis(2));
    }
    stop.ask(Duration::ZERO);
    let Ended::Clean((), _) = line.join(Vec::new) else { panic!("a stage gave up") };
    let heard = heard.lock().unwrap();
    match &heard[0].outcome {
        Outcome::Judged(judgement) => judgement.verdict.as_str().to_owned(),
        Outcome::Unjudged(reason) => format!("UNJUDGED({})", reason.as_str()),
    }
}

#[test]
fn part_passes_with_a_spot_that_does_not_count_and_never_when_nothing_counts() {
    let (near, far) = ((4, 4), (12, 12));
    let ignored = "ignore: [ { x: 0, y: 0, width: 12, height: 12 } ]";
    for (spot, mask, want) in [
        (near, "ignore: []", "REJECT"),
        (far, "ignore: []", "REJECT"),
        (near, ignored, "PASS"),
        (far, ignored, "REJECT"),
        (far, "roi: { x: 0, y: 0, width: 8, height: 8 }", "PASS"),
        (near, "roi: { x: 0, y: 0, width: 8, height: 8 }", "REJECT"),
        // Nothing counts: the camera has another picture size than the operator thought, or all is ignored.
        (far, "roi: { x: 640, y: 0, width: 100, height: 100 }", "UNJUDGED(frame)"),
        (far, "ignore: [ { x: 0, y: 0, width: 16, height: 16 } ]", "UNJUDGED(frame)"),
        (
            far,
            "roi: { x: 0, y: 0, width: 8, height: 8 }, ignore: [ { x: 0, y: 0, width: 9, height: 9 } ]",
            "UNJUDGED(frame)",
        ),
    ] {
        let thresholds = format!("default: {{ review: 0.1, reject: 0.2, {mask} }}\n");
        assert_eq!(said_of_spot(spot, &thresholds), want, "{spot:?}, {mask}");
    }
}

#[test]
fn picture_older_than_the_deadline_by_its_drivers_time_is_late_and_a_younger_one_is_judged() {
    let thresholds = "default: { review: 0.1, reject: 0.2, ignore: [ { x: 0, y: 0, width: 12, height: 12 } ] }\n";
    assert_eq!(said_of_picture((4, 4), Duration::from_secs(10), thresholds), "PASS");
    assert_eq!(said_of_picture((4, 4), Duration::from_secs(21), thresholds), "UNJUDGED(late_trigger)");
}

/// A record stage that is gone can hear nobody: the others must not wait for it, and the process says so.
#[test]
fn record_stage_that_panics_ends_the_line_and_hangs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { ledger: folder.path().join("ledger.sqlite3"), port: 1, deadline: DEADLINE };
    let every = Duration::from_millis(1);
    let cameras = vec![moody("clock", 5, Trigger::FreeRun { every }), moody("message", 6, Trigger::Mqtt)];
    let (spec, _publisher) =
        null::spec(&place, cameras, Box::new(conduct), Box::new(|_, _| panic!("a bug in the record stage")));
    let stop = Stop::new();
    let mut line = start(spec, stop.clone()).unwrap();
    let give_up = Instant::now() + Duration::from_secs(20);
    while !line.is_over() {
        assert!(Instant::now() < give_up, "nobody noticed");
        std::thread::sleep(Duration::from_millis(2));
    }
    // More than the lane holds: whoever still speaks must come back.
    for part in 0..2000 {
        line.route(trigger(part, Some("message")));
    }
    let (done, ended) = std::sync::mpsc::channel();
    let join = move || done.send(matches!(line.join(Vec::new), Ended::Broken("record", None)));
    std::thread::Builder::new().name("join".to_owned()).spawn(join).unwrap();
    assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(true));
}
