use proptest::prelude::*;

use super::*;
use crate::testing::Golden;

fn resized(width: u32, height: u32, format: PixelFormat, data: &[u8], target: (u32, u32)) -> Vec<u8> {
    let pixels = PixelsView::try_new(width, height, format, data).unwrap();
    Resizer::try_new(target.0, target.1).unwrap().resize(pixels, pixels.full()).unwrap().to_vec()
}

#[test]
fn resize_of_golden_pictures_is_bit_exact() {
    let Some(mut golden) = Golden::open("preprocess.npz") else { return };
    for picture in 0..4 {
        let (shape, source) = golden.array::<u8>(&format!("src{picture}"));
        let (height, width) = (shape[0] as u32, shape[1] as u32);
        let planes: Vec<u8> = golden.values(&format!("u8_{picture}"));
        let got = resized(width, height, PixelFormat::Rgb8, &source, (256, 256));
        for (place, pixel) in got.chunks_exact(3).enumerate() {
            let want = [0, 1, 2].map(|channel| planes[channel * 256 * 256 + place]);
            assert_eq!(pixel, want, "picture {picture}, pixel {place}");
        }
    }
}

#[test]
fn resize_of_golden_masks_is_bit_exact() {
    let Some(mut golden) = Golden::open("preprocess.npz") else { return };
    for picture in 0..4 {
        let (shape, source) = golden.array::<u8>(&format!("mask_src{picture}"));
        let (height, width) = (shape[0] as u32, shape[1] as u32);
        let mask: Vec<f32> = golden.values(&format!("mask{picture}"));
        let got = resized(width, height, PixelFormat::Mono8, &source, (256, 256));
        let want: Vec<u8> = mask.iter().map(|v| (v * 255.0).round() as u8).collect();
        assert_eq!(got, want, "mask {picture}");
    }
}

#[test]
fn resize_to_the_same_size_changes_nothing() {
    let data: Vec<u8> = (0..7 * 5 * 3).map(|i| (i * 37 % 256) as u8).collect();
    assert_eq!(resized(7, 5, PixelFormat::Rgb8, &data, (7, 5)), data);
}

#[test]
fn resize_sees_only_the_region() {
    let (width, height) = (20, 12);
    let roi = Roi { x: 3, y: 2, width: 9, height: 7 };
    let noise = |x: u32, y: u32| (x * 31 + y * 57) as u8;
    let frame: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| noise(x, y))).collect();
    let part: Vec<u8> =
        (0..roi.height).flat_map(|y| (0..roi.width).map(move |x| noise(x + roi.x, y + roi.y))).collect();
    let mut resizer = Resizer::try_new(4, 4).unwrap();
    let frame = PixelsView::try_new(width, height, PixelFormat::Mono8, &frame).unwrap();
    let whole = resizer.resize(frame, roi).unwrap().to_vec();
    assert_eq!(whole, resized(roi.width, roi.height, PixelFormat::Mono8, &part, (4, 4)));
}

#[test]
fn resize_refuses_a_region_outside_the_picture() {
    let data = [0; 16];
    let pixels = PixelsView::try_new(4, 4, PixelFormat::Mono8, &data).unwrap();
    let roi = Roi { x: 2, y: 0, width: 3, height: 1 };
    let refused = Resizer::try_new(2, 2).unwrap().resize(pixels, roi).map(<[u8]>::len);
    assert!(matches!(refused, Err(FrameError::Roi { .. })), "{refused:?}");
}

#[test]
fn try_new_refuses_an_empty_target() {
    assert!(matches!(Resizer::try_new(0, 5), Err(FrameError::Size { .. })));
}

proptest! {
    #[test]
    fn resize_of_a_constant_is_constant(
        value: u8,
        width in 1_u32..90,
        height in 1_u32..90,
        target in (1_u32..90, 1_u32..90),
    ) {
        let data = vec![value; (width * height) as usize];
        let got = resized(width, height, PixelFormat::Mono8, &data, target);
        prop_assert!(got.iter().all(|&v| v == value), "{:?}", got);
    }

    #[test]
    fn resize_of_a_size_seen_before_gives_the_same(
        data in prop::collection::vec(any::<u8>(), 30 * 20),
        target in (1_u32..40, 1_u32..40),
    ) {
        let pixels = PixelsView::try_new(30, 20, PixelFormat::Mono8, &data).unwrap();
        let mut resizer = Resizer::try_new(target.0, target.1).unwrap();
        let first = resizer.resize(pixels, pixels.full()).unwrap().to_vec();
        resizer.resize(pixels, Roi { x: 1, y: 2, width: 7, height: 9 }).unwrap();
        prop_assert_eq!(first, resizer.resize(pixels, pixels.full()).unwrap());
    }
}
