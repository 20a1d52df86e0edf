//! What was measured, for programs (one JSON document) and for people (a table).

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::figures::{Figure, mean};
use super::measure::{CONFIDENCE, Evaluation, ProductResult, Sureness};
use diad_core::metrics::Interval;

/// The document that `--json` prints and `report.json` holds. A figure that is not defined is null, and the product's
/// `undefined` says why.
#[must_use]
pub fn json(evaluation: &Evaluation, dataset: &Path, model: &str) -> Value {
    let classes: Map<String, Value> =
        evaluation.products.iter().map(|product| (product.name.clone(), product_json(product))).collect();
    let mut means: Map<String, Value> =
        Figure::ALL.map(|figure| (figure.key().to_owned(), json!(mean_of(evaluation, figure)))).into_iter().collect();
    let (image, pixel) = Sureness::of_mean(&evaluation.products);
    means.insert("image_auroc_interval".to_owned(), bounds(image));
    means.insert("pixel_auroc_interval".to_owned(), bounds(pixel));
    let latency: Map<String, Value> = evaluation
        .latencies
        .rows()
        .map(|(stage, times)| (stage.to_owned(), json!({ "p50": times.p50, "p99": times.p99 })))
        .collect();
    json!({
        "dataset": dataset.to_string_lossy(),
        "model": model,
        "classes": classes,
        "mean": means,
        "confidence": CONFIDENCE,
        "latency_ms": latency,
        "images": evaluation.images(),
    })
}

fn product_json(product: &ProductResult) -> Value {
    let (good, defective) = product.counts();
    let mut object = Map::from_iter([("good".to_owned(), json!(good)), ("defective".to_owned(), json!(defective))]);
    let mut undefined = Map::new();
    for figure in Figure::ALL {
        let value = product.figures.get(figure);
        object.insert(figure.key().to_owned(), json!(value.ok()));
        if let Err(error) = value {
            undefined.insert(figure.key().to_owned(), json!(error.to_string()));
        }
    }
    object.insert("image_auroc_interval".to_owned(), bounds(product.sureness.image()));
    object.insert("pixel_auroc_interval".to_owned(), bounds(product.sureness.pixel()));
    let shortcut =
        product.shortcut.map(|(statistic, auroc)| json!({ "statistic": statistic.as_str(), "auroc": auroc }));
    object.insert("shortcut".to_owned(), json!(shortcut));
    if !undefined.is_empty() {
        object.insert("undefined".to_owned(), undefined.into());
    }
    object.into()
}

fn bounds(interval: Option<Interval>) -> Value {
    json!(interval.map(|interval| [interval.low, interval.high]))
}

fn mean_of(evaluation: &Evaluation, figure: Figure) -> Option<f64> {
    mean(evaluation.products.iter().map(|product| &product.figures), figure)
}

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
    row.extend(Figure::ALL.map(|figure| cell(mean_of(evaluation, figure))));
    rows.push(row);
    rows
}

/// Cells of the second table: how sure the AUROCs are, and what plain picture statistics outside the defects score.
#[must_use]
pub fn sureness(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let range = |interval: Option<Interval>| {
        interval.map_or_else(|| "-".to_owned(), |interval| format!("{:.3} to {:.3}", interval.low, interval.high))
    };
    let percent = CONFIDENCE * 100.0;
    let heading = ["class".to_owned(), format!("image AUROC, {percent} %"), format!("pixel AUROC, {percent} %")];
    let mut rows = vec![[&heading[..], &["shortcut".to_owned()]].concat()];
    for product in &evaluation.products {
        let shortcut = product
            .shortcut
            .map_or_else(|| "-".to_owned(), |(statistic, auroc)| format!("{auroc:.3} by {}", statistic.as_str()));
        rows.push(vec![
            product.name.clone(),
            range(product.sureness.image()),
            range(product.sureness.pixel()),
            shortcut,
        ]);
    }
    let (image, pixel) = Sureness::of_mean(&evaluation.products);
    rows.push(vec!["mean".to_owned(), range(image), range(pixel), String::new()]);
    rows
}

/// Why figures are missing, a line for each reason of each product.
#[must_use]
pub fn reasons(evaluation: &Evaluation) -> Vec<String> {
    let mut lines = Vec::new();
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
pub fn text(evaluation: &Evaluation) -> String {
    let mut text = aligned(&table(evaluation));
    // Writing to a `String` cannot fail.
    for line in reasons(evaluation) {
        let _ = writeln!(text, "{line}");
    }
    let _ = write!(text, "\n{}", aligned(&sureness(evaluation)));
    let _ = writeln!(text, "\n{:10}  {:>8}  {:>8}", "ms a part", "p50", "p99");
    for (stage, times) in evaluation.latencies.rows() {
        let _ = writeln!(text, "{stage:10}  {:8.2}  {:8.2}", times.p50, times.p99);
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
