use super::Blow;
use super::place::on_part;
use crate::dice::Dice;
use crate::geometry::{dim, smooth, v2};
use crate::noise::Cloud;
use crate::surface::Surface;

/// A hollow (or, more rarely, a bulge) with a soft raised lip.
pub(crate) fn dent(surface: &mut Surface, dice: &mut Dice, blow: &Blow) {
    let radius = (blow.area_px / 4.6).sqrt().clamp(6.5, 22.0);
    let at = on_part(surface, dice, radius * 0.9);
    let (stretch, turn) = (dice.range(1.0, 1.45), dice.angle());
    let uneven = Cloud::new(dice.bits());
    let sign = if dice.chance(0.75) { -1.0 } else { 1.0 };
    let depth = sign * radius * 0.36 * blow.strength.min(2.4);
    surface.rework(at, radius * 2.2, |p, texel| {
        let q = (p - at).turned(-turn);
        let q = v2(q.x / stretch, q.y * stretch.sqrt());
        let r = q.len() / radius * (1.0 + 0.16 * uneven.at(q * 0.09));
        let bowl = smooth(1.0, 0.05, r);
        let lip = smooth(0.75, 1.0, r) * smooth(1.45, 1.0, r);
        texel.height += (depth * bowl - 0.16 * depth * lip) * texel.part;
        // Crushed material at the bottom is a little duller.
        let crush = bowl * bowl * texel.part * (0.14 * blow.strength).min(0.4);
        texel.color = dim(texel.color, 1.0 - crush);
    });
}
