use super::design::{Alteration, Design, Edge};
use crate::dice::Dice;
use crate::geometry::{V2, blend, dim, disc, lerp, ring, smooth, tinted, v2};
use crate::glyph;
use crate::noise::{Cloud, Grain};
use crate::surface::{Surface, Texel, reach};
use std::f32::consts::TAU;

const FLUTES: f32 = 21.0;
const RIM: f32 = 101.0;
const TOP: f32 = 78.0;
const DOTS: usize = 10;
const NAME: [(char, f32); 4] = [('D', -24.0), ('I', -8.0), ('A', 8.0), ('D', 24.0)];

/// Features: the star, the letters, then the printed dots.
pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.46, 0.47, 0.48],
    features: 1 + NAME.len() + DOTS,
    movable: 1 + NAME.len() + DOTS,
    shift_px: (6.0, 9.0),
    shift_turn: 0.5,
    edge,
    max_turn: 0.14,
};

fn edge(dice: &mut Dice) -> Edge {
    let out = dice.direction();
    Edge { at: out * (RIM - 2.0), push: out * if dice.chance(0.7) { -1.0 } else { 1.0 }, reach_px: 30.0 }
}

fn dot_home(i: usize) -> V2 {
    #[expect(clippy::cast_precision_loss, reason = "ten dots")]
    let turn = (i as f32 + 0.5) / DOTS as f32 * TAU;
    V2::polar(57.0, turn)
}

/// Five-pointed star of outer radius `size`, point up; approximate distance.
fn star(p: V2, size: f32) -> f32 {
    let sector = TAU / 5.0;
    let turn = (p.angle() + TAU / 4.0).rem_euclid(sector) - sector * 0.5;
    let q = V2::polar(p.len(), turn.abs());
    // The edge runs from the notch at angle 0 to the point at half a sector.
    let (notch, point) = (v2(size * 0.45, 0.0), V2::polar(size, sector * 0.5));
    let along = (point - notch).unit();
    (q - notch).dot(along.across() * -1.0)
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let lacquer = tinted([0.64, 0.11, 0.12], dice.tint(0.05, 0.04));
    let ink = tinted([0.90, 0.87, 0.80], dice.tint(0.02, 0.015));
    let (cloud, grain) = (Cloud::new(dice.bits()), Grain::new(dice.bits()));
    surface.fill(
        reach(V2::ZERO, RIM + 5.0),
        |p| {
            let wave = (p.angle() * FLUTES).cos();
            (p.len() - RIM - 3.2 * wave) * 0.92
        },
        |p, _, _| {
            let r = p.len();
            let wave = (p.angle() * FLUTES).cos();
            let skirt = smooth(TOP - 2.0, RIM + 3.0, r);
            let flute = smooth(TOP + 1.0, TOP + 13.0, r);
            let height = 15.0 - 10.0 * skirt * skirt
                + 1.9 * flute * wave
                + 1.2 * smooth(TOP, 0.0, r)
                + 1.0 * smooth(3.0, 0.0, ring(p, TOP - 4.0, TOP - 2.0).abs());
            let tone = 1.0 + 0.02 * cloud.at(p * 0.03) + 0.02 * grain.at(p * 0.6);
            let color = dim(lacquer, tone * lerp(1.0, 0.90 + 0.10 * wave, flute));
            Texel::solid(color, height, 0.30, 26.0)
        },
    );
    let print = move |below: &Texel| Texel { color: blend(below.color, ink, 0.93), gloss: 0.22, ..*below };
    surface.fill(reach(V2::ZERO, 71.0), |p| ring(p, 66.5, 69.5), |_, _, below| print(below));
    if let Some(place) = alteration.place(0, v2(0.0, -16.0)) {
        surface.fill(reach(place.at, 30.0), |p| star(place.local(p), 27.0), |_, _, below| print(below));
        surface.fill(
            reach(place.at, 8.0),
            |p| disc(place.local(p), V2::ZERO, 6.0),
            |_, _, _| Texel::solid(lacquer, 16.2, 0.3, 26.0),
        );
    }
    for (i, (letter, x)) in NAME.iter().enumerate() {
        if let Some(place) = alteration.place(1 + i, v2(*x, 29.0)) {
            surface.fill(
                reach(place.at, glyph::letter_reach(3.9)),
                |p| glyph::letter(place.local(p), *letter, 3.9),
                |_, _, below| print(below),
            );
        }
    }
    for i in 0..DOTS {
        if let Some(place) = alteration.place(1 + NAME.len() + i, dot_home(i)) {
            surface.fill(reach(place.at, 7.0), |p| disc(p, place.at, 5.0), |_, _, below| print(below));
        }
    }
}
