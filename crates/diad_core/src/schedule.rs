//! Noise schedule and DDIM, in `f64`.
//!
//! The model was trained to see noise at steps `0..=999`; [`Schedule`] says how much of the picture is left
//! at each. [`Ddim`] noises a latent once, at its `start`, and then walks it back over a short list of steps.
//!
//! The reference has two habits that are kept, because a model is calibrated with them: it noises at 999 but
//! tells the network that the first step is 901, and its last update ends at the noise of step 0, not at none.

use crate::tensor::{Tensor, TensorError};

/// Number of training steps of the schedule.
pub const TRAIN_STEPS: usize = 1000;

/// A step of the noise schedule, `0..=999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Step(u16);

/// A schedule or a step list that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// The step lies outside `0..=999`.
    #[error("step {0} is outside 0..=999")]
    Step(u32),
    /// The noise does not grow from `start` to `end` inside `0..1`.
    #[error("beta runs from {start} to {end}; it must hold 0 < start <= end < 1")]
    Beta {
        /// Beta of step 0.
        start: f64,
        /// Beta of step 999.
        end: f64,
    },
    /// The step list is empty.
    #[error("the step list is empty; it needs at least one step")]
    Empty,
    /// Two neighbours of the step list do not descend.
    #[error("step {next} follows step {step}; the list must descend")]
    Order {
        /// The earlier entry of the list.
        step: u16,
        /// The entry after it.
        next: u16,
    },
    /// The first step of the list is noisier than the latent it is given.
    #[error("the list begins at step {first}, above the start {start}")]
    Start {
        /// Step at which the latent is noised.
        start: u16,
        /// First entry of the list.
        first: u16,
    },
    /// The last update would add noise.
    #[error("the last update leads from step {last} to step {previous}, which must not be larger")]
    LastPrevious {
        /// Last entry of the list.
        last: u16,
        /// Step it leads to.
        previous: u16,
    },
    /// The reference's rule for step lists yields another number of steps, or steps that do not exist.
    #[error("{0} steps do not divide {TRAIN_STEPS}; take 1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250 or 500")]
    Count(u32),
    /// An update was asked for that the list does not hold.
    #[error("update {index} was asked for, the list holds {len}")]
    Index {
        /// Update asked for.
        index: usize,
        /// Updates there are.
        len: usize,
    },
    /// Latent and noise differ in shape.
    #[error("latent and noise do not fit together")]
    Shape(#[source] TensorError),
}

impl Step {
    /// Takes a step in `0..=999`.
    ///
    /// # Errors
    /// [`ScheduleError::Step`].
    pub fn try_new(t: u32) -> Result<Self, ScheduleError> {
        match u16::try_from(t) {
            Ok(step) if usize::from(step) < TRAIN_STEPS => Ok(Self(step)),
            _ => Err(ScheduleError::Step(t)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// How much of the picture is left at each step: `abar[t]`, falling from almost 1 to almost 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    alpha_bar: Vec<f64>,
}

impl Schedule {
    /// Betas linear in their square roots ("scaled linear") and the running product of `1 - beta`.
    ///
    /// The product is made in `f64` and rounded to `f32`, as the reference stores it: the coefficients of
    /// [`Ddim`] then agree with its tables to the last digit. Source: Rombach et al. 2022; golden
    /// `alphas_cumprod_f64`, `ddim_a_*`.
    ///
    /// # Errors
    /// [`ScheduleError::Beta`], also for NaN.
    pub fn scaled_linear(beta_start: f64, beta_end: f64) -> Result<Self, ScheduleError> {
        if !(beta_start > 0.0 && beta_start <= beta_end && beta_end < 1.0) {
            return Err(ScheduleError::Beta { start: beta_start, end: beta_end });
        }
        let (first, last) = (beta_start.sqrt(), beta_end.sqrt());
        let mut product = 1.0_f64;
        let alpha_bar = (0..TRAIN_STEPS)
            .map(|i| {
                let root = first + i as f64 * (last - first) / (TRAIN_STEPS - 1) as f64;
                product *= 1.0 - root * root;
                f64::from(product as f32)
            })
            .collect();
        Ok(Self { alpha_bar })
    }

    /// Share of the signal's variance that is left at `t`, in `0..1`.
    #[must_use]
    pub fn alpha_bar(&self, t: Step) -> f64 {
        self.alpha_bar[usize::from(t.0)]
    }
}

/// One update `z <- c0 z + c1 noise`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// The step the network is told.
    pub step: Step,
    /// Factor of the latent.
    pub c0: f64,
    /// Factor of the predicted noise.
    pub c1: f64,
}

/// A deterministic (η = 0) run: noised once at `start`, then one update per entry of a descending step list.
#[derive(Debug, Clone, PartialEq)]
pub struct Ddim {
    start: Step,
    last_previous: Step,
    signal: f64,
    noise: f64,
    updates: Vec<Update>,
}

impl Ddim {
    /// Takes the step at which the latent is noised, the steps of the updates (largest first) and the step at
    /// whose noise the last update ends (0 in the reference).
    ///
    /// # Errors
    /// [`ScheduleError::Empty`], [`ScheduleError::Order`], [`ScheduleError::Start`] and
    /// [`ScheduleError::LastPrevious`].
    pub fn try_new(
        schedule: &Schedule,
        start: Step,
        steps: &[Step],
        last_previous: Step,
    ) -> Result<Self, ScheduleError> {
        let (Some(&first), Some(&last)) = (steps.first(), steps.last()) else {
            return Err(ScheduleError::Empty);
        };
        if let Some(pair) = steps.windows(2).find(|pair| pair[0] <= pair[1]) {
            return Err(ScheduleError::Order { step: pair[0].0, next: pair[1].0 });
        }
        if first > start {
            return Err(ScheduleError::Start { start: start.0, first: first.0 });
        }
        if last_previous > last {
            return Err(ScheduleError::LastPrevious { last: last.0, previous: last_previous.0 });
        }
        let previous = steps[1..].iter().copied().chain([last_previous]);
        let updates = steps.iter().copied().zip(previous).map(|(t, s)| update(schedule, t, s)).collect();
        let bar = schedule.alpha_bar(start);
        Ok(Self { start, last_previous, signal: bar.sqrt(), noise: (1.0 - bar).sqrt(), updates })
    }

    /// The reference's step list for `count` updates, largest first: every `1000 / count`-th step, plus one
    /// (10 → 901, 801, …, 1). Where `count` does not divide 1000 the reference's rule yields more steps than
    /// asked for, or runs off the schedule; such a count is refused. Golden `ddim_t_*`.
    ///
    /// # Errors
    /// [`ScheduleError::Count`]; 1000 itself is refused too, its list would end at step 1000.
    pub fn reference_steps(count: u32) -> Result<Vec<Step>, ScheduleError> {
        let total = TRAIN_STEPS as u32;
        if count == 0 || count >= total || !total.is_multiple_of(count) {
            return Err(ScheduleError::Count(count));
        }
        (0..count).rev().map(|i| Step::try_new(i * (total / count) + 1)).collect()
    }

    /// The step at which the latent is noised.
    #[must_use]
    pub const fn start(&self) -> Step {
        self.start
    }

    /// The step at whose noise the last update ends.
    #[must_use]
    pub const fn last_previous(&self) -> Step {
        self.last_previous
    }

    /// The updates in the order in which they are made.
    #[must_use]
    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    /// Noises a latent at `start`: `sqrt(abar) z + sqrt(1 - abar) noise`. All three tensors have one shape.
    /// Source: Ho et al. 2020, arXiv:2006.11239, eq. 4; golden `x_T`.
    ///
    /// # Errors
    /// [`ScheduleError::Shape`].
    pub fn noised(&self, latent: &Tensor, noise: &Tensor, out: &mut Tensor) -> Result<(), ScheduleError> {
        noise.expect_shape("start noise", latent.shape()).map_err(ScheduleError::Shape)?;
        out.expect_shape("noised latent", latent.shape()).map_err(ScheduleError::Shape)?;
        for ((to, &z), &n) in out.data_mut().iter_mut().zip(latent.data()).zip(noise.data()) {
            *to = (self.signal * f64::from(z) + self.noise * f64::from(n)) as f32;
        }
        Ok(())
    }

    /// Makes update `index` (0 is the noisiest) in place: moves the latent one step back, given the noise that
    /// the network predicts in it. Source: Song et al. 2021, arXiv:2010.02502, eq. 12 with σ = 0; golden
    /// `step_x`, `step_eps` → `step_x_prev`.
    ///
    /// # Errors
    /// [`ScheduleError::Index`] and [`ScheduleError::Shape`].
    pub fn step_back(&self, index: usize, latent: &mut Tensor, noise: &Tensor) -> Result<(), ScheduleError> {
        let update = self.updates.get(index).ok_or(ScheduleError::Index { index, len: self.updates.len() })?;
        noise.expect_shape("predicted noise", latent.shape()).map_err(ScheduleError::Shape)?;
        for (z, &n) in latent.data_mut().iter_mut().zip(noise.data()) {
            *z = (update.c0 * f64::from(*z) + update.c1 * f64::from(n)) as f32;
        }
        Ok(())
    }
}

/// Coefficients of the update from `t` back to `s`: the picture that the noise leaves over,
/// `(z - sqrt(1 - a) noise) / sqrt(a)`, noised again as far as `s`.
fn update(schedule: &Schedule, t: Step, s: Step) -> Update {
    let (a, a_prev) = (schedule.alpha_bar(t), schedule.alpha_bar(s));
    let c0 = (a_prev / a).sqrt();
    let c1 = (1.0 - a_prev).sqrt() - (a_prev * (1.0 - a) / a).sqrt();
    Update { step: t, c0, c1 }
}

#[cfg(test)]
mod tests;
