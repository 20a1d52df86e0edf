use proptest::prelude::*;

use super::*;
use crate::testing::{Golden, Near};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn spec(width: u32, height: u32) -> InputSpec {
    InputSpec::try_new(width, height, MEAN, STD).unwrap()
}

#[test]
fn prepare_of_golden_pictures_agrees_to_the_bit() {
    let Some(mut golden) = Golden::open("preprocess.npz") else { return };
    let mut preparer = Preparer::try_new(spec(256, 256)).unwrap();
    let mut out = Tensor::zeros([1, 3, 256, 256]);
    for picture in [0, 2] {
        let (shape, source) = golden.array::<u8>(&format!("src{picture}"));
        let pixels = PixelsView::try_new(shape[1] as u32, shape[0] as u32, PixelFormat::Rgb8, &source).unwrap();
        preparer.prepare(pixels, pixels.full(), &mut out).unwrap();
        // The same operations in the same order and precision: nothing may differ.
        Near::abs(0.0).check("input", out.data(), &golden.values::<f32>(&format!("jpg{picture}")));
    }
}

#[test]
fn prepare_spreads_one_channel_over_three() {
    let grey: Vec<u8> = (0..30 * 20).map(|i| (i * 7 % 256) as u8).collect();
    let colour: Vec<u8> = grey.iter().flat_map(|&v| [v; 3]).collect();
    let mut outs = [Tensor::zeros([1, 3, 8, 16]), Tensor::zeros([1, 3, 8, 16])];
    for (out, (format, data)) in outs.iter_mut().zip([(PixelFormat::Mono8, &grey), (PixelFormat::Rgb8, &colour)]) {
        let pixels = PixelsView::try_new(30, 20, format, data).unwrap();
        prepare(pixels, pixels.full(), &spec(16, 8), out).unwrap();
    }
    assert_eq!(outs[0], outs[1]);
}

#[test]
fn to_byte_undoes_the_normalisation() {
    let spec = spec(1, 1);
    let mut out = Tensor::zeros(spec.shape());
    for byte in 0..=255 {
        let data = [byte];
        let pixels = PixelsView::try_new(1, 1, PixelFormat::Mono8, &data).unwrap();
        prepare(pixels, pixels.full(), &spec, &mut out).unwrap();
        assert_eq!([0, 1, 2].map(|channel| spec.to_byte(channel, out.data()[channel])), [byte; 3]);
    }
}

#[test]
fn prepare_refuses_what_does_not_fit() {
    let data = [0; 12];
    let pixels = PixelsView::try_new(2, 2, PixelFormat::Rgb8, &data).unwrap();
    let outside = Roi { x: 1, y: 1, width: 2, height: 1 };
    let mut out = Tensor::zeros([1, 3, 4, 4]);
    let refused = prepare(pixels, outside, &spec(4, 4), &mut out);
    assert!(matches!(refused, Err(PrepareError::Roi(FrameError::Roi { .. }))), "{refused:?}");
    let refused = prepare(pixels, pixels.full(), &spec(4, 5), &mut out);
    assert!(matches!(refused, Err(PrepareError::Output(TensorError::Shape { .. }))), "{refused:?}");
}

#[test]
fn try_new_refuses_a_size_or_a_normalisation_that_makes_no_sense() {
    assert!(matches!(InputSpec::try_new(0, 4, MEAN, STD), Err(PrepareError::Size(_))));
    for (mean, std) in [(f32::NAN, 1.0), (0.0, 0.0), (0.0, f32::NAN), (0.0, -1.0), (f32::INFINITY, 1.0)] {
        let refused = InputSpec::try_new(4, 4, [0.0, mean, 0.0], [1.0, std, 1.0]);
        assert!(matches!(refused, Err(PrepareError::Normalise { channel: 1, .. })), "{refused:?}");
    }
}

#[test]
fn rect_to_frame_stretches_and_shifts() {
    let roi = Roi { x: 100, y: 50, width: 512, height: 256 };
    let geometry = Geometry { roi, width: 128, height: 128 };
    for (rect, want) in [
        ((0, 0, 128, 128), (100, 50, 512, 256)),
        ((10, 20, 3, 4), (140, 90, 12, 8)),
        ((127, 127, 1, 1), (608, 304, 4, 2)),
        ((127, 127, 50, 50), (608, 304, 4, 2)),
    ] {
        let (x, y, width, height) = rect;
        let got = geometry.rect_to_frame(ModelRect { x, y, width, height });
        assert_eq!((got.x, got.y, got.width, got.height), want, "{rect:?}");
    }
    assert!(Near::abs(0.0).equal(geometry.pixel_area(), 8.0));
}

proptest! {
    #[test]
    fn rect_to_frame_stays_inside_the_region_and_is_never_empty(
        roi in (0_u32..500, 0_u32..500, 1_u32..3000, 1_u32..3000),
        model in (1_u32..400, 1_u32..400),
        rect in (0_u32..500, 0_u32..500, 1_u32..500, 1_u32..500),
    ) {
        let roi = Roi { x: roi.0, y: roi.1, width: roi.2, height: roi.3 };
        let geometry = Geometry { roi, width: model.0, height: model.1 };
        let got = geometry.rect_to_frame(ModelRect { x: rect.0, y: rect.1, width: rect.2, height: rect.3 });
        prop_assert!(got.width >= 1 && got.height >= 1);
        prop_assert!(got.x >= roi.x && got.x + got.width <= roi.x + roi.width);
        prop_assert!(got.y >= roi.y && got.y + got.height <= roi.y + roi.height);
    }
}
