//! Cameras that fail, in the ways in which cameras do, beside others that do not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use diad::health::Health;
use diad::line::{CameraSpec, Ended, Line, LineError, LineSpec, Overload, Stop, start};
use diad::settings::Trigger;
use diad_capture::{
    Camera, Capture, CaptureError, Frozen, FrozenBy, LostError, OpenError, Picture, PictureError, Take,
};
use diad_core::event::{InspectionEvent, Outcome, Reason};
use diad_core::frame::{PixelFormat, Stamp};
use diad_core::name::CameraId;
use diad_publish::wire::State;

use super::null::{self, Null, Place};
use super::{Heard, SOUND, listener, trigger};

/// Nobody measures the machine here: what is said by the deadline is said at once.
const PATIENT: Duration = Duration::from_secs(60);
pub(super) const TICK: Duration = Duration::from_millis(20);
const GIVE_UP: Duration = Duration::from_secs(20);

/// What a camera does next.
enum Does {
    /// A picture with a name, taken at this moment.
    Picture(&'static str, Stamp),
    /// A picture that is none.
    Bad,
    /// The picture before, once more than it may be.
    Frozen,
    /// So many pictures that nobody gets.
    Miss(u64),
    /// The end.
    Lost,
    /// A bug.
    Panic,
}

/// The near end of a camera, for the test to pull.
#[derive(Clone)]
pub(super) struct Cable(Arc<Mutex<Known>>);

struct Known {
    does: VecDeque<Does>,
    /// What it gives whenever it is asked and has nothing better to do.
    always: Option<&'static str>,
    plugged: bool,
    /// The driver does not come back.
    hangs: bool,
    tries: usize,
    asked: usize,
}

fn now() -> Stamp {
    Stamp { wall: SystemTime::now(), mono: Instant::now() }
}

impl Cable {
    fn new() -> Self {
        let does = VecDeque::new();
        Self(Arc::new(Mutex::new(Known { does, always: None, plugged: true, hangs: false, tries: 0, asked: 0 })))
    }

    /// A camera that is well.
    pub(super) fn of_a_good_camera() -> Self {
        let cable = Self::new();
        cable.know().always = Some("good");
        cable
    }

    fn know(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }

    fn does(&self, does: Does) {
        self.know().does.push_back(does);
    }

    /// Waits as long as the driver hangs.
    fn driver(&self) {
        while self.know().hangs {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn spec(&self, name: &str, trigger: Trigger) -> CameraSpec {
        let cable = self.clone();
        CameraSpec::new(CameraId::try_new(name).unwrap(), trigger, Overload::EvictOldest, move || {
            cable.know().tries += 1;
            cable.driver();
            if cable.know().plugged {
                return Ok(Box::new(Scripted { cable: cable.clone(), superseded: 0 }));
            }
            Err(CaptureError::Open { camera: "scripted".into(), source: OpenError::Held })
        })
    }
}

/// Does as it is told, and honours the moment from which on pictures count, as a live camera does.
struct Scripted {
    cable: Cable,
    superseded: u64,
}

impl Camera for Scripted {
    fn describe(&self) -> String {
        "scripted".to_owned()
    }

    fn next_frame(&mut self, not_before: Instant, timeout: Duration) -> Result<Take, CaptureError> {
        let give_up = Instant::now() + timeout;
        self.cable.know().asked += 1;
        loop {
            self.cable.driver();
            let mut known = self.cable.know();
            let lost = || CaptureError::Lost { camera: "scripted".into(), source: LostError::Stalled(Duration::ZERO) };
            if !known.plugged {
                return Err(lost());
            }
            let always = |name| Does::Picture(name, now());
            let next = known.does.pop_front().or_else(|| known.always.map(always));
            drop(known);
            match next {
                Some(Does::Picture(_, stamp)) if stamp.mono < not_before => self.superseded += 1,
                Some(Does::Picture(name, stamp)) => {
                    let bytes = vec![SOUND; (null::SIDE * null::SIDE) as usize];
                    let picture = Picture::try_new(null::SIDE, null::SIDE, PixelFormat::Mono8, bytes).unwrap();
                    let source = Some(name.into());
                    return Ok(Take::Frame(Capture { picture, stamp, source, truth: None }));
                }
                Some(Does::Bad) => {
                    let source = PictureError::Read(std::io::ErrorKind::InvalidData.into());
                    return Err(CaptureError::Frame { origin: "scripted".into(), source });
                }
                Some(Does::Frozen) => {
                    let frozen = Frozen { by: FrozenBy::Picture, pictures: 4 };
                    return Err(CaptureError::Frozen { camera: "scripted".into(), frozen });
                }
                Some(Does::Miss(pictures)) => self.superseded += pictures,
                Some(Does::Lost) => return Err(lost()),
                Some(Does::Panic) => panic!("a bug in a camera"),
                None if Instant::now() >= give_up => return Ok(Take::Idle),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn superseded(&mut self) -> u64 {
        std::mem::take(&mut self.superseded)
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// A line of such cameras.
pub(super) struct Watched {
    pub(super) line: Line<()>,
    pub(super) health: Health,
    heard: Heard,
    pub(super) stop: Stop,
    _folder: tempfile::TempDir,
}

fn try_start(cameras: Vec<CameraSpec>, change: impl FnOnce(&mut LineSpec<Null, ()>)) -> Result<Watched, LineError> {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { ledger: folder.path().join("ledger.sqlite3"), port: 1, deadline: PATIENT };
    let heard = Heard::default();
    let (mut spec, _publisher) = null::spec(&place, cameras, Box::new(|_| Ok(0.0)), listener(&heard));
    spec.drain = Duration::ZERO;
    change(&mut spec);
    let health = spec.health.clone();
    let stop = Stop::new();
    let line = start(spec, stop.clone())?;
    health.ready();
    Ok(Watched { line, health, heard, stop, _folder: folder })
}

impl Watched {
    fn start(cameras: Vec<CameraSpec>) -> Self {
        Self::start_with(cameras, |_| {})
    }

    pub(super) fn start_with(cameras: Vec<CameraSpec>, change: impl FnOnce(&mut LineSpec<Null, ()>)) -> Self {
        try_start(cameras, change).unwrap()
    }

    pub(super) fn wait(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        let give_up = Instant::now() + GIVE_UP;
        while !done(self) {
            assert!(Instant::now() < give_up, "waited for: {what}; {:?}; {:?}", self.health.told(), self.heard);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn trigger(&self, part: u64) {
        self.line.route(trigger(part, None));
    }

    pub(super) fn of(&self, camera: &str) -> Vec<InspectionEvent> {
        self.heard.lock().unwrap().iter().filter(|event| event.meta.key.camera.as_str() == camera).cloned().collect()
    }

    /// What is said of the n-th part of a camera, from 1.
    fn said(&mut self, camera: &str, part: u64) -> InspectionEvent {
        let find = |watched: &Self| watched.of(camera).into_iter().find(|event| event.meta.key.seq == part);
        self.wait("a verdict", |watched| find(watched).is_some());
        find(self).unwrap()
    }

    fn expect_unjudged(&mut self, camera: &str, part: u64, reason: Reason) {
        assert_eq!(self.said(camera, part).outcome, Outcome::Unjudged(reason), "{camera}, part {part}");
    }

    /// Waits for a judged part, and gives the name of its picture.
    fn expect_judged(&mut self, camera: &str, part: u64) -> Arc<str> {
        let said = self.said(camera, part);
        assert!(matches!(said.outcome, Outcome::Judged(_)), "{said:?}");
        said.meta.source.unwrap()
    }

    /// Waits for parts of a camera that goes on.
    pub(super) fn expect_more_of(&mut self, camera: &str) {
        let judged =
            |watched: &Self| watched.of(camera).iter().filter(|e| matches!(e.outcome, Outcome::Judged(_))).count();
        let before = judged(self);
        self.wait("parts of another camera", |watched| judged(watched) > before + 3);
    }

    /// Every stage has moved since the last look.
    pub(super) fn expect_all_move(&mut self) {
        for _ in 0..3 {
            self.wait("a beat of every stage", |watched| watched.line.still().is_empty());
        }
    }

    pub(super) fn end(self) {
        self.stop.ask(Duration::from_secs(5));
        assert!(matches!(self.line.join(Vec::new), Ended::Clean(..)), "a stage gave up");
    }
}

#[test]
fn part_that_its_camera_saw_counts_though_its_picture_is_older_than_its_receipt() {
    let cable = Cable::new();
    let mut watched = Watched::start(vec![cable.spec("cam0", Trigger::Camera)]);
    for part in 1..=3 {
        let asked = cable.know().asked;
        watched.wait("a still line", |_| cable.know().asked > asked + 1);
        let received = now();
        let age = Duration::from_millis(250);
        let taken = Stamp { wall: received.wall - age, mono: received.mono - age };
        cable.does(Does::Picture("sparse", taken));
        watched.expect_judged("cam0", part);
        assert_eq!(watched.said("cam0", part).meta.captured, taken);
    }
    assert_eq!(watched.line.account().totals().triggered, 3);
    watched.end();
}

#[test]
fn parts_whose_pictures_nobody_got_are_booked_when_their_camera_is_lost() {
    let cable = Cable::new();
    let mut watched = Watched::start(vec![cable.spec("cam0", Trigger::Camera)]);
    cable.does(Does::Miss(2));
    cable.does(Does::Lost);
    watched.expect_unjudged("cam0", 1, Reason::Overrun);
    watched.expect_unjudged("cam0", 2, Reason::Overrun);
    cable.does(Does::Picture("next", now()));
    watched.expect_judged("cam0", 3);
    watched.end();
}

#[test]
fn parts_whose_pictures_nobody_got_are_booked_with_the_next_picture_also_if_that_is_bad() {
    let cable = Cable::new();
    let mut watched = Watched::start(vec![cable.spec("cam0", Trigger::Camera)]);
    cable.does(Does::Miss(1));
    cable.does(Does::Bad);
    watched.expect_unjudged("cam0", 1, Reason::Overrun);
    watched.expect_unjudged("cam0", 2, Reason::Frame);
    watched.end();
}

#[test]
fn part_that_its_camera_saw_before_the_stop_is_booked() {
    let cable = Cable::new();
    let mut watched = Watched::start(vec![cable.spec("cam0", Trigger::Camera)]);
    cable.know().hangs = true;
    watched.wait("a picture is waited for", |_| cable.know().asked > 0);
    for part in ["first", "second"] {
        cable.does(Does::Picture(part, now()));
    }
    watched.stop.ask(Duration::from_secs(5));
    cable.know().hangs = false;
    let heard = Arc::clone(&watched.heard);
    watched.end();
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[test]
fn part_that_was_in_front_of_the_camera_before_the_next_came_is_not_judged_by_the_picture_of_that() {
    let cable = Cable::new();
    let mut watched = Watched::start(vec![cable.spec("cam0", Trigger::Mqtt)]);
    cable.does(Does::Picture("of the part before", now()));
    for part in 1..=3 {
        watched.trigger(part);
    }
    watched.wait("the camera is asked", |_| cable.know().asked > 0);
    cable.does(Does::Picture("third", now()));
    watched.expect_unjudged("cam0", 1, Reason::Overrun);
    watched.expect_unjudged("cam0", 2, Reason::Overrun);
    assert_eq!(&*watched.expect_judged("cam0", 3), "third");

    watched.trigger(4);
    let taken = now();
    watched.trigger(5);
    cable.does(Does::Picture("fourth", taken));
    cable.does(Does::Picture("fifth", now()));
    assert_eq!(&*watched.expect_judged("cam0", 4), "fourth");
    assert_eq!(&*watched.expect_judged("cam0", 5), "fifth");

    watched.trigger(6);
    watched.trigger(7);
    watched.end();
}

#[test]
fn lost_camera_is_named_with_its_time_until_it_gives_a_picture_and_others_go_on() {
    let (cable, other) = (Cable::new(), Cable::of_a_good_camera());
    let mut watched =
        Watched::start(vec![cable.spec("cam0", Trigger::Mqtt), other.spec("cam1", Trigger::FreeRun { every: TICK })]);
    let picture = |watched: &Watched, part| {
        watched.trigger(part);
        cable.does(Does::Picture("own", now()));
    };
    picture(&watched, 1);
    watched.expect_judged("cam0", 1);
    assert_eq!(watched.health.told(), (State::Ready, String::new()));

    cable.know().plugged = false;
    watched.trigger(2);
    watched.expect_unjudged("cam0", 2, Reason::Camera);
    let (state, detail) = watched.health.told();
    assert_eq!(state, State::Degraded);
    assert!(detail.starts_with("camera cam0 since ") && !detail.contains("cam1"), "{detail}");
    let since = watched.health.look().1[0].2;

    let tries = cable.know().tries;
    watched.wait("two tries that fail", |_| cable.know().tries > tries + 2);
    watched.trigger(3);
    watched.expect_unjudged("cam0", 3, Reason::Camera);
    assert!(watched.health.told().1.contains("open camera scripted"), "{:?}", watched.health.told());
    watched.expect_more_of("cam1");

    cable.know().plugged = true;
    watched.wait("the camera", |watched| watched.health.told().1.ends_with("open again, and no picture yet"));
    cable.does(Does::Bad);
    watched.trigger(4);
    watched.expect_unjudged("cam0", 4, Reason::Frame);
    let (state, problems) = watched.health.look();
    assert_eq!((state, problems[0].2), (State::Degraded, since), "a camera that opens is not yet one that sees");

    picture(&watched, 5);
    watched.expect_judged("cam0", 5);
    watched.wait("ready", |watched| watched.health.told() == (State::Ready, String::new()));
    watched.end();
}

#[test]
fn frozen_camera_gives_no_verdict_and_is_named_until_its_picture_is_another() {
    let (message, own) = (Cable::new(), Cable::new());
    let mut watched = Watched::start(vec![message.spec("cam0", Trigger::Mqtt), own.spec("cam1", Trigger::Camera)]);
    let tries = message.know().tries + own.know().tries;
    for part in 1..=2 {
        message.does(Does::Frozen);
        own.does(Does::Frozen);
        watched.trigger(part);
        watched.expect_unjudged("cam0", part, Reason::Camera);
        watched.expect_unjudged("cam1", part, Reason::Camera);
        watched.wait("a state", |watched| watched.health.look().0 == State::Degraded);
        let detail = format!("{:?}", watched.health.look().1);
        assert!(detail.contains("cam0") && detail.contains("cam1") && detail.contains("is frozen"), "{detail}");
    }
    own.does(Does::Picture("other", now()));
    watched.expect_judged("cam1", 3);
    watched.trigger(3);
    message.does(Does::Picture("other", now()));
    watched.expect_judged("cam0", 3);
    watched.wait("ready", |watched| watched.health.look().0 == State::Ready);
    assert_eq!(message.know().tries + own.know().tries, tries, "it goes on as it is");
    watched.end();
}

#[test]
fn station_begins_with_the_cameras_that_open_and_takes_the_others_when_they_come() {
    let (absent, other) = (Cable::of_a_good_camera(), Cable::of_a_good_camera());
    absent.know().plugged = false;
    let trigger = Trigger::FreeRun { every: TICK };
    let mut watched = Watched::start(vec![absent.spec("cam0", trigger), other.spec("cam1", trigger)]);
    watched.expect_more_of("cam1");
    watched.expect_unjudged("cam0", 1, Reason::Camera);
    let (state, detail) = watched.health.told();
    assert_eq!(state, State::Degraded);
    assert!(detail.starts_with("camera cam0 since "), "{detail}");
    absent.know().plugged = true;
    watched.expect_more_of("cam0");
    watched.wait("ready", |watched| watched.health.told() == (State::Ready, String::new()));
    watched.end();
}

#[test]
fn station_without_any_camera_does_not_begin() {
    let (one, other) = (Cable::new(), Cable::new());
    one.know().plugged = false;
    other.know().plugged = false;
    let cameras = vec![one.spec("cam0", Trigger::Mqtt), other.spec("cam1", Trigger::Camera)];
    assert!(matches!(try_start(cameras, |_| {}), Err(LineError::Camera(CaptureError::Open { .. }))));
}

#[test]
fn driver_that_hangs_while_its_camera_is_opened_again_stops_no_stage_and_no_part() {
    let (message, clock) = (Cable::new(), Cable::of_a_good_camera());
    let mut watched = Watched::start(vec![
        message.spec("message", Trigger::Mqtt),
        clock.spec("clock", Trigger::FreeRun { every: TICK }),
    ]);
    watched.expect_more_of("clock");
    for cable in [&message, &clock] {
        let tries = cable.know().tries;
        cable.know().plugged = false;
        watched.trigger(1);
        watched.wait("tries that fail", |_| cable.know().tries > tries);
        cable.know().hangs = true;
    }
    let hung = Instant::now();
    let due_meanwhile = |watched: &Watched| {
        let parts = watched.of("clock").into_iter();
        parts.filter(|event| event.meta.captured.mono > hung).collect::<Vec<_>>()
    };
    watched.trigger(2);
    watched.expect_unjudged("message", 3, Reason::Camera);
    watched.expect_all_move();
    watched.wait("parts of the clock", |watched| due_meanwhile(watched).len() > 5);
    assert!(due_meanwhile(&watched).iter().all(|event| event.outcome == Outcome::Unjudged(Reason::Camera)));
    for cable in [&message, &clock] {
        let mut known = cable.know();
        known.hangs = false;
        known.plugged = true;
    }
    watched.expect_more_of("clock");
    watched.end();
}

/// Every part of the clock is one, also while nobody can look at the clock.
#[test]
fn clock_leaves_out_no_part_of_the_time_in_which_a_camera_holds_its_stage_up() {
    let cable = Cable::of_a_good_camera();
    let before = Instant::now();
    let mut watched = Watched::start(vec![cable.spec("cam0", Trigger::FreeRun { every: TICK })]);
    let started = Instant::now();
    watched.expect_more_of("cam0");
    cable.know().hangs = true;
    std::thread::sleep(Duration::from_millis(1500));
    cable.know().hangs = false;
    let triggered = |watched: &Watched| u128::from(watched.line.account().totals().triggered);
    let due = |since: Instant| since.elapsed().as_millis() / TICK.as_millis();
    watched.wait("the clock", |watched| triggered(watched) + 2 >= due(started));
    assert!(triggered(&watched) <= due(before));
    let is_missed = |event: &InspectionEvent| event.outcome == Outcome::Unjudged(Reason::Overrun);
    watched.wait("the parts without a picture", |watched| watched.of("cam0").iter().any(is_missed));
    watched.end();
}

#[test]
fn camera_stage_that_panics_beside_another_ends_the_line_as_a_bug() {
    let (cable, other) = (Cable::new(), Cable::of_a_good_camera());
    let mut watched =
        Watched::start(vec![cable.spec("cam0", Trigger::Mqtt), other.spec("cam1", Trigger::FreeRun { every: TICK })]);
    cable.does(Does::Panic);
    watched.trigger(1);
    watched.wait("somebody notices", |watched| {
        watched.line.is_over();
        watched.stop.has_bug() == Some("capture")
    });
    assert!(watched.stop.asked(), "the other camera ends, too");
    assert!(matches!(watched.line.join(Vec::new), Ended::Broken("capture", Some(_))));
    let heard = watched.heard.lock().unwrap();
    let part = heard.iter().find(|event| event.meta.key.camera.as_str() == "cam0").unwrap();
    assert!(matches!(part.outcome, Outcome::Unjudged(_)), "the part in hand has its verdict: {part:?}");
}
