//! The chunks of a PNG, and whether its data are exactly the pixels of its header.
//!
//! The decoder stops at the last pixel: it ignores what follows, and the checksum of the pixels with it. So every PNG is walked
//! before it is decoded and before memory is taken for its pixels: the checksum of every chunk, the number of bytes of the
//! pixels, and their checksum. The walk takes 64 KiB, whatever the file contains.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::START;

/// Bytes that are inflated at a time.
const WINDOW_BYTES: usize = 64 << 10;

/// First column, step, first row and step of the seven passes of an interlaced picture (PNG, third edition, 8.1).
const PASSES: [[u32; 4]; 7] =
    [[0, 8, 0, 8], [4, 8, 0, 8], [0, 4, 4, 8], [2, 4, 0, 4], [0, 2, 2, 4], [1, 2, 0, 2], [0, 1, 1, 2]];

/// What is wrong with the structure of a PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PngFault {
    /// The file ends before its last chunk.
    #[error("truncated: the PNG ends before its last chunk")]
    Cut,
    /// The header is not one of a PNG.
    #[error("broken header: a PNG has no such colour type, depth or interlacing")]
    Header,
    /// A chunk is damaged.
    #[error("broken: wrong checksum of the chunk at byte {at}")]
    Checksum {
        /// Offset of the chunk, in bytes.
        at: usize,
    },
    /// The pixels are in two places.
    #[error("broken: more pixels in the chunk at byte {at}, behind a chunk of another kind")]
    Order {
        /// Offset of the chunk, in bytes.
        at: usize,
    },
    /// The coded pixels are damaged.
    #[error("broken: the coded pixels are damaged, or their checksum is wrong")]
    Code,
    /// Fewer data than the header asks for.
    #[error("incomplete: {bytes} bytes of pixels, and the size in the header takes {of}")]
    Early {
        /// Bytes there are.
        bytes: u64,
        /// Bytes that the picture takes.
        of: u64,
    },
    /// More data than the header asks for.
    #[error("more data than pixels: the size in the header takes {of} bytes, and the data go on")]
    Surplus {
        /// Bytes that the picture takes.
        of: u64,
    },
}

/// The first chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Width, in pixels.
    pub(super) width: u32,
    /// Height, in pixels.
    pub(super) height: u32,
    depth: u8,
    colour: u8,
    interlaced: bool,
}

impl Header {
    /// Reads the first chunk, before anything is allocated by size.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PngFault> {
        let long = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if bytes.get(8..16).ok_or(PngFault::Cut)? != b"\0\0\0\x0DIHDR" {
            return Err(PngFault::Header);
        }
        let (width, height) = long(16).zip(long(20)).ok_or(PngFault::Cut)?;
        let [depth, colour, _, _, interlaced] = *bytes.get(24..29).ok_or(PngFault::Cut)? else {
            return Err(PngFault::Header);
        };
        if interlaced > 1 {
            return Err(PngFault::Header);
        }
        Ok(Self { width, height, depth, colour, interlaced: interlaced == 1 })
    }

    /// Bytes of all rows, each with the byte of its filter. The size must have been checked.
    fn data_bytes(&self) -> Result<u64, PngFault> {
        let bits = match (self.colour, self.depth) {
            (0, 1 | 2 | 4 | 8 | 16) | (3, 1 | 2 | 4 | 8) => 1,
            (2, 8 | 16) => 3,
            (4, 8 | 16) => 2,
            (6, 8 | 16) => 4,
            _ => return Err(PngFault::Header),
        } * u64::from(self.depth);
        let of = |width: u32, height: u32| match width {
            0 => 0,
            _ => u64::from(height) * (1 + (u64::from(width) * bits).div_ceil(8)),
        };
        if !self.interlaced {
            return Ok(of(self.width, self.height));
        }
        let some = |side: u32, first: u32, step: u32| side.saturating_sub(first).div_ceil(step);
        let passes =
            PASSES.iter().map(|&[x, across, y, down]| of(some(self.width, x, across), some(self.height, y, down)));
        Ok(passes.sum())
    }
}

/// A whole PNG.
#[derive(Debug, Clone, Default)]
pub(super) struct Whole<'a> {
    /// The chunks that make its pixels, each from its length to its checksum.
    needed: Vec<&'a [u8]>,
    /// The body of its chunk `sBIT`.
    pub(super) significant: Option<&'a [u8]>,
    /// The body of its chunk `eXIf`.
    pub(super) exif: Option<&'a [u8]>,
}

impl<'a> Whole<'a> {
    /// The PNG without its other chunks: a profile or a text may be inflated to any size.
    pub(super) fn needed(&self) -> Needed<'a> {
        let mut parts = vec![&START[..]];
        parts.extend(&self.needed);
        Needed { parts, part: 0, at: 0 }
    }
}

/// Walks the whole picture. The size must have been checked.
pub(super) fn check<'a>(bytes: &'a [u8], header: &Header) -> Result<Whole<'a>, PngFault> {
    let of = header.data_bytes()?;
    let mut whole = Whole::default();
    let (mut coded, mut coded_end, mut at) = (Vec::new(), None, START.len());
    loop {
        let (name, body, end) = chunk(bytes, at)?;
        match name {
            b"IDAT" => {
                if coded_end.is_some_and(|end| end != at) {
                    return Err(PngFault::Order { at });
                }
                coded_end = Some(end);
                coded.push(body);
            }
            b"sBIT" => whole.significant = whole.significant.or(Some(body)),
            b"eXIf" => whole.exif = whole.exif.or(Some(body)),
            _ => {}
        }
        if matches!(name, b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"IEND") {
            whole.needed.push(&bytes[at..end]);
        }
        if name == b"IEND" {
            inflate(&coded, of)?;
            return Ok(whole);
        }
        at = end;
    }
}

/// Name and body of the chunk that begins at `at`, and where the next one does.
fn chunk(bytes: &[u8], at: usize) -> Result<(&[u8; 4], &[u8], usize), PngFault> {
    let long = |at: usize| {
        let four = at.checked_add(4).and_then(|end| bytes.get(at..end)).ok_or(PngFault::Cut)?;
        four.try_into().map(u32::from_be_bytes).map_err(|_| PngFault::Cut)
    };
    let end = (at + 8).checked_add(long(at)? as usize).ok_or(PngFault::Cut)?;
    let checksum = long(end)?;
    let named = bytes.get(at + 4..end).ok_or(PngFault::Cut)?;
    let (name, body) = named.split_first_chunk::<4>().ok_or(PngFault::Cut)?;
    let mut crc = Crc::new();
    crc.update(named);
    if crc.sum() == checksum { Ok((name, body, end + 4)) } else { Err(PngFault::Checksum { at }) }
}

/// Checks that the coded bytes are `of` bytes with the right checksum, and nothing else.
fn inflate(coded: &[&[u8]], of: u64) -> Result<(), PngFault> {
    let mut inflater = Decompress::new(true);
    let mut window = vec![0; WINDOW_BYTES];
    let mut ended = false;
    // The last part is empty: it takes out what the inflater still holds.
    for mut part in coded.iter().copied().chain([&[][..]]) {
        loop {
            if ended && !part.is_empty() {
                return Err(PngFault::Surplus { of });
            }
            let before = (inflater.total_in(), inflater.total_out());
            if !ended {
                let status = inflater.decompress(part, &mut window, FlushDecompress::None);
                ended = status.map_err(|_| PngFault::Code)? == Status::StreamEnd;
            }
            if inflater.total_out() > of {
                return Err(PngFault::Surplus { of });
            }
            let taken = usize::try_from(inflater.total_in() - before.0).unwrap_or(usize::MAX);
            part = part.get(taken..).unwrap_or_default();
            if before == (inflater.total_in(), inflater.total_out()) {
                break;
            }
        }
    }
    match inflater.total_out() {
        bytes if bytes < of => Err(PngFault::Early { bytes, of }),
        // All pixels, and no checksum behind them.
        _ if !ended => Err(PngFault::Code),
        _ => Ok(()),
    }
}

/// Reads parts one after the other.
#[derive(Debug)]
pub(super) struct Needed<'a> {
    parts: Vec<&'a [u8]>,
    part: usize,
    at: usize,
}

impl BufRead for Needed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.parts.get(self.part).is_some_and(|part| self.at >= part.len()) {
            (self.part, self.at) = (self.part + 1, 0);
        }
        Ok(self.parts.get(self.part).and_then(|part| part.get(self.at..)).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

impl Read for Needed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?.read(into)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

/// The decoder asks for it and reads forwards only.
impl Seek for Needed<'_> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
