//! Files that the settings name: secrets, which never stand in the settings themselves, and certificates.
//!
//! They are read here only to report a fault before the station starts; whoever needs one reads it himself.
//! Faults do not print the path: somebody may have put the secret itself there.

use std::path::{Path, PathBuf};

use crate::yaml::{Item, text};

/// A file with a secret: readable, and not empty.
pub(super) fn secret(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.text()?;
    if contents(item, path)?.trim_end_matches(['\r', '\n']).is_empty() {
        return item.fault("names an empty file", Some("a file that holds the secret"));
    }
    Some(PathBuf::from(path))
}

/// A file with certificates in PEM.
pub(super) fn certificates(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.text()?;
    if !contents(item, path)?.contains("-----BEGIN CERTIFICATE-----") {
        return item.fault("names a file without a certificate", Some("PEM certificates"));
    }
    Some(PathBuf::from(path))
}

fn contents(item: &Item<'_>, path: &str) -> Option<String> {
    match text::load(Path::new(path)) {
        Ok(text) => Some(text),
        Err(fault) => item.fault(&format!("names a file that {}", fault.message), fault.allowed.as_deref()),
    }
}
