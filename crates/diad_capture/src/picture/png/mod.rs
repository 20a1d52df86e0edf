//! PNG: 8 or 16 bits, grey, palette or colour; see-through pixels are refused.
//!
//! A camera of 10, 12 or 14 bits fills only the lower ones of 16. A file with a chunk `sBIT` of so many bits is read as
//! those, unless a value lies above them: then it was scaled to 16 bits, as the standard asks for.

mod whole;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, InterlaceInfo, Limits, Reader, Transformations};
use diad_core::frame::PixelFormat;

use super::{Picture, PictureError, check_size, exif};
use crate::BufferPool;
pub use whole::PngFault;
use whole::{Header, Needed, Whole};

/// The first bytes of every PNG.
pub(crate) const START: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n'];

/// Bits that cameras have, for values of 16 that need no more.
const CAMERA_BITS: [u32; 4] = [8, 10, 12, 14];

/// What the decoder may take beside the pixels: a row or two.
const DECODER_BYTES: usize = 1 << 20;

/// Decodes a PNG. Grey becomes [`PixelFormat::Mono8`], colour [`PixelFormat::Rgb8`]; 16 bits are rounded to 8, fewer in 16
/// cut to their upper 8, as cameras do. What follows the last chunk is ignored.
///
/// Takes the picture and a few rows, and nothing like it before the file is known to contain exactly its pixels.
pub(crate) fn decode(bytes: &[u8], pool: &BufferPool) -> Result<Picture, PictureError> {
    let header = Header::read(bytes)?;
    check_size(header.width, header.height)?;
    let whole = whole::check(bytes, &header)?;
    let layout = Layout::of(&reader(&whole)?);
    let mut picture = Picture::blank(header.width, header.height, layout.format(), pool);
    if layout == (Layout { channels: layout.channels, kept: layout.channels, value_bytes: 1 }) {
        reader(&whole)?.next_frame(picture.bytes_mut())?;
    } else {
        let significant = whole.significant.and_then(|bits| significant_bits(bits, layout.kept));
        let depth = Depth::by_file(significant);
        let largest = read_rows(&whole, layout, depth, &mut picture)?;
        let found = Depth::of(significant, largest);
        if layout.value_bytes == 2 {
            picture.remarks.narrow_bits = found.suspected();
            if found.is_narrow() != depth.is_narrow() {
                read_rows(&whole, layout, found, &mut picture)?;
            }
        }
    }
    let turned = whole.exif.and_then(exif::orientation);
    picture.remarks.orientation = turned.filter(|orientation| *orientation != 1);
    Ok(picture)
}

fn reader<'a>(whole: &Whole<'a>) -> Result<Reader<Needed<'a>>, DecodingError> {
    let mut decoder = Decoder::new_with_limits(whole.needed(), Limits { bytes: DECODER_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.read_info()
}

/// How the decoder hands over a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Values of a pixel, alpha included.
    channels: usize,
    /// Those of them that are no alpha.
    kept: usize,
    /// Bytes of a value, 1 or 2.
    value_bytes: usize,
}

impl Layout {
    fn of(reader: &Reader<Needed<'_>>) -> Self {
        let (colours, depth) = reader.output_color_type();
        let (channels, kept) = match colours {
            ColorType::Grayscale | ColorType::Indexed => (1, 1),
            ColorType::GrayscaleAlpha => (2, 1),
            ColorType::Rgb => (3, 3),
            ColorType::Rgba => (4, 3),
        };
        Self { channels, kept, value_bytes: if depth == BitDepth::Sixteen { 2 } else { 1 } }
    }

    const fn format(self) -> PixelFormat {
        if self.kept == 1 { PixelFormat::Mono8 } else { PixelFormat::Rgb8 }
    }

    const fn pixel_bytes(self) -> usize {
        self.channels * self.value_bytes
    }
}

/// Writes the picture row by row, without alpha and in 8 bits; gives the largest value. A pixel that is not opaque has no
/// colour to judge.
fn read_rows(whole: &Whole<'_>, layout: Layout, depth: Depth, picture: &mut Picture) -> Result<u16, PictureError> {
    let mut reader = reader(whole)?;
    let row_bytes = picture.width as usize * layout.kept;
    let mut row = Vec::with_capacity(row_bytes);
    let (mut y, mut largest) = (0, 0);
    while let Some(stored) = reader.next_interlaced_row()? {
        row.clear();
        for pixel in stored.data().chunks_exact(layout.pixel_bytes()) {
            let (kept, alpha) = pixel.split_at(layout.kept * layout.value_bytes);
            if alpha.iter().any(|byte| *byte != 0xFF) {
                return Err(PictureError::SeeThrough);
            }
            if layout.value_bytes == 1 {
                row.extend_from_slice(kept);
                continue;
            }
            for value in kept.chunks_exact(2).map(|value| u16::from_be_bytes([value[0], value[1]])) {
                largest = largest.max(value);
                row.push(depth.to_8_bits(value));
            }
        }
        match stored.interlace() {
            InterlaceInfo::Null(_) => {
                let to = picture.bytes_mut().chunks_exact_mut(row_bytes).nth(y);
                // The reader gives as many rows as the picture has.
                to.ok_or(PngFault::Header)?.copy_from_slice(&row);
                y += 1;
            }
            InterlaceInfo::Adam7(pass) => {
                let bits = if layout.kept == 1 { 8 } else { 24 };
                ::png::expand_interlaced_row(picture.bytes_mut(), row_bytes, &row, pass, bits);
            }
        }
    }
    Ok(largest)
}

/// The most bits of any channel that is kept, by the chunk `sBIT`.
fn significant_bits(chunk: &[u8], kept: usize) -> Option<u32> {
    let bits = chunk.get(..kept)?.iter().copied().max()?;
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
    /// `significant` is what the file names, if it names any.
    fn of(significant: Option<u32>, largest: u16) -> Self {
        let fits = |bits: u32| u32::from(largest) < 1 << bits;
        match significant {
            Some(bits) if bits < 16 && fits(bits) => Self::Narrow(bits),
            Some(_) => Self::Whole,
            None => CAMERA_BITS.into_iter().find(|bits| fits(*bits)).map_or(Self::Whole, Self::Suspected),
        }
    }

    /// Before any value is known.
    const fn by_file(significant: Option<u32>) -> Self {
        match significant {
            Some(bits) if bits < 16 => Self::Narrow(bits),
            _ => Self::Whole,
        }
    }

    const fn is_narrow(self) -> bool {
        matches!(self, Self::Narrow(_))
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
