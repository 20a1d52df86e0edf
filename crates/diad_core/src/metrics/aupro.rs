//! Area under the per-region overlap curve: small defects count as much as large ones.

mod draws;

use crate::metrics::{Curve, MetricError, Point, order_key, ordered_value};
use crate::patch;

pub use draws::OverlapBootstrap;

/// Largest false positive rate that counts.
const FPR_LIMIT: f64 = 0.3;

/// Thresholds of the reference's rule.
const REFERENCE_THRESHOLDS: u32 = 200;

/// How the curve becomes one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuproRule {
    /// The definition of the field (Bergmann et al. 2021): a point at every distinct value, begun at (0, 0), cut
    /// at a false positive rate of exactly 0.3 by interpolation, the area divided by 0.3.
    Field,
    /// The reference's: 200 evenly spaced thresholds, only those with a rate below 0.3, the rates divided by the
    /// largest of them, and no point added at either end. Coarse where the rate jumps over 0.3, so it is good
    /// only for comparing with the reference's own figures.
    Reference,
}

/// An anomaly map beside its truth, row by row.
#[derive(Debug, Clone, Copy)]
pub struct MaskedMap<'a> {
    width: u32,
    height: u32,
    values: &'a [f32],
    mask: &'a [bool],
}

impl<'a> MaskedMap<'a> {
    /// Borrows a map and, of the same size, which pixels are truly defect.
    ///
    /// # Errors
    /// [`MetricError::Size`].
    pub const fn try_new(width: u32, height: u32, values: &'a [f32], mask: &'a [bool]) -> Result<Self, MetricError> {
        let pixels = width as usize * height as usize;
        if pixels == 0 || values.len() != pixels || mask.len() != pixels {
            return Err(MetricError::Size { width, height, values: values.len(), mask: mask.len() });
        }
        Ok(Self { width, height, values, mask })
    }
}

/// Every pixel of all maps, worst first, and the size of each defect region. Regions are joined corner to corner as well;
/// all regions of all maps count alike. Eight bytes a pixel.
#[derive(Debug, Clone)]
pub struct RegionOverlap {
    /// Order key above, region below (0 = outside every region); descending.
    entries: Vec<u64>,
    region_sizes: Vec<u32>,
    outside: u64,
}

impl RegionOverlap {
    /// Sorts the pixels of these maps.
    ///
    /// # Errors
    /// [`MetricError::OneClass`] without a defect region or without a good pixel, and [`MetricError::NonFinite`].
    pub fn try_new(maps: &[MaskedMap<'_>]) -> Result<Self, MetricError> {
        let total = maps.iter().map(|map| map.values.len()).sum();
        let mut pixels = Self { entries: Vec::with_capacity(total), region_sizes: Vec::new(), outside: 0 };
        let (mut regions, mut open) = (Vec::new(), Vec::new());
        for map in maps {
            label(map, &mut pixels.region_sizes, &mut regions, &mut open);
            for (&value, &region) in map.values.iter().zip(&regions) {
                let key = order_key(pixels.entries.len(), value)?;
                pixels.entries.push(u64::from(key) << 32 | u64::from(region));
                pixels.outside += u64::from(region == 0);
            }
        }
        let total = pixels.entries.len() as u64;
        if pixels.outside == 0 || pixels.outside == total {
            return Err(MetricError::OneClass { bad: total - pixels.outside, total });
        }
        pixels.entries.sort_unstable_by(|a, b| b.cmp(a));
        Ok(pixels)
    }

    /// Area under the per-region overlap curve up to a false positive rate of 0.3, `0..=1`.
    ///
    /// # Errors
    /// [`MetricError::Coarse`] for [`AuproRule::Reference`].
    pub fn area(&self, rule: AuproRule) -> Result<f64, MetricError> {
        match rule {
            AuproRule::Field => Ok(self.field()),
            AuproRule::Reference => self.reference(),
        }
    }

    /// The curve of [`AuproRule::Field`], from (0, 0) to a false positive rate of exactly 0.3: the share of the pixels
    /// outside the regions that is marked (x), and the mean over the regions of the share of each that is marked (y). It
    /// has about `most` points, as [`Curve::roc`]; without thinning its area is 0.3 times [`area`](Self::area).
    #[must_use]
    pub fn curve(&self, most: usize) -> Curve {
        Curve::thinned(std::iter::once(Point::default()).chain(self.points()), (1.0 + FPR_LIMIT) / most as f64)
    }

    /// Marks pixels; gives the curve's next point.
    fn mark(&self, point: Point, marked: &[u64]) -> Point {
        let (mut outside, mut overlap) = (0_u64, 0.0);
        for entry in marked {
            match (entry & u64::from(u32::MAX)) as usize {
                0 => outside += 1,
                region => overlap += 1.0 / f64::from(self.region_sizes[region - 1]),
            }
        }
        Point {
            x: point.x + outside as f64 / self.outside as f64,
            y: point.y + overlap / self.region_sizes.len() as f64,
        }
    }

    /// A point at every distinct value, after (0, 0) and up to the limit, where the last one lies exactly.
    fn points(&self) -> impl Iterator<Item = Point> + '_ {
        let mut point = Point::default();
        self.entries.chunk_by(|a, b| a >> 32 == b >> 32).map_while(move |ties| {
            if point.x >= FPR_LIMIT {
                return None;
            }
            let next = self.mark(point, ties);
            point = if next.x < FPR_LIMIT {
                next
            } else {
                let part = (FPR_LIMIT - point.x) / (next.x - point.x);
                Point { x: FPR_LIMIT, y: point.y + (next.y - point.y) * part }
            };
            Some(point)
        })
    }

    fn field(&self) -> f64 {
        let mut before = Point::default();
        let area: f64 = self
            .points()
            .map(|point| {
                let area = (point.x - before.x) * f64::midpoint(before.y, point.y);
                before = point;
                area
            })
            .sum();
        area / FPR_LIMIT
    }

    fn reference(&self) -> Result<f64, MetricError> {
        let value = |entry: &u64| ordered_value((entry >> 32) as u32);
        let (low, high) = match (self.entries.last(), self.entries.first()) {
            (Some(last), Some(first)) => (f64::from(value(last)), f64::from(value(first))),
            _ => return Err(MetricError::Coarse { limit: FPR_LIMIT }),
        };
        let step = (high - low) / f64::from(REFERENCE_THRESHOLDS);
        let (mut done, mut point, mut before, mut area) = (0, Point::default(), None, 0.0);
        for index in (0..REFERENCE_THRESHOLDS).rev() {
            let threshold = low + f64::from(index) * step;
            let marked = self.entries[done..].partition_point(|entry| f64::from(value(entry)) > threshold);
            point = self.mark(point, &self.entries[done..done + marked]);
            done += marked;
            if point.x >= FPR_LIMIT {
                break;
            }
            if let Some(Point { x, y }) = before {
                area += (point.x - x) * (point.y + y) / 2.0;
            }
            before = Some(point);
        }
        match before {
            Some(Point { x, .. }) if x > 0.0 => Ok(area / x),
            _ => Err(MetricError::Coarse { limit: FPR_LIMIT }),
        }
    }
}

/// Numbers the regions of a map, from the number of `sizes` on, and adds the size of each, in pixels. Outside is 0.
fn label(map: &MaskedMap<'_>, sizes: &mut Vec<u32>, regions: &mut Vec<u32>, open: &mut Vec<usize>) {
    regions.clear();
    regions.resize(map.mask.len(), 0);
    for start in 0..map.mask.len() {
        if !map.mask[start] || regions[start] != 0 {
            continue;
        }
        let (number, mut size) = (sizes.len() as u32 + 1, 0);
        patch::flood(start, (map.width as usize, map.height as usize), open, |index| {
            let joins = map.mask[index] && regions[index] == 0;
            if joins {
                regions[index] = number;
                size += 1;
            }
            joins
        });
        sizes.push(size);
    }
}
