use super::design::{Alteration, Design, Edge};
use crate::dice::Dice;
use crate::geometry::{Rgb, blend, dim, lerp, smooth, tinted, v2};
use crate::noise::{Cloud, Grain};
use crate::surface::{Reach, Surface, Texel};
use std::f32::consts::PI;

/// Distance between neighbouring threads.
const PITCH: f32 = 10.0;
/// Every so many threads one is coloured.
const STRIPE: i32 = 6;
/// Places at which a thread can break or float.
const SPOTS: usize = 64;

pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.30, 0.30, 0.30],
    features: SPOTS,
    movable: SPOTS,
    shift_px: (5.5, 7.0),
    shift_turn: 0.0,
    edge,
    max_turn: 0.07,
};

fn edge(dice: &mut Dice) -> Edge {
    Edge { at: v2(dice.range(-95.0, 95.0), dice.range(-95.0, 95.0)), push: dice.direction(), reach_px: 34.0 }
}

/// What befalls one thread over part of its length.
#[derive(Clone, Copy)]
struct Fault {
    /// Index of the thread, and whether it runs across (weft) or along (warp).
    thread: i32,
    weft: bool,
    from: f32,
    to: f32,
    /// Sideways shift in px; `None` if the thread is broken away.
    shift: Option<f32>,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "spots are below 64"
)]
fn fault(alteration: &Alteration) -> Option<Fault> {
    let (feature, area_px, shift) = match *alteration {
        Alteration::None => return None,
        Alteration::Missing { feature, area_px } => (feature, area_px, None),
        Alteration::Moved { feature, by, area_px, .. } => (feature, area_px, Some(by.len() * by.x.signum())),
    };
    // A shifted thread takes its neighbours along, so it is shorter for the same area.
    let length = if shift.is_some() {
        (area_px / (3.5 * PITCH)).clamp(10.0, 60.0)
    } else {
        (area_px / PITCH).clamp(16.0, 120.0)
    };
    let weft = feature % 2 == 0;
    let thread = (feature / 2 % 8) as i32 * 2 - 8 + (feature % 3) as i32;
    let middle = (feature / 16) as f32 * 42.0 - 63.0;
    Some(Fault { thread, weft, from: middle - length * 0.5, to: middle + length * 0.5, shift })
}

impl Fault {
    /// 1 along the faulty stretch of the thread, 0 elsewhere, with soft ends.
    fn along(&self, along: f32) -> f32 {
        let end = if self.shift.is_some() { 9.0 } else { 1.5 };
        smooth(self.from - end, self.from + end, along) * smooth(self.to + end, self.to - end, along)
    }
}

/// One thread at a point: how high it stands, and its colour.
fn strand(across: f32, along: f32, over: f32, color: Rgb, fuzz: &Grain) -> (f32, Rgb) {
    let c = across / (PITCH * 0.50);
    let round = (1.0 - c * c).max(0.0).sqrt();
    // Twisted yarn: fine slanted streaks.
    let twist = 0.5 + 0.5 * (along * 1.55 + across * 0.9).sin();
    let fuzz = fuzz.at(v2(along * 0.35, across * 0.9));
    let height = 3.4 * round + 2.0 * over - if c.abs() > 1.0 { 4.0 } else { 0.0 };
    (height, dim(color, 0.86 + 0.14 * round + 0.05 * (twist - 0.5) + 0.045 * fuzz))
}

fn nearest(x: f32) -> (i32, f32) {
    let i = (x / PITCH).round();
    #[expect(clippy::cast_possible_truncation, reason = "a few dozen threads")]
    let index = i as i32;
    (index, x - i * PITCH)
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let warp_color = tinted([0.74, 0.71, 0.63], dice.tint(0.04, 0.02));
    let weft_color = tinted([0.62, 0.61, 0.57], dice.tint(0.04, 0.02));
    let accent = tinted([0.20, 0.33, 0.50], dice.tint(0.05, 0.03));
    let (drift_x, drift_y) = (Cloud::new(dice.bits()), Cloud::new(dice.bits()));
    let seed = dice.bits();
    let (warp_fuzz, weft_fuzz) = (Grain::new(seed), Grain::new(seed ^ 9));
    let fault = fault(alteration);
    let dyed = |i: i32, plain: Rgb| if i.rem_euclid(STRIPE) == 0 { accent } else { plain };
    surface.fill(
        Reach::ALL,
        |_| -9.0,
        |p, _, _| {
            let q = v2(p.x + 1.6 * drift_x.at(p * 0.016), p.y + 1.6 * drift_y.at(p * 0.016));
            let (mut wx, mut wy) = (q.x, q.y);
            let (mut gone_warp, mut gone_weft) = (0.0, 0.0);
            if let Some(f) = fault {
                let (across, along) = if f.weft { (q.y, q.x) } else { (q.x, q.y) };
                let near = f.along(along);
                #[expect(clippy::cast_precision_loss, reason = "a few dozen threads")]
                let off = across - f.thread as f32 * PITCH;
                match f.shift {
                    Some(shift) => {
                        // The thread and, less so, its neighbours are pushed aside.
                        let push = shift * near * smooth(2.4 * PITCH, 0.2 * PITCH, off.abs());
                        if f.weft { wy -= push } else { wx -= push }
                    }
                    None if off.abs() < PITCH * 0.5 => {
                        if f.weft {
                            gone_weft = near;
                        } else {
                            gone_warp = near;
                        }
                    }
                    None => {}
                }
            }
            let (i, across_warp) = nearest(wx);
            let (j, across_weft) = nearest(wy);
            // Plain weave: over and under alternate in both directions.
            let sign = if (i + j).rem_euclid(2) == 0 { 1.0 } else { -1.0 };
            let crossing = (across_warp / PITCH * PI).cos() * (across_weft / PITCH * PI).cos() * sign;
            let (mut warp_height, warp_tone) = strand(across_warp, q.y, crossing, dyed(i, warp_color), &warp_fuzz);
            let (mut weft_height, weft_tone) = strand(across_weft, q.x, -crossing, dyed(j, weft_color), &weft_fuzz);
            warp_height -= 7.0 * gone_warp;
            weft_height -= 7.0 * gone_weft;
            let top = smooth(-0.5, 0.5, warp_height - weft_height);
            let height = lerp(weft_height, warp_height, top);
            let shade = smooth(-4.0, 3.4, height);
            Texel::solid(dim(blend(weft_tone, warp_tone, top), 0.60 + 0.40 * shade), 6.0 + 0.7 * height, 0.03, 8.0)
        },
    );
}
