use super::design::{Alteration, Design, Edge};
use crate::dice::Dice;
use crate::geometry::{V2, capsule, dim, disc, ring, rounded_box, smooth, tinted, v2};
use crate::noise::{Cloud, Grain};
use crate::surface::{Surface, Texel, reach};
use std::f32::consts::{PI, TAU};

const TEETH: usize = 22;
const SPOKES: usize = 5;
const PITS: usize = 5;
const ROOT: f32 = 88.0;
const TOOTH: f32 = 13.0;

/// Features: round pits in the web, then spokes, then teeth.
pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.20, 0.21, 0.24],
    features: PITS + SPOKES + TEETH,
    movable: PITS,
    shift_px: (6.0, 9.0),
    shift_turn: 0.0,
    edge,
    max_turn: PI,
};

fn edge(dice: &mut Dice) -> Edge {
    #[expect(clippy::cast_precision_loss, reason = "22 teeth")]
    let out = V2::polar(1.0, dice.below(TEETH) as f32 / TEETH as f32 * TAU);
    let push = if dice.chance(0.5) { out * -1.0 } else { out.across() * dice.sign() };
    Edge { at: out * (ROOT + TOOTH * 0.7), push, reach_px: 24.0 }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of spokes")]
fn spoke(i: usize, offset: f32) -> V2 {
    V2::polar(1.0, (i as f32 + offset) / SPOKES as f32 * TAU)
}

/// Distance to the toothed rim; a missing tooth ends at the root.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "22 teeth")]
fn toothed(p: V2, gone: Option<usize>) -> f32 {
    let turn = p.angle() / TAU * TEETH as f32;
    let nearest = turn.round();
    let index = nearest.rem_euclid(TEETH as f32) as usize;
    let local = p.turned(-nearest / TEETH as f32 * TAU) - v2(ROOT, 0.0);
    // Flanks lean in toward the tip.
    let half = 6.6 - 0.22 * local.x.clamp(0.0, TOOTH);
    let tooth = rounded_box(local, v2(TOOTH, half), 1.8);
    let body = p.len() - ROOT;
    if gone == Some(index) { body } else { body.min(tooth) }
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let ivory = tinted([0.79, 0.77, 0.70], dice.tint(0.04, 0.02));
    let (cloud, grain) = (Cloud::new(dice.bits()), Grain::new(dice.bits()));
    let gone = match *alteration {
        Alteration::Missing { feature, .. } => feature.checked_sub(PITS + SPOKES),
        _ => None,
    };
    let pits: Vec<V2> = (0..PITS).filter_map(|i| alteration.place(i, spoke(i, 0.5) * 54.0)).map(|p| p.at).collect();
    let spokes: Vec<V2> = (0..SPOKES).filter(|i| !alteration.is_missing(PITS + i)).map(|i| spoke(i, 0.0)).collect();
    let plastic = move |p: V2, height: f32| {
        let tone = 1.0 + 0.02 * cloud.at(p * 0.035) + 0.012 * grain.at(p * 0.8);
        Texel::solid(dim(ivory, tone), height, 0.22, 24.0)
    };
    // Bore with a flat, as for a D-shaped shaft.
    let bore = |p: V2| disc(p, V2::ZERO, 14.0).max(p.x - 9.5);
    surface.fill(
        reach(V2::ZERO, ROOT + TOOTH + 3.0),
        |p| toothed(p, gone).max(-bore(p)),
        |p, depth, _| {
            let r = p.len();
            let rim = smooth(71.0, 74.5, r);
            let hub = smooth(29.0, 26.0, r);
            let rib = spokes.iter().map(|s| capsule(p, *s * 22.0, *s * 76.0, 4.4)).fold(f32::MAX, f32::min);
            let rib = smooth(1.6, -1.6, rib) * 0.8;
            let pit = pits.iter().map(|c| disc(p, *c, 9.0)).fold(f32::MAX, f32::min);
            let pit = smooth(1.2, -1.2, pit);
            let groove = smooth(1.4, 0.2, ring(p, 78.0, 79.2));
            let level = rim.max(hub).max(rib);
            let height = 4.0 + 6.0 * level - 3.2 * pit - 1.2 * groove - 2.4 * smooth(3.0, 0.0, depth).powi(2);
            let mut texel = plastic(p, height);
            texel.color = dim(texel.color, 1.0 - 0.10 * (1.0 - level) - 0.22 * pit - 0.10 * groove);
            texel
        },
    );
    surface.fill(reach(V2::ZERO, 15.0), bore, |_, _, below| Texel { color: dim(below.color, 0.6), ..*below });
}
