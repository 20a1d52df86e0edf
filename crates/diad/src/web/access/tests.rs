use std::fs;

use super::*;

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
}

#[test]
fn check_without_a_token_answers_this_machine_only() {
    let access = Access::open(None).unwrap();
    for (host, allowed) in [
        ("127.0.0.1:8080", true),
        ("localhost:8080", true),
        ("LOCALHOST", true),
        ("[::1]:8080", true),
        ("127.8.9.1", true),
        ("evil.example:8080", false),
        ("10.0.0.7:8080", false),
        ("127.0.0.1.evil.example", false),
        ("localhost:8080.evil.example", false),
        ("", false),
    ] {
        let checked = access.check(&Method::GET, &headers(&[(header::HOST, host)]));
        assert_eq!(checked.is_ok(), allowed, "{host:?}");
    }
}

#[test]
fn check_with_a_token_wants_exactly_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "s3cret\n").unwrap();
    let access = Access::open(Some(&path)).unwrap();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    for (header, allowed) in [
        ("Bearer s3cret".to_owned(), true),
        ("bearer  s3cret ".to_owned(), true),
        (basic("anybody:s3cret"), true),
        (basic(":s3cret"), true),
        (basic("s3cret"), false),
        (basic("s3cret:"), false),
        ("Bearer s3cre".to_owned(), false),
        ("Bearer".to_owned(), false),
        ("Basic %%%".to_owned(), false),
        ("Digest s3cret".to_owned(), false),
    ] {
        let sent = headers(&[(header::HOST, "station.plant"), (header::AUTHORIZATION, &header)]);
        assert_eq!(access.check(&Method::GET, &sent).is_ok(), allowed, "{header:?}");
    }
    assert!(access.check(&Method::GET, &headers(&[(header::HOST, "127.0.0.1")])).is_err(), "also on this machine");
    assert!(Access::open(Some(Path::new("/nowhere"))).is_err());
}

#[test]
fn check_of_a_change_wants_our_own_page_and_json() {
    let access = Access::open(None).unwrap();
    let host = (header::HOST, "127.0.0.1:8080");
    let json = (header::CONTENT_TYPE, "application/json; charset=utf-8");
    for (more, allowed) in [
        (vec![json.clone()], true),
        (vec![json.clone(), (header::ORIGIN, "http://127.0.0.1:8080")], true),
        (vec![json.clone(), (header::ORIGIN, "http://evil.example")], false),
        (vec![json.clone(), (header::ORIGIN, "null")], false),
        (vec![(header::CONTENT_TYPE, "text/plain")], false),
        (vec![], false),
    ] {
        let sent = headers(&[vec![host.clone()], more.clone()].concat());
        assert_eq!(access.check(&Method::POST, &sent).is_ok(), allowed, "{more:?}");
    }
}

/// The headers of a change; a value that is no text is given in bytes.
fn change(host: &str, more: &[(HeaderName, &[u8])]) -> HeaderMap {
    let mut sent = headers(&[(header::HOST, host), (header::CONTENT_TYPE, "application/json")]);
    for (name, value) in more {
        sent.append(name, axum::http::HeaderValue::from_bytes(value).unwrap());
    }
    sent
}

/// Scheme, name and port of the page must be those that the request was sent to.
#[test]
fn check_of_a_change_compares_scheme_name_and_port() {
    let access = Access::open(None).unwrap();
    for (host, origin, allowed) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
        ("localhost:8080", "http://LocalHost:8080", true),
        ("[::1]:8080", "http://[::1]:8080", true),
        // A proxy that ends TLS and passes the name on.
        ("localhost:8443", "https://localhost:8443", true),
        // A port that is not written is the one of the scheme.
        ("localhost", "http://localhost", true),
        ("localhost", "http://localhost:80", true),
        ("localhost:80", "http://localhost", true),
        ("localhost", "https://localhost", true),
        ("localhost:443", "https://localhost", true),
        ("localhost", "https://localhost:443", true),
        ("localhost", "http://localhost:443", false),
        ("localhost:8080", "http://localhost", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8081", false),
        ("127.0.0.1:8080", "http://127.0.0.2:8080", false),
        ("[::1]:8080", "http://[::2]:8080", false),
        ("[::1]:8080", "http://127.0.0.1:8080", false),
        // Other schemes, and what is no origin.
        ("127.0.0.1:8080", "evil://127.0.0.1:8080", false),
        ("127.0.0.1:8080", "file://127.0.0.1:8080", false),
        ("127.0.0.1:8080", "127.0.0.1:8080", false),
        ("127.0.0.1:8080", "//127.0.0.1:8080", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/page", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8080?x", false),
        ("127.0.0.1:8080", "http://user@127.0.0.1:8080", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8080@evil.example", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8080 http://127.0.0.1:8080", false),
        ("localhost", "http://localhost:99999", false),
        ("localhost", "http://localhost:", false),
        ("127.0.0.1:8080", "http://evil.example", false),
        ("127.0.0.1:8080", "null", false),
        ("127.0.0.1:8080", "", false),
    ] {
        let sent = change(host, &[(header::ORIGIN, origin.as_bytes())]);
        assert_eq!(access.check(&Method::POST, &sent).is_ok(), allowed, "{host} from {origin}");
    }
}

/// The site by the browser, and headers that are there twice or cannot be read.
#[test]
fn check_of_a_change_refuses_other_sites_and_what_it_cannot_read() {
    let access = Access::open(None).unwrap();
    let (host, ours) = ("127.0.0.1:8080", b"http://127.0.0.1:8080" as &[u8]);
    for (more, allowed) in [
        (vec![(FETCH_SITE, b"same-origin" as &[u8])], true),
        (vec![(FETCH_SITE, b"none")], true),
        (vec![(FETCH_SITE, b"same-origin"), (header::ORIGIN, ours)], true),
        (vec![(FETCH_SITE, b"cross-site")], false),
        (vec![(FETCH_SITE, b"cross-site"), (header::ORIGIN, ours)], false),
        (vec![(FETCH_SITE, b"same-site"), (header::ORIGIN, ours)], false),
        (vec![(FETCH_SITE, b"same-origin"), (FETCH_SITE, b"cross-site")], false),
        (vec![(FETCH_SITE, b"\xE9")], false),
        (vec![(header::ORIGIN, b"http://127.0.0.1:8080\xE9")], false),
        (vec![(header::ORIGIN, ours), (header::ORIGIN, ours)], false),
        (vec![(header::ORIGIN, ours), (header::ORIGIN, b"http://evil.example")], false),
        (vec![(header::HOST, b"127.0.0.1:8080")], false),
    ] {
        assert_eq!(access.check(&Method::POST, &change(host, &more)).is_ok(), allowed, "{more:?}");
    }
    // To look is allowed from everywhere: a browser does not hand the answer to another page.
    let looked = access.check(&Method::GET, &change(host, &[(FETCH_SITE, b"cross-site")]));
    assert!(looked.is_ok());
}

/// With a token the same holds: a browser sends along the token that it knows.
#[test]
fn check_of_a_change_with_a_token_wants_our_own_page_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "s3cret").unwrap();
    let access = Access::open(Some(&path)).unwrap();
    for (origin, allowed) in
        [("https://station.plant", true), ("https://station.plant:444", false), ("https://evil.example", false)]
    {
        let more: [(HeaderName, &[u8]); 2] =
            [(header::AUTHORIZATION, b"Bearer s3cret"), (header::ORIGIN, origin.as_bytes())];
        assert_eq!(access.check(&Method::POST, &change("station.plant", &more)).is_ok(), allowed, "{origin}");
    }
}

/// A proxy that sends another name: the public address counts, with its scheme, and the error names both hosts.
#[test]
fn check_of_a_change_behind_a_proxy_takes_the_public_address_and_names_both_hosts() {
    let url = |text| PublicUrl::parse(text).unwrap();
    for (public, origin, allowed) in [
        (Some("https://plant.example/diad/"), "https://plant.example", true),
        (Some("https://plant.example:443/"), "https://plant.example", true),
        (Some("https://plant.example/"), "http://plant.example", false),
        (Some("https://plant.example/"), "https://plant.example:8443", false),
        (Some("https://plant.example/"), "https://evil.example", false),
        (Some("http://plant.example:81/"), "http://plant.example:81", true),
        (None, "https://plant.example", false),
    ] {
        let access = Access::open(None).unwrap().known_as(public.map(url));
        let more: [(HeaderName, &[u8]); 1] = [(header::ORIGIN, origin.as_bytes())];
        let checked = access.check(&Method::POST, &change("127.0.0.1:8080", &more));
        assert_eq!(checked.is_ok(), allowed, "{public:?} from {origin}");
        let Err(refusal) = checked else { continue };
        let words = refusal.to_string();
        assert!(words.contains(&format!("{origin:?}")) && words.contains("\"127.0.0.1:8080\""), "{words}");
        assert!(words.contains("proxy_set_header Host $http_host"), "{words}");
    }
    // The public address is no way around the token.
    let access = Access::open(None).unwrap().known_as(Some(url("https://plant.example/")));
    let refusal = access.check(&Method::GET, &headers(&[(header::HOST, "plant.example")])).unwrap_err();
    assert!(refusal.to_string().contains("\"plant.example\" is no name of this machine"), "{refusal}");
    // A header of any length gives a short error.
    let long = format!("http://{}", "a".repeat(5000));
    let more: [(HeaderName, &[u8]); 1] = [(header::ORIGIN, long.as_bytes())];
    let refusal = access.check(&Method::POST, &change("127.0.0.1:8080", &more)).unwrap_err();
    assert!(refusal.to_string().len() < 500, "{refusal}");
}
