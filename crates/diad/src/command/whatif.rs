//! `diad whatif`: what other thresholds would have said of the recorded parts.

use std::io;

use diad_ledger::{LedgerError, Span};

use super::ledger::{LedgerCommandError, open};
use crate::archive;
use crate::cli::WhatIfArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Variable;
use crate::thresholds::ThresholdSet;
use crate::whatif::Answer;
use crate::yaml::{Fault, lines};

/// A question that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// The thresholds are not valid.
    #[error("read the thresholds\n{}", lines(.0))]
    Thresholds(Vec<Fault>),
    /// The ledger is not there or cannot be read.
    #[error(transparent)]
    Open(#[from] LedgerCommandError),
    /// Reading broke off.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Standard output is gone.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl WhatIfError {
    /// How the process ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Thresholds(_) => Exit::Settings,
            Self::Open(error) => error.exit(),
            Self::Ledger(error) => error.into(),
            Self::Output(_) => Exit::Disk,
        }
    }
}

/// Goes over the record and prints what would be different.
///
/// # Errors
/// [`WhatIfError`].
pub fn run(args: &WhatIfArgs, variables: &[Variable]) -> Result<(), WhatIfError> {
    let set = ThresholdSet::load(&args.thresholds).map_err(WhatIfError::Thresholds)?;
    let reader = open(&args.file, variables)?;
    let span = Span { since: args.since, until: args.until };
    let answer = Answer::of(&reader, span, &set, &archive::folder_of(reader.path()))?;
    output::print(&if args.json { format!("{:#}\n", answer.json()) } else { answer.text() })?;
    Ok(())
}
