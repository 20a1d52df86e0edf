//! A real mosquitto on loopback, a subscriber, and a gate between publisher and broker that can be shut.

mod gate;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, unbounded};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};

pub use gate::{Direction, Gate};

/// Lines of a broker's log that are kept.
const LOG_LINES: usize = 10_000;

/// Longest wait for anything in these tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `done`.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < give_up, "waited {PATIENCE:?} for: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A free port on loopback; another process may take it before it is used.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn mosquitto() -> PathBuf {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    folders.push(PathBuf::from("/usr/sbin"));
    let found = folders.iter().map(|folder| folder.join("mosquitto")).find(|path| path.is_file());
    found.expect("mosquitto is not installed; install it: apt-get install mosquitto")
}

/// A running mosquitto, without persistence unless its configuration says otherwise; killed without mercy when dropped.
pub struct Broker {
    child: Child,
    port: u16,
    log: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
}

impl Broker {
    /// Open to everyone.
    pub fn start() -> Self {
        Self::start_with(|_| "allow_anonymous true\n".to_owned())
    }

    /// Open to everyone, with a memory: [`restart`](Self::restart) finds its sessions again. Every change is on the disk
    /// at once.
    pub fn start_persistent() -> Self {
        Self::start_with(|folder| {
            let location = folder.display();
            format!(
                "allow_anonymous true\npersistence true\npersistence_location {location}/\nautosave_on_changes true\n\
                 autosave_interval 1\n"
            )
        })
    }

    /// With more configuration lines; `configure` may write files into the folder it is given, and is asked again
    /// when another process was quicker to take a port.
    pub fn start_with(mut configure: impl FnMut(&Path) -> String) -> Self {
        let mut log = Vec::new();
        for _ in 0..5 {
            match Self::try_start(&mut configure) {
                Ok(broker) => return broker,
                Err(said) => log = said,
            }
        }
        panic!("mosquitto did not start: {log:#?}");
    }

    fn try_start(configure: &mut impl FnMut(&Path) -> String) -> Result<Self, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let extra = configure(folder.path());
        let port = free_port();
        // Without this line it would change to a user that cannot read the test's folder.
        let user = "user root\n";
        let limits = "max_inflight_messages 0\nmax_queued_messages 0\n";
        let head = "log_dest stderr\nlog_type all\nset_tcp_nodelay true\n";
        let settings = format!("{head}{user}{limits}listener {port} 127.0.0.1\n{extra}");
        std::fs::write(folder.path().join("mosquitto.conf"), settings).unwrap();
        let log = Arc::default();
        let (child, runs) = spawn(folder.path(), &log);
        let broker = Self { child, port, log, folder };
        if runs { Ok(broker) } else { Err(broker.log()) }
    }

    /// Starts it again after its end, on the same folder and port.
    pub fn restart(&mut self) {
        // A connection of another test may have been given the port for a moment.
        wait_until("the broker's port", || {
            let (child, runs) = spawn(self.folder.path(), &self.log);
            self.child = child;
            if !runs {
                self.kill();
            }
            runs
        });
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it as an orderly restart of its machine would: it writes down what it knows first.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.child.wait().unwrap();
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What mosquitto said so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Stops it where it is, connections open, until [`Broker::thaw`].
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts mosquitto with the configuration of `folder`. False if it ended before it ran.
fn spawn(folder: &Path, log: &Arc<Mutex<Vec<String>>>) -> (Child, bool) {
    let mut child = Command::new(mosquitto())
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let (ready_tx, ready) = bounded(1);
    let lines = Arc::clone(log);
    let listen = move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.ends_with(" running") {
                let _ = ready_tx.try_send(());
            }
            let mut lines = lines.lock().unwrap();
            // A broker says several lines a message: keep what a test may ask for.
            if lines.len() == LOG_LINES {
                lines.drain(..LOG_LINES / 2);
            }
            lines.push(line);
        }
    };
    std::thread::Builder::new().name("mosquitto-log".to_owned()).spawn(listen).unwrap();
    let runs = ready.recv_timeout(PATIENCE).is_ok();
    (child, runs)
}

/// One received message.
#[derive(Debug, Clone)]
pub struct Received {
    pub topic: String,
    /// Null for Sparkplug, which is no JSON.
    pub payload: serde_json::Value,
    pub bytes: Vec<u8>,
    pub retained: bool,
}

/// A client that hears everything below a filter until the broker goes away.
pub struct Subscriber {
    client: Client,
    messages: Receiver<Received>,
    /// Whether the broker knew it from before.
    known: bool,
}

impl Subscriber {
    /// Returns when the broker has acknowledged the subscription.
    pub fn start(port: u16, filter: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let id = format!("subscriber-{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        Self::connect(MqttOptions::new(id, "127.0.0.1", port), filter)
    }

    /// The same with a name by which the broker keeps its session. True if it had one.
    pub fn resume(port: u16, filter: &str, id: &str) -> (Self, bool) {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_clean_session(false);
        let subscriber = Self::connect(options, filter);
        let known = subscriber.known;
        (subscriber, known)
    }

    fn connect(mut options: MqttOptions, filter: &str) -> Self {
        options.set_max_packet_size(1 << 21, 1 << 21);
        let (client, mut connection) = Client::new(options, 100);
        client.subscribe(filter, QoS::AtLeastOnce).unwrap();
        let (ready_tx, ready) = bounded(1);
        #[expect(clippy::disallowed_methods, reason = "a test keeps all it hears")]
        let (tx, messages) = unbounded();
        let listen = move || {
            let mut known = false;
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(ack))) => known = ack.session_present,
                    Ok(Event::Incoming(Packet::SubAck(_))) => ready_tx.send(known).unwrap(),
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let bytes = message.payload.to_vec();
                        // It means nothing: how the station finds out whether a topic is delivered.
                        if bytes.is_empty() {
                            continue;
                        }
                        let payload = match message.topic.starts_with("spBv1.0/") {
                            true => serde_json::Value::Null,
                            false => serde_json::from_slice(&bytes).unwrap(),
                        };
                        let _ = tx.send(Received { topic: message.topic, payload, bytes, retained: message.retain });
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        };
        std::thread::Builder::new().name("subscriber".to_owned()).spawn(listen).unwrap();
        let known = ready.recv_timeout(PATIENCE).expect("the subscription was not acknowledged");
        Self { client, messages, known }
    }

    /// Publishes as the plant would.
    pub fn publish(&self, topic: &str, retain: bool, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload).unwrap();
    }

    /// The next message.
    #[track_caller]
    pub fn next(&self) -> Received {
        self.messages.recv_timeout(PATIENCE).expect("no message came")
    }

    /// Messages up to and including the first that `last` accepts.
    #[track_caller]
    pub fn until(&self, last: impl Fn(&Received) -> bool) -> Vec<Received> {
        let mut all: Vec<Received> = Vec::new();
        let give_up = Instant::now() + 3 * PATIENCE;
        loop {
            assert!(Instant::now() < give_up, "not among {} messages, the last: {:?}", all.len(), all.last());
            let message = self.next();
            let done = last(&message);
            all.push(message);
            if done {
                return all;
            }
        }
    }

    /// Everything that has come in and was not taken yet.
    pub fn waiting(&self) -> Vec<Received> {
        self.messages.try_iter().collect()
    }

    /// Everything that came in before the broker closed the connection.
    pub fn rest(&self) -> Vec<Received> {
        self.messages.iter().collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.client.disconnect();
    }
}
