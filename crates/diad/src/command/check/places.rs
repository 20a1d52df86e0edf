//! Folders and files that the settings name and that are not there: a mistyped path, a mount that is gone.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use diad_capture::{BufferPool, Replay, ReplayCamera};
use rustix::fs::{Access, access};

use crate::chain::chain;
use crate::settings::{Examined, Named};
use crate::yaml::Fault;

/// The folder that the service makes for itself at its start: before the first one it may be missing.
const SERVICE_FOLDER: &str = "/var/lib/diad";

/// What is to be said of the places that settings name.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) faults: Vec<Fault>,
    pub(super) notices: Vec<String>,
}

impl Places {
    /// Looks at every place but those that have a check of their own: model, thresholds, golden parts, secrets.
    pub(super) fn of(examined: &Examined) -> Self {
        let mut places = Self::default();
        places.faults.extend(examined.replays.iter().filter_map(replay));
        places.faults.extend(examined.library.as_ref().and_then(library));
        places.faults.extend(examined.foundations.as_ref().and_then(foundations));
        if let Some(ledger) = &examined.ledger {
            places.ledger(ledger);
        }
        places
    }

    fn ledger(&mut self, named: &Named) {
        if named.path.is_dir() {
            let message = format!("{} is a folder", named.path.display());
            self.faults
                .push(Fault { allowed: Some("the file of the ledger in it".to_owned()), ..named.fault(message) });
            return;
        }
        let folder = parent(&named.path);
        let shown = folder.display();
        match metadata_of_folder(&folder) {
            Ok(()) if access(&folder, Access::WRITE_OK | Access::EXEC_OK).is_err() => {
                self.notices
                    .push(format!("{}: this user may not write folder {shown}; the station's user must", named.key));
            }
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && folder == Path::new(SERVICE_FOLDER) => {
                let made = "diad.service makes it at its start, systemd-tmpfiles --create does now";
                self.notices.push(format!("{}: folder {shown} is not there yet; {made}", named.key));
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                self.notices.push(format!("{}: this user may not look at folder {shown}", named.key));
            }
            Err(error) => {
                let message = format!("folder {shown} of the ledger and of its pictures cannot be used: {error}");
                self.faults.push(remedied(named, message));
            }
        }
    }
}

/// The folder that a file lies in.
pub(in crate::command) fn parent(file: &Path) -> PathBuf {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn metadata_of_folder(folder: &Path) -> io::Result<()> {
    if fs::metadata(folder)?.is_dir() { Ok(()) } else { Err(io::Error::from(ErrorKind::NotADirectory)) }
}

/// Lists the folder as the camera would; opens no picture.
fn replay(named: &Named) -> Option<Fault> {
    let error = ReplayCamera::open(&named.path, Replay::Once, BufferPool::new(1)).err()?;
    Some(remedied(named, chain(&error)))
}

fn library(named: &Named) -> Option<Fault> {
    let error = match fs::metadata(&named.path) {
        Ok(metadata) if metadata.is_file() => return None,
        Ok(_) => "is not a file".to_owned(),
        Err(error) => format!("cannot be found: {error}"),
    };
    Some(remedied(named, format!("library {} {error}", named.path.display())))
}

fn foundations(named: &Named) -> Option<Fault> {
    let listed = fs::read_dir(&named.path).err()?;
    Some(remedied(named, format!("folder {} cannot be listed: {listed}", named.path.display())))
}

/// A fault with what to do about a place that is not there.
fn remedied(named: &Named, message: String) -> Fault {
    let allowed = "a place that is there: correct the path, make it, or mount what belongs there".to_owned();
    Fault { allowed: Some(allowed), ..named.fault(message) }
}
