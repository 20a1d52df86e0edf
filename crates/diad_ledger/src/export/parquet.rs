//! Parquet: every column optional, texts and times with their logical type, no compression beyond dictionaries.

use std::io::Write;
use std::sync::Arc;

use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use ::parquet::errors::Result as ParquetResult;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::parser::parse_message_type;

use super::columns::{COLUMNS, Column, Kind, Value};
use super::{ExportError, Exported};
use crate::error::LedgerError;
use crate::reader::{Entry, StoredRow};

/// Verdicts of one row group: what is held in memory.
const ROWS_PER_GROUP: usize = 16_384;

/// Writes verdicts as Parquet, for example [`Reader::rows`](crate::Reader::rows). Takes flat memory: 16,384 verdicts
/// at a time.
///
/// # Errors
/// [`ExportError::Ledger`] and [`ExportError::Parquet`]; what was written before cannot be read as Parquet.
pub fn parquet(
    rows: impl Iterator<Item = Result<Entry, LedgerError>>,
    out: impl Write + Send,
) -> Result<Exported, ExportError> {
    let schema = Arc::new(parse_message_type(&message())?);
    let mut writer = SerializedFileWriter::new(out, schema, Arc::default())?;
    let mut exported = Exported::NONE;
    let mut group = Vec::with_capacity(ROWS_PER_GROUP);
    for entry in rows {
        match entry? {
            Ok(stored) => {
                exported.rows += 1;
                group.push(stored);
            }
            Err(damaged) => exported.damaged.note(damaged),
        }
        if group.len() == ROWS_PER_GROUP {
            write_group(&mut writer, &group)?;
            group.clear();
        }
    }
    if !group.is_empty() {
        write_group(&mut writer, &group)?;
    }
    writer.close()?;
    Ok(exported)
}

fn message() -> String {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Text => ("BYTE_ARRAY", " (STRING)"),
            Kind::Whole => ("INT64", " (INTEGER(64,false))"),
            Kind::Time => ("INT64", " (TIMESTAMP(MICROS,true))"),
            Kind::Single => ("FLOAT", ""),
            Kind::Double => ("DOUBLE", ""),
        };
        format!("OPTIONAL {physical} {}{logical};", column.name)
    };
    format!("message verdicts {{ {} }}", COLUMNS.iter().map(field).collect::<Vec<_>>().join(" "))
}

fn write_group(writer: &mut SerializedFileWriter<impl Write + Send>, rows: &[StoredRow]) -> ParquetResult<()> {
    let mut group = writer.next_row_group()?;
    for column in &COLUMNS {
        // One for every field of the message, in its order.
        let Some(mut out) = group.next_column()? else { break };
        let cells = rows.iter().map(|row| (column.value)(row));
        match column.kind {
            Kind::Text => write_column::<ByteArrayType>(&mut out, cells, |value| match value {
                Value::Text(text) => Some(ByteArray::from(text.as_ref())),
                _ => None,
            }),
            Kind::Whole | Kind::Time => write_column::<Int64Type>(&mut out, cells, |value| match value {
                Value::Whole(number) => Some(number.cast_signed()),
                Value::Time(moment) => Some(moment.micros()),
                _ => None,
            }),
            Kind::Single => write_column::<FloatType>(&mut out, cells, |value| match value {
                Value::Single(number) => Some(number),
                _ => None,
            }),
            Kind::Double => write_column::<DoubleType>(&mut out, cells, |value| match value {
                Value::Double(number) => Some(number),
                _ => None,
            }),
        }?;
        out.close()?;
    }
    group.close().map(drop)
}

fn write_column<'a, T: DataType>(
    out: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = Option<Value<'a>>>,
    native: fn(Value<'a>) -> Option<T::T>,
) -> ParquetResult<()> {
    let cells: Vec<_> = cells.map(|cell| cell.and_then(native)).collect();
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let values: Vec<T::T> = cells.into_iter().flatten().collect();
    out.typed::<T>().write_batch(&values, Some(&levels), None).map(drop)
}
