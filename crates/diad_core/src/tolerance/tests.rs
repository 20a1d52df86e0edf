use proptest::prelude::*;

use super::*;

fn bound(rate: f64, confidence: f64) -> ToleranceBound {
    ToleranceBound::try_new(rate, confidence).unwrap()
}

#[test]
fn parts_needed_are_those_of_the_tables() {
    for (rate, needed) in [(0.01, 299), (0.005, 598), (0.001, 2995), (0.05, 59), (0.1, 29)] {
        let bound = bound(rate, 0.95);
        assert_eq!(bound.parts_needed(), needed, "{rate}");
        let needed = needed as usize;
        assert_eq!((bound.allowed(needed - 1), bound.allowed(needed)), (None, Some(0)), "{rate}");
    }
    // Wilks: the next ones with 95 % of the parts at 95 % confidence.
    let bound = bound(0.05, 0.95);
    for (parts, allowed) in [(92, 0), (93, 1), (123, 1), (124, 2), (152, 2), (153, 3)] {
        assert_eq!(bound.allowed(parts), Some(allowed), "{parts}");
    }
}

#[test]
fn allowed_of_very_many_parts_comes_to_the_rate() {
    let allowed = bound(0.005, 0.95).allowed(1_000_000).unwrap();
    assert!((4_870..4_900).contains(&allowed), "{allowed}");
}

#[test]
fn cut_lies_just_above_the_score_that_has_to_stay_below() {
    let scores: Vec<f32> = (1..=100).map(|i| i as f32 / 100.0).collect();
    let cut = bound(0.05, 0.95).cut(&scores).unwrap();
    assert_eq!((cut.at, cut.exceeding, cut.allowed), (0.99_f32.next_up(), 1, 1));
    // Ties all stay below, so fewer exceed than are allowed.
    let mut tied = vec![0.5; 99];
    tied.push(0.1);
    assert_eq!(bound(0.05, 0.95).cut(&tied).unwrap().exceeding, 0);
}

#[test]
fn cut_refuses_what_no_sample_supports() {
    let scores: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let error = bound(0.005, 0.95).cut(&scores).unwrap_err();
    assert!(matches!(error, ToleranceError::TooFew { parts: 100, needed: 598, .. }), "{error:?}");
    assert!(error.to_string().contains("598"), "{error}");
    assert_eq!(bound(0.1, 0.95).cut(&[0.25; 100]), Err(ToleranceError::Constant { parts: 100, value: 0.25 }));
    assert_eq!(bound(0.1, 0.95).cut(&[f32::NAN; 100]), Err(ToleranceError::Score));
    assert!(matches!(bound(0.1, 0.95).cut(&[]), Err(ToleranceError::TooFew { parts: 0, .. })));
    assert!(matches!(bound(0.1, 0.95).cut(&[0.3]), Err(ToleranceError::TooFew { parts: 1, .. })));
    for (rate, confidence) in [(0.0, 0.9), (1.0, 0.9), (f64::NAN, 0.9), (0.1, 1.0)] {
        assert!(ToleranceBound::try_new(rate, confidence).is_err(), "{rate} {confidence}");
    }
}

#[test]
fn exact_interval_is_that_of_the_tables() {
    for (hits, parts, low, high) in
        [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0)]
    {
        let (got_low, got_high) = exact_interval(hits, parts, 0.95);
        assert!((got_low - low).abs() < 1e-4 && (got_high - high).abs() < 1e-4, "{hits}/{parts}: {got_low} {got_high}");
    }
}

/// A generator that is good enough to draw samples with, and the same every time.
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The promise is kept as often as it says: over many samples, the true share above the cut-off is above the rate in at
/// most `1 - confidence` of them. The score of a part is any growing function of a uniform number, so that number serves.
#[test]
fn coverage_is_what_was_promised() {
    const SAMPLES: usize = 2000;
    for (rate, confidence, parts) in
        [(0.01, 0.95, 299), (0.01, 0.95, 700), (0.05, 0.95, 93), (0.05, 0.9, 200), (0.005, 0.95, 598)]
    {
        let bound = bound(rate, confidence);
        let mut dice = Dice(7);
        let mut broken = 0;
        for _ in 0..SAMPLES {
            let scores: Vec<f32> = (0..parts).map(|_| dice.uniform() as f32).collect();
            let share = 1.0 - f64::from(bound.cut(&scores).unwrap().at);
            broken += usize::from(share > rate);
        }
        let seen = broken as f64 / SAMPLES as f64;
        // Four standard deviations of what 2,000 samples may show by chance.
        let chance = 4.0 * (confidence * (1.0 - confidence) / SAMPLES as f64).sqrt();
        assert!(seen <= 1.0 - confidence + chance, "{rate} {confidence} {parts}: broken in {seen}");
        // And it is not kept by being useless: a cut-off far too high would never be broken.
        assert!(seen >= (1.0 - confidence) / 4.0, "{rate} {confidence} {parts}: broken in {seen}");
    }
}

proptest! {
    #[test]
    fn cut_never_lets_more_exceed_than_are_allowed(
        scores in proptest::collection::vec(0.0_f32..1.0, 60..400),
        rate in 0.05_f64..0.5,
    ) {
        let bound = bound(rate, 0.9);
        if let Ok(cut) = bound.cut(&scores) {
            prop_assert!(cut.exceeding <= cut.allowed);
            prop_assert_eq!(scores.iter().filter(|score| **score >= cut.at).count(), cut.exceeding);
            // A lower cut-off at the next score would let too many through, unless scores are equal.
            prop_assert!(scores.iter().filter(|score| **score >= cut.at.next_down()).count() > cut.allowed);
        }
    }
}

#[test]
fn supported_by_keeps_what_is_supported_and_weakens_what_is_not() {
    let asked = ToleranceBound::try_new(0.005, 0.95).unwrap();
    for (parts, rate) in
        [(5, 0.451), (20, 0.14), (59, 0.0496), (200, 0.0149), (597, 0.00501), (598, 0.005), (5000, 0.005)]
    {
        let bound = asked.supported_by(parts).unwrap();
        assert!((bound.rate() - rate).abs() < 1e-9, "{parts}: {}", bound.rate());
        assert!(bound.allowed(parts).is_some());
    }
    for parts in 2..2000 {
        assert!(asked.supported_by(parts).is_some(), "{parts}");
    }
    assert_eq!(asked.supported_by(0), None);
}
