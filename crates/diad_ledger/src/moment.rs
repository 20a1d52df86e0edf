//! Wall time as the ledger keeps it.

use std::fmt;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

const FORMAT: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Last microsecond of the year 9999: the end of RFC 3339.
const END_MICROS: i64 = 253_402_300_799_999_999;

/// A wall-clock time of 1970 to 9999, whole microseconds: exactly what a verdict shows.
///
/// A clock outside these years is kept as the nearer bound, as the wire shows it: a wrong clock must not cost a row.
/// Written as RFC 3339 in UTC: `2026-01-01T08:00:00.123456Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// The time that lies `micros` microseconds after the start of 1970, or the nearer bound.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 {
            0
        } else if micros > END_MICROS {
            END_MICROS
        } else {
            micros
        })
    }

    /// Microseconds since the start of 1970, UTC.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The time for the rest of the process.
    #[must_use]
    pub fn wall(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.0.unsigned_abs())
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::UNIX_EPOCH + Duration::from_micros(self.0.unsigned_abs());
        f.write_str(&at.format(FORMAT).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moment_keeps_whole_microseconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_767_254_400, 123_456_789);
        let moment = Moment::from(time);
        assert_eq!(moment.to_string(), "2026-01-01T08:00:00.123456Z");
        assert_eq!(moment.wall(), time - Duration::from_nanos(789));
        assert_eq!(Moment::from(moment.wall()), moment);
    }

    #[test]
    fn moment_of_a_wrong_clock_is_the_nearer_bound() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (time, want) in [
            (epoch - Duration::from_secs(1), "1970-01-01T00:00:00.000000Z"),
            (epoch + Duration::from_secs(253_402_300_800), "9999-12-31T23:59:59.999999Z"),
            (epoch + Duration::from_secs(1 << 50), "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Moment::from(time).to_string(), want);
        }
    }
}
