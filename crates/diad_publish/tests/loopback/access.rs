//! Who is let in: passwords and encryption.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diad_publish::Publisher;
use diad_publish::settings::{BrokerUrl, LinkSettings};

use crate::broker::{Broker, Subscriber, free_port, wait_until};
use crate::line::{VERDICT, publish, settings_for};

/// Runs a program in a folder.
fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let status = Command::new(program)
        .current_dir(folder)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}); install it: apt-get install {program}"));
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

fn with_password(broker: &Broker, password: &str) -> Publisher {
    let file = broker.folder().join(format!("secret-{password}"));
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{}", broker.port())).unwrap();
    let link = LinkSettings::try_new(url, Some("diad".to_owned()), Some(file), None).unwrap();
    Publisher::start(settings_for(link)).unwrap()
}

#[test]
fn password_that_is_wrong_is_not_a_connection_and_is_tried_again() {
    let broker = Broker::start_with(|folder| {
        run(folder, "mosquitto_passwd", &["-b", "-c", "passwords", "diad", "right-word"]);
        format!("allow_anonymous false\npassword_file {}\n", folder.join("passwords").display())
    });
    let publisher = with_password(&broker, "wrong-word");
    publish(&publisher, 1..=3);
    let refusals =
        || broker.log().iter().filter(|line| line.contains("Sending CONNACK") && line.contains("5)")).count();
    wait_until("three attempts", || refusals() >= 3);
    let status = publisher.status();
    assert_eq!((status.connected, status.connections, status.queued), (false, 0, 3));
    let error = status.last_error.unwrap();
    assert!(error.contains("user name or password") && error.contains("mqtt.password_file"), "{error}");
    assert!(!error.contains("wrong-word"));
    drop(publisher);

    let publisher = with_password(&broker, "right-word");
    publish(&publisher, 1..=3);
    wait_until("acknowledgements", || publisher.status().acknowledged == 3);
}

/// Makes an authority and a certificate for `localhost` signed by it.
fn certificates(folder: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    for (name, subject) in [("ca", "/CN=plant authority"), ("other", "/CN=another authority")] {
        let (key_file, file) = (format!("{name}.key"), format!("{name}.pem"));
        let own = ["req", "-x509", "-days", "30", "-subj", subject, "-keyout", &key_file, "-out", &file];
        run(folder, "openssl", &[&own[..], &key[..]].concat());
    }
    let request = ["req", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"];
    run(folder, "openssl", &[&request[..], &key[..]].concat());
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    run(folder, "openssl", &[&sign[..], &["-days", "30", "-extfile", "names", "-out", "server.pem"]].concat());
}

fn encrypted(host: &str, port: u16, ca: PathBuf) -> Publisher {
    let url = BrokerUrl::parse(&format!("mqtts://{host}:{port}")).unwrap();
    Publisher::start(settings_for(LinkSettings::try_new(url, None, None, Some(ca)).unwrap())).unwrap()
}

#[test]
fn encryption_lets_in_only_the_broker_that_the_authority_signed() {
    let mut tls_port = 0;
    let broker = Broker::start_with(|folder| {
        certificates(folder);
        tls_port = free_port();
        let file = |name: &str| folder.join(name).display().to_string();
        format!(
            "allow_anonymous true\nlistener {tls_port} 127.0.0.1\ncertfile {}\nkeyfile {}\nallow_anonymous true\n",
            file("server.pem"),
            file("server.key")
        )
    });
    let subscriber = Subscriber::start(broker.port(), VERDICT);
    let publisher = encrypted("localhost", tls_port, broker.folder().join("ca.pem"));
    wait_until("the connection", || publisher.status().connected);
    publish(&publisher, 1..=10);
    assert_eq!(subscriber.until(|m| m.payload["seq"] == 10).len(), 10);
    drop(publisher);

    for (host, ca) in [("localhost", "other.pem"), ("127.0.0.1", "ca.pem")] {
        let publisher = encrypted(host, tls_port, broker.folder().join(ca));
        wait_until("the refusal", || publisher.status().last_error.is_some());
        let status = publisher.status();
        assert!(!status.connected);
        assert!(status.last_error.unwrap().contains("mqtt.ca_file"));
    }
}
