//! PNG: 8 or 16 bits, grey, palette or colour; see-through pixels are refused.
//!
//! A camera of 10, 12 or 14 bits fills only the lower ones of 16. A file that says so in its chunk `sBIT` is read as those
//! bits, unless a value lies above them: then somebody has scaled it to 16 bits, as the standard asks for.

use std::io::Cursor;

use diad_core::frame::PixelFormat;
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, Limits};

use super::{MAX_PIXELS, Picture, PictureError, check_size, exif};
use crate::BufferPool;

/// The first bytes of every PNG.
pub(crate) const START: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n'];

/// The last chunk of every PNG, with its length and checksum.
const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82];

/// Bits that cameras have, for values of 16 that need no more.
const CAMERA_BITS: [u32; 4] = [8, 10, 12, 14];

/// Decodes a PNG. Grey becomes [`PixelFormat::Mono8`], colour [`PixelFormat::Rgb8`]; 16 bits are rounded to 8, fewer in 16
/// cut to their upper 8, as cameras do.
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
            let kept = channels - usize::from(colours.has_alpha());
            let values = || stored.chunks_exact(2).map(|v| u16::from_ne_bytes([v[0], v[1]]));
            let largest = values().enumerate().filter(|(i, _)| i % channels < kept).map(|(_, v)| v).max();
            let depth = Depth::of(significant_bits(bytes, kept), largest.unwrap_or(u16::MAX));
            picture.remarks.narrow_bits = depth.suspected();
            let levels = values().map(|value| depth.to_8_bits(value));
            let clear = stored.chunks_exact(2 * channels).any(|pixel| pixel[2 * channels - 2..] != [0xFF, 0xFF]);
            without_alpha(levels, clear, channels, colours.has_alpha(), &mut picture)?;
        } else {
            let clear = stored.chunks_exact(channels).any(|pixel| pixel[channels - 1] != 0xFF);
            without_alpha(stored.iter().copied(), clear, channels, colours.has_alpha(), &mut picture)?;
        }
    }
    let turned = chunk(bytes, *b"eXIf").and_then(exif::orientation);
    picture.remarks.orientation = turned.filter(|orientation| *orientation != 1);
    // The decoder stops at the last pixel; a file cut behind it was still not written to its end.
    if bytes.windows(END.len()).rev().any(|window| window == END) { Ok(picture) } else { Err(PictureError::PngCut) }
}

/// Width and height out of the first chunk, before anything is allocated by size.
fn header(bytes: &[u8]) -> Option<(u32, u32)> {
    let field = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if bytes.get(12..16)? != b"IHDR" { None } else { Some((field(16)?, field(20)?)) }
}

/// The first chunk of this name.
fn chunk(bytes: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    let mut at = START.len();
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let body = at + 8;
        if bytes.get(at + 4..body)? == name {
            return bytes.get(body..body.checked_add(length)?);
        }
        // Behind it is its checksum.
        at = body.checked_add(length)?.checked_add(4)?;
    }
}

/// What the chunk `sBIT` says of the channels that are kept: the most bits of any of them.
fn significant_bits(bytes: &[u8], kept: usize) -> Option<u32> {
    let bits = chunk(bytes, *b"sBIT")?.get(..kept)?.iter().copied().max()?;
    (1..=16).contains(&bits).then_some(bits.into())
}

/// What the values of a picture of 16 bits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// All 16 bits are used.
    Whole,
    /// The same by the file; but no value needs more than these.
    Suspected(u32),
    /// These bits, not scaled.
    Narrow(u32),
}

impl Depth {
    /// `significant` is what the file says, if it says anything.
    fn of(significant: Option<u32>, largest: u16) -> Self {
        let fits = |bits: u32| u32::from(largest) < 1 << bits;
        match significant {
            Some(bits) if bits < 16 && fits(bits) => Self::Narrow(bits),
            Some(_) => Self::Whole,
            None => CAMERA_BITS.into_iter().find(|bits| fits(*bits)).map_or(Self::Whole, Self::Suspected),
        }
    }

    const fn suspected(self) -> Option<u32> {
        match self {
            Self::Suspected(bits) => Some(bits),
            Self::Whole | Self::Narrow(_) => None,
        }
    }

    /// One of 256 levels: the nearest to `v · 255 / 65535`, or the upper eight of fewer bits.
    fn to_8_bits(self, value: u16) -> u8 {
        let value = u32::from(value);
        let level = match self {
            Self::Whole | Self::Suspected(_) => (value + 128) / 257,
            Self::Narrow(bits @ 8..) => value >> (bits - 8),
            Self::Narrow(bits) => value * 255 / ((1 << bits) - 1),
        };
        u8::try_from(level).unwrap_or(u8::MAX)
    }
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
