//! What came out, for people and for programs.

use std::fmt::Write;

use diad_core::drift::Signal;
use serde_json::{Value, json};

use super::parts::Train;
use super::{CONFIDENCE_OF_MISSES, Calibrated, CalibrationBound};
use crate::output::decimal;

fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

pub(super) fn text(found: &[Calibrated], asked: &CalibrationBound<'_>, diff: Option<&str>) -> String {
    let CalibrationBound { reject, review, .. } = asked;
    let mut text = format!(
        "At most {} of good parts are rejected and {} looked at, with {} confidence each, if good parts stay as these are.\n\n\
         {:<16} {:>6} {:>9} {:>9}  {:<22} missed defects\n",
        percent(reject.rate()),
        percent(review.rate()),
        percent(reject.confidence()),
        "product",
        "good",
        "review",
        "reject",
        "good parts beyond",
    );
    for Calibrated { product, good, review, reject, missed, .. } in found {
        let beyond = format!("{} and {}", review.1.exceeding, reject.1.exceeding);
        let missed = missed.map_or_else(
            || "no defective parts given".to_owned(),
            |(below, all, (low, high))| format!("{below} of {all} ({} to {})", percent(low), percent(high)),
        );
        // Writing to a `String` cannot fail.
        let _ =
            writeln!(text, "{:<16} {good:>6} {:>9} {:>9}  {beyond:<22} {missed}", product.as_str(), review.0, reject.0);
    }
    if let Some((pictures, done)) = asked.of_train(found) {
        let why = match asked.train {
            Train::LeaveOut => "the model may have been trained on them; --include-train takes them, if it was not",
            Train::Include => "the promise holds only if the model was not trained on them",
        };
        let _ = write!(text, "\n{pictures} pictures of train/good {done}: {why}\n");
    }
    for Calibrated { product, copies, left_out, .. } in found {
        if *copies > 0 {
            let _ = write!(text, "\n{product}: {copies} pictures are copies of others; a part counts once\n");
        }
        if !left_out.is_empty() {
            let _ = write!(
                text,
                "\n{product}: left out, for they are no pictures of good parts: {}\n",
                left_out.join(", ")
            );
        }
    }
    match diff {
        Some("") => text.push_str("\nthe file says so already\n"),
        Some(diff) => {
            let _ = write!(text, "\n{diff}");
        }
        None => text.push_str("\nnothing written; --write FILE puts them into a thresholds file\n"),
    }
    text
}

pub(super) fn json(found: &[Calibrated], asked: &CalibrationBound<'_>, diff: Option<&str>) -> String {
    let CalibrationBound { reject, review, .. } = asked;
    let products: Vec<Value> = found
        .iter()
        .map(|calibrated| {
            let Calibrated { product, good, review, reject, missed, reference, doubtful, train, copies, left_out } =
                calibrated;
            let missed = missed.map(|(below, all, (low, high))| {
                json!({ "below_review": below, "defective": all, "rate_low": low, "rate_high": high,
                        "confidence": CONFIDENCE_OF_MISSES })
            });
            let reference: serde_json::Map<_, _> = Signal::ALL
                .into_iter()
                .filter_map(|signal| Some((signal.as_str().to_owned(), reference.get(signal)?)))
                .map(|(name, spread)| (name, json!([spread.mean(), spread.sd()])))
                .collect();
            json!({
                "product": product.as_str(),
                "good": good,
                "review": decimal(review.0.get()),
                "reject": decimal(reject.0.get()),
                "beyond_review": review.1.exceeding,
                "beyond_reject": reject.1.exceeding,
                "allowed_beyond_reject": reject.1.allowed,
                "missed": missed,
                "reference": reference,
                "doubtful": doubtful,
                "train_good": train,
                "copies": copies,
                "left_out": left_out,
            })
        })
        .collect();
    let document = json!({
        "max_false_reject": reject.rate(),
        "max_review": review.rate(),
        "confidence": reject.confidence(),
        "train_good": asked.of_train(found).map(|(_, done)| done),
        "products": products,
        "diff": diff,
    });
    format!("{document:#}\n")
}
