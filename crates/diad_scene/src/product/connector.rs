use super::design::{Alteration, Design, Edge};
use crate::dice::Dice;
use crate::geometry::{V2, dim, disc, rounded_box, smooth, tinted, v2};
use crate::glyph;
use crate::noise::{Cloud, Grain};
use crate::surface::{Surface, Texel, reach};

const COLUMNS: usize = 8;
const ROWS: usize = 3;
const PINS: usize = COLUMNS * ROWS;
const RIBS: usize = 6;
const BODY: V2 = v2(106.0, 74.0);
const SHROUD: V2 = v2(78.0, 36.0);
const EAR_X: f32 = 92.0;

/// Features: pins row by row, then ribs.
pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.56, 0.56, 0.54],
    features: PINS + RIBS,
    movable: PINS,
    shift_px: (4.5, 7.0),
    shift_turn: 0.7,
    edge,
    max_turn: 0.07,
};

fn edge(dice: &mut Dice) -> Edge {
    let side = dice.sign();
    let (at, out) = match dice.below(3) {
        0 => (v2(side * BODY.x, dice.range(-50.0, 50.0)), v2(side, 0.0)),
        1 => (v2(dice.range(-80.0, 80.0), side * BODY.y), v2(0.0, side)),
        _ => (v2(dice.range(-60.0, 60.0), side * SHROUD.y), v2(0.0, side)),
    };
    // Short shots leave nicks, flash stands out.
    Edge { at, push: out * if dice.chance(0.65) { -1.0 } else { 1.0 }, reach_px: 28.0 }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of pins")]
fn pin_home(i: usize) -> V2 {
    v2((i % COLUMNS) as f32 * 18.5 - 64.75, (i / COLUMNS) as f32 * 20.0 - 20.0)
}

#[expect(clippy::cast_precision_loss, reason = "a handful of ribs")]
fn rib_home(i: usize) -> V2 {
    v2(i as f32 * 26.0 - 65.0, 57.0)
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let body = tinted([0.17, 0.29, 0.36], dice.tint(0.06, 0.03));
    let gold = tinted([0.80, 0.64, 0.32], dice.tint(0.03, 0.02));
    let (cloud, grain) = (Cloud::new(dice.bits()), Grain::new(dice.bits()));
    let plastic = move |p: V2, height: f32, tone: f32| {
        let tone = tone * (1.0 + 0.03 * cloud.at(p * 0.03) + 0.03 * grain.at(p * 0.7));
        Texel::solid(dim(body, tone), height, 0.16, 18.0)
    };
    let holes = |p: V2| disc(p, v2(EAR_X, 0.0), 7.5).min(disc(p, v2(-EAR_X, 0.0), 7.5));
    let notch = |p: V2| rounded_box(p - v2(0.0, -BODY.y), v2(17.0, 9.0), 3.0);
    surface.fill(
        reach(V2::ZERO, 132.0),
        |p| rounded_box(p, BODY, 12.0).max(-holes(p)).max(-notch(p)),
        |p, depth, _| {
            let wall = rounded_box(p, SHROUD, 6.0);
            let inside = smooth(1.0, -1.0, wall);
            let lip = smooth(9.0, 7.0, wall.abs()) * (1.0 - inside);
            let height = 9.0 + 3.0 * lip - 8.0 * inside - 2.5 * smooth(4.0, 0.0, depth).powi(2);
            plastic(p, height, 1.0 - 0.45 * inside)
        },
    );
    surface.fill(
        reach(V2::ZERO, 110.0),
        |p| holes(p).max(-(disc(p, v2(EAR_X, 0.0), 5.0).min(disc(p, v2(-EAR_X, 0.0), 5.0)))) - 1.5,
        |_, _, below| below.part_metal([0.70, 0.70, 0.68], below.height.max(9.5)),
    );
    for i in 0..RIBS {
        if let Some(place) = alteration.place(PINS + i, rib_home(i)) {
            surface.fill(
                reach(place.at, 14.0),
                |p| rounded_box(place.local(p), v2(3.2, 11.0), 2.0),
                |p, depth, _| plastic(p, 12.0 + 3.0 * smooth(0.0, 2.5, depth), 1.12),
            );
        }
    }
    for i in 0..PINS {
        if let Some(place) = alteration.place(i, pin_home(i)) {
            pin(surface, place.at, gold, |p| rounded_box(place.local(p), v2(4.8, 4.8), 1.2));
        }
    }
    for (x, letter) in [(-26.0, 'D'), (-14.0, 'C'), (-2.0, '-'), (10.0, '2'), (22.0, '4')] {
        let at = v2(x + 2.0, -53.0);
        surface.fill(
            reach(at, glyph::letter_reach(2.4)),
            |p| glyph::letter(p - at, letter, 2.4),
            |_, _, below| Texel { color: tinted(below.color, [1.0, 1.0, 1.0]).map(|c| c + 0.42), ..*below },
        );
    }
}

/// A gold-plated contact: a flat top with steep flanks.
fn pin(surface: &mut Surface, at: V2, gold: [f32; 3], shape: impl Fn(V2) -> f32) {
    surface.fill(reach(at, 9.0), shape, |_, depth, _| {
        let top = smooth(0.0, 2.4, depth);
        Texel::solid(dim(gold, 0.55 + 0.5 * top), 5.0 + 4.0 * top, 0.55, 30.0)
    });
}
