//! Dashboard, health, metrics and API over HTTP. Never in the way of a verdict.
//! What it answers is in `docs/reference/http.md`.
//!
//! One thread, `http`, talks; two more read the ledger and draw, with low priority. Whatever a client sends or does not
//! read is bounded: connections, header and body size, the time of a connection, rows looked at for one answer.

mod access;
pub mod answer;
pub mod live_stats;
pub(crate) mod metrics;
mod parts;
mod plant;
mod server;
mod status;
mod thresholds;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Json, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub use access::Access;
pub use plant::{MAX_PARALLEL_REQUESTS, Plant};
pub use server::{Running, WebSpec, start};

use answer::Refusal;

/// Largest body of a request: a thresholds file of thousands of products.
const MAX_BODY_BYTES: usize = 256 << 10;
/// A client must have sent all of its body by then.
const BODY: Duration = Duration::from_secs(10);

/// What a page may load and be loaded by: this program alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A JSON body; what is wrong with one is told like everything else.
pub(crate) struct ApiJson<T>(pub(crate) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match tokio::time::timeout(BODY, Json::from_request(request, state)).await {
            Ok(Ok(Json(body))) => Ok(Self(body)),
            Ok(Err(rejection)) => Err(Refusal::new(rejection.status(), rejection.body_text())),
            Err(_) => {
                let words = format!("the body did not come within {} s; send it at once", BODY.as_secs());
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, words))
            }
        }
    }
}

/// What is asked for behind the `?`; likewise.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Refusal::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// Every path.
fn router(plant: Arc<Plant>, access: Access) -> Router {
    let asset = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text) })
    };
    let guarded = Router::new()
        .route("/", asset("text/html; charset=utf-8", include_str!("assets/index.html")))
        .route("/app.js", asset("text/javascript; charset=utf-8", include_str!("assets/app.js")))
        .route("/link.js", asset("text/javascript; charset=utf-8", include_str!("assets/link.js")))
        .route("/stream.js", asset("text/javascript; charset=utf-8", include_str!("assets/stream.js")))
        .route("/style.css", asset("text/css; charset=utf-8", include_str!("assets/style.css")))
        .route("/metrics", get(status::metrics))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/events", get(status::events))
        .route("/api/v1/parts", get(parts::list))
        .route("/api/v1/parts/{key}", get(parts::one))
        .route("/api/v1/parts/{key}/mark", post(parts::mark))
        .route("/api/v1/parts/{key}/{picture}", get(parts::picture))
        .route("/api/v1/cameras/{camera}/{picture}", get(parts::latest))
        .route("/api/v1/golden", post(status::golden))
        .route("/api/v1/whatif", post(thresholds::what_if))
        .route("/api/v1/thresholds", post(thresholds::write))
        .fallback(async || Refusal::missing("there is nothing here; the dashboard is at /"))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(access, guard));
    Router::new()
        .route("/healthz", get(status::alive))
        .route("/readyz", get(status::ready))
        .merge(guarded)
        .layer(from_fn(hardened))
        .with_state(plant)
}

/// Asks everybody who is there.
async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Tells browsers what an answer may not be used for.
async fn hardened(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_path_is_documented() {
        let documented = include_str!("../../../../docs/reference/http.md");
        let routes = include_str!("mod.rs").split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let paths: Vec<String> = routes
            .filter(|path| !["/", "/app.js", "/link.js", "/stream.js", "/style.css"].contains(path))
            .map(|path| path.replace("{key}", "KEY").replace("{camera}", "CAMERA").replace("{picture}", "frame.png"))
            .collect();
        assert!(paths.len() > 10, "{paths:?}");
        for path in paths {
            assert!(documented.contains(&format!(" {path}`")), "docs/reference/http.md does not name {path}");
        }
    }
}
