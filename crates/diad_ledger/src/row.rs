//! What the ledger keeps of one part.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diad_core::event::{InspectionEvent, Outcome, WitnessScore};
use diad_core::frame::{PartKey, PartMeta, Stamp};
use diad_core::inspector::Stage;
use diad_core::name::{CameraId, LineName, PartId, ProductName, RunId, StationName};

use crate::moment::Moment;

/// Parts that are counted together: those of one camera in one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// The line.
    pub line: LineName,
    /// The station.
    pub station: StationName,
    /// The camera.
    pub camera: CameraId,
    /// The run of the daemon.
    pub run: RunId,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.line, self.station, self.camera, self.run)
    }
}

/// Names one part once and for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Line, station, camera and run.
    pub series: Series,
    /// Counts from 1 without a gap within the series.
    pub seq: u64,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.series, self.seq)
    }
}

/// The SHA-256 digests of what a verdict was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowProvenance {
    /// The model bundle.
    pub model: [u8; 32],
    /// The thresholds in force when the part was judged.
    pub thresholds: [u8; 32],
    /// The station's settings.
    pub settings: [u8; 32],
}

/// How long a part took in each stage, as far as it came. Kept in whole nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From capture to the first stage.
    pub waited: Option<Duration>,
    /// In the order of [`Stage::ALL`].
    pub(crate) stages: [Option<Duration>; Stage::ALL.len()],
}

impl Timings {
    /// Nothing was measured.
    pub const NONE: Self = Self { waited: None, stages: [None; Stage::ALL.len()] };

    /// Notes what a stage took.
    pub const fn set(&mut self, stage: Stage, took: Duration) {
        self.stages[stage as usize] = Some(took);
    }

    /// What a stage took; `None` if the part never came through it.
    #[must_use]
    pub const fn get(&self, stage: Stage) -> Option<Duration> {
        self.stages[stage as usize]
    }
}

/// What is the same for every part of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunContext {
    /// `line:` in the settings.
    pub line: LineName,
    /// `station:` in the settings.
    pub station: StationName,
    /// This run, from [`Ledger::start_run`](crate::Ledger::start_run).
    pub run: RunId,
    /// Time from capture to verdict that the station promises, in milliseconds.
    pub deadline_ms: u32,
}

/// Everything that is kept of one result: enough to say it again, byte for byte, in another process.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The part.
    pub key: Key,
    /// The plant's own mark.
    pub part: Option<PartId>,
    /// The product class in force.
    pub product: Option<ProductName>,
    /// Where the pixels came from, if that has a name.
    pub source: Option<Arc<str>>,
    /// Verdict with score, cut-offs and region, or the reason why there is none.
    pub outcome: Outcome,
    /// What each witness said, if several judged the part.
    pub witnesses: Vec<WitnessScore>,
    /// When the part was seen.
    pub captured: Moment,
    /// When the outcome was decided.
    pub judged: Moment,
    /// From capture to decision on the monotonic clock, which no clock step touches; at most 292 years.
    pub latency: Duration,
    /// The deadline that was in force, in milliseconds.
    pub deadline_ms: u32,
    /// What the verdict was made with.
    pub origin: RowProvenance,
    /// How long each stage took.
    pub timings: Timings,
    /// Its mark had come before, and that part may have been at the gate.
    pub repeat: bool,
}

impl Row {
    /// Takes over what came of a part.
    #[must_use]
    pub fn of_event(context: &RunContext, event: &InspectionEvent, origin: RowProvenance, timings: Timings) -> Self {
        let RunContext { line, station, run, deadline_ms } = context.clone();
        let PartMeta { key: PartKey { camera, seq }, part, product, source, captured } = event.meta.clone();
        Self {
            key: Key { series: Series { line, station, camera, run }, seq },
            part,
            product,
            source,
            outcome: event.outcome.clone(),
            witnesses: event.witnesses.clone(),
            captured: captured.wall.into(),
            judged: event.judged.wall.into(),
            latency: event.latency(),
            deadline_ms,
            origin,
            timings,
            repeat: event.repeat,
        }
    }

    /// The event again, as a message wants it.
    ///
    /// A monotonic clock does not outlive its process. Capture is put at `anchor`, any instant will do, and the
    /// decision [`Row::latency`] later.
    #[must_use]
    pub fn event(&self, anchor: Instant) -> InspectionEvent {
        InspectionEvent {
            meta: PartMeta {
                key: PartKey { camera: self.key.series.camera.clone(), seq: self.key.seq },
                part: self.part.clone(),
                product: self.product.clone(),
                source: self.source.clone(),
                captured: Stamp { wall: self.captured.wall(), mono: anchor },
            },
            outcome: self.outcome.clone(),
            witnesses: self.witnesses.clone(),
            judged: Stamp { wall: self.judged.wall(), mono: anchor.checked_add(self.latency).unwrap_or(anchor) },
            repeat: self.repeat,
        }
    }

    /// The word on the wire: `PASS`, `REVIEW`, `REJECT` or `UNJUDGED`.
    #[must_use]
    pub const fn verdict_word(&self) -> &'static str {
        match &self.outcome {
            Outcome::Judged(judgement) => judgement.verdict.as_str(),
            Outcome::Unjudged(_) => "UNJUDGED",
        }
    }
}

/// The place of a row in its table. Grows in the order of recording and is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub(crate) i64);

impl RowId {
    /// Before every row: where reading starts.
    pub const START: Self = Self(0);

    /// As a number, for whoever keeps it outside this crate.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// From a number that [`RowId::number`] gave.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::testing;

    #[test]
    fn event_of_a_row_says_what_the_first_event_said() {
        let mono = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::new(1_767_254_400, 123_456_789);
        let took = Duration::from_nanos(37_556_501);
        let first = InspectionEvent {
            meta: PartMeta {
                key: PartKey { camera: CameraId::try_new("cam0").unwrap(), seq: 1234 },
                part: PartId::try_new("P-77").ok(),
                product: ProductName::try_new("washer").ok(),
                source: Some("a/b.png".into()),
                captured: Stamp { wall, mono },
            },
            outcome: testing::judged(0.731, 0.3, 0.38),
            witnesses: testing::witnesses(),
            // The wall clock was set back meanwhile.
            judged: Stamp { wall: wall - Duration::from_secs(9), mono: mono + took },
            repeat: true,
        };
        let row = Row::of_event(&testing::context(), &first, testing::origin(1), Timings::NONE);
        let again = row.event(mono + Duration::from_secs(5));
        assert_eq!(again.latency(), took);
        assert_eq!((&again.outcome, &again.witnesses), (&first.outcome, &first.witnesses));
        let micros = wall - Duration::from_nanos(789);
        assert_eq!(again.meta.captured.wall, micros);
        assert_eq!(again.judged.wall, micros - Duration::from_secs(9));
        assert_eq!(PartMeta { captured: first.meta.captured, ..again.meta.clone() }, first.meta);
        assert_eq!(Row::of_event(&testing::context(), &again, testing::origin(1), Timings::NONE), row);
    }

    #[test]
    fn timings_keep_each_stage_apart() {
        let mut timings = Timings::NONE;
        for (nanos, stage) in (1..).zip(Stage::ALL) {
            timings.set(stage, Duration::from_nanos(nanos));
        }
        for (nanos, stage) in (1..).zip(Stage::ALL) {
            assert_eq!(timings.get(stage), Some(Duration::from_nanos(nanos)), "{stage}");
        }
    }
}
