use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400)
}

#[test]
fn clock_that_is_set_forward_makes_nothing_old_before_its_time() {
    let retention = Retention { wall: start(), mono: Instant::now(), newest: Some(start() - DAY) };
    let lived = DAY * 2;
    for (wall, want) in [
        (start() + lived, start() - DAY * 8),
        (start() + DAY * 400, start() - DAY * 8),
        (start() - DAY * 5, start() - DAY * 15),
        (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH),
    ] {
        assert_eq!(retention.before_at(DAY * 10, wall, retention.mono + lived), Ok(want.into()));
    }
}

#[test]
fn clock_that_was_far_ahead_at_the_start_makes_nothing_old_at_all() {
    let mono = Instant::now();
    for (newest, plausible) in [
        (None, true),
        (Some(start() - DAY * 10), true),
        (Some(start() + DAY * 400), true),
        (Some(start() - DAY * 11), false),
    ] {
        let retention = Retention { wall: start(), mono, newest };
        let before = retention.before_at(DAY * 10, start() + DAY, mono + DAY);
        assert_eq!(before.is_ok(), plausible, "{newest:?}");
        if let Err(implausible) = before {
            assert!(implausible.to_string().contains("is 11 days ahead"), "{implausible}");
        }
    }
}
