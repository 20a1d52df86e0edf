//! Files with secrets and certificates: there, readable, used as they are, and not open to everybody.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::Check;
use super::Station;
use crate::exit::Exit;
use crate::yaml::{Fault, lines};

/// The settings that name such a file.
pub(super) const KEYS: [&str; 5] =
    ["mqtt.password_file", "mqtt.ca_file", "mqtt.cert_file", "mqtt.key_file", "http.token_file"];

/// Permissions of everybody who is neither owner nor in the group.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

pub(super) fn checks(station: &Station<'_>) -> Vec<Check> {
    let link = &station.settings.mqtt().link;
    let client = link.client();
    let files = [
        link.password_file().map(|path| path.as_path()),
        link.ca_file().map(|path| path.as_path()),
        client.map(|client| client.certificate.as_path()),
        client.map(|client| client.key.as_path()),
        station.settings.http().token_file.as_deref(),
    ];
    let check = |(key, path): (&'static str, Option<&Path>)| {
        let path = path?;
        let faults: Vec<Fault> = station.faults.iter().filter(|fault| fault.path == key).cloned().collect();
        let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode()).ok();
        Some(judge(key, path, &faults, mode))
    };
    KEYS.into_iter().zip(files).filter_map(check).collect()
}

/// `mode` are the permissions, if the file can be looked at. The path of a file at fault is not printed: somebody may have put
/// the secret itself there.
fn judge(key: &str, path: &Path, faults: &[Fault], mode: Option<u32>) -> Check {
    let secret = !matches!(key, "mqtt.ca_file" | "mqtt.cert_file");
    let (shown, mode) = (path.display(), mode.unwrap_or(0));
    if !faults.is_empty() {
        let remedy = "see that the file is there and that the station's user may read it: sudo -u diad cat FILE";
        return Check::failed(key, Exit::Settings, lines(faults), remedy);
    }
    let octal = mode & 0o777;
    if mode & OTHERS_WRITE != 0 {
        let remedy = format!("sudo chmod o-rw {shown}");
        return Check::warning(key, format!("{shown} can be written by everybody (mode {octal:03o})"), remedy);
    }
    if secret && mode & OTHERS_READ != 0 {
        let remedy = format!("sudo chgrp diad {shown} && sudo chmod 640 {shown}");
        return Check::warning(key, format!("{shown} can be read by everybody (mode {octal:03o})"), remedy);
    }
    Check::fine(key, format!("{shown} can be used (mode {octal:03o})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::CheckStatus;
    use crate::yaml::Place;

    #[test]
    fn secrets_that_everybody_reads_or_writes_are_warned_of() {
        for (key, mode, want) in [
            ("http.token_file", 0o640, CheckStatus::Fine),
            ("http.token_file", 0o644, CheckStatus::Warning),
            ("mqtt.key_file", 0o604, CheckStatus::Warning),
            ("mqtt.ca_file", 0o644, CheckStatus::Fine),
            ("mqtt.ca_file", 0o666, CheckStatus::Warning),
        ] {
            let check = judge(key, Path::new("/a"), &[], Some(0o100_000 | mode));
            assert_eq!(check.health, want, "{key} {mode:o}");
        }
    }

    #[test]
    fn file_at_fault_is_a_failure_and_its_path_stays_unprinted() {
        let place = Place::Environment { variable: "A".into() };
        let fault = Fault {
            place,
            path: "http.token_file".to_owned(),
            message: "names an empty file".to_owned(),
            allowed: None,
        };
        let check = judge("http.token_file", Path::new("hunter2"), &[fault], None);
        assert_eq!(check.failure(), Some(Exit::Settings));
        assert!(check.detail.contains("empty file") && !check.detail.contains("hunter2"), "{check:?}");
    }
}
