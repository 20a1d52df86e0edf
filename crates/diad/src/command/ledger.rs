//! `diad ledger`: the record of verdicts, read and never changed. A daemon may write beside it.

mod error;
mod export;
mod stats;
mod verify;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use diad_ledger::Reader;

pub use self::error::LedgerCommandError;
use crate::cli::{LedgerCommand, LedgerFile};
use crate::settings::{self, Variable};

/// Counts, exports or verifies.
///
/// # Errors
/// [`LedgerCommandError`].
pub fn run(command: &LedgerCommand, variables: &[Variable]) -> Result<(), LedgerCommandError> {
    match command {
        LedgerCommand::Stats(args) => stats::run(args, variables),
        LedgerCommand::Export(args) => export::run(args, variables),
        LedgerCommand::Verify(args) => verify::run(args, variables),
    }
}

/// Opens the ledger that is meant.
pub(super) fn open(file: &LedgerFile, variables: &[Variable]) -> Result<Reader, LedgerCommandError> {
    let path = path(file, variables)?;
    match fs::metadata(&path) {
        // Reading a pipe could wait for ever.
        Ok(metadata) if !metadata.is_file() => return Err(LedgerCommandError::NotAFile { path }),
        // To whom the folder is closed, it is not known whether a ledger is there.
        Err(source) if !matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(LedgerCommandError::Look { path, source });
        }
        _ => {}
    }
    Ok(Reader::open(&path)?)
}

fn path(file: &LedgerFile, variables: &[Variable]) -> Result<PathBuf, LedgerCommandError> {
    let path = match (&file.ledger, &file.config) {
        (Some(path), _) => return Ok(path.clone()),
        (None, Some(config)) => settings::load(config, variables).map(|settings| settings.ledger().path.clone()),
        (None, None) => settings::default_ledger(variables),
    };
    path.map_err(|faults| {
        faults.iter().for_each(|fault| tracing::error!("{fault}"));
        LedgerCommandError::Settings { count: faults.len() }
    })
}

/// `1 part`, `2 parts`.
fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn default_with(variables: &[(&str, &str)]) -> Result<PathBuf, LedgerCommandError> {
        let variables: Vec<Variable> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        path(&LedgerFile { ledger: None, config: None }, &variables)
    }

    #[test]
    fn path_is_that_of_the_built_in_settings_unless_a_variable_names_another() {
        assert_eq!(default_with(&[]).unwrap(), Path::new("/var/lib/diad/ledger.sqlite3"));
        assert_eq!(default_with(&[("DIAD__LEDGER__PATH", "/data/l.db")]).unwrap(), Path::new("/data/l.db"));
        // A fault elsewhere is not this command's business.
        assert!(default_with(&[("DIAD__DEADLINE_MS", "soon")]).is_ok());
        let error = default_with(&[("DIAD__LEDGER__PATH", "[1, 2]")]).unwrap_err();
        assert!(matches!(error, LedgerCommandError::Settings { count: 1 }), "{error:?}");
    }
}
