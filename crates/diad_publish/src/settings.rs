//! Where the broker is and how to be let in. Pure: files are named here and read when the link starts.

use std::fmt;
use std::path::PathBuf;

/// Settings that contradict themselves or cannot be read. [`SettingsError::key`] names the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The address does not begin with a known scheme.
    #[error("a broker address begins with mqtt:// or mqtts://, for example mqtt://127.0.0.1:1883")]
    Scheme,
    /// The address holds a user or password. The text is not repeated here: it may be secret.
    #[error("a broker address must not hold a user or password; use mqtt.username and mqtt.password_file")]
    Credentials,
    /// There is something after host and port.
    #[error("a broker address ends after host and port; remove {rest:?}")]
    Rest {
        /// What to remove.
        rest: String,
    },
    /// The host is empty or has a character that no host has.
    #[error("{host:?} is not a host; write a name, an IPv4 address, or an IPv6 address in brackets")]
    Host {
        /// The host given.
        host: String,
    },
    /// The port is not a port.
    #[error("{port:?} is not a port; a port is a number from 1 to 65535")]
    Port {
        /// The port given.
        port: String,
    },
    /// A password without a user: MQTT cannot carry that.
    #[error("mqtt.password_file needs mqtt.username")]
    PasswordWithoutUser,
    /// A user name that is empty or too long.
    #[error("a user name has 1 to 256 bytes, this one has {bytes}")]
    User {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// An encrypted connection without anything to check the broker by.
    #[error(
        "mqtts:// needs mqtt.ca_file: the PEM file of the authority that signed the broker's certificate (public \
         authorities: /etc/ssl/certs/ca-certificates.crt)"
    )]
    CaMissing,
    /// An authority for a connection that is not encrypted.
    #[error("mqtt.ca_file has no meaning with mqtt://; write mqtts:// or remove it")]
    CaUnused,
    /// A client certificate without its key.
    #[error("mqtt.cert_file needs mqtt.key_file: the PEM file of the private key of that certificate")]
    CertificateWithoutKey,
    /// A key without the client certificate that it belongs to.
    #[error("mqtt.key_file needs mqtt.cert_file: the PEM file of the certificate of that key")]
    KeyWithoutCertificate,
    /// A client certificate for a connection that is not encrypted.
    #[error("mqtt.cert_file has no meaning with mqtt://; write mqtts:// or remove it and mqtt.key_file")]
    CertificateUnused,
    /// An encrypted connection to a bare IPv6 address, which the client library cannot check.
    #[error("mqtts:// with an IPv6 address is not supported; give the broker's host name")]
    TlsToIpv6,
}

impl SettingsError {
    /// The setting at fault, as a key under `mqtt:`.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Scheme
            | Self::Credentials
            | Self::Rest { .. }
            | Self::Host { .. }
            | Self::Port { .. }
            | Self::TlsToIpv6 => "url",
            Self::PasswordWithoutUser | Self::User { .. } => "username",
            Self::CaMissing | Self::CaUnused => "ca_file",
            Self::CertificateWithoutKey | Self::CertificateUnused => "cert_file",
            Self::KeyWithoutCertificate => "key_file",
        }
    }
}

/// Plain or encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `mqtt://`, port 1883 unless named.
    Plain,
    /// `mqtts://`, port 8883 unless named.
    Tls,
}

/// Address of a broker: `mqtt://host[:port]` or `mqtts://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    transport: Transport,
    host: String,
    port: u16,
}

impl BrokerUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`SettingsError`] about the address.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        // First of all, so that no later message can repeat a password.
        if text.contains('@') {
            return Err(SettingsError::Credentials);
        }
        let (transport, rest) = if let Some(rest) = text.strip_prefix("mqtt://") {
            (Transport::Plain, rest)
        } else if let Some(rest) = text.strip_prefix("mqtts://") {
            (Transport::Tls, rest)
        } else {
            return Err(SettingsError::Scheme);
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(at) = rest.find(['/', '?', '#']) {
            return Err(SettingsError::Rest { rest: rest[at..].to_owned() });
        }
        let (host, port) = split_port(rest)?;
        let port = match (port, transport) {
            (None, Transport::Plain) => 1883,
            (None, Transport::Tls) => 8883,
            (Some(digits), _) => match digits.parse() {
                Ok(port) if port != 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
                _ => return Err(SettingsError::Port { port: digits.to_owned() }),
            },
        };
        if transport == Transport::Tls && host.starts_with('[') {
            return Err(SettingsError::TlsToIpv6);
        }
        Ok(Self { transport, host: host.to_owned(), port })
    }

    /// Plain or encrypted.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Name or address; an IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), SettingsError> {
    let fault = |host: &str| SettingsError::Host { host: host.to_owned() };
    if text.starts_with('[') {
        let end = text.find(']').ok_or_else(|| fault(text))?;
        let (host, rest) = text.split_at(end + 1);
        host[1..end].parse::<std::net::Ipv6Addr>().map_err(|_| fault(host))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(fault(text)),
        };
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(allowed) || port.is_some_and(|p| p.contains(':')) {
        return Err(fault(if port.is_some_and(|p| p.contains(':')) { text } else { host }));
    }
    Ok((host, port))
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "mqtt",
            Transport::Tls => "mqtts",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// What a station speaks, `mqtt.payload` in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// JSON on the station's own topics.
    Json,
    /// That, and the same as a Sparkplug B edge node.
    SparkplugB,
}

/// The files of a client certificate, by which a broker knows the station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// PEM file of the certificate, followed by the intermediate ones.
    pub certificate: PathBuf,
    /// PEM file of its private key, not encrypted.
    pub key: PathBuf,
}

/// How to reach the broker, `mqtt:` in the settings. Messages go out with QoS 1: any other would break the promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    url: BrokerUrl,
    username: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    client: Option<ClientFiles>,
    payload: PayloadKind,
}

impl LinkSettings {
    /// Takes settings that agree with one another. Opens no file. The payload is JSON, and there is no client certificate.
    ///
    /// # Errors
    /// [`SettingsError`] says which setting is wrong and what to write instead.
    pub fn try_new(
        url: BrokerUrl,
        username: Option<String>,
        password_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, SettingsError> {
        match &username {
            Some(name) if name.is_empty() || name.len() > 256 => {
                return Err(SettingsError::User { bytes: name.len() });
            }
            None if password_file.is_some() => return Err(SettingsError::PasswordWithoutUser),
            _ => {}
        }
        match (url.transport, &ca_file) {
            (Transport::Tls, None) => Err(SettingsError::CaMissing),
            (Transport::Plain, Some(_)) => Err(SettingsError::CaUnused),
            _ => Ok(Self { url, username, password_file, ca_file, client: None, payload: PayloadKind::Json }),
        }
    }

    /// The same with a client certificate, if both files are given, or without one. Opens no file.
    ///
    /// # Errors
    /// [`SettingsError`] if one file is given without the other, or both for a connection that is not encrypted.
    pub fn with_client(self, certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Self, SettingsError> {
        let client = match (certificate, key) {
            (None, None) => None,
            (Some(_), None) => return Err(SettingsError::CertificateWithoutKey),
            (None, Some(_)) => return Err(SettingsError::KeyWithoutCertificate),
            (Some(_), Some(_)) if self.url.transport == Transport::Plain => {
                return Err(SettingsError::CertificateUnused);
            }
            (Some(certificate), Some(key)) => Some(ClientFiles { certificate, key }),
        };
        Ok(Self { client, ..self })
    }

    /// The same with another payload.
    #[must_use]
    pub fn with_payload(self, payload: PayloadKind) -> Self {
        Self { payload, ..self }
    }

    /// What is spoken.
    #[must_use]
    pub const fn payload(&self) -> PayloadKind {
        self.payload
    }

    /// The broker.
    #[must_use]
    pub const fn url(&self) -> &BrokerUrl {
        &self.url
    }

    /// Who we are, if the broker asks.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// File with the password, one line.
    #[must_use]
    pub const fn password_file(&self) -> Option<&PathBuf> {
        self.password_file.as_ref()
    }

    /// PEM file with the authorities that may vouch for the broker.
    #[must_use]
    pub const fn ca_file(&self) -> Option<&PathBuf> {
        self.ca_file.as_ref()
    }

    /// The client certificate, if the broker asks for one.
    #[must_use]
    pub const fn client(&self) -> Option<&ClientFiles> {
        self.client.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_takes_addresses_and_fills_in_ports() {
        for (text, want) in [
            ("mqtt://127.0.0.1", "mqtt://127.0.0.1:1883"),
            ("mqtts://broker.plant.example", "mqtts://broker.plant.example:8883"),
            ("mqtt://localhost:2883/", "mqtt://localhost:2883"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtt://[fe80::1]:1", "mqtt://[fe80::1]:1"),
        ] {
            assert_eq!(BrokerUrl::parse(text).map(|url| url.to_string()), Ok(want.to_owned()));
        }
    }

    #[test]
    fn parse_refuses_what_is_no_broker_address() {
        let host = |host: &str| SettingsError::Host { host: host.to_owned() };
        let port = |port: &str| SettingsError::Port { port: port.to_owned() };
        for (text, want) in [
            ("127.0.0.1:1883", SettingsError::Scheme),
            ("tcp://127.0.0.1", SettingsError::Scheme),
            ("mqtt://", host("")),
            ("mqtt://:1883", host("")),
            ("mqtt://a b", host("a b")),
            ("mqtt://::1", host("::1")),
            ("mqtt://[::1", host("[::1")),
            ("mqtt://[::1]x", host("[::1]x")),
            ("mqtt://[nonsense]", host("[nonsense]")),
            ("mqtt://a:0", port("0")),
            ("mqtt://a:65536", port("65536")),
            ("mqtt://a:", port("")),
            ("mqtt://a:+1", port("+1")),
            ("mqtt://a/topic", SettingsError::Rest { rest: "/topic".to_owned() }),
            ("mqtts://[::1]", SettingsError::TlsToIpv6),
        ] {
            assert_eq!(BrokerUrl::parse(text), Err(want), "{text:?}");
        }
    }

    #[test]
    fn parse_of_an_address_with_a_password_does_not_repeat_it() {
        for text in ["mqtt://user:hunter2@host", "hunter2@host", "mqtt://user:hunter2@host/x?y#z"] {
            let error = BrokerUrl::parse(text).unwrap_err();
            assert_eq!(error, SettingsError::Credentials);
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn try_new_refuses_settings_that_contradict_each_other() {
        let settings = |url: &str, user: Option<&str>, password: Option<&str>, ca: Option<&str>| {
            LinkSettings::try_new(
                BrokerUrl::parse(url).unwrap(),
                user.map(str::to_owned),
                password.map(PathBuf::from),
                ca.map(PathBuf::from),
            )
        };
        for (found, want, key) in [
            (settings("mqtt://a", None, Some("p"), None), SettingsError::PasswordWithoutUser, "username"),
            (settings("mqtt://a", Some(""), None, None), SettingsError::User { bytes: 0 }, "username"),
            (settings("mqtts://a", None, None, None), SettingsError::CaMissing, "ca_file"),
            (settings("mqtt://a", None, None, Some("ca")), SettingsError::CaUnused, "ca_file"),
        ] {
            assert_eq!(want.key(), key);
            assert_eq!(found, Err(want));
        }
        let client = |url: &str, certificate: Option<&str>, key: Option<&str>| {
            let ca = url.starts_with("mqtts").then_some("ca");
            settings(url, None, None, ca)
                .and_then(|settings| settings.with_client(certificate.map(PathBuf::from), key.map(PathBuf::from)))
        };
        for (found, want, key) in [
            (client("mqtts://a", Some("c"), None), SettingsError::CertificateWithoutKey, "cert_file"),
            (client("mqtts://a", None, Some("k")), SettingsError::KeyWithoutCertificate, "key_file"),
            (client("mqtt://a", Some("c"), Some("k")), SettingsError::CertificateUnused, "cert_file"),
        ] {
            assert_eq!(want.key(), key);
            assert_eq!(found, Err(want));
        }
        assert!(client("mqtts://a", Some("c"), Some("k")).is_ok_and(|settings| settings.client().is_some()));
        assert!(client("mqtt://a", None, None).is_ok_and(|settings| settings.client().is_none()));
        assert!(settings("mqtts://a", Some("u"), Some("p"), Some("ca")).is_ok());
        assert!(settings("mqtt://a", Some("u"), None, None).is_ok());
    }
}
