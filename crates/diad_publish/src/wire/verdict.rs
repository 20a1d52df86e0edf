//! The verdict message: one per part.

use diad_core::event::{InspectionEvent, Outcome, WitnessScore};
use diad_core::frame::PartKey;
use diad_core::name::{CameraId, LineName, MAX_MARK_BYTES, PartId, ProductName, RunId, StationName};
use diad_core::score::Score;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::digest::{Digest, Digests};
use super::moment::Moment;
use super::{MAX_PAYLOAD_BYTES, SCHEMA, encode, schema, text, text_or_null};
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
/// Fields stand in wire order; the last one may be missing. An unjudged part has a `reason` and `null` for score, thresholds
/// and region; a judged one has them and `reason: null`. Every number is finite: scores are so by type, and a latency is a
/// duration.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "verdict", deny_unknown_fields)]
pub struct VerdictMessage {
    /// Version of the payload.
    #[schemars(schema_with = "schema::version")]
    v: u8,
    /// The line.
    #[serde(serialize_with = "text")]
    #[schemars(schema_with = "schema::name")]
    line: LineName,
    /// The station on the line.
    #[serde(serialize_with = "text")]
    #[schemars(schema_with = "schema::name")]
    station: StationName,
    /// The camera that saw the part.
    #[serde(serialize_with = "text")]
    #[schemars(schema_with = "schema::name")]
    pub(crate) camera: CameraId,
    /// The run of the station; never repeats.
    #[serde(serialize_with = "text")]
    #[schemars(schema_with = "schema::name")]
    pub(super) run: RunId,
    /// Counts from 1 without a gap, per camera and run.
    #[schemars(range(min = 1))]
    pub(super) seq: u64,
    /// The plant's own mark, from its trigger.
    #[serde(serialize_with = "text_or_null")]
    #[schemars(schema_with = "schema::mark_or_null")]
    pub(super) part: Option<PartId>,
    /// The product class in force.
    #[serde(serialize_with = "text_or_null")]
    #[schemars(schema_with = "schema::name_or_null")]
    pub(super) product: Option<ProductName>,
    /// Verdict of the part.
    #[schemars(schema_with = "schema::verdict")]
    pub(super) verdict: &'static str,
    /// Why the part was not judged; null if it was.
    #[schemars(schema_with = "schema::reason")]
    pub(super) reason: Option<&'static str>,
    /// How unlike the good ones the part is; null if it was not judged.
    pub(super) score: Option<f32>,
    /// A score at or above this is at least REVIEW.
    pub(super) review_at: Option<f32>,
    /// A score at or above this is REJECT.
    pub(super) reject_at: Option<f32>,
    /// Left edge of the worst place, in frame pixels.
    x_px: Option<u32>,
    /// Top edge of the worst place, in frame pixels.
    y_px: Option<u32>,
    /// Width of the worst place, in frame pixels.
    width_px: Option<u32>,
    /// Height of the worst place, in frame pixels.
    height_px: Option<u32>,
    /// When the part was seen, UTC.
    pub(super) captured_at: Moment,
    /// When the verdict was decided, UTC.
    pub(super) judged_at: Moment,
    /// From capture to verdict on a clock that never steps, in milliseconds.
    #[schemars(range(min = 0.0))]
    pub(super) latency_ms: f64,
    /// The time that was promised, in milliseconds.
    deadline_ms: u32,
    /// Digest of the model bundle.
    pub(super) model: Digest,
    /// Digest of the thresholds in force.
    pub(super) thresholds: Digest,
    /// Digest of the station's settings.
    pub(super) settings: Digest,
    /// True for a verdict that was held up: it comes after live ones, with the times of its day.
    historical: bool,
    /// True for a part whose mark came before, within deadline and `repeat_within_ms`: its bit is never looser than the first
    /// one's. Left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeat: bool,
    /// The score that each witness alone would give, to four digits. Missing if the diffusion model judged alone, and where
    /// the names of plant and part leave no room for it.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "scores")]
    #[schemars(schema_with = "schema::witnesses")]
    witnesses: Vec<WitnessScore>,
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
            repeat: event.repeat,
            witnesses: event.witnesses.clone(),
        }
    }

    /// The part within this run, for the log.
    pub(crate) fn key(&self) -> PartKey {
        PartKey { camera: self.camera.clone(), seq: self.seq }
    }

    /// The payload as this lane sends it: stored messages say `historical: true`, and nothing else differs.
    ///
    /// A mark full of control characters, each of which takes six bytes in JSON, may not fit beside names of 64 bytes:
    /// then it is cut, and ends in `…`. The record and the reject bit have it whole.
    #[must_use]
    pub fn to_json(&self, lane: Lane) -> Vec<u8> {
        let historical = lane == Lane::Stored;
        let payload =
            if historical == self.historical { encode(self) } else { encode(&Self { historical, ..self.clone() }) };
        match payload.len().checked_sub(MAX_PAYLOAD_BYTES) {
            None | Some(0) => payload,
            // What the witnesses said is on record: it goes before anything of the mark does.
            Some(_) if !self.witnesses.is_empty() => Self { witnesses: Vec::new(), ..self.clone() }.to_json(lane),
            Some(surplus) => {
                let part = self.part.as_ref().and_then(|mark| shortened(mark, surplus));
                encode(&Self { historical, part, ..self.clone() })
            }
        }
    }
}

/// A mark that takes at least so many bytes less in JSON; none if nothing of it is left then.
fn shortened(mark: &PartId, surplus: usize) -> Option<PartId> {
    const MORE: &str = "…";
    let bytes = |text: &str| encode(&text).len();
    let most = bytes(mark.as_str()).checked_sub(surplus)?;
    let cuts = mark.as_str().char_indices().map(|(at, _)| format!("{}{MORE}", &mark.as_str()[..at]));
    let fitting = cuts.take_while(|cut| bytes(cut) <= most && cut.len() <= MAX_MARK_BYTES).last()?;
    PartId::try_new(&fitting).ok()
}

/// Scores by witness, to four digits: what a person compares.
fn scores<S: Serializer>(witnesses: &[WitnessScore], serializer: S) -> Result<S::Ok, S::Error> {
    let short = |score: Score| format!("{:.3e}", score.get()).parse().unwrap_or(score.get());
    serializer.collect_map(witnesses.iter().map(|said| (&*said.name, short(said.score))))
}
