use super::*;

const LIMIT: Duration = Duration::from_millis(250);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A connection that was asked at 1000 ms and answered 5 ms later.
fn clear() -> LinkDelay {
    let mut transit = LinkDelay::new(LIMIT, false, ms(1000));
    transit.asked(Question::Subscribe, 0, ms(1000));
    transit.answered(Question::Subscribe, ms(1005));
    transit
}

/// Goes on for a while with a question every 100 ms that is answered 5 ms later.
fn go_on(transit: &mut LinkDelay, from: u64, to: u64) {
    for at in (from..to).step_by(5) {
        transit.look(ms(at));
        if let Some(question) = transit.question(0, ms(at)) {
            transit.asked(question, 0, ms(at));
            transit.answered(question, ms(at + 5));
        }
    }
}

fn is_prompt(transit: &LinkDelay, at: u64) -> bool {
    transit.promptness(false, ms(at)) == Promptness::Prompt
}

#[test]
fn limit_is_the_deadline_within_bounds() {
    assert_eq!(limit(ms(20)), ms(250));
    assert_eq!(limit(ms(300)), ms(300));
    assert_eq!(limit(ms(20_000)), ms(500));
}

#[test]
fn promptness_before_the_first_answer_is_suspect_and_after_it_prompt() {
    let mut transit = LinkDelay::new(LIMIT, false, ms(1000));
    transit.asked(Question::Subscribe, 0, ms(1000));
    assert_eq!(transit.promptness(false, ms(1001)), Promptness::Suspect(Suspicion::Connection));
    transit.answered(Question::Subscribe, ms(1005));
    assert!(is_prompt(&transit, 1005));
    assert_eq!(transit.promptness(true, ms(1005)), Promptness::Suspect(Suspicion::Redelivered));
}

#[test]
fn promptness_of_a_healthy_line_is_never_suspect_whether_triggers_come_in_bursts_or_seldom() {
    let mut transit = clear();
    for from in (1010..60_000).step_by(1000) {
        go_on(&mut transit, from, from + 1000);
        assert!(is_prompt(&transit, from + 1000));
    }
}

#[test]
fn promptness_after_a_process_that_stood_still_is_suspect_until_the_next_answer() {
    let mut transit = clear();
    go_on(&mut transit, 1010, 2000);
    // Stopped for 4 s, with a question under way.
    transit.asked(Question::Unsubscribe, 0, ms(2000));
    transit.look(ms(2001));
    transit.look(ms(6001));
    assert!(!is_prompt(&transit, 6001), "read before the answer");
    transit.answered(Question::Unsubscribe, ms(6002));
    assert_eq!(transit.promptness(false, ms(6002)), Promptness::Suspect(Suspicion::Stall { most: ms(4002) }));
    transit.asked(Question::Unsubscribe, 0, ms(6003));
    assert!(!is_prompt(&transit, 6004));
    transit.answered(Question::Unsubscribe, ms(6008));
    assert!(is_prompt(&transit, 6008), "what is read now was sent after the stop, and no broker stood still");
}

#[test]
fn promptness_after_a_network_or_broker_that_stood_still_is_suspect_for_a_while() {
    let mut transit = clear();
    go_on(&mut transit, 1010, 2000);
    transit.asked(Question::Unsubscribe, 0, ms(2000));
    for at in (2000..3500).step_by(50) {
        transit.look(ms(at));
    }
    assert!(!is_prompt(&transit, 3500));
    transit.answered(Question::Unsubscribe, ms(3500));
    go_on(&mut transit, 3501, 4400);
    assert_eq!(transit.promptness(false, ms(4400)), Promptness::Suspect(Suspicion::Settling));
    go_on(&mut transit, 4400, 4501);
    assert!(is_prompt(&transit, 4501));
}

#[test]
fn promptness_after_a_lost_connection_settles_first() {
    let mut transit = LinkDelay::new(LIMIT, true, ms(1000));
    transit.asked(Question::Subscribe, 0, ms(1000));
    transit.answered(Question::Subscribe, ms(1005));
    assert_eq!(transit.promptness(false, ms(1006)), Promptness::Suspect(Suspicion::Settling));
    go_on(&mut transit, 1010, 2006);
    assert!(is_prompt(&transit, 2006));
}

#[test]
fn answered_behind_a_full_window_proves_nothing() {
    let mut transit = LinkDelay::new(LIMIT, false, ms(1000));
    transit.asked(Question::Subscribe, 0, ms(1000));
    transit.received(1);
    transit.answered(Question::Subscribe, ms(1005));
    assert!(!is_prompt(&transit, 1006), "a broker with a window of 1 may hold more back");
    transit.asked(Question::Unsubscribe, 0, ms(1100));
    transit.answered(Question::Unsubscribe, ms(1105));
    assert!(is_prompt(&transit, 1106), "nothing was unacknowledged");

    // A busy line: the broker shows that its window is larger.
    transit.received(2);
    transit.received(3);
    for (at, unacknowledged, want) in [(1700, 3, false), (1800, 2, true), (2400, 1, true), (3000, 4, false)] {
        transit.asked(Question::Unsubscribe, unacknowledged, ms(at));
        transit.answered(Question::Unsubscribe, ms(at + 5));
        assert_eq!(is_prompt(&transit, at + 6), want, "{unacknowledged} unacknowledged");
    }
}

/// Triggers that come as often as questions are due: each is asked about once it is acknowledged.
#[test]
fn question_waits_for_the_acknowledgement_and_is_put_again_soon_after_an_answer_that_does_not_count() {
    let mut transit = clear();
    transit.received(1);
    assert_eq!(transit.question(1, ms(1100)), None, "its answer would not count");
    assert_eq!(transit.question(0, ms(1101)), Some(Question::Unsubscribe));
    transit.asked(Question::Unsubscribe, 0, ms(1101));
    transit.received(1);
    transit.answered(Question::Unsubscribe, ms(1103));
    assert_eq!(transit.question(0, ms(1120)), None);
    assert_eq!(transit.question(0, ms(1121)), Some(Question::Unsubscribe));
}

#[test]
fn question_that_a_broker_leaves_unanswered_is_put_in_another_way() {
    let mut transit = clear();
    assert_eq!(transit.question(0, ms(1200)), Some(Question::Unsubscribe));
    transit.asked(Question::Unsubscribe, 0, ms(1200));
    assert_eq!(transit.question(0, ms(3200)), None);
    assert_eq!(transit.question(0, ms(3201)), Some(Question::Subscribe));
    transit.asked(Question::Subscribe, 0, ms(3201));
    transit.answered(Question::Subscribe, ms(3205));
    assert!(is_prompt(&transit, 3206), "no broker stood still: it only does not answer that one");
    assert_eq!(transit.question(0, ms(3400)), Some(Question::Subscribe));
}
