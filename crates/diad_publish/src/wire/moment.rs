//! Wall time as receivers read it.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

const FORMAT: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Last second of the year 9999: the end of RFC 3339.
const END_SECS: u64 = 253_402_300_799;

/// A wall-clock time, written as RFC 3339 in UTC with microseconds: `2026-01-01T08:00:00.123456Z`.
///
/// A clock before 1970 or after 9999 is written as that bound: a wrong clock must not cost a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(SystemTime);

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self(time)
    }
}

impl Moment {
    /// Milliseconds since 1970.
    pub(crate) fn millis(self) -> u64 {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        since.min(Duration::new(END_SECS, 999_999_999)).as_millis().try_into().unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let since = since.min(Duration::new(END_SECS, 999_999_999));
        let at = OffsetDateTime::UNIX_EPOCH + since;
        f.write_str(&at.format(FORMAT).map_err(|_| fmt::Error)?)
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$" })
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moment_has_six_digits_and_z() {
        let base = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400);
        for (micros, want) in [(123_456, "2026-01-01T08:00:00.123456Z"), (0, "2026-01-01T08:00:00.000000Z")] {
            assert_eq!(Moment(base + Duration::from_micros(micros)).to_string(), want);
        }
    }

    #[test]
    fn moment_of_a_wrong_clock_is_still_a_time() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Moment(before).to_string(), "1970-01-01T00:00:00.000000Z");
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(END_SECS * 2);
        assert_eq!(Moment(after).to_string(), "9999-12-31T23:59:59.999999Z");
    }
}
