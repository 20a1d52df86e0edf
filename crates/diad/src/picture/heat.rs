//! Map values as colours.

use diad_core::judge::Thresholds;
use diad_core::map::AnomalyMap;
use diad_core::score::Score;
use image::{Rgb, RgbImage};

/// How far above the reject line the colours go on to change.
const HEADROOM: f32 = 1.5;

/// Which map value gets the brightest colour; 0 gets the darkest. Pictures of one scale can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatScale {
    top: f32,
}

impl HeatScale {
    /// The scale around a cut-off: the brightest colour is half as much again.
    #[must_use]
    pub fn around(cut: Score) -> Self {
        Self { top: cut.get() * HEADROOM }
    }

    /// The scale of a station: around its reject line.
    #[must_use]
    pub fn of_thresholds(thresholds: &Thresholds) -> Self {
        Self::around(thresholds.reject())
    }

    /// The scale of one map alone, up to its largest value: for want of thresholds.
    #[must_use]
    pub fn of_map(map: &AnomalyMap) -> Self {
        Self { top: map.values().iter().copied().fold(0.0, f32::max) }
    }

    /// Where a value stands between the darkest colour (0) and the brightest (1).
    #[must_use]
    pub fn level(self, value: f32) -> f32 {
        // A scale up to 0 has no colours in between.
        if value <= 0.0 {
            0.0
        } else if value < self.top {
            value / self.top
        } else {
            1.0
        }
    }

    /// The colour of a value: equal steps of the value look equally large, also in grey and to the colour-blind.
    #[must_use]
    pub fn colour(self, value: f32) -> Rgb<u8> {
        let colorous::Color { r, g, b } = colorous::INFERNO.eval_continuous(f64::from(self.level(value)));
        Rgb([r, g, b])
    }
}

/// A map as a picture.
#[must_use]
pub fn heat_map(map: &AnomalyMap, scale: HeatScale) -> RgbImage {
    let mut picture = RgbImage::new(map.width(), map.height());
    for (pixel, &value) in picture.pixels_mut().zip(map.values()) {
        *pixel = scale.colour(value);
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(Rgb([r, g, b]): Rgb<u8>) -> f64 {
        0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
    }

    #[test]
    fn colour_grows_brighter_with_the_value_and_stops_at_the_top() {
        let scale = HeatScale::around(Score::try_new(0.4).unwrap());
        let bright: Vec<f64> = (0..=60).map(|i| luminance(scale.colour(i as f32 / 100.0))).collect();
        assert!(bright.is_sorted(), "{bright:?}");
        assert!(bright[0] < 2.0 && bright[60] > 200.0, "{bright:?}");
        assert_eq!(scale.colour(0.6), scale.colour(99.0));
    }

    #[test]
    fn level_of_a_scale_up_to_zero_is_defined() {
        let scale = HeatScale::around(Score::try_new(0.0).unwrap());
        assert_eq!((scale.level(0.0), scale.level(0.1)), (0.0, 1.0));
    }

    #[test]
    fn heat_map_has_a_pixel_per_value_in_order() {
        let map = AnomalyMap::try_new(3, 2, vec![0.0, 0.1, 0.2, 0.3, 0.4, 0.5]).unwrap();
        let scale = HeatScale::of_map(&map);
        let picture = heat_map(&map, scale);
        assert_eq!(picture.dimensions(), (3, 2));
        assert_eq!(*picture.get_pixel(2, 1), scale.colour(0.5));
        assert_eq!(*picture.get_pixel(0, 1), scale.colour(0.3));
    }
}
