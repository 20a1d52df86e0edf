use std::fs;

use super::*;

fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
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
