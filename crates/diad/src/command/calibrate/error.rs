//! Why there are no thresholds.

use std::path::PathBuf;
use std::{fmt, io};

use diad_core::name::ProductName;
use diad_core::tolerance::ToleranceError;
use diad_ledger::LedgerError;

use crate::command::RegionError;
use crate::exit::Exit;
use crate::files::FileError;
use crate::learnt::SiteError;
use crate::model::ModelError;
use crate::yaml::{Fault, lines};

/// A calibration that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// There is no good part.
    #[error("no good parts found; lay them out as <product>/good or <product>/test/good")]
    NoParts,
    /// A folder cannot be read.
    #[error("list folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A folder's name is no product's.
    #[error("folder {folder} cannot be a product")]
    Product {
        /// The folder.
        folder: String,
        /// Why not.
        source: diad_core::name::NameError,
    },
    /// The promise that was asked for is none, or the sample does not support it.
    #[error(transparent)]
    Tolerance(#[from] ToleranceError),
    /// Too few good parts, and some were left out.
    #[error(
        "{source}; {train} in train/good were left out, for parts that the model was trained on score too low: \
         --include-train takes them, if it never saw them"
    )]
    LeftOut {
        /// Pictures that were left out.
        train: usize,
        /// How many parts there are, and how many it takes.
        source: ToleranceError,
    },
    /// Too few good parts, and some pictures are copies of others.
    #[error("{source}; {copies} pictures are copies of others, and a part counts once")]
    Copies {
        /// Pictures that are copies.
        copies: usize,
        /// How many parts there are, and how many it takes.
        source: ToleranceError,
    },
    /// A folder that seems to hold good parts, and would be taken for a kind of defect or left out.
    #[error("{} is not called good: are its parts good? Then they belong into a folder called good", path.display())]
    LikeGood {
        /// The folder.
        path: PathBuf,
    },
    /// A threshold that no file can hold.
    #[error("the cut-off would be {score}; thresholds go from 0 to 1")]
    OutOfRange {
        /// The cut-off.
        score: f32,
    },
    /// Some products cannot have what was asked for.
    #[error("nothing is written: {}", ProductList(products))]
    Refused {
        /// Each with its reason.
        products: Vec<(ProductName, CalibrateError)>,
    },
    /// A picture that cannot be judged.
    #[error("judge {}: {reason}", path.display())]
    Picture {
        /// The picture.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Scores of several models cannot be compared.
    #[error(
        "the recorded parts were judged by {models} models, whose scores cannot be compared; narrow --since and --until"
    )]
    Models {
        /// How many.
        models: usize,
    },
    /// Scores with and without a reference bank cannot be compared.
    #[error(
        "recorded parts of {product} were judged with a reference bank and without, and scores of the two cannot be compared; \
         narrow --since and --until, or give --write with the file that says which are meant"
    )]
    Scales {
        /// The product.
        product: ProductName,
    },
    /// It is not known where banks are kept.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The thresholds file cannot be edited.
    #[error("edit the thresholds: {reason}")]
    Thresholds {
        /// Why not.
        reason: String,
    },
    /// It is not known which part of the pictures to look at.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The model cannot be used.
    #[error("load the model")]
    Model(#[from] ModelError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The thresholds cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Standard output is gone.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

struct ProductList<'a>(&'a [(ProductName, CalibrateError)]);

impl fmt::Display for ProductList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<String> = self.0.iter().map(|(product, error)| format!("{product}: {error}")).collect();
        f.write_str(&reasons.join("; "))
    }
}

impl CalibrateError {
    /// The thresholds file cannot be read.
    pub(super) fn of_faults(faults: &[Fault]) -> Self {
        Self::Thresholds { reason: format!("they are not valid\n{}", lines(faults)) }
    }

    /// How the process ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Tolerance(ToleranceError::Share { .. }) => Exit::Usage,
            Self::Region(error) => error.exit(),
            Self::Site(error) => error.exit(),
            Self::Model(error) => error.exit(),
            Self::Ledger(error) => error.into(),
            Self::Thresholds { .. } => Exit::Settings,
            Self::File(_) | Self::Output(_) => Exit::Disk,
            _ => Exit::BadData,
        }
    }
}
