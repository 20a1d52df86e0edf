//! Marks that come again while their part may still be at the gate.
//!
//! A controller that loses its connection sends its trigger again; a broker that is not sure delivers it again. Both are
//! parts of their own here, with pictures of their own, and the second may show another part. So within a time the bit
//! of a mark never becomes looser: once 1, it stays 1, and a repeat whose first part is undecided is 1.
//!
//! Pure, like [`crate::open_parts`]: the caller brings the time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::frame::{PartKey, PartMeta};
use crate::name::{CameraId, PartId};

#[cfg(test)]
mod tests;

/// Marks that are remembered, at most; beyond that the oldest is forgotten.
pub const MARKS: usize = 65_536;

/// What the gate is to be told of a decided part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    /// The mark came before, within the time.
    pub repeat: bool,
    /// Whether the part leaves the line.
    pub reject: bool,
}

type PartIdKey = (CameraId, PartId);

/// The marks of the parts that may be at the gate.
#[derive(Debug)]
pub struct Repeats {
    within: Duration,
    marks: HashMap<PartIdKey, PartIdState>,
    /// The same marks in the order of their first parts.
    order: VecDeque<(Instant, PartIdKey)>,
}

#[derive(Debug)]
struct PartIdState {
    /// When its first part was triggered.
    first: Instant,
    /// The number of that part; 0 for one of an earlier run.
    first_seq: u64,
    /// Numbers of its parts that are not decided.
    open: BTreeSet<u64>,
    /// A part of it was said to leave the line.
    rejected: bool,
}

impl Repeats {
    /// No mark. One that comes again no later than `within` after its first part is a repeat.
    #[must_use]
    pub fn new(within: Duration) -> Self {
        Self { within, marks: HashMap::new(), order: VecDeque::new() }
    }

    /// A part enters. Parts of one camera enter in the order of their numbers.
    pub fn enter(&mut self, meta: &PartMeta) {
        let Some(part) = &meta.part else { return };
        let marked = (meta.key.camera.clone(), part.clone());
        let (now, seq) = (meta.captured.mono, meta.key.seq);
        if let Some(mark) = self.marks.get_mut(&marked).filter(|mark| now <= mark.first + self.within) {
            mark.open.insert(seq);
        } else {
            self.begin(
                marked,
                PartIdState { first: now, first_seq: seq, open: BTreeSet::from([seq]), rejected: false },
            );
        }
    }

    /// Takes over a part that an earlier run has decided, triggered at `first`.
    pub fn recall(&mut self, camera: CameraId, part: PartId, first: Instant, reject: bool) {
        let marked = (camera, part);
        match self.marks.get_mut(&marked) {
            Some(mark) => {
                mark.first = mark.first.min(first);
                mark.rejected |= reject;
            }
            None => self.begin(marked, PartIdState { first, first_seq: 0, open: BTreeSet::new(), rejected: reject }),
        }
    }

    /// A part is decided: what the gate is to be told, where its own verdict says `reject`.
    pub fn decide(&mut self, meta: &PartMeta, reject: bool) -> Ruling {
        let alone = Ruling { repeat: false, reject };
        let PartKey { camera, seq } = &meta.key;
        let Some(part) = &meta.part else { return alone };
        let Some(mark) = self.marks.get_mut(&(camera.clone(), part.clone())) else { return alone };
        // One that came before the mark began anew.
        if !mark.open.remove(seq) {
            return alone;
        }
        let earlier_is_open = mark.open.first().is_some_and(|first| first < seq);
        mark.rejected |= reject || earlier_is_open;
        Ruling { repeat: *seq != mark.first_seq, reject: mark.rejected }
    }

    /// Forgets marks whose parts have left the gate.
    pub fn forget(&mut self, now: Instant) {
        while let Some((first, _)) = self.order.front()
            && (self.order.len() > MARKS || *first + self.within < now)
            && let Some((first, marked)) = self.order.pop_front()
        {
            // It may have begun anew since.
            if self.marks.get(&marked).is_some_and(|mark| mark.first <= first) {
                self.marks.remove(&marked);
            }
        }
    }

    fn begin(&mut self, marked: PartIdKey, mark: PartIdState) {
        self.order.push_back((mark.first, marked.clone()));
        self.marks.insert(marked, mark);
    }
}
