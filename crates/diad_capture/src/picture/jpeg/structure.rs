//! The segments of a JPEG: what the header says, and whether the picture is whole.

use super::entropy::{self, Huffman, Plan};
use super::tables::STANDARD_DHT;
use super::{Component, Header, JpegFault};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DHT: u8 = 0xC4;
const DRI: u8 = 0xDD;

/// A whole JPEG.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    /// Bytes from the first to the last of the picture.
    pub length: usize,
    /// Whether it brings Huffman tables of its own.
    pub has_tables: bool,
}

struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

struct Segment<'a> {
    at: usize,
    code: u8,
    body: &'a [u8],
    /// Where the next segment, or the coded data, begins.
    end: usize,
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, JpegFault> {
        if bytes.starts_with(&[0xFF, SOI]) { Ok(Self { bytes, at: 2 }) } else { Err(JpegFault::Start) }
    }

    fn next(&mut self) -> Result<Segment<'a>, JpegFault> {
        let cut = JpegFault::Cut { bytes: self.bytes.len() };
        if *self.bytes.get(self.at).ok_or(cut)? != 0xFF {
            return Err(JpegFault::Segment { at: self.at });
        }
        let (at, code) = entropy::next_marker(self.bytes, self.at).ok_or(cut)?;
        if matches!(code, EOI | 0x01 | 0xD0..=0xD7) {
            self.at = at + 2;
            return Ok(Segment { at, code, body: &[], end: self.at });
        }
        let length = usize::from(u16_at(self.bytes, at + 2).ok_or(cut)?);
        let end = at + 2 + length;
        if length < 2 {
            return Err(JpegFault::Segment { at });
        }
        let body = self.bytes.get(at + 4..end).ok_or(cut)?;
        self.at = end;
        Ok(Segment { at, code, body, end })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// Reads up to the frame header, before anything is decoded or allocated by size.
pub(super) fn header(bytes: &[u8]) -> Result<Header, JpegFault> {
    let mut segments = Segments::new(bytes)?;
    loop {
        let segment = segments.next()?;
        match segment.code {
            0xC0..=0xC2 => return frame(&segment),
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Err(JpegFault::Kind("lossless or arithmetic JPEG; save it as a baseline JPEG or as PNG"));
            }
            SOS | EOI => return Err(JpegFault::Segment { at: segment.at }),
            _ => {}
        }
    }
}

fn frame(segment: &Segment<'_>) -> Result<Header, JpegFault> {
    let broken = JpegFault::Segment { at: segment.at };
    let [depth, rest @ ..] = segment.body else { return Err(broken) };
    if *depth != 8 {
        return Err(JpegFault::Kind("JPEG of more than 8 bits a colour; save it with 8 bits, or as PNG"));
    }
    let height = u32::from(u16_at(rest, 0).ok_or(broken)?);
    let width = u32::from(u16_at(rest, 2).ok_or(broken)?);
    let count = usize::from(*rest.get(4).ok_or(broken)?);
    let table = rest.get(5..5 + 3 * count).ok_or(broken)?;
    let components: Vec<Component> = table
        .chunks_exact(3)
        .map(|c| Component { id: c[0], across: u32::from(c[1] >> 4), down: u32::from(c[1] & 15) })
        .collect();
    if components.iter().any(|c| !(1..=4).contains(&c.across) || !(1..=4).contains(&c.down)) {
        return Err(broken);
    }
    match count {
        1 | 3 => Ok(Header { width, height, progressive: segment.code == 0xC2, components }),
        4 => Err(JpegFault::Kind("CMYK JPEG, a format for print; save it as RGB or grey")),
        _ => Err(JpegFault::Kind("JPEG of neither one nor three colours; save it as RGB or grey")),
    }
}

/// Walks the whole picture.
pub(super) fn check(bytes: &[u8], header: &Header) -> Result<Whole, JpegFault> {
    let mut segments = Segments::new(bytes)?;
    let mut walk =
        Walk { header, dc: Default::default(), ac: Default::default(), restart_interval: 0, missing: Vec::new() };
    walk.tables(&Segment { at: 0, code: DHT, body: &STANDARD_DHT[4..], end: 0 })?;
    // Every coefficient of every component is still to come, with all of its bits.
    walk.missing = vec![[u8::MAX; 64]; header.components.len()];
    let mut has_tables = false;
    loop {
        let segment = segments.next()?;
        match segment.code {
            EOI if walk.missing.iter().flatten().all(|bits| *bits == 0) => {
                return Ok(Whole { length: segment.end, has_tables });
            }
            EOI => return Err(JpegFault::Scans),
            DHT => {
                has_tables = true;
                walk.tables(&segment)?;
            }
            DRI => {
                let interval = u16_at(segment.body, 0).ok_or(JpegFault::Segment { at: segment.at })?;
                walk.restart_interval = u64::from(interval);
            }
            SOS => segments.at = walk.scan(bytes, &segment)?,
            _ => {}
        }
    }
}

struct Walk<'a> {
    header: &'a Header,
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    restart_interval: u64,
    /// Per component and coefficient: low bits that have not come yet; `u8::MAX` for all of them.
    missing: Vec<[u8; 64]>,
}

impl Walk<'_> {
    fn tables(&mut self, segment: &Segment<'_>) -> Result<(), JpegFault> {
        let broken = JpegFault::Segment { at: segment.at };
        let mut body = segment.body;
        while let [slot, rest @ ..] = body {
            let counts = rest.get(..16).ok_or(broken)?;
            let symbols: usize = counts.iter().map(|c| usize::from(*c)).sum();
            let (symbols, rest) = (rest.get(16..16 + symbols).ok_or(broken)?, &rest[16 + symbols..]);
            let side = if slot >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let table = side.get_mut(usize::from(slot & 15)).ok_or(broken)?;
            *table = Some(Huffman::try_new(counts, symbols).ok_or(broken)?);
            body = rest;
        }
        Ok(())
    }

    /// Takes note of one scan and gives the place of the marker behind it.
    fn scan(&mut self, bytes: &[u8], segment: &Segment<'_>) -> Result<usize, JpegFault> {
        let broken = JpegFault::Segment { at: segment.at };
        let [count, rest @ ..] = segment.body else { return Err(broken) };
        let count = usize::from(*count);
        let [first, last, approximation] = *rest.get(2 * count..).ok_or(broken)? else { return Err(broken) };
        let mut chosen = Vec::with_capacity(count);
        for pair in rest[..2 * count].chunks_exact(2) {
            let index = self.header.components.iter().position(|c| c.id == pair[0]).ok_or(broken)?;
            chosen.push((index, pair[1]));
        }
        let (band, low_bits) = match self.header.progressive {
            true if first <= last && last < 64 => (usize::from(first)..=usize::from(last), approximation & 15),
            true => return Err(broken),
            false => (0..=63, 0),
        };
        for (index, _) in &chosen {
            self.missing[*index][band.clone()].fill(low_bits);
        }
        if self.header.progressive {
            return end_of_scan(bytes, segment.end);
        }
        let mut blocks = Vec::new();
        for (index, tables) in &chosen {
            let table =
                |side: &[Option<Huffman>; 4], slot: u8| side.get(usize::from(slot)).is_some_and(Option::is_some);
            if !table(&self.dc, tables >> 4) || !table(&self.ac, tables & 15) {
                return Err(broken);
            }
            let component = &self.header.components[*index];
            let repeats = if count == 1 { 1 } else { component.across * component.down };
            let pair = self.dc[usize::from(tables >> 4)].as_ref().zip(self.ac[usize::from(tables & 15)].as_ref());
            blocks.extend((0..repeats).filter_map(|_| pair));
        }
        let only = chosen.first().filter(|_| count == 1).map(|(index, _)| &self.header.components[*index]);
        let plan = Plan { blocks, units: units(self.header, only), restart_interval: self.restart_interval };
        entropy::check(bytes, segment.end, &plan)
    }
}

/// Units of a scan: of all components together, or blocks of the only one it has.
fn units(header: &Header, only: Option<&Component>) -> u64 {
    let most = |side: fn(&Component) -> u32| header.components.iter().map(side).max().unwrap_or(1);
    let (across, down) = (most(|c| c.across), most(|c| c.down));
    let (columns, rows) = match only {
        Some(c) => ((header.width * c.across).div_ceil(across), (header.height * c.down).div_ceil(down)),
        None => (header.width.div_ceil(across), header.height.div_ceil(down)),
    };
    u64::from(columns.div_ceil(8)) * u64::from(rows.div_ceil(8))
}

/// The marker behind a scan whose blocks are not walked.
fn end_of_scan(bytes: &[u8], mut at: usize) -> Result<usize, JpegFault> {
    loop {
        let (marker, code) = entropy::next_marker(bytes, at).ok_or(JpegFault::Cut { bytes: bytes.len() })?;
        if !(0xD0..=0xD7).contains(&code) {
            return Ok(marker);
        }
        at = marker + 2;
    }
}
