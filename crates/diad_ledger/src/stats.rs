//! Counts.

use diad_core::event::Reason;
use diad_core::judge::Verdict;

use crate::error::LedgerError;
use crate::moment::Moment;
use crate::reader::Reader;

/// What a ledger holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Runs of the daemon, ever.
    pub runs: u64,
    /// Verdicts kept.
    pub parts: u64,
    /// `PASS` among them.
    pub pass: u64,
    /// `REVIEW` among them.
    pub review: u64,
    /// `REJECT` among them.
    pub reject: u64,
    /// `UNJUDGED` among them, by reason; in the order of [`Reason::ALL`].
    pub unjudged: [u64; Reason::ALL.len()],
    /// Verdicts that the broker has not acknowledged.
    pub unsent: u64,
    /// Parts that have entered and have no verdict yet.
    pub open: u64,
    /// Results that came after the verdict of their part.
    pub late: u64,
    /// Gaps on record.
    pub gaps: u64,
    /// Parts that they are about: with a verdict, but without a row.
    pub missed: u64,
    /// Verdicts that retention has deleted, ever.
    pub purged: u64,
    /// First and last capture among the verdicts kept.
    pub captured: Option<(Moment, Moment)>,
    /// Size of the database without its log, in bytes.
    pub bytes: u64,
}

impl Stats {
    /// `UNJUDGED` parts, whatever the reason.
    #[must_use]
    pub fn unjudged_total(&self) -> u64 {
        self.unjudged.iter().sum()
    }
}

impl Reader {
    /// Counts what is kept. Goes over every verdict, so it takes seconds where there are many millions; what a
    /// heartbeat needs is [`Reader::unsent_count`].
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn stats(&self) -> Result<Stats, LedgerError> {
        let mut stats = Stats {
            runs: self.count("SELECT count(*) FROM runs")?,
            unsent: self.unsent_count()?,
            open: self.count("SELECT count(*) FROM entered")?,
            late: self.count("SELECT count(*) FROM late")?,
            gaps: self.count("SELECT count(*) FROM gaps")?,
            missed: self.count("SELECT coalesce(sum(parts), 0) FROM gaps")?,
            purged: self.count("SELECT coalesce(sum(to_seq - from_seq + 1), 0) FROM purged")?,
            bytes: self.count("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?,
            ..Stats::default()
        };
        let counts = self.all("SELECT verdict, reason, count(*) FROM parts GROUP BY verdict, reason", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
        })?;
        for (verdict, reason, count) in counts {
            stats.parts += count;
            let known = Reason::ALL.iter().position(|known| Some(known.as_str()) == reason.as_deref());
            match (verdict.as_str(), known) {
                (word, _) if word == Verdict::Pass.as_str() => stats.pass += count,
                (word, _) if word == Verdict::Review.as_str() => stats.review += count,
                (word, _) if word == Verdict::Reject.as_str() => stats.reject += count,
                (_, Some(at)) => stats.unjudged[at] += count,
                // A damaged word; verify says which row it is.
                _ => {}
            }
        }
        // Apart, so that each is one step into the index.
        let bounds = "SELECT (SELECT min(captured_us) FROM parts), (SELECT max(captured_us) FROM parts)";
        let bounds = self.all(bounds, [], |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)))?;
        let moments = |(first, last)| (Moment::from_micros(first), Moment::from_micros(last));
        stats.captured = bounds.into_iter().flatten().next().map(moments);
        Ok(stats)
    }
}
