//! What people said of verdicts after looking at the part.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::moment::Moment;
use crate::reader::Reader;
use crate::row::{Key, RowId, Series};
use crate::seal::MARKS;

#[cfg(test)]
mod tests;

/// A person's word on a part that was not passed, or nearly so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// The part is bad.
    TrueReject,
    /// The part is good.
    FalseReject,
}

impl Mark {
    /// Every word, in the order of declaration.
    pub const ALL: [Self; 2] = [Self::TrueReject, Self::FalseReject];

    /// The word as it is kept.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TrueReject => "true_reject",
            Self::FalseReject => "false_reject",
        }
    }

    /// The word of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.as_str() == word)
    }
}

impl Ledger {
    /// Keeps what a person says of a part, instead of what was said before; `None` takes it back. False if there is no
    /// such part.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing is changed then.
    pub fn mark(&mut self, key: &Key, mark: Option<Mark>, at: Moment) -> Result<bool, LedgerError> {
        let path = self.path().to_path_buf();
        let change = self.change()?;
        let write = || -> rusqlite::Result<bool> {
            let Series { line, station, camera, run } = &key.series;
            let part: Option<i64> = change
                .prepare_cached(
                    "SELECT id FROM parts WHERE seq = ?5 AND series = \
                     (SELECT id FROM series WHERE line = ?1 AND station = ?2 AND camera = ?3 AND run = ?4)",
                )?
                .query_row(
                    params![line.as_str(), station.as_str(), camera.as_str(), run.as_str(), key.seq.cast_signed()],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(part) = part else { return Ok(false) };
            match mark {
                Some(mark) => change
                    .prepare_cached(&format!("INSERT OR REPLACE INTO {} VALUES ({})", MARKS.target(), MARKS.values()))?
                    .execute(params![part, mark.as_str(), at.micros()])?,
                None => change.prepare_cached("DELETE FROM marks WHERE part = ?1")?.execute([part])?,
            };
            change.commit()?;
            Ok(true)
        };
        write().map_err(LedgerError::of(&path, "keep a mark"))
    }
}

impl Reader {
    /// What was said of one verdict. A word that does not read as it was written counts as none: it can be said again.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn mark(&self, row: RowId) -> Result<Option<Mark>, LedgerError> {
        let sql = format!("SELECT mark FROM marks AS m WHERE part = ?1 AND {}", MARKS.is_whole("m"));
        let marks = self.all(&sql, [row.number()], |row| row.get::<_, String>(0))?;
        Ok(marks.first().and_then(|word| Mark::from_word(word)))
    }

    /// Everything that was said: as many as people had time for.
    ///
    /// # Errors
    /// [`LedgerError`]; [`LedgerError::DamagedRow`] where one of them does not read as it was written.
    pub fn marks(&self) -> Result<BTreeMap<RowId, Mark>, LedgerError> {
        self.expect_sealed(MARKS)?;
        let read = |row: &rusqlite::Row<'_>| Ok((RowId(row.get(0)?), row.get::<_, String>(1)?));
        let marks = self.all("SELECT part, mark FROM marks", [], read)?;
        Ok(marks.into_iter().filter_map(|(row, word)| Some((row, Mark::from_word(&word)?))).collect())
    }
}
