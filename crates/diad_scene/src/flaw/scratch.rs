use super::Blow;
use super::place::{around, nearest, path_on_part};
use crate::dice::Dice;
use crate::geometry::{V2, blend, smooth};
use crate::noise::noise1;
use crate::surface::Surface;

/// A groove with one lit and one dark flank; ground bright on dark surfaces and dark on bright ones, mostly.
pub(crate) fn scratch(surface: &mut Surface, dice: &mut Dice, blow: &Blow) {
    let width = dice.range(1.0, 1.7);
    // The blurred line comes out about three half-widths wider than it is cut.
    let length = (blow.area_px / (2.0 * width + 2.0)).clamp(30.0, 120.0);
    let path = path_on_part(surface, dice, length, 0.9);
    let (middle, radius) = around(&path);
    let ragged = dice.bits();
    let against = dice.chance(0.8);
    let tone = tone_at(surface, &path);
    let bright = (tone < 0.5) == against;
    let ink = if bright { [0.90, 0.90, 0.88] } else { [0.16, 0.15, 0.15] };
    let force = (0.62 * blow.strength).min(0.95);
    surface.rework(middle, radius + 6.0, |at, texel| {
        let (distance, side, along) = nearest(&path, at);
        let taper = smooth(0.0, 0.12, along) * smooth(0.0, 0.18, 1.0 - along);
        let half = width * (0.45 + 0.55 * taper) * (1.0 + 0.25 * noise1(along * length * 0.3, ragged));
        let core = smooth(half + 0.7, half - 0.7, distance) * texel.part;
        if core > 0.0 {
            texel.color = blend(texel.color, ink, core * force * (0.75 + 0.25 * taper));
            texel.gloss *= 1.0 - 0.7 * core;
        }
        // Burr beside the groove: raised on one side.
        let burr = smooth(2.0 * half + 1.0, half, distance) * texel.part * taper;
        texel.height += burr * if side > 0.0 { 0.5 } else { -0.7 } * blow.strength.min(1.6);
    });
}

/// Mean brightness under a path, 0..=1.
fn tone_at(surface: &Surface, path: &[V2]) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for t in path.iter().filter_map(|p| surface.texel_at(*p)) {
        sum += (t.color[0] + t.color[1] + t.color[2]) / 3.0 + 0.3 * t.gloss;
        count += 1.0;
    }
    if count > 0.0 { sum / count } else { 0.5 }
}
