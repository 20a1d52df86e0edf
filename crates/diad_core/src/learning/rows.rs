//! Patches as rows of a bank: drawn, and chosen.

use crate::bank::{Bank, BankError, Search, coreset};
use crate::random::SplitMix;
use crate::tensor::Tensor;

/// Adds patches of one part to `rows`, one behind the other: `count` different places at random, or all of them if there
/// are no more. Shape of `patches`: `[1, D, h, w]`. The same `seed` draws the same places.
pub fn draw(patches: &Tensor, count: usize, seed: u64, rows: &mut Vec<f32>) {
    let [_, channels, height, width] = patches.shape();
    let plane = height * width;
    let mut random = SplitMix::new(seed);
    let mut places: Vec<usize> = (0..plane).collect();
    let count = count.min(plane);
    for drawn in 0..count {
        let swap = drawn + random.below(plane - drawn);
        places.swap(drawn, swap);
    }
    rows.reserve(count * channels);
    for &place in &places[..count] {
        rows.extend(patches.data().iter().skip(place).step_by(plane));
    }
}

/// Adds the patches of one part to `rows` that are nearer to a row of `good` than to any of `bad`. Shape of `patches`:
/// `[1, D, h, w]`. Gives how many are not, and were left out: what looks like a known defect must not be learnt as good.
///
/// # Errors
/// [`BankError`] if the patches do not fit the banks.
pub fn take_good(patches: &Tensor, good: &Bank, bad: &Bank, rows: &mut Vec<f32>) -> Result<usize, BankError> {
    let [_, _, height, width] = patches.shape();
    let mut search = Search::default();
    let mut distances = |bank: &Bank| {
        let mut out = Tensor::zeros([1, 1, height, width]);
        bank.nearest(patches, &mut search, &mut out).map(|()| out)
    };
    let (to_good, to_bad) = (distances(good)?, distances(bad)?);
    let plane = height * width;
    let mut refused = 0;
    for place in 0..plane {
        if to_bad.data()[place] < to_good.data()[place] {
            refused += 1;
        } else {
            rows.extend(patches.data().iter().skip(place).step_by(plane));
        }
    }
    Ok(refused)
}

/// A bank of the rows that stand for all `rows` of `channels` values, at most `keep` of them
/// ([`coreset`]).
///
/// # Errors
/// [`BankError`]: no rows, or rows that are no vectors of length 1.
pub fn bank(
    rows: &[f32],
    channels: usize,
    keep: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize),
) -> Result<Bank, BankError> {
    let chosen = coreset(rows, channels, keep, seed, progress)?;
    let chosen = chosen.into_iter().flat_map(|row| &rows[row * channels..][..channels]);
    Bank::try_new(chosen.copied().collect(), channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place is told by its angle.
    fn patches(places: u16) -> Tensor {
        let angles: Vec<f32> = (0..places).map(f32::from).map(|place| place * 0.01).collect();
        let data = angles.iter().map(|a| a.cos()).chain(angles.iter().map(|a| a.sin())).collect();
        Tensor::from_vec([1, 2, 1, usize::from(places)], data).unwrap()
    }

    #[test]
    fn draw_takes_different_whole_places_and_the_same_ones_again() {
        let patches = patches(50);
        let drawn = |count, seed| {
            let mut rows = vec![9.0, 9.0];
            draw(&patches, count, seed, &mut rows);
            rows.split_off(2)
        };
        let mut places: Vec<_> = drawn(20, 3).chunks_exact(2).map(|row| row[1].atan2(row[0])).collect();
        places.sort_by(f32::total_cmp);
        places.dedup();
        assert_eq!(places.len(), 20);
        assert_eq!(drawn(20, 3), drawn(20, 3));
        assert_ne!(drawn(20, 3), drawn(20, 4));
        assert_eq!(drawn(80, 3).len(), 100);
        assert!(drawn(0, 3).is_empty());
    }

    #[test]
    fn take_good_leaves_out_what_is_nearer_to_a_defect() {
        let bank = |angle: f32| Bank::try_new(vec![angle.cos(), angle.sin()], 2).unwrap();
        let mut rows = Vec::new();
        // Places at 0, 0.01, … 0.09; the middle between good and bad is at 0.045.
        let refused = take_good(&patches(10), &bank(0.0), &bank(0.09), &mut rows).unwrap();
        assert_eq!((refused, rows.len()), (5, 10));
        assert!(rows.chunks_exact(2).all(|row| row[1] < 0.045));
        assert!(take_good(&patches(10), &bank(0.0), &Bank::try_new(vec![1.0], 1).unwrap(), &mut rows).is_err());
    }

    #[test]
    fn bank_keeps_rows_that_are_among_those_given() {
        let mut rows = Vec::new();
        draw(&patches(200), 200, 1, &mut rows);
        let bank = bank(&rows, 2, 10, 1, &mut |_| {}).unwrap();
        assert_eq!((bank.len(), bank.channels()), (10, 2));
        let known = |row: &[f32]| rows.chunks_exact(2).any(|given| given == row);
        assert!(bank.rows().chunks_exact(2).all(known));
        assert!(super::bank(&[], 2, 10, 1, &mut |_| {}).is_err());
    }
}
