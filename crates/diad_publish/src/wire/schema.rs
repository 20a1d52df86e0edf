//! What receivers may rely on, made from the wire types: JSON Schema of every payload, and an AsyncAPI document of the topics.

use diad_core::event::Reason;
use diad_core::join::MAX_WITNESSES;
use diad_core::judge::Verdict;
use diad_core::name::{MAX_MARK_BYTES, MAX_NAME_BYTES};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::inbound::{RawProduct, RawTrigger};
use super::{
    HeartbeatMessage, MAX_INBOUND_BYTES, MAX_PAYLOAD_BYTES, RejectMessage, SCHEMA, StateMessage, VerdictMessage,
};

#[cfg(test)]
mod tests;

/// One topic of a station.
struct Channel {
    /// Its last level, and the name of its payload.
    name: &'static str,
    /// Whether the station receives.
    inbound: bool,
    qos: u8,
    retained: bool,
    payload: Schema,
}

fn channels() -> [Channel; 6] {
    let out = |name, qos, retained, payload| Channel { name, inbound: false, qos, retained, payload };
    let inbound = |name, retained, payload| Channel { name, inbound: true, qos: 1, retained, payload };
    [
        out("verdict", 1, false, sent::<VerdictMessage>()),
        out("reject", 1, false, sent::<RejectMessage>()),
        out("state", 1, true, sent::<StateMessage>()),
        out("heartbeat", 0, false, sent::<HeartbeatMessage>()),
        inbound("trigger", false, received::<RawTrigger>()),
        inbound("product", true, received::<RawProduct>()),
    ]
}

fn sent<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

fn received<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>()
}

/// Every document by its file name: `verdict.schema.json` and so on, and `asyncapi.json`.
#[must_use]
pub fn documents() -> Vec<(String, Value)> {
    let mut documents: Vec<_> = channels()
        .into_iter()
        .map(|channel| (format!("{}.schema.json", channel.name), channel.payload.to_value()))
        .collect();
    documents.push(("asyncapi.json".to_owned(), asyncapi()));
    documents
}

fn asyncapi() -> Value {
    let (mut topics, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for Channel { name, inbound, qos, retained, payload } in channels() {
        let mut payload = payload.to_value();
        if let Some(object) = payload.as_object_mut() {
            object.remove("$schema");
        }
        let most = if inbound { MAX_INBOUND_BYTES } else { MAX_PAYLOAD_BYTES };
        let summary = format!("UTF-8 JSON, at most {most} bytes");
        messages.insert(
            name.to_owned(),
            json!({ "name": name, "contentType": "application/json", "summary": summary, "payload": payload }),
        );
        let parameters: Map<String, Value> = [
            ("root", "mqtt.root of the settings; may hold several levels"),
            ("line", "line of the settings"),
            ("station", "station of the settings"),
        ]
        .map(|(parameter, description)| (parameter.to_owned(), json!({ "description": description })))
        .into_iter()
        .collect();
        topics.insert(
            name.to_owned(),
            json!({
                "address": format!("{{root}}/{{line}}/{{station}}/{name}"),
                "messages": { name: { "$ref": format!("#/components/messages/{name}") } },
                "parameters": parameters,
            }),
        );
        operations.insert(
            name.to_owned(),
            json!({
                "action": if inbound { "receive" } else { "send" },
                "channel": { "$ref": format!("#/channels/{name}") },
                "bindings": { "mqtt": { "qos": qos, "retain": retained, "bindingVersion": "0.2.0" } },
            }),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "diad station",
            "version": SCHEMA.to_string(),
            "description": "Verdicts of every part of a station, and the messages that it reads. (line, station, camera, \
                            run, seq) names a part once and for ever: a receiver drops repeats by it.",
        },
        "channels": topics,
        "operations": operations,
        "components": { "messages": messages },
    })
}

/// The version of this program's payloads.
pub(super) fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "const": SCHEMA })
}

/// A name: short, and safe as one topic level and as one file name.
pub(super) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        // In characters; of those that take several bytes, as many as 64 bytes hold.
        "maxLength": MAX_NAME_BYTES,
        // Of what is not ASCII only letters and digits are taken; no pattern says so that every validator reads.
        "pattern": r"^[^\x00-,/;-?\[-\^`{-\x7f]+$",
        "not": { "enum": [".", ".."] },
    })
}

/// A name that may be missing.
pub(super) fn name_or_null(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [name(generator), { "type": "null" }] })
}

/// The plant's mark of a part, as a verdict has it: any text.
pub(super) fn mark_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        // In characters; of those that take several bytes, as many as 128 bytes hold.
        { "type": "string", "minLength": 1, "maxLength": MAX_MARK_BYTES },
        { "type": "null" },
    ] })
}

/// The same as a trigger gives it: also a whole number, or none.
pub(super) fn mark_given(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "string", "maxLength": MAX_MARK_BYTES, "pattern": r"^[^\x00]*$" },
        { "type": "integer" },
        { "type": "null" },
    ] })
}

/// A name as the plant gives it: also a whole number.
pub(super) fn name_given(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [name(generator), { "type": "integer" }] })
}

/// The same, or none.
pub(super) fn name_given_or_null(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [name(generator), { "type": "integer" }, { "type": "null" }] })
}

/// A time of the plant that may be missing.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "null" }] })
}

/// A count of the plant that may be missing.
pub(super) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "null" }] })
}

/// Every word that may be said of a part.
pub(super) fn verdict(_: &mut SchemaGenerator) -> Schema {
    let judged = [Verdict::Pass, Verdict::Review, Verdict::Reject].map(Verdict::as_str);
    json_schema!({ "enum": [judged[0], judged[1], judged[2], "UNJUDGED"] })
}

/// Scores by witness.
pub(super) fn witnesses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^(diad|latent|bank:[a-z0-9-]{1,32})$" },
        "additionalProperties": { "type": "number", "minimum": 0 },
        "minProperties": 1,
        "maxProperties": MAX_WITNESSES,
    })
}

/// Every reason why a part was not judged, or none.
pub(super) fn reason(_: &mut SchemaGenerator) -> Schema {
    let reasons: Vec<Value> =
        Reason::ALL.into_iter().map(|reason| reason.as_str().into()).chain([Value::Null]).collect();
    json_schema!({ "enum": reasons })
}
