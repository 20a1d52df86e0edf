//! Files: the shipped ones, the ones that are none, and the ones that settings name.

use super::*;

#[test]
fn shipped_files_are_sound() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    for name in ["diad.yaml", "examples/v4l2.yaml", "examples/replay.yaml", "examples/rendered.yaml"] {
        load(&config.join(name), &[]).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
    }
}

#[test]
fn the_commented_file_says_what_the_defaults_say() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let commented = std::fs::read_to_string(config.join("diad.yaml")).unwrap();
    let identity = commented.split("\ndeadline_ms:").next().unwrap();
    let short = examine(identity, "short", &[]).settings.unwrap();
    let long = examine(&commented, "long", &[]).settings.unwrap();
    assert_eq!(short.digest(), long.digest());
    // Every default is named in the commented file.
    for line in std::fs::read_to_string(config.join("default.yaml")).unwrap().lines() {
        assert!(line.starts_with('#') || commented.lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn files_with_secrets_must_be_readable_and_are_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2\n").unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let with = |path: &Path| below(&format!("mqtt: {{ username: u, password_file: '{}' }}", path.display()));

    let settings = with(&secret).unwrap();
    assert_eq!(settings.mqtt().link.password_file(), Some(&secret));
    assert!(!format!("{settings:?}").contains("hunter2"));
    check(
        with(&empty),
        &["f.yaml:7:37: mqtt.password_file: names an empty file, allowed: a file that holds the secret"],
    );
    for more in ["hunter2\nhunter3\n", "hunter2\n\n", &"x".repeat(1025)] {
        let path = folder.path().join("more");
        std::fs::write(&path, more).unwrap();
        check(
            with(&path),
            &[
                "f.yaml:7:37: mqtt.password_file: names a file that holds more than a secret, allowed: one line of at most 1024 bytes",
            ],
        );
    }
    check(
        with(folder.path()),
        &["f.yaml:7:37: mqtt.password_file: names a file that is a folder, allowed: a regular file"],
    );
    check(
        with(Path::new("hunter2")),
        &["f.yaml:7:37: mqtt.password_file: names a file that cannot be read: No such file or directory (os error 2)"],
    );
    check(
        below(&format!("mqtt: {{ url: 'mqtts://a', ca_file: '{}' }}", secret.display())),
        &["f.yaml:7:36: mqtt.ca_file: names a file without a certificate that can be used, allowed: PEM certificates"],
    );
    let junk = folder.path().join("junk.pem");
    std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    check(
        below(&format!("mqtt: {{ url: 'mqtts://a', ca_file: '{}' }}", junk.display())),
        &["f.yaml:7:36: mqtt.ca_file: names a file without a certificate that can be used, allowed: PEM certificates"],
    );
    check(
        below(&format!("mqtt: {{ password_file: '{}' }}", secret.display())),
        &["f.yaml:7:7: mqtt.username: mqtt.password_file needs mqtt.username"],
    );
    check(
        below("mqtt: { url: 'mqtt://u:hunter2@a' }"),
        &[
            "f.yaml:7:14: mqtt.url: a broker address must not hold a user or password; use mqtt.username and mqtt.password_file",
        ],
    );
}

/// Makes a certificate signed by its own key.
fn certificate(folder: &Path, name: &str) {
    let files = ["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")];
    let made = std::process::Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=S1"])
        .args(files)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn files_of_a_client_certificate_belong_together_and_the_key_is_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|name| certificate(folder.path(), name));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let with = |keys: &str| below(&format!("mqtt:\n  url: 'mqtts://a'\n  ca_file: '{}'\n{keys}", file("a.pem")));
    let pair = |certificate: &str, key: &str| {
        with(&format!("  cert_file: '{}'\n  key_file: '{}'\n", file(certificate), file(key)))
    };
    let settings = pair("a.pem", "a.key").unwrap();
    assert!(settings.mqtt().link.client().is_some());
    assert!(!format!("{settings:?}").contains("PRIVATE KEY"));

    check(
        pair("a.pem", "b.key"),
        &[
            "f.yaml:11:13: mqtt.key_file: names a key that does not belong to mqtt.cert_file, allowed: the key of the first certificate there, of RSA, P-256, P-384 or Ed25519",
        ],
    );
    check(
        pair("a.pem", "a.pem"),
        &[
            "f.yaml:11:13: mqtt.key_file: names a file without a private key that can be read, allowed: a PEM key without a password: openssl pkey -in KEY -out PLAIN",
        ],
    );
    check(
        pair("a.key", "a.key"),
        &[
            "f.yaml:10:14: mqtt.cert_file: names a file without a certificate that can be read, allowed: PEM certificates",
        ],
    );
    check(
        pair("a.pem", "none"),
        &["f.yaml:11:13: mqtt.key_file: names a file that cannot be read: No such file or directory (os error 2)"],
    );
    check(
        with(&format!("  cert_file: '{}'\n", file("a.pem"))),
        &[
            "f.yaml:10:14: mqtt.cert_file: mqtt.cert_file needs mqtt.key_file: the PEM file of the private key of that certificate",
        ],
    );
    check(
        with(&format!("  key_file: '{}'\n", file("a.key"))),
        &[
            "f.yaml:10:13: mqtt.key_file: mqtt.key_file needs mqtt.cert_file: the PEM file of the certificate of that key",
        ],
    );
}

#[test]
fn load_reports_files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    std::fs::write(name("latin1"), b"line: L1\nstation: Pr\xe4gung\n").unwrap();
    std::fs::write(name("large"), vec![b'#'; (1 << 20) + 1]).unwrap();
    std::fs::create_dir(name("folder")).unwrap();
    for (file, want) in [
        ("none", ": cannot be read: No such file or directory (os error 2)"),
        ("folder", ": is a folder, allowed: a regular file"),
        ("large", ": is too large, allowed: at most 1 MiB"),
        ("latin1", ":2:12: byte 0xe4 is not UTF-8, allowed: UTF-8 text"),
    ] {
        let faults = load(&name(file), &[]).unwrap_err();
        assert_eq!(
            faults.iter().map(Fault::to_string).collect::<Vec<_>>(),
            [format!("{}{want}", name(file).display())]
        );
    }
    assert_eq!(load(Path::new("/dev/null"), &[]).unwrap_err()[0].message, "is not a regular file");
}
