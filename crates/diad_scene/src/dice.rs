//! Seeds and draws. Values are taken from the generator's bits here, so no library update can move them.

use rand_core::RngCore;
use rand_pcg::Pcg32;

use crate::geometry::{Rgb, V2};

/// Finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection, so distinct inputs stay distinct.
fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Derives a seed for one purpose (`salt`) from a parent seed.
pub(crate) fn derive(seed: u64, salt: u64) -> u64 {
    splitmix64(splitmix64(seed).wrapping_add(splitmix64(salt ^ 0xD1AD_5CE9_E000_0001)))
}

/// A seeded source of draws.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Pcg32);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Pcg32::new(seed, splitmix64(seed ^ 0x5EED)))
    }

    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`, 24 bits.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32 exactly")]
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / 16_777_216.0
    }

    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Log-uniform in `[low, high)`; both positive.
    pub fn log_range(&mut self, low: f32, high: f32) -> f32 {
        low * ((high / low).ln() * self.unit()).exp()
    }

    /// Uniform in `0..count`; 0 when `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        let wide = u64::from(self.bits()) * count as u64;
        usize::try_from(wide >> 32).unwrap_or(0)
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    pub fn sign(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    pub fn angle(&mut self) -> f32 {
        self.range(-std::f32::consts::PI, std::f32::consts::PI)
    }

    pub fn direction(&mut self) -> V2 {
        V2::polar(1.0, self.angle())
    }

    /// A multiplier near one for each channel: common factor ±`common`, each channel ±`colour` on top.
    pub fn tint(&mut self, common: f32, colour: f32) -> Rgb {
        let base = 1.0 + self.range(-common, common);
        [0; 3].map(|_: i32| base * (1.0 + self.range(-colour, colour)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Dice, derive};

    #[test]
    fn dice_of_a_seed_give_the_values_written_down_once() {
        // If these move, every rendered picture moves with them.
        let mut dice = Dice::new(derive(1, 2));
        let drawn = [dice.bits(), dice.bits(), dice.bits()];
        assert_eq!(drawn, [2_079_683_022, 1_081_947_024, 2_471_894_469]);
    }

    #[test]
    fn dice_stay_in_their_ranges() {
        let mut dice = Dice::new(3);
        for _ in 0..2_000 {
            assert!((0.0..1.0).contains(&dice.unit()));
            assert!((-2.0..5.0).contains(&dice.range(-2.0, 5.0)));
            assert!((0.19..3.01).contains(&dice.log_range(0.2, 3.0)));
            assert!(dice.below(7) < 7);
        }
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn derive_of_neighbouring_seeds_and_salts_gives_distinct_seeds() {
        let mut all: Vec<u64> = (0..100).flat_map(|s| (0..100).map(move |t| derive(s, t))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }
}
