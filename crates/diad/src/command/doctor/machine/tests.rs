use std::net::TcpListener;

use diad_capture::{DeviceFormat, WireFormat};

use super::*;
use crate::command::doctor::CheckStatus;

fn device(formats: Result<Vec<DeviceFormat>, OpenError>) -> DeviceInfo {
    DeviceInfo { path: "/dev/video7".into(), name: "Line camera".to_owned(), formats }
}

fn remedy(check: &Check) -> &str {
    check.remedy.as_deref().unwrap_or_default()
}

#[test]
fn cameras_none_is_a_warning() {
    let checks = cameras(&[]);
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].health, CheckStatus::Warning);
}

#[test]
fn camera_with_formats_is_fine_and_counts_them() {
    let format = DeviceFormat { format: WireFormat::Yuyv, width: 640, height: 480, fps: 30 };
    let check = camera(&device(Ok(vec![format])));
    assert_eq!(check.health, CheckStatus::Fine);
    assert!(check.detail.contains("formats: 1"), "{}", check.detail);
}

#[test]
fn camera_that_may_not_be_opened_names_the_group() {
    let source = io::Error::from(io::ErrorKind::PermissionDenied);
    let check = camera(&device(Err(OpenError::Access { path: "/dev/video7".into(), source })));
    assert_eq!(check.health, CheckStatus::Warning);
    assert!(remedy(&check).contains("-aG video"), "{}", remedy(&check));
}

#[test]
fn broker_is_fine_while_it_listens_and_a_warning_after() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(broker(address, BROKER_TIMEOUT).health, CheckStatus::Fine);
    drop(listener);
    let check = broker(address, BROKER_TIMEOUT);
    assert_eq!(check.health, CheckStatus::Warning);
    assert!(check.detail.contains(&address.to_string()), "{}", check.detail);
}

#[test]
fn disk_of_a_folder_that_is_not_there_is_that_of_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let check = disk(&folder.path().join("a/b"));
    assert!(check.detail.ends_with(&format!("at {}", folder.path().display())), "{}", check.detail);
}

#[test]
fn state_folder_that_may_be_written_or_made_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    let check = state_folder(folder.path());
    assert_eq!(check.health, CheckStatus::Fine);
    assert!(check.detail.ends_with("may be written"), "{}", check.detail);
    let check = state_folder(&folder.path().join("diad"));
    assert_eq!(check.health, CheckStatus::Fine);
    assert!(check.detail.contains("not there yet"), "{}", check.detail);
}

#[test]
fn state_folder_that_cannot_be_made_is_a_warning_and_says_how_to_make_it() {
    // Nobody, not even root, makes a folder below a file.
    let file = tempfile::NamedTempFile::new().unwrap();
    let folder = file.path().join("diad");
    let check = state_folder(&folder);
    assert_eq!(check.health, CheckStatus::Warning, "{}", check.detail);
    assert!(remedy(&check).contains(&folder.display().to_string()), "{}", remedy(&check));
}

#[test]
fn clock_is_fine_only_if_sane_and_synchronised() {
    let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
    for (now, synchronised, want) in [
        (at(OLDEST_SANE_SECS), Some(true), CheckStatus::Fine),
        (at(OLDEST_SANE_SECS), Some(false), CheckStatus::Warning),
        (at(OLDEST_SANE_SECS), None, CheckStatus::Skipped),
        (at(OLDEST_SANE_SECS - 1), Some(true), CheckStatus::Warning),
        (at(0), None, CheckStatus::Warning),
    ] {
        let check = clock(now, synchronised);
        assert_eq!(check.health, want, "{}", check.detail);
    }
    for (told, want) in [("yes\n", Some(true)), ("no\n", Some(false)), ("", None), ("Failed to connect", None)] {
        assert_eq!(answer(told), want, "{told:?}");
    }
}

#[test]
fn service_names_its_socket_and_warns_without_systemd() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let check = service(&none, &[("NOTIFY_SOCKET".into(), "/run/notify".into())]);
    assert_eq!(check.health, CheckStatus::Fine);
    assert!(check.detail.contains("/run/notify"), "{}", check.detail);
    assert_eq!(service(folder.path(), &[]).health, CheckStatus::Fine);
    assert_eq!(service(&none, &[]).health, CheckStatus::Warning);
}

#[test]
fn memory_is_read_from_meminfo_and_warns_when_scarce() {
    for (meminfo, want, shown) in [
        ("MemTotal:  8388608 kB\nMemFree: 1 kB\nMemAvailable:  2097152 kB\n", CheckStatus::Fine, "2.0 GiB of 8.0 GiB"),
        ("MemTotal:  8388608 kB\nMemAvailable:  524288 kB\n", CheckStatus::Warning, "0.5 GiB of 8.0 GiB"),
        ("MemTotal:  8388608 kB\n", CheckStatus::Warning, "not known"),
        ("MemTotal: many\nMemAvailable: 5 kB\n", CheckStatus::Warning, "not known"),
    ] {
        let check = memory(meminfo);
        assert_eq!(check.health, want, "{meminfo}");
        assert!(check.detail.contains(shown), "{}", check.detail);
    }
}
