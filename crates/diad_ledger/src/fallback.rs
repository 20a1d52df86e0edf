//! The slip: a small file beside the database that says which parts got a verdict while the database could not be
//! written, for a process that ends before it can be.
//!
//! Without it the next start would find such a part among those that entered, and give it a second verdict. The file is
//! made when the ledger is opened and written over in place, which a full disk allows: on a file system that copies on
//! write it may still fail, and on a disk that takes nothing at all it does. Two halves take turns, each with a
//! checksum, so that a power cut in the middle of one leaves the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use diad_core::name::{CameraId, LineName, RunId, StationName};
use rusqlite::Connection;

use crate::catalogue;
use crate::entered;
use crate::gap::Gap;
use crate::moment::Moment;
use crate::row::{Key, Series};
use crate::watch::beside;

#[cfg(test)]
mod tests;

/// Bytes of one half: some hundred cameras, or some thousand scattered parts.
const HALF_BYTES: usize = 64 << 10;
/// Magic, counter, length, checksum.
const HALF_HEADER_BYTES: usize = 24;
const MAGIC: &[u8; 8] = b"DiADslip";
/// Longest cause of a gap on the slip, in bytes.
const MAX_CAUSE_BYTES: usize = 400;

/// What is on a slip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FallbackState {
    /// Parts without a record.
    pub(crate) gaps: Vec<Gap>,
    /// Parts among those noted as entered that have a verdict all the same: first and last number of each stretch.
    pub(crate) decided: Vec<(Series, u64, u64)>,
}

/// The slip of one ledger.
#[derive(Debug)]
pub struct FallbackFile {
    file: File,
    counter: u64,
}

impl FallbackFile {
    /// Opens the slip of the ledger at `path`, makes it if there is none, and reads what is on it.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, FallbackState)> {
        let path = beside(path, ".slip");
        let file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path)?;
        let length = file.metadata()?.len();
        if length < 2 * HALF_BYTES as u64 {
            // Written and not only made long: every block is there from now on.
            file.write_all_at(&vec![0; 2 * HALF_BYTES], 0)?;
            file.sync_all()?;
            // A new file is on the disk only when its name is.
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
        }
        let halves = [read_half(&file, 0)?, read_half(&file, 1)?];
        let (counter, text) = halves.into_iter().flatten().max().unwrap_or_default();
        Ok((Self { file, counter }, parse(&text)))
    }

    /// Whether this is the slip of the ledger that is at `path` now.
    #[must_use]
    pub fn lies_beside(&self, path: &Path) -> bool {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let (own, there) = (self.file.metadata().map(identity), fs::metadata(beside(path, ".slip")).map(identity));
        matches!((own, there), (Ok(own), Ok(there)) if own == there)
    }

    /// Writes down, durably, what an outage has come to: `gaps` are all parts without a record, `decided` those among
    /// them that the ledger holds as entered. Takes the place of what was there.
    ///
    /// # Errors
    /// What the system says; what was there stays then.
    pub fn write(&mut self, gaps: &[Gap], decided: &BTreeSet<Key>) -> io::Result<()> {
        let decided = ranges(decided);
        let mut text = compose(gaps, decided.iter().map(|(series, list)| (*series, &list[..])));
        if text.len() > HALF_BYTES - HALF_HEADER_BYTES {
            // Rather a part too many without a second verdict than one with two.
            let whole: Vec<_> = decided.iter().map(|(series, list)| (*series, merge_ranges(list))).collect();
            text = compose(gaps, whole.iter().map(|(series, list)| (*series, list.as_slice())));
        }
        self.put(&text)
    }

    /// The outage is over and on record.
    ///
    /// # Errors
    /// What the system says; what is there then is on record already, and taking it up again changes nothing.
    pub fn clear(&mut self) -> io::Result<()> {
        self.put("")
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        if text.len() > HALF_BYTES - HALF_HEADER_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more cameras than a slip has room for"));
        }
        let counter = self.counter + 1;
        let mut half = Vec::with_capacity(HALF_HEADER_BYTES + text.len());
        half.extend(MAGIC);
        half.extend(counter.to_le_bytes());
        half.extend((text.len() as u32).to_le_bytes());
        half.extend(checksum(counter, text.as_bytes()).to_le_bytes());
        half.extend(text.as_bytes());
        self.file.write_all_at(&half, counter % 2 * HALF_BYTES as u64)?;
        self.file.sync_data()?;
        self.counter = counter;
        Ok(())
    }
}

/// Forgets the parts of an outage that entered and have a verdict elsewhere.
pub(crate) fn forget_decided(change: &Connection, outage: &FallbackState) -> rusqlite::Result<()> {
    for (series, from, to) in &outage.decided {
        let series = catalogue::series_id(change, series)?;
        entered::forget_range(change, series, *from, *to)?;
    }
    Ok(())
}

/// Counter and text of one half; `None` if it was never written, or not to its end.
fn read_half(file: &File, half: usize) -> io::Result<Option<(u64, String)>> {
    let mut bytes = vec![0; HALF_BYTES];
    file.read_exact_at(&mut bytes, (half * HALF_BYTES) as u64)?;
    let read = || {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let text = rest.get(..u32::from_le_bytes(*length) as usize)?;
        let counter = u64::from_le_bytes(*counter);
        let whole = checksum(counter, text) == u32::from_le_bytes(*sum);
        whole.then(|| (counter, String::from_utf8_lossy(text).into_owned()))
    };
    Ok(read())
}

fn checksum(counter: u64, text: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&counter.to_le_bytes());
    hasher.update(text);
    hasher.finalize()
}

/// Parts of each series as stretches without a hole.
fn ranges(decided: &BTreeSet<Key>) -> BTreeMap<&Series, Vec<(u64, u64)>> {
    let mut ranges: BTreeMap<&Series, Vec<(u64, u64)>> = BTreeMap::new();
    for Key { series, seq } in decided {
        let list = ranges.entry(series).or_default();
        match list.last_mut() {
            Some((_, to)) if *to + 1 == *seq => *to = *seq,
            _ => list.push((*seq, *seq)),
        }
    }
    ranges
}

/// One stretch in place of several.
fn merge_ranges(list: &[(u64, u64)]) -> Option<(u64, u64)> {
    Some((list.first()?.0, list.last()?.1))
}

/// One line for each gap and for each series with decided parts, its words parted by tabs, which no name holds.
fn compose<'a>(gaps: &[Gap], decided: impl Iterator<Item = (&'a Series, &'a [(u64, u64)])>) -> String {
    let mut text = String::new();
    let mut line = |word: &str, Series { line, station, camera, run }: &Series, rest: std::fmt::Arguments<'_>| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{word}\t{line}\t{station}\t{camera}\t{run}\t{rest}");
    };
    for Gap { series, from, to, parts, since, until, cause } in gaps {
        let cause: String = cause[..cause.floor_char_boundary(MAX_CAUSE_BYTES)].replace(char::is_control, " ");
        let (since, until) = (since.micros(), until.micros());
        line("gap", series, format_args!("{from}\t{to}\t{parts}\t{since}\t{until}\t{cause}"));
    }
    for (series, list) in decided {
        let list: Vec<_> = list.iter().map(|(from, to)| format!("{from}-{to}")).collect();
        line("decided", series, format_args!("{}", list.join("\t")));
    }
    text
}

/// The checksum has vouched for the text; a line that does not read is of a later version and says nothing here.
fn parse(text: &str) -> FallbackState {
    let mut outage = FallbackState::default();
    for line in text.lines() {
        let _: Option<()> = parse_line(line, &mut outage);
    }
    outage
}

fn parse_line(line: &str, outage: &mut FallbackState) -> Option<()> {
    let mut words = line.split('\t');
    let kind = words.next()?;
    let series = Series {
        line: LineName::try_new(words.next()?).ok()?,
        station: StationName::try_new(words.next()?).ok()?,
        camera: CameraId::try_new(words.next()?).ok()?,
        run: RunId::try_new(words.next()?).ok()?,
    };
    if kind == "gap" {
        let mut number = || words.next()?.parse::<u64>().ok();
        let (from, to, parts, since, until) = (number()?, number()?, number()?, number()?, number()?);
        let moment = |micros: u64| Moment::from_micros(micros.cast_signed());
        let (since, until, cause) = (moment(since), moment(until), words.next()?.to_owned());
        outage.gaps.push(Gap { series, from, to, parts, since, until, cause });
    } else if kind == "decided" {
        for word in words {
            let (from, to) = word.split_once('-')?;
            outage.decided.push((series.clone(), from.parse().ok()?, to.parse().ok()?));
        }
    }
    Some(())
}
