//! `diad ledger stats`: what the ledger holds.

use std::fmt::Write;
use std::path::Path;

use diad_core::event::Reason;
use diad_ledger::Stats;
use serde_json::{Map, Value, json};

use super::{LedgerCommandError, counted, open};
use crate::cli::LedgerStatsArgs;
use crate::output;
use crate::settings::Variable;

/// Counts and prints.
pub(super) fn run(args: &LedgerStatsArgs, variables: &[Variable]) -> Result<(), LedgerCommandError> {
    let reader = open(&args.file, variables)?;
    let stats = reader.stats()?;
    output::print(&if args.json { json(reader.path(), &stats) } else { text(reader.path(), &stats) })?;
    Ok(())
}

/// Rows whose verdict is none: damaged, and not to be hidden in the difference of two numbers.
fn unreadable(stats: &Stats) -> u64 {
    let known = stats.pass + stats.review + stats.reject + stats.unjudged_total();
    stats.parts.saturating_sub(known)
}

/// Reasons with their counts, in the order of declaration.
fn reasons(stats: &Stats) -> impl Iterator<Item = (&'static str, u64)> {
    Reason::ALL.into_iter().map(Reason::as_str).zip(stats.unjudged)
}

fn json(path: &Path, stats: &Stats) -> String {
    let (first, last) = stats.captured.map(|(first, last)| (first.to_string(), last.to_string())).unzip();
    let document = json!({
        "ledger": path.to_string_lossy(),
        "bytes": stats.bytes,
        "runs": stats.runs,
        "parts": stats.parts,
        "verdicts": {
            "PASS": stats.pass,
            "REVIEW": stats.review,
            "REJECT": stats.reject,
            "UNJUDGED": stats.unjudged_total(),
        },
        "reasons": reasons(stats).map(|(word, count)| (word.to_owned(), count.into())).collect::<Map<_, Value>>(),
        "unreadable": unreadable(stats),
        "unsent": stats.unsent,
        "open": stats.open,
        "late": stats.late,
        "gaps": stats.gaps,
        "missed": stats.missed,
        "purged": stats.purged,
        "first_captured_at": first,
        "last_captured_at": last,
    });
    format!("{document:#}\n")
}

fn text(path: &Path, stats: &Stats) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<13} {value}");
    };
    line("ledger", path.display().to_string());
    line("size", size(stats.bytes));
    line("runs", stats.runs.to_string());
    line("parts", stats.parts.to_string());
    let share = |count: u64| format!("{count:<10} {:5.1} %", 100.0 * count as f64 / stats.parts.max(1) as f64);
    for (word, count) in
        [("PASS", stats.pass), ("REVIEW", stats.review), ("REJECT", stats.reject), ("UNJUDGED", stats.unjudged_total())]
    {
        line(&format!("  {word}"), share(count));
    }
    for (word, count) in reasons(stats).filter(|(_, count)| *count > 0) {
        line(&format!("    {word}"), share(count));
    }
    if unreadable(stats) > 0 {
        line("  damaged", format!("{}: `diad ledger verify` names them", unreadable(stats)));
    }
    if let Some((first, last)) = stats.captured {
        line("first", first.to_string());
        line("last", last.to_string());
    }
    line("unsent", stats.unsent.to_string());
    line("open", stats.open.to_string());
    line("late", stats.late.to_string());
    let missed = counted(stats.missed, "part");
    line("gaps", if stats.gaps == 0 { "0".to_owned() } else { format!("{}, {missed} without a row", stats.gaps) });
    line("purged", stats.purged.to_string());
    text
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use diad_ledger::Moment;

    use super::*;

    fn some() -> Stats {
        let mut stats = Stats {
            runs: 2,
            parts: 1000,
            pass: 900,
            review: 50,
            reject: 40,
            unsent: 3,
            open: 2,
            late: 1,
            gaps: 1,
            missed: 7,
            purged: 12,
            captured: Some((Moment::from_micros(0), Moment::from_micros(1_500_000))),
            bytes: 3 << 20,
            ..Stats::default()
        };
        (stats.unjudged[0], stats.unjudged[2]) = (6, 4);
        stats
    }

    #[test]
    fn text_shows_every_count_and_only_reasons_that_occur() {
        assert_eq!(
            text(Path::new("l.sqlite3"), &some()),
            "\
ledger        l.sqlite3
size          3.0 MiB
runs          2
parts         1000
  PASS        900         90.0 %
  REVIEW      50           5.0 %
  REJECT      40           4.0 %
  UNJUDGED    10           1.0 %
    overrun   6            0.6 %
    camera    4            0.4 %
first         1970-01-01T00:00:00.000000Z
last          1970-01-01T00:00:01.500000Z
unsent        3
open          2
late          1
gaps          1, 7 parts without a row
purged        12
"
        );
    }

    #[test]
    fn rows_without_a_readable_verdict_are_told() {
        let stats = Stats { pass: 899, ..some() };
        assert!(text(Path::new("l"), &stats).contains("  damaged     1: `diad ledger verify`"));
        let document: Value = serde_json::from_str(&json(Path::new("l"), &stats)).unwrap();
        assert_eq!((&document["unreadable"], &document["verdicts"]["PASS"]), (&1.into(), &899.into()));
    }

    #[test]
    fn empty_ledger_has_zeros_and_no_times() {
        let text = text(Path::new("l"), &Stats::default());
        assert!(text.contains("PASS        0            0.0 %") && !text.contains("first"), "{text}");
        let document: Value = serde_json::from_str(&json(Path::new("l"), &Stats::default())).unwrap();
        assert!(document["first_captured_at"].is_null());
        assert_eq!(document["reasons"].as_object().unwrap().len(), Reason::ALL.len());
    }
}
