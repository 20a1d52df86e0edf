use proptest::prelude::*;

use super::*;

fn trigger(part: Option<&str>, camera: Option<&str>) -> TriggerMessage {
    TriggerMessage {
        part: part.map(|part| PartId::try_new(part).unwrap()),
        camera: camera.map(|camera| CameraId::try_new(camera).unwrap()),
        ..TriggerMessage::default()
    }
}

fn parse(payload: impl AsRef<[u8]>) -> Result<TriggerMessage, Unclear> {
    TriggerMessage::parse("t", payload.as_ref())
}

/// What is wrong, with all of its causes.
fn told(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", told(cause)),
        None => error.to_string(),
    }
}

#[test]
fn parse_takes_a_trigger_with_and_without_a_camera() {
    for (payload, camera) in [
        (r#"{"part":"P-77"}"#, None),
        (r#" {"part":"P-77","camera":null}"#, None),
        (r#"{"camera":"cam1","part":"P-77","counter":{"of":["the","plc"]}}"#, Some("cam1")),
        (r#"{"part":"P-77","camera":2}"#, Some("2")),
        (r#"{"part":"P-77","note":"} and \" and {"}"#, None),
    ] {
        assert_eq!(parse(payload).unwrap(), trigger(Some("P-77"), camera), "{payload}");
    }
}

#[test]
fn parse_takes_what_stands_around_an_object_in_a_buffer() {
    for payload in [
        &b"{\"part\":\"P-5\"}\n"[..],
        b"{\"part\":\"P-5\"}\r\n  ",
        b"{\"part\":\"P-5\"}\0",
        b"{\"part\":\"P-5\"}\0\0\0\0\0\0\0\0",
        b"{\"part\":\"P-5\"}\0\"P-6\"}",
        b"{\"part\":\"P-5\"}\r\n\0{\"part\":\"P-4\"}",
        b"{\"part\":\"P-5\"}\0\xfe\xff\x80",
        b"\xef\xbb\xbf{\"part\":\"P-5\"}",
        b"\xef\xbb\xbf \r\n{\"part\":\"P-5\"}\0",
    ] {
        assert_eq!(parse(payload).unwrap(), trigger(Some("P-5"), None), "{:?}", String::from_utf8_lossy(payload));
    }
}

#[test]
fn parse_takes_any_text_and_whole_numbers_for_a_mark() {
    for (payload, mark) in [
        (&br#"{"part":77}"#[..], Some("77")),
        (br#"{"part":-1}"#, Some("-1")),
        (br#"{"part":9223372036854775808}"#, Some("9223372036854775808")),
        (br#"{"part":00}"#, None),
        (br#"{"part":"(01)09506000134352(21)12345"}"#, Some("(01)09506000134352(21)12345")),
        (br#"{"part":"0109506\u001d10AB"}"#, Some("0109506\u{1d}10AB")),
        (b"{\"part\":\"0109506\x1d10AB\"}", Some("0109506\u{1d}10AB")),
        (
            br#"{"part":"[)>\u001e06\u001d1P123\u001dS77\u001e\u0004"}"#,
            Some("[)>\u{1e}06\u{1d}1P123\u{1d}S77\u{1e}\u{4}"),
        ),
        (br#"{"part":"7V0 123/456 A"}"#, Some("7V0 123/456 A")),
        (br#"{"part":"A+B%"}"#, Some("A+B%")),
        (br#"{"part":"P-2                "}"#, Some("P-2")),
        (br#"{"part":"P-3\u0000\u0000"}"#, Some("P-3")),
        (b"{\"part\":\"P-3\0\0  \0\"}", Some("P-3")),
        (br#"{"part":"Geh\u0061\u0308use"}"#, Some("Geha\u{308}use")),
        (br#"{"part":"say \"\\\" \/"}"#, Some("say \"\\\" /")),
        (br#"{"part":"P-1","part":"P-1"}"#, Some("P-1")),
        (br#"{"part":"P-1","Part":"x"}"#, Some("P-1")),
        (b"{\"part\":\"P-1\",\"note\":\"Geh\xe4use\"}", Some("P-1")),
    ] {
        let shown = String::from_utf8_lossy(payload).into_owned();
        match mark {
            Some(mark) => assert_eq!(parse(payload).unwrap(), trigger(Some(mark), None), "{shown}"),
            None => assert!(parse(payload).is_err(), "{shown}"),
        }
    }
    let long = "\u{e4}".repeat(64);
    assert_eq!(parse(format!(r#"{{"part":"{long}"}}"#)).unwrap(), trigger(Some(&long), None));
}

#[test]
fn parse_takes_a_part_without_a_mark() {
    for payload in [r#"{"part":null}"#, "{}", r#"{"part":""}"#, r#"{"part":"   "}"#, r#"{"part":"\u0000"}"#] {
        assert_eq!(parse(payload).unwrap(), TriggerMessage::default(), "{payload}");
    }
}

#[test]
fn parse_of_a_trigger_that_is_not_certain_says_why_and_keeps_what_is() {
    let long = "x".repeat(129);
    let too_long = format!(r#"{{"part":"{long}","camera":"cam1"}}"#);
    for (payload, certain, want) in [
        (&b"{\"part\":77.0}"[..], trigger(None, None), "field \"part\" on t is neither text nor a whole number"),
        (
            b"{\"part\":0077}",
            trigger(None, None),
            "read payload on t; send for example {\"part\":\"P-77\"}: invalid number",
        ),
        (b"{\"part\":true}", trigger(None, None), "neither text nor a whole number"),
        (b"{\"part\":[\"P\"],\"camera\":\"cam1\"}", trigger(None, Some("cam1")), "neither text nor a whole number"),
        (b"{\"Part\":\"P-2\"}", trigger(None, None), "found key \"Part\" on t; the key is \"part\""),
        (b"{\"PART\":\"P-3\",\"camera\":\"cam1\"}", trigger(None, Some("cam1")), "found key \"PART\" on t"),
        (b"{\"part\":\"P-3\",\"Camera\":\"cam1\"}", trigger(None, None), "the key is \"camera\""),
        (b"{\"part\":\"a\",\"part\":\"b\"}", trigger(None, None), "key \"part\" stands twice"),
        (b"{\"part\":\"P-4\",}", trigger(None, None), "trailing comma"),
        (b"{\"part\":\"P-7\",\"temp\":NaN}", trigger(None, None), "expected value"),
        (b"{\"part\":\"P-8\",\"weight\":1,5}", trigger(None, None), "read payload on t"),
        (b"{\"part\":\"P-9\",\"ok\":TRUE}", trigger(None, None), "expected value"),
        (b"{\"part\":\"a\"", trigger(None, None), "EOF while parsing an object"),
        (b"{\"part\":\"a\"} x", trigger(None, None), "payload on t goes on behind the object, and not with a NUL"),
        (b"{\"part\":\"a\"}{\"part\":\"b\"}", trigger(None, None), "goes on behind the object"),
        (b"P-6", trigger(None, None), "payload on t is not a JSON object"),
        (b"[\"P-77\"]", trigger(None, None), "is not a JSON object"),
        (b"  ", trigger(None, None), "is not a JSON object"),
        (b"\"{\\\"part\\\":\\\"P-5\\\"}\"", trigger(None, None), "is an object within a text"),
        (b"\xfe\x0e{\"part\":\"P-9\"}", trigger(None, None), "two length bytes of a STRING"),
        (b"\xff\xfe{\0\"\0}\0", trigger(None, None), "is UTF-16, not UTF-8"),
        (b"{\0\"\0}\0", trigger(None, None), "is UTF-16, not UTF-8"),
        (b"\0{\0\"\0}", trigger(None, None), "is UTF-16, not UTF-8"),
        (b"\0\xfe\0\x0e\0{\0\"\0}", trigger(None, None), "is UTF-16, not UTF-8"),
        (b"{\"part\":\"a\",\"camera\":\"\"}", trigger(None, None), "field \"camera\" on t: a name must not be empty"),
        (b"{\"part\":\"Geh\xe4use\"}", trigger(Some("Geh\u{fffd}use"), None), "field \"part\" on t is not UTF-8"),
        (b"{\"part\":\"P-3\\u0000old\"}", trigger(Some("P-3"), None), "field \"part\" on t: a NUL stands in the mark"),
        (
            too_long.as_bytes(),
            trigger(Some(&long[..128]), Some("cam1")),
            "a mark has at most 128 bytes, this one has 129",
        ),
    ] {
        let unclear = parse(payload).unwrap_err();
        let shown = String::from_utf8_lossy(payload).into_owned();
        assert!(told(&unclear).contains(want), "{shown}: {}", told(&unclear));
        assert_eq!(unclear.trigger, certain, "{shown}");
    }
}

#[test]
fn parse_takes_a_product_in_every_form_that_is_certain() {
    for (payload, want) in [
        (&br#"{"product":"washer"}"#[..], "washer"),
        (b"{\"product\":\"washer\"}\0", "washer"),
        (br#"{"product":"  washer    "}"#, "washer"),
        (br#"{"product":4711}"#, "4711"),
        ("{\"product\":\"Geha\u{308}use\"}".as_bytes(), "Geh\u{e4}use"),
    ] {
        let message = ProductMessage::parse("t", payload).unwrap();
        assert_eq!(message.product.as_str(), want);
    }
}

#[test]
fn parse_refuses_a_product_that_is_none() {
    for (payload, want) in [
        (&b"{}"[..], "field \"product\" is missing on t"),
        (br#"{"product":null}"#, "is missing"),
        (br#"{"Product":"washer"}"#, "found key \"Product\" on t; the key is \"product\""),
        (br#"{"product":""}"#, "must not be empty"),
        (br#"{"product":"big washer"}"#, "character ' ' is not allowed"),
        (br#"{"product":true}"#, "neither text nor a whole number"),
        (br#"["washer"]"#, "is not a JSON object"),
        (b"{\"product\":\"Geh\xe4use\"}", "is not UTF-8"),
    ] {
        let error = ProductMessage::parse("t", payload).unwrap_err();
        assert!(told(&error).contains(want), "{}", told(&error));
    }
}

#[test]
fn parse_refuses_more_than_the_limit() {
    let payload = format!(r#"{{"part":"a","x":"{}"}}"#, "y".repeat(MAX_INBOUND_BYTES));
    let unclear = parse(payload).unwrap_err();
    assert!(matches!(*unclear.error, InboundError::Size { .. }), "{unclear:?}");
}

#[test]
fn begins_shows_the_first_bytes() {
    assert_eq!(Begins::of(b"\xfe\x0e{").to_string(), "fe 0e 7b");
    let long = Begins::of(&[0xAB; 25]).to_string();
    assert!(long.starts_with("ab ab") && long.ends_with("ab …") && long.matches("ab").count() == 24, "{long}");
}

proptest! {
    #[test]
    fn parse_of_any_bytes_ends_in_a_result(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = TriggerMessage::parse("t", &payload);
        let _ = ProductMessage::parse("t", &payload);
    }

    /// Whatever mark a JSON writer sends comes out as it went in.
    #[test]
    fn parse_keeps_a_mark_as_it_is(mark in "[^\0]{1,32}") {
        let mark = mark.trim_end_matches(' ');
        let payload = serde_json::json!({ "part": mark }).to_string();
        let trigger = parse(payload).unwrap();
        prop_assert_eq!(trigger.part.as_ref().map_or("", PartId::as_str), mark);
    }
}

#[test]
fn parse_takes_time_and_count_and_lets_be_what_is_none() {
    let parse = |more: &str| TriggerMessage::parse("t", format!(r#"{{"part":"P-77"{more}}}"#).as_bytes()).unwrap();
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_767_254_400_500);
    for text in ["2026-01-01T08:00:00.5Z", "2026-01-01T09:00:00.500+01:00"] {
        let message = parse(&format!(r#","at":"{text}","count":12"#));
        assert_eq!((message.at, message.count), (Some(at), Some(12)));
    }
    for more in ["", r#","at":null,"count":null"#, r#","at":"8 o'clock","count":-1"#, r#","at":5,"count":"12""#] {
        let message = parse(more);
        assert_eq!((message.at, message.count), (None, None), "{more}");
    }
    assert_eq!(parse(r#","at":"1969-12-31T23:59:59Z""#).at, None);
}
