//! From the bytes a camera sends to pixels.

use std::fmt;

use diad_core::frame::PixelFormat;
use nokhwa::utils::FrameFormat;
use v4l::FourCC;

use super::bayer::{Pattern, demosaic};
use crate::picture::{check_size, decode_jpeg};
use crate::{BufferPool, Picture, PictureError};

/// How a camera sends its pictures, by the driver's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WireFormat {
    /// Red, green, blue; 3 bytes a pixel.
    Rgb3,
    /// Blue, green, red; 3 bytes a pixel.
    Bgr3,
    /// Y U Y V: colour for every second pixel; 2 bytes a pixel.
    Yuyv,
    /// A plane of Y, then one of U V for every four pixels; 1.5 bytes a pixel.
    Nv12,
    /// A JPEG for each picture: lossy.
    Mjpg,
    /// U Y V Y: as `Yuyv` in another order.
    Uyvy,
    /// Grey; 1 byte a pixel.
    Grey,
    /// Grey of 10 bits in 2 bytes, the lower byte first.
    Y10,
    /// Grey of 12 bits in 2 bytes.
    Y12,
    /// Grey of 16 bits.
    Y16,
    /// One colour a pixel, lines of red and green first; 1 byte.
    Rggb,
    /// Green and red first.
    Grbg,
    /// Green and blue first.
    Gbrg,
    /// Blue and green first.
    Ba81,
    /// As `Rggb`, with 10 bits in 2 bytes.
    Rg10,
    /// As `Grbg`, with 10 bits in 2 bytes.
    Ba10,
    /// As `Gbrg`, with 10 bits in 2 bytes.
    Gb10,
    /// As `Ba81`, with 10 bits in 2 bytes.
    Bg10,
}

/// How the bytes of a format become levels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Rgb,
    Bgr,
    /// Places of Y, U and V in four bytes: the first Y, U, V.
    Packed(usize, usize, usize),
    Planar,
    Jpeg,
    /// Grey or one colour a pixel, of so many bits.
    Single(u32, Option<Pattern>),
}

impl WireFormat {
    /// Every format, in the order in which a camera is asked for them where the settings name none. Colour comes first and new
    /// ones come last: a camera keeps the format that it had before there were more.
    pub const ALL: [Self; 18] = [
        Self::Rgb3,
        Self::Bgr3,
        Self::Yuyv,
        Self::Nv12,
        Self::Mjpg,
        Self::Uyvy,
        Self::Y16,
        Self::Y12,
        Self::Y10,
        Self::Grey,
        Self::Rg10,
        Self::Ba10,
        Self::Gb10,
        Self::Bg10,
        Self::Rggb,
        Self::Grbg,
        Self::Gbrg,
        Self::Ba81,
    ];

    /// The driver's name: a four-character code, without blanks at its end.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rgb3 => "RGB3",
            Self::Bgr3 => "BGR3",
            Self::Yuyv => "YUYV",
            Self::Nv12 => "NV12",
            Self::Mjpg => "MJPG",
            Self::Uyvy => "UYVY",
            Self::Grey => "GREY",
            Self::Y10 => "Y10",
            Self::Y12 => "Y12",
            Self::Y16 => "Y16",
            Self::Rggb => "RGGB",
            Self::Grbg => "GRBG",
            Self::Gbrg => "GBRG",
            Self::Ba81 => "BA81",
            Self::Rg10 => "RG10",
            Self::Ba10 => "BA10",
            Self::Gb10 => "GB10",
            Self::Bg10 => "BG10",
        }
    }

    const fn layout(self) -> Layout {
        match self {
            Self::Rgb3 => Layout::Rgb,
            Self::Bgr3 => Layout::Bgr,
            Self::Yuyv => Layout::Packed(0, 1, 3),
            Self::Uyvy => Layout::Packed(1, 0, 2),
            Self::Nv12 => Layout::Planar,
            Self::Mjpg => Layout::Jpeg,
            Self::Grey => Layout::Single(8, None),
            Self::Y10 => Layout::Single(10, None),
            Self::Y12 => Layout::Single(12, None),
            Self::Y16 => Layout::Single(16, None),
            Self::Rggb => Layout::Single(8, Some(Pattern::Rggb)),
            Self::Grbg => Layout::Single(8, Some(Pattern::Grbg)),
            Self::Gbrg => Layout::Single(8, Some(Pattern::Gbrg)),
            Self::Ba81 => Layout::Single(8, Some(Pattern::Bggr)),
            Self::Rg10 => Layout::Single(10, Some(Pattern::Rggb)),
            Self::Ba10 => Layout::Single(10, Some(Pattern::Grbg)),
            Self::Gb10 => Layout::Single(10, Some(Pattern::Gbrg)),
            Self::Bg10 => Layout::Single(10, Some(Pattern::Bggr)),
        }
    }

    /// The format with this [`name`](Self::name), if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    pub(super) fn four_cc(self) -> FourCC {
        let mut code = [b' '; 4];
        for (byte, character) in code.iter_mut().zip(self.name().bytes()) {
            *byte = character;
        }
        FourCC::new(&code)
    }

    /// Bytes of a line (of the first plane) without padding; `None` where pictures have no lines.
    pub(super) fn line_bytes(self, width: u32) -> Option<u64> {
        let width = u64::from(width);
        match self.layout() {
            Layout::Rgb | Layout::Bgr => Some(width * 3),
            Layout::Packed(..) => Some(width.next_multiple_of(2) * 2),
            Layout::Planar | Layout::Single(8, _) => Some(width),
            Layout::Single(..) => Some(width * 2),
            Layout::Jpeg => None,
        }
    }

    /// Levels that a driver means where it names none: those of the kernel's documentation.
    pub(super) const fn default_levels(self) -> Levels {
        match self.layout() {
            Layout::Packed(..) | Layout::Planar => Levels::Limited,
            _ => Levels::Full,
        }
    }

    /// What nokhwa calls it; none where it does not know it.
    pub(super) const fn to_nokhwa(self) -> Option<FrameFormat> {
        match self {
            Self::Rgb3 => Some(FrameFormat::RAWRGB),
            Self::Bgr3 => Some(FrameFormat::RAWBGR),
            Self::Yuyv => Some(FrameFormat::YUYV),
            Self::Nv12 => Some(FrameFormat::NV12),
            Self::Mjpg => Some(FrameFormat::MJPEG),
            _ => None,
        }
    }

    /// `GRAY` is left out: nokhwa spells it otherwise than the kernel does, so no camera ever offers it.
    pub(super) const fn from_nokhwa(format: FrameFormat) -> Option<Self> {
        match format {
            FrameFormat::RAWRGB => Some(Self::Rgb3),
            FrameFormat::RAWBGR => Some(Self::Bgr3),
            FrameFormat::YUYV => Some(Self::Yuyv),
            FrameFormat::NV12 => Some(Self::Nv12),
            FrameFormat::MJPEG => Some(Self::Mjpg),
            FrameFormat::GRAY => None,
        }
    }
}

/// Which numbers stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Levels {
    /// 0 and the largest number.
    Full,
    /// 16 and 235 of 255; colour differences 16 to 240.
    Limited,
}

impl fmt::Display for WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Drivers round buffers up to whole memory pages; more than that are padded lines.
const PAGE_BYTES: usize = 4096;

/// Turns a buffer of the agreed format and size into pixels, in the levels that the format has by default. Grey pictures
/// become `Mono8`, all else `Rgb8`; more than 8 bits are rounded to the nearest of 256 levels.
///
/// # Errors
/// [`PictureError`]: the buffer is not such a picture.
pub fn to_picture(
    format: WireFormat,
    size: (u32, u32),
    bytes: &[u8],
    pool: &BufferPool,
) -> Result<Picture, PictureError> {
    convert(format, format.default_levels(), size, bytes, pool)
}

/// [`to_picture`] in the levels that the driver names.
pub(super) fn convert(
    format: WireFormat,
    levels: Levels,
    (width, height): (u32, u32),
    bytes: &[u8],
    pool: &BufferPool,
) -> Result<Picture, PictureError> {
    let layout = format.layout();
    if layout == Layout::Jpeg {
        let picture = decode_jpeg(bytes, pool)?;
        let (got_width, got_height) = (picture.width(), picture.height());
        if (got_width, got_height) != (width, height) {
            return Err(PictureError::OtherSize { width, height, got_width, got_height });
        }
        return Ok(picture);
    }
    check_size(width, height)?;
    let (columns, rows) = (width as usize, height as usize);
    let line = format.line_bytes(width).unwrap_or_default() as usize;
    let chroma = if layout == Layout::Planar { columns.next_multiple_of(2) * rows.div_ceil(2) } else { 0 };
    let (want, got) = (line * rows + chroma, bytes.len());
    if got < want {
        return Err(PictureError::Short { width, height, format, want, got });
    }
    if got >= want + PAGE_BYTES {
        return Err(PictureError::Padded { width, height, format, want, got });
    }
    let bytes = &bytes[..want];
    let kind = if matches!(layout, Layout::Single(_, None)) { PixelFormat::Mono8 } else { PixelFormat::Rgb8 };
    let mut picture = Picture::blank(width, height, kind, pool);
    let out = picture.bytes_mut();
    match layout {
        Layout::Rgb => out.copy_from_slice(bytes),
        Layout::Bgr => {
            for (rgb, bgr) in out.chunks_exact_mut(3).zip(bytes.chunks_exact(3)) {
                rgb.copy_from_slice(&[bgr[2], bgr[1], bgr[0]]);
            }
        }
        Layout::Packed(y, u, v) => packed(bytes, columns, (y, u, v), levels, out),
        Layout::Planar | Layout::Jpeg => planar(bytes, columns, rows, levels, out),
        Layout::Single(bits, None) => narrow(format, bits, bytes, out)?,
        Layout::Single(bits, Some(pattern)) => {
            let mut single = vec![0; columns * rows];
            narrow(format, bits, bytes, &mut single)?;
            demosaic(&single, columns, pattern, out);
        }
    }
    if levels == Levels::Limited && matches!(layout, Layout::Rgb | Layout::Bgr | Layout::Single(..)) {
        widen(out);
    }
    Ok(picture)
}

/// Four bytes for two pixels.
fn packed(bytes: &[u8], columns: usize, (y, u, v): (usize, usize, usize), levels: Levels, out: &mut [u8]) {
    let lines = bytes.chunks_exact(columns.next_multiple_of(2) * 2);
    for (rgb, line) in out.chunks_exact_mut(columns * 3).zip(lines) {
        for (pair, four) in rgb.chunks_mut(6).zip(line.chunks_exact(4)) {
            for (pixel, luma) in pair.chunks_exact_mut(3).zip([four[y], four[y + 2]]) {
                pixel.copy_from_slice(&rgb_from_yuv(levels, luma, four[u], four[v]));
            }
        }
    }
}

/// A plane of Y and one of U and V.
fn planar(bytes: &[u8], columns: usize, rows: usize, levels: Levels, out: &mut [u8]) {
    let (luma, chroma) = bytes.split_at(columns * rows);
    let colour_lines = chroma.chunks_exact(columns.next_multiple_of(2)).flat_map(|line| [line, line]);
    let lines = luma.chunks_exact(columns).zip(colour_lines);
    for (rgb, (ys, uvs)) in out.chunks_exact_mut(columns * 3).zip(lines) {
        for ((pair, y), uv) in rgb.chunks_mut(6).zip(ys.chunks(2)).zip(uvs.chunks_exact(2)) {
            for (pixel, y) in pair.chunks_exact_mut(3).zip(y) {
                pixel.copy_from_slice(&rgb_from_yuv(levels, *y, uv[0], uv[1]));
            }
        }
    }
}

/// Numbers of so many bits as levels of 8 bits, rounded to nearest. A number with more bits is refused: the camera puts them
/// elsewhere in its two bytes, and everything would be too bright or too dark.
fn narrow(format: WireFormat, bits: u32, bytes: &[u8], out: &mut [u8]) -> Result<(), PictureError> {
    if bits == 8 {
        out.copy_from_slice(bytes);
        return Ok(());
    }
    let most = (1_u32 << bits) - 1;
    for (level, two) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let value = u32::from(u16::from_le_bytes([two[0], two[1]]));
        if value > most {
            return Err(PictureError::Depth { format, value, most });
        }
        *level = u8::try_from((value * 255 + most / 2) / most).unwrap_or(u8::MAX);
    }
    Ok(())
}

/// Limited levels as full ones.
fn widen(out: &mut [u8]) {
    for level in out {
        *level = rgb_from_yuv(Levels::Limited, *level, 128, 128)[0];
    }
}

/// ITU-R BT.601, which is what USB cameras send; rounded to nearest.
fn rgb_from_yuv(levels: Levels, y: u8, u: u8, v: u8) -> [u8; 3] {
    // Factors times 65536: limited 255/219, and 255/224 times 2 · (1 − Kr), 2 · (1 − Kb) and their shares in green; full
    // 1, and the same without 255/224.
    let (black, luma, red, green_u, green_v, blue) = match levels {
        Levels::Limited => (16, 76_309, 104_597, 25_675, 53_279, 132_201),
        Levels::Full => (0, 65_536, 91_881, 22_554, 46_802, 116_130),
    };
    let y = (i32::from(y) - black) * luma + 32_768;
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [y + red * v, y - green_u * u - green_v * v, y + blue * u]
        .map(|level| u8::try_from((level >> 16).clamp(0, 255)).unwrap_or_default())
}
