use super::*;
use crate::frame::{PixelFormat, PixelsView};
use crate::judge::Verdict;
use crate::prepare::{InputSpec, prepare};
use crate::score::Score;
use crate::tensor::Tensor;
use crate::testing::Near;

/// Seeded random numbers (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014).
struct Dice(u64);

impl Dice {
    /// Above 0 and below 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }
}

/// A product whose brightness is what is looked at; the others stay at their means.
const MEAN: f64 = 0.5;
const SD: f64 = 0.02;

fn reference() -> Reference {
    let spread = |mean, sd| Some(Spread::try_new(mean, sd).unwrap());
    Reference { score: spread(0.25, 0.1), brightness: spread(MEAN, SD), sharpness: spread(0.25, 0.1) }
}

fn add(charts: &mut Charts, part: u64, z: f64) -> bool {
    let look = Look { brightness: MEAN + SD * z, sharpness: 0.25 };
    charts.add(part, Verdict::Pass, Score::try_new(0.25).unwrap(), look)
}

/// Parts until the alarm, at most `most`.
fn run_length(charts: &mut Charts, most: u64, mut z: impl FnMut() -> f64) -> u64 {
    (1..=most).find(|part| add(charts, *part, z())).unwrap_or(most)
}

#[test]
fn charts_of_parts_in_control_hardly_ever_alarm() {
    type Draw = fn(&mut Dice) -> f64;
    let rows: [(&str, Draw, usize); 4] = [
        // 600,000 parts are drawn in each row; parts to an alarm, in long simulations: above 850,000, 970,000, and 79,000.
        ("normal", Dice::normal, 3),
        ("skewed", |dice| -dice.share().ln() - 1.0, 3),
        ("5 % far above", |dice| if dice.share() < 0.05 { 10.0 } else { dice.normal() }, 15),
        ("constant", |_| 0.0, 0),
    ];
    for (name, draw, most) in rows {
        let mut alarms = 0;
        for seed in 0..30 {
            let (mut dice, mut charts) = (Dice(seed), Charts::new(reference()));
            for part in 0..20_000 {
                alarms += usize::from(add(&mut charts, part, draw(&mut dice)) && charts.drifts().next().is_some());
            }
        }
        assert!(alarms <= most, "{name}: {alarms} alarms");
    }
}

#[test]
fn charts_of_a_shift_alarm_soon_and_say_what_moved_where_and_since_when() {
    // Shift in standard deviations, and the mean number of parts to the alarm, at most and at least.
    for (shift, least, most) in [(0.75, 45.0, 65.0), (1.0, 25.0, 35.0), (2.0, 10.0, 14.0), (3.0, 8.0, 10.0)] {
        for (sign, side) in [(1.0, Side::Above), (-1.0, Side::Below)] {
            let mut dice = Dice(5);
            let (mut parts, mut found, mut begin) = (0, 0.0, 0);
            for _ in 0..200 {
                let mut charts = Charts::new(reference());
                for part in 0..50 {
                    add(&mut charts, part, dice.normal());
                }
                parts += run_length(&mut charts, 10_000, || dice.normal() + sign * shift);
                let drift: Vec<_> = charts.drifts().collect();
                let [drift] = drift[..] else { panic!("{drift:?}") };
                assert_eq!((drift.signal, drift.side), (Signal::Brightness, side));
                found += drift.shift_sd;
                begin += drift.since;
            }
            let (parts, found, begin) = (parts as f64 / 200.0, found / 200.0, begin as f64 / 200.0);
            assert!((least..=most).contains(&parts), "{shift}: {parts}");
            assert!((found - shift).abs() < 0.4, "{shift}: {found}");
            assert!(begin < 50.0, "{shift}: {begin}");
        }
    }
}

#[test]
fn single_parts_far_off_do_not_alarm_and_many_in_a_row_do() {
    let mut charts = Charts::new(reference());
    for round in 0..1000 {
        assert!(!add(&mut charts, round, if round % 10 == 0 { 500.0 } else { 0.0 }));
    }
    let mut charts = Charts::new(reference());
    assert_eq!(run_length(&mut charts, 100, || 500.0), 9);
    assert!(charts.drifts().all(|drift| drift.shift_sd > 499.0 && drift.since == 1), "{charts:?}");
}

#[test]
fn alarm_is_over_when_the_values_are_back_however_long_it_lasted() {
    for lasted in [20, 20_000] {
        let mut charts = Charts::new(reference());
        for part in 0..lasted {
            add(&mut charts, part, -3.0);
        }
        assert_eq!(charts.drifts().count(), 1);
        let parts = run_length(&mut charts, 1000, || 0.0);
        assert!(parts <= 37, "{lasted}: {parts}");
        assert_eq!(charts.drifts().count(), 0);
    }
}

#[test]
fn charts_without_a_reference_learn_it_from_parts_that_are_not_rejected() {
    let (mut dice, mut charts) = (Dice(3), Charts::new(Reference::default()));
    let look = |brightness| Look { brightness, sharpness: 0.25 };
    let score = Score::try_new(0.25).unwrap();
    for part in 0..LEARNED_PARTS {
        charts.add(part, Verdict::Reject, score, look(0.0));
        charts.add(part, Verdict::Pass, score, look(MEAN + SD * dice.normal()));
    }
    let steady = (0..500).filter(|part| add(&mut charts, *part, dice.normal())).count();
    assert_eq!(steady, 0);
    assert!(run_length(&mut charts, 60, || 1.5) < 60);
    let drift = *charts.drifts().next().unwrap();
    Near::abs(0.01).check("learned", &[drift.reference.mean(), drift.reference.sd()], &[MEAN, SD]);
}

#[test]
fn parts_that_are_all_alike_do_not_make_one_grey_level_alarming() {
    let same = Spread::try_new(0.5, 0.0).unwrap();
    let mut charts = Charts::new(Reference { brightness: Some(same), ..Reference::default() });
    let score = Score::try_new(0.0).unwrap();
    let look = |brightness| Look { brightness, sharpness: 0.0 };
    assert!((0..1000).all(|part| !charts.add(part, Verdict::Pass, score, look(0.5 + 0.45 / 255.0))));
    assert!((0..100).any(|part| charts.add(part, Verdict::Pass, score, look(0.49))));
}

#[test]
fn restart_keeps_what_was_learned() {
    let mut charts = Charts::new(reference());
    (0..20).for_each(|part| _ = add(&mut charts, part, 3.0));
    charts.restart();
    assert_eq!(charts.drifts().count(), 0);
    assert_eq!(run_length(&mut charts, 100, || 3.0), 9);
}

#[test]
fn spread_refuses_what_is_none() {
    for (mean, sd) in [(f64::NAN, 1.0), (1.0, f64::INFINITY), (-1.0, 0.0), (0.0, -1.0)] {
        assert!(Spread::try_new(mean, sd).is_err(), "{mean} {sd}");
    }
    assert_eq!(Spread::of([1.0]), None);
    let spread = Spread::of([1.0, 2.0, 3.0, 4.0]).unwrap();
    Near::abs(1e-12).check("spread", &[spread.mean(), spread.sd()], &[2.5, (5.0_f64 / 3.0).sqrt()]);
}

const SIDE: usize = 64;

/// The look of a grey picture, prepared as for a model.
fn look(grey: impl Fn(usize, usize) -> f64) -> Look {
    let spec = InputSpec::try_new(SIDE as u32, SIDE as u32, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).unwrap();
    let bytes: Vec<u8> = (0..SIDE * SIDE).map(|i| grey(i % SIDE, i / SIDE).round() as u8).collect();
    let pixels = PixelsView::try_new(SIDE as u32, SIDE as u32, PixelFormat::Mono8, &bytes).unwrap();
    let mut input = Tensor::zeros(spec.shape());
    prepare(pixels, pixels.full(), &spec, &mut input).unwrap();
    Look::of(&input, &spec)
}

#[test]
fn look_of_an_even_picture_is_its_grey_without_detail() {
    for grey in [0.0, 51.0, 255.0] {
        let look = look(|_, _| grey);
        Near::abs(1e-5).check("look", &[look.brightness, look.sharpness], &[grey / 255.0, 0.0]);
    }
}

#[test]
fn look_of_a_blurred_picture_is_less_sharp_and_of_a_darker_one_only_darker() {
    let wave = |x: usize, y: usize, width: f64| (x as f64 / width).sin() * (y as f64 / width).cos();
    let sharp = look(|x, y| 120.0 + 80.0 * wave(x, y, 1.0));
    let blurred = look(|x, y| 120.0 + 80.0 * wave(x, y, 2.0));
    let dark = look(|x, y| 60.0 + 40.0 * wave(x, y, 1.0));
    assert!(blurred.sharpness < 0.5 * sharp.sharpness, "{sharp:?} {blurred:?}");
    assert!((blurred.brightness - sharp.brightness).abs() < 0.01, "{sharp:?} {blurred:?}");
    // Whole grey levels: half of a level in forty.
    assert!((dark.sharpness / sharp.sharpness - 1.0).abs() < 0.02, "{sharp:?} {dark:?}");
    Near::abs(0.005).check("brightness", &[dark.brightness], &[sharp.brightness / 2.0]);
}

#[test]
fn look_of_a_checkerboard_is_as_the_formula_says() {
    // Inside, each of the two terms is twice the step; the brightness is half of it.
    let look = look(|x, y| if (x + y) % 2 == 0 { 255.0 } else { 0.0 });
    Near::abs(1e-4).check("look", &[look.brightness, look.sharpness], &[0.5, 8.0]);
}
