//! A real Chromium, driven by its own driver (W3C WebDriver).

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::send;
use crate::broker::{free_port, wait_until};

pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub fn start() -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is here; `make setup-tests` installs it");
        wait_until("the driver", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--window-size=1400,1300".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        browser.session = browser.ask("POST", "/session", &wanted)["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = ["host: localhost", "content-type: application/json"];
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let answer = send(self.port, method, path, &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()["value"].take()
    }

    fn in_session(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    pub fn open(&self, url: &str) {
        self.in_session("POST", "/url", &json!({ "url": url }));
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.in_session("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression holds.
    pub fn wait(&self, expression: &str) {
        let give_up = Instant::now() + Duration::from_secs(30);
        while self.run(&format!("return !!({expression})")) != true {
            let page = || self.run("return document.body.innerText");
            assert!(Instant::now() < give_up, "waited in vain for {expression}; the page: {}", page());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types one key, as a person would, wherever the focus is.
    pub fn key(&self, key: &str) {
        let press = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": press }] });
        self.in_session("POST", "/actions", &actions);
    }

    /// The tab that is looked at.
    pub fn tab(&self) -> String {
        self.in_session("GET", "/window", &Value::Null).as_str().unwrap().to_owned()
    }

    /// Opens a page in a tab more, and looks at it.
    pub fn open_tab(&self, url: &str) -> String {
        let opened = self.in_session("POST", "/window/new", &json!({ "type": "tab" }));
        let tab = opened["handle"].as_str().unwrap().to_owned();
        self.turn_to(&tab);
        self.open(url);
        tab
    }

    pub fn turn_to(&self, tab: &str) {
        self.in_session("POST", "/window", &json!({ "handle": tab }));
    }

    /// Closes the tab that is looked at.
    pub fn close_tab(&self) {
        self.in_session("DELETE", "/window", &json!({}));
    }

    /// A command of Chromium's own (DevTools).
    pub fn command(&self, name: &str, parameters: &Value) -> Value {
        self.in_session("POST", "/goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    /// A script that runs in every page from now on, before its own.
    pub fn before_each_page(&self, script: &str) {
        self.command("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// What the page complained of.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.in_session("POST", "/se/log", &json!({ "type": "browser" }));
        log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.in_session("DELETE", "", &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
