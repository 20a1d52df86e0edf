//! The columns of every export.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use diad_core::event::{Judgement, Outcome};
use diad_core::inspector::Stage;

use crate::cells;
use crate::moment::Moment;
use crate::reader::StoredRow;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Whole,
    Time,
    /// As many digits as an `f32` has.
    Single,
    Double,
}

/// One cell. Its variant is that of its column's kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Whole(u64),
    Time(Moment),
    Single(f32),
    Double(f64),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => fmt::Display::fmt(number, f),
            Self::Time(moment) => fmt::Display::fmt(moment, f),
            // As JSON has them: a tiny score is 1e-20, not twenty zeros.
            Self::Single(number) => fmt::Debug::fmt(number, f),
            Self::Double(number) => fmt::Debug::fmt(number, f),
        }
    }
}

pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) value: for<'a> fn(&'a StoredRow) -> Option<Value<'a>>,
}

const fn column(name: &'static str, kind: Kind, value: for<'a> fn(&'a StoredRow) -> Option<Value<'a>>) -> Column {
    Column { name, kind, value }
}

pub(super) const COLUMNS: [Column; 41] = [
    column("line", Kind::Text, |r| text(r.row.key.series.line.as_str())),
    column("station", Kind::Text, |r| text(r.row.key.series.station.as_str())),
    column("camera", Kind::Text, |r| text(r.row.key.series.camera.as_str())),
    column("run", Kind::Text, |r| text(r.row.key.series.run.as_str())),
    column("seq", Kind::Whole, |r| Some(Value::Whole(r.row.key.seq))),
    column("part", Kind::Text, |r| r.row.part.as_ref().and_then(|name| text(name.as_str()))),
    column("product", Kind::Text, |r| r.row.product.as_ref().and_then(|name| text(name.as_str()))),
    column("source", Kind::Text, |r| r.row.source.as_deref().and_then(text)),
    column("verdict", Kind::Text, |r| text(r.row.verdict_word())),
    column("reason", Kind::Text, reason),
    column("score", Kind::Single, |r| judgement(r).map(|j| Value::Single(j.score.get()))),
    column("review_at", Kind::Single, |r| judgement(r).map(|j| Value::Single(j.thresholds.review().get()))),
    column("reject_at", Kind::Single, |r| judgement(r).map(|j| Value::Single(j.thresholds.reject().get()))),
    column("min_area_px", Kind::Whole, |r| pixels(r, |j| j.thresholds.min_area_px())),
    column("x_px", Kind::Whole, |r| pixels(r, |j| j.region.x)),
    column("y_px", Kind::Whole, |r| pixels(r, |j| j.region.y)),
    column("width_px", Kind::Whole, |r| pixels(r, |j| j.region.width)),
    column("height_px", Kind::Whole, |r| pixels(r, |j| j.region.height)),
    column("captured_at", Kind::Time, |r| Some(Value::Time(r.row.captured))),
    column("judged_at", Kind::Time, |r| Some(Value::Time(r.row.judged))),
    column("latency_ms", Kind::Double, |r| millis(Some(r.row.latency))),
    column("deadline_ms", Kind::Whole, |r| Some(Value::Whole(r.row.deadline_ms.into()))),
    column("model", Kind::Text, |r| digest(&r.row.origin.model)),
    column("thresholds", Kind::Text, |r| digest(&r.row.origin.thresholds)),
    column("settings", Kind::Text, |r| digest(&r.row.origin.settings)),
    column("wait_ms", Kind::Double, |r| millis(r.row.timings.waited)),
    column("prepare_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Prepare))),
    column("encode_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Encode))),
    column("hint_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Hint))),
    column("denoise_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Denoise))),
    column("decode_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Decode))),
    column("features_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Features))),
    column("map_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Map))),
    column("score_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Score))),
    column("acknowledged_at", Kind::Time, |r| r.acknowledged.map(Value::Time)),
    column("id", Kind::Whole, |r| Some(Value::Whole(r.id.0.unsigned_abs()))),
    column("repeat", Kind::Whole, |r| Some(Value::Whole(r.row.repeat.into()))),
    column("foundation_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Foundation))),
    column("latent_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Latent))),
    column("bank_ms", Kind::Double, |r| millis(r.row.timings.get(Stage::Bank))),
    column("witnesses", Kind::Text, |r| cells::witnesses(&r.row).map(|text| Value::Text(Cow::Owned(text)))),
];

fn text(value: &str) -> Option<Value<'_>> {
    Some(Value::Text(Cow::Borrowed(value)))
}

const fn judgement(stored: &StoredRow) -> Option<&Judgement> {
    match &stored.row.outcome {
        Outcome::Judged(judgement) => Some(judgement),
        Outcome::Unjudged(_) => None,
    }
}

fn reason(stored: &StoredRow) -> Option<Value<'_>> {
    match &stored.row.outcome {
        Outcome::Judged(_) => None,
        Outcome::Unjudged(reason) => text(reason.as_str()),
    }
}

fn pixels(stored: &StoredRow, part: fn(&Judgement) -> u32) -> Option<Value<'_>> {
    judgement(stored).map(|judgement| Value::Whole(part(judgement).into()))
}

/// As the wire rounds a latency.
fn millis(duration: Option<Duration>) -> Option<Value<'static>> {
    duration.map(|duration| Value::Double((duration.as_secs_f64() * 1e6).round() / 1e3))
}

fn digest(bytes: &[u8; 32]) -> Option<Value<'static>> {
    let mut text = "sha256:".to_owned();
    bytes.iter().try_for_each(|byte| write!(text, "{byte:02x}")).ok()?;
    Some(Value::Text(Cow::Owned(text)))
}
