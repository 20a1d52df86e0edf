//! What a person sees of an inspection: the input and the reconstruction as photographs, the anomaly map as a heat
//! map, and both laid over each other. All pictures have the model's size.

mod heat;
mod overlay;
mod photo;

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageError, ImageFormat, RgbImage};

pub use heat::{HeatScale, heat_map};
pub use overlay::{overlay, region_in_model};
pub use photo::photo;

/// A picture as the bytes of a PNG file; equal pictures give equal bytes.
///
/// # Errors
/// The encoder's.
pub fn encode_png(picture: &RgbImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
    Ok(bytes)
}

/// The encoder's quality, of 100.
const JPEG_QUALITY: u8 = 92;

/// A picture as the bytes of a JPEG file, nearly as it was and much smaller than as PNG: for pages with many
/// pictures.
///
/// # Errors
/// The encoder's.
pub fn encode_jpeg(picture: &RgbImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encode_png_gives_a_file_with_the_same_pixels() {
        let picture = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 200]));
        let bytes = encode_png(&picture).unwrap();
        assert_eq!(image::load_from_memory_with_format(&bytes, ImageFormat::Png).unwrap().into_rgb8(), picture);
        assert_eq!(encode_png(&picture).unwrap(), bytes);
    }

    #[test]
    fn encode_jpeg_gives_nearly_the_same_pixels() {
        let picture = RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, y as u8 * 2, 90]));
        let bytes = encode_jpeg(&picture).unwrap();
        let back = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap().into_rgb8();
        assert!(back.iter().zip(picture.iter()).all(|(a, b)| a.abs_diff(*b) < 12));
    }
}
