//! Variables over the file.

use super::*;

#[test]
fn variables_lie_over_the_file_with_the_types_of_yaml() {
    let settings = read(
        &format!("{STATION}deadline_ms: 300\nmqtt: {{ root: plant, url: 'mqtt://a' }}\n"),
        &[
            ("DIAD__DEADLINE_MS", "150"),
            ("DIAD__MQTT__URL", "mqtt://10.0.0.5:1883"),
            ("DIAD__STATION", "\"7\""),
            ("DIAD__CAMERAS", "[{ id: b, source: { kind: replay, folder: p }, trigger: { kind: camera } }]"),
            ("DIAD_LOG", "debug"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    assert_eq!(settings.deadline(), Duration::from_millis(150));
    assert_eq!(settings.mqtt().link.url().to_string(), "mqtt://10.0.0.5:1883");
    assert_eq!((settings.mqtt().root.to_string(), settings.station().as_str()), ("plant".to_owned(), "7"));
    assert_eq!(settings.cameras()[0].source, Source::Replay { folder: PathBuf::from("p"), looped: false });
}

#[test]
fn variables_that_are_wrong_are_reported_by_name() {
    let keys = "line, station, cameras, deadline_ms, repeat_within_ms, on_unjudged, on_unknown_product, engine, mqtt, ledger, http, drift, golden, thresholds";
    for (name, value, want) in [
        ("DIAD__", "1", "does not name a setting as DIAD__SECTION__KEY".to_owned()),
        ("DIAD__MQTT__", "1", "does not name a setting as DIAD__SECTION__KEY".to_owned()),
        (
            "DIAD__DEADLINE_MS",
            "soon",
            "deadline_ms: \"soon\" is text, allowed: a whole number from 1 to 60000".to_owned(),
        ),
        ("DIAD__DEADLINE_MS", "", "deadline_ms: has no value, allowed: a whole number from 1 to 60000".to_owned()),
        ("DIAD__STATION", "7", "station: 7 is a number, allowed: text; put it into quotes".to_owned()),
        ("DIAD__MQT__URL", "a", format!("mqt: unknown key, did you mean \"mqtt\"?, allowed: {keys}")),
        ("DIAD__LINE__X", "1", "line.x: line is not a section; set it as a whole, in YAML".to_owned()),
        ("DIAD__CAMERAS__0__ID", "a", "cameras.0.id: cameras is not a section; set it as a whole, in YAML".to_owned()),
        ("DIAD__MQTT__QOS", "[1", "mqtt.qos: is not valid YAML: unclosed bracket '['".to_owned()),
        ("DIAD__MQTT", "{ qos: 0 }", "mqtt.qos: 0 does not suit verdicts, allowed: 1".to_owned()),
        (
            "DIAD__CAMERAS",
            "[{ id: b }]",
            "cameras[0].source: is missing, allowed: a mapping of keys to values".to_owned(),
        ),
    ] {
        let found = read(STATION, &[(name, value)]).unwrap_err();
        assert_eq!(found[0], format!("environment {name}: {want}"));
    }
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_utf8_are_reported() {
    use std::os::unix::ffi::OsStringExt;
    let variable = ("DIAD__LINE".into(), OsString::from_vec(vec![0xff]));
    let faults = examine(STATION, "f.yaml", &[variable]).settings.unwrap_err();
    assert_eq!(faults[0].to_string(), "environment DIAD__LINE: line: is not UTF-8");
}
