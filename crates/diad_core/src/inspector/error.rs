//! What can go wrong before and during an inspection.

use std::error::Error;

use crate::bank::BankError;
use crate::foundation::FoundationError;
use crate::inspector::Stage;
use crate::map::{MapError, NothingCounts};
use crate::prepare::PrepareError;
use crate::schedule::ScheduleError;
use crate::score::PeakError;
use crate::tensor::TensorError;

/// Networks and method do not fit together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MethodError {
    /// Two shapes that must agree do not.
    #[error("shapes of networks and method")]
    Shape(#[source] TensorError),
    /// A fixed noise holds a number that is not finite.
    #[error("fixed noise")]
    Noise(#[source] TensorError),
    /// The latent scale is not a finite number above 0.
    #[error("latent scale is {0}; it must be a finite number above 0")]
    LatentScale(f32),
    /// The input cannot be prepared.
    #[error("model input")]
    Input(#[source] PrepareError),
    /// The map settings do not fit the feature layers.
    #[error("anomaly map")]
    Map(#[source] MapError),
    /// The score rule does not fit the map.
    #[error("score rule")]
    Score(#[source] PeakError),
    /// There are networks for a representation latent and no method for them, or the other way round.
    #[error("networks and method do not agree on whether there is a representation latent")]
    Representation,
}

/// A part could not be inspected. There is no score.
#[derive(Debug, thiserror::Error)]
pub enum InspectError<E: Error + 'static> {
    /// The frame could not be turned into the model's input.
    #[error("prepare frame")]
    Prepare(#[source] PrepareError),
    /// The mask leaves nothing of the picture to judge.
    #[error("lay the mask over the picture")]
    Mask(#[source] NothingCounts),
    /// A network failed.
    #[error("run network at stage {stage}")]
    Graph {
        /// The stage that asked for it.
        stage: Stage,
        /// What the runtime says.
        source: E,
    },
    /// A network gave, or the method arrived at, a number that is not finite.
    #[error("check numbers at stage {stage}")]
    Value {
        /// The stage at which it came up.
        stage: Stage,
        /// Which array, and where in it.
        source: TensorError,
    },
    /// A witness is DiAD in a representation latent, which this model does not have.
    #[error("the model has no representation latent, which a witness of the product needs; learn the product again")]
    NoRepresentation,
    /// A witness does not fit the model.
    #[error("make room for a witness")]
    Witness(#[source] MethodError),
    /// A foundation did not describe the part.
    #[error("describe the part")]
    Foundation(#[source] FoundationError),
    /// The part could not be compared with a bank.
    #[error("compare the part with its good patches")]
    Bank(#[source] BankError),
    /// Noising or denoising was refused.
    #[error("noise schedule")]
    Schedule(#[source] ScheduleError),
    /// The map was refused.
    #[error("anomaly map")]
    Map(#[source] MapError),
    /// The score was refused.
    #[error("score")]
    Score(#[source] PeakError),
}
