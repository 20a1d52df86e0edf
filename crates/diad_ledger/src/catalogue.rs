//! What many rows share is kept once and named by a number.

use diad_core::name::{CameraId, LineName, NameError, RunId, StationName};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::row::{RowProvenance, Series};

/// The number of a series; a new one is added.
pub(crate) fn series_id(conn: &Connection, series: &Series) -> rusqlite::Result<i64> {
    let Series { line, station, camera, run } = series;
    let values = params![line.as_str(), station.as_str(), camera.as_str(), run.as_str()];
    let find = "SELECT id FROM series WHERE line = ?1 AND station = ?2 AND camera = ?3 AND run = ?4";
    if let Some(id) = conn.prepare_cached(find)?.query_row(values, |row| row.get(0)).optional()? {
        return Ok(id);
    }
    conn.prepare_cached("INSERT INTO series (line, station, camera, run) VALUES (?1, ?2, ?3, ?4)")?.insert(values)
}

/// The number of an origin; a new one is added.
pub(crate) fn origin_id(conn: &Connection, origin: &RowProvenance) -> rusqlite::Result<i64> {
    let values = params![origin.model, origin.thresholds, origin.settings];
    let find = "SELECT id FROM origins WHERE model = ?1 AND thresholds = ?2 AND settings = ?3";
    if let Some(id) = conn.prepare_cached(find)?.query_row(values, |row| row.get(0)).optional()? {
        return Ok(id);
    }
    conn.prepare_cached("INSERT INTO origins (model, thresholds, settings) VALUES (?1, ?2, ?3)")?.insert(values)
}

/// Reads the columns `line, station, camera, run` from column `first` on.
pub(crate) fn read_series(row: &Row<'_>, first: usize) -> rusqlite::Result<Series> {
    Ok(Series {
        line: name(row, first, LineName::try_new)?,
        station: name(row, first + 1, StationName::try_new)?,
        camera: name(row, first + 2, CameraId::try_new)?,
        run: name(row, first + 3, RunId::try_new)?,
    })
}

fn name<T>(row: &Row<'_>, column: usize, try_new: fn(&str) -> Result<T, NameError>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let wrong =
        |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(FromSqlError::other(error)));
    try_new(&text).map_err(wrong)
}
