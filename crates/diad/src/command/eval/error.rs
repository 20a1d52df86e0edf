//! Why `diad eval` did not do its work.

use std::io;
use std::path::PathBuf;

use diad_capture::CaptureError;
use diad_core::frame::FrameError;
use diad_core::inspector::InspectError;
use diad_core::learning::ScorerError;
use diad_engine::EngineError;

use super::dataset::DatasetError;
use super::plot::PlotError;
use crate::command::RegionError;
use crate::exit::Exit;
use crate::files::FileError;
use crate::learnt::WitnessError;
use crate::model::ModelError;
use crate::yaml::{Fault, lines};

/// A model could not be measured on a data set.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The folder is no data set.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The thresholds are wrong; every fault is a line.
    #[error("read the thresholds\n{}", lines(.0))]
    Thresholds(Vec<Fault>),
    /// It is not known which part of the pictures to look at.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A product cannot be judged as it was learnt.
    #[error(transparent)]
    Witnesses(#[from] WitnessError),
    /// A picture or a mask cannot be read.
    #[error("read the data set")]
    Picture(#[from] CaptureError),
    /// The pixels of a picture or a mask are not a picture.
    #[error("view {}", path.display())]
    Pixels {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: FrameError,
    },
    /// The masks cannot be brought to the model's size.
    #[error("resize masks to the model's size")]
    Resize(#[source] FrameError),
    /// A mask that was made for another picture.
    #[error(
        "mask {} has {}x{} px, its picture {}x{} px; they must be alike",
        path.display(), mask.0, mask.1, picture.0, picture.1
    )]
    MaskSize {
        /// The mask.
        path: PathBuf,
        /// Its width and height, in pixels.
        mask: (u32, u32),
        /// Width and height of its picture, in pixels.
        picture: (u32, u32),
    },
    /// A mask without a defect, of a part that is said to have one.
    #[error("mask {} marks nothing; a defect is what is brighter than 127 of 255", path.display())]
    BlankMask {
        /// The mask.
        path: PathBuf,
    },
    /// The method gave no score.
    #[error("inspect {}", path.display())]
    Inspect {
        /// The picture.
        path: PathBuf,
        /// Why not.
        source: Box<InspectError<EngineError>>,
    },
    /// Some of the witnesses gave no score.
    #[error("judge by some of the witnesses")]
    Sides(#[from] ScorerError),
    /// A model that was to be compared could not be measured.
    #[error("compare with {}", folder.display())]
    Compared {
        /// Its folder.
        folder: PathBuf,
        /// Why not.
        source: Box<EvalError>,
    },
    /// A plot of the report cannot be drawn.
    #[error("draw the report")]
    Plot(#[from] PlotError),
    /// The report cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A picture of the report cannot be encoded.
    #[error("encode a picture of the report")]
    Encode(#[from] image::ImageError),
    /// The result cannot be written to standard output.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl EvalError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Thresholds(_) => Exit::Settings,
            Self::Region(error) => error.exit(),
            Self::Model(error) => error.exit(),
            Self::Witnesses(error) => error.exit(),
            Self::Dataset(_)
            | Self::Picture(_)
            | Self::Pixels { .. }
            | Self::MaskSize { .. }
            | Self::BlankMask { .. }
            | Self::Inspect { .. } => Exit::BadData,
            Self::Compared { source, .. } => source.exit(),
            Self::Resize(_) | Self::Sides(_) | Self::Plot(_) | Self::Encode(_) => Exit::Bug,
            Self::File(_) | Self::Output(_) => Exit::Disk,
        }
    }
}
