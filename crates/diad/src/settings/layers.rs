//! Puts defaults, file and environment together.
//!
//! Each layer is a [`config::Source`]; `config` merges mappings key by key, and takes everything else, a
//! list too, from the highest layer that has it. Where a value was set is remembered beside that, by path.

use std::sync::Arc;

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use super::Variable;
use crate::yaml::{Document, Fault, Place, Places, parse};

const DEFAULTS: &str = include_str!("../../../../config/default.yaml");
const DEFAULTS_NAME: &str = "built-in defaults";
const PREFIX: &str = "DIAD__";
/// Holds the settings inside `config`, which reads the dots of an outermost key as a path.
const ROOT: &str = "settings";

/// All layers as one document.
pub(super) type Merged = Document;

/// Merges the layers.
///
/// # Errors
/// The fault that makes the file unreadable as a whole: broken syntax, or no mapping at its root.
pub(super) fn merge(text: &str, file: &Place, variables: &[Variable]) -> Result<Merged, Vec<Fault>> {
    let whole = |fault| vec![fault];
    let defaults_place = Place::File { file: Arc::from(DEFAULTS_NAME), mark: None };
    let defaults = parse(DEFAULTS, &defaults_place, "").map_err(whole)?;
    let mut document = parse(text, file, "").map_err(whole)?;
    match document.value.kind {
        ValueKind::Table(_) => {}
        ValueKind::Nil => document.value = Value::new(None, ValueKind::Table(Map::new())),
        _ => return Err(whole(fault_at(document.places.of_value(""), "", "is not a mapping of keys to values"))),
    }
    let mut faults = document.faults;
    // A fault that a default has part in is one of the file, which could have set another value.
    let mut places = document.places;
    let mut builder =
        Config::builder().add_source(Layer(defaults.value.clone())).add_source(Layer(document.value.clone()));

    let mut variables: Vec<_> = variables.iter().filter(|(name, _)| is_ours(name)).collect();
    variables.sort();
    for variable in variables {
        match environment_layer(variable, &[&document.value, &defaults.value], &mut places) {
            Ok((layer, more)) => {
                builder = builder.add_source(layer);
                faults.extend(more);
            }
            Err(fault) => faults.push(fault),
        }
    }
    let merged = builder.build().and_then(|config| config.collect());
    match merged.map(|mut layers| layers.remove(ROOT)) {
        Ok(value) => Ok(Merged { value: value.unwrap_or_default(), places, faults }),
        Err(error) => Err(whole(fault_at(file.clone(), "", &format!("cannot be merged: {error}")))),
    }
}

#[derive(Debug, Clone)]
struct Layer(Value);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from_iter([(ROOT.to_owned(), self.0.clone())]))
    }
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Reads one variable: its name as a path, its value as YAML, so that it has a type as in the file.
fn environment_layer(
    (name, value): &Variable,
    lower: &[&Value],
    places: &mut Places,
) -> Result<(Layer, Vec<Fault>), Fault> {
    let place = Place::Environment { variable: name.to_string_lossy().into() };
    let lowercase = name.to_string_lossy().to_lowercase();
    let keys: Vec<&str> = lowercase[PREFIX.len()..].split("__").collect();
    let path = keys.join(".");
    if keys.iter().any(|key| key.is_empty()) {
        return Err(fault_at(place, "", "does not name a setting as DIAD__SECTION__KEY"));
    }
    let Some(text) = value.to_str() else {
        return Err(fault_at(place, &path, "is not UTF-8"));
    };
    for depth in 1..keys.len() {
        if lower.iter().any(|layer| find(layer, &keys[..depth]).is_some_and(|found| !is_table(found))) {
            let message = format!("{} is not a section; set it as a whole, in YAML", keys[..depth].join("."));
            return Err(fault_at(place, &path, &message));
        }
    }
    let document = parse(text, &place, &path)?;
    if !is_table(&document.value) {
        places.forget_inside(&path);
    }
    places.overlay(document.places);
    for depth in 1..keys.len() {
        places.note_whole(&keys[..depth].join("."), &place);
    }
    let nested = keys.iter().rev().fold(document.value, |inner, key| {
        Value::new(None, ValueKind::Table(Map::from_iter([((*key).to_owned(), inner)])))
    });
    Ok((Layer(nested), document.faults))
}

fn is_table(value: &Value) -> bool {
    matches!(value.kind, ValueKind::Table(_))
}

fn find<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v Value> {
    keys.iter().try_fold(value, |value, key| match &value.kind {
        ValueKind::Table(table) => table.get(*key),
        _ => None,
    })
}

fn fault_at(place: Place, path: &str, message: &str) -> Fault {
    Fault { place, path: path.to_owned(), message: message.to_owned(), allowed: None }
}
