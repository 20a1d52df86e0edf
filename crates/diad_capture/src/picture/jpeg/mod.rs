//! JPEG, whole or not at all.
//!
//! Decoders for viewing fill what is missing with grey and say nothing: half a part would look like a part. So every
//! JPEG is walked before it is decoded: all segments, and in a baseline picture (what cameras send) every coded block.
//! A progressive picture is checked to have all of its scans and an end; its decoder runs in strict mode.
//!
//! What cannot be promised: JPEG carries no checksum. Bytes changed or lost in the middle are told by a code that does not
//! exist or by a wrong number of blocks; now and then both come out right, and the garbled pixels are judged as they are.

mod entropy;
mod structure;
mod tables;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use diad_core::frame::{MAX_SIDE_PX, PixelFormat};

use super::{Picture, PictureError, check_size};
use crate::BufferPool;
use tables::STANDARD_DHT;

/// The first bytes of every JPEG.
pub(crate) const START: [u8; 3] = [0xFF, 0xD8, 0xFF];

/// What is wrong with the structure of a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JpegFault {
    /// The data do not begin like a JPEG.
    #[error("the data do not begin like a JPEG")]
    Start,
    /// The data end before the picture does.
    #[error("truncated: the data end after {bytes} bytes, before the picture does")]
    Cut {
        /// Bytes there are.
        bytes: usize,
    },
    /// A header segment makes no sense.
    #[error("broken header segment at byte {at}")]
    Segment {
        /// Offset, in bytes.
        at: usize,
    },
    /// The coded picture stops early although the file goes on.
    #[error("incomplete: the coded picture stops after {units} of {of} units")]
    Early {
        /// Whole units found.
        units: u64,
        /// Units that the picture takes.
        of: u64,
    },
    /// The coded picture goes on after its last block.
    #[error("torn: {bytes} bytes too many at byte {at} of the coded picture")]
    Surplus {
        /// Offset, in bytes.
        at: usize,
        /// How many.
        bytes: usize,
    },
    /// Bits that stand for nothing.
    #[error("broken: invalid code near byte {at}")]
    Code {
        /// Offset, in bytes.
        at: usize,
    },
    /// Restart markers out of order.
    #[error("torn: restart marker missing or out of order at byte {at}")]
    Restart {
        /// Offset, in bytes.
        at: usize,
    },
    /// The picture ends before all its scans have come.
    #[error("incomplete: not all scans of the picture are there")]
    Scans,
    /// A kind of JPEG that is not read.
    #[error("{0}")]
    Kind(&'static str),
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub width: u32,
    pub height: u32,
    pub progressive: bool,
    pub components: Vec<Component>,
}

/// One colour of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Component {
    pub id: u8,
    /// Blocks per unit, across and down.
    pub across: u32,
    pub down: u32,
}

/// Decodes the JPEG at the beginning of `bytes`; what follows its end is ignored. Grey becomes [`PixelFormat::Mono8`],
/// colour [`PixelFormat::Rgb8`].
pub(crate) fn decode(bytes: &[u8], pool: &BufferPool) -> Result<Picture, PictureError> {
    let header = structure::header(bytes)?;
    check_size(header.width, header.height)?;
    let whole = structure::check(bytes, &header)?;
    let bytes = &bytes[..whole.length];
    let (format, colours) = match header.components.len() {
        1 => (PixelFormat::Mono8, ColorSpace::Luma),
        _ => (PixelFormat::Rgb8, ColorSpace::RGB),
    };
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE_PX as usize)
        .set_max_height(MAX_SIDE_PX as usize)
        // A walked baseline picture holds all its blocks; the strict mode would only refuse harmless stray bytes.
        .set_strict_mode(header.progressive)
        .jpeg_set_out_colorspace(colours);
    let mut picture = Picture::blank(header.width, header.height, format, pool);
    let mut decode = |bytes: &[u8]| {
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_into(picture.bytes_mut()).map_err(PictureError::Jpeg)
    };
    if whole.has_tables {
        decode(bytes)?;
    } else {
        decode(&[&bytes[..2], &STANDARD_DHT, &bytes[2..]].concat())?;
    }
    Ok(picture)
}
