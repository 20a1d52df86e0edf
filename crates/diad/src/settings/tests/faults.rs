//! What is reported, and where.

use super::*;

#[test]
fn read_of_yaml_that_is_not_plain_reports_the_place_and_stops() {
    let deep = format!("line: {}", "[".repeat(64));
    let wide = format!("line: [{}]", "1, ".repeat(10_001));
    let key = format!("{}: 1", "k".repeat(129));
    for (text, want) in [
        ("line: L1\n\tstation: S1\n", "f.yaml:2:1: a tab stands in the indentation, allowed: spaces"),
        ("mqtt:\n  root: a\n \turl: b\n", "f.yaml:3:2: a tab stands in the indentation, allowed: spaces"),
        ("line: [L1\n", "f.yaml:1:7: is not valid YAML: unclosed bracket '['"),
        ("line: 'L1\n", "f.yaml:1:7: is not valid YAML: unclosed quote"),
        ("line: L1\n---\nline: L2\n", "f.yaml:2:1: a second document begins, allowed: one document in a file"),
        ("line: &a L1\nstation: *a\n", "f.yaml:1:10: line: uses an anchor, alias or tag, allowed: plain values only"),
        ("line: !!str L1\n", "f.yaml:1:13: line: uses an anchor, alias or tag, allowed: plain values only"),
        ("? [a]\n: b\n", "f.yaml:1:3: a key is a list or a mapping, allowed: a name as key"),
        ("%YAML 1.2\n---\nline: a\n", "f.yaml:1:1: is not valid YAML: YAML directives are disallowed"),
        ("- a\n", "f.yaml:1:1: is not a mapping of keys to values"),
        ("just text\n", "f.yaml:1:1: is not a mapping of keys to values"),
        (&deep, "f.yaml:1:39: is nested too deeply, allowed: at most 32 levels"),
        (&wide, "f.yaml:1:30002: line[9998]: holds too many values, allowed: at most 10000 in a file"),
        (&key, "f.yaml:1:1: a key is too long, allowed: at most 128 bytes"),
    ] {
        check(read(text, &[]), &[want]);
    }
}

#[test]
fn read_reports_a_station_without_line_station_and_cameras() {
    let want = [
        "f.yaml:1:1: cameras: is missing, allowed: a list",
        "f.yaml:1:1: line: is missing, allowed: text",
        "f.yaml:1:1: station: is missing, allowed: text",
    ];
    check(read("", &[]), &want);
    check(read("# nothing\n", &[]), &want);
    check(read("deadline_ms: 5\n", &[]), &want);
}

#[test]
fn read_reports_every_fault_of_a_file_at_once() {
    let keys = "line, station, cameras, deadline_ms, repeat_within_ms, on_unjudged, on_unknown_product, engine, mqtt, ledger, http, drift, golden, thresholds";
    let mqtt = "url, root, payload, qos, username, password_file, ca_file, cert_file, key_file";
    check(
        below(
            "deadline: 5
deadline_ms: fast
mqtt: { qos: 2, rot: x, password: hunter2 }
on_unjudged: drop
engine: { steps: 0, threads: .nan, model: 5, provider: gpu }
thresholds: [a]
line: L2
ledger:
  keep_days: 0
",
        ),
        &[
            &format!("f.yaml:7:1: deadline: unknown key, did you mean \"deadline_ms\"?, allowed: {keys}"),
            "f.yaml:8:14: deadline_ms: \"fast\" is text, allowed: a whole number from 1 to 60000",
            "f.yaml:9:14: mqtt.qos: 2 does not suit verdicts, allowed: 1",
            &format!("f.yaml:9:17: mqtt.rot: unknown key, did you mean \"root\"?, allowed: {mqtt}"),
            &format!("f.yaml:9:25: mqtt.password: unknown key, did you mean \"password_file\"?, allowed: {mqtt}"),
            "f.yaml:10:14: on_unjudged: \"drop\" is not known, allowed: reject, hold, pass",
            "f.yaml:11:18: engine.steps: 0 is out of range, allowed: a whole number from 1 to 1000",
            "f.yaml:11:30: engine.threads: NaN is not allowed, allowed: a whole number from 1 to 256",
            "f.yaml:11:43: engine.model: 5 is a number, allowed: text; put it into quotes",
            "f.yaml:11:56: engine.provider: \"gpu\" is not known, allowed: auto, cpu, cuda, tensorrt",
            "f.yaml:12:13: thresholds: is a list, allowed: text",
            "f.yaml:13:1: line: is set twice, first in line 1",
            "f.yaml:15:14: ledger.keep_days: 0 is out of range, allowed: a whole number from 1 to 3650",
        ],
    );
}

#[test]
fn read_reports_values_that_are_out_of_range_or_of_another_type() {
    let whole = "allowed: a whole number from 1 to 60000";
    for (line, want) in [
        ("deadline_ms: 0", &*format!("7:14: deadline_ms: 0 is out of range, {whole}")),
        ("deadline_ms: -5", &format!("7:14: deadline_ms: -5 is out of range, {whole}")),
        ("deadline_ms: 60001", &format!("7:14: deadline_ms: 60001 is out of range, {whole}")),
        ("deadline_ms: 1.5", &format!("7:14: deadline_ms: 1.5 is not allowed, {whole}")),
        ("deadline_ms: \"200\"", &format!("7:14: deadline_ms: \"200\" is text, {whole}")),
        ("deadline_ms: true", &format!("7:14: deadline_ms: true is a flag, {whole}")),
        ("deadline_ms: null", &format!("7:14: deadline_ms: has no value, {whole}")),
        ("deadline_ms: {a: 1}", &format!("7:14: deadline_ms: is a mapping, {whole}")),
        (
            "deadline_ms: 99999999999999999999",
            &format!("7:14: deadline_ms: 100000000000000000000 is not allowed, {whole}"),
        ),
        ("mqtt:", "7:5: mqtt: has no value, allowed: a mapping of keys to values"),
        ("mqtt: 5", "7:7: mqtt: 5 is a number, allowed: a mapping of keys to values"),
        ("mqtt: {root: ''}", "7:14: mqtt.root: is empty, allowed: text"),
        ("mqtt: {root: a/#}", "7:14: mqtt.root: character '#' is not allowed in a topic root"),
        ("mqtt: {payload: sparkplug}", "7:17: mqtt.payload: \"sparkplug\" is not known, allowed: json, sparkplug_b"),
        (
            "mqtt: {url: 'tcp://a'}",
            "7:13: mqtt.url: a broker address begins with mqtt:// or mqtts://, for example mqtt://127.0.0.1:1883",
        ),
        (
            "mqtt: {url: 'mqtts://a'}",
            "7:7: mqtt.ca_file: mqtts:// needs mqtt.ca_file: the PEM file of the authority that signed the broker's certificate (public authorities: /etc/ssl/certs/ca-certificates.crt)",
        ),
        ("on_unknown_product: pass", "7:21: on_unknown_product: \"pass\" is not known, allowed: unjudged, default"),
        ("drift: {alarm: 1}", "7:16: drift.alarm: 1 is a number, allowed: true or false"),
        (
            "golden: {folder: /g, every_minutes: 0}",
            "7:37: golden.every_minutes: 0 is out of range, allowed: a whole number from 1 to 10080",
        ),
        (
            "golden: {every_minutes: 5}",
            "7:25: golden.every_minutes: is set, but there is no folder, allowed: null, or set folder",
        ),
        (
            "http: {listen: nowhere}",
            "7:16: http.listen: invalid socket address syntax, allowed: address:port, such as 127.0.0.1:8080",
        ),
        (
            "http: {listen: '0.0.0.0:80'}",
            "7:16: http.listen: is reachable from other machines, allowed: a loopback address, or set token_file",
        ),
        (
            "http: {public_url: 'ftp://plant.example/'}",
            "7:20: http.public_url: is neither http:// nor https://, allowed: such as https://plant.example/diad/, without \
             user, query and #",
        ),
        (
            "http: {public_url: 'https://user@plant.example/'}",
            "7:20: http.public_url: names no host, or a user, allowed: such as https://plant.example/diad/, without user, \
             query and #",
        ),
        (
            "ledger: {images: {keep: [GOOD]}}",
            "7:26: ledger.images.keep[0]: \"GOOD\" is not known, allowed: PASS, REVIEW, REJECT, UNJUDGED",
        ),
        ("ledger: {images: {keep: [PASS, PASS]}}", "7:32: ledger.images.keep[1]: is listed twice"),
        ("ledger: {images: {keep: PASS}}", "7:25: ledger.images.keep: \"PASS\" is text, allowed: a list"),
    ] {
        check(below(line), &[&format!("f.yaml:{want}")]);
    }
    check(
        read(&STATION.replace("L1", "3"), &[]),
        &["f.yaml:1:7: line: 3 is a number, allowed: text; put it into quotes"],
    );
    assert!(read(&STATION.replace("L1", "\"3\""), &[]).is_ok());
}

#[test]
fn read_reports_what_is_wrong_with_cameras() {
    let good = "    trigger: { kind: mqtt }\n    source: { kind: rendered }\n";
    let mapping = "allowed: a mapping of keys to values";
    for (lines, want) in [
        ("  []\n".to_owned(), &["4:3: cameras: lists 0 cameras, allowed: 1 to 16 cameras"][..]),
        (format!("  - id: a\n{good}").repeat(17), &["4:3: cameras: lists 17 cameras, allowed: 1 to 16 cameras"]),
        (
            format!("  - id: a\n{good}").repeat(2),
            &["7:9: cameras[1].id: \"a\" names another camera already, allowed: a new name"],
        ),
        (
            format!("  - id: a b\n{good}"),
            &[
                "4:9: cameras[0].id: character ' ' is not allowed in a name; use letters, digits, '.', '_', '-', ':' or '@'",
            ],
        ),
        (
            "  - id: a\n  - 5\n".to_owned(),
            &[
                &format!("4:5: cameras[0].source: is missing, {mapping}"),
                &format!("4:5: cameras[0].trigger: is missing, {mapping}"),
                &format!("5:5: cameras[1]: 5 is a number, {mapping}"),
            ],
        ),
        (
            format!("  - id: a\n{good}    roi: {{ x: 0, y: 0, width: 0, height: 0 }}\n"),
            &[
                "7:31: cameras[0].roi.width: 0 is out of range, allowed: a whole number from 1 to 16384",
                "7:42: cameras[0].roi.height: 0 is out of range, allowed: a whole number from 1 to 16384",
            ],
        ),
        (
            format!("  - id: a\n{good}    roi: {{ x: 1, y: 0, width: 16384, height: 1 }}\n"),
            &["7:10: cameras[0].roi: reaches to x 16385, y 1, allowed: inside the picture of 16384x16384 px"],
        ),
    ] {
        let want: Vec<_> = want.iter().map(|line| format!("f.yaml:{line}")).collect();
        check(camera(&lines), &want.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn read_reports_what_is_wrong_with_sources_and_triggers() {
    let kinds = "v4l2, gige, replay, rendered";
    let formats =
        "RGB3, BGR3, YUYV, NV12, MJPG, UYVY, Y16, Y12, Y10, GREY, RG10, BA10, GB10, BG10, RGGB, GRBG, GBRG, BA81";
    for (source, want) in [
        ("{ kind: webcam }", &*format!("source.kind: \"webcam\" is not known, allowed: {kinds}")),
        ("{ device: /dev/video0 }", &format!("source.kind: is missing, allowed: {kinds}")),
        (
            "{ kind: gige, address: 10.0.0.9 }",
            "source.kind: gige cameras are not supported by this build, allowed: v4l2, replay, rendered",
        ),
        (
            "{ kind: v4l2, device: /dev/video0, width: 1, height: 1 }",
            "source.fps: is missing, allowed: a whole number from 1 to 1000",
        ),
        (
            "{ kind: v4l2, device: a, width: 1, height: 1, fps: 1, format: gray }",
            &format!("source.format: \"gray\" is not known, allowed: {formats}"),
        ),
        ("{ kind: replay }", "source.folder: is missing, allowed: text"),
        ("{ kind: replay, folder: a, looped: yes }", "source.looped: \"yes\" is text, allowed: true or false"),
        (
            "{ kind: replay, folder: a, loop: true }",
            "source.loop: unknown key, did you mean \"looped\"?, allowed: kind, folder, looped",
        ),
        (
            "{ kind: rendered, defect_rate: .nan }",
            "source.defect_rate: is not a number (NaN), allowed: a number from 0 to 1",
        ),
        (
            "{ kind: rendered, defect_rate: .inf }",
            "source.defect_rate: inf is out of range, allowed: a number from 0 to 1",
        ),
        (
            "{ kind: rendered, defect_rate: 1e999 }",
            "source.defect_rate: inf is out of range, allowed: a number from 0 to 1",
        ),
        ("{ kind: rendered, products: [] }", "source.products: lists no product, allowed: all, or a list of products"),
        ("{ kind: rendered, products: some }", "source.products: \"some\" is text, allowed: a list"),
        ("{ kind: rendered, products: [gear, gear] }", "source.products[1]: is listed twice"),
    ] {
        let found = camera(&format!("  - id: a\n    trigger: {{ kind: mqtt }}\n    source: {source}\n")).unwrap_err();
        assert_eq!(found.len(), 1, "{found:?}");
        let (place, what) = found[0].split_once(": cameras[0].").unwrap();
        assert_eq!(what, want);
        assert!(place.starts_with("f.yaml:6:"), "{place}");
    }
    for (trigger, want) in [
        (
            "{ kind: free_run }",
            "f.yaml:6:14: cameras[0].trigger.every_ms: is missing, allowed: a whole number from 1 to 3600000",
        ),
        ("{ kind: mqtt, every_ms: 5 }", "f.yaml:6:28: cameras[0].trigger.every_ms: unknown key, allowed: kind"),
    ] {
        check(camera(&format!("  - id: a\n    source: {{ kind: rendered }}\n    trigger: {trigger}\n")), &[want]);
    }
}

#[test]
fn read_takes_a_frozen_after_of_live_cameras_only() {
    let with = |source: &str, trigger: &str, key: &str| {
        camera(&format!("  - id: a\n    source: {source}\n    trigger: {{ kind: {trigger} }}\n    {key}\n"))
    };
    let (live, drawn) = ("{ kind: v4l2, device: /dev/video0, width: 640, height: 480, fps: 30 }", "{ kind: rendered }");
    for (source, trigger, key, want) in [
        (live, "mqtt", "", Some(10)),
        (live, "camera", "", Some(3)),
        (live, "camera", "frozen_after: 5", Some(5)),
        (live, "mqtt", "frozen_after: off", None),
        (drawn, "mqtt", "", None),
        (drawn, "mqtt", "frozen_after: off", None),
        ("{ kind: replay, folder: a }", "camera", "frozen_after: null", None),
    ] {
        let settings = with(source, trigger, key).unwrap();
        assert_eq!(settings.cameras()[0].frozen_after.map(u32::from), want, "{source} {trigger} {key}");
    }
    let range = "allowed: a whole number from 1 to 10000";
    for (source, key, want) in [
        (live, "frozen_after: 0", format!("7:19: cameras[0].frozen_after: 0 is out of range, {range}")),
        (live, "frozen_after: never", format!("7:19: cameras[0].frozen_after: \"never\" is text, {range}")),
        (
            drawn,
            "frozen_after: 5",
            "7:5: cameras[0].frozen_after: only a live camera can be frozen, allowed: off, or leave it out".to_owned(),
        ),
    ] {
        check(with(source, "mqtt", key), &[&format!("f.yaml:{want}")]);
    }
    let digest = |key: &str| with(live, "mqtt", key).unwrap().digest();
    assert_eq!(digest(""), digest("frozen_after: 10"));
    assert!(digest("") != digest("frozen_after: 9") && digest("") != digest("frozen_after: off"));
}

#[test]
fn read_holds_a_roi_to_the_picture_of_a_camera_of_known_size() {
    let source = "    source: { kind: v4l2, device: /dev/video0, width: 640, height: 480, fps: 30 }\n    trigger: { kind: camera }\n";
    let with = |roi: &str| camera(&format!("  - id: a\n{source}    roi: {roi}\n"));
    assert!(with("{ x: 160, y: 0, width: 480, height: 480 }").is_ok());
    check(
        with("{ x: 161, y: 0, width: 480, height: 480 }"),
        &["f.yaml:7:10: cameras[0].roi: reaches to x 641, y 480, allowed: inside the picture of 640x480 px"],
    );
}

#[test]
fn read_names_characters_that_nobody_sees_by_their_code_points() {
    for (line, want) in [
        (
            "dri\u{200b}ft: {alarm: true}",
            "f.yaml:7:1: dri<U+200B>ft: unknown key, did you mean \"drift\"?, allowed: line, ",
        ),
        (
            "on_unjudged: reject\u{a0}",
            "f.yaml:7:14: on_unjudged: \"reject\\u{a0}\" is not known, allowed: reject, hold, pass",
        ),
        ("golden:\u{a0}{folder: /g}", "f.yaml:7:1: golden:<U+00A0>{folder: unknown key, did you mean \"golden\"?"),
        (
            "golden: {folder: \"/g\"\u{a0}}",
            "f.yaml:7:22: is not valid YAML: U+00A0 stands here, which cannot be seen, allowed: ",
        ),
        ("\u{a0}drift: {alarm: true}", "f.yaml:7:1: <U+00A0>drift: unknown key"),
    ] {
        let faults = below(line).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(want), "{faults:?}");
    }
    assert!(below("drift: {alarm: true} # a note\u{a0}with a hard blank\n# and\u{200b}another\n").is_ok());
    assert!(read(&format!("\u{feff}{STATION}"), &[]).is_ok(), "a mark of the byte order stands before many files");
}
