use super::design::{Alteration, Design, Edge};
use crate::dice::Dice;
use crate::geometry::{V2, blend, dim, disc, rounded_box, smooth, tinted, v2};
use crate::glyph;
use crate::noise::{Grain, noise1};
use crate::surface::{Surface, Texel, reach};

const HALF: f32 = 102.0;
const HOLES: usize = 4;
const MARK: [(char, f32); 6] = [('O', -50.0), ('A', -30.0), ('K', -10.0), ('-', 10.0), ('2', 30.0), ('7', 50.0)];

/// Features: dowel holes, then the characters of the burnt mark.
pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.33, 0.35, 0.37],
    features: HOLES + MARK.len(),
    movable: HOLES + MARK.len(),
    shift_px: (6.0, 9.0),
    shift_turn: 0.4,
    edge,
    max_turn: 0.07,
};

fn edge(dice: &mut Dice) -> Edge {
    let side = dice.sign();
    let along = dice.range(-80.0, 80.0);
    // Edges break away.
    if dice.chance(0.5) {
        Edge { at: v2(side * HALF, along), push: v2(-side, 0.0), reach_px: 30.0 }
    } else {
        Edge { at: v2(along, side * HALF), push: v2(0.0, -side), reach_px: 30.0 }
    }
}

fn hole_home(i: usize) -> V2 {
    let side = |bit: usize| if bit == 0 { -74.0 } else { 74.0 };
    v2(side(i % 2), side(i / 2))
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let pale = tinted([0.80, 0.64, 0.44], dice.tint(0.05, 0.025));
    let dark = tinted([0.62, 0.44, 0.27], dice.tint(0.05, 0.025));
    let (bend, rings) = (Grain::new(dice.bits()), dice.bits());
    let (pores, fibre) = (Grain::new(dice.bits()), Grain::new(dice.bits()));
    let slant = dice.range(-0.05, 0.05);
    surface.fill(
        reach(V2::ZERO, 150.0),
        |p| rounded_box(p, v2(HALF, HALF), 5.0),
        |p, depth, _| {
            let across = p.y + slant * p.x + 7.0 * bend.at(v2(p.x * 0.007, p.y * 0.014));
            let ring = 0.6 * noise1(across * 0.16, rings) + 0.4 * noise1(across * 0.42, rings ^ 5);
            let fine = fibre.at(v2(p.x * 0.02, across * 0.95));
            let pore = smooth(0.55, 0.85, pores.at(v2(p.x * 0.055, across * 0.75)));
            let grain = smooth(-0.75, 0.85, ring);
            let groove = smooth(2.6, 1.4, (p.y.abs() - 48.0).abs());
            let color = dim(blend(pale, dark, 0.7 * grain), 1.0 + 0.035 * fine - 0.10 * pore - 0.12 * groove);
            let height = 9.0 - 2.4 * smooth(4.5, 0.0, depth).powi(2) - 0.25 * pore - 2.2 * groove;
            Texel::solid(color, height, 0.07, 10.0)
        },
    );
    for i in 0..HOLES {
        if let Some(place) = alteration.place(i, hole_home(i)) {
            surface.fill(
                reach(place.at, 13.0),
                |p| disc(p, place.at, 10.0),
                |_, depth, below| {
                    let deep = smooth(0.5, 4.0, depth);
                    Texel::solid(dim(below.color, 0.62 - 0.38 * deep), 8.0 - 7.0 * deep, 0.0, 10.0)
                },
            );
        }
    }
    for (i, (letter, x)) in MARK.iter().enumerate() {
        if let Some(place) = alteration.place(HOLES + i, v2(*x, 0.0)) {
            surface.fill(
                reach(place.at, glyph::letter_reach(4.6)),
                |p| glyph::letter(place.local(p), *letter, 4.6),
                |_, depth, below| {
                    let burn = smooth(-0.5, 1.5, depth);
                    let color = blend(below.color, [0.17, 0.10, 0.06], 0.55 + 0.35 * burn);
                    Texel { color, height: below.height - 1.2 * burn, gloss: 0.02, ..*below }
                },
            );
        }
    }
}
