use super::*;

fn ending(at: Instant, behind: Option<(Own, usize)>) -> Ending {
    Ending { at, reason: "closed".to_owned(), closed: true, behind }
}

#[test]
fn three_endings_within_a_minute_are_a_fault_for_a_minute() {
    let (begin, mut endings) = (Instant::now(), Endings::default());
    let at = |seconds| begin + Duration::from_secs(seconds);
    endings.note(ending(at(0), None), 0);
    endings.note(ending(at(10), None), 0);
    assert_eq!(endings.pattern(at(10)), None);
    endings.note(ending(at(20), None), 0);
    let flaps = |count| Some(Pattern::Flaps { count, reason: "closed".to_owned(), mute: true });
    assert_eq!(endings.pattern(at(20)), flaps(3));
    assert_eq!(endings.pattern(at(59)), flaps(3));
    assert_eq!(endings.pattern(at(60)), None, "the first no longer counts");
    let by_us = Ending { closed: false, reason: "suspended".to_owned(), ..ending(at(61), None) };
    endings.note(by_us, 0);
    assert_eq!(endings.pattern(at(61)), Some(Pattern::Flaps { count: 3, reason: "suspended".to_owned(), mute: false }));
}

#[test]
fn endings_behind_long_messages_show_a_limit_until_one_gets_through() {
    let (begin, mut endings) = (Instant::now(), Endings::default());
    let at = |seconds| begin + Duration::from_secs(seconds);
    endings.note(ending(at(0), Some((Own::Verdict, 560))), 120);
    assert_eq!((endings.limit(at(0)), endings.pattern(at(0))), (None, None), "once may be chance");
    endings.note(ending(at(1), Some((Own::Verdict, 559))), 120);
    assert_eq!(endings.limit(at(1)), Some(490), "and a little shorter");
    assert_eq!(endings.pattern(at(1)), Some(Pattern::Cut(Own::Verdict, 559)));
    assert_eq!(endings.limit(at(1) + HELD_FIRST), None, "tried again");
    endings.note(ending(at(400), Some((Own::Verdict, 570))), 120);
    endings.note(ending(at(401), Some((Own::Verdict, 565))), 120);
    assert_eq!(endings.limit(at(401)), Some(495));
    endings.note(ending(at(402), None), 120);
    assert_eq!(endings.limit(at(402)), None, "the broker may have been restarted with another limit");
    for second in [403, 404] {
        endings.note(ending(at(second), Some((Own::Verdict, 565))), 120);
    }
    assert_eq!(endings.limit(at(404)), Some(495));
    endings.note(ending(at(405), Some((Own::Verdict, 700))), 600);
    assert_eq!(endings.limit(at(405)), None, "a longer one was acknowledged");
}

#[test]
fn messages_above_a_limit_are_held_back_twice_as_long_after_each_trial() {
    let (mut now, mut endings) = (Instant::now(), Endings::default());
    endings.note(ending(now, Some((Own::Verdict, 560))), 120);
    for seconds in [30, 60, 120, 240, 300, 300] {
        // The second of two endings within a minute; after a longer time, both are tried.
        endings.note(ending(now, Some((Own::Verdict, 560))), 120);
        endings.note(ending(now, Some((Own::Verdict, 560))), 120);
        let held = Duration::from_secs(seconds);
        assert_eq!(endings.limit(now + held - Duration::from_secs(1)), Some(490), "{seconds} s");
        now += held;
        assert_eq!(endings.limit(now), None, "{seconds} s");
    }
    endings.note(ending(now, None), 120);
    for _ in 0..2 {
        endings.note(ending(now, Some((Own::Verdict, 560))), 120);
    }
    assert_eq!(endings.limit(now + HELD_FIRST), None, "a broker that was restarted begins again");
}

#[test]
fn messages_longer_than_the_longest_acknowledged_are_held_back_at_most() {
    let (now, mut endings) = (Instant::now(), Endings::default());
    for _ in 0..2 {
        endings.note(ending(now, Some((Own::Verdict, 560))), 540);
    }
    assert_eq!(endings.limit(now), Some(541));
}

#[test]
fn endings_behind_messages_that_others_were_longer_than_show_no_limit() {
    let (begin, mut endings) = (Instant::now(), Endings::default());
    for second in 0..2 {
        endings.note(ending(begin + Duration::from_secs(second), Some((Own::Verdict, 559))), 560);
    }
    assert_eq!(endings.limit(begin), None);
}

#[test]
fn state_of_another_client_shows_a_twin_for_a_minute() {
    let (begin, mut endings) = (Instant::now(), Endings::default());
    endings.note_twin(begin);
    endings.note(ending(begin, None), 120);
    assert_eq!(endings.pattern(begin), None, "a broker may come back with what it knew before");
    for _ in 0..4 {
        endings.note(ending(begin, Some((Own::Verdict, 559))), 120);
    }
    assert_eq!(endings.pattern(begin), Some(Pattern::Twin));
    assert_eq!(endings.limit(begin), None, "the other client ended the connection, not a length");
    assert_eq!(endings.pattern(begin + WINDOW), None);
}
