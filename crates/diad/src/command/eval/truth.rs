//! Which pixels of a part are truly defect, at the model's size.

use std::path::{Path, PathBuf};

use diad_capture::{Picture, read_image};
use diad_core::frame::PixelFormat;
use diad_core::resize::Resizer;

use super::error::EvalError;
use crate::command::region::Region;

/// A mask pixel above this is defect. Masks hold 0 and 255.
const MARKED_ABOVE: u8 = 127;

/// Reads masks at the model's size, where the maps are: resized as the pictures are (bilinear), and defect where at
/// least half of a model pixel is. So the marked area stays what it was, and only a defect smaller than half a model
/// pixel vanishes from the pixel figures.
#[derive(Debug)]
pub struct MaskReader {
    resizer: Resizer,
}

impl MaskReader {
    /// For a model of `width` x `height` px.
    pub fn try_new(width: u32, height: u32) -> Result<Self, EvalError> {
        Ok(Self { resizer: Resizer::try_new(width, height).map_err(EvalError::Resize)? })
    }

    /// The mask of a picture, row by row in model pixels; of a defect outside `region` nothing is marked.
    pub fn read(&mut self, path: &Path, picture: &Picture, region: Region) -> Result<Vec<bool>, EvalError> {
        let mask = read_image(path)?;
        let sizes = [&mask, picture].map(|picture| (picture.width(), picture.height()));
        if sizes[0] != sizes[1] {
            return Err(EvalError::MaskSize { path: path.to_owned(), mask: sizes[0], picture: sizes[1] });
        }
        let failed = |source| EvalError::Pixels { path: PathBuf::from(path), source };
        let pixels = mask.view().map_err(failed)?;
        // A mask may be stored in colour; any of its channels marks.
        let channels = match pixels.format() {
            PixelFormat::Rgb8 => 3,
            PixelFormat::Mono8 => 1,
        };
        if !pixels.data().iter().any(|&level| level > MARKED_ABOVE) {
            return Err(EvalError::BlankMask { path: path.to_owned() });
        }
        let levels = self.resizer.resize(pixels, region.in_picture(&pixels)).map_err(failed)?;
        Ok(levels.chunks_exact(channels).map(|pixel| pixel.iter().any(|&level| level > MARKED_ABOVE)).collect())
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, RgbImage};

    use super::*;

    fn picture(side: u32) -> Picture {
        Picture::try_new(side, side, PixelFormat::Mono8, vec![0; (side * side) as usize]).unwrap()
    }

    fn read(mask: impl Fn(&Path), side: u32) -> Result<Vec<bool>, EvalError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0_mask.png");
        mask(&path);
        MaskReader::try_new(4, 4)?.read(&path, &picture(side), Region::WHOLE)
    }

    fn square(side: u32, from: u32, to: u32) -> GrayImage {
        GrayImage::from_fn(side, side, |x, y| {
            Luma([if (from..to).contains(&x) && (from..to).contains(&y) { 255 } else { 0 }])
        })
    }

    #[test]
    fn read_keeps_the_marked_area() {
        let mask = read(|path| square(16, 4, 12).save(path).unwrap(), 16).unwrap();
        let want: Vec<bool> = (0..16).map(|i| (1..3).contains(&(i % 4)) && (1..3).contains(&(i / 4))).collect();
        assert_eq!(mask, want);
    }

    #[test]
    fn read_takes_a_mask_stored_in_colour() {
        let mask = read(|path| RgbImage::from_pixel(8, 8, image::Rgb([255, 0, 0])).save(path).unwrap(), 8).unwrap();
        assert_eq!(mask, [true; 16]);
    }

    #[test]
    fn read_of_a_wrong_mask_names_it() {
        let size = read(|path| square(8, 0, 4).save(path).unwrap(), 16).unwrap_err();
        assert!(size.to_string().contains("0_mask.png has 8x8 px, its picture 16x16 px"), "{size}");
        let blank = read(|path| GrayImage::from_pixel(16, 16, Luma([1])).save(path).unwrap(), 16).unwrap_err();
        assert!(matches!(blank, EvalError::BlankMask { .. }), "{blank}");
        let missing = read(|_| {}, 16).unwrap_err();
        assert!(matches!(missing, EvalError::Picture(_)), "{missing}");
    }
}
