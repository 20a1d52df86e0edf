//! The painted surface: per pixel a colour, a height and how it reflects.

use crate::geometry::{Rgb, V2, blend, bump, lerp, v2};
use crate::part::IMAGE_SIDE_PX;

/// Side of the picture as an index.
pub(crate) const SIDE: usize = IMAGE_SIDE_PX as usize;

/// What one pixel shows before it is lit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texel {
    /// Colour under full light.
    pub color: Rgb,
    /// Height above the conveyor, in pixels.
    pub height: f32,
    /// Strength of the highlight, 0..=1.
    pub gloss: f32,
    /// Sharpness of the highlight (exponent).
    pub shine: f32,
    /// Direction of brushing in the image, or zero where the surface reflects alike in all directions.
    pub brush: V2,
    /// Share of the pixel which is the part (and not conveyor or hole), 0..=1.
    pub part: f32,
}

impl Texel {
    /// A plain material which belongs to the part.
    pub fn solid(color: Rgb, height: f32, gloss: f32, shine: f32) -> Self {
        Self { color, height, gloss, shine, brush: V2::ZERO, part: 1.0 }
    }

    /// A metal of this colour laid at `height` over this texel.
    pub fn part_metal(&self, color: Rgb, height: f32) -> Self {
        Self { part: 1.0, ..Self::solid(color, height, 0.5, 30.0) }
    }

    fn mixed(&self, over: &Texel, t: f32) -> Texel {
        Texel {
            color: blend(self.color, over.color, t),
            height: lerp(self.height, over.height, t),
            gloss: lerp(self.gloss, over.gloss, t),
            shine: lerp(self.shine, over.shine, t),
            brush: if t > 0.5 { over.brush } else { self.brush },
            part: lerp(self.part, over.part, t),
        }
    }
}

/// Where the part lies in the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pose {
    /// Part origin, in image pixels.
    pub centre: V2,
    /// Rotation in radians.
    pub turn: f32,
    /// Image pixels per part pixel.
    pub scale: f32,
}

/// A local push of the part's geometry: what was at `centre` is found at `centre + push`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Warp {
    pub centre: V2,
    pub radius: f32,
    pub push: V2,
}

/// A disc of the part frame outside which a shape has no pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub centre: V2,
    pub radius: f32,
}

impl Reach {
    /// The whole picture in any pose.
    pub const ALL: Reach = Reach { centre: V2::ZERO, radius: 1.0e4 };
}

/// Shorthand constructor.
pub(crate) fn reach(centre: V2, radius: f32) -> Reach {
    Reach { centre, radius }
}

/// The picture before light, with the mapping from pixels to the part's own frame.
#[derive(Debug, Clone)]
pub(crate) struct Surface {
    pub texels: Vec<Texel>,
    pub pose: Pose,
    warp: Option<Warp>,
    cos: f32,
    sin: f32,
}

/// Image position of a pixel's centre.
#[expect(clippy::cast_precision_loss, reason = "pixel indices are below 256")]
pub(crate) fn pixel(x: usize, y: usize) -> V2 {
    v2(x as f32 + 0.5, y as f32 + 0.5)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to 0..=256 before the cast"
)]
fn clip(x: f32) -> usize {
    x.clamp(0.0, SIDE as f32) as usize
}

impl Surface {
    /// A surface on which only the conveyor lies; `backdrop` maps an image position to its texel.
    pub fn new(pose: Pose, warp: Option<Warp>, backdrop: impl Fn(V2) -> Texel) -> Self {
        let texels = (0..SIDE * SIDE).map(|i| backdrop(pixel(i % SIDE, i / SIDE))).collect();
        let (sin, cos) = pose.turn.sin_cos();
        Self { texels, pose, warp, cos, sin }
    }

    /// Part position of an image position.
    pub fn part_from_image(&self, at: V2) -> V2 {
        let d = at - self.pose.centre;
        let p = v2(self.cos * d.x + self.sin * d.y, self.cos * d.y - self.sin * d.x) * (1.0 / self.pose.scale);
        match self.warp {
            None => p,
            Some(w) => p - w.push * bump((p - w.centre).len() / w.radius),
        }
    }

    /// Image position of a part position, the warp left aside.
    pub fn image_from_part(&self, p: V2) -> V2 {
        v2(self.cos * p.x - self.sin * p.y, self.sin * p.x + self.cos * p.y) * self.pose.scale + self.pose.centre
    }

    /// Lays a shape over the surface. `shape` gives the signed distance at a part position; `over` turns position,
    /// depth inside the shape and what lies below into the new texel. Edges are anti-aliased by coverage.
    pub fn fill(&mut self, within: Reach, shape: impl Fn(V2) -> f32, over: impl Fn(V2, f32, &Texel) -> Texel) {
        let (low, high) = self.bounds(within);
        for y in low.1..high.1 {
            for x in low.0..high.0 {
                let p = self.part_from_image(pixel(x, y));
                let distance = shape(p);
                let cover = (0.5 - distance * self.pose.scale).clamp(0.0, 1.0);
                if cover > 0.0 {
                    let below = &mut self.texels[y * SIDE + x];
                    let texel = over(p, -distance, below);
                    *below = if cover < 1.0 { below.mixed(&texel, cover) } else { texel };
                }
            }
        }
    }

    /// Changes texels in a disc of the image, without the part frame (surface defects work in image pixels).
    pub fn rework(&mut self, centre: V2, radius: f32, change: impl Fn(V2, &mut Texel)) {
        let (low, high) = image_bounds(centre, radius);
        for y in low.1..high.1 {
            for x in low.0..high.0 {
                change(pixel(x, y), &mut self.texels[y * SIDE + x]);
            }
        }
    }

    /// The texel at an image position, `None` outside the picture.
    pub fn texel_at(&self, at: V2) -> Option<&Texel> {
        let inside = |x: f32| (0.0..256.0).contains(&x);
        if inside(at.x) && inside(at.y) { self.texels.get(clip(at.y) * SIDE + clip(at.x)) } else { None }
    }

    /// Share of part at an image position, 0 outside the picture.
    pub fn part_at(&self, at: V2) -> f32 {
        self.texel_at(at).map_or(0.0, |t| t.part)
    }

    fn bounds(&self, within: Reach) -> ((usize, usize), (usize, usize)) {
        let slack = self.warp.map_or(0.0, |w| w.push.len());
        image_bounds(self.image_from_part(within.centre), (within.radius + slack) * self.pose.scale)
    }
}

fn image_bounds(centre: V2, radius: f32) -> ((usize, usize), (usize, usize)) {
    let r = radius + 1.5;
    ((clip(centre.x - r), clip(centre.y - r)), (clip(centre.x + r + 1.0), clip(centre.y + r + 1.0)))
}
