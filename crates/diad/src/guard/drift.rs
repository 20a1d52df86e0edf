//! The drift guard: tells the station's health when a product leaves its reference, with what may have caused it.
//!
//! Every camera and product has its own [`Charts`]. They live in the infer stage and cost it some microseconds, after the
//! verdict has been handed on.

use std::collections::BTreeMap;

use diad_core::drift::{Charts, ConstantScore, Drift, Look, Reference, Side, Signal};
use diad_core::event::Judgement;
use diad_core::frame::PartMeta;
use diad_core::name::{CameraId, ProductName};
use tracing::warn;

use crate::health::{Health, Source};

/// What the health of a station calls drift.
const DRIFT_HEALTH: Source = Source::Drift;
/// What it calls a score that stands still.
const CONSTANT_SCORE_HEALTH: Source = Source::Score;
/// Products and cameras that are watched at most: their names come from outside.
const MOST_CHARTS: usize = 256;
/// An alarm of a product that has not come for this many parts of its camera is withdrawn: nobody can see whether it is
/// still true.
const ABSENT_PARTS: u64 = 1000;
/// Alarms in words; more are counted: a lamp that fails moves every product, and the state has room for 400 bytes.
const MAX_DRIFTS_IN_DETAIL: usize = 1;

/// Watches every camera and product.
pub struct DriftGuard {
    /// None: nobody wants to know.
    health: Option<Health>,
    watched: BTreeMap<(CameraId, Option<ProductName>), Watched>,
    full: bool,
    /// What was told last of scores that stand still.
    told_standing: Option<String>,
}

struct Watched {
    charts: Charts,
    /// Number of the last part.
    last: u64,
}

impl DriftGuard {
    /// Alarms turn the state to `degraded`.
    #[must_use]
    pub fn new(health: Health) -> Self {
        Self { health: Some(health), ..Self::off() }
    }

    /// Watches nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { health: None, watched: BTreeMap::new(), full: false, told_standing: None }
    }

    /// A part has been judged. `reference` is the one in force; another than before begins anew.
    pub fn judged(&mut self, meta: &PartMeta, judgement: &Judgement, look: Look, reference: Reference) {
        let Some(health) = self.health.clone() else { return };
        let changed = self.add(meta, judgement, look, reference);
        let standing = self.standing();
        if standing != self.told_standing {
            match &standing {
                Some(detail) => health.notice(CONSTANT_SCORE_HEALTH, detail),
                None => health.well(CONSTANT_SCORE_HEALTH),
            }
            self.told_standing = standing;
        }
        if !changed {
            return;
        }
        match self.detail() {
            Some(detail) => health.problem(DRIFT_HEALTH, &detail),
            None => health.well(DRIFT_HEALTH),
        }
    }

    /// Where every part has exactly the same score, in words; none if nowhere. No two pictures of a camera do that, so
    /// the guards look at the same picture again and again: a notice, for the verdict may still be right.
    fn standing(&self) -> Option<String> {
        let mut still = self.watched.iter().filter_map(|((camera, product), watched)| {
            let ConstantScore { score, since, .. } = watched.charts.standing()?;
            let product = product.as_ref().map_or_else(String::new, |product| format!(" {product}"));
            Some(format!("{camera}{product}: exactly {:?} in every part since part {since}", score.get()))
        });
        let first = still.next()?;
        let more = match still.count() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        Some(format!("{first}{more}: does the camera give a new picture for each part?"))
    }

    /// Gives whether the alarms are others than before.
    fn add(&mut self, meta: &PartMeta, judgement: &Judgement, look: Look, reference: Reference) -> bool {
        let (camera, seq) = (&meta.key.camera, meta.key.seq);
        let key = (camera.clone(), meta.product.clone());
        if self.watched.len() >= MOST_CHARTS && !self.watched.contains_key(&key) {
            if !self.full {
                warn!(most = MOST_CHARTS, "too many products: those that are new now are not watched for drift");
                self.full = true;
            }
            return false;
        }
        let watched = self.watched.entry(key).or_insert_with(|| Watched { charts: Charts::new(reference), last: seq });
        watched.last = seq;
        let mut changed = false;
        if *watched.charts.reference() != reference {
            changed = watched.charts.drifts().next().is_some();
            watched.charts = Charts::new(reference);
        }
        changed |= watched.charts.add(seq, judgement.verdict, judgement.score, look);
        for ((_, _), absent) in self.watched.iter_mut().filter(|((of, _), _)| of == camera) {
            let drifts = absent.charts.drifts().next().is_some();
            if absent.last + ABSENT_PARTS < seq && (drifts || absent.charts.standing().is_some()) {
                absent.charts.restart();
                changed |= drifts;
            }
        }
        changed
    }

    /// The alarms in words; none if there are none.
    fn detail(&self) -> Option<String> {
        let mut alarms = self.watched.iter().filter_map(|((camera, product), watched)| {
            let drifts: Vec<&Drift> = watched.charts.drifts().collect();
            let product = product.as_ref().map_or_else(String::new, |product| format!(" {product}"));
            (!drifts.is_empty()).then(|| format!("{camera}{product}: {}: {}", words(&drifts), cause(&drifts)))
        });
        let mut told: Vec<String> = alarms.by_ref().take(MAX_DRIFTS_IN_DETAIL).collect();
        match alarms.count() {
            0 => {}
            more => told.push(format!("and {more} more")),
        }
        (!told.is_empty()).then(|| told.join("; "))
    }
}

fn words(drifts: &[&Drift]) -> String {
    let words: Vec<String> = drifts
        .iter()
        .map(|drift| {
            let Drift { signal, side, shift_sd, reference, since } = drift;
            let side = match side {
                Side::Above => "above",
                Side::Below => "below",
            };
            // Two digits are enough to see, and a part far off must not fill the line.
            let shift = shift_sd.min(99.0);
            format!("{} {shift:.1} sd {side} its reference {:.3} since part {since}", signal.as_str(), reference.mean())
        })
        .collect();
    words.join(", ")
}

/// Where a person should look first. Light changes everything, focus the score too.
fn cause(drifts: &[&Drift]) -> &'static str {
    let moved = |signal| drifts.iter().any(|drift| drift.signal == signal);
    if moved(Signal::Brightness) {
        "lamp or exposure?"
    } else if moved(Signal::Sharpness) {
        "focus, lens or vibration?"
    } else {
        "material or process?"
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use diad_core::drift::Spread;
    use diad_core::frame::{PartKey, Roi, Stamp};
    use diad_core::judge::{Thresholds, Verdict};
    use diad_core::score::Score;

    use super::*;

    fn reference() -> Reference {
        let spread = |mean, sd| Some(Spread::try_new(mean, sd).unwrap());
        Reference { score: spread(0.02, 0.005), brightness: spread(0.4, 0.02), sharpness: spread(0.25, 0.02) }
    }

    /// Shows a part: its number, and score, brightness and sharpness in standard deviations.
    fn part(guard: &mut DriftGuard, product: &str, seq: u64, [score, brightness, sharpness]: [f64; 3]) -> bool {
        let camera = CameraId::try_new("cam0").unwrap();
        let captured = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        let product = ProductName::try_new(product).ok();
        let meta = PartMeta { key: PartKey { camera, seq }, part: None, product, source: None, captured };
        let none = Score::try_new(0.0).unwrap();
        let judgement = Judgement {
            verdict: Verdict::Pass,
            score: Score::try_new((0.02 + 0.005 * score) as f32).unwrap(),
            thresholds: Thresholds::try_new(none, none, 0).unwrap(),
            region: Roi { x: 0, y: 0, width: 1, height: 1 },
        };
        let look = Look { brightness: 0.4 + 0.02 * brightness, sharpness: 0.25 + 0.02 * sharpness };
        guard.add(&meta, &judgement, look, reference())
    }

    #[test]
    fn detail_names_camera_product_signal_side_begin_and_cause() {
        for (moved, want) in [
            (
                [0.0, -2.4, 0.0],
                "cam0 washer: brightness 2.4 sd below its reference 0.400 since part 11: lamp or exposure?",
            ),
            (
                [0.0, 0.0, -3.0],
                "cam0 washer: sharpness 3.0 sd below its reference 0.250 since part 11: focus, lens or vibration?",
            ),
            (
                [2.0, 0.0, 0.0],
                "cam0 washer: score 2.0 sd above its reference 0.020 since part 11: material or process?",
            ),
            (
                [2.0, 2.0, 0.0],
                "cam0 washer: score 2.0 sd above its reference 0.020 since part 11, brightness 2.0 sd above its reference 0.400 since part 11: lamp or exposure?",
            ),
        ] {
            let mut guard = DriftGuard::off();
            assert!((1..=10).all(|seq| !part(&mut guard, "washer", seq, [0.0; 3])));
            assert_eq!(guard.detail(), None);
            assert!((11..=40).any(|seq| part(&mut guard, "washer", seq, moved)), "{want}");
            assert_eq!(guard.detail().as_deref(), Some(want));
            assert!((41..=100).any(|seq| part(&mut guard, "washer", seq, [0.0; 3])), "{want}");
            assert_eq!(guard.detail(), None);
        }
    }

    #[test]
    fn alarm_of_a_product_that_comes_no_more_is_withdrawn() {
        let mut guard = DriftGuard::off();
        (1..=30).for_each(|seq| _ = part(&mut guard, "washer", seq, [3.0; 3]));
        (31..=1030).for_each(|seq| _ = part(&mut guard, "gear", seq, [0.0; 3]));
        assert!(guard.detail().unwrap().starts_with("cam0 washer: "));
        assert!(part(&mut guard, "gear", 1031, [0.0; 3]));
        assert_eq!(guard.detail(), None);
    }

    #[test]
    fn score_that_stands_still_is_told_until_it_moves() {
        let mut guard = DriftGuard::off();
        (1..=29).for_each(|seq| _ = part(&mut guard, "washer", seq, [0.0; 3]));
        assert_eq!(guard.standing(), None);
        part(&mut guard, "washer", 30, [0.0; 3]);
        let told = guard.standing().unwrap();
        assert!(told.starts_with("cam0 washer: exactly 0.02 in every part since part 1: does the camera"), "{told}");
        part(&mut guard, "washer", 31, [0.001, 0.0, 0.0]);
        assert_eq!(guard.standing(), None);
        let health = crate::testing::health();
        health.ready();
        let mut guard = DriftGuard::new(health.clone());
        let show = |guard: &mut DriftGuard, seq, score: f32| {
            let captured = Stamp { wall: SystemTime::now(), mono: Instant::now() };
            let key = PartKey { camera: CameraId::try_new("cam0").unwrap(), seq };
            let meta = PartMeta { key, part: None, product: None, source: None, captured };
            let score = Score::try_new(score).unwrap();
            let judgement = Judgement {
                verdict: Verdict::Pass,
                score,
                thresholds: Thresholds::try_new(score, score, 0).unwrap(),
                region: Roi { x: 0, y: 0, width: 1, height: 1 },
            };
            guard.judged(&meta, &judgement, Look { brightness: 0.4, sharpness: 0.2 }, Reference::default());
        };
        (1..=30).for_each(|seq| show(&mut guard, seq, 0.25));
        assert_eq!(health.look().1.len(), 1);
        assert_eq!(health.faults(), (diad_publish::wire::State::Ready, Vec::new()), "a notice");
        show(&mut guard, 31, 0.26);
        assert!(health.look().1.is_empty());
    }

    #[test]
    fn many_alarms_fit_the_state() {
        let mut guard = DriftGuard::off();
        let products = ["a", "b", "c", "d"].map(|name| name.repeat(20));
        for seq in 1..=30 {
            products.iter().for_each(|product| _ = part(&mut guard, product, seq, [0.0, 1e9, 0.0]));
        }
        let detail = guard.detail().unwrap();
        assert!(detail.ends_with("; and 3 more") && detail.len() < 200, "{detail}");
    }

    #[test]
    fn names_without_end_are_not_watched() {
        let mut guard = DriftGuard::off();
        (0..1000).for_each(|seq| _ = part(&mut guard, &format!("p{seq}"), seq, [0.0; 3]));
        assert_eq!(guard.watched.len(), MOST_CHARTS);
    }
}
