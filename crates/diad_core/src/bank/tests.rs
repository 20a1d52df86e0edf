use proptest::prelude::*;

use super::*;
use crate::tensor::Shape;
use crate::testing::Near;

/// Vectors of length 1, one behind the other, from any numbers.
fn unit(values: &[f32], channels: usize) -> Vec<f32> {
    let mut rows = values.to_vec();
    for row in rows.chunks_exact_mut(channels) {
        row[0] += 3.0; // no vector is 0
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|v| *v /= length);
    }
    rows
}

/// Rows as patches `[1, D, 1, n]`.
fn patches(rows: &[f32], channels: usize) -> Tensor {
    let count = rows.len() / channels;
    let values = (0..channels * count).map(|i| rows[i % count * channels + i / count]).collect();
    Tensor::from_vec([1, channels, 1, count], values).unwrap()
}

fn nearest(bank: &Bank, patches: &Tensor) -> Vec<f32> {
    let [_, _, height, width] = patches.shape();
    let mut out = Tensor::zeros([1, 1, height, width]);
    bank.nearest(patches, &mut Search::default(), &mut out).unwrap();
    out.data().to_vec()
}

fn some(count: usize, channels: usize, step: usize) -> Vec<f32> {
    unit(&(0..count * channels).map(|i| (i * step % 1009) as f32 / 504.5 - 1.0).collect::<Vec<_>>(), channels)
}

#[test]
fn nearest_of_a_row_of_the_bank_is_next_to_nothing_and_of_its_opposite_two() {
    let bank = Bank::try_new(vec![1.0, 0.0, 0.0, 1.0], 2).unwrap();
    let found = nearest(&bank, &patches(&[1.0, 0.0, -1.0, 0.0, 0.0, 1.0, -0.6, -0.8], 2));
    Near::abs(1e-6).check("distances", &found, &[0.0, 2.0_f64.sqrt(), 0.0, 3.2_f64.sqrt()]);
    let bank = Bank::try_new(vec![1.0, 0.0], 2).unwrap();
    Near::abs(1e-6).check("opposite", &nearest(&bank, &patches(&[-1.0, 0.0], 2)), &[2.0]);
}

#[test]
fn nearest_of_more_rows_than_a_block_looks_at_them_all_and_twice_gives_the_same_bits() {
    let channels = 12;
    let rows = some(2 * SEARCH_BLOCK_ROWS + 17, channels, 37);
    let bank = Bank::try_new(rows.clone(), channels).unwrap();
    let last = &rows[rows.len() - channels..];
    let asked = patches(&[last, &rows[..channels], &some(30, channels, 53)].concat(), channels);
    let found = nearest(&bank, &asked);
    // √ of a rounding of the product.
    assert!(found[0] < 1e-3 && found[1] < 1e-3, "{:?}", &found[..2]);
    assert_eq!(found, nearest(&bank, &asked));
}

#[test]
fn nearest_refuses_another_shape_and_values_of_no_vector_of_length_1() {
    let bank = Bank::try_new(some(3, 4, 29), 4).unwrap();
    let mut search = Search::default();
    let mut refused = |patches: &Tensor, out: Shape| bank.nearest(patches, &mut search, &mut Tensor::zeros(out));
    for (asked, out) in [([1, 3, 1, 2], [1, 1, 1, 2]), ([1, 4, 1, 2], [1, 1, 2, 1]), ([2, 4, 1, 2], [1, 1, 1, 2])] {
        let error = refused(&Tensor::zeros(asked), out).unwrap_err();
        assert!(matches!(error, BankError::Patches(TensorError::Shape { .. })), "{asked:?}: {error:?}");
    }
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5] {
        for index in 0..8 {
            let mut asked = Tensor::zeros([1, 4, 1, 2]);
            asked.data_mut()[index] = bad;
            let error = refused(&asked, [1, 1, 1, 2]).unwrap_err();
            assert!(matches!(error, BankError::Value { index: found, .. } if found == index), "{bad}: {error:?}");
        }
    }
}

#[test]
fn bank_refuses_rows_that_are_none() {
    for (values, channels) in [(0, 4), (7, 4), (4, 0), ((MAX_ROWS + 1) * 2, 2), (MAX_CHANNELS + 1, MAX_CHANNELS + 1)] {
        assert_eq!(Bank::try_new(vec![1.0; values], channels), Err(BankError::Size { values, channels }));
    }
    for bad in [0.98, 1.02, 0.0, f32::NAN, f32::INFINITY] {
        let error = Bank::try_new(vec![1.0, 0.0, bad, 0.0], 2).unwrap_err();
        assert!(matches!(error, BankError::Length { row: 1, .. }), "{bad}: {error:?}");
    }
    assert_eq!(Bank::try_new(vec![0.995, 0.0], 2).unwrap().len(), 1);
}

#[test]
fn coreset_takes_each_of_far_apart_groups_before_a_second_of_any() {
    // Five groups of 40 rows, each a hair apart, in more dimensions than are compared.
    let channels = 80;
    let mut rows = vec![0.0; 200 * channels];
    for (row, values) in rows.chunks_exact_mut(channels).enumerate() {
        values[row % 5 * 7] = 1.0;
        values[70 + row / 5 % 10] += 1e-3 * row as f32;
    }
    let mut told = Vec::new();
    let chosen = coreset(&rows, channels, 5, 3, &mut |count| told.push(count)).unwrap();
    let mut groups: Vec<usize> = chosen.iter().map(|row| row % 5).collect();
    groups.sort_unstable();
    assert_eq!(groups, [0, 1, 2, 3, 4]);
    assert_eq!(told, [1, 2, 3, 4, 5]);
    assert_eq!(chosen, coreset(&rows, channels, 5, 3, &mut |_| ()).unwrap(), "the same seed");
}

#[test]
fn coreset_of_equal_rows_is_one_and_of_nothing_none() {
    let rows = [0.6, 0.8].repeat(30);
    assert_eq!(coreset(&rows, 2, 10, 1, &mut |_| ()).unwrap().len(), 1);
    assert!(coreset(&[], 2, 10, 1, &mut |_| ()).unwrap().is_empty());
    assert!(coreset(&rows, 2, 0, 1, &mut |_| ()).unwrap().is_empty());
    assert_eq!(coreset(&rows, 7, 1, 1, &mut |_| ()), Err(BankError::Size { values: 60, channels: 7 }));
}

proptest! {
    #[test]
    fn nearest_is_the_distance_that_two_loops_find(
        rows in prop::collection::vec(-1.0_f32..1.0, 9 * 5),
        asked in prop::collection::vec(-1.0_f32..1.0, 4 * 5),
    ) {
        let (rows, asked) = (unit(&rows, 5), unit(&asked, 5));
        let found = nearest(&Bank::try_new(rows.clone(), 5).unwrap(), &patches(&asked, 5));
        for (found, place) in found.iter().zip(asked.chunks_exact(5)) {
            let distance = |row: &[f32]| row.iter().zip(place).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            let want = rows.chunks_exact(5).map(distance).fold(f64::INFINITY, f64::min);
            // Squares: the root of a rounding near 0 is large.
            prop_assert!(Near::abs(1e-5).equal(f64::from(*found).powi(2), want), "{found}, {want}");
        }
    }

    #[test]
    fn coreset_gives_different_rows_and_covers_better_with_more(
        rows in prop::collection::vec(-1.0_f32..1.0, 60 * 3), seed in any::<u64>(),
    ) {
        let radius = |keep: usize| {
            let chosen = coreset(&rows, 3, keep, seed, &mut |_| ()).unwrap();
            let mut sorted = chosen.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), keep);
            let row = |index: usize| &rows[index * 3..][..3];
            let square = |a: usize, b: usize| row(a).iter().zip(row(b)).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            let nearest = |index: usize| chosen.iter().map(|&c| square(index, c)).fold(f32::INFINITY, f32::min);
            (0..60).map(nearest).fold(0.0, f32::max)
        };
        prop_assert!(radius(20) <= radius(5));
    }
}

#[test]
fn coreset_beside_known_rows_begins_with_what_is_farthest_from_them() {
    let row = |angle: f32| [angle.cos(), angle.sin()];
    let known: Vec<f32> = [0.0, 0.1].into_iter().flat_map(row).collect();
    let patches: Vec<f32> = [0.05, 0.1, 1.2, 0.5].into_iter().flat_map(row).collect();
    let chosen = |keep| coreset_beside(&known, &patches, 2, keep, 0, &mut |_| {}).unwrap();
    assert_eq!(chosen(2), [2, 3]);
    // The second patch is known already.
    assert_eq!(chosen(9), [2, 3, 0]);
    assert!(coreset_beside(&patches, &patches, 2, 9, 0, &mut |_| {}).unwrap().is_empty());
    assert!(coreset_beside(&known[1..], &patches, 2, 9, 0, &mut |_| {}).is_err());
}
