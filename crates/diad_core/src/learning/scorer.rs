//! The score of a part from maps that are already there.

use crate::join::Share;
use crate::map::{AnomalyMap, Counted, Joiner, MapError, MapSettings, Mask, NothingCounts};
use crate::prepare::Geometry;
use crate::score::{Peak, PeakError, PeakFinder, ScoreRule};

/// Joins maps of a part and scores them as [`Inspector`](crate::inspector::Inspector) does with the maps of its networks:
/// the same maps on the same scale have the same score.
#[derive(Debug)]
pub struct Scorer {
    counted: Counted,
    joiner: Joiner,
    finder: PeakFinder,
}

/// A part that has no score.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScorerError {
    /// Nothing of the picture counts.
    #[error("lay the mask over the picture")]
    Mask(#[source] NothingCounts),
    /// Maps are of another size, or a value is not finite.
    #[error("join the maps")]
    Map(#[source] MapError),
    /// The map has no peak.
    #[error("score the joined map")]
    Score(#[source] PeakError),
}

impl Scorer {
    /// Scores maps of `width` x `height` model pixels by a model's settings.
    ///
    /// # Errors
    /// [`ScorerError`]: the settings do not fit the size.
    pub fn try_new(map: &MapSettings, rule: ScoreRule, width: u32, height: u32) -> Result<Self, ScorerError> {
        Ok(Self {
            counted: Counted::new(width, height),
            joiner: Joiner::try_new(map, width, height).map_err(ScorerError::Map)?,
            finder: PeakFinder::try_new(rule, width, height).map_err(ScorerError::Score)?,
        })
    }

    /// The score of a part and where it comes from: each map before smoothing, in its witness's own unit, with the witness's share.
    ///
    /// # Errors
    /// [`ScorerError`].
    pub fn peak<'a>(
        &mut self,
        mask: &Mask,
        geometry: &Geometry,
        maps: impl IntoIterator<Item = (&'a AnomalyMap, Share)>,
    ) -> Result<Peak, ScorerError> {
        self.counted.lay(mask, geometry).map_err(ScorerError::Mask)?;
        self.joiner.begin();
        for (map, share) in maps {
            self.joiner.add(map, share, &self.counted).map_err(ScorerError::Map)?;
        }
        self.joiner.finish(&self.counted).map_err(ScorerError::Map)?;
        self.finder.find(self.joiner.smooth()).map_err(ScorerError::Score)
    }

    /// The map that gave the last [`peak`](Self::peak): joined, smoothed, 0 where it does not count.
    #[must_use]
    pub const fn map(&self) -> &AnomalyMap {
        self.joiner.smooth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Roi;

    #[test]
    fn peak_is_that_of_the_weighted_sum_where_it_counts() {
        let settings = MapSettings::try_new(vec![1.0], 0.0, 0.0).unwrap();
        let rule = ScoreRule::try_new(1, 0).unwrap();
        let mut scorer = Scorer::try_new(&settings, rule, 2, 1).unwrap();
        let map = |left, right| AnomalyMap::try_new(2, 1, vec![left, right]).unwrap();
        let share = |weight, sd| Share::try_new(weight, 0.0, sd).unwrap();
        let (one, other) = (map(1.0, 4.0), map(3.0, 2.0));
        let roi = |x, width| Roi { x, y: 0, width, height: 10 };
        let geometry = Geometry::new(roi(0, 20), 2, 1);
        let maps = [(&one, share(0.25, 0.5)), (&other, share(0.75, 1.0))];
        // Hundredths of a standard deviation: 0.25 / 0.5 and 0.75 / 1.0 of each value.
        let right = Mask::new(Some(roi(10, 10)), Vec::new());
        let left = Mask::new(Some(roi(0, 10)), Vec::new());
        for (mask, want, x) in [(Mask::EVERYTHING, 0.035, 1), (&right, 0.035, 1), (&left, 0.0275, 0)] {
            let peak = scorer.peak(mask, &geometry, maps).unwrap();
            assert!((peak.score.get() - want).abs() < 1e-7 && peak.x == x, "{peak:?}");
            assert_eq!(scorer.map().values()[x as usize].to_bits(), peak.score.get().to_bits());
        }
        let nothing = Mask::new(Some(roi(50, 10)), Vec::new());
        assert!(matches!(scorer.peak(&nothing, &geometry, maps), Err(ScorerError::Mask(_))));
    }
}
