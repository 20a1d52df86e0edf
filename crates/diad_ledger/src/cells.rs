//! A row as database values, and the checksum over them.
//!
//! A row is a fixed list of cells. The checksum is taken over the cells as they are written and again over the cells
//! as they are read, so it covers every value, whichever table it is kept in.

use std::error::Error;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use diad_core::event::{Judgement, Outcome, Reason, WitnessScore};
use diad_core::frame::Roi;
use diad_core::inspector::Stage;
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, PartId, ProductName, RunId, StationName};
use diad_core::score::Score;
use rusqlite::types::{FromSql, FromSqlError, ToSqlOutput, ValueRef};

use crate::moment::Moment;
use crate::row::{Key, Row, RowId, RowProvenance, Series, Timings};
use crate::seal;

#[cfg(test)]
mod tests;

/// Columns of the table `series`.
pub(crate) const SERIES: [&str; 4] = ["line", "station", "camera", "run"];

/// Columns of the tables `parts` and `late` that hold a value of their own.
pub(crate) const OWN: [&str; 32] = [
    "seq",
    "part",
    "product",
    "source",
    "verdict",
    "reason",
    "score",
    "review_at",
    "reject_at",
    "min_area_px",
    "x_px",
    "y_px",
    "width_px",
    "height_px",
    "captured_us",
    "judged_us",
    "latency_ns",
    "deadline_ms",
    "wait_ns",
    "prepare_ns",
    "encode_ns",
    "hint_ns",
    "denoise_ns",
    "decode_ns",
    "features_ns",
    "map_ns",
    "score_ns",
    "foundation_ns",
    "latent_ns",
    "bank_ns",
    "witnesses",
    "repeat",
];

/// Columns in front of [`REPEAT`] that came with version 4 of the schema. Where all are null, the checksum leaves them out:
/// rows of earlier versions keep theirs.
const WITNESSED: Range<usize> = REPEAT - 4..REPEAT;

/// The stages in the order of their columns.
const STAGES: [Stage; Stage::ALL.len()] = [
    Stage::Prepare,
    Stage::Encode,
    Stage::Hint,
    Stage::Denoise,
    Stage::Decode,
    Stage::Features,
    Stage::Map,
    Stage::Score,
    Stage::Foundation,
    Stage::Latent,
    Stage::Bank,
];

/// Columns of the table `origins`.
pub(crate) const ORIGIN: [&str; 3] = ["model", "thresholds", "settings"];

const COUNT: usize = SERIES.len() + OWN.len() + ORIGIN.len();

/// The last of [`OWN`]. Rows of versions that did not have it yet hold a null there, which their checksum knows nothing of.
const REPEAT: usize = SERIES.len() + OWN.len() - 1;

/// Mixed into the checksum of rows that version 5 of the schema or a later one wrote. The checksum of such a row covers the
/// number beside its cells as well, see [`seal_of`]; in rows of earlier versions it covers that only where it came later.
const SINCE_5: u32 = 0x4469_4144;

/// Why a row that was read is not the row that was written.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RowFault {
    /// The values do not belong to the checksum beside them.
    #[error("its values have checksum {computed:08x}, written was {stored:08x}")]
    Checksum {
        /// The checksum that was kept.
        stored: i64,
        /// The checksum of what was read.
        computed: i64,
    },
    /// A value is none that this version writes.
    #[error("column {column}")]
    Value {
        /// Where it stands.
        column: &'static str,
        /// What is wrong with it.
        #[source]
        source: FromSqlError,
    },
}

/// A row that cannot be trusted. It is never handed out, so it can never be taken for a verdict.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("row {id} of table {table} is damaged")]
pub struct DamagedRow {
    /// The table.
    pub table: &'static str,
    /// The row; in tables other than `parts` and `late` its place, counted from 1 in the order of the table.
    pub id: RowId,
    /// What is wrong with it.
    #[source]
    pub fault: RowFault,
}

/// The values of one row: those of its series, its own, and those of its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cells<'a>([ValueRef<'a>; COUNT]);

/// What the witnesses of a row said, as text; none if the diffusion model judged alone.
pub(crate) fn witnesses(row: &Row) -> Option<String> {
    let mut text = String::new();
    for WitnessScore { name, score } in &row.witnesses {
        // Writing to a String cannot fail. The shortest digits that read back as the same number.
        let _ = write!(text, "{}{name}={:?}", if text.is_empty() { "" } else { " " }, score.get());
    }
    (!text.is_empty()).then_some(text)
}

impl<'a> Cells<'a> {
    /// `witnesses` is the row's own text, see [`witnesses`].
    pub(crate) fn of_row(row: &'a Row, witnesses: Option<&'a str>) -> Self {
        let Series { line, station, camera, run } = &row.key.series;
        let (judgement, reason) = match &row.outcome {
            Outcome::Judged(judgement) => (Some(judgement), None),
            Outcome::Unjudged(reason) => (None, Some(reason.as_str())),
        };
        let score = |part: fn(&Judgement) -> Score| match judgement {
            Some(judgement) => ValueRef::Real(f64::from(part(judgement).get())),
            None => ValueRef::Null,
        };
        let pixels = |part: fn(&Judgement) -> u32| match judgement {
            Some(judgement) => ValueRef::Integer(i64::from(part(judgement))),
            None => ValueRef::Null,
        };
        let took = |duration: &Option<Duration>| duration.as_ref().map_or(ValueRef::Null, nanos);
        let [prepare, encode, hint, denoise, decode, features, map, score_took, foundation, latent, bank] =
            STAGES.map(|stage| took(&row.timings.get(stage)));
        Self([
            text(line.as_str()),
            text(station.as_str()),
            text(camera.as_str()),
            text(run.as_str()),
            ValueRef::Integer(row.key.seq.cast_signed()),
            text_or_null(row.part.as_ref().map(PartId::as_str)),
            text_or_null(row.product.as_ref().map(ProductName::as_str)),
            text_or_null(row.source.as_deref()),
            text(row.verdict_word()),
            text_or_null(reason),
            score(|j| j.score),
            score(|j| j.thresholds.review()),
            score(|j| j.thresholds.reject()),
            pixels(|j| j.thresholds.min_area_px()),
            pixels(|j| j.region.x),
            pixels(|j| j.region.y),
            pixels(|j| j.region.width),
            pixels(|j| j.region.height),
            ValueRef::Integer(row.captured.micros()),
            ValueRef::Integer(row.judged.micros()),
            nanos(&row.latency),
            ValueRef::Integer(i64::from(row.deadline_ms)),
            took(&row.timings.waited),
            prepare,
            encode,
            hint,
            denoise,
            decode,
            features,
            map,
            score_took,
            foundation,
            latent,
            bank,
            text_or_null(witnesses),
            if row.repeat { ValueRef::Integer(1) } else { ValueRef::Null },
            ValueRef::Blob(&row.origin.model),
            ValueRef::Blob(&row.origin.thresholds),
            ValueRef::Blob(&row.origin.settings),
        ])
    }

    /// Reads the cells that begin at column `first`, in the order of [`columns`].
    pub(crate) fn of_columns(row: &'a rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let mut cells = [ValueRef::Null; COUNT];
        for (at, cell) in cells.iter_mut().enumerate() {
            *cell = row.get_ref(first + at)?;
        }
        Ok(Self(cells))
    }

    /// `series` and `seq` of the part.
    pub(crate) fn key(&self, series: i64) -> [ToSqlOutput<'a>; 2] {
        [ToSqlOutput::from(series), ToSqlOutput::Borrowed(self.0[SERIES.len()])]
    }

    /// The cells of [`OWN`].
    pub(crate) fn own(&self) -> impl Iterator<Item = ToSqlOutput<'a>> {
        self.0.into_iter().skip(SERIES.len()).take(OWN.len()).map(ToSqlOutput::Borrowed)
    }

    /// What is written beside the cells of a row that is not acknowledged.
    pub(crate) fn seal(&self) -> i64 {
        i64::from(self.checksum() ^ SINCE_5)
    }

    /// CRC-32 over every cell with its type and length, so that no two lists of cells read as the same bytes.
    pub(crate) fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let is_null = |at: &usize| self.0[*at] == ValueRef::Null;
        let kept = (0..COUNT).filter(|at| !(WITNESSED.contains(at) || (*at == REPEAT && is_null(at))));
        let witnessed = Some(WITNESSED).filter(|columns| !columns.clone().all(|at| is_null(&at)));
        for cell in kept.chain(witnessed.into_iter().flatten()).map(|at| self.0[at]) {
            seal::add(&mut hasher, cell);
        }
        hasher.finalize()
    }

    /// The row, if these are the cells and this is the number beside them that `stored` was taken over.
    pub(crate) fn row(&self, stored: ValueRef<'_>, beside_them: ValueRef<'_>) -> Result<Row, RowFault> {
        let stored = i64::column_result(stored).map_err(|source| RowFault::Value { column: "crc32", source })?;
        let checksum = self.checksum();
        let number = beside(beside_them)?.map_or(0, seal_of);
        let computed = i64::from(checksum ^ SINCE_5 ^ number);
        let earlier = [checksum, checksum ^ number].map(i64::from);
        if computed != stored && !earlier.contains(&stored) {
            return Err(RowFault::Checksum { stored, computed });
        }
        let mut read = CellReader { cells: self.0, at: 0 };
        let series = Series {
            line: read.name(LineName::try_new)?,
            station: read.name(StationName::try_new)?,
            camera: read.name(CameraId::try_new)?,
            run: read.name(RunId::try_new)?,
        };
        Ok(Row {
            key: Key { series, seq: read.cell::<i64>()?.cast_unsigned() },
            part: read.name_or_null(PartId::try_new)?,
            product: read.name_or_null(ProductName::try_new)?,
            source: read.cell::<Option<Arc<str>>>()?,
            outcome: read.outcome()?,
            captured: read.moment()?,
            judged: read.moment()?,
            latency: read.duration()?,
            deadline_ms: read.cell()?,
            timings: read.timings()?,
            witnesses: read.witnesses()?,
            repeat: read.flag()?,
            origin: RowProvenance { model: read.cell()?, thresholds: read.cell()?, settings: read.cell()? },
        })
    }
}

/// The number that is kept beside the cells of a row: see [`seal_of`].
pub(crate) fn beside(cell: ValueRef<'_>) -> Result<Option<i64>, RowFault> {
    Option::<i64>::column_result(cell)
        .map_err(|source| RowFault::Value { column: "acknowledged_us or first_id", source })
}

/// What a number beside the cells changes of the checksum of its row: these bits are turned over. In `parts` it is the time of
/// the acknowledgement in microseconds, in `late` the id of the verdict that stands.
pub(crate) fn seal_of(number: i64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    seal::add(&mut hasher, ValueRef::Integer(number));
    hasher.finalize()
}

/// The columns of a row of `parts AS r` (or `late AS r`) beside its ids, for a SELECT with [`JOINS`].
pub(crate) fn columns() -> String {
    let qualified =
        |prefix: &str, names: &[&str]| names.iter().map(|name| format!("{prefix}.{name}")).collect::<Vec<_>>();
    [qualified("s", &SERIES), qualified("r", &OWN), qualified("o", &ORIGIN)].concat().join(", ")
}

/// What [`columns`] needs beside the table of rows. A row whose series or origin is gone must not go with it: it comes
/// with nulls, and its checksum tells.
pub(crate) const JOINS: &str = "LEFT JOIN series AS s ON s.id = r.series LEFT JOIN origins AS o ON o.id = r.origin";

/// Inserts a row into `parts` or `late`: first [`OWN`], then `ids`.
pub(crate) fn insert(table: &str, ids: &[&str]) -> String {
    let names = [&OWN, ids].concat();
    let marks = vec!["?"; names.len()];
    format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), marks.join(", "))
}

const fn text(value: &str) -> ValueRef<'_> {
    ValueRef::Text(value.as_bytes())
}

fn text_or_null(value: Option<&str>) -> ValueRef<'_> {
    value.map_or(ValueRef::Null, text)
}

fn nanos(duration: &Duration) -> ValueRef<'static> {
    ValueRef::Integer(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// Takes cell after cell, and knows which column it is at.
struct CellReader<'a> {
    cells: [ValueRef<'a>; COUNT],
    at: usize,
}

impl CellReader<'_> {
    fn cell<T: FromSql>(&mut self) -> Result<T, RowFault> {
        self.at += 1;
        T::column_result(self.cells[self.at - 1]).map_err(|source| self.fault(source))
    }

    /// The fault of the cell that was taken last.
    fn fault(&self, source: FromSqlError) -> RowFault {
        let at = self.at - 1;
        let column = SERIES.iter().chain(&OWN).chain(&ORIGIN).nth(at).copied().unwrap_or_default();
        RowFault::Value { column, source }
    }

    fn name<T, E: Error + Send + Sync + 'static>(&mut self, try_new: fn(&str) -> Result<T, E>) -> Result<T, RowFault> {
        let text: String = self.cell()?;
        try_new(&text).map_err(|error| self.fault(FromSqlError::other(error)))
    }

    fn name_or_null<T, E: Error + Send + Sync + 'static>(
        &mut self,
        try_new: fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, RowFault> {
        let text: Option<String> = self.cell()?;
        text.map(|text| try_new(&text)).transpose().map_err(|error| self.fault(FromSqlError::other(error)))
    }

    fn outcome(&mut self) -> Result<Outcome, RowFault> {
        let word: String = self.cell()?;
        if word == "UNJUDGED" {
            let reason: String = self.cell()?;
            let reason = Reason::ALL.into_iter().find(|known| known.as_str() == reason);
            let reason = reason.ok_or_else(|| self.fault(FromSqlError::InvalidType))?;
            for _ in 0..8 {
                self.null()?;
            }
            return Ok(Outcome::Unjudged(reason));
        }
        let verdict =
            [Verdict::Pass, Verdict::Review, Verdict::Reject].into_iter().find(|known| known.as_str() == word);
        let verdict = verdict.ok_or_else(|| self.fault(FromSqlError::InvalidType))?;
        self.null()?;
        let (score, review, reject) = (self.score()?, self.score()?, self.score()?);
        let thresholds = Thresholds::try_new(review, reject, self.cell()?);
        let thresholds = thresholds.map_err(|error| self.fault(FromSqlError::other(error)))?;
        let region = Roi { x: self.cell()?, y: self.cell()?, width: self.cell()?, height: self.cell()? };
        Ok(Outcome::Judged(Judgement { verdict, score, thresholds, region }))
    }

    fn null(&mut self) -> Result<(), RowFault> {
        match self.cell::<Option<rusqlite::types::Value>>()? {
            None => Ok(()),
            Some(_) => Err(self.fault(FromSqlError::InvalidType)),
        }
    }

    fn score(&mut self) -> Result<Score, RowFault> {
        let wide: f64 = self.cell()?;
        // Scores are written from f32, so this loses nothing; what it would change is no score of ours.
        let narrow = wide as f32;
        if f64::from(narrow).to_bits() != wide.to_bits() {
            return Err(self.fault(FromSqlError::InvalidType));
        }
        Score::try_new(narrow).map_err(|error| self.fault(FromSqlError::other(error)))
    }

    fn moment(&mut self) -> Result<Moment, RowFault> {
        let micros = self.cell()?;
        let moment = Moment::from_micros(micros);
        if moment.micros() == micros { Ok(moment) } else { Err(self.fault(FromSqlError::OutOfRange(micros))) }
    }

    fn duration(&mut self) -> Result<Duration, RowFault> {
        let nanos: i64 = self.cell()?;
        u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| self.fault(FromSqlError::OutOfRange(nanos)))
    }

    fn duration_or_null(&mut self) -> Result<Option<Duration>, RowFault> {
        match self.cells[self.at] {
            ValueRef::Null => self.null().map(|()| None),
            _ => self.duration().map(Some),
        }
    }

    /// 1, or nothing.
    fn flag(&mut self) -> Result<bool, RowFault> {
        match self.cell::<Option<i64>>()? {
            None => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(self.fault(FromSqlError::OutOfRange(other))),
        }
    }

    fn timings(&mut self) -> Result<Timings, RowFault> {
        let mut timings = Timings::NONE;
        timings.waited = self.duration_or_null()?;
        for stage in STAGES {
            timings.stages[stage as usize] = self.duration_or_null()?;
        }
        Ok(timings)
    }

    fn witnesses(&mut self) -> Result<Vec<WitnessScore>, RowFault> {
        let text: Option<String> = self.cell()?;
        let one = |text: &str| {
            let (name, score) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
            Some(WitnessScore { name: name.into(), score: Score::try_new(score.parse().ok()?).ok()? })
        };
        let all = text.iter().flat_map(|text| text.split(' ')).map(one).collect::<Option<_>>();
        all.ok_or_else(|| self.fault(FromSqlError::InvalidType))
    }
}
