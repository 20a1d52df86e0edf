//! A TCP forwarder under the test's control.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy)]
pub enum Direction {
    ToBroker,
    FromBroker,
}

/// What the gate does now. Each opening has its own `frozen`, so that a frozen connection stays so.
#[derive(Default)]
struct State {
    broker: Option<u16>,
    frozen: Arc<Frozen>,
    held: Arc<AtomicBool>,
    streams: Vec<TcpStream>,
    ended: bool,
}

#[derive(Default)]
struct Frozen {
    to_broker: AtomicBool,
    from_broker: AtomicBool,
}

impl Frozen {
    const fn of(&self, direction: Direction) -> &AtomicBool {
        match direction {
            Direction::ToBroker => &self.to_broker,
            Direction::FromBroker => &self.from_broker,
        }
    }
}

/// Stands between publisher and broker. Shut, it hangs up at once; open, it forwards; frozen, it swallows; held, it is
/// silent as a network without its cable. It keeps its port all the while, so that no other test can take it.
pub struct Gate {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Gate {
    /// A shut gate.
    pub fn shut() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let accept = move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                if state.ended {
                    return;
                }
                let Some(far) = state.broker.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok()) else {
                    continue;
                };
                for stream in [&near, &far] {
                    stream.set_nodelay(true).unwrap();
                    state.streams.push(stream.try_clone().unwrap());
                }
                for (from, to, direction) in [(&near, &far, Direction::ToBroker), (&far, &near, Direction::FromBroker)]
                {
                    forward(from, to, direction, Arc::clone(&state.frozen), Arc::clone(&state.held));
                }
            }
        };
        std::thread::Builder::new().name("gate".to_owned()).spawn(accept).unwrap();
        Self { port, state }
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Forwards new connections to `broker`.
    pub fn open(&self, broker: u16) {
        let mut state = self.state.lock().unwrap();
        state.broker = Some(broker);
        state.frozen = Arc::default();
    }

    /// Swallows what goes this way from now on, until opened anew.
    pub fn freeze(&self, direction: Direction) {
        self.state.lock().unwrap().frozen.of(direction).store(true, Ordering::SeqCst);
    }

    /// From now on new connections are taken and old ones stay, and nobody hears anything, not even that the other side
    /// has hung up, until [`release`](Self::release): then all of it arrives.
    pub fn hold(&self) {
        self.state.lock().unwrap().held.store(true, Ordering::SeqCst);
    }

    /// Lets go on what was held.
    pub fn release(&self) {
        self.state.lock().unwrap().held.store(false, Ordering::SeqCst);
    }

    /// Ends every connection and hangs up on new ones.
    pub fn cut_and_shut(&self) {
        self.release();
        let mut state = self.state.lock().unwrap();
        state.broker = None;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.cut_and_shut();
        self.state.lock().unwrap().ended = true;
        // Wakes the acceptor, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn forward(from: &TcpStream, to: &TcpStream, direction: Direction, frozen: Arc<Frozen>, held: Arc<AtomicBool>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let pump = move || {
        let mut buffer = [0; 4096];
        loop {
            let read = from.read(&mut buffer);
            while held.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
            }
            let Ok(read @ 1..) = read else { break };
            if !frozen.of(direction).load(Ordering::SeqCst) && to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    };
    std::thread::Builder::new().name("gate-pump".to_owned()).spawn(pump).unwrap();
}
