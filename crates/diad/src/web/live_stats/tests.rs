use std::time::{Duration, Instant};

use diad_core::event::{Judgement, Reason};
use diad_core::frame::{PartKey, PartMeta, Roi, Stamp};
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::ProductName;
use diad_core::score::Score;

use super::*;

fn event(seq: u64, hour: u64, product: Option<&str>, verdict: Option<Verdict>) -> InspectionEvent {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400 + hour * 3600);
    let mono = Instant::now();
    let meta = PartMeta {
        key: PartKey { camera: CameraId::try_new("cam0").unwrap(), seq },
        part: None,
        product: product.map(|name| ProductName::try_new(name).unwrap()),
        source: None,
        captured: Stamp { wall, mono },
    };
    let judged = Stamp { wall, mono: mono + Duration::from_millis(40) };
    let score = |value| Score::try_new(value).unwrap();
    match verdict {
        None => InspectionEvent::unjudged(meta, Reason::Deadline, judged),
        Some(verdict) => {
            let thresholds = Thresholds::try_new(score(0.2), score(0.4), 0).unwrap();
            let region = Roi { x: 0, y: 0, width: 1, height: 1 };
            InspectionEvent::judged(meta, Judgement { verdict, score: score(0.3), thresholds, region }, judged)
        }
    }
}

#[test]
fn board_counts_every_part_once_by_hour_and_product() {
    let board = LiveStats::default();
    for (seq, product, verdict) in [
        (1, Some("gear"), Some(Verdict::Pass)),
        (2, Some("gear"), Some(Verdict::Reject)),
        (3, None, None),
        (4, Some("cap"), Some(Verdict::Review)),
    ] {
        board.note(&event(seq, 0, product, verdict), &Timings::NONE, 200.0);
    }
    let hour = "2026-01-01T08:00Z".to_owned();
    let one = Count::default();
    assert_eq!(
        board.counts(),
        [
            (hour.clone(), NO_PRODUCT.to_owned(), Count { unjudged: 1, ..one }),
            (hour.clone(), "cap".to_owned(), Count { review: 1, ..one }),
            (hour, "gear".to_owned(), Count { pass: 1, reject: 1, ..one }),
        ]
    );
    let (totals, latency) = board.totals();
    assert_eq!((totals.values().sum::<u64>(), latency.count), (4, 4));
    // 40 ms lie in the bucket up to 50 ms and all above it.
    assert_eq!(latency.counts.map(|count| count == 4), Latency::BOUNDS_S.map(|bound| bound >= 0.05));
    assert!((board.least_margin_ms().unwrap() - 160.0).abs() < 1e-6);
}

#[test]
fn board_that_runs_for_long_stays_small() {
    let board = LiveStats::default();
    for part in 1..=5_000 {
        let product = format!("product{}", part % 100);
        board.note(&event(part, part / 50, Some(&product), Some(Verdict::Pass)), &Timings::NONE, 200.0);
        board.settle();
    }
    let counts = board.counts();
    let mut hours: Vec<_> = counts.iter().map(|(hour, ..)| hour).collect();
    hours.dedup();
    assert_eq!(hours.len(), COUNTED_HOURS);
    let (totals, _) = board.totals();
    assert_eq!((totals.len(), totals.values().sum::<u64>()), (MAX_COUNTED_PRODUCTS + 1, 5_000));
    assert_eq!(board.after(0, usize::MAX).len(), MAX_RECENT_PARTS);
}

#[test]
fn board_that_nobody_looks_at_counts_what_it_misses() {
    let board = LiveStats::default();
    (0..MAX_UNSEEN_VERDICTS as u64 + 7)
        .for_each(|seq| board.note(&event(seq, 0, None, Some(Verdict::Pass)), &Timings::NONE, 200.0));
    let (totals, _) = board.totals();
    assert_eq!((totals.values().sum::<u64>(), board.unseen()), (MAX_UNSEEN_VERDICTS as u64, 7));
}

#[test]
fn scrape_has_every_series_at_zero_before_it_counts() {
    let cameras = ["cam0", "cam1"].map(|name| CameraId::try_new(name).unwrap());
    let board = LiveStats::default();
    let scrape = |board: &LiveStats| board.scrape(&cameras).0;
    let sum = |series: &BTreeMap<Labels, u64>, product: &str| {
        series.iter().filter(|(labels, _)| labels.product == product).map(|(_, count)| count).sum::<u64>()
    };
    board.note(&event(1, 0, None, None), &Timings::NONE, 200.0);
    let first = scrape(&board);
    // Three verdicts and every reason, for two cameras.
    assert_eq!((first.len(), sum(&first, NO_PRODUCT)), (2 * (3 + Reason::ALL.len()), 0));
    assert_eq!(sum(&scrape(&board), NO_PRODUCT), 1);

    board.note(&event(2, 0, Some("gear"), Some(Verdict::Reject)), &Timings::NONE, 200.0);
    board.note(&event(3, 0, Some("gear"), Some(Verdict::Reject)), &Timings::NONE, 200.0);
    let born = scrape(&board);
    assert_eq!((born.len(), sum(&born, NO_PRODUCT), sum(&born, "gear")), (2 * first.len(), 1, 0));
    let counted = scrape(&board);
    let (camera, product) = ("cam0".to_owned(), "gear".to_owned());
    assert_eq!(counted[&Labels { camera, product, verdict: "REJECT", reason: "" }], 2);
    assert_eq!(sum(&counted, "gear"), 2);
}

#[test]
fn after_gives_what_is_new_in_order() {
    let board = LiveStats::default();
    (1..=5).for_each(|seq| board.note(&event(seq, 0, None, Some(Verdict::Pass)), &Timings::NONE, 200.0));
    let seqs = |parts: Vec<Part>| parts.iter().map(|part| part.seq).collect::<Vec<_>>();
    assert_eq!(seqs(board.after(3, 10)), [4, 5]);
    assert_eq!(seqs(board.after(0, 2)), [4, 5]);
    assert!(board.after(5, 10).is_empty());
    assert_eq!(seqs(board.of_camera(&CameraId::try_new("cam0").unwrap(), 3)), [3, 4, 5]);
    assert!(board.of_camera(&CameraId::try_new("cam1").unwrap(), 3).is_empty());
}

#[test]
fn stages_count_what_each_took_and_nothing_of_parts_that_never_came_through() {
    let board = LiveStats::default();
    let mut timings = Timings::NONE;
    timings.set(Stage::Denoise, Duration::from_millis(30));
    board.note(&event(1, 0, None, Some(Verdict::Pass)), &timings, 200.0);
    board.note(&event(2, 0, None, None), &Timings::NONE, 200.0);
    for (stage, latency) in board.stages() {
        let count = u64::from(stage == Stage::Denoise);
        assert_eq!((latency.count, latency.counts[5]), (count, count), "{stage}");
        assert_eq!(latency.counts[4], 0, "{stage}");
    }
}
