//! Points, signed distances (negative inside, in pixels) and colours.

use std::ops::{Add, Mul, Sub};

/// A point or direction in pixels; x to the right, y down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct V2 {
    pub x: f32,
    pub y: f32,
}

/// Shorthand constructor: points are written often.
pub(crate) const fn v2(x: f32, y: f32) -> V2 {
    V2 { x, y }
}

impl V2 {
    pub const ZERO: V2 = v2(0.0, 0.0);

    pub fn polar(radius: f32, angle: f32) -> V2 {
        v2(radius * angle.cos(), radius * angle.sin())
    }

    pub fn dot(self, other: V2) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub fn len(self) -> f32 {
        self.dot(self).sqrt()
    }

    pub fn unit(self) -> V2 {
        self * (1.0 / self.len().max(1e-6))
    }

    pub fn across(self) -> V2 {
        v2(-self.y, self.x)
    }

    pub fn turned(self, angle: f32) -> V2 {
        let (s, c) = angle.sin_cos();
        v2(c * self.x - s * self.y, s * self.x + c * self.y)
    }

    pub fn angle(self) -> f32 {
        self.y.atan2(self.x)
    }
}

impl Add for V2 {
    type Output = V2;
    fn add(self, o: V2) -> V2 {
        v2(self.x + o.x, self.y + o.y)
    }
}

impl Sub for V2 {
    type Output = V2;
    fn sub(self, o: V2) -> V2 {
        v2(self.x - o.x, self.y - o.y)
    }
}

impl Mul<f32> for V2 {
    type Output = V2;
    fn mul(self, k: f32) -> V2 {
        v2(self.x * k, self.y * k)
    }
}

/// Signed distance to a rectangle with rounded corners, centred on the origin.
pub(crate) fn rounded_box(p: V2, half: V2, corner: f32) -> f32 {
    let qx = p.x.abs() - half.x + corner;
    let qy = p.y.abs() - half.y + corner;
    v2(qx.max(0.0), qy.max(0.0)).len() + qx.max(qy).min(0.0) - corner
}

/// Signed distance to a disc.
pub(crate) fn disc(p: V2, centre: V2, radius: f32) -> f32 {
    (p - centre).len() - radius
}

/// Signed distance to the ring between two radii around the origin.
pub(crate) fn ring(p: V2, inner: f32, outer: f32) -> f32 {
    let r = p.len();
    (r - outer).max(inner - r)
}

/// Signed distance to a thick segment with round ends.
pub(crate) fn capsule(p: V2, a: V2, b: V2, radius: f32) -> f32 {
    let ab = b - a;
    let t = ((p - a).dot(ab) / ab.dot(ab).max(1e-6)).clamp(0.0, 1.0);
    (p - a - ab * t).len() - radius
}

/// Hermite step from 0 at `from` to 1 at `to`.
pub(crate) fn smooth(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// A bump of height 1 at 0 which falls smoothly to 0 at |x| = 1.
pub(crate) fn bump(x: f32) -> f32 {
    let k = (1.0 - x * x).max(0.0);
    k * k
}

/// Display-referred red, green, blue in 0..=1 (may exceed 1 before the camera).
pub(crate) type Rgb = [f32; 3];

pub(crate) fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [lerp(a[0], b[0], t), lerp(a[1], b[1], t), lerp(a[2], b[2], t)]
}

pub(crate) fn dim(a: Rgb, k: f32) -> Rgb {
    [a[0] * k, a[1] * k, a[2] * k]
}

pub(crate) fn tinted(a: Rgb, t: Rgb) -> Rgb {
    [a[0] * t[0], a[1] * t[1], a[2] * t[2]]
}
