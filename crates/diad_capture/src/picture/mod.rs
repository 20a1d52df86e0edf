//! Pictures, and the one way from a file to pixels.

mod exif;
mod jpeg;
mod png;
mod remarks;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use diad_core::frame::{FrameError, MAX_SIDE_PX, PixelFormat, PixelsView};

pub use jpeg::JpegFault;
pub(crate) use jpeg::decode as decode_jpeg;
pub use png::PngFault;
pub use remarks::Remarks;

use crate::{BufferPool, CaptureError, PooledPixels, WireFormat};

/// Most pixels a picture may have, 64 Mi: with [`MAX_SIDE_PX`] it bounds what one file can cost.
pub const MAX_PIXELS: u64 = 64 << 20;

/// Largest picture file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// Pixels in a pooled buffer: rows from top to bottom, no padding.
#[derive(Debug)]
pub struct Picture {
    pixels: PooledPixels,
    width: u32,
    height: u32,
    format: PixelFormat,
    remarks: Remarks,
}

impl Picture {
    /// Takes pixels that are already there.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes do not make up such a picture.
    pub fn try_new(width: u32, height: u32, format: PixelFormat, bytes: Vec<u8>) -> Result<Self, FrameError> {
        PixelsView::try_new(width, height, format, &bytes)?;
        Ok(Self { pixels: bytes.into(), width, height, format, remarks: Remarks::default() })
    }

    /// A picture to be written whole. The size must have been checked.
    pub(crate) fn blank(width: u32, height: u32, format: PixelFormat, pool: &BufferPool) -> Self {
        let bytes = width as usize * height as usize * format.bytes_per_pixel();
        Self { pixels: pool.take(bytes), width, height, format, remarks: Remarks::default() }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.pixels.bytes_mut()
    }

    /// Width, in pixels.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height, in pixels.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Pixel layout.
    #[must_use]
    pub const fn format(&self) -> PixelFormat {
        self.format
    }

    /// What a person should know of it.
    #[must_use]
    pub const fn remarks(&self) -> Remarks {
        self.remarks
    }

    /// The pixels, checked.
    ///
    /// # Errors
    /// [`FrameError`] if the buffer is not what the picture says it is.
    pub fn view(&self) -> Result<PixelsView<'_>, FrameError> {
        PixelsView::try_new(self.width, self.height, self.format, &self.pixels)
    }
}

/// Why there are no pixels to judge.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file could not be read.
    #[error("read the file; check that it exists and may be read")]
    Read(#[source] std::io::Error),
    /// A folder, pipe or device in place of a file.
    #[error("not a regular file")]
    NotAFile,
    /// A file of zero bytes.
    #[error("the file is empty; it was never written to its end")]
    Empty,
    /// A file that is too large to be a picture of a part.
    #[error("the file has {bytes} bytes; at most {MAX_FILE_BYTES} are read")]
    FileSize {
        /// Bytes it has.
        bytes: u64,
    },
    /// Neither PNG nor JPEG, whatever the name says.
    #[error("neither PNG nor JPEG, whatever its name says; convert it to one of them")]
    Unknown,
    /// A side of zero pixels, or too long.
    #[error("the picture's size is not usable")]
    Size(#[source] FrameError),
    /// Too many pixels in all.
    #[error("picture of {width}x{height} px; at most {MAX_PIXELS} px are decoded; crop it or scale it down")]
    Pixels {
        /// Width, in pixels.
        width: u32,
        /// Height, in pixels.
        height: u32,
    },
    /// The JPEG is not whole, or of a kind that is not read.
    #[error("check the JPEG")]
    JpegFault(#[from] JpegFault),
    /// The JPEG could not be decoded.
    #[error("decode the JPEG")]
    Jpeg(#[source] zune_jpeg::errors::DecodeErrors),
    /// The PNG is not whole, or contradicts itself.
    #[error("check the PNG")]
    PngFault(#[from] PngFault),
    /// The PNG could not be decoded.
    #[error("decode the PNG")]
    Png(#[from] ::png::DecodingError),
    /// Some pixels are not opaque: they have no colour of their own.
    #[error("the PNG is see-through in places; save it without transparency")]
    SeeThrough,
    /// The driver marks the picture: data was lost between camera and memory.
    #[error("the driver says that the picture is damaged; check cable, hub and bandwidth")]
    Damaged,
    /// A camera buffer holds fewer bytes than the picture takes.
    #[error("{width}x{height} px {format} take {want} bytes, the camera gave {got}")]
    Short {
        /// Width, in pixels.
        width: u32,
        /// Height, in pixels.
        height: u32,
        /// Format on the wire.
        format: WireFormat,
        /// Bytes the picture takes.
        want: usize,
        /// Bytes there were.
        got: usize,
    },
    /// A camera buffer holds so many bytes that its lines must be padded, and nobody says by how much.
    #[error(
        "{width}x{height} px {format} take {want} bytes, the camera gave {got}: its lines are padded; use another size or format"
    )]
    Padded {
        /// Width, in pixels.
        width: u32,
        /// Height, in pixels.
        height: u32,
        /// Format on the wire.
        format: WireFormat,
        /// Bytes the picture takes.
        want: usize,
        /// Bytes there were.
        got: usize,
    },
    /// A pixel has more bits than the format.
    #[error(
        "a pixel of {format} is {value}, at most {most} is possible: the camera does not put its bits where the format has them; \
         use another format"
    )]
    Depth {
        /// Format on the wire.
        format: WireFormat,
        /// The pixel.
        value: u32,
        /// The largest number that the format has.
        most: u32,
    },
    /// The camera sent a picture of another size than agreed.
    #[error("the camera sent {got_width}x{got_height} px instead of {width}x{height} px")]
    OtherSize {
        /// Width agreed, in pixels.
        width: u32,
        /// Height agreed, in pixels.
        height: u32,
        /// Width sent, in pixels.
        got_width: u32,
        /// Height sent, in pixels.
        got_height: u32,
    },
}

/// Reads one PNG or JPEG file: the pixels that replay would hand over for it. Told apart by content, not by name.
/// EXIF orientation, gamma and colour profiles are not applied. What is [remarkable](Picture::remarks) is in the log, once
/// a folder.
///
/// # Errors
/// [`CaptureError::Frame`] naming the file and what is wrong with it.
pub fn read_image(path: &Path) -> Result<Picture, CaptureError> {
    read_into(path, &mut Vec::new(), &BufferPool::new(1))
}

/// [`read_image`] with buffers that are used again: `file` for the bytes of the file, `pool` for the pixels.
pub(crate) fn read_into(path: &Path, file: &mut Vec<u8>, pool: &BufferPool) -> Result<Picture, CaptureError> {
    let picture = load(path, file)
        .and_then(|()| decode(file, pool))
        .map_err(|source| CaptureError::Frame { origin: Arc::from(path.to_string_lossy()), source })?;
    picture.remarks.log(path);
    Ok(picture)
}

fn load(path: &Path, file: &mut Vec<u8>) -> Result<(), PictureError> {
    file.clear();
    // Asked before opening: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(PictureError::Read)?.is_file() {
        return Err(PictureError::NotAFile);
    }
    let opened = File::open(path).map_err(PictureError::Read)?;
    let bytes = opened.metadata().map_err(PictureError::Read)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(PictureError::FileSize { bytes });
    }
    // The limit holds for a file that is still growing, too.
    opened.take(MAX_FILE_BYTES).read_to_end(file).map_err(PictureError::Read)?;
    Ok(())
}

fn decode(file: &[u8], pool: &BufferPool) -> Result<Picture, PictureError> {
    if file.is_empty() {
        Err(PictureError::Empty)
    } else if file.starts_with(&png::START) {
        png::decode(file, pool)
    } else if file.starts_with(&jpeg::START) {
        let mut picture = jpeg::decode(file, pool)?;
        picture.remarks.orientation = exif::of_jpeg(file).filter(|orientation| *orientation != 1);
        Ok(picture)
    } else {
        Err(PictureError::Unknown)
    }
}

/// Refuses sizes that are no part's, before memory is asked for.
pub(crate) fn check_size(width: u32, height: u32) -> Result<(), PictureError> {
    if width == 0 || height == 0 || width > MAX_SIDE_PX || height > MAX_SIDE_PX {
        return Err(PictureError::Size(FrameError::Size { width, height }));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::Pixels { width, height });
    }
    Ok(())
}
