//! Where on the part a surface defect lies.

use crate::dice::Dice;
use crate::geometry::{V2, v2};
use crate::surface::Surface;

/// A place around which a disc of `radius` px lies on the part: of some draws, the one with the most part under it.
pub(crate) fn on_part(surface: &Surface, dice: &mut Dice, radius: f32) -> V2 {
    let mut best = (-1.0, v2(128.0, 128.0));
    for _ in 0..40 {
        let at = v2(dice.range(10.0, 246.0), dice.range(10.0, 246.0));
        let share = cover(surface, at, radius);
        if share > best.0 {
            best = (share, at);
        }
        if share > 0.97 {
            break;
        }
    }
    best.1
}

fn cover(surface: &Surface, at: V2, radius: f32) -> f32 {
    let mut sum = surface.part_at(at) * 2.0;
    for k in 0_u8..8 {
        let spoke = V2::polar(radius, f32::from(k) * std::f32::consts::FRAC_PI_4);
        sum += surface.part_at(at + spoke) + surface.part_at(at + spoke * 0.5);
    }
    sum / 18.0
}

/// A gently bent line of `length` px, sampled at even steps, most of it on the part.
pub(crate) fn path_on_part(surface: &Surface, dice: &mut Dice, length: f32, bend: f32) -> Vec<V2> {
    let mut best: (f32, Vec<V2>) = (-1.0, Vec::new());
    for _ in 0..30 {
        let middle = v2(dice.range(20.0, 236.0), dice.range(20.0, 236.0));
        let path = path(dice, middle, length, bend);
        #[expect(clippy::cast_precision_loss, reason = "a path has a few dozen points")]
        let share = path.iter().map(|p| surface.part_at(*p)).sum::<f32>() / path.len() as f32;
        if share > best.0 {
            best = (share, path);
        }
        if best.0 > 0.97 {
            break;
        }
    }
    best.1
}

const STEPS: u8 = 28;

/// A line around `middle` whose heading turns smoothly.
pub(crate) fn path(dice: &mut Dice, middle: V2, length: f32, bend: f32) -> Vec<V2> {
    let mut heading = dice.angle();
    let turn = dice.range(-bend, bend) / f32::from(STEPS);
    let twist = dice.range(-bend, bend) / f32::from(STEPS * 4);
    let step = length / f32::from(STEPS);
    let mut at = middle - V2::polar(length * 0.5, heading);
    let mut out = Vec::with_capacity(usize::from(STEPS) + 1);
    for k in 0..=STEPS {
        out.push(at);
        heading += turn + twist * (f32::from(k) - f32::from(STEPS) * 0.5) * 0.3;
        at = at + V2::polar(step, heading);
    }
    out
}

/// Distance from `p` to the path, the signed side (negative left) and how far along it the nearest point lies, 0..=1.
pub(crate) fn nearest(path: &[V2], p: V2) -> (f32, f32, f32) {
    let mut best = (f32::MAX, 0.0, 0.0);
    let pieces = path.len().saturating_sub(1);
    for (i, ends) in path.windows(2).enumerate() {
        let ab = ends[1] - ends[0];
        let t = ((p - ends[0]).dot(ab) / ab.dot(ab).max(1e-6)).clamp(0.0, 1.0);
        let off = p - ends[0] - ab * t;
        let d = off.dot(off);
        if d < best.0 {
            #[expect(clippy::cast_precision_loss, reason = "a path has a few dozen points")]
            let along = (i as f32 + t) / pieces as f32;
            best = (d, off.dot(ab.across()).signum(), along);
        }
    }
    (best.0.sqrt(), best.1, best.2)
}

/// Middle of a path and the radius around it which holds the whole path.
pub(crate) fn around(path: &[V2]) -> (V2, f32) {
    let middle = path.get(path.len() / 2).copied().unwrap_or(V2::ZERO);
    let radius = path.iter().map(|p| (*p - middle).len()).fold(0.0, f32::max);
    (middle, radius)
}
