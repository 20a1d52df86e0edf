use proptest::prelude::*;

use super::*;
use crate::testing::{Golden, Near};

fn schedule() -> Schedule {
    Schedule::scaled_linear(0.000_85, 0.012).unwrap()
}

fn step(t: u32) -> Step {
    Step::try_new(t).unwrap()
}

fn steps(list: &[u32]) -> Vec<Step> {
    list.iter().copied().map(step).collect()
}

fn reference(count: u32) -> Ddim {
    let steps = Ddim::reference_steps(count).unwrap();
    Ddim::try_new(&schedule(), step(999), &steps, step(0)).unwrap()
}

fn tensor(values: &[f32]) -> Tensor {
    Tensor::from_vec([1, 1, 1, values.len()], values.to_vec()).unwrap()
}

#[test]
fn alpha_bar_agrees_with_the_golden_table() {
    let Some(mut golden) = Golden::open("units_B.npz") else { return };
    let bars: Vec<f64> = (0..1000).map(|t| schedule().alpha_bar(step(t))).collect();
    // Half a unit in the last place of an f32 below 1.
    Near::abs(3e-8).check("abar", &bars, &golden.values::<f64>("alphas_cumprod_f64"));
}

#[test]
fn reference_steps_and_their_noise_agree_with_the_golden_tables() {
    let Some(mut golden) = Golden::open("units_B.npz") else { return };
    for count in [1, 2, 4, 5, 8, 10, 20, 50] {
        let ddim = reference(count);
        let mut want: Vec<i64> = golden.values(&format!("ddim_t_{count}"));
        want.reverse();
        let got: Vec<i64> = ddim.updates().iter().map(|u| i64::from(u.step.get())).collect();
        assert_eq!(got, want, "{count} steps");
        let mut want: Vec<f32> = golden.values(&format!("ddim_a_{count}"));
        want.reverse();
        let got: Vec<f32> = ddim.updates().iter().map(|u| schedule().alpha_bar(u.step) as f32).collect();
        // Stored as f32 on both sides: at most one rounding apart.
        Near::abs(6e-8).check("a", &got, &want);
        let mut previous: Vec<f64> = match count {
            1 => golden.values::<f32>("ddim_ap_1").into_iter().map(f64::from).collect(),
            _ => golden.values(&format!("ddim_ap_{count}")),
        };
        previous.reverse();
        for ((update, &a), &a_prev) in ddim.updates().iter().zip(&want).zip(&previous) {
            let a = f64::from(a);
            // One rounding of a, magnified at most tenfold by the division by a small a.
            let near = Near::abs(1e-6);
            assert!(near.equal(update.c0, (a_prev / a).sqrt()), "{update:?}");
            assert!(near.equal(update.c1, (1.0 - a_prev).sqrt() - (a_prev * (1.0 - a) / a).sqrt()), "{update:?}");
        }
    }
}

#[test]
fn coefficients_of_ten_steps_agree_with_the_specification() {
    let ddim = reference(10);
    let want = [
        (901, 1.615_411_12, -0.622_502_74),
        (801, 1.497_142_77, -0.511_363_83),
        (701, 1.396_768_60, -0.421_721_78),
        (601, 1.311_761_52, -0.350_910_78),
        (501, 1.240_062_99, -0.296_193_13),
        (401, 1.179_998_47, -0.255_190_75),
        (301, 1.130_210_99, -0.226_877_95),
        (201, 1.089_608_97, -0.215_325_70),
        (101, 1.057_325_42, -0.304_612_44),
        (1, 1.000_427_62, -0.012_142_09),
    ];
    for (update, (t, c0, c1)) in ddim.updates().iter().zip(want) {
        assert_eq!(update.step, step(t));
        // Printed with eight places, from unrounded products.
        assert!(Near::abs(1e-6).equal(update.c0, c0) && Near::abs(1e-6).equal(update.c1, c1), "{update:?}");
    }
}

#[test]
fn noised_and_every_step_back_agree_with_the_golden_run() {
    let Some(mut golden) = Golden::open("tiny32_128_B.npz") else { return };
    let ddim = reference(10);
    let (clean, noise) = (golden.tensor("z_scaled"), golden.tensor("noise_q"));
    let shape = clean.shape();
    let size = clean.data().len();
    let [inputs, predicted, outputs] = ["step_x", "step_eps", "step_x_prev"].map(|name| golden.tensor(name));
    let mut latent = Tensor::zeros(shape);
    ddim.noised(&clean, &noise, &mut latent).unwrap();
    // The reference works in f32: one rounding of values up to 5.
    Near::abs(1e-6).check("x_T", latent.data(), &inputs.data()[..size]);
    for index in 0..10 {
        let part = |all: &Tensor| all.data()[index * size..][..size].to_vec();
        let mut latent = Tensor::from_vec(shape, part(&inputs)).unwrap();
        let noise = Tensor::from_vec(shape, part(&predicted)).unwrap();
        ddim.step_back(index, &mut latent, &noise).unwrap();
        // Values reach 36; the reference divides by sqrt(a) down to 0.12 in f32.
        Near::abs(2e-5).check("step_x_prev", latent.data(), &part(&outputs));
    }
}

#[test]
fn try_new_refuses_lists_that_make_no_sense() {
    let refuse = |start, list: &[u32], last| Ddim::try_new(&schedule(), step(start), &steps(list), step(last));
    assert_eq!(refuse(999, &[], 0), Err(ScheduleError::Empty));
    assert_eq!(refuse(999, &[5, 5], 0), Err(ScheduleError::Order { step: 5, next: 5 }));
    assert_eq!(refuse(999, &[9, 1, 4], 0), Err(ScheduleError::Order { step: 1, next: 4 }));
    assert_eq!(refuse(500, &[501, 1], 0), Err(ScheduleError::Start { start: 500, first: 501 }));
    assert_eq!(refuse(999, &[501, 1], 2), Err(ScheduleError::LastPrevious { last: 1, previous: 2 }));
    assert_eq!(Step::try_new(1000), Err(ScheduleError::Step(1000)));
}

#[test]
fn scaled_linear_refuses_noise_that_does_not_grow() {
    for (start, end) in [(0.0, 0.1), (0.2, 0.1), (0.1, 1.0), (f64::NAN, 0.1), (0.1, f64::NAN), (-0.1, 0.1)] {
        assert!(matches!(Schedule::scaled_linear(start, end), Err(ScheduleError::Beta { .. })), "{start} {end}");
    }
}

#[test]
fn reference_steps_refuses_counts_that_do_not_divide_the_schedule() {
    for count in [0, 3, 6, 7, 9, 44, 999, 1000, 1001, u32::MAX] {
        assert_eq!(Ddim::reference_steps(count), Err(ScheduleError::Count(count)));
    }
    let message = ScheduleError::Count(6).to_string();
    for count in (1..1000).filter(|count| 1000 % count == 0) {
        assert_eq!(Ddim::reference_steps(count).unwrap().len(), count as usize);
        assert!(message.contains(&count.to_string()), "{message}");
    }
}

#[test]
fn step_back_refuses_another_shape_and_a_step_that_is_not_there() {
    let ddim = reference(2);
    let mut latent = tensor(&[1.0, 2.0]);
    assert_eq!(ddim.step_back(2, &mut latent, &tensor(&[0.0; 2])), Err(ScheduleError::Index { index: 2, len: 2 }));
    assert!(matches!(ddim.step_back(0, &mut latent, &tensor(&[0.0; 3])), Err(ScheduleError::Shape(_))));
    assert!(matches!(ddim.noised(&tensor(&[0.0]), &tensor(&[0.0; 2]), &mut latent), Err(ScheduleError::Shape(_))));
}

proptest! {
    #[test]
    fn alpha_bar_falls_and_stays_inside_the_unit_range(start in 1e-5_f64..0.02, more in 0.0_f64..0.02) {
        let schedule = Schedule::scaled_linear(start, start + more).unwrap();
        let bars: Vec<f64> = (0..1000).map(|t| schedule.alpha_bar(step(t))).collect();
        prop_assert!(bars.windows(2).all(|pair| pair[0] > pair[1]));
        prop_assert!(bars[0] < 1.0 && bars[999] > 0.0);
    }

    #[test]
    fn step_back_with_the_true_noise_ends_at_the_noise_of_the_last_step(
        z in -3.0_f32..3.0,
        n in -3.0_f32..3.0,
        list in prop::collection::btree_set(1_u32..1000, 1..20),
        last in 0_u32..1000,
    ) {
        let descending: Vec<u32> = list.into_iter().rev().collect();
        let last = last.min(descending[descending.len() - 1]);
        let ddim = Ddim::try_new(&schedule(), step(descending[0]), &steps(&descending), step(last)).unwrap();
        let mut latent = tensor(&[0.0]);
        ddim.noised(&tensor(&[z]), &tensor(&[n]), &mut latent).unwrap();
        for index in 0..descending.len() {
            ddim.step_back(index, &mut latent, &tensor(&[n])).unwrap();
        }
        let bar = schedule().alpha_bar(step(last));
        let want = bar.sqrt() * f64::from(z) + (1.0 - bar).sqrt() * f64::from(n);
        // c0 of the whole way back is at most 15; it magnifies the f32 rounding of every latent between.
        prop_assert!(Near::abs(1e-4).equal(latent.data()[0], want), "{:?} {want}", latent.data());
    }
}
