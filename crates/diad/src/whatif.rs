//! What other thresholds would have said of the recorded parts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use diad_core::event::{Judgement, Outcome};
use diad_core::judge::Verdict;
use diad_ledger::{LedgerError, Mark, Reader, Row, Span};
use serde_json::{Value, json};

use crate::archive::{self, ImageKind};
use crate::output::decimal;
use crate::thresholds::ThresholdSet;

/// Parts that are named one by one; all are counted.
const MAX_LISTED_PARTS: usize = 50;

/// Parts by what was said and what would be said: `PASS`, `REVIEW`, `REJECT`.
type VerdictMoves = [[u64; 3]; 3];

/// One part of which something else would be said.
#[derive(Debug)]
struct ChangedPart {
    part: String,
    /// Its name on the page.
    key: String,
    /// What the camera saw, if that is kept.
    picture: Option<PathBuf>,
    product: String,
    score: f32,
    before: Verdict,
    after: Verdict,
}

/// The answer.
#[derive(Debug, Default)]
pub struct Answer {
    judged: u64,
    unjudged: u64,
    damaged: u64,
    /// Parts of a product whose new thresholds ask for an area, which is not on record.
    by_score_alone: u64,
    /// Parts of a product that has a mask now, scored under other thresholds: perhaps under another mask.
    mask_unknown: u64,
    /// Parts whose score is of another scale: judged with a bank where there is none now, or the other way round. They keep
    /// their verdicts.
    other_scale: u64,
    /// Parts of a product with a bank, scored under other thresholds: perhaps with another bank.
    bank_unknown: u64,
    all: VerdictMoves,
    by_product: BTreeMap<(String, String), VerdictMoves>,
    by_hour: BTreeMap<String, VerdictMoves>,
    changed: Vec<ChangedPart>,
    changed_total: u64,
    /// Parts that a person called bad, and how many of them would pass.
    bad: (u64, u64),
    /// Parts that a person called good, and how many of them would be rejected.
    good: (u64, u64),
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
fn added_and_removed(moves: &VerdictMoves) -> (u64, u64) {
    (moves[0][2] + moves[1][2], moves[2][0] + moves[2][1])
}

fn changes(moves: &VerdictMoves) -> u64 {
    (0..3)
        .flat_map(|before| (0..3).map(move |after| (before, after)))
        .filter(|(b, a)| b != a)
        .map(|(b, a)| moves[b][a])
        .sum()
}

impl Answer {
    /// Goes over what a ledger has of a stretch of time. `pictures` is the folder where pictures of parts are kept. Takes
    /// flat memory.
    ///
    /// # Errors
    /// [`LedgerError`], where reading breaks off.
    pub fn of(reader: &Reader, span: Span, set: &ThresholdSet, pictures: &Path) -> Result<Self, LedgerError> {
        let mut answer = Self::default();
        let marks = reader.marks()?;
        for entry in reader.rows(span) {
            match entry? {
                Ok(stored) => answer.take(&stored.row, marks.get(&stored.id).copied(), set, pictures),
                Err(_) => answer.damaged += 1,
            }
        }
        Ok(answer)
    }

    fn take(&mut self, row: &Row, mark: Option<Mark>, set: &ThresholdSet, pictures: &Path) {
        let Outcome::Judged(Judgement { verdict: before, score, .. }) = &row.outcome else {
            self.unjudged += 1;
            return;
        };
        let cuts = set.for_product(row.product.as_ref());
        let has_bank = set.bank(row.product.as_ref()).is_some();
        let same_scale = has_bank != row.witnesses.is_empty();
        let other_thresholds = row.origin.thresholds != set.digest().to_bytes();
        self.other_scale += u64::from(!same_scale);
        self.bank_unknown += u64::from(has_bank && same_scale && other_thresholds);
        let after = match *score {
            _ if !same_scale => *before,
            score if score >= cuts.reject() => Verdict::Reject,
            score if score >= cuts.review() => Verdict::Review,
            _ => Verdict::Pass,
        };
        self.judged += 1;
        self.by_score_alone += u64::from(cuts.min_area_px() > 0);
        let masked = !set.mask(row.product.as_ref()).is_everything();
        self.mask_unknown += u64::from(masked && other_thresholds);
        let (from, to) = (column(*before), column(after));
        let product = row.product.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let hour = row.captured.to_string();
        let hour = format!("{}:00Z", hour.get(..13).unwrap_or_default());
        let count = |(all, wrong): &mut (u64, u64), is_wrong: bool| {
            *all += 1;
            *wrong += u64::from(is_wrong);
        };
        match mark {
            Some(Mark::TrueReject) => count(&mut self.bad, after == Verdict::Pass),
            Some(Mark::FalseReject) => count(&mut self.good, after == Verdict::Reject),
            None => {}
        }
        self.all[from][to] += 1;
        self.by_product.entry((product.clone(), row.key.series.camera.to_string())).or_default()[from][to] += 1;
        self.by_hour.entry(hour).or_default()[from][to] += 1;
        if from != to {
            self.changed_total += 1;
            if self.changed.len() < MAX_LISTED_PARTS {
                let (part, key) = (row.key.to_string(), archive::name(&row.key));
                let picture = pictures.join(archive::file_of(row, ImageKind::Frame));
                let picture = picture.is_file().then_some(picture);
                self.changed.push(ChangedPart {
                    part,
                    key,
                    picture,
                    product,
                    score: score.get(),
                    before: *before,
                    after,
                });
            }
        }
    }

    /// Whether the record has nothing of that time.
    const fn is_empty(&self) -> bool {
        self.judged + self.unjudged + self.damaged == 0
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        if self.is_empty() {
            return "no parts on record in this span\n".to_owned();
        }
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
        if self.mask_unknown > 0 {
            let _ = writeln!(
                text,
                "{} parts by the score on record, which may have been taken under another roi or ignore than the one asked about: \
                 a mask needs the map, which is not on record",
                self.mask_unknown
            );
        }
        if self.other_scale > 0 {
            let _ = writeln!(
                text,
                "{} parts keep their verdicts: they were judged with a reference bank and would be judged without, or the other \
                 way round, and scores of the two cannot be compared",
                self.other_scale
            );
        }
        if self.bank_unknown > 0 {
            let _ = writeln!(
                text,
                "{} parts by the score on record, which may have been made with another reference bank than the one named",
                self.bank_unknown
            );
        }
        let ((bad, missed), (good, rejected)) = (self.bad, self.good);
        if bad + good > 0 {
            let _ = writeln!(
                text,
                "of {bad} parts that somebody called bad {missed} would pass; of {good} called good {rejected} would be rejected"
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
        for (index, ChangedPart { part, product, score, before, after, picture, .. }) in self.changed.iter().enumerate()
        {
            if index == 0 {
                text.push('\n');
            }
            let picture = picture.as_ref().map_or_else(String::new, |path| format!("  {}", path.display()));
            let _ = writeln!(text, "{part}  {product}  {score:.4}  {} -> {}{picture}", before.as_str(), after.as_str());
        }
        if self.changed_total > self.changed.len() as u64 {
            let _ = writeln!(text, "and {} more", self.changed_total - self.changed.len() as u64);
        }
        text
    }

    /// As one document.
    #[must_use]
    pub fn json(&self) -> Value {
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
            .map(|c| {
                json!({
                    "part": c.part,
                    "key": c.key,
                    "product": c.product,
                    "score": decimal(c.score),
                    "before": c.before.as_str(),
                    "after": c.after.as_str(),
                    "picture": c.picture.as_ref().map(|path| path.to_string_lossy()),
                })
            })
            .collect();
        let mut document = moves_json(&self.all);
        document["judged"] = self.judged.into();
        document["unjudged"] = self.unjudged.into();
        document["damaged"] = self.damaged.into();
        document["by_score_alone"] = self.by_score_alone.into();
        document["mask_unknown"] = self.mask_unknown.into();
        document["other_scale"] = self.other_scale.into();
        document["bank_unknown"] = self.bank_unknown.into();
        document["marked"] = json!({
            "bad": self.bad.0, "bad_that_pass": self.bad.1, "good": self.good.0, "good_rejected": self.good.1,
        });
        document["by_product"] = groups.into();
        document["by_hour"] = hours.into();
        document["changed"] = json!({ "total": self.changed_total, "listed": changed });
        document
    }
}

fn moves_json(moves: &VerdictMoves) -> Value {
    let (added, removed) = added_and_removed(moves);
    let row = |before: usize| {
        let cells = WORDS.iter().map(|after| (after.as_str().to_owned(), moves[before][column(*after)].into()));
        Value::Object(cells.collect())
    };
    let before: serde_json::Map<_, _> =
        WORDS.iter().map(|verdict| (verdict.as_str().to_owned(), row(column(*verdict)))).collect();
    json!({ "rejects_added": added, "rejects_removed": removed, "from": before })
}
