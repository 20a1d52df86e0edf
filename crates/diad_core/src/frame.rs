//! What a camera hands over: pixels, and the stamps and names that travel with them unchanged.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::name::{CameraId, PartId, ProductName};

/// Names one part within one run of one station: `(camera, seq)`. Line, station and run are the process's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartKey {
    /// The camera that saw the part.
    pub camera: CameraId,
    /// Counts from 1 without a gap, per camera and run.
    pub seq: u64,
}

impl fmt::Display for PartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.camera, self.seq)
    }
}

/// One moment on both clocks: wall time for people, monotonic time for deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Wall clock; may step.
    pub wall: SystemTime,
    /// Monotonic clock; never steps.
    pub mono: Instant,
}

/// What is known of a part from its trigger on. Carried to the verdict unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartMeta {
    /// The part's name for ever.
    pub key: PartKey,
    /// The plant's own mark, if a trigger gave one.
    pub part: Option<PartId>,
    /// The product class in force when the part was triggered.
    pub product: Option<ProductName>,
    /// Where the pixels came from, if that has a name (replayed file).
    pub source: Option<Arc<str>>,
    /// When the part was seen (or triggered, if no frame ever came).
    pub captured: Stamp,
}

/// Layout of the bytes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// Three bytes a pixel: red, green, blue.
    Rgb8,
    /// One byte a pixel.
    Mono8,
}

impl PixelFormat {
    /// Bytes of one pixel.
    #[must_use]
    pub const fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Rgb8 => 3,
            Self::Mono8 => 1,
        }
    }
}

/// A picture that is not what it says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Width or height is zero, or larger than [`MAX_SIDE_PX`].
    #[error("picture of {width}x{height} px; each side must be 1 to {MAX_SIDE_PX} px")]
    Size {
        /// Width found, in pixels.
        width: u32,
        /// Height found, in pixels.
        height: u32,
    },
    /// The buffer does not hold the pixels it promises: a torn or truncated frame.
    #[error("picture of {width}x{height} px {format:?} takes {want} bytes, the frame has {got}")]
    Length {
        /// Width, in pixels.
        width: u32,
        /// Height, in pixels.
        height: u32,
        /// Pixel layout.
        format: PixelFormat,
        /// Bytes the picture takes.
        want: usize,
        /// Bytes the frame has.
        got: usize,
    },
    /// The region of interest does not lie inside the picture.
    #[error("roi {roi} does not fit into a picture of {frame_width}x{frame_height} px")]
    Roi {
        /// The region asked for.
        roi: Roi,
        /// Picture width, in pixels.
        frame_width: u32,
        /// Picture height, in pixels.
        frame_height: u32,
    },
}

/// Largest accepted side of a picture, in pixels: bounds what one frame can cost.
pub const MAX_SIDE_PX: u32 = 16_384;

/// A rectangle in frame pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roi {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

impl fmt::Display for Roi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x {}, y {}, {}x{} px", self.x, self.y, self.width, self.height)
    }
}

/// Borrowed pixels whose length has been checked: rows from top to bottom, no padding.
#[derive(Debug, Clone, Copy)]
pub struct PixelsView<'a> {
    width: u32,
    height: u32,
    format: PixelFormat,
    data: &'a [u8],
}

impl<'a> PixelsView<'a> {
    /// Borrows pixels, refusing a buffer of the wrong length.
    ///
    /// # Errors
    /// [`FrameError::Size`] and [`FrameError::Length`].
    pub fn try_new(width: u32, height: u32, format: PixelFormat, data: &'a [u8]) -> Result<Self, FrameError> {
        if width == 0 || height == 0 || width > MAX_SIDE_PX || height > MAX_SIDE_PX {
            return Err(FrameError::Size { width, height });
        }
        let want = width as usize * height as usize * format.bytes_per_pixel();
        if data.len() != want {
            return Err(FrameError::Length { width, height, format, want, got: data.len() });
        }
        Ok(Self { width, height, format, data })
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

    /// The bytes.
    #[must_use]
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The whole picture as a region.
    #[must_use]
    pub const fn full(&self) -> Roi {
        Roi { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// Refuses a region that is empty or leaves the picture.
    ///
    /// # Errors
    /// [`FrameError::Roi`].
    pub fn expect_inside(&self, roi: Roi) -> Result<(), FrameError> {
        let fits =
            |start: u32, length: u32, side: u32| length > 0 && start.checked_add(length).is_some_and(|end| end <= side);
        if fits(roi.x, roi.width, self.width) && fits(roi.y, roi.height, self.height) {
            Ok(())
        } else {
            Err(FrameError::Roi { roi, frame_width: self.width, frame_height: self.height })
        }
    }
}
