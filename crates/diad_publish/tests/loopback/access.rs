//! Who is let in: passwords and encryption.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diad_publish::settings::{BrokerUrl, LinkSettings};
use diad_publish::topic::{NodeTopics, Topics};
use diad_publish::{Publisher, Trial, Write};

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

fn encrypted_link(host: &str, port: u16, ca: PathBuf) -> LinkSettings {
    let url = BrokerUrl::parse(&format!("mqtts://{host}:{port}")).unwrap();
    LinkSettings::try_new(url, None, None, Some(ca)).unwrap()
}

fn encrypted(host: &str, port: u16, ca: PathBuf) -> Publisher {
    Publisher::start(settings_for(encrypted_link(host, port, ca))).unwrap()
}

fn tried(link: &LinkSettings) -> Trial {
    let settings = settings_for(link.clone());
    let (line, station) = (&settings.station.line, &settings.station.station);
    Trial::run(link, &Topics::new(&settings.root, line, station), &NodeTopics::new(line, station)).unwrap()
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

    let trial = tried(&encrypted_link("localhost", tls_port, broker.folder().join("ca.pem")));
    assert!(trial.writes.len() == 4 && trial.writes.iter().all(|(_, write)| *write == Write::Allowed), "{trial:?}");
    let trial = tried(&encrypted_link("localhost", tls_port, broker.folder().join("other.pem")));
    assert!(trial.connected.is_err_and(|reason| reason.contains("no authority in mqtt.ca_file")));

    for (host, ca, cause) in [
        ("localhost", "other.pem", "no authority in mqtt.ca_file signed the broker's certificate"),
        ("127.0.0.1", "ca.pem", "is for localhost, not for 127.0.0.1; write one of these names in mqtt.url"),
    ] {
        let publisher = encrypted(host, tls_port, broker.folder().join(ca));
        wait_until("the refusal", || publisher.status().last_error.is_some());
        let status = publisher.status();
        assert!(!status.connected);
        let error = status.last_error.unwrap();
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn trial_tells_each_topic_that_is_denied_from_those_that_are_not() {
    let rules = "user diad\ntopic readwrite factory/L1/S1/probe/#\ntopic write factory/L1/S1/state\n\
                 topic write factory/L1/S1/heartbeat\n";
    let broker = Broker::start_with(|folder| {
        run(folder, "mosquitto_passwd", &["-b", "-c", "passwords", "diad", "right-word"]);
        std::fs::write(folder.join("rules"), rules).unwrap();
        std::fs::write(folder.join("secret"), "right-word\n").unwrap();
        let file = |name: &str| folder.join(name).display().to_string();
        format!("allow_anonymous false\npassword_file {}\nacl_file {}\n", file("passwords"), file("rules"))
    });
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{}", broker.port())).unwrap();
    let secret = Some(broker.folder().join("secret"));
    let trial = tried(&LinkSettings::try_new(url, Some("diad".to_owned()), secret, None).unwrap());
    assert!(trial.round_trip.is_some_and(|trip| trip.is_ok()));
    let of =
        |level: &str| trial.writes.iter().find(|(topic, _)| topic.ends_with(level)).map(|(_, write)| write.clone());
    for (level, want) in [
        ("/verdict", Write::Denied(0x87)),
        ("/reject", Write::Denied(0x87)),
        ("/state", Write::Allowed),
        ("/heartbeat", Write::Allowed),
    ] {
        assert_eq!(of(level), Some(want), "{level}");
    }
}

/// The commands of the guide.
fn by_the_guide(folder: &Path) {
    let guide = include_str!("../../../../docs/certificates.md");
    let commands = guide.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    run(folder, "bash", &["-e", "-c", commands]);
}

/// What the link reports when it cannot connect.
fn failure(publisher: &Publisher) -> String {
    wait_until("the failure", || publisher.status().last_error.is_some());
    publisher.status().last_error.unwrap()
}

#[test]
fn broker_that_asks_for_a_client_certificate_lets_in_the_station_that_has_one() {
    let mut port = 0;
    let broker = Broker::start_with(|folder| {
        by_the_guide(folder);
        port = free_port();
        let file = |name: &str| folder.join(name).display().to_string();
        let files = [("certfile", "broker.pem"), ("keyfile", "broker.key"), ("cafile", "ca.pem")];
        let files: String = files.map(|(key, name)| format!("{key} {}\n", file(name))).concat();
        format!(
            "allow_anonymous true\nlistener {port} 127.0.0.1\n{files}require_certificate true\nallow_anonymous true\n"
        )
    });
    let file = |name: &str| broker.folder().join(name);
    let error = failure(&encrypted("localhost", port, file("ca.pem")));
    assert!(error.contains("asks for a client certificate; set mqtt.cert_file and mqtt.key_file"), "{error}");

    let link = |certificate: &str, key: &str| {
        let url = BrokerUrl::parse(&format!("mqtts://localhost:{port}")).unwrap();
        let link = LinkSettings::try_new(url, None, None, Some(file("ca.pem"))).unwrap();
        link.with_client(Some(file(certificate)), Some(file(key))).unwrap()
    };
    let publisher = Publisher::start(settings_for(link("station.pem", "station.key"))).unwrap();
    wait_until("the connection", || publisher.status().connected);
    publish(&publisher, 1..=3);
    wait_until("acknowledgements", || publisher.status().acknowledged == 3);
    drop(publisher);

    for (certificate, key, cause) in [
        ("station.pem", "broker.key", "does not belong to the first certificate"),
        ("station.pem", "ca.pem", "holds no private key"),
        ("station.key", "station.key", "holds no certificate"),
    ] {
        let error = Publisher::start(settings_for(link(certificate, key))).map(drop).unwrap_err();
        assert!(error.is_of_settings() && error.to_string().contains(cause), "{error}");
    }
}

/// Certificates of a broker that do not work, beside the ones of the guide.
const FAULTY: &str = r#"
req() { openssl req -newkey "${3:-rsa:2048}" ${4:+-pkeyopt "$4"} -nodes -sha256 -subj "/CN=$2" -keyout $1.key -out $1.csr; }
sign() { printf "$2" >$1.ext; openssl x509 -req -in $1.csr -CA $3.pem -CAkey $3.key -CAcreateserial -sha256 -days 30 -out $1.pem ${2:+-extfile $1.ext}; }
names='basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n'
req version1 localhost; sign version1 '' ca
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout own.key -out own.pem
req nameless localhost; sign nameless 'basicConstraints=CA:FALSE\n' ca
req middle 'Plant 2'; sign middle 'basicConstraints=critical,CA:TRUE\n' ca
req orphan localhost; sign orphan "$names" middle
req p521 localhost ec ec_paramgen_curve:P-521; sign p521 "$names" ca
req client localhost; sign client "${names}extendedKeyUsage=clientAuth\n" ca
: >index.txt; echo 01 >serial
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' >ca.cnf
printf "$names" >old.ext; req old localhost
openssl ca -batch -config ca.cnf -in old.csr -cert ca.pem -keyfile ca.key -startdate 20200101000000Z -enddate 20240131000000Z -extfile old.ext -out old.pem -notext
"#;

#[test]
fn each_fault_of_a_certificate_is_reported_with_its_remedy() {
    let faults = [
        ("version1", "X.509 version 1"),
        ("own", "that of an authority (CA:TRUE)"),
        ("nameless", "subjectAltName=DNS:localhost"),
        ("orphan", "have the broker send the intermediate certificates"),
        ("p521", "P-256, P-384 or Ed25519"),
        ("client", "extendedKeyUsage=serverAuth"),
        ("old", "expired on 2024-01-31;"),
    ];
    let ports = faults.map(|_| free_port());
    let broker = Broker::start_with(|folder| {
        by_the_guide(folder);
        run(folder, "bash", &["-e", "-c", FAULTY]);
        let file = |name: &str, kind: &str| folder.join(format!("{name}.{kind}")).display().to_string();
        let listeners = faults.iter().zip(ports).map(|((name, _), port)| {
            let (certificate, key) = (file(name, "pem"), file(name, "key"));
            format!("listener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous true\n")
        });
        format!("allow_anonymous true\n{}", listeners.collect::<String>())
    });
    let plain = ("ca", broker.port(), "name the broker's port for TLS");
    let faults = faults.iter().zip(ports).map(|((name, cause), port)| (*name, port, *cause)).chain([plain]);
    for (name, port, cause) in faults {
        let authority = if name == "own" { "own.pem" } else { "ca.pem" };
        let publisher = encrypted("localhost", port, broker.folder().join(authority));
        let error = failure(&publisher);
        assert!(error.contains(cause), "{name}: {error}");
        assert!(!publisher.status().connected);
    }
}
