//! `diad manual`: man pages and completions from the definition of the command line.

use std::io;

use clap_complete::Shell;

use super::CommandError;
use crate::cli::{Cli, ManualArgs};

/// Writes `man1/diad.1`, a page for each command below it, and completions for three shells.
pub(super) fn run(args: &ManualArgs) -> Result<(), CommandError> {
    let folder = &args.folder;
    let failed = |error: io::Error| CommandError::Manual { folder: folder.clone(), source: error };
    let man = folder.join("man1");
    std::fs::create_dir_all(&man).map_err(failed)?;
    clap_mangen::generate_to(Cli::definition(), &man).map_err(failed)?;
    for (shell, place) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let place = folder.join(place);
        std::fs::create_dir_all(&place).map_err(failed)?;
        clap_complete::generate_to(shell, &mut Cli::definition(), "diad", &place).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_has_a_page_for_every_command_and_completions_for_three_shells() {
        let folder = tempfile::tempdir().unwrap();
        run(&ManualArgs { folder: folder.path().to_owned() }).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let learn = read("man1/diad-learn.1");
        assert!(learn.contains("GOOD_DIR") && learn.contains("Examples:"), "{learn}");
        assert!(read("man1/diad.1").contains("diad\\-doctor(1)"));
        assert!(read("man1/diad-ledger-export.1").contains("parquet"));
        assert!(!folder.path().join("man1/diad-manual.1").exists(), "a hidden command");
        for completions in ["bash/diad.bash", "zsh/_diad", "fish/diad.fish"] {
            assert!(read(completions).contains("max-false-reject"), "{completions}");
        }
    }

    #[test]
    fn folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = run(&ManualArgs { folder: file.path().to_owned() }).unwrap_err();
        assert_eq!(error.exit(), crate::exit::Exit::Disk);
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    }
}
