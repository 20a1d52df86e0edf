//! What is said of one image, to a person and to a program.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use diad_capture::CaptureError;
use diad_core::event::WitnessScore;
use diad_core::frame::{FrameError, Roi};
use diad_core::inspector::InspectError;
use diad_core::judge::{Thresholds, Verdict};
use diad_core::score::Score;
use diad_engine::EngineError;
use serde::Serialize;

use crate::chain::chain;

/// The word for an image without a score.
const UNJUDGED: &str = "UNJUDGED";

/// Why an image has no score.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There are no pixels.
    #[error("read the image")]
    Read(#[source] CaptureError),
    /// The pixels are not a picture.
    #[error("view the image")]
    Pixels(#[source] FrameError),
    /// The method gave no score.
    #[error("inspect the image")]
    Inspect(#[source] InspectError<EngineError>),
}

impl Fault {
    /// The reason on one line, without the path.
    fn reason(&self) -> String {
        match self {
            Self::Read(CaptureError::Frame { source, .. }) => chain(source),
            other => chain(other),
        }
    }
}

/// One image's entry of the document. The field order is the document's.
#[derive(Debug, Serialize)]
pub struct Finding {
    path: String,
    /// None where nobody gave thresholds to judge by.
    verdict: Option<&'static str>,
    score: Option<f32>,
    x_px: Option<u32>,
    y_px: Option<u32>,
    width_px: Option<u32>,
    height_px: Option<u32>,
    review_at: Option<f32>,
    reject_at: Option<f32>,
    /// Score of each witness; absent if the diffusion model judged alone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    witnesses: BTreeMap<String, f32>,
    error: Option<String>,
}

impl Finding {
    /// An image that has a score, and a verdict if there are thresholds.
    pub fn scored(path: &Path, score: Score, region: Roi, judged: Option<(Verdict, Thresholds)>) -> Self {
        Self {
            path: path.to_string_lossy().into_owned(),
            verdict: judged.map(|(verdict, _)| verdict.as_str()),
            score: Some(score.get()),
            x_px: Some(region.x),
            y_px: Some(region.y),
            width_px: Some(region.width),
            height_px: Some(region.height),
            review_at: judged.map(|(_, thresholds)| thresholds.review().get()),
            reject_at: judged.map(|(_, thresholds)| thresholds.reject().get()),
            witnesses: BTreeMap::new(),
            error: None,
        }
    }

    /// The same, with what each witness says.
    pub fn with_witnesses(mut self, said: &[WitnessScore]) -> Self {
        self.witnesses = said.iter().map(|said| (said.name.to_string(), said.score.get())).collect();
        self
    }

    /// An image without a score: unjudged, whether or not there are thresholds.
    pub fn unjudged(path: &Path, fault: &Fault, thresholds: Option<Thresholds>) -> Self {
        Self {
            path: path.to_string_lossy().into_owned(),
            verdict: Some(UNJUDGED),
            score: None,
            x_px: None,
            y_px: None,
            width_px: None,
            height_px: None,
            review_at: thresholds.map(|thresholds| thresholds.review().get()),
            reject_at: thresholds.map(|thresholds| thresholds.reject().get()),
            witnesses: BTreeMap::new(),
            error: Some(fault.reason()),
        }
    }

    /// True without a score.
    pub const fn is_error(&self) -> bool {
        self.error.is_some()
    }

    /// `path  VERDICT  score  region`, or the reason in place of the last two; the path padded to `width`.
    pub fn line(&self, width: usize) -> String {
        let verdict = self.verdict.unwrap_or("-");
        let start = format!("{:width$}  {verdict:8}", self.path);
        match self {
            Self { error: Some(error), .. } => format!("{start}  {error}\n"),
            Self {
                score: Some(score), x_px: Some(x), y_px: Some(y), width_px: Some(w), height_px: Some(h), ..
            } => {
                let mut line = format!("{start}  {score:.4}  {w}x{h} px at {x},{y}");
                for (name, score) in &self.witnesses {
                    // Writing to a `String` cannot fail.
                    let _ = write!(line, "  {name} {score:.4}");
                }
                line.push('\n');
                line
            }
            _ => format!("{start}\n"),
        }
    }
}
