use super::design::{Alteration, Design, Edge};
use crate::dice::Dice;
use crate::geometry::{V2, bump, dim, disc, lerp, ring, smooth, tinted, v2};
use crate::noise::{Grain, noise1};
use crate::surface::{Reach, Surface, Texel, reach};
use std::f32::consts::{PI, TAU};

const RIM: f32 = 100.0;
const BORE: f32 = 36.0;
const HOLES: usize = 6;
const CIRCLE: f32 = 69.0;
const HOLE: f32 = 10.5;

pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.25, 0.27, 0.30],
    features: HOLES,
    movable: HOLES,
    shift_px: (6.0, 10.0),
    shift_turn: 0.0,
    edge,
    max_turn: PI,
};

fn edge(dice: &mut Dice) -> Edge {
    let out = dice.direction();
    // Struck metal mostly gives way inward; now and then a burr stands out.
    let push = out * if dice.chance(0.7) { -1.0 } else { 1.0 };
    if dice.chance(0.75) {
        Edge { at: out * RIM, push, reach_px: 30.0 }
    } else {
        Edge { at: out * BORE, push: push * -1.0, reach_px: 22.0 }
    }
}

fn home(i: usize) -> V2 {
    #[expect(clippy::cast_precision_loss, reason = "six holes")]
    let step = i as f32 / HOLES as f32;
    V2::polar(CIRCLE, step * TAU)
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let steel = tinted([0.60, 0.61, 0.63], dice.tint(0.04, 0.015));
    let (grooves, blotches) = (dice.bits(), Grain::new(dice.bits()));
    let brushing = dice.range(0.030, 0.045);
    let holes: Vec<V2> = (0..HOLES).filter_map(|i| alteration.place(i, home(i))).map(|p| p.at).collect();
    let pose = surface.pose;
    surface.fill(
        reach(V2::ZERO, RIM + 2.0),
        |p| holes.iter().fold(ring(p, BORE, RIM), |d, h| d.max(-disc(p, *h, HOLE))),
        |p, depth, _| {
            let r = p.len();
            let out = p * (1.0 / r.max(1.0));
            let tangent = out.across().turned(pose.turn);
            let fine = noise1(r * 1.3, grooves) + 0.6 * noise1(r * 0.31, grooves ^ 1);
            let angle = v2(out.x * 5.0, out.y * 5.0);
            let tone = 1.0 + brushing * fine + 0.02 * blotches.at(angle + v2(r * 0.1, 0.0));
            let chamfer = smooth(4.5, 0.0, depth);
            let groove = bump((r - 48.0) / 3.2) + bump((r - 90.0) / 2.0) * 0.6;
            let height = 9.0 - 3.6 * chamfer * chamfer - 2.2 * groove;
            Texel {
                color: dim(steel, tone * lerp(1.0, 1.08, chamfer) * (1.0 - 0.14 * groove)),
                height,
                gloss: 0.46 * (1.0 + 1.4 * brushing * fine),
                shine: 46.0,
                brush: tangent,
                part: 1.0,
            }
        },
    );
    through_holes(surface, &holes);
}

/// Dark walls seen through bore and holes: the fixture below gets little light.
fn through_holes(surface: &mut Surface, holes: &[V2]) {
    surface.fill(
        Reach::ALL,
        |p| holes.iter().fold(disc(p, V2::ZERO, BORE - 0.5), |d, h| d.min(disc(p, *h, HOLE - 0.5))),
        |_, depth, below| Texel { color: dim(below.color, lerp(0.55, 0.8, smooth(0.0, 8.0, depth))), ..*below },
    );
}
