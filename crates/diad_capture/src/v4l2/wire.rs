//! From the bytes a camera sends to pixels.

use std::fmt;

use diad_core::frame::PixelFormat;
use nokhwa::utils::FrameFormat;
use v4l::FourCC;

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
}

impl WireFormat {
    /// Every format, the ones that lose least first.
    pub const ALL: [Self; 5] = [Self::Rgb3, Self::Bgr3, Self::Yuyv, Self::Nv12, Self::Mjpg];

    /// The driver's name: a four-character code.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rgb3 => "RGB3",
            Self::Bgr3 => "BGR3",
            Self::Yuyv => "YUYV",
            Self::Nv12 => "NV12",
            Self::Mjpg => "MJPG",
        }
    }

    /// The format with this [`name`](Self::name), if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    pub(super) fn four_cc(self) -> FourCC {
        let mut code = [0; 4];
        code.copy_from_slice(self.name().as_bytes());
        FourCC::new(&code)
    }

    /// Bytes of a line (of the first plane) without padding; `None` where pictures have no lines.
    pub(super) fn line_bytes(self, width: u32) -> Option<u64> {
        let width = u64::from(width);
        match self {
            Self::Rgb3 | Self::Bgr3 => Some(width * 3),
            Self::Yuyv => Some(width.next_multiple_of(2) * 2),
            Self::Nv12 => Some(width),
            Self::Mjpg => None,
        }
    }

    pub(super) const fn to_nokhwa(self) -> FrameFormat {
        match self {
            Self::Rgb3 => FrameFormat::RAWRGB,
            Self::Bgr3 => FrameFormat::RAWBGR,
            Self::Yuyv => FrameFormat::YUYV,
            Self::Nv12 => FrameFormat::NV12,
            Self::Mjpg => FrameFormat::MJPEG,
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

impl fmt::Display for WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Drivers round buffers up to whole memory pages; more than that are padded lines.
const PAGE_BYTES: usize = 4096;

/// Turns a buffer of the agreed format and size into pixels. Grey JPEGs become `Mono8`, all else `Rgb8`.
///
/// # Errors
/// [`PictureError`]: the buffer is not such a picture.
pub fn to_picture(
    format: WireFormat,
    (width, height): (u32, u32),
    bytes: &[u8],
    pool: &BufferPool,
) -> Result<Picture, PictureError> {
    if format == WireFormat::Mjpg {
        let picture = decode_jpeg(bytes, pool)?;
        let (got_width, got_height) = (picture.width(), picture.height());
        if (got_width, got_height) != (width, height) {
            return Err(PictureError::OtherSize { width, height, got_width, got_height });
        }
        return Ok(picture);
    }
    check_size(width, height)?;
    let (columns, rows) = (width as usize, height as usize);
    let want = match format {
        WireFormat::Rgb3 | WireFormat::Bgr3 => columns * rows * 3,
        WireFormat::Yuyv => columns.next_multiple_of(2) * rows * 2,
        WireFormat::Nv12 | WireFormat::Mjpg => columns * rows + columns.next_multiple_of(2) * rows.div_ceil(2),
    };
    let got = bytes.len();
    if got < want {
        return Err(PictureError::Short { width, height, format, want, got });
    }
    if got >= want + PAGE_BYTES {
        return Err(PictureError::Padded { width, height, format, want, got });
    }
    let mut picture = Picture::blank(width, height, PixelFormat::Rgb8, pool);
    let out = picture.bytes_mut();
    match format {
        WireFormat::Rgb3 => out.copy_from_slice(&bytes[..want]),
        WireFormat::Bgr3 => {
            for (rgb, bgr) in out.chunks_exact_mut(3).zip(bytes.chunks_exact(3)) {
                rgb.copy_from_slice(&[bgr[2], bgr[1], bgr[0]]);
            }
        }
        WireFormat::Yuyv => {
            let lines = bytes.chunks_exact(columns.next_multiple_of(2) * 2);
            for (rgb, yuyv) in out.chunks_exact_mut(columns * 3).zip(lines) {
                for (pair, four) in rgb.chunks_mut(6).zip(yuyv.chunks_exact(4)) {
                    for (pixel, y) in pair.chunks_exact_mut(3).zip([four[0], four[2]]) {
                        pixel.copy_from_slice(&rgb_from_yuv(y, four[1], four[3]));
                    }
                }
            }
        }
        WireFormat::Nv12 | WireFormat::Mjpg => {
            let (luma, chroma) = bytes.split_at(columns * rows);
            let colour_lines = chroma.chunks_exact(columns.next_multiple_of(2)).flat_map(|line| [line, line]);
            let lines = luma.chunks_exact(columns).zip(colour_lines);
            for (rgb, (ys, uvs)) in out.chunks_exact_mut(columns * 3).zip(lines) {
                for ((pair, y), uv) in rgb.chunks_mut(6).zip(ys.chunks(2)).zip(uvs.chunks_exact(2)) {
                    for (pixel, y) in pair.chunks_exact_mut(3).zip(y) {
                        pixel.copy_from_slice(&rgb_from_yuv(*y, uv[0], uv[1]));
                    }
                }
            }
        }
    }
    Ok(picture)
}

/// ITU-R BT.601, limited range (Y 16 to 235, U and V 16 to 240), which is what USB cameras send; rounded to nearest.
fn rgb_from_yuv(y: u8, u: u8, v: u8) -> [u8; 3] {
    // Factors times 65536: 255/219, and 255/224 times 2 · (1 − Kr), 2 · (1 − Kb) and their shares in green.
    let y = (i32::from(y) - 16) * 76_309 + 32_768;
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [y + 104_597 * v, y - 25_675 * u - 53_279 * v, y + 132_201 * u]
        .map(|level| u8::try_from((level >> 16).clamp(0, 255)).unwrap_or_default())
}
