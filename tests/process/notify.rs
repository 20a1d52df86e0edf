//! What systemd is told.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::broker::{Broker, PATIENCE, Subscriber};
use super::station::{Station, diad, is_offline, micro, write_parts};
use super::web::client::get;
use super::web::port;

#[test]
fn systemd_gets_ready_then_signs_of_life_then_stopping() {
    let broker = Broker::start();
    let cameras = "  - { id: cam0, source: { kind: rendered }, trigger: { kind: free_run, every_ms: 50 } }";
    let station = Station::prepare_at(broker.port(), &micro(), cameras, "deadline_ms: 20000");
    let mut systemd = Systemd::start(&station, Stdio::null());
    systemd.wait_for("READY=1");
    systemd.wait_for("WATCHDOG=1");
    systemd.wait_for("WATCHDOG=1");
    let stopped = Command::new("kill").arg(systemd.child.id().to_string()).status().unwrap();
    assert!(stopped.success());
    systemd.wait_for("STOPPING=1");
    assert_eq!(systemd.child.wait().unwrap().code(), Some(0));
}

/// Somebody holds a write lease on the picture: whoever opens it waits in the kernel, as behind a network disk that is gone.
#[test]
fn systemd_gets_no_sign_of_life_while_a_stage_hangs() {
    let broker = Broker::start();
    let pictures = tempfile::tempdir().unwrap();
    let picture = pictures.path().join("000.png");
    fs::write(&picture, b"this is not a picture").unwrap();
    let cameras = format!(
        "  - {{ id: cam0, source: {{ kind: replay, folder: {}, looped: true }}, trigger: {{ kind: free_run, every_ms: 50 }} }}",
        pictures.path().display()
    );
    let station = Station::prepare_at(broker.port(), &micro(), &cameras, "deadline_ms: 20000");
    let lease = Lease::take(&picture);
    let systemd = Systemd::start(&station, Stdio::null());
    systemd.wait_for("READY=1");
    let give_up = Instant::now() + PATIENCE;
    systemd.socket.set_read_timeout(Some(WATCHDOG * 3)).unwrap();
    while systemd.next().is_some() {
        assert!(Instant::now() < give_up, "a sign of life of a station that hangs");
    }
    systemd.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(lease);
    systemd.wait_for("WATCHDOG=1");
}

/// A process that holds a write lease on a file; who opens the file waits for its end (fcntl(2), at most 45 s).
struct Lease(Child);

impl Lease {
    const HOLD: &str = "import fcntl, os, signal, sys, time\n\
        signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
        fcntl.fcntl(os.open(sys.argv[1], os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
        print('held', end='', flush=True)\n\
        time.sleep(60)\n";

    fn take(file: &Path) -> Self {
        let mut holder = Command::new("python3");
        let holder = holder.args(["-c", Self::HOLD]).arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut lease = Self(holder);
        let mut said = [0; 4];
        lease.0.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        lease
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A sign of life is wanted at least this often.
const WATCHDOG: Duration = Duration::from_secs(1);

/// The station's manager: what it would hear. It leaves no station behind.
struct Systemd {
    child: Child,
    socket: UnixDatagram,
}

impl Systemd {
    fn start(station: &Station, log: Stdio) -> Self {
        let path = station.folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = diad()
            .args(["run", "--config"])
            .arg(station.folder.path().join("diad.yaml"))
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, socket }
    }

    /// The next message; none if none comes in time.
    fn next(&self) -> Option<String> {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    fn wait_for(&self, wanted: &str) {
        for _ in 0..1000 {
            let message = self.next().unwrap_or_else(|| panic!("{wanted} did not come in time"));
            if message.lines().any(|line| line == wanted) {
                return;
            }
        }
        panic!("{wanted} did not come");
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What every interface shows of the station at one time.
#[derive(Debug, PartialEq)]
struct Report {
    state: String,
    heartbeat: String,
    readyz: (u16, String),
    systemd: String,
    metric: Vec<String>,
    problems: Vec<String>,
}

/// A station with systemd, a plant and a page, and what they showed last.
struct Observer {
    systemd: Systemd,
    plant: Subscriber,
    port: u16,
    status: String,
    state: String,
    heartbeat: String,
}

impl Observer {
    /// Takes in what has come, until all agree on `want`.
    fn agree_on(&mut self, want: &Report) {
        let give_up = Instant::now() + PATIENCE;
        self.systemd.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        loop {
            while let Some(message) = self.systemd.next() {
                let status = message.lines().find_map(|line| line.strip_prefix("STATUS="));
                self.status = status.map_or(std::mem::take(&mut self.status), str::to_owned);
            }
            for message in self.plant.waiting() {
                let word = || message.payload["state"].as_str().unwrap().to_owned();
                if message.topic.ends_with("/state") {
                    self.state = word();
                } else if message.topic.ends_with("/heartbeat") {
                    self.heartbeat = word();
                }
            }
            let report = self.report();
            if report == *want {
                return;
            }
            assert!(Instant::now() < give_up, "{report:?}, not {want:?}");
        }
    }

    fn report(&self) -> Report {
        let ready = get(self.port, "/readyz");
        let metrics = get(self.port, "/metrics").text();
        let labels = |name: &str| {
            let start = format!("{name}=\"");
            let lines = metrics.lines().filter(|line| line.ends_with(" 1"));
            lines.filter_map(|line| Some(line.split_once(&start)?.1.split('"').next()?.to_owned())).collect::<Vec<_>>()
        };
        Report {
            state: self.state.clone(),
            heartbeat: self.heartbeat.clone(),
            readyz: (ready.status, ready.text().trim().to_owned()),
            systemd: self.status.split(" since ").next().unwrap_or_default().to_owned(),
            metric: labels("diad_state{state"),
            problems: labels("diad_problem{source"),
        }
    }
}

fn report_of(word: &str, systemd: &str, problems: &[&str]) -> Report {
    Report {
        state: word.to_owned(),
        heartbeat: word.to_owned(),
        readyz: (200, word.to_owned()),
        systemd: systemd.to_owned(),
        metric: vec![word.to_owned()],
        problems: problems.iter().map(|source| (*source).to_owned()).collect(),
    }
}

/// A fault of the thresholds that comes and goes, and a stop: state, heartbeat, page, systemd and metrics agree.
#[test]
fn every_interface_agrees_on_the_state() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let pictures = tempfile::tempdir().unwrap();
    write_parts(pictures.path(), 2);
    let cameras = format!(
        "  - {{ id: cam0, source: {{ kind: replay, folder: {}, looped: true }}, trigger: {{ kind: free_run, every_ms: 200 }} }}",
        pictures.path().display()
    );
    let station = Station::prepare_at(broker.port(), &micro(), &cameras, "deadline_ms: 20000");
    let log = fs::File::create(station.folder.path().join("log")).unwrap();
    let systemd = Systemd::start(&station, log.into());
    let port = port(&station);
    let (status, state, heartbeat) = Default::default();
    let mut observer = Observer { systemd, plant, port, status, state, heartbeat };
    observer.agree_on(&report_of("ready", "ready", &[]));

    let thresholds = station.folder.path().join("thresholds.yaml");
    let good = fs::read_to_string(&thresholds).unwrap();
    fs::write(&thresholds, "default: { review: 0.9, reject: 0.4 }\n").unwrap();
    observer.agree_on(&report_of("degraded", "degraded: thresholds", &["thresholds"]));
    fs::write(&thresholds, good).unwrap();
    observer.agree_on(&report_of("ready", "ready", &[]));

    let stopped = Command::new("kill").arg(observer.systemd.child.id().to_string()).status().unwrap();
    assert!(stopped.success());
    observer.systemd.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    observer.systemd.wait_for("STOPPING=1");
    observer.systemd.wait_for("STATUS=stopping");
    observer.systemd.wait_for("STATUS=offline");
    assert_eq!(observer.systemd.child.wait().unwrap().code(), Some(0));
    observer.plant.until(is_offline);
}
