use proptest::prelude::*;

use super::*;
use crate::frame::{PixelFormat, PixelsView};
use crate::prepare::{InputSpec, prepare};
use crate::tensor::Tensor;

const fn rect(x: u32, y: u32, width: u32, height: u32) -> Roi {
    Roi { x, y, width, height }
}

/// A model of `width` x `height` pixels that sees `roi` of a frame.
fn geometry(roi: Roi, (width, height): (u32, u32)) -> Geometry {
    let spec = InputSpec::try_new(width, height, [0.0; 3], [1.0; 3]).unwrap();
    let (right, bottom) = (roi.x + roi.width, roi.y + roi.height);
    let bytes = vec![0; right as usize * bottom as usize];
    let pixels = PixelsView::try_new(right, bottom, PixelFormat::Mono8, &bytes).unwrap();
    prepare(pixels, roi, &spec, &mut Tensor::zeros(spec.shape())).unwrap()
}

/// The pixels of a 4 x 3 map as rows of `#` (counts) and `.`, for a camera that shows 8 x 6 px at 10, 20.
fn laid(mask: &Mask) -> String {
    let mut counted = Counted::new(4, 3);
    let seen = geometry(rect(10, 20, 8, 6), (4, 3));
    if counted.lay(mask, &seen).is_err() {
        assert_eq!(counted.count(), 0);
        return "nothing".to_owned();
    }
    let mut map = AnomalyMap::try_new(4, 3, vec![1.0; 12]).unwrap();
    counted.clear_others(&mut map);
    assert_eq!(counted.count(), map.area_at_least(1.0));
    let rows: Vec<String> =
        map.values().chunks(4).map(|row| row.iter().map(|v| if *v > 0.0 { '#' } else { '.' }).collect()).collect();
    rows.join(" ")
}

#[test]
fn lay_counts_pixels_whose_centre_counts() {
    // Centres are at 11, 13, 15, 17 and 21, 23, 25; a right or lower edge does not belong to a rectangle.
    for (roi, ignored, want) in [
        (None, vec![], "#### #### ####"),
        (Some(rect(0, 0, 100, 100)), vec![], "#### #### ####"),
        (Some(rect(11, 21, 2, 2)), vec![], "#... .... ...."),
        (Some(rect(12, 22, 4, 4)), vec![], ".... .##. .##."),
        (Some(rect(17, 25, 1, 1)), vec![], ".... .... ...#"),
        (Some(rect(0, 0, 14, 24)), vec![rect(11, 0, 2, 22)], ".#.. ##.. ...."),
        (None, vec![rect(13, 23, 1, 1), rect(16, 20, 16_384, 16_384)], "###. #.#. ###."),
        (None, vec![rect(12, 22, 1, 1), rect(14, 24, 1, 1)], "#### #### ####"),
        (Some(rect(18, 0, 10, 100)), vec![], "nothing"),
        (Some(rect(0, 0, 11, 100)), vec![], "nothing"),
        (Some(rect(12, 22, 1, 1)), vec![], "nothing"),
        (Some(rect(10, 20, 8, 6)), vec![rect(10, 20, 8, 3), rect(10, 23, 8, 3)], "nothing"),
    ] {
        let mask = Mask::new(roi, ignored);
        assert_eq!(laid(&mask), want, "{mask:?}");
    }
}

#[test]
fn lay_of_everything_forgets_the_mask_before() {
    let seen = geometry(rect(0, 0, 8, 6), (4, 3));
    let mut counted = Counted::new(4, 3);
    for before in [Mask::new(None, vec![rect(0, 0, 2, 2)]), Mask::new(Some(rect(90, 90, 1, 1)), vec![])] {
        let _ = counted.lay(&before, &seen);
        counted.lay(Mask::EVERYTHING, &seen).unwrap();
        let mut map = AnomalyMap::try_new(4, 3, vec![1.0; 12]).unwrap();
        counted.clear_others(&mut map);
        assert_eq!((counted.count(), map.area_at_least(1.0)), (12, 12));
    }
}

#[test]
fn lay_under_which_nothing_counts_says_what_was_asked_and_what_there_is() {
    let mask = Mask::new(Some(rect(900, 0, 10, 10)), vec![rect(0, 0, 1, 1)]);
    let error = Counted::new(4, 3).lay(&mask, &geometry(rect(10, 20, 8, 6), (4, 3))).unwrap_err();
    let want = "nothing of the picture counts: the camera shows x 10, y 20, 8x6 px, the product's roi is x 900, y 0, \
                10x10 px, 1 rectangles are ignored";
    assert_eq!(error.to_string(), want);
}

#[test]
fn masks_are_equal_whatever_the_order_of_their_rectangles() {
    let (a, b) = (rect(0, 0, 1, 1), rect(5, 5, 1, 1));
    assert_eq!(Mask::new(None, vec![a, b, a]), Mask::new(None, vec![b, a]));
    assert_eq!(&Mask::new(None, vec![]), Mask::EVERYTHING);
    assert!(!Mask::new(None, vec![a]).is_everything() && !Mask::new(Some(a), vec![]).is_everything());
}

proptest! {
    /// By the letter: the centre of each pixel, in exact halves of a frame pixel times the model's side.
    #[test]
    fn lay_does_what_the_rule_says(
        seen in (0_u32..9, 0_u32..9, 1_u32..40, 1_u32..40),
        size in (1_u32..20, 1_u32..20),
        roi in prop::option::of((0_u32..50, 0_u32..50, 0_u32..50, 0_u32..50)),
        ignored in prop::collection::vec((0_u32..50, 0_u32..50, 0_u32..20, 0_u32..20), 0..4),
    ) {
        let of = |(x, y, width, height)| rect(x, y, width, height);
        let (seen, roi, ignored) = (of(seen), roi.map(of), ignored.into_iter().map(of).collect::<Vec<_>>());
        let mut counted = Counted::new(size.0, size.1);
        let mask = Mask::new(roi, ignored.clone());
        let sound = counted.lay(&mask, &geometry(seen, size)).is_ok();
        let inside = |rect: Roi, x: f64, y: f64| {
            let holds = |start: u32, length: u32, at: f64| at >= f64::from(start) && at < f64::from(start + length);
            holds(rect.x, rect.width, x) && holds(rect.y, rect.height, y)
        };
        let mut want = Vec::new();
        for row in 0..size.1 {
            for column in 0..size.0 {
                // One division, so that a centre on a whole pixel is exact.
                let centre = |origin: u32, index: u32, frame: u32, model: u32| {
                    f64::from(2 * model * origin + (2 * index + 1) * frame) / f64::from(2 * model)
                };
                let (x, y) = (centre(seen.x, column, seen.width, size.0), centre(seen.y, row, seen.height, size.1));
                want.push(roi.is_none_or(|roi| inside(roi, x, y)) && !ignored.iter().any(|rect| inside(*rect, x, y)));
            }
        }
        prop_assert_eq!(sound, want.contains(&true));
        prop_assert_eq!(counted.pixels, want);
    }
}
