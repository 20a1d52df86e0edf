//! The few patches that stand for many.

use ndarray::ArrayView2;

use crate::bank::BankError;
use crate::random::SplitMix;

/// Dimensions in which distances are compared: enough to keep their order nearly (Johnson & Lindenstrauss 1984).
const DIMENSIONS: usize = 64;
/// Rows that are projected at a time.
const BLOCK: usize = 4096;

/// Chooses rows such that every row is near to a chosen one: greedy k-centre (Gonzalez 1985, as in Roth et al. 2022) on
/// a random projection with signs to 64 dimensions (Achlioptas 2003).
///
/// `patches` are rows of `channels` values, one behind the other. Gives at most `keep` different indices, in the order in
/// which they were chosen; fewer if every row is equal to a chosen one by then. The same `seed` chooses the same.
/// `progress` is told the number chosen so far, about once a hundredth. Time: rows x `keep` x 64 products; memory: 65
/// values a row.
///
/// # Errors
/// [`BankError::Size`] if the values are not whole rows.
pub fn coreset(
    patches: &[f32],
    channels: usize,
    keep: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<usize>, BankError> {
    if channels == 0 || !patches.len().is_multiple_of(channels) {
        return Err(BankError::Size { values: patches.len(), channels });
    }
    let rows = patches.len() / channels;
    if rows == 0 || keep == 0 {
        return Ok(Vec::new());
    }
    let mut random = SplitMix::new(seed);
    let points = project(patches, channels, &mut random)?;
    let point = |row: usize| &points.values[row * points.width..][..points.width];
    let mut chosen = Vec::with_capacity(keep.min(rows));
    let mut distances = vec![f32::INFINITY; rows];
    let mut next = random.below(rows);
    let stride = keep.div_ceil(100);
    while chosen.len() < keep {
        chosen.push(next);
        if chosen.len() % stride == 0 {
            progress(chosen.len());
        }
        let centre = point(next);
        let mut farthest = (0, 0.0_f32);
        for (row, distance) in distances.iter_mut().enumerate() {
            let square = square(point(row), centre);
            if square < *distance {
                *distance = square;
            }
            if *distance > farthest.1 {
                farthest = (row, *distance);
            }
        }
        if farthest.1 <= 0.0 {
            break;
        }
        next = farthest.0;
    }
    Ok(chosen)
}

/// Rows in the dimensions in which they are compared.
struct Points {
    values: Vec<f32>,
    width: usize,
}

fn project(patches: &[f32], channels: usize, random: &mut SplitMix) -> Result<Points, BankError> {
    if channels <= DIMENSIONS {
        return Ok(Points { values: patches.to_vec(), width: channels });
    }
    let scale = (DIMENSIONS as f32).sqrt().recip();
    let signs: Vec<f32> =
        (0..channels * DIMENSIONS).map(|_| if random.next() >> 63 == 0 { scale } else { -scale }).collect();
    let signs = ArrayView2::from_shape((channels, DIMENSIONS), &signs).map_err(BankError::Product)?;
    let mut values = Vec::with_capacity(patches.len() / channels * DIMENSIONS);
    for block in patches.chunks(BLOCK * channels) {
        let rows = ArrayView2::from_shape((block.len() / channels, channels), block).map_err(BankError::Product)?;
        values.extend(rows.dot(&signs));
    }
    Ok(Points { values, width: DIMENSIONS })
}

/// Square of the distance. Eight sums side by side, so that the processor adds them at once.
fn square(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (lefts, rights) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f32 = lefts.remainder().iter().zip(rights.remainder()).map(|(a, b)| (a - b) * (a - b)).sum();
    for (left, right) in lefts.zip(rights) {
        for ((sum, a), b) in sums.iter_mut().zip(left).zip(right) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum::<f32>() + rest
}
