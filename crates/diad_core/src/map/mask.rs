//! Which pixels of a picture count towards the score.

use std::ops::Range;

use crate::frame::Roi;
use crate::map::AnomalyMap;
use crate::prepare::Geometry;

/// Which pixels of a frame count: those inside `roi`, where there is one, and outside every ignored rectangle.
/// Rectangles are in frame pixels and may reach out of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    roi: Option<Roi>,
    ignored: Vec<Roi>,
}

/// A mask under which nothing of a picture counts: a score of it would be 0 whatever the part looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing of the picture counts: the camera shows {seen}, the product's roi is {roi}, {ignored} rectangles are ignored",
    roi = .roi.map_or_else(|| "the whole picture".to_owned(), |roi| roi.to_string())
)]
pub struct NothingCounts {
    /// The mask's region, in frame pixels.
    pub roi: Option<Roi>,
    /// How many rectangles it ignores.
    pub ignored: usize,
    /// What the model sees of the frame.
    pub seen: Roi,
}

impl Mask {
    /// Every pixel counts.
    pub const EVERYTHING: &'static Self = &Self { roi: None, ignored: Vec::new() };

    /// Only what lies inside `roi` (`None`: the whole picture) and in none of the ignored rectangles counts.
    #[must_use]
    pub fn new(roi: Option<Roi>, mut ignored: Vec<Roi>) -> Self {
        // Their order means nothing, so that equal masks also compare as equal.
        ignored.sort_unstable_by_key(|rect| (rect.y, rect.x, rect.height, rect.width));
        ignored.dedup();
        Self { roi, ignored }
    }

    /// The region that counts; `None` is the whole picture.
    #[must_use]
    pub const fn roi(&self) -> Option<Roi> {
        self.roi
    }

    /// What does not count, from top to bottom, none twice.
    #[must_use]
    pub fn ignored(&self) -> &[Roi] {
        &self.ignored
    }

    /// Whether there is nothing to leave out.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.roi.is_none() && self.ignored.is_empty()
    }
}

/// The pixels of one map that count. Keeps its buffer: another mask costs no allocation.
#[derive(Debug)]
pub struct Counted {
    width: usize,
    pixels: Vec<bool>,
    count: usize,
}

impl Counted {
    /// For maps of `width` x `height` model pixels, of which every one counts.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let count = width as usize * height as usize;
        Self { width: width as usize, pixels: vec![true; count], count }
    }

    /// How many pixels count, in model pixels.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Lays a mask over the model's pixels: one counts if its centre, laid over the frame, does.
    ///
    /// # Errors
    /// [`NothingCounts`] if none does.
    pub fn lay(&mut self, mask: &Mask, geometry: &Geometry) -> Result<(), NothingCounts> {
        if mask.is_everything() {
            if self.count < self.pixels.len() {
                self.pixels.fill(true);
                self.count = self.pixels.len();
            }
            return Ok(());
        }
        self.pixels.fill(mask.roi.is_none());
        if let Some(roi) = mask.roi {
            self.paint(geometry.centres_inside(roi), true);
        }
        for &rect in &mask.ignored {
            self.paint(geometry.centres_inside(rect), false);
        }
        self.count = self.pixels.iter().filter(|counts| **counts).count();
        if self.count > 0 {
            return Ok(());
        }
        Err(NothingCounts { roi: mask.roi, ignored: mask.ignored.len(), seen: geometry.roi() })
    }

    fn paint(&mut self, (columns, rows): (Range<usize>, Range<usize>), counts: bool) {
        for row in self.pixels.chunks_exact_mut(self.width).take(rows.end).skip(rows.start) {
            row[columns.clone()].fill(counts);
        }
    }

    /// Sets what does not count to 0.
    pub(super) fn clear_others(&self, map: &mut AnomalyMap) {
        if self.count < self.pixels.len() {
            for (value, _) in map.values.iter_mut().zip(&self.pixels).filter(|(_, counts)| !**counts) {
                *value = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
