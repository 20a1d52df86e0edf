//! `diad ledger export`: verdicts for other programs.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::iter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use diad_ledger::export::{self, ExportError, Exported};
use diad_ledger::{LedgerError, Reader, Span};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::error::RequestError;
use super::{LedgerCommandError, counted, open};
use crate::chain::chain;
use crate::cli::{ExportFormat, LedgerExportArgs};
use crate::files::Draft;
use crate::output;
use crate::settings::Variable;

/// Writes the verdicts, all or none of them; names every damaged row and leaves it out.
pub(super) fn run(args: &LedgerExportArgs, variables: &[Variable]) -> Result<(), LedgerCommandError> {
    let request = Request::of(args)?;
    let reader = open(&args.file, variables)?;
    let Some(path) = request.file else { return to_stdout(&reader, request.span) };
    expect_free(path, reader.path(), args.force)?;
    let draft = Draft::create(path)?;
    let bar = spinner();
    let (written, broken) = write(&reader, request.span, &bar, request.format, draft.file());
    bar.finish_and_clear();
    let exported = written.map_err(|source| broken_off(path.display().to_string(), source))?;
    // It took its time: the place may have been taken meanwhile.
    expect_free(path, reader.path(), args.force)?;
    draft.keep()?;
    output::print(&match args.json {
        true => json(reader.path(), path, request.format, &exported, broken.is_none()),
        false => format!("{}: {}\n", path.display(), counted(exported.rows, "verdict")),
    })?;
    conclude(&exported, broken)
}

fn to_stdout(reader: &Reader, span: Span) -> Result<(), LedgerCommandError> {
    let mut out = Stdout { stream: io::stdout(), hung_up: false };
    let (written, broken) = write(reader, span, &ProgressBar::hidden(), ExportFormat::Csv, &mut out);
    match written {
        // The reader has read enough: that is no error.
        _ if out.hung_up => Ok(()),
        Ok(exported) => conclude(&exported, broken),
        Err(source) => Err(broken_off("standard output".to_owned(), source)),
    }
}

fn broken_off(to: String, source: ExportError) -> LedgerCommandError {
    LedgerCommandError::Export { to, source: Box::new(source) }
}

/// What is to be written, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Request<'a> {
    /// `None` is standard output.
    file: Option<&'a Path>,
    format: ExportFormat,
    span: Span,
}

impl<'a> Request<'a> {
    fn of(args: &'a LedgerExportArgs) -> Result<Self, RequestError> {
        let span = Span { since: args.since, until: args.until };
        if let (Some(since), Some(until)) = (span.since, span.until)
            && since >= until
        {
            return Err(RequestError::Span);
        }
        let Some(path) = args.out.as_deref().filter(|path| *path != Path::new("-")) else {
            return match (args.format, args.json) {
                (Some(ExportFormat::Parquet), _) => Err(RequestError::ParquetToStdout),
                (_, true) => Err(RequestError::JsonToStdout),
                (_, false) => Ok(Self { file: None, format: ExportFormat::Csv, span }),
            };
        };
        let format = match args.format {
            Some(format) => format,
            None => of_name(path).ok_or_else(|| RequestError::Format { path: path.to_owned() })?,
        };
        Ok(Self { file: Some(path), format, span })
    }
}

fn of_name(path: &Path) -> Option<ExportFormat> {
    let extension = path.extension()?.to_str()?;
    match extension.to_ascii_lowercase().as_str() {
        "csv" => Some(ExportFormat::Csv),
        "parquet" => Some(ExportFormat::Parquet),
        _ => None,
    }
}

/// Refuses to write over what must not be lost.
fn expect_free(path: &Path, ledger: &Path, force: bool) -> Result<(), RequestError> {
    let Ok(there) = fs::metadata(path) else { return Ok(()) };
    let path = || path.to_owned();
    if !there.is_file() {
        return Err(RequestError::NotAFile { path: path() });
    }
    let same = |file: &PathBuf| fs::metadata(file).is_ok_and(|it| (it.dev(), it.ino()) == (there.dev(), there.ino()));
    if belongings(ledger).iter().any(same) {
        return Err(RequestError::Itself { path: path() });
    }
    if force { Ok(()) } else { Err(RequestError::Exists { path: path() }) }
}

/// The files of a ledger.
fn belongings(ledger: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", ".lock"].map(|end| {
        let mut name = ledger.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

/// Writes a whole document. A damaged part of the ledger ends it early and is returned beside it: what was read before
/// can be saved, and often that is what the export is for.
fn write(
    reader: &Reader,
    span: Span,
    bar: &ProgressBar,
    format: ExportFormat,
    out: impl Write + Send,
) -> (Result<Exported, ExportError>, Option<LedgerError>) {
    let mut rows = reader.rows(span);
    let mut broken = None;
    let sound = iter::from_fn(|| match rows.next()? {
        Err(error @ LedgerError::Damaged { .. }) => {
            broken = Some(error);
            None
        }
        row => {
            bar.inc(1);
            Some(row)
        }
    });
    let written = match format {
        ExportFormat::Csv => export::csv(sound, out),
        ExportFormat::Parquet => export::parquet(sound, out),
    };
    (written, broken)
}

/// Names what could not be exported, and fails if there is anything.
fn conclude(exported: &Exported, broken: Option<LedgerError>) -> Result<(), LedgerCommandError> {
    let damaged = &exported.damaged;
    damaged.listed.iter().for_each(|row| tracing::error!("{}", chain(row)));
    let more = damaged.total.saturating_sub(damaged.listed.len() as u64);
    if more > 0 {
        tracing::error!("and {}", counted(more, "more damaged row"));
    }
    match (broken, damaged.total) {
        (Some(source), _) => Err(LedgerCommandError::EndsEarly { rows: exported.rows, source }),
        (None, 0) => Ok(()),
        (None, rows) => Err(LedgerCommandError::DamagedRows { rows }),
    }
}

fn json(ledger: &Path, out: &Path, format: ExportFormat, exported: &Exported, is_whole: bool) -> String {
    let document = json!({
        "ledger": ledger.to_string_lossy(),
        "out": out.to_string_lossy(),
        "format": match format {
            ExportFormat::Csv => "csv",
            ExportFormat::Parquet => "parquet",
        },
        "rows": exported.rows,
        "whole": is_whole,
        "damaged": {
            "total": exported.damaged.total,
            "listed": exported.damaged.listed.iter().map(|row| chain(row)).collect::<Vec<_>>(),
        },
    });
    format!("{document:#}\n")
}

/// Drawn on standard error, and only if that is a terminal. How many rows there are would take as long to count.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} verdicts") {
        bar.set_style(style);
    }
    bar
}

/// Standard output that remembers whether its reader has hung up.
struct Stdout {
    stream: io::Stdout,
    hung_up: bool,
}

impl Stdout {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.hung_up |= matches!(&result, Err(error) if error.kind() == ErrorKind::BrokenPipe);
        result
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.stream.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.stream.flush();
        self.note(result)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command, LedgerCommand};

    fn args(line: &str) -> LedgerExportArgs {
        let line = ["diad", "ledger", "export"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(line).unwrap().command {
            Command::Ledger(LedgerCommand::Export(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn format_is_what_was_said_or_what_the_name_ends_in() {
        use ExportFormat::{Csv, Parquet};
        for (line, file, format) in [
            ("", None, Csv),
            ("--out -", None, Csv),
            ("--out - --format csv", None, Csv),
            ("--out a.csv", Some("a.csv"), Csv),
            ("--out a.PARQUET", Some("a.PARQUET"), Parquet),
            ("--out a.csv --format parquet", Some("a.csv"), Parquet),
            ("--out ./- --format csv", Some("./-"), Csv),
        ] {
            let args = args(line);
            let want = Request { file: file.map(Path::new), format, span: Span::ALL };
            assert_eq!(Request::of(&args), Ok(want), "{line}");
        }
    }

    #[test]
    fn requests_that_no_export_can_come_of_are_refused() {
        let format = |path: &str| RequestError::Format { path: path.into() };
        for (line, want) in [
            ("--out a", format("a")),
            ("--out a.xlsx", format("a.xlsx")),
            ("--out .csv", format(".csv")),
            ("--format parquet", RequestError::ParquetToStdout),
            ("--out - --json", RequestError::JsonToStdout),
            ("--since 2026-01-02 --until 2026-01-02", RequestError::Span),
        ] {
            assert_eq!(Request::of(&args(line)), Err(want), "{line}");
        }
    }

    #[test]
    fn expect_free_never_gives_away_the_ledger_or_what_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let ledger = at("l.sqlite3");
        for name in ["l.sqlite3", "l.sqlite3-wal", "l.sqlite3.lock", "old.csv"] {
            fs::write(at(name), "").unwrap();
        }
        fs::hard_link(&ledger, at("same.csv")).unwrap();
        std::os::unix::fs::symlink(at("l.sqlite3-wal"), at("link.csv")).unwrap();
        assert_eq!(expect_free(&at("new.csv"), &ledger, false), Ok(()));
        assert_eq!(expect_free(&at("old.csv"), &ledger, true), Ok(()));
        assert_eq!(expect_free(&at("old.csv"), &ledger, false), Err(RequestError::Exists { path: at("old.csv") }));
        for name in ["l.sqlite3", "l.sqlite3-wal", "l.sqlite3.lock", "same.csv", "link.csv"] {
            assert_eq!(expect_free(&at(name), &ledger, true), Err(RequestError::Itself { path: at(name) }), "{name}");
        }
        for path in [folder.path(), Path::new("/dev/null")] {
            assert_eq!(expect_free(path, &ledger, true), Err(RequestError::NotAFile { path: path.to_owned() }));
        }
    }
}
