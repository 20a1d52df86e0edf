//! Why `diad inspect` did not do its work.

use std::io;

use crate::exit::Exit;
use crate::files::FileError;
use crate::learnt::WitnessError;
use crate::model::ModelError;
use crate::yaml::{Fault, lines};

/// Images could not be judged, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// The thresholds are wrong; every fault is a line.
    #[error("read the thresholds\n{}", lines(.0))]
    Thresholds(Vec<Fault>),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The product cannot be judged as it was learnt.
    #[error(transparent)]
    Witnesses(#[from] WitnessError),
    /// A picture or an array cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Some images have no score; they have been reported, and the others judged.
    #[error("{errors} of {images} {} could not be judged", if *.images == 1 { "image" } else { "images" })]
    Images {
        /// How many have none.
        errors: usize,
        /// How many there are.
        images: usize,
    },
    /// The result cannot be written to standard output.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl InspectionError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Thresholds(_) => Exit::Settings,
            Self::Model(error) => error.exit(),
            Self::Witnesses(error) => error.exit(),
            Self::Images { .. } => Exit::BadData,
            Self::File(_) | Self::Output(_) => Exit::Disk,
        }
    }
}
