//! How a request is answered, or refused.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Why a request is not answered, in words for a person. Sent as `{"error": "…"}`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {words}")]
pub struct Refusal {
    status: StatusCode,
    words: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into() }
    }

    /// The request makes no sense.
    pub fn bad(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    /// What was asked for is not there.
    pub fn missing(words: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, words)
    }

    /// Not now.
    pub fn unavailable(words: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, words)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, json_body(&json!({ "error": self.words }))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let ask = header::HeaderValue::from_static("Basic realm=\"diad\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        }
        response
    }
}

/// What every handler gives.
pub type Answer<T = Response> = Result<T, Refusal>;

/// A JSON document.
pub fn json_body(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], format!("{value:#}\n"))
        .into_response()
}

/// A picture; a kept one never changes.
pub fn png(bytes: Vec<u8>, kept: bool) -> Response {
    let cache = if kept { "private, max-age=3600, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, cache)], bytes).into_response()
}
