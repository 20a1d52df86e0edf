//! The proof that nothing is missing, double or damaged.

use std::collections::BTreeMap;

use diad_core::event::{Outcome, Reason};
use rusqlite::params;

use crate::catalogue;
use crate::cells::DamagedRow;
use crate::error::LedgerError;
use crate::gap::Gap;
use crate::reader::Reader;
use crate::row::{Key, RowId, Series};
use crate::schema;
use crate::seal::{ENTERED, PURGED, Sealed};

#[cfg(test)]
mod tests;

/// Rows that are read at a time.
const VERIFY_ROWS_PER_PAGE: u32 = 1024;

/// Faults of one kind that are listed; all are counted.
const MAX_LISTED_FAULTS: usize = 100;

/// Faults of one kind.
#[derive(Debug, PartialEq)]
pub struct Findings<T> {
    /// How many there are.
    pub total: u64,
    /// The first hundred of them.
    pub listed: Vec<T>,
}

impl<T> Findings<T> {
    pub(crate) const NONE: Self = Self { total: 0, listed: Vec::new() };

    pub(crate) fn note(&mut self, finding: T) {
        self.total += 1;
        if self.listed.len() < MAX_LISTED_FAULTS {
            self.listed.push(finding);
        }
    }
}

/// Parts of one series without a row, without a gap on record and not deleted by retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The series.
    pub series: Series,
    /// First number without a row.
    pub from: u64,
    /// Last number without a row.
    pub to: u64,
    /// How many of them nothing explains.
    pub parts: u64,
}

/// What [`Reader::verify`] found.
#[derive(Debug, PartialEq)]
pub struct Report {
    /// Verdicts read, each with its checksum.
    pub rows: u64,
    /// Late results read, each with its checksum.
    pub late: u64,
    /// `UNJUDGED` among the verdicts that read as they were written, by reason; in the order of [`Reason::ALL`].
    pub unjudged: [u64; Reason::ALL.len()],
    /// Verdicts among them that the broker has not acknowledged. Not a fault: they are still to be sent.
    pub unsent: u64,
    /// Parts that have entered and have no verdict yet. Not a fault: a daemon is at them, or its next start will be.
    pub open: u64,
    /// Gaps on record. Not a fault of the ledger: it says that these parts have no row.
    pub gaps: Vec<Gap>,
    /// What SQLite says of pages, indexes and constraints.
    pub structure: Findings<String>,
    /// Rows that are not what was written, of every table.
    pub damaged: Findings<DamagedRow>,
    /// Parts with more than one verdict.
    pub doubles: Findings<Key>,
    /// Stretches of parts that are missing.
    pub missing: Findings<Missing>,
}

impl Report {
    /// `UNJUDGED` parts, whatever the reason.
    #[must_use]
    pub fn unjudged_total(&self) -> u64 {
        self.unjudged.iter().sum()
    }

    /// True if every part up to the last of its series has exactly one verdict that reads as it was written, or is
    /// accounted for. Parts after the last row are beyond what a ledger can know.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.structure.total == 0 && self.damaged.total == 0 && self.doubles.total == 0 && self.missing.total == 0
    }
}

impl Reader {
    /// Reads and checks everything. It may take minutes where there are many millions of rows, and the log of a daemon
    /// that writes meanwhile grows for part of that time; inspection is not held up.
    ///
    /// # Errors
    /// [`LedgerError`] for a ledger that cannot even be read to its end.
    pub fn verify(&self) -> Result<Report, LedgerError> {
        let mut report = Report {
            rows: 0,
            late: 0,
            unjudged: [0; Reason::ALL.len()],
            unsent: 0,
            open: self.count("SELECT count(*) FROM entered")?,
            gaps: Vec::new(),
            structure: Findings::NONE,
            damaged: Findings::NONE,
            doubles: Findings::NONE,
            missing: Findings::NONE,
        };
        for line in self.all("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))? {
            if line != "ok" {
                report.structure.note(line);
            }
        }
        for object in schema::differences(self.connection()).map_err(LedgerError::of(self.path(), "read the schema"))? {
            report.structure.note(object.to_string());
        }
        self.read_rows(&mut report)?;
        self.read_late(&mut report)?;
        for table in Sealed::ALL {
            self.unsealed(table)?.into_iter().for_each(|damaged| report.damaged.note(damaged));
        }
        loop {
            report.gaps = self.gaps()?;
            (report.doubles, report.missing) = (Findings::NONE, Findings::NONE);
            self.count_numbers(&mut report)?;
            // A daemon may have ended an outage since: its gap explains what was missed before the parts just seen.
            if report.missing.total == 0 || self.gaps()? == report.gaps {
                return Ok(report);
            }
        }
    }

    fn read_rows(&self, report: &mut Report) -> Result<(), LedgerError> {
        let mut at = RowId::START;
        loop {
            let page = self.oldest(at, VERIFY_ROWS_PER_PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            at = self.later(at, last.as_ref().map_or_else(|damaged| damaged.id, |stored| stored.id))?;
            for entry in page {
                report.rows += 1;
                match entry {
                    Ok(stored) => {
                        report.unsent += u64::from(stored.acknowledged.is_none());
                        if let Outcome::Unjudged(reason) = stored.row.outcome {
                            report.unjudged[reason as usize] += 1;
                        }
                    }
                    Err(damaged) => report.damaged.note(damaged),
                }
            }
        }
    }

    fn read_late(&self, report: &mut Report) -> Result<(), LedgerError> {
        let mut at = RowId::START;
        loop {
            let page = self.late(at, VERIFY_ROWS_PER_PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            at = self.later(at, last.as_ref().map_or_else(|damaged| damaged.id, |late| late.id))?;
            report.late += page.len() as u64;
            page.into_iter().filter_map(Result::err).for_each(|damaged| report.damaged.note(damaged));
        }
    }

    /// The end of a page that begins after `at`.
    fn later<T: Copy + PartialOrd>(&self, at: T, end: T) -> Result<T, LedgerError> {
        if end > at { Ok(end) } else { Err(LedgerError::out_of_order(self.path())) }
    }

    /// Walks the numbers of every series, and looks for an explanation of each that is not there.
    fn count_numbers(&self, report: &mut Report) -> Result<(), LedgerError> {
        let names = "SELECT id, line, station, camera, run FROM series";
        let names = self.all(names, [], |row| Ok((row.get::<_, i64>(0)?, catalogue::read_series(row, 1).ok())))?;
        let names: BTreeMap<i64, Option<Series>> = names.into_iter().collect();
        let sql = "SELECT series, seq, count(*) FROM parts WHERE (series, seq) > (?1, ?2) \
                   GROUP BY series, seq ORDER BY series, seq LIMIT ?3";
        let (mut at, mut series, mut budget) = ((0, 0), None, Budget::default());
        loop {
            let page = self.all(sql, params![at.0, at.1, VERIFY_ROWS_PER_PAGE], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            })?;
            let Some((number, seq, _)) = page.last() else { return Ok(()) };
            self.later(at, (*number, *seq))?;
            for (number, seq, rows) in page {
                if at.0 != number {
                    at = (number, 0);
                    series = names.get(&number).and_then(Option::as_ref);
                    budget = series.map(|series| Budget::of(&report.gaps, series)).unwrap_or_default();
                    if series.is_none() {
                        let finding = format!("series {number} has no name that can be read");
                        if !report.structure.listed.contains(&finding) {
                            report.structure.note(finding);
                        }
                    }
                }
                let last = std::mem::replace(&mut at, (number, seq)).1;
                let Some(series) = series else { continue };
                if rows > 1 {
                    report.doubles.note(Key { series: series.clone(), seq: seq.cast_unsigned() });
                }
                for (from, to) in self.holes(number, last.saturating_add(1), seq.saturating_sub(1))? {
                    let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
                    let parts = budget.charge(from, to);
                    if parts > 0 {
                        report.missing.note(Missing { series: series.clone(), from, to, parts });
                    }
                }
            }
        }
    }

    /// What nothing explains of the numbers `from` to `to`, which had no row a moment ago: retention does not, and no part
    /// that is still open or has got its verdict meanwhile.
    fn holes(&self, series: i64, from: i64, to: i64) -> Result<Vec<(i64, i64)>, LedgerError> {
        if from > to {
            return Ok(Vec::new());
        }
        // One statement, so that a part that gets its verdict just now is seen once.
        let sql = format!(
            "SELECT from_seq, to_seq FROM purged AS p WHERE series = ?1 AND from_seq <= ?3 AND to_seq >= ?2 AND {} \
             UNION ALL SELECT seq, seq FROM entered AS e WHERE series = ?1 AND seq BETWEEN ?2 AND ?3 AND {} \
             UNION ALL SELECT seq, seq FROM parts WHERE series = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY 1",
            PURGED.is_whole("p"),
            ENTERED.is_whole("e"),
        );
        let explained = self.all(&sql, [series, from, to], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let mut holes = Vec::new();
        let mut at = from;
        for (start, end) in explained {
            if at < start {
                holes.push((at, start - 1));
            }
            at = at.max(end.saturating_add(1));
        }
        if at <= to {
            holes.push((at, to));
        }
        Ok(holes)
    }
}

/// The parts that the gaps on record of one series account for, each once: first and last number, and how many.
#[derive(Debug, Default)]
struct Budget(Vec<(u64, u64, u64)>);

impl Budget {
    fn of(gaps: &[Gap], series: &Series) -> Self {
        Self(gaps.iter().filter(|gap| gap.series == *series).map(|gap| (gap.from, gap.to, gap.parts)).collect())
    }

    /// How many of the numbers `from` to `to` no gap accounts for.
    fn charge(&mut self, from: u64, to: u64) -> u64 {
        let mut open = to.saturating_sub(from).saturating_add(1);
        for (first, last, left) in &mut self.0 {
            let (start, end) = (from.max(*first), to.min(*last));
            if start <= end {
                let taken = open.min(*left).min((end - start).saturating_add(1));
                open -= taken;
                *left -= taken;
            }
        }
        open
    }
}
