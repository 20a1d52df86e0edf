//! Good parts judged by banks that have not seen them: the scale of every witness, and the scores from which cut-offs come.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

use diad_core::bank::{Bank, BankError, MAX_ROWS, Search, coreset_beside};
use diad_core::join::Share;
use diad_core::learning::{self, Folds, Moments, Scorer, ScorerError};
use diad_core::map::{Alignment, AnomalyMap, Enlarger, MapError, MapSettings, Mask};
use diad_core::score::{Peak, ScoreRule};
use diad_core::tensor::{Shape, Tensor};

use super::error::LearnError;
use super::view::View;

/// Patches among which a bank's rows are chosen, from all parts together: more cost time and change little.
const MAX_CANDIDATE_PATCHES: usize = 20_000;
/// Rows that an addition may bring at least.
const LEAST_MORE: usize = 64;
/// Banks that are made side by side: each takes the memory of its candidates.
const MOST_AT_ONCE: usize = 4;

/// What all parts of a run are judged with.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    /// Shapes of the patches of each foundation, `[1, D, h, w]`.
    pub(super) shapes: Vec<Shape>,
    /// How many of the witnesses are the model's own; the banks follow them.
    pub(super) own: usize,
    /// Weight of each witness.
    pub(super) weights: Vec<f64>,
    /// Size of the maps, in model pixels.
    pub(super) size: (u32, u32),
    /// How maps are smoothed.
    pub(super) map: MapSettings,
    /// How a map is scored.
    pub(super) rule: ScoreRule,
    /// Where the product counts.
    pub(super) mask: &'a Mask,
    /// Most rows of a bank.
    pub(super) rows: usize,
    /// Says which patches are drawn.
    pub(super) seed: u64,
}

/// What was known before these parts.
#[derive(Debug, Clone)]
pub(super) struct Earlier {
    /// The bank of each foundation.
    pub(super) banks: Vec<Bank>,
    /// The scale of each witness, which stays as it is.
    pub(super) shares: Vec<Share>,
}

/// How held-out parts came out.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// The scale of each witness.
    pub(super) shares: Vec<Share>,
    /// The score of each part.
    pub(super) scores: Vec<f32>,
}

/// The distances of the patches of some parts to the nearest row, by part and foundation.
type Distances = Vec<Vec<Vec<f32>>>;

impl Ground<'_> {
    /// Judges every part by banks of the others. Parts in `aside` are in no bank and count for no scale, and are judged all
    /// the same.
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn cross_validate(
        &self,
        views: &[View],
        aside: &BTreeSet<usize>,
        earlier: Option<&Earlier>,
        done: &(dyn Fn() + Sync),
    ) -> Result<Trial, LearnError> {
        let folds = Folds::of(views.len());
        let jobs: Vec<(usize, usize)> =
            (0..folds.count()).flat_map(|fold| (0..self.shapes.len()).map(move |f| (fold, f))).collect();
        let of_job = |job: usize| {
            let (fold, foundation) = jobs[job];
            let kept = folds.kept(fold).filter(|part| !aside.contains(part));
            let bank = self.bank(foundation, kept.map(|part| &views[part]), self.rows)?;
            let banks = earlier.and_then(|earlier| earlier.banks.get(foundation)).into_iter().chain(&bank);
            let banks: Vec<&Bank> = banks.collect();
            let held_out = folds.held_out(fold).map(|part| {
                let distances = self.distances(foundation, &banks, &views[part])?;
                Ok((part, foundation, distances))
            });
            let held_out = held_out.collect::<Result<Vec<_>, BankError>>()?;
            done();
            Ok(held_out)
        };
        let mut distances: Distances = vec![vec![Vec::new(); self.shapes.len()]; views.len()];
        for (part, foundation, found) in side_by_side(jobs.len(), &of_job)?.into_iter().flatten() {
            distances[part][foundation] = found;
        }
        let shares = earlier.map(|earlier| &earlier.shares[..]);
        let (shares, peaks) = self.judge(views, &distances, aside, shares)?;
        Ok(Trial { shares, scores: peaks.iter().map(|peak| peak.score.get()).collect() })
    }

    /// Judges parts by given banks, on a given scale.
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn peaks(&self, views: &[View], banks: &[Bank], shares: &[Share]) -> Result<Vec<Peak>, LearnError> {
        let of_view = |view: &View| {
            let of_bank = |(foundation, bank)| self.distances(foundation, &[bank], view);
            banks.iter().enumerate().map(of_bank).collect::<Result<Vec<_>, BankError>>()
        };
        let distances = views.iter().map(of_view).collect::<Result<Distances, BankError>>()?;
        Ok(self.judge(views, &distances, &BTreeSet::new(), Some(shares))?.1)
    }

    /// The patch of a foundation where a part is most unlike what was learnt.
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn peak_patch(&self, view: &View, earlier: &Earlier, foundation: usize) -> Result<Vec<f32>, LearnError> {
        let peaks = self.peaks(std::slice::from_ref(view), &earlier.banks, &earlier.shares)?;
        let shape @ [_, _, height, width] = self.shapes[foundation];
        let mut patches = Tensor::zeros(shape);
        view.read_patches(foundation, &mut patches);
        let place = peaks.first().map_or(0, |peak| {
            let along = |at: u32, length: u32, places: usize| (at as usize * places / length as usize).min(places - 1);
            along(peak.y, self.size.1, height) * width + along(peak.x, self.size.0, width)
        });
        Ok(patches.data().iter().skip(place).step_by(height * width).copied().collect())
    }

    /// The bank of all parts for each foundation.
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn all_banks(&self, views: &[View]) -> Result<Vec<Bank>, LearnError> {
        let of = |foundation| {
            let bank = self.bank(foundation, views.iter(), self.rows)?;
            bank.ok_or(LearnError::Bank(BankError::Size { values: 0, channels: self.shapes[foundation][1] }))
        };
        side_by_side(self.shapes.len(), &of)
    }

    /// Banks with up to `more` rows each of what is new among `candidates`, beside all rows that they had: whatever was near
    /// to a row stays near to it.
    ///
    /// # Errors
    /// [`LearnError`].
    pub(super) fn extended(
        &self,
        banks: &[Bank],
        candidates: &[Vec<f32>],
        more: usize,
    ) -> Result<Vec<Bank>, LearnError> {
        let of = |foundation: usize| {
            let (bank, patches) = (&banks[foundation], &candidates[foundation]);
            let channels = bank.channels();
            let room = more.max(LEAST_MORE).min(MAX_ROWS - bank.len());
            let chosen = coreset_beside(bank.rows(), patches, channels, room, self.seed, &mut |_| {})?;
            let chosen = chosen.into_iter().flat_map(|row| &patches[row * channels..][..channels]);
            Ok(Bank::try_new(bank.rows().iter().chain(chosen).copied().collect(), channels)?)
        };
        side_by_side(banks.len(), &of)
    }

    /// A bank of some parts' patches; none where there are no parts.
    pub(super) fn bank<'v>(
        &self,
        foundation: usize,
        views: impl Iterator<Item = &'v View>,
        keep: usize,
    ) -> Result<Option<Bank>, LearnError> {
        let rows = self.candidates(foundation, views);
        if rows.is_empty() {
            return Ok(None);
        }
        let [_, channels, ..] = self.shapes[foundation];
        Ok(Some(learning::bank(&rows, channels, keep, self.seed, &mut |_| {})?))
    }

    /// Patches among which rows of a bank are chosen: as many of every part.
    pub(super) fn candidates<'v>(&self, foundation: usize, views: impl Iterator<Item = &'v View>) -> Vec<f32> {
        let views: Vec<&View> = views.collect();
        let mut patches = Tensor::zeros(self.shapes[foundation]);
        let mut rows = Vec::new();
        for (part, view) in views.iter().enumerate() {
            view.read_patches(foundation, &mut patches);
            learning::draw(&patches, MAX_CANDIDATE_PATCHES.div_ceil(views.len()), self.seed ^ part as u64, &mut rows);
        }
        rows
    }

    /// How far each patch of a part is from the nearest row of any of the banks.
    fn distances(&self, foundation: usize, banks: &[&Bank], view: &View) -> Result<Vec<f32>, BankError> {
        let shape @ [_, _, height, width] = self.shapes[foundation];
        let (mut patches, mut out) = (Tensor::zeros(shape), Tensor::zeros([1, 1, height, width]));
        view.read_patches(foundation, &mut patches);
        let mut nearest = vec![f32::INFINITY; height * width];
        let mut search = Search::default();
        for bank in banks {
            bank.nearest(&patches, &mut search, &mut out)?;
            nearest.iter_mut().zip(out.data()).for_each(|(nearest, distance)| *nearest = nearest.min(*distance));
        }
        Ok(nearest)
    }

    fn judge(
        &self,
        views: &[View],
        distances: &Distances,
        aside: &BTreeSet<usize>,
        shares: Option<&[Share]>,
    ) -> Result<(Vec<Share>, Vec<Peak>), LearnError> {
        let (width, height) = self.size;
        let maps = Maps::of(self)?;
        let shares = match shares {
            Some(shares) => shares.to_vec(),
            None => self.shares(views, distances, aside, &maps)?,
        };
        let mut scorer = Scorer::try_new(&self.map, self.rule, width, height)?;
        let mut peaks = Vec::with_capacity(views.len());
        for (view, distances) in views.iter().zip(distances) {
            let mut joined = Vec::new();
            // A map without weight changes nothing.
            for (witness, share) in shares.iter().enumerate().filter(|(_, share)| share.weight() > 0.0) {
                joined.push((maps.map(self, view, distances, witness)?, *share));
            }
            let pairs = joined.iter().map(|(map, share)| (map, *share));
            peaks.push(scorer.peak(self.mask, &view.geometry, pairs)?);
        }
        Ok((shares, peaks))
    }

    /// Mean and standard deviation of every witness over all pixels of all parts that count.
    fn shares(
        &self,
        views: &[View],
        distances: &Distances,
        aside: &BTreeSet<usize>,
        maps: &Maps,
    ) -> Result<Vec<Share>, LearnError> {
        let of_witness = |(witness, weight): (usize, &f64)| {
            let mut moments = Moments::default();
            for part in (0..views.len()).filter(|part| !aside.contains(part)) {
                moments.add(maps.map(self, &views[part], &distances[part], witness)?.values());
            }
            Ok(Share::try_new(*weight, moments.mean(), moments.sd())?)
        };
        self.weights.iter().enumerate().map(of_witness).collect()
    }
}

/// Brings the distances of each foundation to the model's size.
struct Maps {
    enlargers: Vec<Enlarger>,
}

impl Maps {
    fn of(ground: &Ground<'_>) -> Result<Self, LearnError> {
        let (width, height) = ground.size;
        let enlarger = |&[_, _, h, w]: &Shape| Enlarger::try_new([1, 1, h, w], Alignment::Centres, width, height);
        let enlargers = ground.shapes.iter().map(enlarger).collect::<Result<_, MapError>>();
        Ok(Self { enlargers: enlargers.map_err(ScorerError::Map)? })
    }

    /// The map of one witness, before smoothing, in its own unit.
    fn map(
        &self,
        ground: &Ground<'_>,
        view: &View,
        distances: &[Vec<f32>],
        witness: usize,
    ) -> Result<AnomalyMap, LearnError> {
        let map = || -> Result<AnomalyMap, MapError> {
            let Some(foundation) = witness.checked_sub(ground.own) else {
                return view.map(witness, ground.size);
            };
            let (width, height) = ground.size;
            let enlarger = &self.enlargers[foundation];
            let small = Tensor::from_vec(enlarger.shape(), distances[foundation].clone()).map_err(MapError::Layer)?;
            let mut map = AnomalyMap::try_new(width, height, vec![0.0; width as usize * height as usize])?;
            enlarger.enlarge(&small, &mut map)?;
            Ok(map)
        };
        Ok(map().map_err(ScorerError::Map)?)
    }
}

/// Does jobs on as many threads as there are cores, and gives what came of them, in order.
fn side_by_side<T: Send>(
    jobs: usize,
    work: &(dyn Fn(usize) -> Result<T, LearnError> + Sync),
) -> Result<Vec<T>, LearnError> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_AT_ONCE).min(jobs);
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<T, LearnError>)>> = Mutex::default();
    let body = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= jobs {
                return;
            }
            let result = work(job);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((job, result));
        }
    };
    thread::scope(|scope| {
        let spawn = |turn| Builder::new().name(format!("learn-{turn}")).spawn_scoped(scope, body);
        // This thread works too, so a system that gives no thread costs time only.
        let others: Vec<_> = (1..threads).filter_map(|turn| spawn(turn).ok()).collect();
        body();
        others.into_iter().try_for_each(|other| other.join().map_err(|_| LearnError::Panicked))
    })?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(job, _)| *job);
    results.into_iter().map(|(_, result)| result).collect()
}
