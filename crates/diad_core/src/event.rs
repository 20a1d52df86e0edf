//! What the line says of one part: exactly one event, judged or not, without pixels.

use std::sync::Arc;

use crate::frame::{PartMeta, Roi, Stamp};
use crate::judge::{Thresholds, Verdict};
use crate::score::Score;

/// Why a part could not be judged. Every failure on the line is one of these; none is a verdict of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The part waited behind others and the lane was full: it was the oldest, and left.
    Overrun,
    /// The verdict was not ready in time.
    Deadline,
    /// The camera gave no frame.
    Camera,
    /// The frame was torn, undecodable or of a size the settings do not fit.
    Frame,
    /// A network failed or gave a number that is not finite.
    Engine,
    /// The process was stopping.
    Shutdown,
    /// It is not known which product the part is: neither thresholds nor model name it, or the last change-over could
    /// not be read.
    Product,
    /// The trigger could not be read for certain.
    Trigger,
    /// The trigger came late, or may have: whatever stands before the camera by now is another part.
    LateTrigger,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Overrun,
        Self::Deadline,
        Self::Camera,
        Self::Frame,
        Self::Engine,
        Self::Shutdown,
        Self::Product,
        Self::Trigger,
        Self::LateTrigger,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overrun => "overrun",
            Self::Deadline => "deadline",
            Self::Camera => "camera",
            Self::Frame => "frame",
            Self::Engine => "engine",
            Self::Shutdown => "shutdown",
            Self::Product => "product",
            Self::Trigger => "trigger",
            Self::LateTrigger => "late_trigger",
        }
    }
}

/// A completed judgement.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What the thresholds say of the score.
    pub verdict: Verdict,
    /// How unlike the good ones the part is.
    pub score: Score,
    /// The thresholds that were in force.
    pub thresholds: Thresholds,
    /// Where it is most unlike, in frame pixels.
    pub region: Roi,
}

/// What one witness says of a part.
#[derive(Debug, Clone, PartialEq)]
pub struct WitnessScore {
    /// `diad`, `latent` or `bank:<foundation>`.
    pub name: Arc<str>,
    /// The score that the part would have by this witness alone; see [`crate::join`].
    pub score: Score,
}

/// What came of one part.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The part was judged.
    Judged(Judgement),
    /// The part was not judged; the reject line acts on `on_unjudged`.
    Unjudged(Reason),
}

/// The one event of one part.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectionEvent {
    /// The part.
    pub meta: PartMeta,
    /// What came of it.
    pub outcome: Outcome,
    /// What each witness says; empty if the diffusion model judged alone, or nothing did.
    pub witnesses: Vec<WitnessScore>,
    /// When that was decided.
    pub judged: Stamp,
    /// The mark of the part came before, and that part may still be at the gate; see [`crate::repeat`].
    pub repeat: bool,
}

impl InspectionEvent {
    /// The word on the wire for a part that was not judged.
    pub const UNJUDGED: &'static str = "UNJUDGED";

    /// The part was judged.
    #[must_use]
    pub const fn judged(meta: PartMeta, judgement: Judgement, judged: Stamp) -> Self {
        Self { meta, outcome: Outcome::Judged(judgement), witnesses: Vec::new(), judged, repeat: false }
    }

    /// The same, with what each witness said.
    #[must_use]
    pub fn with_witnesses(self, witnesses: Vec<WitnessScore>) -> Self {
        Self { witnesses, ..self }
    }

    /// The part was not judged.
    #[must_use]
    pub const fn unjudged(meta: PartMeta, reason: Reason, judged: Stamp) -> Self {
        Self { meta, outcome: Outcome::Unjudged(reason), witnesses: Vec::new(), judged, repeat: false }
    }

    /// Time from capture to decision.
    #[must_use]
    pub fn latency(&self) -> std::time::Duration {
        self.judged.mono.saturating_duration_since(self.meta.captured.mono)
    }

    /// The word on the wire: `PASS`, `REVIEW`, `REJECT` or `UNJUDGED`.
    #[must_use]
    pub const fn verdict_word(&self) -> &'static str {
        match &self.outcome {
            Outcome::Judged(judgement) => judgement.verdict.as_str(),
            Outcome::Unjudged(_) => Self::UNJUDGED,
        }
    }
}
