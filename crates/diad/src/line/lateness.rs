//! Whether a trigger came late: a part's deadline runs from its trigger at the plant.
//!
//! What shows a trigger's age, the surest first:
//! 1. Its `count`: one that came before, or a number before the last, is an old message.
//! 2. Its `at`, where the plant's clock and ours are in step: older than the deadline is late, younger is young whatever the
//!    link thinks, and the deadline runs from then.
//! 3. The link: [`Promptness`].
//!
//! Pure: no clock, no thread.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use diad_core::frame::Stamp;
use diad_core::name::CameraId;
use diad_publish::wire::TriggerMessage;
use diad_publish::{Promptness, Suspicion};

/// How far the plant's clock may be ahead of ours. A trigger that is given later than that shows two clocks out of step:
/// then no `at` is believed until a prompt trigger shows them in step.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(100);

/// A count that is behind the last one by less is an old message; by more, the plant counts anew.
const OLD_COUNTS: u64 = 65_536;

/// A plant that counts on by more than this counts anew, too: so many triggers are not lost at once.
const MAX_COUNT_LEAP: u64 = 1_000_000;

/// Senders whose counts are told apart, by the camera they name. Others are not counted.
const MAX_COUNTED_SENDERS: usize = 32;

/// What is known of a trigger's age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It may be judged. The part's time runs from here.
    Young(Stamp),
    /// Whatever stands before the camera by now is another part.
    Late(Cause),
}

/// Why a trigger is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// By its own time.
    Old(Duration),
    /// By its count.
    CountedBefore { count: u64, last: u64 },
    /// It may have waited, and nothing shows that it did not.
    Suspect(Suspicion),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Old(age) => write!(f, "it was given {} ms before it came in, by its \"at\"", age.as_millis()),
            Self::CountedBefore { count, last } => write!(f, "its count {count} came after {last}"),
            Self::Suspect(suspicion) => write!(f, "{suspicion}, and no \"at\" shows that it did not"),
        }
    }
}

/// What the triggers of a station have shown so far.
#[derive(Debug)]
pub(super) struct Lateness {
    deadline: Duration,
    /// The last trigger that told showed the two clocks out of step.
    out_of_step: bool,
    /// The last count, by the camera that was named with it.
    counts: HashMap<Option<CameraId>, u64>,
    /// Triggers that must have been lost, by their counts.
    missing: u64,
}

impl Lateness {
    /// Nothing has come. `deadline` is the station's.
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, out_of_step: false, counts: HashMap::new(), missing: 0 }
    }

    /// Triggers that never came, by the counts of those that did.
    pub(super) const fn missing(&self) -> u64 {
        self.missing
    }

    /// The age of a trigger that came in at `heard`.
    pub(super) fn age(&mut self, trigger: &TriggerMessage, heard: Stamp, promptness: Promptness) -> Age {
        if let Some(cause) = trigger.count.and_then(|count| self.count(trigger.camera.as_ref(), count)) {
            return Age::Late(cause);
        }
        match (trigger.at.and_then(|at| self.since(at, heard, promptness)), promptness) {
            (Some(age), _) if age > self.deadline => Age::Late(Cause::Old(age)),
            (Some(age), _) => Age::Young(back(heard, age)),
            (None, Promptness::Prompt) => Age::Young(heard),
            (None, Promptness::Suspect(suspicion)) => Age::Late(Cause::Suspect(suspicion)),
        }
    }

    /// How long ago the plant gave a trigger; `None` if its clock cannot be believed.
    fn since(&mut self, at: SystemTime, heard: Stamp, promptness: Promptness) -> Option<Duration> {
        let age = match heard.wall.duration_since(at) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() <= CLOCK_TOLERANCE => Duration::ZERO,
            Err(_) => {
                self.out_of_step = true;
                return None;
            }
        };
        if age <= CLOCK_TOLERANCE && promptness == Promptness::Prompt {
            self.out_of_step = false;
        }
        // One that looks old is old: a wrong clock may cost a part, and must not pass one.
        (!self.out_of_step || age > self.deadline).then_some(age)
    }

    /// Keeps a count, and says if it is an old one.
    fn count(&mut self, camera: Option<&CameraId>, count: u64) -> Option<Cause> {
        let camera = camera.cloned();
        let Some(&last) = self.counts.get(&camera) else {
            if self.counts.len() < MAX_COUNTED_SENDERS {
                self.counts.insert(camera, count);
            }
            return None;
        };
        let begins_anew = count <= 1 && last > 1;
        if !begins_anew && count <= last && last - count < OLD_COUNTS {
            return Some(Cause::CountedBefore { count, last });
        }
        let left_out = count.saturating_sub(last).saturating_sub(1);
        if left_out < MAX_COUNT_LEAP {
            self.missing += left_out;
        }
        self.counts.insert(camera, count);
        None
    }
}

/// That long before.
fn back(stamp: Stamp, age: Duration) -> Stamp {
    let earlier = || Some(Stamp { wall: stamp.wall.checked_sub(age)?, mono: stamp.mono.checked_sub(age)? });
    earlier().unwrap_or(stamp)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const DEADLINE: Duration = Duration::from_millis(300);
    const STALL: Promptness = Promptness::Suspect(Suspicion::Stall { most: Duration::from_secs(4) });

    struct Plant {
        lateness: Lateness,
        heard: Stamp,
    }

    impl Plant {
        fn new() -> Self {
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400);
            Self { lateness: Lateness::new(DEADLINE), heard: Stamp { wall, mono: Instant::now() } }
        }

        /// `age_ms` is negative for a time in the future.
        fn trigger(&mut self, age_ms: Option<i64>, count: Option<u64>, promptness: Promptness) -> Age {
            let mut trigger = TriggerMessage::parse("t", br#"{"part":"P-1"}"#).unwrap();
            let by = |age: i64| Duration::from_millis(age.unsigned_abs());
            trigger.at = age_ms.map(|age| if age < 0 { self.heard.wall + by(age) } else { self.heard.wall - by(age) });
            trigger.count = count;
            self.lateness.age(&trigger, self.heard, promptness)
        }

        fn young(&self, age_ms: u64) -> Age {
            Age::Young(back(self.heard, Duration::from_millis(age_ms)))
        }
    }

    #[test]
    fn age_without_a_proof_is_what_the_link_knows() {
        let mut plant = Plant::new();
        assert_eq!(plant.trigger(None, None, Promptness::Prompt), plant.young(0));
        let Promptness::Suspect(suspicion) = STALL else { unreachable!() };
        assert_eq!(plant.trigger(None, None, STALL), Age::Late(Cause::Suspect(suspicion)));
    }

    #[test]
    fn age_by_the_plants_clock_decides_whatever_the_link_knows() {
        let mut plant = Plant::new();
        for promptness in [Promptness::Prompt, STALL] {
            assert_eq!(plant.trigger(Some(40), None, promptness), plant.young(40));
            assert_eq!(plant.trigger(Some(300), None, promptness), plant.young(300));
            assert_eq!(plant.trigger(Some(301), None, promptness), Age::Late(Cause::Old(Duration::from_millis(301))));
            assert_eq!(plant.trigger(Some(-100), None, promptness), plant.young(0), "within the tolerance");
        }
    }

    /// Our clock is 4 s behind the plant's: a trigger that waited for 4 s looks young.
    #[test]
    fn age_by_a_clock_out_of_step_proves_nothing_until_it_is_in_step() {
        let mut plant = Plant::new();
        assert_eq!(plant.trigger(Some(-4000), None, Promptness::Prompt), plant.young(0), "the link vouches for it");
        assert!(matches!(plant.trigger(Some(50), None, STALL), Age::Late(Cause::Suspect(_))));
        assert!(matches!(plant.trigger(Some(400), None, Promptness::Prompt), Age::Late(Cause::Old(_))));
        assert_eq!(plant.trigger(Some(20), None, Promptness::Prompt), plant.young(20), "in step again");
        assert_eq!(plant.trigger(Some(50), None, STALL), plant.young(50));
    }

    #[test]
    fn age_by_a_count_that_came_before_is_late_and_a_gap_is_counted() {
        let mut plant = Plant::new();
        for count in [7, 8, 12] {
            assert_eq!(plant.trigger(None, Some(count), Promptness::Prompt), plant.young(0));
        }
        assert_eq!(plant.lateness.missing(), 3);
        for count in [12, 11, 8] {
            let age = plant.trigger(Some(0), Some(count), Promptness::Prompt);
            assert_eq!(age, Age::Late(Cause::CountedBefore { count, last: 12 }));
        }
        // A count says that none is missing, not when it was sent.
        assert!(matches!(plant.trigger(None, Some(13), STALL), Age::Late(Cause::Suspect(_))));
    }

    #[test]
    fn count_begins_anew_with_the_plants_controller() {
        let mut plant = Plant::new();
        for count in [5_000_000, 0, 1, 2, 3_000_000, 3_000_001, 1, 2, 70_000, 2] {
            assert_eq!(plant.trigger(None, Some(count), Promptness::Prompt), plant.young(0), "{count}");
        }
        assert_eq!(plant.lateness.missing(), 69_997);
    }
}
