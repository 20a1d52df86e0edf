use proptest::prelude::*;

use super::*;
use crate::testing::Near;

/// Distance of two vectors, one place.
fn between(a: &[f32], b: &[f32]) -> f32 {
    let features = Tensor::from_vec([2, a.len(), 1, 1], [a, b].concat()).unwrap();
    let mut out = Tensor::zeros([1, 1, 1, 1]);
    cosine(&features, &mut out).unwrap();
    out.data()[0]
}

#[test]
fn cosine_of_known_vectors_is_known() {
    for (a, b, want) in [
        ([1.0, 0.0], [5.0, 0.0], 0.0),
        ([1.0, 0.0], [0.0, 2.0], 1.0),
        ([1.0, 0.0], [-3.0, 0.0], 2.0),
        ([1.0, 1.0], [1.0, 0.0], 1.0 - 0.5_f64.sqrt()),
        ([0.0, 0.0], [0.0, 0.0], 1.0),
        ([0.0, 0.0], [1.0, 0.0], 1.0),
        // Norms below the least one count as it: 1 - 1e-20 / (1e-8 * 1e-8) with eps, not 0.
        ([1e-10, 0.0], [1e-10, 0.0], 1.0 - 1e-4),
        ([1e30, 0.0], [1e30, 0.0], 0.0),
    ] {
        // One rounding of the result to f32.
        assert!(Near::abs(1e-7).equal(between(&a, &b), want), "{a:?} {b:?}: {}", between(&a, &b));
    }
}

#[test]
fn cosine_keeps_places_apart_in_layers_larger_than_a_block() {
    let (channels, height, width) = (3, 17, 19);
    let plane = height * width;
    let values: Vec<f32> = (0..2 * channels * plane).map(|i| ((i * 7919) % 613) as f32 / 100.0 - 2.0).collect();
    let features = Tensor::from_vec([2, channels, height, width], values.clone()).unwrap();
    let mut out = Tensor::zeros([1, 1, height, width]);
    cosine(&features, &mut out).unwrap();
    for place in 0..plane {
        let vector = |image: usize| -> Vec<f32> {
            (0..channels).map(|channel| values[(image * channels + channel) * plane + place]).collect()
        };
        Near::abs(0.0).check("place", &[out.data()[place]], &[between(&vector(0), &vector(1))]);
    }
}

#[test]
fn cosine_refuses_other_shapes() {
    let mut out = Tensor::zeros([1, 1, 2, 2]);
    for shape in [[1, 3, 2, 2], [3, 3, 2, 2], [2, 3, 2, 1]] {
        assert!(matches!(cosine(&Tensor::zeros(shape), &mut out), Err(TensorError::Shape { .. })), "{shape:?}");
    }
}

#[test]
fn cosine_hands_nan_on_and_never_calls_it_good() {
    assert!(between(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
}

proptest! {
    #[test]
    fn cosine_is_symmetric_scale_free_and_in_range(
        pairs in prop::collection::vec((-10.0_f32..10.0, -10.0_f32..10.0), 1..40),
        scale in 0.01_f32..100.0,
    ) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        prop_assume!(a.iter().any(|v| v.abs() > 1e-3) && b.iter().any(|v| v.abs() > 1e-3));
        let distance = between(&a, &b);
        let scaled: Vec<f32> = a.iter().map(|v| v * scale).collect();
        prop_assert!((0.0..=2.0).contains(&distance));
        prop_assert!(Near::abs(0.0).equal(distance, between(&b, &a)));
        // Scaling rounds every component once.
        prop_assert!(Near::abs(1e-6).equal(distance, between(&scaled, &b)));
        prop_assert!(Near::abs(1e-7).equal(between(&a, &a), 0.0));
    }
}

#[test]
fn cosine_of_groups_is_the_mean_of_what_each_group_says() {
    // Two places; the first group turns at the first place, the second at the second.
    let first = Tensor::from_vec([1, 3, 1, 2], vec![1.0, 1.0, 0.0, 0.0, 2.0, 2.0]).unwrap();
    let second = Tensor::from_vec([1, 3, 1, 2], vec![0.0, 3.0, 1.0, 0.0, 0.5, -1.0]).unwrap();
    let mut out = Tensor::zeros([1, 1, 1, 2]);
    cosine_of_groups(&first, &second, &[2, 1], &mut out).unwrap();
    Near::abs(1e-7).check("distance", out.data(), &[0.5, 1.0]);
    for groups in [&[1, 1][..], &[3, 1], &[]] {
        assert!(cosine_of_groups(&first, &second, groups, &mut out).is_err(), "{groups:?}");
    }
    assert!(cosine_of_groups(&first, &Tensor::zeros([1, 3, 2, 1]), &[2, 1], &mut out).is_err());
    assert!(cosine_of_groups(&first, &second, &[2, 1], &mut Tensor::zeros([1, 1, 2, 1])).is_err());
}
