//! What other thresholds would have said, and writing them down.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use diad_core::drift::Reference;
use diad_core::name::ProductName;
use diad_core::score::Score;
use diad_ledger::{Moment, Span};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_body};
use super::plant::{Plant, work};
use super::{ApiJson, live_stats};
use crate::chain::chain;
use crate::files;
use crate::thresholds::ThresholdSet;
use crate::thresholds::edit::{BankEdit, Cuts, with_cuts, with_default};
use crate::whatif::Answer as WhatIf;
use crate::yaml::{Fault, text};

/// The name under which faults of a proposal are told.
const PROPOSAL_NAME: &str = "proposal";

/// A question about other thresholds: all of them, or the file's with a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// As the file says it: its text, or the same as JSON.
    thresholds: Option<Value>,
    /// What [`write`] would write.
    change: Option<Change>,
    since: Option<String>,
    until: Option<String>,
}

/// `POST /api/v1/whatif`: the answer of `diad whatif --json`.
///
/// # Errors
/// [`Refusal`].
pub async fn what_if(State(plant): State<Arc<Plant>>, ApiJson(proposal): ApiJson<Proposal>) -> Answer {
    let set = match (proposal.thresholds, proposal.change) {
        (Some(thresholds), None) => {
            let text = match thresholds {
                Value::String(text) => text,
                // JSON is YAML: one reader for both.
                other => other.to_string(),
            };
            ThresholdSet::read(&text, PROPOSAL_NAME).map_err(|faults| refused(&faults))?
        }
        (None, Some(change)) => work(&plant, move |plant| changed(plant, &change)).await?.set,
        _ => return Err(Refusal::bad("send either thresholds or change")),
    };
    let moment = |name: &str, text: Option<String>| -> Answer<Option<Moment>> {
        let parse = |text: String| {
            crate::cli::parse_moment(&text).map_err(|error| Refusal::bad(format!("{name} {text:?}: {error}")))
        };
        text.map(parse).transpose()
    };
    let span = Span { since: moment("since", proposal.since)?, until: moment("until", proposal.until)? };
    let Ok(turn) = Arc::clone(&plant.what_ifs).try_acquire_owned() else {
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "another what-if is running; try again when it is done",
        ));
    };
    let answer = work(&plant, move |plant| {
        let _turn = turn;
        let answer = WhatIf::of(&plant.reader()?, span, &set, &plant.pictures());
        Ok(answer.map_err(|error| Refusal::unavailable(chain(&error)))?.json())
    });
    Ok(json_body(&answer.await?))
}

fn refused(faults: &[Fault]) -> Refusal {
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, faults.join("; "))
}

/// New cut-offs of one product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// None: of the products without an entry of their own, the default.
    product: Option<String>,
    review: f32,
    reject: f32,
    /// Digest of the thresholds that the person saw.
    digest: String,
}

/// What a change makes of the file.
struct EditedThresholds {
    text: String,
    set: ThresholdSet,
    note: String,
}

/// `POST /api/v1/thresholds`: writes cut-offs of one product into `thresholds.yaml`, where the line finds them as after
/// any save. Whoever saw other thresholds than those in the file is told so, and nothing is written.
///
/// # Errors
/// [`Refusal`].
pub async fn write(State(plant): State<Arc<Plant>>, ApiJson(change): ApiJson<Change>) -> Answer {
    let digest = work(&plant, move |plant| put(plant, &change)).await?;
    Ok(json_body(&json!({ "thresholds": digest })))
}

fn changed(plant: &Plant, Change { product, review, reject, digest }: &Change) -> Answer<EditedThresholds> {
    let product = product.as_deref().map(ProductName::try_new).transpose();
    let product = product.map_err(|error| Refusal::bad(format!("product: {error}")))?;
    let score = |name: &str, value: f32| {
        Score::try_new(value).map_err(|error| Refusal::bad(format!("{name} {value}: {error}")))
    };
    let (review, reject) = (score("review", *review)?, score("reject", *reject)?);
    let cuts = Cuts { review, reject, reference: Reference::default(), bank: BankEdit::Keep };
    let path = &plant.thresholds_file;
    let name = path.to_string_lossy();
    let before = text::load(path).map_err(|fault| refused(&[fault]))?;
    let set = ThresholdSet::read(&before, &name).map_err(|faults| refused(&faults))?;
    if set.digest().to_string() != *digest {
        return Err(Refusal::new(StatusCode::CONFLICT, "somebody has changed the thresholds; look again"));
    }
    let old = set.for_product(product.as_ref());
    let note = format!(
        "{} from the page: {}: review {} -> {}, reject {} -> {}",
        live_stats::now(),
        product.as_ref().map_or("default", ProductName::as_str),
        old.review(),
        cuts.review,
        old.reject(),
        cuts.reject,
    );
    let edited = match product {
        Some(product) => with_cuts(&before, &name, &BTreeMap::from([(product, cuts)]), &note),
        None => with_default(&before, &name, cuts.review, cuts.reject, &note),
    };
    let text = edited.map_err(|error| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, chain(&error)))?;
    if text.len() as u64 > text::MAX_FILE_BYTES {
        let words = format!("{name} would be larger than the 1 MiB that are read; remove old comments from it");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, words));
    }
    let set = ThresholdSet::read(&text, &name).map_err(|faults| refused(&faults))?;
    Ok(EditedThresholds { text, set, note })
}

fn put(plant: &Plant, change: &Change) -> Answer<String> {
    let _turn = plant.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let EditedThresholds { text, set, note } = changed(plant, change)?;
    files::replace(&plant.thresholds_file, &text).map_err(|error| {
        let words = format!(
            "{}; the station's user must be allowed to write there: sudo chgrp diad /etc/diad && sudo chmod 2775 /etc/diad, \
             and ReadWritePaths=/etc/diad in the service (sudo systemctl edit diad, then restart)",
            chain(&error)
        );
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, words)
    })?;
    tracing::info!(%note, "thresholds written");
    Ok(set.digest().to_string())
}
