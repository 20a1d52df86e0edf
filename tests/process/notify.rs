//! What systemd is told.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use super::broker::{Broker, PATIENCE};
use super::station::{Station, diad, micro};

#[test]
fn systemd_hears_ready_then_signs_of_life_then_stopping() {
    let broker = Broker::start();
    let cameras = "  - { id: cam0, source: { kind: rendered }, trigger: { kind: free_run, every_ms: 50 } }";
    let station = Station::prepare_at(broker.port(), &micro(), cameras, "deadline_ms: 20000");
    let path = station.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut child = diad()
        .args(["run", "--config"])
        .arg(station.folder.path().join("diad.yaml"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", Duration::from_secs(1).as_micros().to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let hear = |wanted: &str| {
        let mut bytes = [0; 1024];
        for _ in 0..1000 {
            let length = socket.recv(&mut bytes).unwrap();
            if String::from_utf8_lossy(&bytes[..length]).lines().any(|line| line == wanted) {
                return;
            }
        }
        panic!("{wanted} did not come");
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    let stopped = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(stopped.success());
    hear("STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
