//! Parts on record and their pictures.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::http::HeaderName;
use axum::response::Response;
use diad_core::event::Outcome;
use diad_core::inspector::Stage;
use diad_core::judge::Verdict;
use diad_core::name::CameraId;
use diad_ledger::{Mark, Reader, Row, RowId, StoredRow};
use diad_publish::outbox::Lane;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Asked;
use super::answer::{Answer, Refusal, json_body, png};
use super::plant::{Plant, read, work};
use crate::archive::{self, ImageKind};
use crate::chain::chain;
use crate::line::message;

/// Says which part a picture shows.
const PART_HEADER: HeaderName = HeaderName::from_static("diad-part");
/// Most parts in one answer.
const MAX_PARTS_PER_RESPONSE: usize = 200;
/// Rows that one answer looks at; what lies beyond takes another request.
const LOOKED_AT: usize = 20_000;
/// Rows read at a time.
const ROWS_PER_READ: u32 = 512;

/// Which parts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    limit: Option<usize>,
    before: Option<i64>,
    verdict: Option<String>,
    camera: Option<String>,
    product: Option<String>,
    /// Parts for a person to look at: not passed or nearly so, and nobody has said anything yet.
    #[serde(default)]
    queue: bool,
}

impl Filter {
    fn takes(&self, plant: &Plant, row: &Row) -> bool {
        let verdict = row.verdict_word();
        self.verdict.as_ref().is_none_or(|wanted| wanted == verdict)
            && self.camera.as_ref().is_none_or(|wanted| wanted == row.key.series.camera.as_str())
            && self.product.as_ref().is_none_or(|wanted| row.product.as_ref().is_some_and(|p| p.as_str() == wanted))
            && (!self.queue || for_a_person(plant, row))
    }
}

/// What was not passed, and what was nearly not, if there is something to look at.
fn for_a_person(plant: &Plant, row: &Row) -> bool {
    let Outcome::Judged(judgement) = &row.outcome else { return false };
    let kept = || plant.pictures().join(archive::file_of(row, ImageKind::Frame)).is_file();
    judgement.verdict != Verdict::Pass || (archive::nearly_reviewed(judgement) && kept())
}

/// `GET /api/v1/parts`: the newest first.
///
/// # Errors
/// [`Refusal`].
pub async fn list(State(plant): State<Arc<Plant>>, filter: Asked<Filter>) -> Answer {
    let Asked(filter) = filter;
    if let Some(verdict) = &filter.verdict
        && !["PASS", "REVIEW", "REJECT", "UNJUDGED"].contains(&verdict.as_str())
    {
        return Err(Refusal::bad(format!("verdict {verdict:?} is not one of PASS, REVIEW, REJECT, UNJUDGED")));
    }
    let document = work(&plant, move |plant| newest(plant, &filter)).await?;
    Ok(json_body(&document))
}

fn newest(plant: &Plant, filter: &Filter) -> Answer<Value> {
    let reader = plant.reader()?;
    let limit = filter.limit.unwrap_or(50).clamp(1, MAX_PARTS_PER_RESPONSE);
    let (mut parts, mut looked_at, mut newest) = (Vec::new(), 0, None);
    let mut before = filter.before.map(RowId::from_number);
    let mut next = None;
    'pages: loop {
        let page = reader.newest(before, ROWS_PER_READ).map_err(|error| unreadable(&error))?;
        let full = page.len() == ROWS_PER_READ as usize;
        for entry in page {
            looked_at += 1;
            let id = match &entry {
                Ok(stored) => stored.id,
                Err(damaged) => damaged.id,
            };
            before = Some(id);
            newest = newest.or(before);
            if let Ok(stored) = entry
                && filter.takes(plant, &stored.row)
            {
                let mark = reader.mark(id).map_err(|error| unreadable(&error))?;
                if !(filter.queue && mark.is_some()) {
                    parts.push(document(plant, &stored, mark));
                }
            }
            if parts.len() == limit || looked_at == LOOKED_AT {
                next = Some(id.number());
                break 'pages;
            }
        }
        if !full {
            break;
        }
    }
    // Where there is no `next`, everything has been looked at.
    Ok(json!({ "parts": parts, "looked_at": looked_at, "newest": newest.map(RowId::number), "next": next }))
}

fn unreadable(error: &diad_ledger::LedgerError) -> Refusal {
    Refusal::unavailable(chain(error))
}

/// A part as its message said it, and what is known beside that.
fn document(plant: &Plant, stored: &StoredRow, mark: Option<Mark>) -> Value {
    let row = &stored.row;
    let said = message(row, Instant::now()).to_json(Lane::Live);
    let mut document: Value = serde_json::from_slice(&said).unwrap_or_default();
    let folder = plant.pictures();
    let kept = ImageKind::ALL.into_iter().filter(|print| folder.join(archive::file_of(row, *print)).is_file());
    let pictures: Vec<&str> = kept.map(ImageKind::word).collect();
    document["key"] = archive::name(&row.key).into();
    document["id"] = stored.id.number().into();
    document["acknowledged_at"] = stored.acknowledged.map(|at| at.to_string()).into();
    document["mark"] = mark.map(Mark::as_str).into();
    document["pictures"] = pictures.into();
    document
}

/// `GET /api/v1/parts/{key}`.
///
/// # Errors
/// [`Refusal`].
pub async fn one(State(plant): State<Arc<Plant>>, Path(name): Path<String>) -> Answer {
    let document = work(&plant, move |plant| {
        let reader = plant.reader()?;
        let stored = stored(plant, &reader, &name)?;
        let mark = reader.mark(stored.id).map_err(|error| unreadable(&error))?;
        let mut document = document(plant, &stored, mark);
        let timings = stored.row.timings;
        let ms = |took: Option<std::time::Duration>| took.map(|took| (took.as_secs_f64() * 1e6).round() / 1e3);
        let stages = Stage::ALL.into_iter().map(|stage| (format!("{stage}_ms"), ms(timings.get(stage)).into()));
        let waited = ("waited_ms".to_owned(), ms(timings.waited).into());
        document["timings"] = Value::Object(std::iter::once(waited).chain(stages).collect());
        Ok(document)
    });
    Ok(json_body(&document.await?))
}

fn stored(plant: &Plant, reader: &Reader, name: &str) -> Answer<StoredRow> {
    let entry = reader.part(&plant.key(name)?).map_err(|error| unreadable(&error))?;
    let entry = entry.ok_or_else(|| Refusal::missing("no such part is on record"))?;
    entry.map_err(|damaged| Refusal::unavailable(chain(&damaged)))
}

fn print_of(file: &str) -> Answer<ImageKind> {
    let print = file.strip_suffix(".png").and_then(ImageKind::from_word);
    print.ok_or_else(|| Refusal::missing("pictures are frame.png, heatmap.png and overlay.png"))
}

/// `GET /api/v1/parts/{key}/{frame,heatmap,overlay}.png`: a kept picture, or that of the last part of a camera.
///
/// # Errors
/// [`Refusal`].
pub async fn picture(State(plant): State<Arc<Plant>>, Path((name, file)): Path<(String, String)>) -> Answer {
    let print = print_of(&file)?;
    let bytes = work(&plant, move |plant| {
        let key = plant.key(&name)?;
        let latest = plant.archive.latest(&key.series.camera);
        if let Some(latest) = latest.filter(|latest| latest.key.seq == key.seq && plant.run == key.series.run) {
            return latest.png(print).ok_or_else(|| Refusal::missing("there is nothing to see of this part"));
        }
        let row = stored(plant, &plant.reader()?, &name)?.row;
        read(&plant.pictures().join(archive::file_of(&row, print)))
    });
    Ok(png(bytes.await?, true))
}

/// `GET /api/v1/cameras/{camera}/{frame,heatmap,overlay}.png`: of the last part, whatever became of it; the header
/// `diad-part` says its number. A part that was not judged has no map; then it is what the camera saw.
///
/// # Errors
/// [`Refusal`].
pub async fn latest(State(plant): State<Arc<Plant>>, Path((camera, file)): Path<(String, String)>) -> Answer {
    let print = print_of(&file)?;
    let camera = CameraId::try_new(&camera).map_err(|error| Refusal::bad(error.to_string()))?;
    let bytes = work(&plant, move |plant| {
        let nothing = || Refusal::missing("this camera has shown nothing yet");
        let latest = plant.archive.latest(&camera).ok_or_else(nothing)?;
        let bytes = latest.png(print).or_else(|| latest.png(ImageKind::Frame)).ok_or_else(nothing)?;
        Ok((latest.key.seq, bytes))
    });
    let (seq, bytes) = bytes.await?;
    let mut response = png(bytes, false);
    response.headers_mut().insert(PART_HEADER, seq.into());
    Ok(response)
}

/// What a person says of a part.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    mark: Option<String>,
}

/// `POST /api/v1/parts/{key}/mark`: `{"mark":"true_reject"}`, `{"mark":"false_reject"}` or `{"mark":null}`.
///
/// # Errors
/// [`Refusal`].
pub async fn mark(
    State(plant): State<Arc<Plant>>,
    Path(name): Path<String>,
    said: super::ApiJson<Said>,
) -> Answer<Response> {
    let super::ApiJson(Said { mark }) = said;
    let mark =
        match mark {
            None => None,
            Some(word) => Some(Mark::from_word(&word).ok_or_else(|| {
                Refusal::bad(format!("mark {word:?} is not one of true_reject, false_reject or null"))
            })?),
        };
    let key = plant.key(&name)?;
    work(&plant, move |plant| plant.mark(key, mark)).await?;
    Ok(json_body(&json!({ "key": name, "mark": mark.map(Mark::as_str) })))
}
