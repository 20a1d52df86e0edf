use proptest::prelude::*;

use super::*;
use crate::tensor::Tensor;
use crate::testing::{Golden, Near};

fn plain(layers: usize, sigma: f32) -> MapSettings {
    MapSettings::try_new(vec![1.0; layers], sigma, 4.0).unwrap()
}

/// Fuses one layer that already has the map's size: nothing but the blur is left.
fn blurred(width: usize, height: usize, sigma: f32, values: &[f32]) -> Vec<f32> {
    let shape = [1, 1, height, width];
    let mut fuser = Fuser::try_new(&plain(1, sigma), &[shape], width as u32, height as u32).unwrap();
    fuser.fuse(&[Tensor::from_vec(shape, values.to_vec()).unwrap()]).unwrap();
    fuser.smooth().values().to_vec()
}

#[test]
fn fuse_agrees_with_the_golden_maps() {
    let Some(mut golden) = Golden::open("tiny32_128_B.npz") else { return };
    let distances = [1, 2, 3].map(|layer| golden.tensor(&format!("cos_dist_native_{layer}")));
    let shapes = [0, 1, 2].map(|layer: usize| distances[layer].shape());
    let mut fuser = Fuser::try_new(&plain(3, 5.0), &shapes, 128, 128).unwrap();
    fuser.fuse(&distances).unwrap();
    // The reference enlarges in f32: a few roundings of values below 1.
    Near::abs(1e-6).check("raw", fuser.raw().values(), &golden.values::<f64>("amap_raw"));
    Near::abs(1e-6).check("smooth", fuser.smooth().values(), &golden.values::<f64>("amap_gauss"));
}

#[test]
fn fuse_puts_corner_samples_on_corner_pixels() {
    let layer = Tensor::from_vec([1, 1, 2, 2], vec![1.0, 2.0, 3.0, 5.0]).unwrap();
    let mut fuser = Fuser::try_new(&plain(1, 0.0), &[layer.shape()], 3, 3).unwrap();
    fuser.fuse(&[layer]).unwrap();
    let want = [1.0, 1.5, 2.0, 2.0, 2.75, 3.5, 3.0, 4.0, 5.0];
    Near::abs(0.0).check("enlarged", fuser.raw().values(), &want);
    Near::abs(0.0).check("no blur", fuser.smooth().values(), &want);
}

#[test]
fn fuse_weighs_the_layers() {
    let settings = MapSettings::try_new(vec![2.0, 0.0, 0.5], 0.0, 4.0).unwrap();
    let layers = [1.0, 100.0, 4.0].map(|v| Tensor::from_vec([1, 1, 1, 1], vec![v]).unwrap());
    let mut fuser = Fuser::try_new(&settings, &[[1; 4]; 3], 2, 1).unwrap();
    fuser.fuse(&layers).unwrap();
    Near::abs(0.0).check("sum", fuser.raw().values(), &[4.0, 4.0]);
}

#[test]
fn fuse_makes_no_map_of_numbers_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY, -1.0] {
        let layer = Tensor::from_vec([1, 1, 1, 2], vec![0.0, bad]).unwrap();
        let mut fuser = Fuser::try_new(&plain(1, 1.0), &[layer.shape()], 2, 1).unwrap();
        assert!(matches!(fuser.fuse(&[layer]), Err(MapError::Value { .. })), "{bad}");
    }
}

#[test]
fn fuse_refuses_layers_other_than_agreed() {
    let mut fuser = Fuser::try_new(&plain(1, 1.0), &[[1, 1, 2, 2]], 4, 4).unwrap();
    assert!(matches!(fuser.fuse(&[Tensor::zeros([1, 1, 2, 3])]), Err(MapError::Layer(_))));
    assert!(matches!(fuser.fuse(&[]), Err(MapError::Layers { layers: 0, weights: 1 })));
}

#[test]
fn try_new_refuses_what_makes_no_map() {
    for weights in [vec![], vec![0.0, 0.0], vec![1.0, -1.0], vec![f32::NAN], vec![f32::INFINITY]] {
        assert!(matches!(MapSettings::try_new(weights, 5.0, 4.0), Err(MapError::Weights(_))));
    }
    for (sigma, truncate) in [(-1.0, 4.0), (f32::NAN, 4.0), (1.0, f32::NAN), (f32::INFINITY, 4.0), (1e4, 4.0)] {
        assert!(matches!(MapSettings::try_new(vec![1.0], sigma, truncate), Err(MapError::Blur { .. })));
    }
    let refused = |shapes: &[_], width| Fuser::try_new(&plain(1, 1.0), shapes, width, 4).map(|_| ());
    assert!(matches!(refused(&[[1; 4]; 2], 4), Err(MapError::Layers { layers: 2, weights: 1 })));
    assert!(matches!(refused(&[[1, 1, 0, 4]], 4), Err(MapError::Layer(_))));
    assert!(matches!(refused(&[[1, 2, 4, 4]], 4), Err(MapError::Layer(_))));
    assert!(matches!(refused(&[[1; 4]], 0), Err(MapError::Size { .. })));
    assert!(matches!(AnomalyMap::try_new(2, 2, vec![0.0; 3]), Err(MapError::Size { got: 3, .. })));
    assert!(matches!(AnomalyMap::try_new(1, 2, vec![0.0, f32::NAN]), Err(MapError::Value { index: 1, .. })));
}

#[test]
fn area_at_least_counts_the_line_itself() {
    let map = AnomalyMap::try_new(2, 2, vec![0.1, 0.5, 0.5, 0.9]).unwrap();
    assert_eq!([0.0, 0.5, 0.6, 1.0].map(|cut| map.area_at_least(cut)), [4, 3, 1, 0]);
}

proptest! {
    #[test]
    fn blur_keeps_constants(width in 1_usize..40, height in 1_usize..40, sigma in 0.0_f32..12.0, value in 0.0_f32..3.0) {
        let values = vec![value; width * height];
        // One rounding to f32 of values below 3.
        Near::abs(4e-7).check("constant", &blurred(width, height, sigma, &values), &values);
    }

    #[test]
    fn blur_keeps_the_mass_and_stays_within_the_range(
        (width, height, values) in (1_usize..30, 1_usize..30).prop_flat_map(|(width, height)| {
            (Just(width), Just(height), prop::collection::vec(0.0_f32..2.0, width * height))
        }),
        sigma in 0.0_f32..8.0,
    ) {
        let got = blurred(width, height, sigma, &values);
        let mass = |values: &[f32]| values.iter().map(|v| f64::from(*v)).sum::<f64>();
        let top = values.iter().copied().fold(0.0, f32::max);
        // Mirroring at the border sends every share back in; what is left is f32 rounding, per pixel.
        prop_assert!(Near::abs(1e-7 * values.len() as f64 + 1e-9).equal(mass(&got), mass(&values)));
        prop_assert!(got.iter().all(|v| *v >= 0.0 && *v <= top + 1e-6));
    }

    #[test]
    fn fuse_of_distances_is_never_negative(
        coarse in prop::collection::vec(0.0_f32..2.0, 9),
        fine in prop::collection::vec(0.0_f32..2.0, 20),
        size in (1_u32..50, 1_u32..50),
    ) {
        let layers = [([1, 1, 4, 5], fine), ([1, 1, 3, 3], coarse)].map(|(s, v)| Tensor::from_vec(s, v).unwrap());
        let shapes = [layers[0].shape(), layers[1].shape()];
        let mut fuser = Fuser::try_new(&plain(2, 2.0), &shapes, size.0, size.1).unwrap();
        fuser.fuse(&layers).unwrap();
        prop_assert!(fuser.smooth().values().iter().all(|v| (0.0..=4.0).contains(v)));
    }
}
