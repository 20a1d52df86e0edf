//! Which parts are held out together.

/// Up to so many parts each is held out alone.
const ALONE_UP_TO: usize = 10;
/// Folds of more parts than that.
const FOLDS: usize = 5;

/// Parts, cut into folds: each part is held out in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folds {
    parts: usize,
    count: usize,
}

impl Folds {
    /// Cuts `parts` parts: up to ten of them one by one, more into five folds. Neighbours go into different folds, so that
    /// a lot or a shift whose pictures lie side by side is in all of them.
    #[must_use]
    pub const fn of(parts: usize) -> Self {
        Self { parts, count: if parts <= ALONE_UP_TO { parts } else { FOLDS } }
    }

    /// How many folds there are; none without parts.
    #[must_use]
    pub const fn count(self) -> usize {
        self.count
    }

    /// The parts that are held out in a fold, in ascending order.
    pub fn held_out(self, fold: usize) -> impl Iterator<Item = usize> {
        (0..self.parts).filter(move |part| part % self.count == fold)
    }

    /// The parts that are not, in ascending order.
    pub fn kept(self, fold: usize) -> impl Iterator<Item = usize> {
        (0..self.parts).filter(move |part| part % self.count != fold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_held_out_once_and_never_kept_meanwhile() {
        for (parts, folds) in [(0, 0), (1, 1), (5, 5), (10, 10), (11, 5), (203, 5)] {
            let cut = Folds::of(parts);
            assert_eq!(cut.count(), folds);
            let mut held_out: Vec<usize> = (0..folds).flat_map(|fold| cut.held_out(fold)).collect();
            held_out.sort_unstable();
            assert!(held_out.into_iter().eq(0..parts));
            for fold in 0..folds {
                let (out, kept): (Vec<_>, Vec<_>) = (cut.held_out(fold).collect(), cut.kept(fold).collect());
                assert_eq!(out.len() + kept.len(), parts);
                assert!(!out.iter().any(|part| kept.contains(part)));
                assert!(out.len() <= parts.div_ceil(folds));
            }
        }
    }
}
