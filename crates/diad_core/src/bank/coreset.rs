//! The few patches that stand for many.

use ndarray::ArrayView2;

use crate::bank::BankError;
use crate::random::SplitMix;

/// Dimensions in which distances are compared: enough to keep their order nearly (Johnson & Lindenstrauss 1984).
const DIMENSIONS: usize = 64;
/// Rows that are projected at a time.
const PROJECTION_BLOCK_ROWS: usize = 4096;

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
    coreset_beside(&[], patches, channels, keep, seed, progress)
}

/// The same beside rows that are chosen already, `known`: those farthest from them come first. `known` rows are not among
/// the indices.
///
/// # Errors
/// As [`coreset`].
pub fn coreset_beside(
    known: &[f32],
    patches: &[f32],
    channels: usize,
    keep: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<usize>, BankError> {
    for values in [known.len(), patches.len()] {
        if channels == 0 || !values.is_multiple_of(channels) {
            return Err(BankError::Size { values, channels });
        }
    }
    let rows = patches.len() / channels;
    if rows == 0 || keep == 0 {
        return Ok(Vec::new());
    }
    let mut random = SplitMix::new(seed);
    let signs = Signs::draw(channels, &mut random);
    let (known, points) = (signs.project(known)?, signs.project(patches)?);
    let mut cover = Cover { points, distances: vec![f32::INFINITY; rows] };
    let mut next = random.below(rows);
    for centre in known.rows() {
        next = cover.add(centre).map_or(0, |(row, _)| row);
    }
    let mut chosen = Vec::with_capacity(keep.min(rows));
    let stride = keep.div_ceil(100);
    while chosen.len() < keep && cover.distances[next] > 0.0 {
        chosen.push(next);
        if chosen.len() % stride == 0 {
            progress(chosen.len());
        }
        let centre = cover.points.row(next).to_vec();
        match cover.add(&centre) {
            Some((farthest, _)) => next = farthest,
            None => break,
        }
    }
    Ok(chosen)
}

/// How far every row is from the nearest centre.
struct Cover {
    points: Points,
    distances: Vec<f32>,
}

impl Cover {
    /// Adds a centre. Gives the row that is farthest from all of them, and its distance; none if every row is a centre.
    fn add(&mut self, centre: &[f32]) -> Option<(usize, f32)> {
        let mut farthest = None;
        let mut most = 0.0_f32;
        for (row, (point, distance)) in self.points.rows().zip(&mut self.distances).enumerate() {
            let square = square(point, centre);
            if square < *distance {
                *distance = square;
            }
            if *distance > most {
                most = *distance;
                farthest = Some((row, most));
            }
        }
        farthest
    }
}

/// Rows in the dimensions in which they are compared.
struct Points {
    values: Vec<f32>,
    width: usize,
}

impl Points {
    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

/// The directions in which distances are compared.
struct Signs {
    channels: usize,
    /// `[channels, DIMENSIONS]`; none where there are few channels already.
    values: Option<Vec<f32>>,
}

impl Signs {
    fn draw(channels: usize, random: &mut SplitMix) -> Self {
        let scale = (DIMENSIONS as f32).sqrt().recip();
        let mut sign = || if random.next() >> 63 == 0 { scale } else { -scale };
        let values = (channels > DIMENSIONS).then(|| (0..channels * DIMENSIONS).map(|_| sign()).collect());
        Self { channels, values }
    }

    fn project(&self, patches: &[f32]) -> Result<Points, BankError> {
        let channels = self.channels;
        let Some(signs) = &self.values else {
            return Ok(Points { values: patches.to_vec(), width: channels });
        };
        let signs = ArrayView2::from_shape((channels, DIMENSIONS), signs).map_err(BankError::Product)?;
        let mut values = Vec::with_capacity(patches.len() / channels * DIMENSIONS);
        for block in patches.chunks(PROJECTION_BLOCK_ROWS * channels) {
            let rows = ArrayView2::from_shape((block.len() / channels, channels), block).map_err(BankError::Product)?;
            values.extend(rows.dot(&signs));
        }
        Ok(Points { values, width: DIMENSIONS })
    }
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
