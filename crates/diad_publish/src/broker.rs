//! From settings to a connection: reads the password and the authorities, once, at the start.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rumqttc::{AsyncClient, EventLoop, LastWill, MqttOptions, QoS, TlsConfiguration};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::settings::{BrokerUrl, ClientFiles, LinkSettings};
use crate::topic::Topics;
use crate::wire::{State, StateMessage};

/// Longest accepted password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// A silent broker is given up after at most twice this time.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Time for address look-up, TCP, TLS and the broker's answer together, in seconds.
const CONNECT_TIMEOUT_SECS: u64 = 5;

/// Largest packet read: what MQTT can carry, so that a message that is too long is refused by name instead of ending the
/// connection, which a retained one would do again and again.
const MAX_PACKET_IN_BYTES: usize = 268_435_455;

/// Largest packet that the link writes: a payload, a topic and the packet's head.
const MAX_PACKET_OUT_BYTES: usize = 4096;

/// Packets that the library may have under way. Well above [`WINDOW`], so that its packet numbers do not come
/// round to one that is still under way, and its own flow control never acts.
const LIBRARY_IN_FLIGHT: u16 = 8 * WINDOW as u16;

/// Messages handed to the library and not acknowledged, at most. Small, because a live verdict waits behind them.
pub(crate) const WINDOW: usize = 64;

/// Acknowledgements handed to the library and not written, at most.
pub(crate) const MAX_PENDING_ACKS: usize = 64;

/// Why the link could not start. A broker that cannot be reached is not among the reasons: the link keeps trying.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The password file cannot be read.
    #[error("read mqtt.password_file {}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The password file does not hold one line.
    #[error("mqtt.password_file {} must hold one line of 1 to {MAX_PASSWORD_BYTES} bytes", path.display())]
    Password {
        /// The file.
        path: PathBuf,
    },
    /// The file of authorities cannot be read as PEM.
    #[error("read mqtt.ca_file {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// The file of authorities holds no certificate that can be used.
    #[error("mqtt.ca_file {} holds no usable certificate; it must be a PEM file", path.display())]
    CaEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The file of the client certificate holds none that can be read.
    #[error("mqtt.cert_file {} holds no certificate that can be read; it must be a PEM file", path.display())]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// The file of the client certificate's key holds none that can be read.
    #[error(
        "mqtt.key_file {} holds no private key that can be read; it must be a PEM file without a password (openssl pkey \
         -in KEY -out KEY)", path.display()
    )]
    ClientKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// The key of the client certificate is not its own, or of a kind that is not supported.
    #[error("mqtt.key_file {} does not belong to the first certificate of mqtt.cert_file", path.display())]
    ClientPair {
        /// The file of the key.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Encryption cannot be set up.
    #[error("set up encryption for {url}")]
    Tls {
        /// The broker.
        url: BrokerUrl,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// The link's runtime cannot be made.
    #[error("start the runtime of thread \"mqtt\"")]
    Runtime(#[source] io::Error),
    /// The link's thread cannot be started.
    #[error("start thread \"mqtt\"")]
    Thread(#[source] io::Error),
}

impl PublishError {
    /// Whether the files that the settings name are at fault, and not the machine.
    #[must_use]
    pub const fn is_of_settings(&self) -> bool {
        !matches!(self, Self::Runtime(_) | Self::Thread(_))
    }
}

/// Whether a file of authorities holds a certificate that the link can use.
///
/// # Errors
/// [`PublishError::CaFile`], [`PublishError::CaEmpty`].
pub fn check_authorities(path: &Path) -> Result<(), PublishError> {
    read_authorities(path).map(drop)
}

/// Whether the files of a client certificate can be used together.
///
/// # Errors
/// [`PublishError::ClientCertificate`], [`PublishError::ClientKey`], [`PublishError::ClientPair`].
pub fn check_client(files: &ClientFiles) -> Result<(), PublishError> {
    let (certificates, key) = read_client(files)?;
    let provider = rustls::crypto::ring::default_provider();
    let pair = rustls::sign::CertifiedKey::from_der(certificates, key, &provider);
    pair.map(drop).map_err(|source| PublishError::ClientPair { path: files.key.clone(), source })
}

/// A text that is never printed.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything that a connection needs, read and checked.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    url: BrokerUrl,
    login: Option<(String, Secret)>,
    tls: Option<Arc<ClientConfig>>,
}

impl Broker {
    /// Reads the files that `settings` names.
    pub(crate) fn open(settings: &LinkSettings) -> Result<Self, PublishError> {
        let login = match (settings.username(), settings.password_file()) {
            (None, _) => None,
            (Some(user), None) => Some((user.to_owned(), Secret(String::new()))),
            (Some(user), Some(path)) => Some((user.to_owned(), read_password(path)?)),
        };
        let url = settings.url().clone();
        let tls = match settings.ca_file() {
            None => None,
            Some(path) => {
                let authorities = read_authorities(path)?;
                let client = settings.client().map(|files| check_client(files).and_then(|()| read_client(files)));
                let config = client_config(authorities, client.transpose()?);
                Some(config.map_err(|source| PublishError::Tls { url: url.clone(), source })?)
            }
        };
        Ok(Self { url, login, tls })
    }

    pub(crate) const fn url(&self) -> &BrokerUrl {
        &self.url
    }

    /// The name by which the station logs in, if it does.
    pub(crate) fn user(&self) -> Option<&str> {
        self.login.as_ref().map(|(user, _)| user.as_str())
    }

    /// A client for one connection of the link.
    ///
    /// The broker keeps the session: a trigger that came while the station was away, or was not acknowledged, is a part, and the
    /// plant counts it. What comes late is distinguished from what comes in time by [`Promptness`](crate::Promptness), and is never
    /// judged. What goes out is the outbox's business, of which a broker keeps nothing with QoS 1. The library acknowledges
    /// nothing by itself.
    ///
    /// `last_will` is what the broker publishes on the topic of the state when the connection breaks.
    pub(crate) fn link_client(&self, topics: &Topics, last_will: Vec<u8>) -> (AsyncClient, EventLoop) {
        let will = LastWill::new(topics.state.as_str(), last_will, QoS::AtLeastOnce, true);
        let mut options = self.options(&topics.client_id, MAX_PACKET_OUT_BYTES);
        options.set_last_will(will).set_clean_session(false).set_manual_acks(true);
        connect(options)
    }

    /// A client for one connection, in a clean session: the broker's last message when it breaks, and how large a packet
    /// may be.
    pub(crate) fn client(&self, client_id: &str, will: LastWill, max_out_bytes: usize) -> (AsyncClient, EventLoop) {
        let mut options = self.options(client_id, max_out_bytes);
        options.set_last_will(will);
        connect(options)
    }

    /// A client for one connection, in a clean session, without a last will.
    pub(crate) fn visitor(&self, client_id: &str) -> (AsyncClient, EventLoop) {
        connect(self.options(client_id, MAX_PACKET_OUT_BYTES))
    }

    /// User and password, if the broker is given any.
    pub(crate) fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, Secret(password))| (user.as_str(), password.as_str()))
    }

    /// How the connection is encrypted, if it is.
    pub(crate) const fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref()
    }

    fn options(&self, client_id: &str, max_out_bytes: usize) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, self.url.host(), self.url.port());
        options
            .set_clean_session(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_max_packet_size(MAX_PACKET_IN_BYTES, max_out_bytes)
            .set_inflight(LIBRARY_IN_FLIGHT);
        if let Some((user, Secret(password))) = &self.login {
            options.set_credentials(user.as_str(), password.as_str());
        }
        if let Some(tls) = &self.tls {
            options.set_transport(rumqttc::Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        options
    }
}

/// The state that the broker publishes when the connection that began at `now` breaks.
pub(crate) fn last_will(now: SystemTime) -> Vec<u8> {
    StateMessage::new(State::Offline, "connection lost; the time is when it began", now).to_json()
}

fn connect(options: MqttOptions) -> (AsyncClient, EventLoop) {
    // Room for a full window, the acknowledgements and the subscriptions: handing over never waits.
    let (client, mut events) = AsyncClient::new(options, 2 * WINDOW + MAX_PENDING_ACKS);
    let mut network = events.network_options();
    // Without this a small message waits up to 44 ms for the acknowledgement of the one before.
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT_SECS);
    events.set_network_options(network);
    (client, events)
}

fn read_password(path: &Path) -> Result<Secret, PublishError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| PublishError::PasswordFile { path: path.to_owned(), source })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.len() > MAX_PASSWORD_BYTES || line.contains(['\n', '\r']) {
        return Err(PublishError::Password { path: path.to_owned() });
    }
    Ok(Secret(line.to_owned()))
}

fn read_authorities(path: &Path) -> Result<RootCertStore, PublishError> {
    let fault = |source| PublishError::CaFile { path: path.to_owned(), source };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(fault)?.collect::<Result<_, _>>().map_err(fault)?;
    let mut store = RootCertStore::empty();
    // A system's bundle may hold a certificate that this library cannot read; the others still serve.
    match store.add_parsable_certificates(certificates) {
        (0, _) => Err(PublishError::CaEmpty { path: path.to_owned() }),
        _ => Ok(store),
    }
}

/// A client certificate with the ones that vouch for it, and its key.
type Client = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_client(ClientFiles { certificate, key }: &ClientFiles) -> Result<Client, PublishError> {
    let fault = |source| PublishError::ClientCertificate { path: certificate.clone(), source };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(certificate).map_err(fault)?.collect::<Result<_, _>>().map_err(fault)?;
    if certificates.is_empty() {
        return Err(fault(pem::Error::NoItemsFound));
    }
    let key =
        PrivateKeyDer::from_pem_file(key).map_err(|source| PublishError::ClientKey { path: key.clone(), source })?;
    Ok((certificates, key))
}

fn client_config(authorities: RootCertStore, client: Option<Client>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities);
    Ok(Arc::new(match client {
        None => config.with_no_client_auth(),
        Some((certificates, key)) => config.with_client_auth_cert(certificates, key)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(password: Option<&Path>, ca: Option<&Path>) -> Result<Broker, PublishError> {
        let url = if ca.is_some() { "mqtts://localhost" } else { "mqtt://localhost" };
        let user = password.map(|_| "diad".to_owned());
        let url = BrokerUrl::parse(url).unwrap();
        Broker::open(&LinkSettings::try_new(url, user, password.map(Path::to_owned), ca.map(Path::to_owned)).unwrap())
    }

    #[test]
    fn open_takes_one_line_and_never_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for text in ["hunter2", "hunter2\n", "hunter2\r\n"] {
            std::fs::write(&path, text).unwrap();
            let broker = open(Some(&path), None).unwrap();
            assert_eq!(broker.login.as_ref().unwrap().1.0, "hunter2");
            assert!(!format!("{broker:?}").contains("hunter2"));
        }
    }

    #[test]
    fn open_refuses_a_password_file_that_is_not_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for text in ["", "\n", "a\nb\n", &"x".repeat(1025)] {
            std::fs::write(&path, text).unwrap();
            let error = open(Some(&path), None).unwrap_err();
            assert!(matches!(error, PublishError::Password { .. }), "{error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()));
        }
    }

    #[test]
    fn open_names_a_file_that_is_missing() {
        let path = Path::new("/nonexistent/file");
        for error in [open(Some(path), None).unwrap_err(), open(None, Some(path)).unwrap_err()] {
            assert!(error.to_string().contains("/nonexistent/file"), "{error}");
        }
    }

    #[test]
    fn open_refuses_a_ca_file_without_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no pem", junk] {
            std::fs::write(&path, text).unwrap();
            let error = open(None, Some(&path)).unwrap_err();
            assert!(matches!(error, PublishError::CaEmpty { .. }), "{text:?}: {error:?}");
        }
    }
}
