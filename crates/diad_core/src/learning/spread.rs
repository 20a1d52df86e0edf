//! Mean and standard deviation of more numbers than fit into memory at once.

/// Mean and spread of numbers that are added piece by piece.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
}

impl Moments {
    /// Adds numbers. Give a map's pixels at once: sums of one call are exact to `f64`.
    pub fn add(&mut self, values: &[f32]) {
        if values.is_empty() {
            return;
        }
        let count = values.len() as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
        let (before, after) = (self.count as f64, self.count as f64 + count);
        let apart = mean - self.mean;
        self.squares += squares + apart * apart * before * count / after;
        self.mean += apart * count / after;
        self.count += values.len() as u64;
    }

    /// The mean; 0 without numbers.
    #[must_use]
    pub const fn mean(&self) -> f64 {
        self.mean
    }

    /// The standard deviation over all numbers (divided by their number); 0 without any.
    #[must_use]
    pub fn sd(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.squares / self.count as f64).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Near;

    #[test]
    fn moments_of_pieces_are_those_of_the_whole() {
        let values: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 * 0.01 + 5.0).collect();
        let (mut whole, mut pieces) = (Moments::default(), Moments::default());
        whole.add(&values);
        values.chunks(77).for_each(|piece| pieces.add(piece));
        pieces.add(&[]);
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 1000.0;
        let sd = (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 1000.0).sqrt();
        // Rounding of a thousand sums in f64.
        for got in [whole, pieces] {
            assert!(Near::abs(1e-12).equal(got.mean(), mean) && Near::abs(1e-12).equal(got.sd(), sd));
        }
        assert_eq!((Moments::default().mean(), Moments::default().sd()), (0.0, 0.0));
    }
}
