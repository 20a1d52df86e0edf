//! How sure an AUPRO is: the bootstrap over parts, as [`crate::metrics::Bootstrap`] does it for AUROCs.

use std::collections::BTreeMap;

use super::{FPR_LIMIT, MaskedMap, label};
use crate::metrics::interval::PIXEL_BIN;
use crate::metrics::{MetricError, Point, order_key};
use crate::random::SplitMix;

/// What lies in one bin of values.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Pixels outside every region.
    outside: u64,
    /// Sum of the shares that the pixels are of their regions.
    overlap: f64,
}

/// One part.
#[derive(Debug, Clone)]
struct Drawn {
    /// Its bins, ascending.
    bins: Vec<(u32, Tally)>,
    regions: u32,
}

/// The maps of parts, by bin, to be drawn from.
#[derive(Debug, Clone)]
pub struct OverlapBootstrap {
    bins: usize,
    /// Parts without a region, then those with some.
    strata: [Vec<Drawn>; 2],
}

impl OverlapBootstrap {
    /// One map a part. Values less than one part in a hundred apart count as ties.
    ///
    /// # Errors
    /// As [`crate::metrics::RegionOverlap::try_new`].
    pub fn of_maps(maps: &[MaskedMap<'_>]) -> Result<Self, MetricError> {
        let (mut regions, mut open) = (Vec::new(), Vec::new());
        let mut parts = Vec::with_capacity(maps.len());
        let (mut outside, mut total) = (0, 0);
        for map in maps {
            let mut sizes = Vec::new();
            label(map, &mut sizes, &mut regions, &mut open);
            let mut tallies: BTreeMap<u32, Tally> = BTreeMap::new();
            for (index, (&value, &region)) in map.values.iter().zip(&regions).enumerate() {
                let tally = tallies.entry(order_key(index, value)? >> PIXEL_BIN).or_default();
                match region as usize {
                    0 => tally.outside += 1,
                    region => tally.overlap += 1.0 / f64::from(sizes[region - 1]),
                }
            }
            outside += tallies.values().map(|tally| tally.outside).sum::<u64>();
            total += map.values.len() as u64;
            parts.push((sizes.len() as u32, tallies));
        }
        if outside == 0 || outside == total {
            return Err(MetricError::OneClass { bad: total - outside, total });
        }
        let mut places: BTreeMap<u32, u32> = BTreeMap::new();
        parts.iter().flat_map(|(_, tallies)| tallies.keys()).for_each(|&bin| {
            places.insert(bin, 0);
        });
        (0..).zip(places.values_mut()).for_each(|(number, place)| *place = number);
        let mut strata = [Vec::new(), Vec::new()];
        for (regions, tallies) in parts {
            let bins = tallies.into_iter().map(|(bin, tally)| (places[&bin], tally)).collect();
            strata[usize::from(regions > 0)].push(Drawn { bins, regions });
        }
        Ok(Self { bins: places.len(), strata })
    }

    /// The AUPROs (by [`super::AuproRule::Field`]) of `draws` data sets of the same size, each part drawn with replacement,
    /// parts with defects and others apart; the same `seed` draws the same.
    #[must_use]
    pub fn aupros(&self, draws: usize, seed: u64) -> Vec<f64> {
        let mut random = SplitMix::new(seed);
        let mut tallies = vec![Tally::default(); self.bins];
        (0..draws)
            .map(|_| {
                tallies.fill(Tally::default());
                let mut regions = 0;
                for stratum in &self.strata {
                    for _ in 0..stratum.len() {
                        let part = &stratum[random.below(stratum.len())];
                        regions += part.regions;
                        for &(bin, tally) in &part.bins {
                            let sum = &mut tallies[bin as usize];
                            sum.outside += tally.outside;
                            sum.overlap += tally.overlap;
                        }
                    }
                }
                area(&tallies, f64::from(regions))
            })
            .collect()
    }
}

/// Area under the per-region overlap curve up to the limit, divided by it. A draw in which no pixel lies outside the regions
/// has the area of a perfect map.
fn area(tallies: &[Tally], regions: f64) -> f64 {
    let outside = tallies.iter().map(|tally| tally.outside).sum::<u64>() as f64;
    if outside == 0.0 {
        return 1.0;
    }
    let (mut before, mut area) = (Point::default(), 0.0);
    for tally in tallies.iter().rev() {
        let mut point = Point { x: before.x + tally.outside as f64 / outside, y: before.y + tally.overlap / regions };
        if point.x >= FPR_LIMIT {
            let part = (FPR_LIMIT - before.x) / (point.x - before.x);
            point = Point { x: FPR_LIMIT, y: before.y + (point.y - before.y) * part };
        }
        area += (point.x - before.x) * f64::midpoint(before.y, point.y);
        before = point;
        if point.x >= FPR_LIMIT {
            break;
        }
    }
    area / FPR_LIMIT
}
