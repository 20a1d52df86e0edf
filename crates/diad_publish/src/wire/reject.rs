//! One bit per part, for a controller that wants no more.

use diad_core::event::{InspectionEvent, Outcome, Reason};
use diad_core::judge::Verdict;
use diad_core::name::{CameraId, PartId};
use schemars::JsonSchema;
use serde::Serialize;

use super::verdict::VerdictMessage;
use super::{SCHEMA, encode, schema, text, text_or_null};

/// What the reject line does with an unjudged part, `on_unjudged` in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnjudged {
    /// Takes it off the line.
    Reject,
    /// Keeps it back for a person. One bit cannot say "keep back", so it says 1, which takes the part off the
    /// line; a controller with a third way tells the two apart by the verdict's `reason`.
    Hold,
    /// Lets it go on, unjudged: the integrator's explicit choice.
    Pass,
}

/// Whether the gate opens for a part. The stricter one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectBit {
    /// 0: `PASS`, `REVIEW`, and `UNJUDGED` where the settings say [`OnUnjudged::Pass`], but for
    /// [`Reason::LateTrigger`].
    Keep,
    /// 1: `REJECT`, and `UNJUDGED` otherwise.
    Reject,
}

impl RejectBit {
    /// The bit of a part. One whose trigger came late is always taken off: `on_unjudged: pass` lets parts go on that could not
    /// be judged, and that part is not at the gate; the bit would open it for another.
    #[must_use]
    pub const fn of(event: &InspectionEvent, on_unjudged: OnUnjudged) -> Self {
        match &event.outcome {
            Outcome::Judged(judgement) => match judgement.verdict {
                Verdict::Pass | Verdict::Review => Self::Keep,
                Verdict::Reject => Self::Reject,
            },
            Outcome::Unjudged(Reason::LateTrigger) => Self::Reject,
            Outcome::Unjudged(_) => match on_unjudged {
                OnUnjudged::Pass => Self::Keep,
                OnUnjudged::Reject | OnUnjudged::Hold => Self::Reject,
            },
        }
    }
}

/// Payload of `…/reject`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "reject", deny_unknown_fields)]
pub struct RejectMessage {
    /// Version of the payload.
    #[schemars(schema_with = "schema::version")]
    v: u8,
    /// The camera that saw the part.
    #[serde(serialize_with = "text")]
    #[schemars(schema_with = "schema::name")]
    camera: CameraId,
    /// The number of the part there, as in its verdict.
    #[schemars(range(min = 1))]
    seq: u64,
    /// The plant's own mark, from its trigger.
    #[serde(serialize_with = "text_or_null")]
    #[schemars(schema_with = "schema::mark_or_null")]
    part: Option<PartId>,
    /// 1: take the part off the line. 0: let it go on.
    #[schemars(range(min = 0, max = 1))]
    reject: u8,
}

impl RejectMessage {
    /// The bit of the part that `verdict` speaks of.
    #[must_use]
    pub fn new(verdict: &VerdictMessage, bit: RejectBit) -> Self {
        let reject = match bit {
            RejectBit::Keep => 0,
            RejectBit::Reject => 1,
        };
        Self { v: SCHEMA, camera: verdict.camera.clone(), seq: verdict.seq, part: verdict.part.clone(), reject }
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        encode(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use diad_core::event::Judgement;
    use diad_core::frame::{PartKey, PartMeta, Roi, Stamp};
    use diad_core::judge::Thresholds;
    use diad_core::score::Score;

    use super::*;

    fn meta() -> (PartMeta, Stamp) {
        let now = Stamp { wall: SystemTime::UNIX_EPOCH, mono: Instant::now() };
        let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq: 1234 };
        (PartMeta { key, part: PartId::try_new("P-77").ok(), product: None, source: None, captured: now }, now)
    }

    #[test]
    fn reject_bit_opens_the_gate_for_nothing_that_went_wrong_unless_asked_to() {
        let (meta, now) = meta();
        for reason in Reason::ALL {
            let event = InspectionEvent::unjudged(meta.clone(), reason, now);
            for (on_unjudged, want) in [
                (OnUnjudged::Reject, RejectBit::Reject),
                (OnUnjudged::Hold, RejectBit::Reject),
                (OnUnjudged::Pass, if reason == Reason::LateTrigger { RejectBit::Reject } else { RejectBit::Keep }),
            ] {
                assert_eq!(RejectBit::of(&event, on_unjudged), want);
            }
        }
    }

    #[test]
    fn reject_bit_of_a_judged_part_follows_the_verdict_alone() {
        let (meta, now) = meta();
        let zero = Score::try_new(0.0).unwrap();
        for (verdict, want) in
            [(Verdict::Pass, RejectBit::Keep), (Verdict::Review, RejectBit::Keep), (Verdict::Reject, RejectBit::Reject)]
        {
            let thresholds = Thresholds::try_new(zero, zero, 0).unwrap();
            let region = Roi { x: 0, y: 0, width: 1, height: 1 };
            let judgement = Judgement { verdict, score: zero, thresholds, region };
            let event = InspectionEvent::judged(meta.clone(), judgement, now);
            for on_unjudged in [OnUnjudged::Reject, OnUnjudged::Hold, OnUnjudged::Pass] {
                assert_eq!(RejectBit::of(&event, on_unjudged), want);
            }
        }
    }

    #[test]
    fn reject_message_reads_as_documented() {
        for (bit, digit) in [(RejectBit::Keep, 0), (RejectBit::Reject, 1)] {
            let camera = CameraId::try_new("cam0").unwrap();
            let reject =
                RejectMessage { v: SCHEMA, camera, seq: 1234, part: PartId::try_new("P-77").ok(), reject: digit };
            let want = format!(r#"{{"v":1,"camera":"cam0","seq":1234,"part":"P-77","reject":{digit}}}"#);
            assert_eq!(reject.to_json(), want.into_bytes(), "{bit:?}");
        }
    }
}
