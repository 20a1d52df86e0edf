//! What came out, for people and for programs.

use std::fmt::Write;

use diad_ledger::Mark;
use serde_json::{Value, json};

use super::error::Listed;
use super::lesson::Told;
use super::marked::{self, Change};
use super::promise::Promised;
use crate::learnt::overlays::model_name as digest;
use crate::output::decimal;

/// Recorded parts that a report names; all are counted.
const MAX_LISTED_RECORDED: usize = 50;

fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

pub(super) fn text(told: &Told) -> String {
    let Told { product, parts: (parts, new), copies, promise, asked, .. } = told;
    let mut text = match parts - *new as u64 {
        0 => format!("{product}: learnt from {parts} good parts"),
        earlier => format!("{product}: {new} good parts added to {earlier}"),
    };
    if *copies > 0 {
        let _ = write!(text, " ({copies} copies left out)");
    }
    text.push('\n');
    if !told.doubtful.is_empty() {
        let named = Listed(told.doubtful.clone());
        let _ = writeln!(
            text,
            "learnt as good, and unlike the others: {named}; look at them, a defect among them is learnt"
        );
    }
    let _ = writeln!(text, "\n{:<28} {:>7} {:>10} {:>10}", "witness", "weight", "mean", "sd");
    for (name, share) in &told.witnesses {
        let (weight, mean, sd) = (share.weight(), share.mean(), share.sd());
        let _ = writeln!(text, "{name:<28} {weight:>7.3} {mean:>10.5} {sd:>10.5}");
    }
    text.push('\n');
    for (what, promised, asked) in
        [("rejected", &promise.reject, &asked.reject), ("looked at", &promise.review, &asked.review)]
    {
        text.push_str(&promise_line(what, promised, asked, *parts));
    }
    let _ = writeln!(text, "review {}, reject {}", promise.review.score, promise.reject.score);
    if promise.review.score == promise.reject.score {
        text.push_str("nothing goes to a person: the parts are too few to tell the two apart\n");
    }
    let _ = writeln!(text, "bank {}, {} KiB", digest(told.bank), told.bytes.div_ceil(1024));
    match &told.diff {
        Some(diff) => {
            let _ = write!(text, "\n{diff}");
        }
        None => text.push_str("\nno thresholds file is written: --config FILE names a station\n"),
    }
    if told.dry_run {
        text.push_str("\nnothing is written: --dry-run\n");
    }
    text
}

/// What is promised, and what the parts lack of what was asked for.
fn promise_line(what: &str, promised: &Promised, asked: &diad_core::tolerance::ToleranceBound, parts: u64) -> String {
    let (rate, confidence) = (percent(promised.bound.rate()), percent(promised.bound.confidence()));
    let mut line = format!("at most {rate} of good parts are {what}, with {confidence} confidence");
    if promised.bound != *asked {
        let _ = write!(
            line,
            ": {parts} good parts support no less, {} support {}",
            asked.parts_needed(),
            percent(asked.rate())
        );
    }
    line.push('\n');
    line
}

pub(super) fn json(told: &Told) -> String {
    let promised = |promised: &Promised| {
        json!({
            "cut": decimal(promised.score.get()),
            "rate": promised.bound.rate(),
            "beyond": promised.cut.exceeding,
            "allowed": promised.cut.allowed,
        })
    };
    let witnesses: Vec<Value> = told
        .witnesses
        .iter()
        .map(|(name, share)| {
            json!({ "witness": name, "weight": share.weight(), "mean": share.mean(), "sd": share.sd() })
        })
        .collect();
    let document = json!({
        "product": told.product.as_str(),
        "parts": told.parts.0,
        "new": told.parts.1,
        "copies": told.copies,
        "doubtful": told.doubtful,
        "scores": told.scores.iter().map(|(part, score)| json!({ "part": part, "score": decimal(*score) })).collect::<Vec<_>>(),
        "witnesses": witnesses,
        "confidence": told.promise.reject.bound.confidence(),
        "asked": { "max_false_reject": told.asked.reject.rate(), "max_review": told.asked.review.rate(),
                   "parts_needed": told.asked.reject.parts_needed() },
        "reject": promised(&told.promise.reject),
        "review": promised(&told.promise.review),
        "bank": digest(told.bank),
        "bytes": told.bytes,
        "rows": told.rows,
        "diff": told.diff,
        "dry_run": told.dry_run,
    });
    format!("{document:#}\n")
}

pub(super) fn marked_text(told: &marked::Told) -> String {
    let marked::Told { product, added, refused, rows, judged, written } = told;
    let named = Listed(added.clone());
    let mut text = format!("{product}: {} recorded parts that a person called good are added: {named}\n", added.len());
    if *refused > 0 {
        let _ = writeln!(
            text,
            "{refused} patches of them are nearer to a part that a person called bad than to the good ones, and are left out"
        );
    }
    let _ = writeln!(text, "rows of the banks: {:?}, before {:?}", rows.1, rows.0);
    let changes: Vec<&Change> = told.changes().collect();
    let _ = writeln!(text, "{} recorded parts judged anew, {} verdicts change\n", judged.len(), changes.len());
    let mut line = |change: &Change| {
        let (before, after) = change.verdict;
        let mark = match change.mark {
            Some(Mark::FalseReject) => "called good",
            Some(Mark::TrueReject) => "called bad",
            None => "",
        };
        let (part, (from, to)) = (&change.part, change.score);
        let _ = writeln!(text, "{part}  {from:.4} -> {to:.4}  {} -> {}  {mark}", before.as_str(), after.as_str());
    };
    changes.iter().take(MAX_LISTED_RECORDED).for_each(|change| line(change));
    // A marked part that does not change is what the person who marked it wants to know.
    let stay = judged.iter().filter(|change| change.mark.is_some() && change.verdict.0 == change.verdict.1);
    stay.take(MAX_LISTED_RECORDED).for_each(line);
    let lost = told.lost().count();
    if lost > 0 {
        let _ = writeln!(
            text,
            "\n{lost} of the parts that a person called bad would pass: --yes is refused without --force"
        );
    }
    match written {
        Some((bank, diff)) => {
            let _ = write!(text, "\nbank {bank}\n\n{diff}");
        }
        None => text.push_str("\nnothing is written: --yes accepts it\n"),
    }
    text
}

pub(super) fn marked_json(told: &marked::Told) -> String {
    let change = |change: &Change| {
        json!({
            "part": change.part,
            "mark": change.mark.map(Mark::as_str),
            "score_before": decimal(change.score.0),
            "score": decimal(change.score.1),
            "before": change.verdict.0.as_str(),
            "after": change.verdict.1.as_str(),
        })
    };
    let document = json!({
        "product": told.product.as_str(),
        "added": told.added,
        "patches_refused": told.refused,
        "rows_before": told.rows.0,
        "rows": told.rows.1,
        "judged": told.judged.len(),
        "changed": told.changes().map(change).collect::<Vec<_>>(),
        "marked": told.judged.iter().filter(|c| c.mark.is_some()).map(change).collect::<Vec<_>>(),
        "defects_that_pass": told.lost().map(|change| change.part.as_str()).collect::<Vec<_>>(),
        "bank": told.written.as_ref().map(|(bank, _)| bank),
        "diff": told.written.as_ref().map(|(_, diff)| diff),
    });
    format!("{document:#}\n")
}
