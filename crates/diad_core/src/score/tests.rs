use proptest::prelude::*;

use super::*;
use crate::map::AnomalyMap;
use crate::prepare::ModelRect;
use crate::testing::{Golden, Near};

fn finder(window_px: u32, times: u32, map: &AnomalyMap) -> PeakFinder {
    PeakFinder::try_new(ScoreRule::try_new(window_px, times).unwrap(), map.width(), map.height()).unwrap()
}

fn map(width: u32, values: &[f32]) -> AnomalyMap {
    AnomalyMap::try_new(width, values.len() as u32 / width, values.to_vec()).unwrap()
}

/// A map of zeros but for some pixels.
fn spots(width: u32, height: u32, spots: &[(u32, u32, f32)]) -> AnomalyMap {
    let mut values = vec![0.0; (width * height) as usize];
    for &(x, y, value) in spots {
        values[(y * width + x) as usize] = value;
    }
    map(width, &values)
}

#[test]
fn find_agrees_with_the_golden_scores() {
    let Some(mut golden) = Golden::open("tiny32_128_B.npz") else { return };
    let values: Vec<f32> = golden.values::<f64>("amap_gauss").into_iter().map(|v| v as f32).collect();
    let map = map(128, &values);
    for (times, score) in [(8, "score"), (0, "score_raw_max")] {
        let peak = finder(8, times, &map).find(&map).unwrap();
        // The reference's map is f64, ours f32.
        Near::abs(1e-7).check(score, &[peak.score.get()], &golden.values::<f64>(score));
    }
}

#[test]
fn find_gives_the_centre_of_the_window() {
    let map = spots(20, 12, &[(10, 4, 9.0)]);
    let peak = finder(3, 1, &map).find(&map).unwrap();
    // The first of nine windows that hold the spot has it in its last corner.
    assert_eq!((peak.x, peak.y), (9, 3));
    assert!(Near::abs(1e-7).equal(peak.score.get(), 1.0));
    let peak = finder(3, 2, &map).find(&map).unwrap();
    assert_eq!((peak.x, peak.y), (10, 4), "twice averaged, one window is the best");
    let peak = finder(1, 5, &map).find(&map).unwrap();
    assert_eq!((peak.x, peak.y, peak.score.get().to_bits()), (10, 4, 9.0_f32.to_bits()));
}

#[test]
fn find_of_an_all_zero_map_scores_zero() {
    let map = spots(9, 9, &[]);
    let mut finder = finder(2, 3, &map);
    let peak = finder.find(&map).unwrap();
    assert_eq!(peak.score, Score::try_new(0.0).unwrap());
    let region = finder.region(&map, &peak).unwrap();
    assert_eq!((region.width, region.height), (1, 1));
}

#[test]
fn region_takes_the_joined_patch_above_half_the_peak() {
    let map = spots(10, 10, &[(3, 3, 4.0), (4, 4, 2.0), (5, 4, 2.5), (6, 4, 1.9), (8, 8, 4.0)]);
    let mut finder = finder(1, 0, &map);
    let peak = finder.find(&map).unwrap();
    let region = finder.region(&map, &peak).unwrap();
    assert_eq!((region.x, region.y, region.width, region.height), (3, 3, 3, 2));
}

#[test]
fn region_holds_at_the_border_of_the_map() {
    let map = spots(4, 3, &[(0, 0, 1.0), (3, 2, 2.0), (3, 1, 2.0)]);
    let mut finder = finder(1, 0, &map);
    let peak = finder.find(&map).unwrap();
    let region = finder.region(&map, &peak).unwrap();
    assert_eq!((region.x, region.y, region.width, region.height), (3, 1, 1, 2));
}

#[test]
fn region_of_a_peak_between_two_spots_is_that_of_the_larger_one() {
    let map = spots(9, 9, &[(3, 4, 1.0), (5, 4, 2.0), (0, 0, 9.0)]);
    let mut finder = finder(5, 1, &map);
    let peak = Peak { score: Score::try_new(1.0).unwrap(), x: 4, y: 4 };
    assert_eq!(finder.region(&map, &peak), Ok(ModelRect { x: 5, y: 4, width: 1, height: 1 }));
}

#[test]
fn try_new_refuses_a_rule_that_leaves_nothing_of_the_map() {
    assert_eq!(ScoreRule::try_new(0, 3), Err(PeakError::Window));
    let rule = ScoreRule::try_new(8, 8).unwrap();
    assert!(PeakFinder::try_new(rule, 57, 57).is_ok());
    let refused = PeakFinder::try_new(rule, 57, 56).map(|_| ());
    assert!(matches!(refused, Err(PeakError::Small { need: 57, .. })), "{refused:?}");
}

#[test]
fn find_refuses_a_map_of_another_size() {
    let (map, other) = (spots(5, 5, &[]), spots(5, 6, &[]));
    assert!(matches!(finder(2, 1, &map).find(&other), Err(PeakError::Size { .. })));
}

#[test]
fn try_new_refuses_numbers_that_are_no_score() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e-9] {
        assert!(Score::try_new(value).is_err(), "{value}");
    }
    assert_eq!(Score::try_new(-0.0).unwrap().cmp(&Score::try_new(0.0).unwrap()), Ordering::Equal);
}

/// The rule as it reads: average, again and again, then the largest.
fn by_the_letter(map: &AnomalyMap, window: usize, times: u32) -> f64 {
    let (mut width, mut height) = (map.width() as usize, map.height() as usize);
    let mut plane: Vec<f64> = map.values().iter().map(|v| f64::from(*v)).collect();
    for _ in 0..times {
        let mut next = Vec::new();
        for y in 0..=height - window {
            for x in 0..=width - window {
                let sum: f64 = (0..window * window).map(|i| plane[(y + i / window) * width + x + i % window]).sum();
                next.push(sum / (window * window) as f64);
            }
        }
        (plane, width, height) = (next, width - window + 1, height - window + 1);
    }
    plane.into_iter().fold(0.0, f64::max)
}

proptest! {
    #[test]
    fn find_does_what_the_rule_says_and_never_passes_the_largest_value(
        values in prop::collection::vec(0.0_f32..5.0, 23 * 17),
        window in 1_u32..6,
        times in 0_u32..5,
    ) {
        prop_assume!((window - 1) * times < 17);
        let map = map(23, &values);
        let peak = finder(window, times, &map).find(&map).unwrap();
        // One rounding to f32 of values below 5.
        prop_assert!(Near::abs(3e-7).equal(peak.score.get(), by_the_letter(&map, window as usize, times)));
        let largest = values.iter().copied().fold(0.0, f32::max);
        prop_assert!(peak.score.get() <= largest + 1e-6);
        prop_assert!(peak.x < 23 && peak.y < 17);
    }
}
