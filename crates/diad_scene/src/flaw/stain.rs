use super::Blow;
use super::place::on_part;
use crate::dice::Dice;
use crate::geometry::{Rgb, blend, smooth, tinted, v2};
use crate::noise::{Cloud, Grain};
use crate::surface::Surface;

/// What spills on a line, as seen through a thin film (multiplied) and as a crust (laid over).
const SPILLS: [(Rgb, Rgb); 6] = [
    ([0.42, 0.34, 0.24], [0.20, 0.15, 0.10]),
    ([0.30, 0.30, 0.32], [0.10, 0.10, 0.11]),
    ([0.80, 0.46, 0.26], [0.50, 0.24, 0.10]),
    ([0.45, 0.50, 0.80], [0.16, 0.20, 0.48]),
    ([0.55, 0.68, 0.42], [0.24, 0.34, 0.16]),
    ([1.00, 1.00, 0.98], [0.90, 0.89, 0.85]),
];

/// A translucent blotch with an irregular edge, darker where it dried at the rim, with a few splashes.
pub(crate) fn stain(surface: &mut Surface, dice: &mut Dice, blow: &Blow) {
    let radius = (blow.area_px / 3.3).sqrt().clamp(6.0, 26.0);
    let at = on_part(surface, dice, radius);
    let (film, crust) = SPILLS[dice.below(SPILLS.len())];
    let seed = dice.bits();
    let (edge, ripple, mottle) = (Cloud::new(seed), Grain::new(seed ^ 7), Cloud::new(dice.bits()));
    let (stretch, turn) = (dice.range(1.0, 1.4), dice.angle());
    let force = (0.78 * blow.strength).min(1.0);
    let splashes: Vec<_> = (0..dice.below(4))
        .map(|_| (at + dice.direction() * (radius * dice.range(1.3, 1.8)), dice.range(1.5, 3.2)))
        .collect();
    surface.rework(at, radius * 2.4, |p, texel| {
        let q = (p - at).turned(turn);
        let q = v2(q.x / stretch, q.y * stretch);
        let wobble = 0.42 * edge.at(q * (1.7 / radius)) + 0.14 * ripple.at(q * 0.3);
        let r = q.len() / radius + wobble;
        let mut inside = smooth(1.06, 0.90, r);
        for (centre, size) in &splashes {
            inside = inside.max(smooth(size + 0.8, size - 0.8, (p - *centre).len()));
        }
        let inside = inside * texel.part;
        if inside <= 0.0 {
            return;
        }
        let rim = smooth(0.70, 0.95, r) * 0.35;
        let cloud = 0.30 + 0.18 * mottle.at(q * 0.11);
        let wet = blend(tinted(texel.color, film), crust, (cloud + rim).clamp(0.0, 0.9));
        texel.color = blend(texel.color, wet, inside * force);
        texel.gloss *= 1.0 - 0.35 * inside;
    });
}
