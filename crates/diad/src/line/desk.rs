//! Where parts enter and results are handed in: the one door to the record stage.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diad_capture::Picture;
use diad_core::event::{InspectionEvent, Reason};
use diad_core::frame::{PartKey, PartMeta, Stamp};
use diad_core::name::{CameraId, PartId, ProductName};
use diad_ledger::Timings;
use diad_publish::Receipt;
use tracing::error;

use super::account::Account;
use super::beat::StageProgress;
use super::clock::now;
use super::lane::LaneSender;
use super::stop::Stop;
use crate::archive::{Archive, PartImages, Seen};
use crate::thresholds::{LiveThresholds, ThresholdSet};

/// Longest wait between two heartbeats.
const SEND_BEAT_INTERVAL: Duration = Duration::from_millis(100);

/// What a stage says to the record stage.
#[expect(
    clippy::large_enum_variant,
    reason = "half of the words are of the large kind, and the lane's slots are made once"
)]
pub(super) enum Said {
    /// A part has entered; from now on it is owed a verdict.
    Entered {
        /// The part.
        meta: PartMeta,
        /// The thresholds in force.
        thresholds: Arc<ThresholdSet>,
        /// It came late: its deadline is over, and it has time for no more than its verdict.
        late: bool,
        /// To be settled when it is on record.
        receipt: Option<Receipt>,
    },
    /// The plant has changed over.
    Product {
        /// The product in force from now on; none where that cannot be read.
        product: Option<ProductName>,
        /// When that came in.
        at: Stamp,
        /// To be settled when it is on record.
        receipt: Receipt,
    },
    /// This is what came of a part.
    Decided {
        /// What.
        event: InspectionEvent,
        /// The thresholds in force for it.
        thresholds: Arc<ThresholdSet>,
        /// How long each stage took.
        timings: Timings,
        /// What there is to see of it.
        evidence: Option<PartImages>,
    },
    /// Nobody says anything any more: the last word of the supervisor.
    End,
}

/// What is known of a part when it enters.
#[derive(Debug)]
pub(super) struct PartRegistration {
    pub(super) part: Option<PartId>,
    pub(super) product: Option<ProductName>,
    pub(super) source: Option<Arc<str>>,
    pub(super) captured: Stamp,
    /// It came too late to be judged.
    pub(super) late: bool,
    /// Of the message that triggered it.
    pub(super) receipt: Option<Receipt>,
}

/// One stage's way to the record stage. What is handed in is never dropped: a full lane makes the stage wait.
#[derive(Clone)]
pub(super) struct Desk {
    account: Account,
    /// The last number of each camera.
    numbers: Arc<Mutex<HashMap<CameraId, u64>>>,
    said: LaneSender<Said>,
    thresholds: LiveThresholds,
    archive: Archive,
    stop: Stop,
    beat: StageProgress,
}

impl Desk {
    /// A desk without parts. Its clones number and count together.
    pub(super) fn new(
        account: Account,
        said: LaneSender<Said>,
        thresholds: LiveThresholds,
        archive: Archive,
        stop: Stop,
        beat: StageProgress,
    ) -> Self {
        Self { account, numbers: Arc::default(), said, thresholds, archive, stop, beat }
    }

    /// The same desk for another stage.
    pub(super) fn of_stage(&self, beat: StageProgress) -> Self {
        Self { beat, ..self.clone() }
    }

    /// The stage that hands in lives.
    pub(super) fn tick(&self) {
        self.beat.tick();
    }

    /// A part enters the line: it gets its number, from 1 without a gap per camera, is counted, and is owed a verdict.
    pub(super) fn enter(&self, camera: &CameraId, arrival: PartRegistration) -> PartMeta {
        let seq = {
            let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
            let last = numbers.entry(camera.clone()).or_default();
            *last += 1;
            self.account.triggered();
            *last
        };
        let PartRegistration { part, product, source, captured, late, receipt } = arrival;
        let meta = PartMeta { key: PartKey { camera: camera.clone(), seq }, part, product, source, captured };
        self.hand_in(Said::Entered { meta: meta.clone(), thresholds: self.thresholds.current(), late, receipt });
        meta
    }

    /// The plant has changed over.
    pub(super) fn product(&self, product: Option<ProductName>, at: Stamp, receipt: Receipt) {
        self.hand_in(Said::Product { product, at, receipt });
    }

    /// A part that has entered cannot be judged.
    pub(super) fn unjudged(&self, meta: PartMeta, reason: Reason) {
        let event = InspectionEvent::unjudged(meta, reason, now());
        self.decided(event, self.thresholds.current(), Timings::NONE, None);
    }

    /// A part that has a picture cannot be judged.
    pub(super) fn unjudged_with(&self, meta: PartMeta, reason: Reason, picture: Picture) {
        let event = InspectionEvent::unjudged(meta, reason, now());
        let evidence = self.archive.evidence(picture, None);
        self.decided(event, self.thresholds.current(), Timings::NONE, evidence);
    }

    /// A part was decided, with these thresholds in force.
    pub(super) fn decided(
        &self,
        event: InspectionEvent,
        thresholds: Arc<ThresholdSet>,
        timings: Timings,
        evidence: Option<PartImages>,
    ) {
        self.hand_in(Said::Decided { event, thresholds, timings, evidence });
    }

    /// Takes what there is to see of a part, for [`decided`](Self::decided).
    pub(super) fn evidence(&self, picture: Picture, seen: Option<Seen>) -> Option<PartImages> {
        self.archive.evidence(picture, seen)
    }

    /// Says that nothing more will come, whoever may still hold a desk.
    pub(super) fn end(&self) {
        self.hand_in(Said::End);
    }

    fn hand_in(&self, said: Said) {
        let mut said = said;
        // With nobody to hear it the process ends, and what was said is made good at the next start.
        while !self.stop.is_unheard() {
            let Err(back) = self.said.send(said, SEND_BEAT_INTERVAL) else { return };
            error!("parts wait: the record stage is slow");
            self.beat.tick();
            said = back;
        }
    }
}
