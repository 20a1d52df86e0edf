//! The page behind a real nginx, with the lines of `docs/proxy.md`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::browser::Browser;
use super::client::send;
use super::{CAMERA, port};
use crate::broker::{Broker, free_port, wait_until};
use crate::station::{Station, micro};

/// The program, or none with a line that names it.
fn program() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/usr/sbin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), tools]);
    let found = folders.map(|folder| folder.join("nginx")).find(|program| program.is_file());
    if found.is_none() {
        eprintln!("skipped: nginx is not installed; it would be put in front of a station");
    }
    found
}

/// The block of `docs/proxy.md` that begins with `first`, for a station at `port`.
fn documented(first: &str, port: u16) -> String {
    let text = include_str!("../../../docs/proxy.md");
    let blocks = text.split("```nginx\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<&str> = blocks.filter(|block| block.starts_with(first)).collect();
    let [block] = found[..] else { panic!("docs/proxy.md has {} blocks of {first:?}", found.len()) };
    assert!(block.contains("127.0.0.1:8080"), "{block}");
    block.replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"))
}

struct Nginx {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start(program: &Path, locations: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let at = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        // Compressed, and collected as nginx does by itself.
        let text = format!(
            "daemon off; worker_processes 1; pid {at}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; gzip on; gzip_types *; {temporary}\n\
             server {{ listen 127.0.0.1:{port};\n{locations}\n}} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, text).unwrap();
        let child = Command::new(program)
            .args(["-e", "stderr", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("nginx", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it only when it is asked to.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// A station with these keys of `http`.
fn station(broker: &Broker, camera: &str, http: &str) -> Station {
    let mut station = Station::prepare_at(broker.port(), &micro(), camera, "deadline_ms: 20000");
    station.amend("http: { listen: \"127.0.0.1:0\" }", &format!("http: {{ listen: \"127.0.0.1:0\", {http} }}"));
    station.restart();
    station
}

#[test]
fn page_works_below_a_path_behind_nginx_and_a_credential_in_its_address_is_named() {
    let Some(program) = program() else { return };
    let broker = Broker::start();
    let secrets = tempfile::tempdir().unwrap();
    let token = secrets.path().join("token");
    fs::write(&token, "s3cret\n").unwrap();
    let station = station(&broker, CAMERA, &format!("token_file: {}", token.display()));
    let nginx = Nginx::start(&program, &documented("location /diad/ {\n    proxy_pass", port(&station)));
    let browser = Browser::start();
    browser.open(&format!("http://user:s3cret@127.0.0.1:{}/diad/", nginx.port));
    browser.wait("/ready|degraded/.test(document.getElementById('state').textContent)");
    browser.wait(
        "/^The address of this page holds a user or a password/.test(document.getElementById('notice').textContent)",
    );
    assert_eq!(browser.run("return document.getElementById('notice').textContent.includes('s3cret')"), false);
    // The address without it needs no word: the browser knows the token.
    browser.open(&format!("http://127.0.0.1:{}/diad/#whatif", nginx.port));
    browser.wait("document.getElementById('notice').textContent === '' && status");
    browser.wait("document.querySelector('#camera-cam0 img').naturalWidth > 0");
    browser.run("document.getElementById('review-at').value = 0; document.getElementById('review-at').dispatchEvent(new Event('input'))");
    browser.wait("/rejects more/.test(document.getElementById('answer').previousElementSibling.textContent)");
    let outside = "return performance.getEntriesByType('resource').filter((e) => !/^(blob|data):/.test(e.name) && !e.name.includes('/diad/')).map((e) => e.name)";
    assert_eq!(browser.run(outside), serde_json::json!([]), "everything lies below the path");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn nginx_passes_events_on_at_once_and_a_refused_change_names_both_hosts() {
    let Some(program) = program() else { return };
    let broker = Broker::start();
    // Nothing happens on the line: a status a second is all there is.
    let camera = "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: mqtt } }";
    let station = station(&broker, camera, "public_url: \"http://plant.example/diad/\"");
    let nginx = Nginx::start(&program, &documented("location /diad/ {\n    auth_basic off;", port(&station)));
    let mut events = TcpStream::connect(("127.0.0.1", nginx.port)).unwrap();
    events.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let asked = "GET /diad/api/v1/events HTTP/1.1\r\nhost: plant.example\r\naccept-encoding: gzip\r\n\r\n";
    let begin = Instant::now();
    events.write_all(asked.as_bytes()).unwrap();
    let (mut pieces, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while pieces.len() < 4 && begin.elapsed() < Duration::from_secs(20) {
        if let Ok(bytes) = events.read(&mut buffer) {
            assert!(bytes > 0, "the stream ended");
            pieces.push((begin.elapsed().as_millis(), bytes));
        }
    }
    // The head, and a piece each second. Collected, the first one came after nine seconds and more.
    assert!(pieces.len() == 4 && pieces[3].0 < 7000, "{pieces:?}");

    let json = "content-type: application/json";
    let change = b"{\"thresholds\":{\"default\":{\"review\":0.1,\"reject\":0.2}}}";
    let answer = |origin: &str| {
        let headers = ["host: plant.example", origin, "sec-fetch-site: same-origin", json];
        send(nginx.port, "POST", "/diad/api/v1/whatif", &headers, change)
    };
    assert_eq!(answer("origin: http://plant.example").status, 200);
    let refused = answer("origin: http://evil.example");
    assert_eq!(refused.status, 403);
    let words = refused.error();
    assert!(words.contains("\"http://evil.example\"") && words.contains("\"127.0.0.1\""), "{words}");
}
