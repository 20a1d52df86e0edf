//! Files that the settings name: secrets, which never stand in the settings themselves, and certificates.
//!
//! They are read here only to report a fault before the station starts; whoever needs one reads it himself. The path of a
//! file at fault is given all the same: the fault keeps the station from starting, and what else is set can be examined.
//! Faults do not print the path: somebody may have put the secret itself there.

use std::path::{Path, PathBuf};

use diad_publish::settings::ClientFiles;
use diad_publish::{MAX_PASSWORD_BYTES, PublishError, check_authorities, check_client};

use crate::yaml::{Item, text};

/// A file with a secret: readable, not empty, and one line.
pub(super) fn secret(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.text()?;
    if let Some(text) = contents(item, path) {
        expect_one_line(item, &text);
    }
    Some(PathBuf::from(path))
}

fn expect_one_line(item: &Item<'_>, text: &str) {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.trim_end_matches(['\r', '\n']).is_empty() {
        let _: Option<()> = item.fault("names an empty file", Some("a file that holds the secret"));
    } else if line.contains(['\r', '\n']) || line.len() > MAX_PASSWORD_BYTES {
        let allowed = format!("one line of at most {MAX_PASSWORD_BYTES} bytes");
        let _: Option<()> = item.fault("names a file that holds more than a secret", Some(&allowed));
    }
}

/// A file with certificates in PEM.
pub(super) fn certificates(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.text()?;
    if contents(item, path).is_some() && check_authorities(Path::new(path)).is_err() {
        let _: Option<()> = item.fault("names a file without a certificate that can be used", Some("PEM certificates"));
    }
    Some(PathBuf::from(path))
}

/// A text file that can be read.
pub(super) fn there(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.text()?;
    contents(item, path);
    Some(PathBuf::from(path))
}

/// The files of a client certificate: one with certificates in PEM, and one with the key of the first of them. What cannot be
/// read at all has been reported.
pub(super) fn client(certificate: &Item<'_>, key: &Item<'_>, files: &ClientFiles) {
    if [&files.certificate, &files.key].iter().any(|path| text::load(path).is_err()) {
        return;
    }
    let _: Option<()> = match check_client(files) {
        Ok(()) => None,
        Err(PublishError::ClientCertificate { .. }) => {
            certificate.fault("names a file without a certificate that can be read", Some("PEM certificates"))
        }
        Err(PublishError::ClientPair { .. }) => key.fault(
            "names a key that does not belong to mqtt.cert_file",
            Some("the key of the first certificate there, of RSA, P-256, P-384 or Ed25519"),
        ),
        Err(_) => key.fault(
            "names a file without a private key that can be read",
            Some("a PEM key without a password: openssl pkey -in KEY -out PLAIN"),
        ),
    };
}

fn contents(item: &Item<'_>, path: &str) -> Option<String> {
    match text::load(Path::new(path)) {
        Ok(text) => Some(text),
        Err(fault) => item.fault(&format!("names a file that {}", fault.message), fault.allowed.as_deref()),
    }
}
