//! `diad ledger verify`: the proof that nothing is missing, double or damaged.

use std::fmt::{Display, Write};
use std::path::Path;

use diad_core::event::Reason;
use diad_ledger::{DamagedRow, Findings, Gap, Missing, Report, Series};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{LedgerCommandError, counted, open};
use crate::chain::chain;
use crate::cli::LedgerVerifyArgs;
use crate::output;
use crate::settings::Variable;

/// Reads everything and prints what is wrong, and that something is.
pub(super) fn run(args: &LedgerVerifyArgs, variables: &[Variable]) -> Result<(), LedgerCommandError> {
    let reader = open(&args.file, variables)?;
    // Drawn on standard error, and only if that is a terminal.
    let bar = ProgressBar::new_spinner().with_message("reading every row; this may take minutes");
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar.tick();
    let report = reader.verify();
    bar.finish_and_clear();
    let report = report?;
    output::print(&if args.json { json(reader.path(), &report) } else { text(reader.path(), &report) })?;
    if report.is_sound() { Ok(()) } else { Err(LedgerCommandError::NotSound { path: reader.path().to_owned() }) }
}

fn json(path: &Path, report: &Report) -> String {
    let document = json!({
        "ledger": path.to_string_lossy(),
        "sound": report.is_sound(),
        "rows": report.rows,
        "late": report.late,
        "unjudged": { "total": report.unjudged_total(), "reasons": reasons_json(report) },
        "unsent": report.unsent,
        "open": report.open,
        "gaps": report.gaps.iter().map(gap_json).collect::<Vec<_>>(),
        "missing": findings_json(&report.missing, missing_json),
        "doubles": findings_json(&report.doubles, |key| {
            let mut part = series_json(&key.series);
            part["seq"] = key.seq.into();
            part
        }),
        "damaged": findings_json(&report.damaged, |row| chain(row).into()),
        "structure": findings_json(&report.structure, |line| line.as_str().into()),
    });
    format!("{document:#}\n")
}

fn reasons_json(report: &Report) -> Value {
    let counts = Reason::ALL.iter().zip(report.unjudged);
    Value::Object(counts.map(|(reason, count)| (reason.as_str().to_owned(), count.into())).collect())
}

fn findings_json<T>(findings: &Findings<T>, one: impl FnMut(&T) -> Value) -> Value {
    json!({ "total": findings.total, "listed": findings.listed.iter().map(one).collect::<Vec<_>>() })
}

fn series_json(series: &Series) -> Value {
    let Series { line, station, camera, run } = series;
    json!({ "line": line.as_str(), "station": station.as_str(), "camera": camera.as_str(), "run": run.as_str() })
}

fn missing_json(missing: &Missing) -> Value {
    let mut part = series_json(&missing.series);
    part["from_seq"] = missing.from.into();
    part["to_seq"] = missing.to.into();
    part["parts"] = missing.parts.into();
    part
}

fn gap_json(gap: &Gap) -> Value {
    let mut part = series_json(&gap.series);
    part["from_seq"] = gap.from.into();
    part["to_seq"] = gap.to.into();
    part["parts"] = gap.parts.into();
    part["since"] = gap.since.to_string().into();
    part["until"] = gap.until.to_string().into();
    part["cause"] = gap.cause.as_str().into();
    part
}

fn text(path: &Path, report: &Report) -> String {
    let mut text = format!(
        "{}: {} and {} read, checksums compared\n",
        path.display(),
        counted(report.rows, "verdict"),
        counted(report.late, "late result"),
    );
    // Writing to a `String` cannot fail.
    if report.unjudged_total() > 0 {
        let counts = Reason::ALL.iter().zip(report.unjudged).filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(reason, count)| format!("{count} {}", reason.as_str())).collect();
        let _ = writeln!(text, "unjudged: {}, {}", counted(report.unjudged_total(), "part"), counts.join(", "));
    }
    if report.unsent > 0 {
        let _ = writeln!(text, "unsent: {} not acknowledged by the broker", counted(report.unsent, "verdict"));
    }
    if report.open > 0 {
        let _ = writeln!(text, "open: {} entered and not decided yet", counted(report.open, "part"));
    }
    for Gap { series, from, to, parts, since, until, cause } in &report.gaps {
        let parts = counted(*parts, "part");
        let _ =
            writeln!(text, "gap on record: {parts} of {series}, {}, {since} to {until}: {cause}", range(*from, *to));
    }
    list(&mut text, "missing", &report.missing, |Missing { series, from, to, parts }| {
        format!("{} of {series}, {}", counted(*parts, "part"), range(*from, *to))
    });
    list(&mut text, "double", &report.doubles, |key| format!("{key} has more than one verdict"));
    list(&mut text, "damaged", &report.damaged, |row: &DamagedRow| chain(row));
    list(&mut text, "structure", &report.structure, Clone::clone);
    let _ = writeln!(text, "{}", conclusion(report));
    text
}

/// `number 5`, `numbers 5 to 7`.
fn range(from: u64, to: u64) -> String {
    if from == to { format!("number {from}") } else { format!("numbers {from} to {to}") }
}

fn list<T, D: Display>(text: &mut String, what: &str, findings: &Findings<T>, one: impl Fn(&T) -> D) {
    for finding in &findings.listed {
        let _ = writeln!(text, "{what}: {}", one(finding));
    }
    let more = findings.total.saturating_sub(findings.listed.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "{what}: and {more} more");
    }
}

fn conclusion(report: &Report) -> String {
    if report.is_sound() {
        return "sound: every part has exactly one verdict that reads as it was written, or its absence is on record"
            .to_owned();
    }
    let missing = report.missing.listed.iter().map(|missing| missing.parts).sum();
    // Of more stretches than are listed, only the number of stretches is known.
    let missing = match report.missing.total > report.missing.listed.len() as u64 {
        true => format!("more than {missing} missing parts"),
        false => counted(missing, "missing part"),
    };
    let counts = [
        (report.missing.total, missing),
        (report.doubles.total, counted(report.doubles.total, "part") + " with more than one verdict"),
        (report.damaged.total, counted(report.damaged.total, "damaged row")),
        (report.structure.total, counted(report.structure.total, "fault") + " of structure"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0).map(|(_, words)| words);
    format!("NOT SOUND: {}", counts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use diad_core::name::{CameraId, LineName, RunId, StationName};
    use diad_ledger::{Key, Moment};

    use super::*;

    fn series() -> Series {
        Series {
            line: LineName::try_new("L1").unwrap(),
            station: StationName::try_new("S1").unwrap(),
            camera: CameraId::try_new("cam0").unwrap(),
            run: RunId::try_new("R").unwrap(),
        }
    }

    fn sound() -> Report {
        fn none<T>() -> Findings<T> {
            Findings { total: 0, listed: Vec::new() }
        }
        Report {
            rows: 1,
            late: 0,
            unjudged: [0; Reason::ALL.len()],
            unsent: 0,
            open: 0,
            gaps: Vec::new(),
            structure: none(),
            damaged: none(),
            doubles: none(),
            missing: none(),
        }
    }

    #[test]
    fn gaps_on_record_and_unsent_verdicts_are_told_and_leave_a_ledger_sound() {
        let at = Moment::from_micros(0);
        let gap =
            Gap { series: series(), from: 5, to: 7, parts: 2, since: at, until: at, cause: "disk full".to_owned() };
        let report = Report { unsent: 2, gaps: vec![gap], ..sound() };
        let text = text(Path::new("l"), &report);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "l: 1 verdict and 0 late results read, checksums compared");
        assert_eq!(lines[1], "unsent: 2 verdicts not acknowledged by the broker");
        assert!(lines[2].starts_with("gap on record: 2 parts of L1/S1/cam0/R, numbers 5 to 7, 1970-"), "{text}");
        assert!(lines[2].ends_with(": disk full") && lines[3].starts_with("sound: "), "{text}");
    }

    #[test]
    fn unjudged_parts_are_counted_by_reason() {
        let mut report = sound();
        (report.unjudged[Reason::Trigger as usize], report.unjudged[Reason::LateTrigger as usize]) = (2, 5);
        let text = text(Path::new("l"), &report);
        assert_eq!(text.lines().nth(1), Some("unjudged: 7 parts, 2 trigger, 5 late_trigger"));
        let document: Value = serde_json::from_str(&json(Path::new("l"), &report)).unwrap();
        assert_eq!(document["unjudged"]["total"], 7);
        assert_eq!(document["unjudged"]["reasons"]["late_trigger"], 5);
        assert_eq!(document["unjudged"]["reasons"]["camera"], 0);
    }

    #[test]
    fn every_kind_of_finding_is_listed_and_counted_in_the_last_line() {
        let report = Report {
            missing: Findings { total: 1, listed: vec![Missing { series: series(), from: 3, to: 3, parts: 1 }] },
            doubles: Findings { total: 1, listed: vec![Key { series: series(), seq: 9 }] },
            structure: Findings { total: 3, listed: vec!["row 1 missing from index".to_owned()] },
            ..sound()
        };
        let text = text(Path::new("l"), &report);
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "missing: 1 part of L1/S1/cam0/R, number 3",
                "double: L1/S1/cam0/R#9 has more than one verdict",
                "structure: row 1 missing from index",
                "structure: and 2 more",
                "NOT SOUND: 1 missing part, 1 part with more than one verdict, 3 faults of structure",
            ]
        );
        let document: Value = serde_json::from_str(&json(Path::new("l"), &report)).unwrap();
        assert_eq!(document["sound"], false);
        assert_eq!(document["missing"]["listed"][0]["from_seq"], 3);
        assert_eq!(document["doubles"]["listed"][0]["seq"], 9);
        assert_eq!(document["structure"]["total"], 3);
    }

    #[test]
    fn missing_parts_beyond_the_list_are_not_made_up() {
        let listed = vec![Missing { series: series(), from: 3, to: 4, parts: 2 }];
        let report = Report { missing: Findings { total: 5, listed }, ..sound() };
        assert_eq!(conclusion(&report), "NOT SOUND: more than 2 missing parts");
    }
}
