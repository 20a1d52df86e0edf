//! From the networks' colours back to a person's.

use diad_core::prepare::InputSpec;
use diad_core::tensor::Tensor;
use image::{Rgb, RgbImage};

/// The first picture of a tensor `[N, 3, H, W]` in the model's normalised colours; `spec` says how they were
/// normalised. Colours that no screen can show end at black or full.
#[must_use]
pub fn photo(tensor: &Tensor, spec: &InputSpec) -> RgbImage {
    let [_, _, height, width] = tensor.shape();
    let planes: Vec<&[f32]> = tensor.data().chunks_exact((width * height).max(1)).take(3).collect();
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let index = y as usize * width + x as usize;
        let level = |channel: usize| planes.get(channel).map_or(0, |plane| spec.to_byte(channel, plane[index]));
        Rgb([level(0), level(1), level(2)])
    })
}

#[cfg(test)]
mod tests {
    use diad_core::frame::{PixelFormat, PixelsView};
    use diad_core::prepare::prepare;

    use super::*;

    #[test]
    fn photo_of_a_prepared_picture_is_the_picture() {
        let spec = InputSpec::try_new(4, 2, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).unwrap();
        let bytes: Vec<u8> = (0..24).map(|i| i * 10).collect();
        let pixels = PixelsView::try_new(4, 2, PixelFormat::Rgb8, &bytes).unwrap();
        let mut tensor = Tensor::zeros(spec.shape());
        prepare(pixels, pixels.full(), &spec, &mut tensor).unwrap();
        assert_eq!(photo(&tensor, &spec).into_raw(), bytes);
    }

    #[test]
    fn photo_of_colours_out_of_range_ends_at_black_and_full() {
        let spec = InputSpec::try_new(1, 1, [0.5; 3], [0.5; 3]).unwrap();
        let tensor = Tensor::from_vec([1, 3, 1, 1], vec![-9.0, 0.0, 9.0]).unwrap();
        assert_eq!(photo(&tensor, &spec).into_raw(), [0, 128, 255]);
    }
}
