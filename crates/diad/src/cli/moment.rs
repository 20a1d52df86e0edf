//! A time as a person types it.

use diad_ledger::Moment;
use time::format_description::StaticFormatDescription;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

const DATE: StaticFormatDescription = format_description!("[year]-[month]-[day]");

/// Why a text is no time.
#[derive(Debug, thiserror::Error)]
#[error("a time is a date or RFC 3339 with its offset: 2026-01-31, 2026-01-31T08:00:00Z, 2026-01-31T09:00:00+01:00")]
pub(crate) struct NoMoment(#[source] time::error::Parse);

/// Takes RFC 3339, or a date alone for its first moment in UTC. The ledger counts whole microseconds: what lies between
/// two of them is the later one, so that "from here on" and "before this" keep their meaning.
pub(crate) fn parse(text: &str) -> Result<Moment, NoMoment> {
    let at = match Date::parse(text, DATE) {
        Ok(date) => date.midnight().assume_utc(),
        Err(_) => OffsetDateTime::parse(text, &Rfc3339).map_err(NoMoment)?,
    };
    let nanos = at.unix_timestamp_nanos();
    let micros = nanos.div_euclid(1000) + i128::from(nanos.rem_euclid(1000) > 0);
    // Years have four digits, so this holds.
    Ok(Moment::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_takes_dates_and_rfc_3339() {
        for (text, want) in [
            ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
            ("2024-02-29", "2024-02-29T00:00:00.000000Z"),
            ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000000Z"),
            ("2026-01-31T00:30:00+01:00", "2026-01-30T23:30:00.000000Z"),
            ("2026-01-31T08:00:00.123456Z", "2026-01-31T08:00:00.123456Z"),
            ("2026-01-31T08:00:00.1234560001Z", "2026-01-31T08:00:00.123456Z"),
            ("2026-01-31T08:00:00.123456001Z", "2026-01-31T08:00:00.123457Z"),
            ("1960-01-01", "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), want, "{text}");
        }
    }

    #[test]
    fn parse_refuses_what_leaves_the_moment_open() {
        for text in
            ["", "yesterday", "2026-1-31", "2026-02-30", "31.01.2026", "2026-01-31T08:00:00", "2026-01-31T25:00:00Z"]
        {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains("2026-01-31T08:00:00Z"), "{text}: {error}");
        }
    }
}
