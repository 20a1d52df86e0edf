//! Why an encrypted connection failed, one sentence for each cause: what is wrong, at which end, and what to do.
//!
//! The sentences hold nothing that changes from one attempt to the next, such as the present time, so that the link logs
//! a cause once.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use rumqttc::{ConnectionError, TlsError};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as Rustls, PeerIncompatible};
use time::OffsetDateTime;

/// Where the commands that make certificates are.
const GUIDE: &str = "docs/certificates.md";

/// A cause for which the end at fault and the remedy are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TlsFault {
    /// The broker's certificate is not an X.509 version 3 certificate.
    Version,
    /// The broker's certificate is that of an authority.
    AuthorityAsBroker,
    /// The broker's certificate does not name the host of `mqtt.url`.
    Name { expected: String, presented: Vec<String> },
    /// The broker's certificate is no longer valid.
    Expired { last_day: Option<String> },
    /// The broker's certificate is not valid yet.
    NotYetValid { first_day: Option<String> },
    /// No certificate in `mqtt.ca_file` signed the broker's certificate, or one between them was not sent.
    UnknownIssuer,
    /// A signature on the broker's certificate is of a kind that the station cannot check.
    Signature,
    /// The broker's certificate may not be used by a server.
    Purpose,
    /// The two ends have no kind of key or cipher in common.
    NothingInCommon,
    /// The two ends have no version of TLS in common.
    NoCommonVersion,
    /// The broker wants a client certificate and got none.
    ClientCertificateMissing,
    /// The broker does not accept the client certificate.
    ClientCertificateRefused(AlertDescription),
    /// The port answers, but not with TLS.
    PlainPort,
}

impl TlsFault {
    /// The cause of a failed connection, if it is one of these.
    pub(super) fn of(error: &ConnectionError) -> Option<Self> {
        match rustls_error(error) {
            Some(error) => Self::of_rustls(error),
            None => match error {
                ConnectionError::Tls(TlsError::Io(error)) if is_end(error.kind()) => Some(Self::PlainPort),
                _ => None,
            },
        }
    }

    fn of_rustls(error: &Rustls) -> Option<Self> {
        match error {
            Rustls::InvalidCertificate(error) => Self::of_certificate(error),
            Rustls::AlertReceived(alert) => Self::of_alert(*alert),
            Rustls::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => Some(Self::NoCommonVersion),
            Rustls::PeerIncompatible(_) => Some(Self::NothingInCommon),
            Rustls::InvalidMessage(_) => Some(Self::PlainPort),
            _ => None,
        }
    }

    fn of_certificate(error: &CertificateError) -> Option<Self> {
        Some(match error {
            CertificateError::NotValidForNameContext { expected, presented } => Self::Name {
                expected: expected.to_str().into_owned(),
                presented: presented.iter().map(|name| bare(name).to_owned()).collect(),
            },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired { last_day: day(*not_after) },
            CertificateError::Expired => Self::Expired { last_day: None },
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { first_day: day(*not_before) }
            }
            CertificateError::NotValidYet => Self::NotYetValid { first_day: None },
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Signature,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::Purpose,
            CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>()? {
                webpki::Error::UnsupportedCertVersion => Self::Version,
                webpki::Error::CaUsedAsEndEntity => Self::AuthorityAsBroker,
                _ => return None,
            },
            _ => return None,
        })
    }

    const fn of_alert(alert: AlertDescription) -> Option<Self> {
        use AlertDescription as Alert;
        match alert {
            Alert::CertificateRequired => Some(Self::ClientCertificateMissing),
            Alert::HandshakeFailure => Some(Self::NothingInCommon),
            Alert::ProtocolVersion => Some(Self::NoCommonVersion),
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError => Some(Self::ClientCertificateRefused(alert)),
            _ => None,
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => write!(
                f,
                "the broker's certificate is of X.509 version 1, which has no names; make one of version 3 for the \
                 broker, with CA:FALSE and subjectAltName (openssl x509 -req -extfile ..., {GUIDE})"
            ),
            Self::AuthorityAsBroker => write!(
                f,
                "the broker's certificate is that of an authority (CA:TRUE); make one with CA:FALSE for the broker, \
                 signed by the authority in mqtt.ca_file ({GUIDE})"
            ),
            Self::Name { expected, presented } if presented.is_empty() => write!(
                f,
                "the broker's certificate has no subjectAltName, and its CN does not count; make one for the broker \
                 with subjectAltName={} ({GUIDE})",
                name_entry(expected)
            ),
            Self::Name { expected, presented } => write!(
                f,
                "the broker's certificate is for {}, not for {expected}; write one of these names in mqtt.url, or make \
                 a certificate for the broker with subjectAltName={} ({GUIDE})",
                presented.join(", "),
                name_entry(expected)
            ),
            Self::Expired { last_day } => write!(
                f,
                "the broker's certificate expired{}; make a new one for the broker ({GUIDE}), or set this machine's \
                 clock if it is wrong",
                on(last_day)
            ),
            Self::NotYetValid { first_day } => write!(
                f,
                "the broker's certificate is not valid yet, its first day is{}; set this machine's clock if it is \
                 wrong, or make a new certificate for the broker ({GUIDE})",
                first_day.as_ref().map_or_else(|| " later".to_owned(), |day| format!(" {day}"))
            ),
            Self::UnknownIssuer => write!(
                f,
                "no authority in mqtt.ca_file signed the broker's certificate; name the file of the right authority, or \
                 have the broker send the intermediate certificates in its certfile too ({GUIDE})"
            ),
            Self::Signature => write!(
                f,
                "the broker's certificate is signed in a way that the station does not support; sign it for the broker \
                 with -sha256 and a key of RSA 2048 to 8192, P-256, P-384 or Ed25519 ({GUIDE})"
            ),
            Self::Purpose => write!(
                f,
                "the broker's certificate may not be used by a server; make one for the broker without extendedKeyUsage \
                 or with extendedKeyUsage=serverAuth ({GUIDE})"
            ),
            Self::NothingInCommon => write!(
                f,
                "the broker and the station have no kind of key or cipher in common; make a certificate for the broker \
                 with a key of RSA 2048 to 8192, P-256, P-384 or Ed25519, or set mqtt.cert_file and mqtt.key_file if the \
                 broker asks for a client certificate ({GUIDE})"
            ),
            Self::NoCommonVersion => {
                write!(f, "the broker accepts neither TLS 1.2 nor TLS 1.3; allow one of them at the broker")
            }
            Self::ClientCertificateMissing => write!(
                f,
                "the broker asks for a client certificate; set mqtt.cert_file and mqtt.key_file of this station ({GUIDE})"
            ),
            Self::ClientCertificateRefused(alert) => write!(
                f,
                "the broker refuses the client certificate ({alert:?}); name in mqtt.cert_file one that the authority \
                 of the broker's cafile signed ({GUIDE})"
            ),
            Self::PlainPort => write!(
                f,
                "the port of mqtt.url ends the connection without TLS; name the broker's port for TLS (often 8883), or \
                 write mqtt:// if nothing is to be encrypted"
            ),
        }
    }
}

/// The error of the TLS library below `error`. One inside an [`io::Error`] is not its source.
fn rustls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Rustls> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Whether the other end closed the connection.
const fn is_end(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
    )
}

/// A day in UTC, as `2024-01-31`.
fn day(at: UnixTime) -> Option<String> {
    let seconds = i64::try_from(at.as_secs()).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok().map(|at| at.date().to_string())
}

fn on(day: &Option<String>) -> String {
    day.as_ref().map_or_else(String::new, |day| format!(" on {day}"))
}

/// A name without the kind that the TLS library writes around it: `DnsName("a")`, `IpAddress(10.0.0.5)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"')
}

/// A host as openssl writes it in a subjectAltName.
fn name_entry(host: &str) -> String {
    let kind = if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    format!("{kind}:{host}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rumqttc::StateError;
    use rustls::OtherError;
    use rustls::pki_types::ServerName;

    use super::*;

    /// As the client library reports an error of the TLS library during the handshake.
    fn handshake(error: Rustls) -> ConnectionError {
        ConnectionError::Tls(TlsError::Io(io::Error::new(ErrorKind::InvalidData, error)))
    }

    fn sentence(error: impl Into<Rustls>) -> String {
        TlsFault::of(&handshake(error.into())).unwrap().to_string()
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn each_cause_has_a_sentence_of_its_own_with_a_remedy() {
        let pki = |error: webpki::Error| CertificateError::Other(OtherError(Arc::new(error)));
        let name = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("10.0.0.5").unwrap(),
            presented: presented.iter().map(|&name| name.to_owned()).collect(),
        };
        for (found, cause, remedy) in [
            (sentence(pki(webpki::Error::UnsupportedCertVersion)), "version 1", "CA:FALSE and subjectAltName"),
            (sentence(pki(webpki::Error::CaUsedAsEndEntity)), "CA:TRUE", "make one with CA:FALSE for the broker"),
            (sentence(name(&[])), "has no subjectAltName", "subjectAltName=IP:10.0.0.5"),
            (
                sentence(name(&["DnsName(\"a\")"])),
                "certificate is for a, not for 10.0.0.5",
                "write one of these names in mqtt.url",
            ),
            (sentence(CertificateError::UnknownIssuer), "no authority in mqtt.ca_file", "intermediate certificates"),
            (sentence(CertificateError::InvalidPurpose), "may not be used by a server", "serverAuth"),
            (sentence(Rustls::AlertReceived(AlertDescription::HandshakeFailure)), "kind of key", "P-256"),
            (sentence(Rustls::AlertReceived(AlertDescription::ProtocolVersion)), "TLS 1.2", "at the broker"),
            (sentence(Rustls::AlertReceived(AlertDescription::UnknownCA)), "UnknownCA", "mqtt.cert_file"),
        ] {
            assert!(found.contains(cause) && found.contains(remedy), "{cause}: {found}");
        }
    }

    #[test]
    fn dates_are_dates_and_the_same_at_every_attempt() {
        let (not_after, not_before) = (at(1_704_067_199), at(2_000_000_000));
        let expired = |now| sentence(CertificateError::ExpiredContext { time: at(now), not_after });
        assert!(expired(1_796_050_879).contains("expired on 2023-12-31;"), "{}", expired(1_796_050_879));
        assert_eq!(expired(1_796_050_879), expired(1_796_050_880));
        let early = sentence(CertificateError::NotValidYetContext { time: at(1), not_before });
        assert!(early.contains("first day is 2033-05-18;"), "{early}");
    }

    #[test]
    fn an_alert_after_the_handshake_is_found_below_the_state() {
        let alert = Rustls::AlertReceived(AlertDescription::CertificateRequired);
        let error = io::Error::new(ErrorKind::InvalidData, alert);
        for error in [
            ConnectionError::MqttState(StateError::Deserialization(rumqttc::mqttbytes::Error::Io(error))),
            ConnectionError::MqttState(StateError::Io(io::Error::other(Rustls::AlertReceived(
                AlertDescription::CertificateRequired,
            )))),
        ] {
            assert_eq!(TlsFault::of(&error), Some(TlsFault::ClientCertificateMissing), "{error}");
        }
    }

    #[test]
    fn a_port_that_closes_in_the_handshake_is_plain_and_one_that_closes_without_tls_is_not() {
        let closed = || io::Error::from(ErrorKind::ConnectionReset);
        assert_eq!(TlsFault::of(&ConnectionError::Tls(TlsError::Io(closed()))), Some(TlsFault::PlainPort));
        assert_eq!(TlsFault::of(&ConnectionError::Io(closed())), None);
        assert_eq!(TlsFault::of(&ConnectionError::Tls(TlsError::Io(ErrorKind::TimedOut.into()))), None);
    }
}
