//! What a demonstration showed: the count of parts, and the verdicts against the renderer's own truth.

use std::collections::BTreeMap;
use std::fmt::Write;

use diad_core::event::{InspectionEvent, Outcome};
use diad_core::frame::{PixelFormat, PixelsView};
use diad_core::inspector::Inspection;
use diad_core::judge::Verdict;
use diad_core::metrics::Ranking;
use diad_core::resize::Resizer;
use serde_json::{Value, json};

use crate::line::{Frame, Totals, Witness};
use crate::percentile::Percentiles;
use crate::station::Report;

/// A mask resized to the map counts as defect from here on: half covered.
const MASK_HALF_COVERED: u8 = 128;
/// Parts whose scores and maps are kept for the AUROC: bounds the memory of a demonstration that does not end.
const KEPT_PARTS: usize = 500;

/// Collects scores and maps of every judged part beside the truth.
#[derive(Debug, Default)]
pub struct Observer {
    products: BTreeMap<String, ProductTally>,
    kept: usize,
}

#[derive(Debug, Default)]
struct ProductTally {
    scores: Vec<(f32, bool)>,
    pixels: Vec<(f32, bool)>,
    /// Parts by truth (good, defective) and verdict (pass, review, reject).
    confusion: [[u64; 3]; 2],
}

impl Witness for Observer {
    fn judged(&mut self, frame: &Frame, inspection: &Inspection<'_>, event: &InspectionEvent) {
        let (Some(truth), Outcome::Judged(judgement)) = (&frame.capture.truth, &event.outcome) else { return };
        let seen = self.products.entry(truth.part.product.name().to_owned()).or_default();
        let defective = truth.part.defect.is_some();
        let column = match judgement.verdict {
            Verdict::Pass => 0,
            Verdict::Review => 1,
            Verdict::Reject => 2,
        };
        seen.confusion[usize::from(defective)][column] += 1;

        if self.kept == KEPT_PARTS {
            return;
        }
        self.kept += 1;
        seen.scores.push((inspection.score.get(), defective));
        let map = inspection.map;
        let (width, height) = truth.mask.dimensions();
        let Ok(mask) = PixelsView::try_new(width, height, PixelFormat::Mono8, truth.mask.as_raw()) else { return };
        let Ok(mut resizer) = Resizer::try_new(map.width(), map.height()) else { return };
        if let Ok(mask) = resizer.resize(mask, mask.full()) {
            seen.pixels.extend(map.values().iter().copied().zip(mask.iter().map(|&m| m >= MASK_HALF_COVERED)));
        }
    }
}

/// The numbers of a demonstration.
#[derive(Debug)]
pub struct Summary {
    totals: Totals,
    acknowledged: u64,
    latency_ms: Option<Percentiles>,
    auroc_parts: usize,
    image_auroc: Option<f64>,
    pixel_auroc: Option<f64>,
    /// Image and pixel AUROC of each product.
    products: BTreeMap<String, [Option<f64>; 2]>,
    confusion: [[u64; 3]; 2],
}

impl Summary {
    /// Sums up a station's report and the latencies that were heard, in milliseconds.
    pub fn of(report: &Report<Observer>, latency_ms: Vec<f64>) -> Self {
        let seen = || report.witness.products.values();
        let mut confusion = [[0; 3]; 2];
        for counted in seen() {
            for (total, part) in confusion.iter_mut().flatten().zip(counted.confusion.iter().flatten()) {
                *total += part;
            }
        }
        Self {
            totals: report.totals,
            acknowledged: report.drained.acknowledged,
            latency_ms: Percentiles::of(latency_ms),
            auroc_parts: seen().map(|s| s.scores.len()).sum(),
            image_auroc: mean_auroc(seen().map(|s| s.scores.as_slice())),
            pixel_auroc: mean_auroc(seen().map(|s| s.pixels.as_slice())),
            products: report
                .witness
                .products
                .iter()
                .map(|(name, seen)| (name.clone(), [auroc(&seen.scores), auroc(&seen.pixels)]))
                .collect(),
            confusion,
        }
    }

    /// Parts without a verdict that the broker has acknowledged.
    pub const fn unaccounted(&self) -> u64 {
        self.totals.triggered.saturating_sub(self.acknowledged)
    }

    /// One JSON document.
    pub fn json(&self) -> String {
        let Totals { triggered, pass, review, reject, unjudged, .. } = self.totals;
        let [good, defective] =
            self.confusion.map(|[pass, review, reject]| json!({ "pass": pass, "review": review, "reject": reject }));
        let products = self
            .products
            .iter()
            .map(|(name, [image, pixel])| (name.clone(), json!({ "image_auroc": image, "pixel_auroc": pixel })));
        let document = json!({
            "products": products.collect::<serde_json::Map<_, _>>(),
            "parts_in": triggered,
            "verdicts_out": self.totals.verdicts(),
            "pass": pass,
            "review": review,
            "reject": reject,
            "unjudged": unjudged,
            "image_auroc": self.image_auroc,
            "pixel_auroc": self.pixel_auroc,
            "auroc_parts": self.auroc_parts,
            "confusion": { "good": good, "defective": defective },
            "latency_ms": self.latency_ms.map_or(Value::Null, |latency| latency.json()),
            "mqtt_acknowledged": self.acknowledged,
        });
        format!("{document:#}\n")
    }

    /// For people.
    pub fn text(&self) -> String {
        let Totals { triggered, pass, review, reject, unjudged, .. } = self.totals;
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "\nparts in {triggered} = verdicts out {} = acknowledged by the broker {}",
            self.totals.verdicts(),
            self.acknowledged
        );
        let _ = writeln!(text, "PASS {pass}  REVIEW {review}  REJECT {reject}  UNJUDGED {unjudged}");
        for (truth, [pass, review, reject]) in ["good", "defective"].iter().zip(self.confusion) {
            let _ = writeln!(text, "{truth:<10} passed {pass:>4}   reviewed {review:>4}   rejected {reject:>4}");
        }
        let figure = |value: Option<f64>| value.map_or_else(|| "too few parts".to_owned(), |v| format!("{v:.3}"));
        let _ = writeln!(
            text,
            "image AUROC {}   pixel AUROC {}   (mean over products, {} parts)",
            figure(self.image_auroc),
            figure(self.pixel_auroc),
            self.auroc_parts
        );
        if let Some(Percentiles { p50, p99, .. }) = self.latency_ms {
            let _ = writeln!(text, "latency from picture to verdict: p50 {p50:.0} ms, p99 {p99:.0} ms");
        }
        text
    }
}

/// Mean over the products that have parts (or pixels) of both kinds; `None` if none has.
fn mean_auroc<'a>(products: impl Iterator<Item = &'a [(f32, bool)]>) -> Option<f64> {
    let each: Vec<_> = products.filter_map(auroc).collect();
    (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
}

/// None where there are no good ones or no bad ones.
fn auroc(values: &[(f32, bool)]) -> Option<f64> {
    Ranking::try_new(values.iter().copied()).ok().map(|ranking| ranking.auroc())
}
