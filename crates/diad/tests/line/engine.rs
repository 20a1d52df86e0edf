//! Networks that fail again and again, and what the station says of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diad::line::Ended;
use diad::settings::Trigger;
use diad_core::event::{Outcome, Reason};
use diad_publish::wire::State;

use super::cameras::{Cable, TICK, Watched};
use super::null::{self, Told};

#[test]
fn networks_that_fail_are_named_and_loaded_anew_as_long_as_it_takes_and_then_well_again() {
    let camera = Cable::of_a_good_camera();
    let (loading, loaded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let rebuild = {
        let (loading, loaded) = (Arc::clone(&loading), Arc::clone(&loaded));
        move || {
            loading.store(true, Ordering::Release);
            while !loaded.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(null::inspector(Box::new(|_| Ok(0.0))))
        }
    };
    let mut watched = Watched::start_with(vec![camera.spec("cam0", Trigger::FreeRun { every: TICK })], |spec| {
        spec.inspector = null::inspector(Box::new(|_| Err(Told)));
        spec.rebuild = Box::new(rebuild);
    });
    watched.wait("networks that are loaded", |_| loading.load(Ordering::Acquire));
    watched.expect_all_move();
    let (state, detail) = watched.health.told();
    assert_eq!(state, State::Degraded);
    assert!(detail.starts_with("engine since ") && detail.contains("told to fail"), "{detail}");
    assert!(detail.ends_with("the networks are being loaded anew"), "{detail}");
    loaded.store(true, Ordering::Release);
    watched.expect_more_of("cam0");
    watched.wait("ready", |watched| watched.health.told() == (State::Ready, String::new()));
    let failed = watched.of("cam0").iter().filter(|event| event.outcome == Outcome::Unjudged(Reason::Engine)).count();
    assert_eq!(failed, 3);
    watched.end();
}

#[test]
fn networks_that_fail_after_they_were_loaded_anew_end_the_line_and_say_why() {
    let camera = Cable::of_a_good_camera();
    let mut watched = Watched::start_with(vec![camera.spec("cam0", Trigger::FreeRun { every: TICK })], |spec| {
        spec.inspector = null::inspector(Box::new(|_| Err(Told)));
        spec.rebuild = Box::new(|| Ok(null::inspector(Box::new(|_| Err(Told)))));
    });
    watched.wait("the end", |watched| watched.line.is_over());
    let (state, detail) = watched.health.told();
    assert_eq!(state, State::Degraded);
    assert!(detail.contains("still fail after they were loaded anew") && detail.contains("told to fail"), "{detail}");
    assert!(matches!(watched.line.join(Vec::new), Ended::Broken("infer", Some(_))));
}
