//! The pictures that show a part.

use diad_core::frame::{PixelFormat, PixelsView, Roi};
use diad_core::prepare::Geometry;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::{self, FilterType as Resampling};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::{PartImages, Seen};
use crate::picture::{heat_map, overlay, region_in_model};

/// One kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// What the camera saw, as it saw it.
    Frame,
    /// The anomaly map, in the model's size.
    Heatmap,
    /// The map over what the networks saw, with a box around the worst place, in the model's size.
    Overlay,
}

impl ImageKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Frame, Self::Heatmap, Self::Overlay];

    /// The kind of that name: `frame`, `heatmap` or `overlay`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|print| print.word() == word)
    }

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Heatmap => "heatmap",
            Self::Overlay => "overlay",
        }
    }

    /// How its files end.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Frame => ".frame.png",
            Self::Heatmap => ".heatmap.png",
            Self::Overlay => ".overlay.png",
        }
    }

    /// As a PNG file. None if there is nothing to see: of a torn frame, or of the map of a part that was not judged.
    pub(super) fn png(self, PartImages { picture, seen, .. }: &PartImages) -> Option<Vec<u8>> {
        let view = picture.view().ok()?;
        if self == Self::Frame {
            let colour = match view.format() {
                PixelFormat::Rgb8 => ExtendedColorType::Rgb8,
                PixelFormat::Mono8 => ExtendedColorType::L8,
            };
            return png(view.data(), view.width(), view.height(), colour);
        }
        let Seen { map, scale, roi, region } = seen.as_ref()?;
        let drawn = if self == Self::Heatmap {
            heat_map(map, *scale)
        } else {
            let photo = imageops::resize(&cut(view, *roi)?, map.width(), map.height(), Resampling::Triangle);
            let geometry = Geometry::new(*roi, map.width(), map.height());
            let region = region.map(|region| region_in_model(region, &geometry, (map.width(), map.height())));
            overlay(&photo, map, *scale, region)
        };
        png(drawn.as_raw(), drawn.width(), drawn.height(), ExtendedColorType::Rgb8)
    }
}

/// What the networks saw of a frame, in its own pixels.
fn cut(view: PixelsView<'_>, roi: Roi) -> Option<RgbImage> {
    view.expect_inside(roi).ok()?;
    let bytes = view.format().bytes_per_pixel();
    let row_bytes = view.width() as usize * bytes;
    Some(RgbImage::from_fn(roi.width, roi.height, |x, y| {
        let at = (roi.y + y) as usize * row_bytes + (roi.x + x) as usize * bytes;
        let pixel = &view.data()[at..at + bytes];
        // A grey pixel is its own red, green and blue.
        image::Rgb([pixel[0], pixel[bytes / 2], pixel[bytes - 1]])
    }))
}

/// Losslessly, and quickly rather than small.
fn png(pixels: &[u8], width: u32, height: u32, colour: ExtendedColorType) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    encoder.write_image(pixels, width, height, colour).ok()?;
    Some(bytes)
}
