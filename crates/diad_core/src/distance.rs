//! How differently the feature extractor sees the input and its reconstruction, place by place.

use crate::tensor::{Tensor, TensorError};

/// Norms below this count as this: an all-zero feature vector has no direction.
const LEAST_NORM: f64 = 1e-8;

/// Places worked on at a time: their sums fit into the processor's nearest cache.
const DISTANCE_BLOCK_PLACES: usize = 128;

/// Cosine distance between image 0 and image 1 of one feature layer.
///
/// Shapes: `features` `[2, C, h, w]`, `out` `[1, 1, h, w]`. Range `0..=2`: `1 - <a, b> / (|a| |b|)` over the
/// channels, each norm at least 1e-8 (two all-zero vectors are at distance 1, as in the reference). Rounding
/// can put equal vectors a hair below 0; those become 0, so that a map is never negative. Sums are `f64`, which
/// no finite features overflow.
///
/// # Errors
/// [`TensorError::Shape`] if a shape is another.
pub fn cosine(features: &Tensor, out: &mut Tensor) -> Result<(), TensorError> {
    let [batch, channels, height, width] = features.shape();
    if batch != 2 {
        return Err(TensorError::Shape {
            what: "feature layer",
            got: features.shape(),
            want: [2, channels, height, width],
        });
    }
    out.expect_shape("distance", [1, 1, height, width])?;
    let (first, second) = features.data().split_at(channels * height * width);
    compare(first, second, channels, out.data_mut(), |distance, value| *distance = value as f32);
    Ok(())
}

/// Cosine distance between two tensors, group by group of channels, and the mean of the groups.
///
/// Shapes: `first` and `second` `[1, C, h, w]`, `out` `[1, 1, h, w]`; `groups` are channel counts that add up to `C`.
/// Range and rounding as in [`cosine`].
///
/// # Errors
/// [`TensorError::Shape`] if a shape is another.
pub fn cosine_of_groups(
    first: &Tensor,
    second: &Tensor,
    groups: &[usize],
    out: &mut Tensor,
) -> Result<(), TensorError> {
    let [_, _, height, width] = first.shape();
    let plane = height * width;
    first.expect_shape("latent", [1, groups.iter().sum(), height, width])?;
    second.expect_shape("final latent", first.shape())?;
    out.expect_shape("distance", [1, 1, height, width])?;
    out.data_mut().fill(0.0);
    let share = 1.0 / groups.len() as f64;
    let mut begin = 0;
    for &channels in groups {
        let range = begin * plane..(begin + channels) * plane;
        begin += channels;
        compare(&first.data()[range.clone()], &second.data()[range], channels, out.data_mut(), |distance, value| {
            *distance += (share * value) as f32;
        });
    }
    Ok(())
}

/// Hands the cosine distance of every place to `write`.
fn compare(first: &[f32], second: &[f32], channels: usize, out: &mut [f32], write: impl Fn(&mut f32, f64)) {
    let plane = out.len();
    for (block, distances) in out.chunks_mut(DISTANCE_BLOCK_PLACES).enumerate() {
        let mut sums = [[0.0_f64; DISTANCE_BLOCK_PLACES]; 3];
        for channel in 0..channels {
            let begin = channel * plane + block * DISTANCE_BLOCK_PLACES;
            let range = begin..begin + distances.len();
            accumulate(&first[range.clone()], &second[range], &mut sums);
        }
        let [product, left, right] = &sums;
        for (i, distance) in distances.iter_mut().enumerate() {
            let norms = left[i].sqrt().max(LEAST_NORM) * right[i].sqrt().max(LEAST_NORM);
            // Not `f64::max`, which would turn a NaN into 0, the distance of a perfect part.
            let value = 1.0 - product[i] / norms;
            write(distance, if value < 0.0 { 0.0 } else { value });
        }
    }
}

/// Adds one channel to the sums of `a b`, `a a` and `b b`.
fn accumulate(first: &[f32], second: &[f32], sums: &mut [[f64; DISTANCE_BLOCK_PLACES]; 3]) {
    let [product, left, right] = sums;
    for ((((&a, &b), product), left), right) in first.iter().zip(second).zip(product).zip(left).zip(right) {
        let (a, b) = (f64::from(a), f64::from(b));
        *product += a * b;
        *left += a * a;
        *right += b * b;
    }
}

#[cfg(test)]
mod tests;
