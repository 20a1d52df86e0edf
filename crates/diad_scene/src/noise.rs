//! Hashed lattice noise in `[-1, 1]`, the same on every machine (integer hash, plain arithmetic).

use std::cell::Cell;

use crate::geometry::{V2, v2};

/// Hashes a lattice point.
pub(crate) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = x.cast_unsigned().wrapping_mul(0x9E37_79B1)
        ^ y.cast_unsigned().wrapping_mul(0x85EB_CA77)
        ^ seed.wrapping_mul(0xC2B2_AE3D);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

#[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32 exactly")]
fn lattice(x: i32, y: i32, seed: u32) -> f32 {
    (hash(x, y, seed) >> 8) as f32 / 8_388_608.0 - 1.0
}

/// Cell and place within it. By truncation, for `floor` is a library call on plain x86-64.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "coordinates stay within a few thousand cells"
)]
fn cell(x: f32) -> (i32, f32) {
    let cut = x as i32;
    let floor = cut - i32::from(x < cut as f32);
    (floor, x - floor as f32)
}

/// Smooth noise along a line.
pub(crate) fn noise1(x: f32, seed: u32) -> f32 {
    let (i, f) = cell(x);
    let t = f * f * (3.0 - 2.0 * f);
    let (a, b) = (lattice(i, 0, seed), lattice(i + 1, 0, seed));
    a + (b - a) * t
}

/// Smooth noise in the plane. Remembers the last cell, for neighbouring pixels mostly share one.
#[derive(Debug)]
pub(crate) struct Grain {
    seed: u32,
    last: Cell<(i32, i32, [f32; 4])>,
}

impl Grain {
    pub fn new(seed: u32) -> Self {
        Self { seed, last: Cell::new((0, 0, corners(0, 0, seed))) }
    }

    /// The noise at a point; one cell per unit.
    pub fn at(&self, p: V2) -> f32 {
        let (ix, fx) = cell(p.x);
        let (iy, fy) = cell(p.y);
        let (lx, ly, mut c) = self.last.get();
        if (lx, ly) != (ix, iy) {
            c = corners(ix, iy, self.seed);
            self.last.set((ix, iy, c));
        }
        let tx = fx * fx * (3.0 - 2.0 * fx);
        let ty = fy * fy * (3.0 - 2.0 * fy);
        let top = c[0] + (c[1] - c[0]) * tx;
        let bottom = c[2] + (c[3] - c[2]) * tx;
        top + (bottom - top) * ty
    }
}

fn corners(ix: i32, iy: i32, seed: u32) -> [f32; 4] {
    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| lattice(ix + dx, iy + dy, seed))
}

/// Two octaves of [`Grain`].
#[derive(Debug)]
pub(crate) struct Cloud {
    coarse: Grain,
    fine: Grain,
}

impl Cloud {
    pub fn new(seed: u32) -> Self {
        Self { coarse: Grain::new(seed), fine: Grain::new(seed ^ 0x51) }
    }

    /// The noise at a point; one coarse cell per unit.
    pub fn at(&self, p: V2) -> f32 {
        0.67 * self.coarse.at(p) + 0.33 * self.fine.at(v2(p.x * 2.03 + 17.1, p.y * 2.03 - 9.7))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cloud, Grain};
    use crate::geometry::v2;

    #[test]
    fn grain_asked_in_any_order_gives_the_same_values() {
        let points: Vec<_> = (0_u8..200).map(|k| v2(f32::from(k) * 0.37 - 30.0, 20.0 - f32::from(k) * 0.21)).collect();
        let (forward, backward) = (Grain::new(4), Grain::new(4));
        let a: Vec<u32> = points.iter().map(|p| forward.at(*p).to_bits()).collect();
        let b: Vec<u32> = points.iter().rev().map(|p| backward.at(*p).to_bits()).collect();
        assert!(a.iter().eq(b.iter().rev()));
    }

    #[test]
    fn grain_and_cloud_stay_within_one_and_are_continuous() {
        let (grain, cloud) = (Grain::new(9), Cloud::new(9));
        for k in 0_u16..4_000 {
            let p = v2(f32::from(k) * 0.01 - 20.0, f32::from(k) * 0.007 - 5.0);
            let near = v2(p.x + 0.001, p.y);
            assert!(grain.at(p).abs() <= 1.0 && cloud.at(p).abs() <= 1.0);
            assert!((grain.at(p) - grain.at(near)).abs() < 0.01);
        }
    }
}
