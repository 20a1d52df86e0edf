//! What was measured, for programs: one JSON document.

use std::fmt::Write;

use diad_core::metrics::{Curve, Interval};
use serde_json::{Map, Value, json};

use super::comparison::Comparison;
use super::confusion::{Confusion, Share, VERDICTS, Verdicts};
use super::curves::{CurveKind, Curves};
use super::figures::{Figure, mean};
use super::measure::{Evaluation, ProductResult, WitnessResult};
use super::sureness::{CONFIDENCE, Intervals, Sureness};
use crate::cli::EvalArgs;

/// The document that `--json` prints and `report.json` holds. A figure or a curve that is not defined is null, and the
/// product's `undefined` says why; whatever takes thresholds is null without them.
#[must_use]
pub fn document(evaluation: &Evaluation, args: &EvalArgs, model: &str, comparison: Option<&Comparison<'_>>) -> String {
    let Evaluation { products, latencies, thresholds, .. } = evaluation;
    let classes: Map<String, Value> =
        products.iter().map(|product| (product.name.clone(), product_json(product))).collect();
    let figures = || products.iter().map(|product| &product.figures);
    let mut means: Map<String, Value> =
        Figure::ALL.map(|figure| (figure.key().to_owned(), json!(mean(figures(), figure)))).into_iter().collect();
    let sureness: Vec<_> = products.iter().map(|product| &product.sureness).collect();
    means.extend(intervals(Sureness::of_mean(&sureness)));
    let mean_of = |kind| Curves::mean(products.iter().map(|product| &product.curves), kind);
    means.insert("curves".to_owned(), curves(|kind| curve(mean_of(kind).as_ref())));
    let latency: Map<String, Value> = latencies
        .rows()
        .map(|(stage, times)| (stage.to_owned(), json!({ "p50": times.p50, "p99": times.p99 })))
        .collect();
    let file = args.thresholds.as_ref().map(|path| path.to_string_lossy());
    let thresholds = thresholds.as_ref().map(|set| json!({ "file": file, "digest": set.digest().to_string() }));
    let mut document = json!({
        "dataset": args.dataset.to_string_lossy(),
        "model": model,
        "thresholds": thresholds,
        "classes": classes,
        "mean": means,
        "verdicts": evaluation.confusion().as_ref().map(confusion),
        "confidence": CONFIDENCE,
        "latency_ms": latency,
        "images": evaluation.images(),
        "unknown_products": evaluation.strangers,
    });
    if let Some(comparison) = comparison {
        document["comparison"] = comparison.json();
    }
    let mut text = String::new();
    lay_out(&document, 0, &mut text);
    text.push('\n');
    text
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
    object.extend(intervals(product.sureness.intervals()));
    let shortcut =
        product.shortcut.map(|(statistic, auroc)| json!({ "statistic": statistic.as_str(), "auroc": auroc }));
    object.insert("shortcut".to_owned(), json!(shortcut));
    if !product.witnesses.is_empty() {
        let witness = |own: &WitnessResult| {
            (own.name.to_string(), json!({ "weight": own.weight, "image_auroc": own.image_auroc }))
        };
        object.insert("witnesses".to_owned(), product.witnesses.iter().map(witness).collect::<Map<_, _>>().into());
    }
    if !undefined.is_empty() {
        object.insert("undefined".to_owned(), undefined.into());
    }
    let thresholds = product.thresholds.map(|own| {
        let [review, reject] = [own.review(), own.reject()].map(|cut| short(cut.get()));
        json!({ "review": review, "reject": reject, "min_area_px": own.min_area_px() })
    });
    object.insert("thresholds".to_owned(), json!(thresholds));
    object.insert("verdicts".to_owned(), json!(product.confusion().as_ref().map(confusion)));
    object.insert("curves".to_owned(), curves(|kind| curve(product.curves.get(kind))));
    let parts = product.parts.iter().map(|part| {
        let witnesses: Map<String, Value> =
            part.witnesses.iter().map(|said| (said.name.to_string(), json!(short(said.score.get())))).collect();
        let mut object = json!({
            "path": part.path.to_string_lossy(),
            "kind": part.kind,
            "score": short(part.score),
            "verdict": part.verdict.map(|verdict| verdict.as_str()),
        });
        if !witnesses.is_empty() {
            object["witnesses"] = witnesses.into();
        }
        object
    });
    object.insert("parts".to_owned(), parts.collect());
    object.into()
}

fn confusion(confusion: &Confusion) -> Value {
    let counts = |verdicts: Verdicts| -> Map<String, Value> {
        VERDICTS.map(|verdict| (verdict.as_str().to_owned(), json!(verdicts.of(verdict)))).into_iter().collect()
    };
    let interval = |share: Option<Share>| bounds(share.map(|share| share.interval()));
    let (false_rejects, misses) = (confusion.false_rejects(), confusion.misses());
    json!({
        "good": counts(confusion.good),
        "defective": counts(confusion.defective),
        "false_reject_rate": false_rejects.map(|share| share.value()),
        "false_reject_interval": interval(false_rejects),
        "miss_rate": misses.map(|share| share.value()),
        "miss_interval": interval(misses),
    })
}

fn curves(of: impl Fn(CurveKind) -> Value) -> Value {
    CurveKind::ALL.map(|kind| (kind.key().to_owned(), of(kind))).into_iter().collect::<Map<_, _>>().into()
}

/// The points' coordinates, to the fifth digit: a curve is thinned more than that.
pub fn curve(curve: Option<&Curve>) -> Value {
    let rounded = |value: f64| (value * 1e5).round() / 1e5;
    json!(curve.map(|curve| {
        let (x, y): (Vec<f64>, Vec<f64>) =
            curve.points().iter().map(|point| (rounded(point.x), rounded(point.y))).unzip();
        json!({ "x": x, "y": y })
    }))
}

/// The intervals under their keys.
pub fn intervals(intervals: Intervals) -> impl Iterator<Item = (String, Value)> {
    let Intervals { image, pixel, aupro } = intervals;
    [(Figure::ImageAuroc, image), (Figure::PixelAuroc, pixel), (Figure::Aupro, aupro)]
        .into_iter()
        .map(|(figure, interval)| (format!("{}_interval", figure.key()), bounds(interval)))
}

fn bounds(interval: Option<Interval>) -> Value {
    json!(interval.map(|interval| [interval.low, interval.high]))
}

/// The shortest number that reads as this one.
fn short(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// Writes a value so that a list or an object of nothing but plain values is one line.
fn lay_out(value: &Value, depth: usize, text: &mut String) {
    let is_nested = |value: &Value| value.is_array() || value.is_object();
    let (marks, items): (_, Vec<(String, &Value)>) = match value {
        Value::Object(fields) if fields.values().any(is_nested) => {
            (['{', '}'], fields.iter().map(|(key, value)| (format!("{}: ", json!(key)), value)).collect())
        }
        Value::Array(values) if values.iter().any(is_nested) => {
            (['[', ']'], values.iter().map(|value| (String::new(), value)).collect())
        }
        plain => {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{plain}");
            return;
        }
    };
    text.push(marks[0]);
    for (index, (key, value)) in items.into_iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.extend(std::iter::repeat_n("  ", depth + 1));
        text.push_str(&key);
        lay_out(value, depth + 1, text);
    }
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
    text.push(marks[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lay_out_puts_plain_lists_on_one_line_and_changes_nothing() {
        let value = json!({ "b": { "x": [1, 2.5], "y": [] }, "a \"q\"": [{ "p": null }, { "p": "t" }], "c": true });
        let mut text = String::new();
        lay_out(&value, 0, &mut text);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.contains("\n    \"x\": [1,2.5],\n") && text.contains("\n    {\"p\":null},\n"), "{text}");
    }

    #[test]
    fn short_numbers_read_as_they_are_written_in_a_file() {
        assert_eq!(json!([short(0.06), short(0.0), short(1.0)]).to_string(), "[0.06,0.0,1.0]");
    }
}
