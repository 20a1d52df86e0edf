//! What came out, for people and for programs.

use std::fmt::Write;

use diad_core::tolerance::Bound;
use serde_json::{Value, json};

use super::{CONFIDENCE_OF_MISSES, Calibrated};

fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

pub(super) fn text(found: &[Calibrated], reject: &Bound, review: &Bound, diff: Option<&str>) -> String {
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
    match diff {
        Some("") => text.push_str("\nthe file says so already\n"),
        Some(diff) => {
            let _ = write!(text, "\n{diff}");
        }
        None => text.push_str("\nnothing written; --write FILE puts them into a thresholds file\n"),
    }
    text
}

pub(super) fn json(found: &[Calibrated], reject: &Bound, review: &Bound, diff: Option<&str>) -> String {
    let products: Vec<Value> = found
        .iter()
        .map(|calibrated| {
            let Calibrated { product, good, review, reject, missed, doubtful } = calibrated;
            let missed = missed.map(|(below, all, (low, high))| {
                json!({ "below_review": below, "defective": all, "rate_low": low, "rate_high": high,
                        "confidence": CONFIDENCE_OF_MISSES })
            });
            json!({
                "product": product.as_str(),
                "good": good,
                "review": review.0.get(),
                "reject": reject.0.get(),
                "beyond_review": review.1.exceeding,
                "beyond_reject": reject.1.exceeding,
                "allowed_beyond_reject": reject.1.allowed,
                "missed": missed,
                "doubtful": doubtful,
            })
        })
        .collect();
    let document = json!({
        "max_false_reject": reject.rate(),
        "max_review": review.rate(),
        "confidence": reject.confidence(),
        "products": products,
        "diff": diff,
    });
    format!("{document:#}\n")
}
