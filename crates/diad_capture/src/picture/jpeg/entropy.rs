//! Walks the coded blocks of one baseline scan without computing a pixel, to prove that all of them are there.

use super::JpegFault;

/// Stray bytes tolerated where a run of blocks ends. Common cameras leave a few; more means that something is missing
/// or that an older picture shows through.
const STRAY_BYTES: usize = 16;

/// A canonical Huffman code with a table for the short words.
#[derive(Debug, Clone)]
pub(super) struct Huffman {
    /// Per 9-bit prefix: length (0 if longer than 9 bits) and symbol.
    quick: Vec<(u8, u8)>,
    /// Per length 1 to 16: first code, number of codes, index of the first symbol.
    lengths: [(u32, u32, usize); 17],
    symbols: Vec<u8>,
}

const QUICK_BITS: u32 = 9;

impl Huffman {
    /// Builds the code from the number of words per length and their symbols; `None` if there is no such code.
    pub fn try_new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
        let mut built =
            Self { quick: vec![(0, 0); 1 << QUICK_BITS], lengths: [(0, 0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, count) in (1_u32..=16).zip(counts) {
            let count = u32::from(*count);
            built.lengths[length as usize] = (code, count, index);
            for word in code..code + count {
                let symbol = *symbols.get(index)?;
                index += 1;
                if length <= QUICK_BITS {
                    let spread = QUICK_BITS - length;
                    let from = (word << spread) as usize;
                    built.quick.get_mut(from..from + (1 << spread))?.fill((u8::try_from(length).ok()?, symbol));
                }
            }
            code += count;
            if code > 1 << length {
                return None;
            }
            code <<= 1;
        }
        Some(built)
    }

    /// Length and symbol of the word at the top of 16 bits.
    fn word(&self, bits: u32) -> Option<(u32, u8)> {
        let (length, symbol) = self.quick[(bits >> (16 - QUICK_BITS)) as usize];
        if length > 0 {
            return Some((u32::from(length), symbol));
        }
        (QUICK_BITS + 1..=16).find_map(|length| {
            let (first, count, index) = self.lengths[length as usize];
            let offset = (bits >> (16 - length)).checked_sub(first).filter(|offset| *offset < count)?;
            Some((length, *self.symbols.get(index + offset as usize)?))
        })
    }
}

/// What one scan must contain.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// DC and AC code of every block of a unit, in order.
    pub blocks: Vec<(&'a Huffman, &'a Huffman)>,
    /// Units in the scan.
    pub units: u64,
    /// Units between restart markers; 0 for none.
    pub restart_interval: u64,
}

enum Stop {
    /// The bits ran out, at a marker or at the end of the data.
    Dry,
    /// The bits mean nothing.
    Code,
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// Next byte to load; at a marker once the bits have run dry.
    at: usize,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 48 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xFF {
                // Inside a scan 0xFF stands for itself only with a zero behind it; else a marker begins.
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    fn skip(&mut self, bits: u32) -> Result<(), Stop> {
        if bits > self.count {
            self.fill();
        }
        self.count = self.count.checked_sub(bits).ok_or(Stop::Dry)?;
        Ok(())
    }

    fn symbol(&mut self, code: &Huffman) -> Result<u8, Stop> {
        if self.count < 16 {
            self.fill();
        }
        let top = if self.count >= 16 { self.held >> (self.count - 16) } else { self.held << (16 - self.count) };
        let (length, symbol) = code.word((top & 0xFFFF) as u32).ok_or(Stop::Code)?;
        self.skip(length)?;
        Ok(symbol)
    }

    fn block(&mut self, dc: &Huffman, ac: &Huffman) -> Result<(), Stop> {
        let size = self.symbol(dc)?;
        if size > 11 {
            return Err(Stop::Code);
        }
        self.skip(u32::from(size))?;
        let mut coefficient = 1_u32;
        while coefficient < 64 {
            let symbol = self.symbol(ac)?;
            let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, size) {
                (15, 0) => coefficient += 16,
                (_, 0) => break,
                _ => {
                    coefficient += zeros + 1;
                    self.skip(size)?;
                }
            }
        }
        if coefficient > 64 { Err(Stop::Code) } else { Ok(()) }
    }

    /// Drops the padding up to the next marker and gives its place (of its last 0xFF) and code.
    fn marker(&mut self) -> Result<(usize, u8), JpegFault> {
        let from = self.at - (self.count / 8) as usize;
        (self.held, self.count) = (0, 0);
        let (at, code) = next_marker(self.bytes, self.at).ok_or(JpegFault::Cut { bytes: self.bytes.len() })?;
        if at - from > STRAY_BYTES {
            return Err(JpegFault::Surplus { at: from, bytes: at - from });
        }
        self.at = at + 2;
        Ok((at, code))
    }
}

/// The next marker at or after `at`, skipping coded bytes and fill: place of its 0xFF, and code.
pub(super) fn next_marker(bytes: &[u8], mut at: usize) -> Option<(usize, u8)> {
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == 0xFF)?;
        match *bytes.get(at + 1)? {
            0 => at += 2,
            0xFF => at += 1,
            code => return Some((at, code)),
        }
    }
}

/// Checks that the scan beginning at `at` holds every block of the plan, and gives the place of the marker behind it.
pub(super) fn check(bytes: &[u8], at: usize, plan: &Plan<'_>) -> Result<usize, JpegFault> {
    let mut bits = Bits { bytes, at, held: 0, count: 0 };
    let mut restarts = 0_u8;
    for unit in 0..plan.units {
        if plan.restart_interval > 0 && unit > 0 && unit % plan.restart_interval == 0 {
            let (at, code) = bits.marker()?;
            if code != 0xD0 + restarts % 8 {
                return Err(JpegFault::Restart { at });
            }
            restarts = (restarts + 1) % 8;
        }
        for (dc, ac) in &plan.blocks {
            bits.block(dc, ac).map_err(|stop| match stop {
                Stop::Code => JpegFault::Code { at: bits.at },
                Stop::Dry if bits.at + 1 >= bytes.len() => JpegFault::Cut { bytes: bytes.len() },
                Stop::Dry => JpegFault::Early { units: unit, of: plan.units },
            })?;
        }
    }
    bits.marker().map(|(at, _)| at)
}
