//! May the station write to a topic? Found out without a message that anyone receives.
//!
//! With QoS 2 a message is handed over in two steps: `PUBLISH`, which the broker answers with a code, and `PUBREL`, which
//! releases it. A broker that passes a message on only when it is released, as mosquitto does, can be asked with the first
//! step alone: the message is dropped with the session. MQTT lets a broker pass it on at once, too. So the broker is first
//! watched on the trial's own topic, and only if it held the message there are the plant's topics asked, with an empty
//! message in any case.
//!
//! The client library releases every message by itself, so these few packets of MQTT 5 are written here.

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::Write;
use crate::broker::Broker;

/// Largest packet that is read, in bytes.
const MAX_PACKET_BYTES: usize = 1 << 20;

/// How long a read waits before the clock is looked at.
const HELD_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long a message that the broker may pass on at once is waited for after one that was sent later has come.
const STRAGGLER_TIMEOUT: Duration = Duration::from_millis(200);

/// What the message is that must be held, and the one sent after it.
const HELD: &[u8] = b"{\"doctor\":\"held\"}";
const AFTER: &[u8] = b"{\"doctor\":\"after\"}";

/// Packet numbers of the message that must be held, and of the one on the topic that is asked for.
const HELD_ID: u16 = 1;
const ASKED_ID: u16 = 2;

/// Answers of the broker from here on are refusals.
const REFUSALS: u8 = 0x80;
/// "Not authorized", and "Topic Name invalid", with which some brokers hide that they deny it.
const DENIALS: [u8; 2] = [0x87, 0x90];

/// What was found out.
pub(super) struct Asked {
    pub(super) writes: Vec<(String, Write)>,
    pub(super) own_topic_denied: bool,
}

/// Asks for each of `topics`, each answer waited for at most `limit`.
pub(super) fn ask(broker: &Broker, client_id: &str, own_topic: &str, topics: Vec<String>, limit: Duration) -> Asked {
    let mut own = None;
    let mut writes = Vec::new();
    let mut obstacle: Option<String> = None;
    // A connection for each: a broker may end one, or answer nothing more on it, after it has denied a message.
    for topic in topics {
        let write = match &obstacle {
            Some(reason) => Write::Unknown(reason.clone()),
            None => {
                let asked = Asking::open(broker, limit)
                    .and_then(|mut asking| asking.ask(broker, client_id, own_topic, &topic, &mut own));
                asked.map_or_else(
                    |reason| {
                        obstacle = Some(reason.clone());
                        Write::Unknown(reason)
                    },
                    of_code,
                )
            }
        };
        writes.push((topic, write));
    }
    Asked { writes, own_topic_denied: own.is_some_and(|code| DENIALS.contains(&code)) }
}

fn of_code(code: u8) -> Write {
    match code {
        code if code < REFUSALS => Write::Allowed,
        code if DENIALS.contains(&code) => Write::Denied(code),
        code => Write::Unknown(format!("the broker answered with code 0x{code:02x}")),
    }
}

trait Stream: Read + io::Write + Send {}
impl<T: Read + io::Write + Send> Stream for T {}

/// One connection, spoken to in packets.
struct Asking {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
    limit: Duration,
}

impl Asking {
    fn open(broker: &Broker, limit: Duration) -> Result<Self, String> {
        let mut tcp = connect(broker, limit).map_err(|error| format!("connect for MQTT 5: {error}"))?;
        let session = match broker.tls() {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(broker.url().host().to_owned()).map_err(|error| error.to_string())?;
                let mut session = ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
                while session.is_handshaking() {
                    session.complete_io(&mut tcp).map_err(|error| format!("encrypt for MQTT 5: {error}"))?;
                }
                Some(session)
            }
        };
        tcp.set_read_timeout(Some(HELD_POLL_INTERVAL)).map_err(|error| error.to_string())?;
        let stream: Box<dyn Stream> = match session {
            None => Box::new(tcp),
            Some(session) => Box::new(StreamOwned::new(session, tcp)),
        };
        Ok(Self { stream, read: Vec::new(), limit })
    }

    /// The broker's code for a message on `topic`.
    fn ask(
        &mut self,
        broker: &Broker,
        id: &str,
        own_topic: &str,
        topic: &str,
        own: &mut Option<u8>,
    ) -> Result<u8, String> {
        self.send(&connect_packet(&format!("{id}:5"), broker.login()))?;
        match self.until(|packet| packet.connack())? {
            0 => {}
            code => return Err(format!("the broker does not take MQTT 5 (code 0x{code:02x})")),
        }
        self.send(&subscribe_packet(HELD_ID, own_topic))?;
        match self.until(|packet| packet.suback())? {
            code if code < REFUSALS => {}
            code => return Err(format!("the broker refused the subscription to {own_topic} (code 0x{code:02x})")),
        }
        if !self.holds(own_topic, own)? {
            return Err("the broker passes messages of QoS 2 on before they are released".to_owned());
        }
        self.send(&publish_packet(2, ASKED_ID, topic, b""))?;
        let code = self.until(|packet| packet.pubrec().and_then(|(id, code)| (id == ASKED_ID).then_some(code)))?;
        // DISCONNECT: the session ends now, and what was held goes with it.
        let _ = self.send(&[0xe0, 0]);
        Ok(code)
    }

    /// Whether the broker keeps a message of QoS 2 to itself until it is released.
    fn holds(&mut self, own_topic: &str, own: &mut Option<u8>) -> Result<bool, String> {
        self.send(&publish_packet(2, HELD_ID, own_topic, HELD))?;
        // A broker that passes it on at once may do so before or after its answer.
        let mut passed_on = false;
        let code = self.until(|packet| {
            passed_on |= packet.payload() == Some(HELD);
            packet.pubrec().map(|(_, code)| code)
        })?;
        *own = Some(code);
        match code {
            _ if passed_on => return Ok(false),
            code if code < REFUSALS => {}
            code if DENIALS.contains(&code) => {
                return Err(format!("the access rules deny writing to {own_topic}, with which it would be found out"));
            }
            code => return Err(format!("the broker answered with code 0x{code:02x} on {own_topic}")),
        }
        self.send(&publish_packet(0, 0, own_topic, AFTER))?;
        let seen = |packet: &Packet| match packet.payload() {
            Some(HELD) => Some(true),
            Some(AFTER) => Some(false),
            _ => None,
        };
        if self.until(seen)? {
            return Ok(false);
        }
        let straggler = self.until_within(STRAGGLER_TIMEOUT, |packet| (packet.payload() == Some(HELD)).then_some(()));
        Ok(straggler.is_err())
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), String> {
        let sent = self.stream.write_all(packet).and_then(|()| self.stream.flush());
        sent.map_err(|error| format!("the broker ended the connection for MQTT 5: {error}"))
    }

    fn until<T>(&mut self, wanted: impl FnMut(&Packet) -> Option<T>) -> Result<T, String> {
        self.until_within(self.limit, wanted)
    }

    /// Reads packets until `wanted` takes one.
    fn until_within<T>(&mut self, limit: Duration, mut wanted: impl FnMut(&Packet) -> Option<T>) -> Result<T, String> {
        let give_up = Instant::now() + limit;
        let mut buffer = [0; 4096];
        loop {
            while let Some(packet) = take_packet(&mut self.read)? {
                if let Some(taken) = wanted(&packet) {
                    return Ok(taken);
                }
            }
            if Instant::now() >= give_up {
                return Err(format!("no answer to MQTT 5 within {} ms", limit.as_millis()));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the broker ended the connection for MQTT 5".to_owned()),
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if is_pause(error.kind()) => {}
                Err(error) => return Err(format!("the broker ended the connection for MQTT 5: {error}")),
            }
        }
    }
}

const fn is_pause(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn connect(broker: &Broker, limit: Duration) -> io::Result<TcpStream> {
    let host = broker.url().host().trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in (host, broker.url().port()).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A packet that the broker sent: its first byte, and what follows its length.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    head: u8,
    body: Vec<u8>,
}

impl Packet {
    fn connack(&self) -> Option<u8> {
        // A broker of an older version answers with its own code at the same place.
        (self.head == 0x20).then(|| self.body.get(1).copied())?
    }

    /// The code of the one subscription.
    fn suback(&self) -> Option<u8> {
        (self.head == 0x90).then(|| self.body.last().copied())?
    }

    /// Packet number and code of the answer to a message of QoS 2.
    fn pubrec(&self) -> Option<(u16, u8)> {
        let id = (self.head == 0x50).then(|| Some([*self.body.first()?, *self.body.get(1)?]))??;
        // No code is the code 0.
        Some((u16::from_be_bytes(id), self.body.get(2).copied().unwrap_or(0)))
    }

    /// What a message of QoS 0 holds.
    fn payload(&self) -> Option<&[u8]> {
        if self.head & 0xf6 != 0x30 {
            return None;
        }
        let topic = u16::from_be_bytes([*self.body.first()?, *self.body.get(1)?]);
        let rest = self.body.get(2 + usize::from(topic)..)?;
        let (properties, length) = number(rest).ok()??;
        rest.get(length + properties..)
    }
}

/// Takes the first whole packet off what was read; none while it is not whole.
fn take_packet(read: &mut Vec<u8>) -> Result<Option<Packet>, String> {
    let Some((&head, rest)) = read.split_first() else { return Ok(None) };
    let Some((size, length)) = number(rest)? else { return Ok(None) };
    if size > MAX_PACKET_BYTES {
        return Err(format!("the broker sends a packet of {size} bytes"));
    }
    let Some(body) = rest.get(length..length + size) else { return Ok(None) };
    let packet = Packet { head, body: body.to_vec() };
    read.drain(..1 + length + size);
    Ok(Some(packet))
}

/// A number in MQTT's variable length, and how many bytes it takes; none while bytes of it are missing.
fn number(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err("the broker sends what is not MQTT 5".to_owned()) }
}

fn connect_packet(id: &str, login: Option<(&str, &str)>) -> Vec<u8> {
    const CLEAN_START: u8 = 0x02;
    const USER_AND_PASSWORD: u8 = 0xc0;
    const KEEP_ALIVE_SECS: [u8; 2] = [0, 60];
    let mut body = text("MQTT");
    body.extend([5, CLEAN_START | if login.is_some() { USER_AND_PASSWORD } else { 0 }]);
    body.extend(KEEP_ALIVE_SECS);
    body.push(0);
    body.extend(text(id));
    if let Some((user, password)) = login {
        body.extend(text(user));
        body.extend(text(password));
    }
    packet(0x10, body)
}

fn subscribe_packet(id: u16, topic: &str) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.push(0);
    body.extend(text(topic));
    body.push(0);
    packet(0x82, body)
}

fn publish_packet(qos: u8, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.push(0);
    body.extend(payload);
    packet(0x30 | (qos << 1), body)
}

/// A text with its length before it; what is longer than MQTT can carry is cut, which no topic and no name here is.
fn text(text: &str) -> Vec<u8> {
    let bytes = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    let mut all = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    all.extend(bytes);
    all
}

fn packet(head: u8, body: Vec<u8>) -> Vec<u8> {
    let mut all = vec![head];
    let mut left = body.len();
    loop {
        let byte = (left & 0x7f) as u8;
        left >>= 7;
        all.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    all.extend(body);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_whole_whatever_pieces_they_came_in() {
        let sent = publish_packet(0, 0, "a/b", &[7; 300]);
        let mut read = Vec::new();
        for (index, byte) in sent.iter().enumerate() {
            assert_eq!(take_packet(&mut read), Ok(None), "{index}");
            read.push(*byte);
        }
        let packet = take_packet(&mut read).unwrap().unwrap();
        assert_eq!(packet.payload(), Some(&[7; 300][..]));
        assert!(read.is_empty());
        assert!(take_packet(&mut vec![0x30, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(take_packet(&mut vec![0x30, 0xff, 0xff, 0xff, 0x7f]).is_err(), "larger than is read");
    }

    #[test]
    fn answers_are_read_by_their_kind() {
        let packet = |head, body: &[u8]| Packet { head, body: body.to_vec() };
        assert_eq!(packet(0x50, &[0, 12]).pubrec(), Some((12, 0)));
        assert_eq!(packet(0x50, &[0, 12, 0x87, 0]).pubrec(), Some((12, 0x87)));
        assert_eq!(packet(0x40, &[0, 12]).pubrec(), None);
        assert_eq!(packet(0x90, &[0, 1, 0, 0x87]).suback(), Some(0x87));
        assert_eq!(packet(0x20, &[0, 0, 0]).connack(), Some(0));
        assert_eq!(packet(0x20, &[0, 1]).connack(), Some(1));
        assert_eq!(packet(0x50, &[0]).pubrec(), None);
    }

    #[test]
    fn codes_are_denials_only_where_they_are_about_access() {
        assert_eq!(of_code(0), Write::Allowed);
        assert_eq!(of_code(0x10), Write::Allowed, "nobody subscribed to it");
        assert_eq!(of_code(0x87), Write::Denied(0x87));
        assert!(matches!(of_code(0x97), Write::Unknown(_)), "a quota is no denial");
    }
}
