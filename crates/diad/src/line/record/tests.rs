use diad_core::event::Reason;
use diad_core::frame::{PartKey, Stamp};
use diad_core::name::{CameraId, LineName, StationName};
use diad_publish::wire::State;

use super::*;
use crate::line::lane::lane;
use crate::line::resilient;
use crate::testing;

const TIME: Duration = Duration::from_millis(200);

fn recording(folder: &std::path::Path) -> Recording {
    let (line, station) = (LineName::try_new("L1").unwrap(), StationName::try_new("S1").unwrap());
    let (ledger, context) = resilient::open(&folder.join("ledger.sqlite3"), &line, &station, 200).unwrap();
    let health = testing::health();
    health.ready();
    let thresholds = ThresholdSet::read("default: { review: 0.2, reject: 0.4 }\n", "thresholds.yaml").unwrap();
    Recording {
        said: lane(1).1,
        publisher: testing::publisher(),
        journal: ResilientLedger::new(ledger, context, Duration::from_secs(60), health.clone()).unwrap(),
        account: Account::default(),
        thresholds: LiveThresholds::new(thresholds),
        deadline: TIME,
        model: Digest::from_bytes([1; 32]),
        settings: Digest::from_bytes([2; 32]),
        listener: Box::new(|_, _| {}),
        archive: Archive::default(),
        beat: StageProgress::default(),
        drain: Duration::ZERO,
        marks: crossbeam_channel::never(),
        repeats: Repeats::new(TIME * 10),
        sleep: SuspensionDetector::new(suspended()),
        rescan: false,
        health,
        last_overdue: None,
    }
}

/// A decision on a part that was captured a time ago.
fn decision(recording: &Recording, seq: u64, ago: Duration) -> Decision {
    let at = now();
    let captured = Stamp { mono: at.mono.checked_sub(ago).unwrap(), ..at };
    let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
    let meta = PartMeta { key, part: None, product: None, source: None, captured };
    let digests = recording.digests(&recording.thresholds.current());
    let event = InspectionEvent::unjudged(meta, Reason::Engine, captured);
    Decision::new(event, digests, Timings::NONE, None)
}

#[test]
fn verdict_whose_record_took_past_the_deadline_stands_and_degrades_the_station() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = recording(folder.path());
    let health = recording.health.clone();
    let decided = decision(&recording, 1, TIME * 10);
    recording.keep_and_say(&[], &[decided], &[]);
    let (state, problems) = health.look();
    assert!(state == State::Degraded && problems[0].0 == DEADLINE_HEALTH, "{problems:?}");
    assert!(problems[0].1.starts_with("1 verdicts"), "{problems:?}");
    assert!(recording.account.take_least_margin_ms().unwrap() < -1000.0);
    assert_eq!((recording.account.totals().overdue, recording.journal.owed()), (1, 1));

    let recorded = recording.last_overdue.unwrap();
    recording.tell_overdue(None, recorded + IN_TIME / 2);
    assert_eq!(health.look().0, State::Degraded);
    recording.tell_overdue(None, recorded + IN_TIME);
    assert_eq!(health.look().0, State::Ready);
}
