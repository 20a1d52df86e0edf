//! One lamp over the line: diffuse light, highlights, cast shadows and the dark of corners.

use crate::dice::Dice;
use crate::geometry::{Rgb, V2, v2};
use crate::surface::{SIDE, Surface, pixel};

/// The lamp, in image pixels above the conveyor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Light {
    position: V2,
    height: f32,
    ambient: f32,
    diffuse: f32,
}

const DISTANCE_PX: f32 = 430.0;
const SHADOW_STEPS_PX: [f32; 7] = [1.5, 3.0, 5.0, 8.0, 11.0, 15.0, 20.0];
const SHADOW_DEPTH: f32 = 0.72;

impl Light {
    /// A lamp at the upper left, moved a little from part to part.
    pub fn draw(dice: &mut Dice) -> Self {
        let azimuth = -2.3 + dice.range(-0.4, 0.4);
        let height = DISTANCE_PX * dice.range(1.1, 1.4);
        let ambient = dice.range(0.40, 0.48);
        let centre = v2(128.0, 128.0);
        // A flat, matt surface in the middle keeps its own colour under every lamp.
        let flat = height / (height * height + DISTANCE_PX * DISTANCE_PX).sqrt();
        Self { position: centre + V2::polar(DISTANCE_PX, azimuth), height, ambient, diffuse: (1.0 - ambient) / flat }
    }

    /// Lights the surface. Returns `SIDE * SIDE` colours, row by row.
    pub fn shade(&self, surface: &Surface) -> Vec<Rgb> {
        let heights: Vec<f32> = surface.texels.iter().map(|t| t.height).collect();
        let mut shadow = self.shadows(&heights);
        box_blur(&mut shadow, 1);
        box_blur(&mut shadow, 1);
        let mut around = heights.clone();
        box_blur(&mut around, 5);
        let mut out = Vec::with_capacity(SIDE * SIDE);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let i = y * SIDE + x;
                let left = heights[y * SIDE + x.saturating_sub(1)];
                let right = heights[y * SIDE + (x + 1).min(SIDE - 1)];
                let up = heights[y.saturating_sub(1) * SIDE + x];
                let down = heights[(y + 1).min(SIDE - 1) * SIDE + x];
                let slope = v2(((right - left) * 0.5).clamp(-2.2, 2.2), ((down - up) * 0.5).clamp(-2.2, 2.2));
                let corner = 1.0 - ((around[i] - heights[i]) * 0.045).clamp(0.0, 0.45);
                out.push(self.lit(surface, i, pixel(x, y), slope, 1.0 - SHADOW_DEPTH * shadow[i], corner));
            }
        }
        out
    }

    fn lit(&self, surface: &Surface, i: usize, at: V2, slope: V2, open: f32, corner: f32) -> Rgb {
        let texel = &surface.texels[i];
        let to = self.position - at;
        let reach = 1.0 / (to.dot(to) + self.height * self.height).sqrt();
        let (l, lz) = (to * reach, self.height * reach);
        let inverse = 1.0 / (1.0 + slope.dot(slope)).sqrt();
        let (n, nz) = (slope * -inverse, inverse);
        let facing = (n.dot(l) + nz * lz).max(0.0);
        let half = 1.0 / (l.dot(l) + (lz + 1.0) * (lz + 1.0)).sqrt();
        let (h, hz) = (l * half, (lz + 1.0) * half);
        let mirror = if texel.brush == V2::ZERO {
            (n.dot(h) + nz * hz).max(0.0)
        } else {
            // Brushed metal mirrors light in a fan across the brushing (Kajiya and Kay 1989).
            let along = texel.brush.dot(h) - texel.brush.dot(slope) * 0.5;
            (1.0 - along * along).max(0.0).sqrt()
        };
        let highlight = if texel.gloss > 0.0 { texel.gloss * mirror.powf(texel.shine) * open } else { 0.0 };
        let body = self.ambient * corner + self.diffuse * facing * open;
        texel.color.map(|c| c * body + highlight)
    }

    /// How far each pixel lies in a cast shadow, 0..=1: a walk over the height field toward the lamp.
    fn shadows(&self, heights: &[f32]) -> Vec<f32> {
        let toward = (self.position - v2(128.0, 128.0)).unit();
        let rise = self.height / DISTANCE_PX;
        let steps = SHADOW_STEPS_PX.map(|t| {
            let d = toward * t;
            #[expect(clippy::cast_possible_truncation, reason = "steps are at most 20 px")]
            let offset = (d.x.round() as isize, d.y.round() as isize);
            (offset, rise * t)
        });
        let mut out = vec![0.0; SIDE * SIDE];
        for y in 0..SIDE {
            for x in 0..SIDE {
                let here = heights[y * SIDE + x];
                let mut over = 0.0_f32;
                for ((dx, dy), lift) in steps {
                    let sx = x.saturating_add_signed(dx).min(SIDE - 1);
                    let sy = y.saturating_add_signed(dy).min(SIDE - 1);
                    over = over.max(heights[sy * SIDE + sx] - here - lift);
                }
                out[y * SIDE + x] = (over * 0.4).min(1.0);
            }
        }
        out
    }
}

/// Mean over a square of side `2 * radius + 1`, edges repeated, in place.
pub(crate) fn box_blur(plane: &mut [f32], radius: usize) {
    let mut line = vec![0.0; SIDE];
    for y in 0..SIDE {
        let row = &mut plane[y * SIDE..(y + 1) * SIDE];
        line.copy_from_slice(row);
        slide(&line, radius, |x, v| row[x] = v);
    }
    for x in 0..SIDE {
        for (y, v) in line.iter_mut().enumerate() {
            *v = plane[y * SIDE + x];
        }
        slide(&line, radius, |y, v| plane[y * SIDE + x] = v);
    }
}

#[expect(clippy::cast_precision_loss, reason = "radii are a few pixels")]
fn slide(line: &[f32], radius: usize, mut put: impl FnMut(usize, f32)) {
    let last = line.len() - 1;
    let scale = 1.0 / (2 * radius + 1) as f32;
    let mut sum = line[0] * (radius as f32 + 1.0) + line[1..=radius].iter().sum::<f32>();
    for i in 0..line.len() {
        put(i, sum * scale);
        sum += line[(i + radius + 1).min(last)] - line[i.saturating_sub(radius)];
    }
}
