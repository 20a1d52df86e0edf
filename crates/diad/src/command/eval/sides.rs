//! What some of a product's witnesses would come to without the others, from the maps of one run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diad_core::inspector::{Inspection, Stage};
use diad_core::join::{JoinError, Joined, Share, WitnessKind};
use diad_core::learning::{Scorer, ScorerError};
use diad_core::map::{MapSettings, Mask};
use diad_core::metrics::Ranking;
use diad_core::score::ScoreRule;

use super::curves::Curves;
use super::figures::{Figures, Truth};
use super::sureness::Sureness;
use crate::timing::ms;

/// Who judges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Everyone whom the product has, joined.
    All,
    /// The diffusion model in pixels.
    Diad,
    /// The banks of good patches, each counting the same: a nearest-neighbour detector with these features.
    Banks,
    /// One witness of several.
    One(Arc<str>),
}

impl Side {
    /// The key in documents.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::All => "all",
            Self::Diad => "diad",
            Self::Banks => "banks",
            Self::One(name) => name,
        }
    }

    /// Whether a part of this side's time is spent in a stage; none for a side whose time is not known apart from others'.
    fn takes(&self, stage: Stage) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::Diad => Some(!stage.is_joined()),
            Self::Banks => Some(matches!(stage, Stage::Foundation | Stage::Bank | Stage::Map | Stage::Score)),
            Self::One(_) => None,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Diad => f.write_str("DiAD alone"),
            Self::Banks => f.write_str("banks alone (nearest neighbour)"),
            Self::One(name) => write!(f, "{name} alone"),
        }
    }
}

/// What a side came to with the parts of one product.
#[derive(Debug)]
pub struct SideResult {
    /// Who.
    pub side: Side,
    /// Its figures.
    pub figures: Figures,
    /// What they are areas of.
    pub curves: Curves,
    /// How sure they are.
    pub sureness: Sureness,
    /// Milliseconds for each part; empty if not known.
    pub ms: Vec<f64>,
}

/// Some witnesses, by their place in the record, with their shares.
struct Group {
    side: Side,
    shares: Vec<(usize, Share)>,
    scores: Vec<(f32, bool)>,
    maps: Vec<Truth>,
    ms: Vec<f64>,
}

/// Judges the parts of one product by some of its witnesses.
pub struct Sides {
    scorer: Scorer,
    sides: Vec<Group>,
}

impl Sides {
    /// For a product of these witnesses and a model of these settings, with maps of `size` (width, height).
    ///
    /// # Errors
    /// [`ScorerError`], if the settings do not fit the size.
    pub fn of(joined: &Joined, map: &MapSettings, rule: ScoreRule, size: (u32, u32)) -> Result<Self, ScorerError> {
        let all = || joined.witnesses().iter().enumerate();
        let is_bank = |kind: &WitnessKind| matches!(kind, WitnessKind::Bank { .. });
        let mut sides = Vec::new();
        let mut add = |side: Side, places: Vec<usize>| {
            let even = |place: usize| {
                let share = joined.witnesses()[place].share();
                Ok((place, Share::try_new(1.0 / places.len() as f64, share.mean(), share.sd())?))
            };
            // Weights of whole shares and means of what is in force: there is nothing to refuse.
            if let Ok(shares) = places.iter().copied().map(even).collect::<Result<Vec<_>, JoinError>>()
                && !shares.is_empty()
            {
                sides.push(Group { side, shares, scores: Vec::new(), maps: Vec::new(), ms: Vec::new() });
            }
        };
        let places = |wanted: &dyn Fn(&WitnessKind) -> bool| {
            all().filter(|(_, witness)| wanted(witness.kind())).map(|(place, _)| place).collect::<Vec<_>>()
        };
        add(Side::Diad, places(&|kind| matches!(kind, WitnessKind::Diad)));
        let banks = places(&is_bank);
        let several = banks.len() > 1;
        add(Side::Banks, banks);
        for (place, witness) in all() {
            let apart = match witness.kind() {
                WitnessKind::Diad => false,
                WitnessKind::Latent { .. } => true,
                WitnessKind::Bank { .. } => several,
            };
            if apart {
                add(Side::One(Arc::clone(witness.name())), vec![place]);
            }
        }
        Ok(Self { scorer: Scorer::try_new(map, rule, size.0, size.1)?, sides })
    }

    /// Judges a part that all have seen. With its `truth` (which pixels are defect) the maps are kept.
    ///
    /// # Errors
    /// [`ScorerError`].
    pub fn judge(
        &mut self,
        inspection: &Inspection<'_>,
        mask: &Mask,
        defective: bool,
        truth: Option<&[bool]>,
        stages: &[(Stage, Duration)],
    ) -> Result<(), ScorerError> {
        for own in &mut self.sides {
            let maps =
                own.shares.iter().filter_map(|(place, share)| Some((inspection.witnesses.get(*place)?.raw(), *share)));
            let peak = self.scorer.peak(mask, &inspection.geometry, maps)?;
            own.scores.push((peak.score.get(), defective));
            if let Some(truth) = truth {
                own.maps.push(Truth { map: self.scorer.map().values().to_vec(), mask: truth.to_vec() });
            }
            let times = stages
                .iter()
                .map(|(stage, time)| own.side.takes(*stage).map(|takes| if takes { ms(*time) } else { 0.0 }));
            own.ms.extend(times.sum::<Option<f64>>());
        }
        Ok(())
    }

    /// What each side came to. With `marked` it is known which pixels are defect; maps are of `size`.
    #[must_use]
    pub fn results(self, marked: bool, size: (u32, u32)) -> Vec<SideResult> {
        let result = |own: Group| {
            let maps = marked.then_some(&own.maps[..]);
            let ranking = Ranking::try_new(own.scores.iter().copied());
            let (figures, curves) = Figures::measure(&ranking, maps, size);
            let sureness = Sureness::of_scores(own.scores, maps, size);
            SideResult { side: own.side, figures, curves, sureness, ms: own.ms }
        };
        self.sides.into_iter().map(result).collect()
    }
}
