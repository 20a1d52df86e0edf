//! The rendered line as a camera.

use std::time::{Duration, Instant};

use diad_core::frame::PixelFormat;
use diad_scene::{IMAGE_SIDE_PX, Line, Product, RenderedPart, render};

use crate::camera::stamp_now;
use crate::{BufferPool, Camera, Capture, CaptureError, Picture, Take, Truth};

/// Which parts come down the rendered line.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedSettings {
    /// Seed of the line: the same seed gives the same parts.
    pub seed: u64,
    /// Products, in turn; all of them if empty.
    pub products: Vec<Product>,
    /// Share of defective parts, `0..=1`.
    pub defect_rate: f32,
    /// Parts until the end; `None` for no end.
    pub parts: Option<u64>,
}

/// Renders one part each time it is asked, and tells the truth about it.
#[derive(Debug)]
pub struct RenderedCamera {
    settings: RenderedSettings,
    line: Line,
    next: u64,
    pool: BufferPool,
}

impl RenderedCamera {
    /// A camera over the line; nothing can fail.
    #[must_use]
    pub fn new(settings: RenderedSettings, pool: BufferPool) -> Self {
        let line = Line::new(settings.seed, &settings.products, settings.defect_rate);
        Self { settings, line, next: 0, pool }
    }
}

impl Camera for RenderedCamera {
    fn describe(&self) -> String {
        format!("rendered line, seed {}, {IMAGE_SIDE_PX}x{IMAGE_SIDE_PX} px", self.settings.seed)
    }

    fn next_frame(&mut self, _not_before: Instant, _timeout: Duration) -> Result<Take, CaptureError> {
        if self.is_over() {
            return Ok(Take::Ended);
        }
        let part = self.line.part(self.next);
        self.next += 1;
        let RenderedPart { image, mask } = render(&part);
        // Rendering is the exposure; the stamp of a real camera comes at its end, too.
        let stamp = stamp_now();
        let mut picture = Picture::blank(image.width(), image.height(), PixelFormat::Rgb8, &self.pool);
        picture.bytes_mut().copy_from_slice(&image);
        Ok(Take::Frame(Capture { picture, stamp, source: None, truth: Some(Truth { part, mask }) }))
    }

    fn is_over(&self) -> bool {
        self.settings.parts.is_some_and(|parts| self.next >= parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(parts: Option<u64>, defect_rate: f32) -> RenderedCamera {
        let settings = RenderedSettings { seed: 7, products: vec![Product::Washer, Product::Wood], defect_rate, parts };
        RenderedCamera::new(settings, BufferPool::new(2))
    }

    fn next(camera: &mut RenderedCamera) -> Option<Capture> {
        match camera.next_frame(Instant::now(), Duration::ZERO).unwrap() {
            Take::Frame(capture) => Some(capture),
            Take::Ended => None,
            Take::Idle => panic!("a rendered line never waits"),
        }
    }

    #[test]
    fn next_frame_with_a_number_of_parts_ends_after_them() {
        let mut camera = camera(Some(3), 0.5);
        let parts = std::iter::from_fn(|| next(&mut camera)).count();
        assert_eq!(parts, 3);
        assert!(next(&mut camera).is_none());
    }

    #[test]
    fn next_frame_carries_the_truth_of_its_part() {
        for (rate, defective) in [(0.0, false), (1.0, true)] {
            let mut camera = camera(None, rate);
            for product in [Product::Washer, Product::Wood, Product::Washer] {
                let capture = next(&mut camera).unwrap();
                let truth = capture.truth.as_ref().unwrap();
                assert_eq!(truth.part.product, product);
                assert_eq!(truth.part.defect.is_some(), defective);
                assert_eq!(truth.mask.pixels().any(|p| p.0[0] > 0), defective);
                let view = capture.view().unwrap();
                assert_eq!((view.width(), view.height()), truth.mask.dimensions());
            }
        }
    }

    #[test]
    fn next_frame_with_the_same_seed_gives_the_same_bytes() {
        let (mut one, mut other) = (camera(None, 0.5), camera(None, 0.5));
        for _ in 0..2 {
            let (a, b) = (next(&mut one).unwrap(), next(&mut other).unwrap());
            assert_eq!(a.view().unwrap().data(), b.view().unwrap().data());
        }
    }

    #[test]
    fn next_frame_in_steady_state_allocates_no_pixels() {
        let mut camera = camera(None, 0.0);
        for _ in 0..4 {
            drop(next(&mut camera));
        }
        assert_eq!(camera.pool.allocations(), 1);
    }
}
