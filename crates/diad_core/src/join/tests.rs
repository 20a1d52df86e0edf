use proptest::prelude::*;

use super::*;
use crate::foundation::FoundationError;
use crate::frame::Roi;
use crate::map::{Alignment, AnomalyMap, Counted, Enlarger, Joiner, MapError, MapSettings, Mask};
use crate::prepare::{Geometry, InputSpec};
use crate::tensor::{Shape, Tensor, TensorError};
use crate::testing::Near;

#[derive(Debug)]
struct Still(InputSpec);

impl Foundation for Still {
    fn name(&self) -> &str {
        "still"
    }

    fn input(&self) -> &InputSpec {
        &self.0
    }

    fn shape(&self) -> Shape {
        [1, 2, 4, 4]
    }

    fn patches(&self, _: &Tensor, _: &mut Tensor) -> Result<(), FoundationError> {
        Ok(())
    }
}

fn share(weight: f64, sd: f64) -> Share {
    Share::try_new(weight, 0.5, sd).unwrap()
}

fn bank(channels: usize) -> WitnessKind {
    let mut row = vec![0.0; channels];
    row[0] = 1.0;
    let foundation = Arc::new(Still(InputSpec::try_new(8, 8, [0.5; 3], [0.5; 3]).unwrap()));
    WitnessKind::Bank { foundation, bank: Arc::new(Bank::try_new(row, channels).unwrap()) }
}

#[test]
fn joined_keeps_the_order_and_the_names_of_its_witnesses() {
    let witnesses = vec![Witness::new(WitnessKind::Diad, share(0.25, 1.0)), Witness::new(bank(2), share(0.75, 1.0))];
    let joined = Joined::try_new(witnesses).unwrap();
    let names: Vec<&str> = joined.witnesses().iter().map(|witness| &**witness.name()).collect();
    assert_eq!(names, ["diad", "bank:still"]);
}

#[test]
fn joined_refuses_witnesses_that_do_not_fit() {
    let diad = |weight| Witness::new(WitnessKind::Diad, share(weight, 1.0));
    let refused = |witnesses| Joined::try_new(witnesses).unwrap_err();
    assert_eq!(refused(vec![]), JoinError::Count(0));
    assert_eq!(refused((0..9).map(|_| diad(0.1)).collect()), JoinError::Count(9));
    assert_eq!(refused(vec![diad(0.5), diad(0.5)]), JoinError::Twice("diad".into()));
    assert_eq!(refused(vec![diad(0.5)]), JoinError::Weights(0.5));
    let channels = JoinError::Channels { name: "bank:still".into(), bank: 3, foundation: 2 };
    assert_eq!(refused(vec![Witness::new(bank(3), share(1.0, 1.0))]), channels);
}

#[test]
fn share_refuses_numbers_out_of_range_and_keeps_the_scale_finite() {
    for (weight, mean, sd) in
        [(-0.1, 0.0, 1.0), (1.1, 0.0, 1.0), (0.5, f64::NAN, 1.0), (0.5, 0.0, f64::INFINITY), (0.5, 0.0, -1.0)]
    {
        assert!(matches!(Share::try_new(weight, mean, sd), Err(JoinError::Share { .. })), "{weight} {mean} {sd}");
    }
    assert!(Near::abs(1e-9).equal(share(0.5, 0.0).factor(), JOINED_MAP_UNIT_SD / LEAST_SD));
    assert!(Near::abs(1e-12).equal(share(0.5, 0.02).factor(), 0.5));
}

fn counted() -> Counted {
    Counted::new(8, 8)
}

fn joiner() -> Joiner {
    Joiner::try_new(&MapSettings::try_new(vec![1.0], 1.0, 4.0).unwrap(), 8, 8).unwrap()
}

fn even(value: f32) -> AnomalyMap {
    AnomalyMap::try_new(8, 8, vec![value; 64]).unwrap()
}

#[test]
fn joined_map_is_the_weighted_sum_on_the_common_scale_and_a_part_leaves_nothing_behind() {
    let mut joiner = joiner();
    let counted = counted();
    for _ in 0..2 {
        joiner.begin();
        // 0.3 is 30 standard deviations of 0.01; 2.0 is 4 of 0.5.
        let own = joiner.add(&even(0.3), share(0.75, 0.01), &counted).unwrap();
        Near::abs(1e-6).check("own", own.values(), &[0.3; 64]);
        joiner.add(&even(2.0), share(0.25, 0.5), &counted).unwrap();
        joiner.finish(&counted).unwrap();
        let want = 0.75 * 0.30 + 0.25 * 0.04;
        Near::abs(1e-6).check("raw", joiner.raw().values(), &[want; 64]);
        Near::abs(1e-6).check("smooth", joiner.smooth().values(), &[want; 64]);
    }
}

#[test]
fn joined_map_is_0_where_it_does_not_count_and_so_is_each_witnesss_own() {
    let mut counted = counted();
    let geometry = Geometry::new(Roi { x: 0, y: 0, width: 8, height: 8 }, 8, 8);
    counted.lay(&Mask::new(None, vec![Roi { x: 0, y: 0, width: 8, height: 5 }]), &geometry).unwrap();
    assert_eq!(counted.count(), 24);
    let mut joiner = joiner();
    joiner.begin();
    let own = joiner.add(&even(1.0), share(1.0, 0.01), &counted).unwrap();
    assert!(own.values()[..40].iter().all(|value| *value == 0.0) && own.values()[40] > 0.9);
    joiner.finish(&counted).unwrap();
    assert!(joiner.smooth().values()[..40].iter().all(|value| *value == 0.0));
    assert!(joiner.raw().values()[0] > 0.9, "the raw map is whole");
}

#[test]
fn joiner_refuses_maps_of_another_size() {
    let small = AnomalyMap::try_new(4, 8, vec![0.0; 32]).unwrap();
    let error = joiner().add(&small, share(1.0, 1.0), &counted()).unwrap_err();
    assert!(matches!(error, MapError::Size { width: 4, .. }), "{error:?}");
}

#[test]
fn enlarger_by_centres_keeps_a_sample_over_its_square_and_repeats_the_edge() {
    let enlarger = Enlarger::try_new([1, 1, 1, 2], Alignment::Centres, 8, 2).unwrap();
    let map = Tensor::from_vec([1, 1, 1, 2], vec![1.0, 5.0]).unwrap();
    let mut out = AnomalyMap::try_new(8, 2, vec![0.0; 16]).unwrap();
    enlarger.enlarge(&map, &mut out).unwrap();
    let row = [1.0, 1.0, 1.5, 2.5, 3.5, 4.5, 5.0, 5.0];
    assert_eq!(out.values(), [row, row].concat());
}

#[test]
fn enlarger_refuses_other_shapes_and_negative_values() {
    let shape = |shape| Enlarger::try_new(shape, Alignment::Centres, 8, 8).unwrap_err();
    for wrong in [[2, 1, 4, 4], [1, 3, 4, 4], [1, 1, 0, 4]] {
        assert!(matches!(shape(wrong), MapError::Layer(TensorError::Shape { .. })), "{wrong:?}");
    }
    let enlarger = Enlarger::try_new([1, 1, 2, 2], Alignment::Centres, 8, 8).unwrap();
    let mut out = even(0.0);
    let mut refused = |map: Tensor| enlarger.enlarge(&map, &mut out).unwrap_err();
    assert!(matches!(refused(Tensor::zeros([1, 1, 2, 3])), MapError::Layer(_)));
    for bad in [-0.5, f32::NAN, f32::INFINITY] {
        let map = Tensor::from_vec([1, 1, 2, 2], vec![0.0, 0.0, 0.0, bad]).unwrap();
        assert!(matches!(refused(map), MapError::Value { .. }), "{bad}");
    }
    let mut small = AnomalyMap::try_new(4, 4, vec![0.0; 16]).unwrap();
    assert!(matches!(enlarger.enlarge(&Tensor::zeros([1, 1, 2, 2]), &mut small), Err(MapError::Size { .. })));
}

proptest! {
    #[test]
    fn enlarged_map_stays_within_the_values_of_the_coarse_one(
        values in prop::collection::vec(0.0_f32..2.0, 12), width in 1_u32..40, height in 1_u32..40,
    ) {
        let (low, high) = values.iter().fold((f32::MAX, 0.0_f32), |(low, high), v| (low.min(*v), high.max(*v)));
        let map = Tensor::from_vec([1, 1, 3, 4], values).unwrap();
        for alignment in [Alignment::Centres, Alignment::Corners] {
            let mut out = AnomalyMap::try_new(width, height, vec![0.0; (width * height) as usize]).unwrap();
            Enlarger::try_new([1, 1, 3, 4], alignment, width, height).unwrap().enlarge(&map, &mut out).unwrap();
            // One rounding to f32.
            prop_assert!(out.values().iter().all(|v| *v >= low - 1e-6 && *v <= high + 1e-6));
        }
    }

    #[test]
    fn joined_map_ranks_pixels_as_the_sum_of_z_values_does(
        diad in prop::collection::vec(0.0_f32..0.5, 64), bank in prop::collection::vec(0.0_f32..2.0, 64),
    ) {
        let (one, other) = (Share::try_new(0.6, 0.1, 0.02).unwrap(), Share::try_new(0.4, 0.4, 0.11).unwrap());
        let map = |values: &[f32]| AnomalyMap::try_new(8, 8, values.to_vec()).unwrap();
        let mut joiner = joiner();
        joiner.begin();
        joiner.add(&map(&diad), one, &counted()).unwrap();
        joiner.add(&map(&bank), other, &counted()).unwrap();
        joiner.finish(&counted()).unwrap();
        let z = |value: f32, share: Share| share.weight() * (f64::from(value) - share.mean()) / share.sd();
        let shift = JOINED_MAP_UNIT_SD * (z(0.0, one) + z(0.0, other));
        let sum = |index: usize| JOINED_MAP_UNIT_SD * (z(diad[index], one) + z(bank[index], other)) - shift;
        let want: Vec<f64> = (0..64).map(sum).collect();
        // One rounding of values below 0.3 to f32.
        Near::abs(1e-6).check("joined", joiner.raw().values(), &want);
    }
}
