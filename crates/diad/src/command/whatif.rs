//! `diad whatif`: what other thresholds would have said of the recorded parts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use diad_core::event::{Judgement, Outcome};
use diad_core::judge::Verdict;
use diad_ledger::{LedgerError, Row, Span};
use serde_json::{Value, json};

use super::ledger::{LedgerCommandError, open};
use crate::cli::WhatIfArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Variable;
use crate::thresholds::ThresholdSet;
use crate::yaml::Fault;

/// Parts that are named one by one; all are counted.
const LISTED: usize = 50;

/// A question that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// The thresholds are not valid.
    #[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
    Thresholds(Vec<Fault>),
    /// The ledger is not there or cannot be read.
    #[error(transparent)]
    Open(#[from] LedgerCommandError),
    /// Reading broke off.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Standard output is gone.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl WhatIfError {
    /// How the process ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Thresholds(_) => Exit::Settings,
            Self::Open(error) => error.exit(),
            Self::Ledger(error) => error.into(),
            Self::Output(_) => Exit::Disk,
        }
    }
}

/// Parts by what was said and what would be said: `PASS`, `REVIEW`, `REJECT`.
type Moves = [[u64; 3]; 3];

/// One part of which something else would be said.
struct Changed {
    part: String,
    product: String,
    score: f32,
    before: Verdict,
    after: Verdict,
}

/// The answer.
#[derive(Default)]
struct Answer {
    judged: u64,
    unjudged: u64,
    damaged: u64,
    /// Parts of a product whose new thresholds ask for an area, which is not on record.
    by_score_alone: u64,
    all: Moves,
    by_product: BTreeMap<(String, String), Moves>,
    by_hour: BTreeMap<String, Moves>,
    changed: Vec<Changed>,
    changed_total: u64,
}

const WORDS: [Verdict; 3] = [Verdict::Pass, Verdict::Review, Verdict::Reject];

const fn column(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Review => 1,
        Verdict::Reject => 2,
    }
}

/// Rejects that were none, and rejects that would be none.
fn added_and_removed(moves: &Moves) -> (u64, u64) {
    (moves[0][2] + moves[1][2], moves[2][0] + moves[2][1])
}

fn changes(moves: &Moves) -> u64 {
    (0..3)
        .flat_map(|before| (0..3).map(move |after| (before, after)))
        .filter(|(b, a)| b != a)
        .map(|(b, a)| moves[b][a])
        .sum()
}

/// Goes over the record and prints what would be different.
///
/// # Errors
/// [`WhatIfError`].
pub fn run(args: &WhatIfArgs, variables: &[Variable]) -> Result<(), WhatIfError> {
    let set = ThresholdSet::load(&args.thresholds).map_err(WhatIfError::Thresholds)?;
    let reader = open(&args.file, variables)?;
    let mut answer = Answer::default();
    for entry in reader.rows(Span { since: args.since, until: args.until }) {
        match entry? {
            Ok(stored) => answer.take(&stored.row, &set),
            Err(_) => answer.damaged += 1,
        }
    }
    output::print(&if args.json { answer.json() } else { answer.text() })?;
    Ok(())
}

impl Answer {
    fn take(&mut self, row: &Row, set: &ThresholdSet) {
        let Outcome::Judged(Judgement { verdict: before, score, .. }) = &row.outcome else {
            self.unjudged += 1;
            return;
        };
        let cuts = set.for_product(row.product.as_ref());
        let after = match *score {
            score if score >= cuts.reject() => Verdict::Reject,
            score if score >= cuts.review() => Verdict::Review,
            _ => Verdict::Pass,
        };
        self.judged += 1;
        self.by_score_alone += u64::from(cuts.min_area_px() > 0);
        let (from, to) = (column(*before), column(after));
        let product = row.product.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let hour = row.captured.to_string();
        let hour = format!("{}:00Z", hour.get(..13).unwrap_or_default());
        self.all[from][to] += 1;
        self.by_product.entry((product.clone(), row.key.series.camera.to_string())).or_default()[from][to] += 1;
        self.by_hour.entry(hour).or_default()[from][to] += 1;
        if from != to {
            self.changed_total += 1;
            if self.changed.len() < LISTED {
                let part = row.key.to_string();
                self.changed.push(Changed { part, product, score: score.get(), before: *before, after });
            }
        }
    }

    fn text(&self) -> String {
        let (added, removed) = added_and_removed(&self.all);
        let mut text = format!(
            "{} judged parts, {} not judged (they stay so): {added} rejects more, {removed} fewer, {} verdicts change\n",
            self.judged,
            self.unjudged,
            changes(&self.all),
        );
        // Writing to a `String` cannot fail.
        if self.damaged > 0 {
            let _ = writeln!(text, "{} damaged rows left out; see `diad ledger verify`", self.damaged);
        }
        if self.by_score_alone > 0 {
            let _ = writeln!(
                text,
                "{} parts by their score alone: min_area_px needs the map, which is not on record, and could only lower them",
                self.by_score_alone
            );
        }
        if self.judged == 0 {
            return text;
        }
        let _ = writeln!(
            text,
            "\n{:<16} {:<12} {:>8} {:>8} {:>8} {:>8}",
            "product", "camera", "parts", "rejects", "more", "fewer"
        );
        for ((product, camera), moves) in &self.by_product {
            let (added, removed) = added_and_removed(moves);
            let parts: u64 = moves.iter().flatten().sum();
            let rejects: u64 = moves[2].iter().sum();
            let _ = writeln!(text, "{product:<16} {camera:<12} {parts:>8} {rejects:>8} {added:>8} {removed:>8}");
        }
        let busy = self.by_hour.iter().filter(|(_, moves)| changes(moves) > 0);
        for (index, (hour, moves)) in busy.enumerate() {
            if index == 0 {
                let _ = writeln!(text, "\n{:<20} {:>8} {:>8}", "hour", "more", "fewer");
            }
            let (added, removed) = added_and_removed(moves);
            let _ = writeln!(text, "{hour:<20} {added:>8} {removed:>8}");
        }
        for (index, Changed { part, product, score, before, after }) in self.changed.iter().enumerate() {
            if index == 0 {
                text.push('\n');
            }
            let _ = writeln!(text, "{part}  {product}  {score:.4}  {} -> {}", before.as_str(), after.as_str());
        }
        if self.changed_total > self.changed.len() as u64 {
            let _ = writeln!(text, "and {} more", self.changed_total - self.changed.len() as u64);
        }
        text
    }

    fn json(&self) -> String {
        let groups: Vec<Value> = self
            .by_product
            .iter()
            .map(|((product, camera), moves)| {
                let mut group = moves_json(moves);
                group["product"] = if product == "-" { Value::Null } else { product.as_str().into() };
                group["camera"] = camera.as_str().into();
                group
            })
            .collect();
        let hours: Vec<Value> = self
            .by_hour
            .iter()
            .map(|(hour, moves)| {
                let mut group = moves_json(moves);
                group["hour"] = hour.as_str().into();
                group
            })
            .collect();
        let changed: Vec<Value> = self
            .changed
            .iter()
            .map(|c| json!({ "part": c.part, "product": c.product, "score": c.score, "before": c.before.as_str(), "after": c.after.as_str() }))
            .collect();
        let mut document = moves_json(&self.all);
        document["judged"] = self.judged.into();
        document["unjudged"] = self.unjudged.into();
        document["damaged"] = self.damaged.into();
        document["by_score_alone"] = self.by_score_alone.into();
        document["by_product"] = groups.into();
        document["by_hour"] = hours.into();
        document["changed"] = json!({ "total": self.changed_total, "listed": changed });
        format!("{document:#}\n")
    }
}

fn moves_json(moves: &Moves) -> Value {
    let (added, removed) = added_and_removed(moves);
    let row = |before: usize| {
        let cells = WORDS.iter().map(|after| (after.as_str().to_owned(), moves[before][column(*after)].into()));
        Value::Object(cells.collect())
    };
    let before: serde_json::Map<_, _> =
        WORDS.iter().map(|verdict| (verdict.as_str().to_owned(), row(column(*verdict)))).collect();
    json!({ "rejects_added": added, "rejects_removed": removed, "from": before })
}
