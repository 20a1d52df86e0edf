//! PNG: 8 or 16 bits, grey, palette or colour; see-through pixels are refused.

use std::io::Cursor;

use diad_core::frame::PixelFormat;
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, Limits};

use super::{MAX_PIXELS, Picture, PictureError, check_size};
use crate::BufferPool;

/// The first bytes of every PNG.
pub(crate) const START: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n'];

/// The last chunk of every PNG, with its length and checksum.
const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82];

/// Decodes a PNG. Grey becomes [`PixelFormat::Mono8`], colour [`PixelFormat::Rgb8`]; 16 bits are rounded to 8.
pub(crate) fn decode(bytes: &[u8], pool: &BufferPool) -> Result<Picture, PictureError> {
    let (width, height) = header(bytes).ok_or(PictureError::PngCut)?;
    check_size(width, height)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(8 * MAX_PIXELS + (64 << 20));
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(PictureError::Png)?;
    let colours = decoder.color_type();
    let format = if colours.has_color() { PixelFormat::Rgb8 } else { PixelFormat::Mono8 };
    let mut picture = Picture::blank(width, height, format, pool);
    if matches!(colours, ColorType::L8 | ColorType::Rgb8) {
        decoder.read_image(picture.bytes_mut()).map_err(PictureError::Png)?;
    } else {
        let wide = usize::from(colours.bytes_per_pixel() / colours.channel_count()) == 2;
        let mut stored = pool.take(width as usize * height as usize * usize::from(colours.bytes_per_pixel()));
        decoder.read_image(stored.bytes_mut()).map_err(PictureError::Png)?;
        let channels = usize::from(colours.channel_count());
        if wide {
            let levels = stored.chunks_exact(2).map(|v| to_8_bits(u16::from_ne_bytes([v[0], v[1]])));
            let clear = stored.chunks_exact(2 * channels).any(|pixel| pixel[2 * channels - 2..] != [0xFF, 0xFF]);
            without_alpha(levels, clear, channels, colours.has_alpha(), &mut picture)?;
        } else {
            let clear = stored.chunks_exact(channels).any(|pixel| pixel[channels - 1] != 0xFF);
            without_alpha(stored.iter().copied(), clear, channels, colours.has_alpha(), &mut picture)?;
        }
    }
    // The decoder stops at the last pixel; a file cut behind it was still not written to its end.
    if bytes.windows(END.len()).rev().any(|window| window == END) { Ok(picture) } else { Err(PictureError::PngCut) }
}

/// Width and height out of the first chunk, before anything is allocated by size.
fn header(bytes: &[u8]) -> Option<(u32, u32)> {
    let field = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if bytes.get(12..16)? != b"IHDR" { None } else { Some((field(16)?, field(20)?)) }
}

/// The nearest of 256 levels: `v · 255 / 65535`, rounded.
fn to_8_bits(level: u16) -> u8 {
    u8::try_from((u32::from(level) + 128) / 257).unwrap_or(u8::MAX)
}

/// Writes the levels into the picture, leaving alpha out; a pixel that is not opaque has no colour to judge.
fn without_alpha(
    levels: impl Iterator<Item = u8>,
    clear: bool,
    channels: usize,
    has_alpha: bool,
    picture: &mut Picture,
) -> Result<(), PictureError> {
    if has_alpha && clear {
        return Err(PictureError::SeeThrough);
    }
    let kept = channels - usize::from(has_alpha);
    let wanted = levels.enumerate().filter(|(i, _)| i % channels < kept);
    for (to, (_, level)) in picture.bytes_mut().iter_mut().zip(wanted) {
        *to = level;
    }
    Ok(())
}
