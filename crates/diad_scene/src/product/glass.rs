use super::design::{Alteration, Design, Edge};
use crate::dice::Dice;
use crate::geometry::{V2, blend, bump, dim, disc, lerp, smooth, tinted, v2};
use crate::noise::{Cloud, noise1};
use crate::surface::{Surface, Texel, reach};
use std::f32::consts::{PI, TAU};

const SHOULDER: f32 = 108.0;
const LIP: f32 = 66.0;
const LIP_HALF: f32 = 13.0;
const STUDS: usize = 12;
const STUD_CIRCLE: f32 = 93.0;

/// Features: the moulded studs around the shoulder.
pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.78, 0.80, 0.80],
    features: STUDS,
    movable: STUDS,
    shift_px: (6.0, 8.0),
    shift_turn: 0.0,
    edge,
    max_turn: PI,
};

fn edge(dice: &mut Dice) -> Edge {
    let out = dice.direction();
    // Glass chips: edges are lost, never pushed out.
    let (radius, side) = [(SHOULDER, -1.0), (LIP + LIP_HALF, -1.0), (LIP - LIP_HALF, 1.0)][dice.below(3)];
    Edge { at: out * radius, push: out * side, reach_px: 26.0 }
}

fn stud_home(i: usize) -> V2 {
    #[expect(clippy::cast_precision_loss, reason = "twelve studs")]
    let turn = i as f32 / STUDS as f32 * TAU;
    V2::polar(STUD_CIRCLE, turn)
}

/// Brightness of the glass by radius: where the light comes through, bends away or is lost.
fn refraction(r: f32) -> f32 {
    const RINGS: [(f32, f32); 21] = [
        (0.0, 0.20),
        (18.0, 0.26),
        (30.0, 0.17),
        (35.0, 0.40),
        (38.0, 0.20),
        (44.0, 0.30),
        (48.0, 0.12),
        (52.0, 0.08),
        (55.0, 0.52),
        (57.5, 0.34),
        (62.0, 0.62),
        (70.0, 0.50),
        (75.0, 0.72),
        (78.0, 0.30),
        (80.0, 0.16),
        (83.0, 0.66),
        (87.0, 0.52),
        (98.0, 0.64),
        (102.0, 0.78),
        (105.0, 0.38),
        (108.0, 0.14),
    ];
    for pair in RINGS.windows(2) {
        let ((a, va), (b, vb)) = (pair[0], pair[1]);
        if r < b {
            return lerp(va, vb, smooth(a, b, r));
        }
    }
    RINGS[RINGS.len() - 1].1
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let glass = tinted([0.62, 0.80, 0.66], dice.tint(0.05, 0.03));
    let (wave, streak) = (Cloud::new(dice.bits()), dice.bits());
    let window = -2.3 + dice.range(-0.4, 0.4) - surface.pose.turn;
    let studs: Vec<V2> = (0..STUDS).filter_map(|i| alteration.place(i, stud_home(i))).map(|p| p.at).collect();
    surface.fill(
        reach(V2::ZERO, SHOULDER + 2.0),
        |p| disc(p, V2::ZERO, SHOULDER),
        |p, _, _| {
            let r = p.len() + 0.7 * wave.at(p * 0.03);
            let out = p * (1.0 / p.len().max(1.0));
            let angle = out.x * 4.0 + out.y * 2.3;
            let level = refraction(r) * (1.0 + 0.05 * noise1(angle * 1.4, streak));
            // Thick glass is greener, thin glass nearly clear.
            let color = blend(glass, [0.92, 0.95, 0.93], smooth(0.55, 0.95, level) * 0.7);
            let lip = bump((r - LIP) / LIP_HALF);
            let slant = smooth(SHOULDER + 4.0, LIP + LIP_HALF, r);
            let stud = studs.iter().map(|c| disc(p, *c, 5.2)).fold(f32::MAX, f32::min);
            let stud = smooth(2.0, -3.4, stud);
            let height = 3.0 + 5.0 * slant + 7.0 * lip.sqrt() - 7.0 * smooth(54.0, 48.0, r) + 3.2 * stud;
            let mut texel =
                Texel::solid(dim(color, level * (1.0 - 0.10 * stud)), height, 0.5 * smooth(44.0, 58.0, r), 60.0);
            let glint = glint(p, r, window) + 0.4 * glint(p, r, window + PI);
            texel.color = blend(texel.color, [1.05, 1.06, 1.05], glint.min(0.95));
            texel
        },
    );
}

/// Reflections of the lamp's softbox: arcs on the lip and the shoulder, fixed in the room.
fn glint(p: V2, r: f32, toward: f32) -> f32 {
    let facing = p.dot(v2(toward.cos(), toward.sin())) / p.len().max(1.0);
    let arc = smooth(0.72, 0.88, facing);
    let narrow = smooth(0.90, 0.97, facing);
    arc * (1.3 * bump((r - 71.0) / 4.6) + 0.5 * bump((r - 99.0) / 3.6))
        + narrow * (0.9 * bump((r - 58.5) / 3.0) + 0.35 * bump((r - 40.0) / 5.0))
}
