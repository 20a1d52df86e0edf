//! The heat map laid over the part, and a box around the worst place.

use diad_core::frame::Roi;
use diad_core::map::AnomalyMap;
use diad_core::prepare::{Geometry, ModelRect};
use image::{Rgb, RgbImage};

use super::HeatScale;

/// How much of the part the brightest colour hides.
const COVER: f32 = 0.7;

/// A colour that the heat map does not have.
const BOX_COLOUR: Rgb<u8> = Rgb([0, 229, 255]);

/// Lays a map over the picture it was made of: the hotter, the less of the part is seen. The box is drawn around
/// `region`, if there is one, outside of it where there is room.
#[must_use]
pub fn overlay(photo: &RgbImage, map: &AnomalyMap, scale: HeatScale, region: impl Into<Option<ModelRect>>) -> RgbImage {
    let mut picture = photo.clone();
    for (pixel, &value) in picture.pixels_mut().zip(map.values()) {
        let (heat, cover) = (scale.colour(value), COVER * scale.level(value));
        for (sample, &hot) in pixel.0.iter_mut().zip(&heat.0) {
            *sample = (f32::from(*sample) * (1.0 - cover) + f32::from(hot) * cover).round() as u8;
        }
    }
    if let Some(region) = region.into() {
        draw_box(&mut picture, region);
    }
    picture
}

/// A region of the frame in model pixels: the way back from [`Geometry::rect_to_frame`].
#[must_use]
pub fn region_in_model(region: Roi, geometry: &Geometry, (width, height): (u32, u32)) -> ModelRect {
    let seen = geometry.roi();
    let (x, width) = shrink(region.x.saturating_sub(seen.x), region.width, seen.width, width);
    let (y, height) = shrink(region.y.saturating_sub(seen.y), region.height, seen.height, height);
    ModelRect { x, y, width, height }
}

/// Model pixels (start, length) that cover `start..start + length` of `frame` pixels, never past `model`.
fn shrink(start: u32, length: u32, frame: u32, model: u32) -> (u32, u32) {
    let (frame, model) = (u64::from(frame.max(1)), u64::from(model.max(1)));
    let begin = (u64::from(start) * model / frame).min(model - 1);
    let end = ((u64::from(start) + u64::from(length)) * model).div_ceil(frame).clamp(begin + 1, model);
    (begin as u32, (end - begin) as u32)
}

fn draw_box(picture: &mut RgbImage, region: ModelRect) {
    let (width, height) = picture.dimensions();
    let line = (width.min(height) / 128).max(1);
    let (left, top) = (region.x.saturating_sub(line), region.y.saturating_sub(line));
    let right = region.x.saturating_add(region.width).saturating_add(line).min(width);
    let bottom = region.y.saturating_add(region.height).saturating_add(line).min(height);
    for y in top..bottom {
        for x in left..right {
            if x < left + line || y < top + line || x + line >= right || y + line >= bottom {
                picture.put_pixel(x, y, BOX_COLOUR);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use diad_core::frame::{PixelFormat, PixelsView};
    use diad_core::prepare::{InputSpec, prepare};
    use diad_core::tensor::Tensor;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn overlay_of_a_cold_map_leaves_the_part_and_draws_the_box_around_the_region() {
        let photo = RgbImage::from_pixel(8, 8, Rgb([90, 80, 70]));
        let map = AnomalyMap::try_new(8, 8, vec![0.0; 64]).unwrap();
        let region = ModelRect { x: 3, y: 2, width: 2, height: 3 };
        let picture = overlay(&photo, &map, HeatScale::of_map(&map), region);
        let boxed: Vec<(u32, u32)> =
            picture.enumerate_pixels().filter(|(_, _, p)| **p == BOX_COLOUR).map(|(x, y, _)| (x, y)).collect();
        let ring = |x: u32, y: u32| {
            (2..=5).contains(&x) && (1..=5).contains(&y) && !(3..5).contains(&x)
                || (2..=5).contains(&x) && (y == 1 || y == 5)
        };
        for (x, y, pixel) in picture.enumerate_pixels() {
            assert_eq!(boxed.contains(&(x, y)), ring(x, y), "{x},{y}");
            assert!(ring(x, y) || *pixel == Rgb([90, 80, 70]), "{x},{y}");
        }
    }

    #[test]
    fn overlay_hides_most_where_the_map_is_hottest() {
        let photo = RgbImage::from_pixel(3, 1, Rgb([0, 0, 255]));
        let map = AnomalyMap::try_new(3, 1, vec![0.0, 0.2, 1.0]).unwrap();
        let region = ModelRect { x: 0, y: 0, width: 1, height: 1 };
        let scale = HeatScale::of_map(&map);
        let hot = overlay(&photo, &map, scale, region).get_pixel(2, 0).0;
        let colour = scale.colour(1.0).0;
        for (channel, blue) in [0, 0, 255].into_iter().enumerate() {
            let want = (blue as f32 * 0.3 + f32::from(colour[channel]) * 0.7).round() as u8;
            assert_eq!(hot[channel], want);
        }
    }

    proptest! {
        #[test]
        fn region_in_model_covers_what_the_frame_region_came_from(
            frame in (1_u32..400, 1_u32..400), x in 0_u32..32, y in 0_u32..32, width in 1_u32..32, height in 1_u32..32,
        ) {
            let spec = InputSpec::try_new(64, 64, [0.0; 3], [1.0; 3]).unwrap();
            let bytes = vec![0; frame.0 as usize * frame.1 as usize];
            let pixels = PixelsView::try_new(frame.0, frame.1, PixelFormat::Mono8, &bytes).unwrap();
            let geometry = prepare(pixels, pixels.full(), &spec, &mut Tensor::zeros(spec.shape())).unwrap();
            let rect = ModelRect { x, y, width, height };
            let back = region_in_model(geometry.rect_to_frame(rect), &geometry, (64, 64));
            prop_assert!(back.x <= rect.x && back.x + back.width >= rect.x + rect.width);
            prop_assert!(back.y <= rect.y && back.y + back.height >= rect.y + rect.height);
            prop_assert!(back.x + back.width <= 64 && back.y + back.height <= 64);
        }
    }
}
