use super::design::{Alteration, Design, Edge, Place};
use crate::dice::Dice;
use crate::geometry::{Rgb, V2, blend, bump, capsule, dim, disc, lerp, rounded_box, smooth, tinted, v2};
use crate::glyph;
use crate::noise::{Cloud, Grain};
use crate::surface::{Surface, Texel, reach};

const COLUMNS: usize = 4;
const PILLS: usize = 12;
const HALF: V2 = v2(108.0, 88.0);
const POCKET: f32 = 20.5;

/// Features: the pills.
pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.24, 0.30, 0.36],
    features: PILLS,
    movable: PILLS,
    shift_px: (4.5, 6.5),
    shift_turn: 1.2,
    edge,
    max_turn: 0.07,
};

/// Bends the card's edge or a pill.
fn edge(dice: &mut Dice) -> Edge {
    let side = dice.sign();
    match dice.below(4) {
        0 => Edge { at: v2(side * HALF.x, dice.range(-70.0, 70.0)), push: v2(-side, 0.0), reach_px: 26.0 },
        1 => Edge { at: v2(dice.range(-90.0, 90.0), side * HALF.y), push: v2(0.0, -side), reach_px: 26.0 },
        _ => Edge { at: home(dice.below(PILLS)) + v2(side * 12.0, 0.0), push: v2(-side, 0.0), reach_px: 20.0 },
    }
}

#[expect(clippy::cast_precision_loss, reason = "twelve pills")]
fn home(i: usize) -> V2 {
    v2((i % COLUMNS) as f32 * 51.0 - 76.5, (i / COLUMNS) as f32 * 49.0 - 58.0)
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let foil = tinted([0.66, 0.67, 0.69], dice.tint(0.03, 0.01));
    let left = tinted([0.82, 0.36, 0.26], dice.tint(0.04, 0.03));
    let right = tinted([0.93, 0.90, 0.80], dice.tint(0.03, 0.02));
    let (crinkle, grain) = (Cloud::new(dice.bits()), Grain::new(dice.bits()));
    surface.fill(
        reach(V2::ZERO, 142.0),
        |p| rounded_box(p, HALF, 13.0),
        |p, depth, _| {
            // Embossed diamonds of the sealing tool.
            let (u, v) = ((p.x + p.y) * 0.55, (p.x - p.y) * 0.55);
            let emboss = u.sin() * v.sin();
            let height = 3.0 + 0.34 * emboss + 0.9 * crinkle.at(p * 0.03) - smooth(2.0, 0.0, depth);
            let tone = 1.0 + 0.025 * emboss + 0.02 * grain.at(p * 0.5);
            Texel::solid(dim(foil, tone), height, 0.34, 26.0)
        },
    );
    for (x, letter) in [(-20.0, '2'), (-10.0, 'O'), (0.0, '-'), (10.0, '4'), (20.0, '8')] {
        let at = v2(x, 74.0);
        surface.fill(
            reach(at, glyph::letter_reach(2.5)),
            |p| glyph::letter(p - at, letter, 2.5),
            |_, _, below| Texel { color: blend(below.color, [0.20, 0.24, 0.40], 0.8), ..*below },
        );
    }
    let window = v2(-0.70, -0.71).turned(-surface.pose.turn);
    for i in 0..PILLS {
        let lean = dice.range(-0.10, 0.10);
        let rest = v2(dice.range(-0.8, 0.8), dice.range(-0.8, 0.8));
        let tone = dice.range(0.97, 1.03);
        pocket(surface, home(i));
        if let Some(mut place) = alteration.place(i, home(i)) {
            place.at = place.at + rest;
            place.turn += lean;
            pill(surface, &place, dim(left, tone), dim(right, tone));
        }
        dome(surface, home(i), window);
    }
}

/// The drawn hollow in which a pill lies: a seam around it and a shaded floor.
fn pocket(surface: &mut Surface, at: V2) {
    surface.fill(
        reach(at, POCKET + 3.0),
        |p| disc(p, at, POCKET + 2.0),
        |p, _, below| {
            let r = (p - at).len();
            let seam = bump((r - POCKET) / 2.2);
            let floor = smooth(POCKET, POCKET - 5.0, r);
            let color = dim(below.color, lerp(1.0, 0.74, floor) - 0.12 * seam);
            Texel {
                color,
                height: lerp(below.height + 1.4 * seam, 2.6, floor),
                gloss: lerp(below.gloss, 0.2, floor),
                ..*below
            }
        },
    );
}

fn pill(surface: &mut Surface, place: &Place, left: Rgb, right: Rgb) {
    const LONG: V2 = v2(6.2, 0.0);
    const RADIUS: f32 = 8.6;
    surface.fill(
        reach(place.at, 17.0),
        |p| capsule(place.local(p), LONG * -1.0, LONG, RADIUS),
        |p, depth, _| {
            let q = place.local(p);
            let round = (depth / RADIUS).clamp(0.0, 1.0);
            let dome = (1.0 - (1.0 - round) * (1.0 - round)).max(0.0).sqrt();
            let joint = smooth(1.6, 0.6, (q.x - 0.5).abs());
            let color = dim(blend(left, right, smooth(0.0, 1.0, q.x)), 1.0 - 0.16 * joint);
            Texel::solid(color, 3.0 + 7.0 * dome, 0.5, 36.0)
        },
    );
}

/// Clear film over the pocket: a bright arc toward the lamp and a faint one opposite.
fn dome(surface: &mut Surface, at: V2, window: V2) {
    surface.fill(
        reach(at, POCKET + 1.0),
        |p| disc(p, at, POCKET),
        |p, _, below| {
            let q = p - at;
            let r = q.len();
            let facing = q.dot(window) / r.max(1.0);
            let bright = smooth(0.70, 0.95, facing) * bump((r - 15.5) / 2.6);
            let faint = smooth(0.80, 0.97, -facing) * bump((r - 17.0) / 2.0);
            Texel { color: blend(below.color, [1.0, 1.0, 1.0], 0.05 + 0.62 * bright + 0.28 * faint), ..*below }
        },
    );
}
