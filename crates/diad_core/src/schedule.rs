//! Noise schedule and DDIM, in `f64`.

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
