use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use diad_core::event::{InspectionEvent, Judgement, WitnessScore};
use diad_core::frame::{PartKey, PartMeta, Roi, Stamp};
use diad_core::judge::Thresholds;
use diad_core::name::{CameraId, LineName, PartId, ProductName, RunId, StationName};
use diad_core::score::Score;
use regex::Regex;

use super::*;
use crate::outbox::Lane;
use crate::wire::{Digest, Digests, Heartbeat, ProductMessage, RejectBit, State, Station, TriggerMessage};

fn schema(name: &str) -> Value {
    documents().into_iter().find(|(file, _)| *file == format!("{name}.schema.json")).unwrap().1
}

fn is_valid(name: &str, message: &Value) -> bool {
    let mut faults = Vec::new();
    check(&schema(name), message, "", &mut faults);
    faults.is_empty()
}

/// As much of JSON Schema as the documents use; a word that it does not know fails the test.
fn check(schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
    let passes = |schema: &Value| {
        let mut inner = Vec::new();
        check(schema, value, path, &mut inner);
        inner.is_empty()
    };
    let list = |words: &Value| words.as_array().unwrap().clone();
    for (word, want) in schema.as_object().unwrap() {
        let text = value.as_str();
        let holds = match word.as_str() {
            "$schema" | "title" | "description" | "format" | "default" => true,
            "type" => {
                let kinds = if want.is_array() { list(want) } else { vec![want.clone()] };
                kinds.iter().any(|kind| match kind.as_str().unwrap() {
                    "object" => value.is_object(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    other => panic!("type {other}"),
                })
            }
            "const" => value == want,
            "enum" => list(want).contains(value),
            "anyOf" => list(want).iter().any(passes),
            "oneOf" => list(want).iter().filter(|schema| passes(schema)).count() == 1,
            "not" => !passes(want),
            "minLength" => text.is_none_or(|text| text.chars().count() as u64 >= want.as_u64().unwrap()),
            "maxLength" => text.is_none_or(|text| text.chars().count() as u64 <= want.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|number| number >= want.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= want.as_f64().unwrap()),
            "pattern" => text.is_none_or(|text| Regex::new(want.as_str().unwrap()).unwrap().is_match(text)),
            "required" => value.is_null() || list(want).iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "properties" => {
                for (key, schema) in want.as_object().unwrap() {
                    if let Some(inner) = value.get(key) {
                        check(schema, inner, &format!("{path}.{key}"), faults);
                    }
                }
                true
            }
            "propertyNames" => {
                let names = value.as_object().into_iter().flat_map(|fields| fields.keys());
                names.for_each(|name| check(want, &Value::from(name.as_str()), path, faults));
                true
            }
            "minProperties" => value.as_object().is_none_or(|fields| fields.len() as u64 >= want.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|fields| fields.len() as u64 <= want.as_u64().unwrap()),
            "additionalProperties" if want.is_object() => {
                let fields = value.as_object().into_iter().flatten();
                fields.for_each(|(field, inner)| check(want, inner, &format!("{path}.{field}"), faults));
                true
            }
            "additionalProperties" => {
                assert_eq!(want, &Value::Bool(false));
                let known = schema["properties"].as_object().unwrap();
                value.as_object().is_none_or(|fields| fields.keys().all(|field| known.contains_key(field)))
            }
            other => panic!("the test does not know {other:?} at {path}"),
        };
        if !holds {
            faults.push(format!("{path}: {word} {want}"));
        }
    }
}

fn expect_valid(name: &str, payload: &[u8]) {
    let message: Value = serde_json::from_slice(payload).unwrap();
    let mut faults = Vec::new();
    check(&schema(name), &message, name, &mut faults);
    assert!(faults.is_empty(), "{message}: {faults:?}");
    // Every field has its schema, and a field less is a fault, but for those that are left out where they have no value.
    for field in message.as_object().unwrap().keys().filter(|field| !["repeat", "witnesses"].contains(&field.as_str()))
    {
        let mut less = message.clone();
        less.as_object_mut().unwrap().remove(field);
        assert!(!is_valid(name, &less), "{name} without {field}");
    }
    let mut more = message;
    more["stranger"] = 1.into();
    assert!(!is_valid(name, &more), "{name}");
}

fn events(name: &str) -> Vec<InspectionEvent> {
    let mono = Instant::now();
    let captured = Stamp { wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_254_400), mono };
    let judged = Stamp { wall: captured.wall, mono: mono + Duration::from_millis(40) };
    let score = |value| Score::try_new(value).unwrap();
    let meta = |part: Option<&str>| PartMeta {
        key: PartKey { camera: CameraId::try_new(name).unwrap(), seq: u64::MAX },
        part: part.map(|part| PartId::try_new(&format!("({part})\u{1d}/+ ")).unwrap()),
        product: part.map(|part| ProductName::try_new(part).unwrap()),
        source: None,
        captured,
    };
    let judgement = |verdict| Judgement {
        verdict,
        score: score(0.731),
        thresholds: Thresholds::try_new(score(0.3), score(0.38), 0).unwrap(),
        region: Roi { x: 0, y: 0, width: u32::MAX, height: 1 },
    };
    let mut events: Vec<_> =
        Reason::ALL.into_iter().map(|reason| InspectionEvent::unjudged(meta(None), reason, judged)).collect();
    let verdicts = [Verdict::Pass, Verdict::Review, Verdict::Reject];
    events.extend(verdicts.map(|verdict| InspectionEvent::judged(meta(Some(name)), judgement(verdict), judged)));
    let witness = |name: &str, value| WitnessScore { name: name.into(), score: score(value) };
    let said = vec![witness("diad", 0.0), witness("latent", 1e-20), witness("bank:efficientnet-lite2", 2.5)];
    events.push(InspectionEvent::judged(meta(Some(name)), judgement(Verdict::Pass), judged).with_witnesses(said));
    let again: Vec<_> = events.iter().map(|event| InspectionEvent { repeat: true, ..event.clone() }).collect();
    events.extend(again);
    events
}

#[test]
fn witnesses_are_scores_by_the_name_of_a_witness() {
    let known = schema("verdict")["properties"]["witnesses"].clone();
    let holds = |value: &Value| {
        let mut faults = Vec::new();
        check(&known, value, "witnesses", &mut faults);
        faults.is_empty()
    };
    assert!(holds(&json!({ "diad": 0.5, "bank:dinov2-s": 0 })));
    for wrong in
        [json!({}), json!({ "oracle": 1 }), json!({ "bank:": 1 }), json!({ "diad": -1 }), json!({ "diad": "1" })]
    {
        assert!(!holds(&wrong), "{wrong}");
    }
}

#[test]
fn every_message_is_as_its_schema_says_and_every_schema_knows_every_field() {
    for name in ["cam0", "a", "Prägung_3:x@y.z-1", &"x".repeat(64)] {
        let station = Station {
            line: LineName::try_new(name).unwrap(),
            station: StationName::try_new(name).unwrap(),
            run: RunId::try_new(name).unwrap(),
        };
        let digest = Digest::from_bytes([0xab; 32]);
        let digests = Digests { model: digest, thresholds: digest, settings: digest };
        for event in events(name) {
            let verdict = VerdictMessage::from_event(&station, &event, &digests, 200);
            for lane in [Lane::Live, Lane::Stored] {
                expect_valid("verdict", &verdict.to_json(lane));
            }
            for bit in [RejectBit::Keep, RejectBit::Reject] {
                expect_valid("reject", &RejectMessage::new(&verdict, bit).to_json());
            }
        }
    }
    for state in State::ALL {
        expect_valid("state", &StateMessage::new(state, &"é".repeat(900), SystemTime::now()).to_json());
    }
    for margin_ms in [None, Some(-3.5)] {
        let beat = Heartbeat { parts_in: 1, verdicts_out: 1, queue_depth: 0, owed: 0, unaccounted: 0, margin_ms };
        expect_valid("heartbeat", &HeartbeatMessage::new(1, State::Ready, &beat, 0).to_json());
    }
}

/// What the schema takes the station takes, and the other way round.
#[test]
fn inbound_schemas_and_the_reader_agree() {
    let long = "x".repeat(65);
    for value in [
        json!("P-77"),
        json!("Prägung_3:x@y.z-1"),
        json!(""),
        json!("."),
        json!(".."),
        json!("..."),
        json!("a/b"),
        json!("a b"),
        json!("a\n"),
        json!(long),
        json!("x".repeat(64)),
        json!("x".repeat(128)),
        json!("x".repeat(129)),
        json!("(01)0950\u{1d}10 A/B+%"),
        json!("Geha\u{308}use"),
        json!(7),
        json!(-7),
        json!(true),
        json!(null),
        json!(["P-77"]),
    ] {
        for message in [
            json!({ "part": value }),
            json!({ "part": "P-1", "camera": value }),
            json!({ "product": value }),
            json!({ "part": value, "counter": 1 }),
            json!({ "part": value, "at": "2026-01-01T08:00:00.5Z", "count": 7 }),
            json!({ "part": value, "at": "2026-01-01T09:00:00+01:00", "count": 0 }),
            json!([value]),
        ] {
            let payload = message.to_string();
            let trigger = TriggerMessage::parse("t", payload.as_bytes()).is_ok();
            assert_eq!(is_valid("trigger", &message), trigger, "trigger {message}");
            let product = ProductMessage::parse("t", payload.as_bytes()).is_ok();
            assert_eq!(is_valid("product", &message), product, "product {message}");
        }
    }
}

#[test]
fn committed_documents_are_those_of_the_wire_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plc/schema");
    for (name, document) in documents() {
        let committed = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        let want = format!("{document:#}\n");
        assert!(
            committed == want,
            "{name} is out of date: cargo run -p diad_publish --example schema -- docs/plc/schema"
        );
    }
}
