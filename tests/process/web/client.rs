//! As little HTTP as a test needs, so that it can also say what no library would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The words of a refusal.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

/// Sends one request with exactly these header lines, and reads the answer to its end.
pub fn send(port: u16, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|header| request.push_str(&format!("{header}\r\n")));
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    // A refusal may come before all of a body was taken.
    let _ = stream.write_all(body);
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "an answer, not {head:?}");
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    // Not every server hangs up when it is asked to.
    let mut body = Vec::new();
    let _ = reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body);
    Answer { status, head, body }
}

pub fn get(port: u16, path: &str) -> Answer {
    send(port, "GET", path, &["host: localhost"], b"")
}

pub fn post(port: u16, path: &str, body: &Value) -> Answer {
    let headers = ["host: localhost", "content-type: application/json"];
    send(port, "POST", path, &headers, body.to_string().as_bytes())
}
