//! A broker inside this process, so that a demonstration needs nothing installed. Not for a factory.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rumqttd::{Config, ConnectionSettings, RouterConfig, ServerSettings};
use tracing::error;

/// How long the broker may take to come up.
const BROKER_START_TIMEOUT: Duration = Duration::from_secs(5);

/// A broker that does not come up.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address is taken or not of this machine.
    #[error("listen on {address}; choose another with --mqtt")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("start the broker's thread")]
    Thread(#[source] io::Error),
    /// Nothing answers on its address.
    #[error("nothing answers on {0} after {BROKER_START_TIMEOUT:?}")]
    Silent(SocketAddr),
}

/// A running broker; it ends with the process.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
}

impl Broker {
    /// Starts a broker; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn start(address: SocketAddr) -> Result<Self, BrokerError> {
        let listen = |source| BrokerError::Listen { address, source };
        // The broker says nothing when its port is taken, so the port is tried first and then handed over.
        let address = TcpListener::bind(address).and_then(|listener| listener.local_addr()).map_err(listen)?;
        let mut broker = rumqttd::Broker::new(config(address));
        Builder::new()
            .name("broker".to_owned())
            .spawn(move || {
                if let Err(error) = broker.start() {
                    error!(%error, "embedded broker ended");
                }
            })
            .map_err(BrokerError::Thread)?;
        let give_up = Instant::now() + BROKER_START_TIMEOUT;
        while TcpStream::connect_timeout(&address, BROKER_START_TIMEOUT).is_err() {
            if Instant::now() > give_up {
                return Err(BrokerError::Silent(address));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 64 * 1024,
        max_inflight_count: 200,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let server =
        ServerSettings { name: "demo".to_owned(), listen, tls: None, next_connection_delay_ms: 1, connections };
    Config {
        id: 0,
        router: RouterConfig {
            max_connections: 64,
            max_outgoing_packet_count: 200,
            max_segment_size: 1024 * 1024,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("v4".to_owned(), server)])),
        v5: None,
        ws: None,
        cluster: None,
        console: None,
        bridge: None,
        prometheus: None,
        metrics: None,
    }
}
