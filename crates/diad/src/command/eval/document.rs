//! What was measured, for people: tables, shared by the text and the report.

use std::fmt::Write;

use diad_core::metrics::Interval;

use super::comparison::{COMPARED, Comparison};
use super::confusion::{Confusion, Share, VERDICTS};
use super::figures::{Figure, mean};
use super::measure::Evaluation;
use super::sureness::{CONFIDENCE, Intervals, Sureness};

/// Cells of the table: a heading, a row for each product, and the mean.
#[must_use]
pub fn table(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let heading = ["class", "good", "defective"].into_iter().chain(Figure::ALL.map(Figure::title));
    let mut rows = vec![heading.map(str::to_owned).collect::<Vec<_>>()];
    for product in &evaluation.products {
        let (good, defective) = product.counts();
        let mut row = vec![product.name.clone(), good.to_string(), defective.to_string()];
        row.extend(Figure::ALL.map(|figure| cell(product.figures.get(figure).ok())));
        rows.push(row);
    }
    let mut row = vec!["mean".to_owned(), String::new(), String::new()];
    let figures = || evaluation.products.iter().map(|product| &product.figures);
    row.extend(Figure::ALL.map(|figure| cell(mean(figures(), figure))));
    rows.push(row);
    rows
}

/// Cells of the table of verdicts, if there are thresholds to judge by: good and defective parts by verdict, a row for each
/// product and their sum, and how sure the rates of mistakes are.
#[must_use]
pub fn verdicts(evaluation: &Evaluation) -> Option<Vec<Vec<String>>> {
    let total = evaluation.confusion()?;
    let percent = CONFIDENCE * 100.0;
    let counts = |of: &str| VERDICTS.map(|verdict| format!("{of} {}", verdict.as_str()));
    let mut heading = vec!["class".to_owned()];
    heading.extend(counts("good"));
    heading.push(format!("false rejects, {percent} %"));
    heading.extend(counts("defective"));
    heading.push(format!("misses, {percent} %"));
    let row = |name: &str, confusion: &Confusion| {
        let mut row = vec![name.to_owned()];
        let sides = [(confusion.good, confusion.false_rejects()), (confusion.defective, confusion.misses())];
        for (verdicts, mistakes) in sides {
            row.extend(VERDICTS.map(|verdict| verdicts.of(verdict).to_string()));
            row.push(rate(mistakes));
        }
        row
    };
    let products = evaluation.products.iter().filter_map(|product| Some(row(&product.name, &product.confusion()?)));
    let mut rows: Vec<_> = std::iter::once(heading).chain(products).collect();
    rows.push(row("total", &total));
    Some(rows)
}

/// A share in percent with its interval.
fn rate(share: Option<Share>) -> String {
    share.map_or_else(
        || "-".to_owned(),
        |share| {
            let Interval { low, high } = share.interval();
            format!("{:.1} % ({:.1} to {:.1})", 100.0 * share.value(), 100.0 * low, 100.0 * high)
        },
    )
}

/// Cells of the second table: how sure the figures are, and what plain picture statistics outside the defects score.
#[must_use]
pub fn sureness(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let range = |interval: Option<Interval>| {
        interval.map_or_else(|| "-".to_owned(), |interval| format!("{:.3} to {:.3}", interval.low, interval.high))
    };
    let percent = CONFIDENCE * 100.0;
    let figures = [Figure::ImageAuroc, Figure::PixelAuroc, Figure::Aupro];
    let heading = figures.map(|figure| format!("{}, {percent} %", figure.title()));
    let mut rows = vec![[&["class".to_owned()], &heading[..], &["shortcut".to_owned()]].concat()];
    let mut add = |name: &str, Intervals { image, pixel, aupro }: Intervals, shortcut: String| {
        rows.push(vec![name.to_owned(), range(image), range(pixel), range(aupro), shortcut]);
    };
    for product in &evaluation.products {
        let shortcut = product
            .shortcut
            .map_or_else(|| "-".to_owned(), |(statistic, auroc)| format!("{auroc:.3} by {}", statistic.as_str()));
        add(&product.name, product.sureness.intervals(), shortcut);
    }
    let all: Vec<_> = evaluation.products.iter().map(|product| &product.sureness).collect();
    add("mean", Sureness::of_mean(&all), String::new());
    rows
}

/// Cells of the table of witnesses, if some product has them: the image AUROC of each witness alone, its weight in
/// brackets, beside that of all together.
#[must_use]
pub fn witnesses(evaluation: &Evaluation) -> Option<Vec<Vec<String>>> {
    let mut names: Vec<&str> = Vec::new();
    for witness in evaluation.products.iter().flat_map(|product| &product.witnesses) {
        if !names.contains(&&*witness.name) {
            names.push(&witness.name);
        }
    }
    if names.is_empty() {
        return None;
    }
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let heading = ["image AUROC of", "all"].into_iter().chain(names.iter().copied()).map(str::to_owned).collect();
    let mut rows: Vec<Vec<String>> = vec![heading];
    for product in &evaluation.products {
        let mut row = vec![product.name.clone(), cell(product.figures.get(Figure::ImageAuroc).ok())];
        row.extend(names.iter().map(|name| {
            let own = product.witnesses.iter().find(|witness| &*witness.name == *name);
            own.map_or_else(|| "-".to_owned(), |own| format!("{} ({:.2})", cell(own.image_auroc), own.weight))
        }));
        rows.push(row);
    }
    Some(rows)
}

/// What a reader should know of the products, a line each: which have no name that thresholds or model know, and why
/// figures are missing.
#[must_use]
pub fn reasons(evaluation: &Evaluation) -> Vec<String> {
    let judged = if evaluation.thresholds.is_some() { "; its parts are judged by the default" } else { "" };
    let mut lines: Vec<_> = evaluation.strangers.iter().map(|stranger| format!("{stranger}{judged}")).collect();
    for product in &evaluation.products {
        let mut told: Vec<(String, Vec<&str>)> = Vec::new();
        for figure in Figure::ALL {
            if let Err(error) = product.figures.get(figure) {
                let reason = error.to_string();
                match told.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, titles)) => titles.push(figure.title()),
                    None => told.push((reason, vec![figure.title()])),
                }
            }
        }
        lines.extend(
            told.into_iter().map(|(reason, titles)| format!("{}: no {}: {reason}", product.name, titles.join(", "))),
        );
    }
    lines
}

/// Everything as text with aligned columns.
#[must_use]
pub fn text(evaluation: &Evaluation, comparison: Option<&Comparison<'_>>) -> String {
    let mut text = aligned(&table(evaluation));
    // Writing to a `String` cannot fail.
    for line in reasons(evaluation) {
        let _ = writeln!(text, "{line}");
    }
    let _ = write!(text, "\n{}", aligned(&sureness(evaluation)));
    if let Some(witnesses) = witnesses(evaluation) {
        let _ = write!(text, "\n{}", aligned(&witnesses));
    }
    if let Some(verdicts) = verdicts(evaluation) {
        let _ = write!(text, "\n{}", aligned(&verdicts));
    }
    let _ = writeln!(text, "\n{:10}  {:>8}  {:>8}", "ms a part", "p50", "p99");
    for (stage, times) in evaluation.latencies.rows() {
        let _ = writeln!(text, "{stage:10}  {:8.2}  {:8.2}", times.p50, times.p99);
    }
    if let Some(comparison) = comparison {
        let _ = write!(text, "\n{}", aligned(&comparison.table()));
        for figure in COMPARED {
            let _ = write!(text, "\n{}", aligned(&comparison.by_product(figure)));
        }
    }
    text
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a `String` cannot fail.
            let _ = if column == 0 { write!(line, "{cell:width$}") } else { write!(line, "  {cell:>width$}") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
