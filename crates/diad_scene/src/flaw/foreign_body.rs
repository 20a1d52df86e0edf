use super::Blow;
use super::place::{around, nearest, on_part, path_on_part};
use crate::dice::Dice;
use crate::geometry::{Rgb, V2, blend, dim, smooth, v2};
use crate::noise::Grain;
use crate::surface::{Surface, Texel};

const CHIPS: [(Rgb, f32); 5] = [
    ([0.78, 0.79, 0.80], 0.7),
    ([0.20, 0.20, 0.21], 0.3),
    ([0.72, 0.16, 0.12], 0.4),
    ([0.86, 0.74, 0.30], 0.5),
    ([0.22, 0.42, 0.70], 0.4),
];
const FIBRES: [Rgb; 4] = [[0.10, 0.10, 0.11], [0.92, 0.92, 0.90], [0.66, 0.20, 0.18], [0.24, 0.34, 0.62]];

/// Something which does not belong there lies on the part and throws its own shadow.
pub(crate) fn foreign_body(surface: &mut Surface, dice: &mut Dice, blow: &Blow) {
    match dice.below(5) {
        0 | 1 => fibre(surface, dice, blow),
        2 => droplet(surface, dice, blow),
        _ => chip(surface, dice, blow),
    }
}

/// A sharp-edged flake: a disc cut by a few chords.
fn chip(surface: &mut Surface, dice: &mut Dice, blow: &Blow) {
    let radius = (blow.area_px / 4.2).sqrt().clamp(4.5, 20.0);
    let at = on_part(surface, dice, radius);
    let (color, gloss) = CHIPS[dice.below(CHIPS.len())];
    let grain = Grain::new(dice.bits());
    let sides = 4 + dice.below(3);
    let mut heading = dice.angle();
    let chords: Vec<(V2, f32)> = (0..sides)
        .map(|_| {
            heading += std::f32::consts::TAU / [4.0, 5.0, 6.0][sides - 4] + dice.range(-0.35, 0.35);
            (V2::polar(1.0, heading), radius * dice.range(0.62, 1.0))
        })
        .collect();
    let tilt = dice.direction() * dice.range(0.05, 0.2);
    let thick = (radius * 0.35).clamp(2.5, 6.0);
    surface.rework(at, radius * 1.7, |p, texel| {
        let q = p - at;
        let edge = chords.iter().map(|(n, d)| q.dot(*n) - d).fold(f32::MIN, f32::max);
        let cover = (0.5 - edge).clamp(0.0, 1.0) * smooth(0.0, 0.3, texel.part);
        let bevel = smooth(0.0, 2.5, -edge);
        let body = dim(color, 1.0 + 0.10 * grain.at(q * 0.35));
        lay(texel, body, cover, thick * (0.55 + 0.45 * bevel) + q.dot(tilt), gloss);
    });
}

/// A bent hair or thread.
fn fibre(surface: &mut Surface, dice: &mut Dice, blow: &Blow) {
    let half = dice.range(0.9, 1.7);
    let length = (blow.area_px / (2.0 * half + 3.0)).clamp(26.0, 130.0);
    let path = path_on_part(surface, dice, length, 3.6);
    let (middle, radius) = around(&path);
    let color = FIBRES[dice.below(FIBRES.len())];
    surface.rework(middle, radius + 5.0, |p, texel| {
        let (distance, _, along) = nearest(&path, p);
        let cover = (half + 0.5 - distance).clamp(0.0, 1.0) * smooth(0.0, 0.3, texel.part);
        let round = (1.0 - (distance / (half + 0.6)).powi(2)).max(0.0);
        let lift = 1.0 + 1.6 * (along * std::f32::consts::PI).sin();
        lay(texel, dim(color, 0.8 + 0.2 * round), cover, lift + round * half, 0.15);
    });
}

/// A drop of glue or oil: a small lens with a bright spot and a dark foot.
fn droplet(surface: &mut Surface, dice: &mut Dice, blow: &Blow) {
    let radius = (blow.area_px / 3.8).sqrt().clamp(5.5, 20.0);
    let at = on_part(surface, dice, radius);
    let tint = [[0.93, 0.84, 0.52], [0.62, 0.72, 0.86], [0.50, 0.42, 0.34]][dice.below(3)];
    let squash = dice.range(1.0, 1.2);
    let turn = dice.angle();
    let force = (0.42 * blow.strength).min(0.8);
    surface.rework(at, radius * 1.6, |p, texel| {
        let q = (p - at).turned(turn);
        let q = v2(q.x / squash, q.y * squash);
        let r = q.len() / radius;
        let cover = ((1.0 - r) * radius + 0.5).clamp(0.0, 1.0) * smooth(0.0, 0.3, texel.part);
        let dome = (1.0 - r * r).max(0.0).sqrt();
        let foot = smooth(0.72, 1.0, r);
        let body = dim(blend(texel.color, tint, force), 1.0 - 0.45 * foot);
        lay(texel, body, cover, dome * radius * 0.42, 0.9);
        if cover > 0.5 {
            texel.shine = 70.0;
        }
    });
}

fn lay(texel: &mut Texel, color: Rgb, cover: f32, lift: f32, gloss: f32) {
    if cover <= 0.0 {
        return;
    }
    texel.color = blend(texel.color, color, cover);
    texel.height += lift * cover;
    texel.gloss += (gloss - texel.gloss) * cover;
    texel.shine += (28.0 - texel.shine) * cover;
    if cover > 0.5 {
        texel.brush = V2::ZERO;
    }
}
