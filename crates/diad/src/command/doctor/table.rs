//! The findings as a table, and as JSON.

use std::fmt::Write;

use console::Term;
use serde_json::{Value, json};

use super::{Check, CheckStatus};
use crate::settings::Variable;

/// Column of the results, in characters: the longest word.
const RESULT_COLUMN_WIDTH: usize = 7;
/// Between two columns.
const COLUMN_GAP: usize = 2;
/// What the last column must have at least, in characters.
const LEAST_TEXT: usize = 40;

/// How wide the table may be, in characters: as `COLUMNS` says, else as the terminal is. Without a limit where it is written
/// to something else, which may want whole lines.
pub(super) fn width(variables: &[Variable]) -> Option<usize> {
    let named =
        variables.iter().find(|(name, _)| name == "COLUMNS").and_then(|(_, value)| value.to_str()?.parse().ok());
    let term = Term::stdout();
    named.or_else(|| term.is_term().then(|| term.size_checked()).flatten().map(|(_, columns)| usize::from(columns)))
}

/// One document: every check with its result, `ok` true, false, or null where it is neither.
pub(super) fn json(checks: &[Check]) -> String {
    let check = |check: &Check| {
        let ok = match check.health {
            CheckStatus::Fine => Some(true),
            CheckStatus::Warning | CheckStatus::Skipped => None,
            CheckStatus::Failed(_) => Some(false),
        };
        let result = check.health.word();
        json!({ "check": check.name, "result": result, "ok": ok, "detail": check.detail, "remedy": check.remedy })
    };
    let document = json!({
        "ok": checks.iter().all(|check| check.failure().is_none()),
        "checks": checks.iter().map(check).collect::<Vec<Value>>(),
    });
    format!("{document:#}\n")
}

/// Result, check and what was found in columns, what to do below it. A name that is too long for its column has a line of
/// its own.
pub(super) fn text(checks: &[Check], width: Option<usize>) -> String {
    let most = width.map_or(usize::MAX, |width| (width / 4).max(RESULT_COLUMN_WIDTH));
    let names = checks.iter().map(|check| characters(&check.name));
    let column = names.filter(|length| *length <= most).max().unwrap_or(RESULT_COLUMN_WIDTH);
    let indent = RESULT_COLUMN_WIDTH + COLUMN_GAP + column + COLUMN_GAP;
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(LEAST_TEXT));
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for Check { name, health, detail, remedy } in checks {
        let mut lines: Vec<String> = detail.lines().flat_map(|line| wrapped(line, room)).collect();
        if let Some(remedy) = remedy {
            let remedy = wrapped(remedy, room.saturating_sub(3));
            let mark = |(index, line)| format!("{} {line}", if index == 0 { "->" } else { "  " });
            lines.extend(remedy.into_iter().enumerate().map(mark));
        }
        let word = health.word();
        let mut lines = lines.into_iter();
        if characters(name) > column {
            let _ = writeln!(text, "{word:<RESULT_COLUMN_WIDTH$}  {name}");
        } else {
            let _ =
                writeln!(text, "{word:<RESULT_COLUMN_WIDTH$}  {name:<column$}  {}", lines.next().unwrap_or_default());
        }
        for line in lines {
            let _ = writeln!(text, "{:indent$}{line}", "");
        }
    }
    text
}

fn characters(text: &str) -> usize {
    text.chars().count()
}

/// The words of a line in lines of at most `room` characters. A word that is longer, such as a path, stays whole.
fn wrapped(line: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut last = String::new();
    for word in line.split(' ') {
        if !last.is_empty() && characters(&last) + 1 + characters(word) > room {
            lines.push(std::mem::take(&mut last));
        }
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
    }
    lines.push(last);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn checks() -> Vec<Check> {
        vec![
            Check::fine("cpu", "2 cores"),
            Check::warning("broker", "nobody answers", "start it"),
            Check::failed("library", Exit::Unavailable, "nowhere:\nnot here\nnot there", "fetch it"),
            Check::skipped("model", "in use", "stop it"),
        ]
    }

    #[test]
    fn text_aligns_details_and_puts_remedies_below() {
        let want = "\
ok       cpu      2 cores
warning  broker   nobody answers
                  -> start it
failed   library  nowhere:
                  not here
                  not there
                  -> fetch it
skipped  model    in use
                  -> stop it
";
        assert_eq!(text(&checks(), None), want);
    }

    #[test]
    fn text_keeps_to_the_width_and_gives_long_names_a_line() {
        let name = format!("camera {}", "c".repeat(64));
        let detail =
            "a picture of 1280x720 px after 123 ms: brightness 120 of 255, clipped 0.1 %, black 0.0 %, sharpness 250";
        let checks = [Check::warning(&*name, detail, "turn the light down, or close the aperture, or expose shorter")];
        for width in [80, 160] {
            let text = text(&checks, Some(width));
            let mut lines = text.lines();
            assert_eq!(lines.next().unwrap(), format!("warning  {name}"));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            assert!(text.contains("\n         ") && text.contains("-> turn"), "{text}");
            let told: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
            assert!(told.join(" ").starts_with(detail), "nothing is left out: {text}");
        }
    }

    #[test]
    fn json_says_true_null_or_false_and_ok_only_without_failures() {
        let document: Value = serde_json::from_str(&json(&checks())).unwrap();
        assert_eq!(document["ok"], false);
        let of = |key: &str| -> Vec<Value> {
            document["checks"].as_array().unwrap().iter().map(|check| check[key].clone()).collect()
        };
        assert_eq!(of("ok"), [Value::from(true), Value::Null, Value::from(false), Value::Null]);
        assert_eq!(of("result"), ["ok", "warning", "failed", "skipped"]);
        let document: Value = serde_json::from_str(&json(&checks()[..2])).unwrap();
        assert_eq!(document["ok"], true, "a warning is no failure");
    }
}
