//! The verdict message: one per part.

use diad_core::event::{InspectionEvent, Outcome};
use diad_core::frame::PartKey;
use diad_core::name::{CameraId, LineName, PartId, ProductName, RunId, StationName};
use serde::Serialize;

use super::digest::{Digest, Digests};
use super::moment::Moment;
use super::{SCHEMA, encode, text, text_or_null};
use crate::outbox::Lane;

#[cfg(test)]
mod tests;

/// Who speaks: the same in every message of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// `line:` in the settings.
    pub line: LineName,
    /// `station:` in the settings.
    pub station: StationName,
    /// This run of the daemon.
    pub run: RunId,
}

/// Payload of `…/verdict`. `(line, station, camera, run, seq)` names the part once and for ever.
///
/// Fields stand in wire order. An unjudged part has a `reason` and `null` for score, thresholds and region; a
/// judged one has them and `reason: null`. Every number is finite: scores are so by type, and a latency is a
/// duration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerdictMessage {
    v: u8,
    #[serde(serialize_with = "text")]
    line: LineName,
    #[serde(serialize_with = "text")]
    station: StationName,
    #[serde(serialize_with = "text")]
    pub(super) camera: CameraId,
    #[serde(serialize_with = "text")]
    run: RunId,
    pub(super) seq: u64,
    #[serde(serialize_with = "text_or_null")]
    pub(super) part: Option<PartId>,
    #[serde(serialize_with = "text_or_null")]
    product: Option<ProductName>,
    verdict: &'static str,
    reason: Option<&'static str>,
    score: Option<f32>,
    review_at: Option<f32>,
    reject_at: Option<f32>,
    x_px: Option<u32>,
    y_px: Option<u32>,
    width_px: Option<u32>,
    height_px: Option<u32>,
    captured_at: Moment,
    judged_at: Moment,
    latency_ms: f64,
    deadline_ms: u32,
    model: Digest,
    thresholds: Digest,
    settings: Digest,
    historical: bool,
}

impl VerdictMessage {
    /// Says what came of a part. `deadline_ms` is the station's, in milliseconds.
    #[must_use]
    pub fn from_event(station: &Station, event: &InspectionEvent, digests: &Digests, deadline_ms: u32) -> Self {
        let (judgement, reason) = match &event.outcome {
            Outcome::Judged(judgement) => (Some(judgement), None),
            Outcome::Unjudged(reason) => (None, Some(reason.as_str())),
        };
        let region = judgement.map(|j| j.region);
        let key = &event.meta.key;
        Self {
            v: SCHEMA,
            line: station.line.clone(),
            station: station.station.clone(),
            camera: key.camera.clone(),
            run: station.run.clone(),
            seq: key.seq,
            part: event.meta.part.clone(),
            product: event.meta.product.clone(),
            verdict: event.verdict_word(),
            reason,
            score: judgement.map(|j| j.score.get()),
            review_at: judgement.map(|j| j.thresholds.review().get()),
            reject_at: judgement.map(|j| j.thresholds.reject().get()),
            x_px: region.map(|r| r.x),
            y_px: region.map(|r| r.y),
            width_px: region.map(|r| r.width),
            height_px: region.map(|r| r.height),
            captured_at: event.meta.captured.wall.into(),
            judged_at: event.judged.wall.into(),
            latency_ms: (event.latency().as_secs_f64() * 1e6).round() / 1e3,
            deadline_ms,
            model: digests.model,
            thresholds: digests.thresholds,
            settings: digests.settings,
            historical: false,
        }
    }

    /// The part within this run, for the log.
    pub(crate) fn key(&self) -> PartKey {
        PartKey { camera: self.camera.clone(), seq: self.seq }
    }

    /// The payload as this lane sends it: stored messages say `historical: true`, and nothing else differs.
    #[must_use]
    pub fn to_json(&self, lane: Lane) -> Vec<u8> {
        match lane {
            Lane::Live => encode(self),
            Lane::Stored => encode(&Self { historical: true, ..self.clone() }),
        }
    }
}
