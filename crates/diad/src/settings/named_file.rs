//! Files that the settings name: secrets, which never stand in the settings themselves, and certificates.
//!
//! They are read here only to report a fault before the station starts; whoever needs one reads it himself.
//! Faults do not print the path: somebody may have put the secret itself there.

use std::path::{Path, PathBuf};

use diad_publish::{MAX_PASSWORD_BYTES, check_authorities};

use crate::yaml::{Item, text};

/// A file with a secret: readable, not empty, and one line.
pub(super) fn secret(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.text()?;
    let text = contents(item, path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.trim_end_matches(['\r', '\n']).is_empty() {
        return item.fault("names an empty file", Some("a file that holds the secret"));
    }
    if line.contains(['\r', '\n']) || line.len() > MAX_PASSWORD_BYTES {
        let allowed = format!("one line of at most {MAX_PASSWORD_BYTES} bytes");
        return item.fault("names a file that holds more than a secret", Some(&allowed));
    }
    Some(PathBuf::from(path))
}

/// A file with certificates in PEM.
pub(super) fn certificates(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.text()?;
    contents(item, path)?;
    if check_authorities(Path::new(path)).is_err() {
        return item.fault("names a file without a certificate that can be used", Some("PEM certificates"));
    }
    Some(PathBuf::from(path))
}

fn contents(item: &Item<'_>, path: &str) -> Option<String> {
    match text::load(Path::new(path)) {
        Ok(text) => Some(text),
        Err(fault) => item.fault(&format!("names a file that {}", fault.message), fault.allowed.as_deref()),
    }
}
