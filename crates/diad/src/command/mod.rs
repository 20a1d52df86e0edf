//! The commands, one file each: each takes its arguments and says how it went.

pub mod bench;
pub mod calibrate;
pub mod cameras;
pub mod check;
pub mod demo;
pub mod doctor;
pub mod eval;
pub mod inspect;
pub mod learn;
pub mod ledger;
mod manual;
pub mod products;
mod region;
pub mod run;
pub mod unlearn;
pub mod whatif;

use std::io;
use std::path::PathBuf;

use crate::cli::Command;
use crate::exit::Exit;
use crate::line::LineError;
use crate::model::ModelError;
use crate::settings::Variable;
use crate::station::StationError;

use demo::DemoError;
pub use region::RegionError;

/// Runs a command; `variables` are those of the environment.
///
/// # Errors
/// The command's.
pub fn run(command: &Command, variables: &[Variable]) -> Result<(), CommandError> {
    match command {
        Command::Check(args) => check::run(args, variables),
        Command::Demo(args) => demo::run(args, variables),
        Command::Run(args) => run::run(args, variables),
        Command::Bench(args) => bench::run(args, variables),
        Command::Cameras(args) => cameras::run(args),
        Command::Doctor(args) => doctor::run(args, variables),
        Command::Manual(args) => manual::run(args),
        Command::Inspect(args) => Ok(inspect::run(args, variables)?),
        Command::Eval(args) => Ok(eval::run(args, variables)?),
        Command::Calibrate(args) => Ok(calibrate::run(args, variables)?),
        Command::Learn(args) => Ok(learn::run(args, variables)?),
        Command::Unlearn(args) => Ok(unlearn::run(args, variables)?),
        Command::Products(args) => Ok(products::run(args, variables)?),
        Command::Whatif(args) => Ok(whatif::run(args, variables)?),
        Command::Ledger(command) => Ok(ledger::run(command, variables)?),
    }
}

/// A command that did not do its work. [`exit`](Self::exit) is the process's exit code.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What was checked has faults; they have been printed.
    #[error("{count} {}", if *.count == 1 { "fault" } else { "faults" })]
    Faults {
        /// How many.
        count: usize,
        /// What kind the worst is.
        exit: Exit,
    },
    /// Images could not be judged.
    #[error(transparent)]
    Inspect(#[from] inspect::InspectionError),
    /// A model could not be measured on a data set.
    #[error(transparent)]
    Eval(#[from] eval::EvalError),
    /// A ledger could not be read, or is not sound.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerCommandError),
    /// `calibrate`'s reasons.
    #[error(transparent)]
    Calibrate(#[from] calibrate::CalibrateError),
    /// `learn`'s reasons.
    #[error(transparent)]
    Learn(#[from] learn::LearnError),
    /// `unlearn`'s reasons.
    #[error(transparent)]
    Unlearn(#[from] unlearn::UnlearnError),
    /// `products`' reasons.
    #[error(transparent)]
    Products(#[from] products::ProductsError),
    /// `whatif`'s reasons.
    #[error(transparent)]
    WhatIf(#[from] whatif::WhatIfError),
    /// A model could not be measured.
    #[error(transparent)]
    Bench(#[from] bench::BenchError),
    /// The model cannot be used.
    #[error("load the model")]
    Model(#[from] ModelError),
    /// The station could not work.
    #[error("run the station")]
    Station(#[from] StationError),
    /// The demonstration could not be given.
    #[error("give the demonstration")]
    Demo(#[from] DemoError),
    /// The system takes no signal handler.
    #[error("listen to signals")]
    Signals(#[source] io::Error),
    /// The manual cannot be written.
    #[error("write the manual to {}", .folder.display())]
    Manual {
        /// Where it was to be.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The result cannot be written to standard output.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Faults { exit, .. } => *exit,
            Self::Inspect(error) => error.exit(),
            Self::Eval(error) => error.exit(),
            Self::Bench(error) => error.exit(),
            Self::Calibrate(error) => error.exit(),
            Self::Learn(error) => error.exit(),
            Self::Unlearn(error) => error.exit(),
            Self::Products(error) => error.exit(),
            Self::WhatIf(error) => error.exit(),
            Self::Ledger(error) => error.exit(),
            Self::Model(error) => error.exit(),
            Self::Station(StationError::Line(LineError::Camera(_))) => Exit::Unavailable,
            Self::Station(StationError::Publish(error)) if error.is_of_settings() => Exit::Settings,
            Self::Station(StationError::Ledger(error)) => error.into(),
            Self::Demo(DemoError::Dataset(_) | DemoError::Folder(_)) => Exit::Disk,
            Self::Demo(DemoError::Broker(_)) => Exit::Unavailable,
            Self::Demo(DemoError::Thresholds(_)) => Exit::Settings,
            Self::Station(_) | Self::Demo(_) | Self::Signals(_) => Exit::Bug,
            Self::Output(_) | Self::Manual { .. } => Exit::Disk,
        }
    }
}
