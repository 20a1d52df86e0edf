//! The page of a demonstration.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::client::get;
use crate::broker::{free_port, wait_until};
use crate::station::diad;

#[test]
fn demonstration_is_for_this_machine_alone_and_tells_a_refused_save() {
    let refused = diad().args(["demo", "--http", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("0.0.0.0:0") && words.contains("other machines reach it"), "{words}");

    let port = free_port();
    let mut demo = diad()
        .args(["demo", "--parts", "0", "--json", "--http", &format!("127.0.0.1:{port}")])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the page", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let status = || get(port, "/api/v1/status").json();
    std::fs::write(status()["thresholds"]["file"].as_str().unwrap(), "default: { review: 2 }\n").unwrap();
    wait_until("the refusal", || status()["problems"][0]["source"] == "thresholds");
    assert!(Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap().success());
    assert!(demo.wait().unwrap().success());
}
