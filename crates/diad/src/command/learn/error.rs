//! Why nothing was learnt.

use std::path::PathBuf;
use std::{fmt, io};

use diad_core::bank::BankError;
use diad_core::inspector::MethodError;
use diad_core::join::JoinError;
use diad_core::learning::ScorerError;
use diad_core::name::ProductName;
use diad_core::tolerance::ToleranceError;
use diad_engine::{FoundationLoadError, OverlayError};
use diad_ledger::LedgerError;

use crate::command::RegionError;
use crate::exit::Exit;
use crate::files::FileError;
use crate::learnt::{SiteError, StoreError};
use crate::model::ModelError;

/// Names that an error prints; all of them are counted.
const MAX_LISTED_NAMES: usize = 12;

/// Names, of which the first are printed.
#[derive(Debug)]
pub struct Listed(pub Vec<String>);

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, more) = self.0.split_at(self.0.len().min(MAX_LISTED_NAMES));
        f.write_str(&shown.join(", "))?;
        if more.is_empty() { Ok(()) } else { write!(f, " and {} more", more.len()) }
    }
}

/// A product that was not learnt. Nothing has changed then, but for [`SiteError::Pointer`].
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A folder cannot be read.
    #[error("list folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is nothing to learn from.
    #[error("no PNG or JPEG pictures in {0}, {0}/good or {0}/train/good", folder.display())]
    NoPictures {
        /// The folder.
        folder: PathBuf,
    },
    /// Pictures cannot be decoded.
    #[error("pictures that cannot be read; remove them or take them again: {bad}")]
    Pictures {
        /// Each with its reason.
        bad: Listed,
    },
    /// A picture cannot be judged.
    #[error("judge {}: {reason}", path.display())]
    Picture {
        /// The picture.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// There are too few different parts.
    #[error(
        "{parts} different good parts{}; {least} are the least, and 20 a start: take more pictures, each of another part",
        Copies(copies)
    )]
    TooFew {
        /// How many there are.
        parts: usize,
        /// How many it takes.
        least: usize,
        /// Copies of another picture, each with that picture.
        copies: Vec<(PathBuf, PathBuf)>,
    },
    /// All pictures were learnt before.
    #[error("all {copies} pictures are among the parts that {product} was learnt from already")]
    AllKnown {
        /// The product.
        product: ProductName,
        /// How many pictures were given.
        copies: usize,
    },
    /// Pictures differ in size.
    #[error(
        "{} of {parts} pictures are not {}x{}, as the others are: {others}; a camera gives one size: remove them, or --force",
        others.0.len(), size.0, size.1
    )]
    Sizes {
        /// Pictures in all.
        parts: usize,
        /// The size of most.
        size: (u32, u32),
        /// The others, with their sizes.
        others: Listed,
    },
    /// Parts stand out.
    #[error(
        "{} of {parts} parts are unlike the others: {named}; look at them: remove what is no good part, or --force if all are good",
        named.0.len()
    )]
    Outliers {
        /// Parts in all.
        parts: usize,
        /// Those that stand out, worst first.
        named: Listed,
    },
    /// The parts are of two kinds.
    #[error(
        "the parts look like two products, {} and {} of them; the smaller group: {smaller}; learn each for itself, or --force if \
         they are one product",
        parts - smaller.0.len(), smaller.0.len()
    )]
    TwoKinds {
        /// Parts in all.
        parts: usize,
        /// The smaller group.
        smaller: Listed,
    },
    /// No foundation is at hand.
    #[error("no foundation found in {}; `make setup-foundation` fetches them", Paths(roots))]
    NoFoundation {
        /// Where they were looked for.
        roots: Vec<PathBuf>,
    },
    /// A foundation cannot be used.
    #[error("use a foundation")]
    Foundation(#[source] Box<FoundationLoadError>),
    /// There is nothing to add to.
    #[error("{product} was not learnt before; leave out --add, or give the --config of the station that knows it")]
    NothingToAddTo {
        /// The product.
        product: ProductName,
    },
    /// What was learnt before cannot be added to.
    #[error("add to what was learnt of {product} before")]
    Earlier {
        /// The product.
        product: ProductName,
        /// Why not.
        source: Box<OverlayError>,
    },
    /// What was learnt before does not say from what.
    #[error(
        "the bank of {product} was not made by `diad learn`, or by an earlier one; learn the product again from all its parts"
    )]
    Unrecorded {
        /// The product.
        product: ProductName,
    },
    /// The thresholds were changed meanwhile.
    #[error("roi or ignore of {product} changed in the thresholds while it was learnt; learn it again")]
    Changed {
        /// The product.
        product: ProductName,
    },
    /// The ledger has no part to add.
    #[error(
        "no recorded part of {product} with a kept picture is marked as a false reject ({without} are marked and have none: \
         `ledger.images.keep` says whose pictures are kept)"
    )]
    NoMarks {
        /// The product.
        product: ProductName,
        /// Marked parts without a picture.
        without: usize,
    },
    /// Known defects would pass.
    #[error(
        "parts that a person called bad would pass: {named}; take another picture set, or --force; nothing is written"
    )]
    DefectsPass {
        /// The parts.
        named: Listed,
    },
    /// A cut-off that no file can hold.
    #[error("the cut-off would be {score}; thresholds go from 0 to 1: the good parts differ too much to learn them")]
    OutOfRange {
        /// The cut-off.
        score: f32,
    },
    /// A promise that is none.
    #[error(transparent)]
    Tolerance(#[from] ToleranceError),
    /// The bank cannot be made.
    #[error("make the bank")]
    Bank(#[from] BankError),
    /// The witnesses cannot be joined.
    #[error("join the witnesses")]
    Join(#[from] JoinError),
    /// A part that was held out cannot be scored.
    #[error("score a part that was held out")]
    Score(#[from] ScorerError),
    /// The overlay cannot be made.
    #[error("make the overlay")]
    Overlay(#[source] Box<OverlayError>),
    /// It is not known which part of the pictures to look at.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The model cannot be used.
    #[error("load the model")]
    Model(#[from] ModelError),
    /// Networks and method do not fit.
    #[error("load the model")]
    Method(#[from] MethodError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is learnt cannot be kept, or the thresholds cannot be written.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A thread panicked; this is a bug.
    #[error("a bug while banks were made")]
    Panicked,
    /// Standard output is gone.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

struct Copies<'a>(&'a [(PathBuf, PathBuf)]);

impl fmt::Display for Copies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((copy, original)) = self.0.first() else { return Ok(()) };
        write!(f, " ({} copies left out, such as {}, which is {})", self.0.len(), copy.display(), original.display())
    }
}

struct Paths<'a>(&'a [PathBuf]);

impl fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.0.iter().map(|path| path.display().to_string()).collect();
        f.write_str(&paths.join(", "))
    }
}

impl From<StoreError> for LearnError {
    fn from(error: StoreError) -> Self {
        Self::Site(error.into())
    }
}

impl LearnError {
    /// The overlay cannot be made.
    pub(super) fn of_overlay(source: OverlayError) -> Self {
        Self::Overlay(Box::new(source))
    }

    /// A foundation cannot be used.
    pub(super) fn of_foundation(source: FoundationLoadError) -> Self {
        Self::Foundation(Box::new(source))
    }

    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Tolerance(ToleranceError::Share { .. }) | Self::NothingToAddTo { .. } => Exit::Usage,
            Self::NoFoundation { .. } => Exit::Unavailable,
            Self::Region(error) => error.exit(),
            Self::Model(error) => error.exit(),
            Self::Ledger(error) => error.into(),
            Self::Site(error) => error.exit(),
            Self::File(_) | Self::Output(_) => Exit::Disk,
            Self::Panicked => Exit::Bug,
            _ => Exit::BadData,
        }
    }
}
