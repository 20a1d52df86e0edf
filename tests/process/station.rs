//! A `diad run` of its own folder, settings and broker.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use diad_scene::{Line, PartSpec, render};
use serde_json::Value;

use super::broker::{Broker, Received, wait_until};

/// The fixture bundle of the engine.
pub fn micro() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures/micro")
}

/// The folder of the fixture foundation of the engine.
pub fn foundations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures/foundation")
}

/// The program, told where the runtime library and foundations lie.
pub fn diad() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diad"));
    command.stdin(Stdio::null()).env("DIAD_LOG", "info").env_remove("NOTIFY_SOCKET");
    command.env("DIAD_FOUNDATIONS", foundations());
    command
}

/// A running daemon; killed when dropped.
pub struct Station {
    child: Option<Child>,
    /// Words before the program's own, such as those that put it into another network.
    within: Vec<String>,
    pub folder: tempfile::TempDir,
}

impl Station {
    /// Writes settings and thresholds and starts the daemon. `cameras` is the YAML of the list, indented by two.
    pub fn start(broker: &Broker, cameras: &str) -> Self {
        Self::start_on(&micro(), broker, cameras)
    }

    /// The same with another model.
    pub fn start_on(model: &Path, broker: &Broker, cameras: &str) -> Self {
        Self::launch(model, broker, cameras, "deadline_ms: 20000")
    }

    /// The same with further lines of settings, the deadline among them.
    pub fn start_with(broker: &Broker, cameras: &str, more: &str) -> Self {
        Self::launch(&micro(), broker, cameras, more)
    }

    pub fn launch(model: &Path, broker: &Broker, cameras: &str, more: &str) -> Self {
        Self::launch_at(broker.port(), model, cameras, more)
    }

    /// The same with a broker that may not be there.
    pub fn launch_at(port: u16, model: &Path, cameras: &str, more: &str) -> Self {
        let mut station = Self::prepare_at(port, model, cameras, more);
        station.restart();
        station
    }

    /// Folder and settings of a daemon that is not started yet.
    pub fn prepare_at(port: u16, model: &Path, cameras: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("thresholds.yaml"), "default: { review: 0.2, reject: 0.4 }\n").unwrap();
        fs::create_dir(path("state")).unwrap();
        let settings = format!(
            "line: L1\nstation: S1\ncameras:\n{cameras}\n{more}\nthresholds: {}\nledger: {{ path: {} }}\n\
             http: {{ listen: \"127.0.0.1:0\" }}\nengine: {{ model: {}, provider: cpu, threads: 1 }}\nmqtt: {{ url: \"mqtt://127.0.0.1:{port}\" }}\n",
            path("thresholds.yaml"),
            path("state/ledger.sqlite3"),
            model.display(),
        );
        fs::write(path("diad.yaml"), settings).unwrap();
        fs::write(path("log"), "").unwrap();
        Self { child: None, within: Vec::new(), folder }
    }

    /// From the next start on the daemon runs behind `words`, a program that hands its process over.
    pub fn run_within<const N: usize>(&mut self, words: [&str; N]) {
        self.within = words.map(str::to_owned).to_vec();
    }

    /// Replaces a piece of the settings, which must be there, for the next start.
    pub fn amend(&self, old: &str, new: &str) {
        let path = self.folder.path().join("diad.yaml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{old:?} is not in the settings");
        fs::write(path, text.replace(old, new)).unwrap();
    }

    /// Starts the daemon, again if it has run before and ended.
    pub fn restart(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let plain = diad();
        let mut command = match self.within.split_first() {
            None => plain,
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(plain.get_program()).stdin(Stdio::null());
                for (name, value) in plain.get_envs() {
                    match value {
                        Some(value) => command.env(name, value),
                        None => command.env_remove(name),
                    };
                }
                command
            }
        };
        command.args(["run", "--config"]).arg(self.folder.path().join("diad.yaml"));
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        let child = self.child();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("the daemon was started")
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon was started").id()
    }

    /// The ledger's database file.
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("state/ledger.sqlite3")
    }

    /// Waits for the process to end and gives its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the daemon to end", || {
            status = self.child().try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.as_ref().unwrap().id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// The runs of this station by their logs, and how many parts each has counted in by its end. A process that was
    /// killed counts for nothing.
    pub fn entered(&self) -> BTreeMap<String, Option<u64>> {
        let (mut runs, mut last) = (BTreeMap::new(), String::new());
        let value = |line: &str, name: &str| line.split(name).nth(1)?.split_whitespace().next().map(str::to_owned);
        for line in self.log().lines() {
            if line.contains("station starts") {
                last = value(line, " run=").unwrap();
                runs.insert(last.clone(), None);
            } else if line.contains("station stopped") {
                runs.insert(last.clone(), value(line, " triggered=").unwrap().parse().ok());
            }
        }
        runs
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}", self.log());
        }
    }
}

/// The verdicts among messages, by sequence number; a number that comes twice with another content is an error.
pub fn verdicts(messages: &[Received]) -> BTreeMap<u64, Value> {
    let mut verdicts = BTreeMap::new();
    for message in messages.iter().filter(|m| m.topic.ends_with("/verdict")) {
        let seq = message.payload["seq"].as_u64().unwrap();
        if let Some(before) = verdicts.insert(seq, message.payload.clone()) {
            assert_eq!(before, message.payload, "part {seq} has two verdicts");
        }
    }
    verdicts
}

/// Good and defective rendered parts as PNG files `000.png`, `001.png`, ….
pub fn write_parts(folder: &Path, count: u64) {
    let line = Line::new(7, &[], 0.5);
    for index in 0..count {
        let part: PartSpec = line.part(index);
        render(&part).image.save(folder.join(format!("{index:03}.png"))).unwrap();
    }
}

/// Messages of a topic's last level.
pub fn of<'a>(messages: &'a [Received], level: &str) -> Vec<&'a Value> {
    let end = format!("/{level}");
    messages.iter().filter(|m| m.topic.ends_with(&end)).map(|m| &m.payload).collect()
}

/// The state message that ends a station's life.
pub fn is_offline(message: &Received) -> bool {
    message.topic.ends_with("/state") && message.payload["state"] == "offline"
}
