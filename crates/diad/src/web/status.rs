//! How the station is: for the page, as it happens, and for whoever only asks whether it is alive.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use diad_publish::wire::Moment;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::answer::{Answer, Refusal, json_body};
use super::live_stats;
use super::metrics;
use super::plant::Plant;
use crate::output::decimal;

/// How often new parts are told.
const EVENT_INTERVAL: Duration = Duration::from_millis(200);
/// Ticks between two looks at everything else.
const STATUS_EVERY_TICKS: u32 = 5;
/// How soon a browser comes back whose connection has ended: each does after its time.
const BROWSER_RETRY_DELAY: Duration = Duration::from_millis(500);
/// Parts told in one tick: of more, the newest.
const MAX_PARTS_PER_EVENT: usize = 50;
/// Parts of a camera on the score trace.
const SCORE_TRACE_PARTS: usize = 240;

/// `GET /healthz`: the process lives.
pub async fn alive() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: whether parts are judged. Nothing more: whoever asks need not show a token.
pub async fn ready(State(plant): State<Arc<Plant>>) -> Response {
    let (is_ready, word) = plant.health.condition().readyz();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{word}\n")).into_response()
}

/// `POST /api/v1/golden`: has the golden parts judged as soon as parts leave time for it; the state says what came of it.
///
/// # Errors
/// [`Refusal`]: the station has none.
pub async fn golden(State(plant): State<Arc<Plant>>) -> Answer {
    let request = plant.golden.as_ref();
    let request =
        request.ok_or_else(|| Refusal::missing("this station has no golden parts; golden.folder in the settings"))?;
    request.ask();
    Ok(json_body(&json!({ "asked": true })))
}

/// `GET /metrics`, for Prometheus.
pub async fn metrics(State(plant): State<Arc<Plant>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&plant)).into_response()
}

/// `GET /api/v1/status`: everything the page shows.
pub async fn status(State(plant): State<Arc<Plant>>) -> Response {
    let mut document = summary(&plant);
    let last = plant.board.after(0, 1).first().map_or(0, |part| part.number);
    let cameras: Vec<Value> = plant
        .cameras
        .iter()
        .map(|camera| json!({ "id": camera.as_str(), "parts": plant.board.of_camera(camera, SCORE_TRACE_PARTS) }))
        .collect();
    document["cameras"] = cameras.into();
    document["last"] = last.into();
    json_body(&document)
}

/// Everything but the parts.
fn summary(plant: &Plant) -> Value {
    let (state, problems) = plant.health.look();
    let (_, faults) = plant.health.faults();
    let problems: Vec<Value> = problems
        .into_iter()
        .map(|(source, detail, since)| {
            let notice = !faults.contains(&source);
            json!({ "source": source, "detail": detail, "since": Moment::from(since).to_string(), "notice": notice })
        })
        .collect();
    let totals = plant.account.get().map(crate::line::Account::totals).unwrap_or_default();
    let link = plant.publisher.status();
    let set = plant.thresholds.current();
    let cuts = |cuts: diad_core::judge::Thresholds| json!({ "review": decimal(cuts.review().get()), "reject": decimal(cuts.reject().get()), "min_area_px": cuts.min_area_px() });
    let products: serde_json::Map<String, Value> =
        set.products().map(|product| (product.to_string(), cuts(set.for_product(Some(product))))).collect();
    let hours: Vec<Value> = plant
        .board
        .counts()
        .into_iter()
        .map(|(hour, product, count)| json!({ "hour": hour, "product": product, "count": count }))
        .collect();
    json!({
        "line": plant.line.as_str(),
        "station": plant.station.as_str(),
        "run": plant.run.as_str(),
        "model": plant.model.to_string(),
        "at": live_stats::now(),
        "state": state.as_str(),
        "problems": problems,
        "parts_in": totals.triggered,
        "verdicts_out": totals.verdicts(),
        "pass": totals.pass,
        "review": totals.review,
        "reject": totals.reject,
        "unjudged": totals.unjudged,
        "waiting": totals.waiting(),
        "unaccounted": totals.unaccounted(),
        "owed": totals.owed,
        "broker": { "connected": link.connected, "last_error": link.last_error },
        "deadline_ms": plant.deadline_ms,
        "least_margin_ms": plant.board.least_margin_ms(),
        "thresholds": {
            "digest": set.digest().to_string(),
            "file": plant.thresholds_file.to_string_lossy(),
            "default": cuts(set.for_product(None)),
            "products": products,
        },
        "hours": hours,
    })
}

/// What one listener has been told.
struct EventCursor {
    plant: Arc<Plant>,
    ticks: Interval,
    count: u32,
    last: u64,
}

/// `GET /api/v1/events`: what is new, as server-sent events: `parts` with an array, `status` once a second.
///
/// A proxy is asked not to collect them: nginx would keep 4 kB back.
pub async fn events(State(plant): State<Arc<Plant>>) -> impl IntoResponse {
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    (unbuffered, Sse::new(stream_of(plant)).keep_alive(KeepAlive::default()))
}

fn stream_of(plant: Arc<Plant>) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = interval(EVENT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let last = plant.board.after(0, 1).first().map_or(0, |part| part.number);
    // How everything is comes first.
    let told = EventCursor { plant, ticks, count: STATUS_EVERY_TICKS - 1, last };
    unfold(told, |mut told| async {
        loop {
            told.ticks.tick().await;
            if let Some(event) = told.next() {
                return Some((Ok(event), told));
            }
        }
    })
}

impl EventCursor {
    fn next(&mut self) -> Option<Event> {
        self.count += 1;
        if self.count.is_multiple_of(STATUS_EVERY_TICKS) {
            return Some(
                Event::default().event("status").retry(BROWSER_RETRY_DELAY).data(summary(&self.plant).to_string()),
            );
        }
        let parts = self.plant.board.after(self.last, MAX_PARTS_PER_EVENT);
        self.last = parts.last()?.number;
        Some(Event::default().event("parts").data(json!(parts).to_string()))
    }
}
